"""Software that is not ours: golang.org/x/mod, pymerkle and OpenSSL, each as its own process."""

import base64
import functools
import os
from pathlib import Path
import subprocess
import sys
import tempfile

EVIDENCE = Path(__file__).resolve().parent / "evidence"

# An Ed25519 public key in DER begins so (RFC 8410).
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


@functools.cache
def go_verifier() -> Path:
    """The program of evidence/*.go, built from Debian's packages golang-go and golang-golang-x-mod-dev."""
    directory = tempfile.TemporaryDirectory(prefix="hubaudit-go-")
    # Gone when the tests are.
    go_verifier.directory = directory
    program = Path(directory.name) / "verify"
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOCACHE": f"{directory.name}/cache"}
    command = ["go", "build", "-o", str(program), "verify.go", "claims.go"]
    subprocess.run(command, cwd=EVIDENCE, env=environment, check=True)
    return program


def go(vkey: str, log: str | Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([go_verifier(), "-vkey", vkey, "-log", str(log), *options], capture_output=True, text=True)


def pymerkle(log: str | Path, seed: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EVIDENCE / "verify.py", str(log), str(seed)], capture_output=True, text=True)


def openssl(vkey: str, note: bytes, directory: Path) -> subprocess.CompletedProcess[str]:
    """Verifies the first signature of a note with the public key alone."""
    public_key = base64.b64decode(vkey.split("+", 2)[2])[1:]
    text, _, lines = note.rpartition(b"\n\n")
    (directory / "text").write_bytes(text + b"\n")
    (directory / "signature").write_bytes(base64.b64decode(lines.split()[2])[4:])
    (directory / "key.der").write_bytes(ED25519_PREFIX + public_key)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature"
    return subprocess.run(command.split(), cwd=directory, capture_output=True, text=True)
