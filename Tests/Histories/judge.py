"""Looks at a history that was kept: python Tests/Histories/judge.py DIRECTORY. Exits with 1 when it breaks a promise."""

import pathlib
import sys

from history import History
from promises import violations

if __name__ == "__main__":
    found = violations(History.load(pathlib.Path(sys.argv[1])))
    print(*found, sep="\n")
    sys.exit(bool(found))
