"""Verifies a tiled log with pymerkle: rebuilds the tree from the entry bundles and compares its root with the checkpoint's, then checks
random proofs. Does not check the signature; verify.go does.

    pip install pymerkle==7.0.0
    python3 verify.py DIRECTORY-OR-URL [SEED]
"""

import base64
import pathlib
import random
import sys
import urllib.request

import pymerkle


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"{sys.argv[1]}: {otherwise}")


def read(log: str, path: str) -> bytes:
    if "://" in log:
        with urllib.request.urlopen(f"{log.rstrip('/')}/{path}", timeout=30) as reply:
            return reply.read()
    return pathlib.Path(log, path).read_bytes()


def bundle_path(index: int, width: int) -> str:
    groups = f"{index % 1000:03}"
    while index := index // 1000:
        groups = f"x{index % 1000:03}/{groups}"
    return f"tile/entries/{groups}" + (f".p/{width}" if width < 256 else "")


def entries(log: str, size: int):
    for start in range(0, size, 256):
        width = min(256, size - start)
        data = read(log, bundle_path(start // 256, width))
        for _ in range(width):
            length = int.from_bytes(data[:2], "big")
            check(len(data) >= 2 + length, f"bundle {start // 256} is too short")
            yield data[2 : 2 + length]
            data = data[2 + length :]
        check(not data, f"bundle {start // 256} is too long")


def main(log: str, seed: int) -> None:
    lines = read(log, "checkpoint").decode().split("\n")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries(log, size):
        tree.append_entry(entry)
    check(tree.get_root() == root, f"the root of its {size} entries is {tree.get_root().hex()}, the checkpoint says {root.hex()}")

    choose = random.Random(seed)
    for _ in range(10 if size else 0):
        index, old = choose.randint(1, size), choose.randint(1, size)
        pymerkle.verify_inclusion(tree.get_leaf(index), root, tree.prove_inclusion(index, size))
        pymerkle.verify_consistency(tree.get_root(old), root, tree.prove_consistency(old, size))
    print(f"{log}: {size} leaves verified (seed {seed})")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32))
