"""Writes the modules of this package from Proto/: `python -m hubaudit.v1.generate PROTO_DIRECTORY OUTPUT_DIRECTORY`.

Debian's protoc (`protobuf-compiler`) does the work. From the top of the tree: `python -m hubaudit.v1.generate Proto Sources/python`.
"""

import argparse
import subprocess
from pathlib import Path


def generate(proto: Path, output: Path) -> None:
    """Runs protoc over every file of the contract below `proto`; the modules go to `output`/hubaudit/v1."""
    sources = sorted(proto.glob("hubaudit/v1/*.proto"))
    if not sources:
        raise SystemExit(f"no .proto files below {proto}/hubaudit/v1: give the directory Proto of the tree")
    output.mkdir(parents=True, exist_ok=True)
    command = ["protoc", f"-I{proto}", f"--python_out={output}", f"--pyi_out={output}", *map(str, sources)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("proto", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    generate(arguments.proto, arguments.output)
