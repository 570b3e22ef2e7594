"""The server, the bare connection and the proxy are those of the other tests."""

import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
for folder in ("Integration", "Conformance"):
    sys.path.append(str(TESTS / folder))
