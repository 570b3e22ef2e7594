"""The servers are those of the other tests."""

import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
for folder in ("Integration", "Conformance", "Histories"):
    sys.path.append(str(TESTS / folder))
