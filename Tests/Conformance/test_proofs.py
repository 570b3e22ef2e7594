"""The package's own verification of proofs, checkpoints and receipts, against known vectors, the RFC's definitions and pymerkle."""

import base64
import dataclasses
from hashlib import sha256
import random
import subprocess
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
import hubaudit
from hubaudit.checkpoint import Checkpoint, VerifierKey
from hubaudit.errors import EvidenceError
from hubaudit.evidence import EMPTY_ROOT, leaf_hash, node_hash, verify_consistency, verify_inclusion
import naive_tree
import pymerkle
import pytest

# The leaves and roots that implementations of RFC 6962 have shared since certificate-transparency's first tests.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
DEMO_KEY = "hubaudit.example/demo+43f0a3f1+AUU9zP+mY6t/L1ps4JaouUzW37dk+JKds+jmmAzGFdTD"
DEMO_NOTE = (
    "hubaudit.example/demo\n70000\nSetbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w=\n\n\u2014 hubaudit.example/demo "
    "Q/Cj8bUbGKezHltjgtRfQ+oRnuwkJZYEgegXOR+r4OQRkWuopax37+sg+hrh2TDhmhM9Cp5G4VoHgEOmJcYNyWSs5QM=\n"
).encode()


def test_the_roots_are_the_known_ones() -> None:
    for size, wanted in enumerate(ROOTS, 1):
        assert naive_tree.root([leaf_hash(data) for data in LEAVES[:size]]).hex() == wanted
    assert node_hash(leaf_hash(b""), leaf_hash(b"\x00")).hex() == ROOTS[1]
    assert EMPTY_ROOT == naive_tree.root([])


def test_every_proof_of_every_small_tree_holds_and_no_other() -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(33)]
    roots = [naive_tree.root(leaves[:size]) for size in range(len(leaves) + 1)]
    for size in range(len(leaves) + 1):
        for index in range(size):
            path = naive_tree.path(index, leaves[:size])
            verify_inclusion(leaves[index], index, size, roots[size], path)
            refused(verify_inclusion, leaves[index], index ^ 1, size, roots[size], path)
            refused(verify_inclusion, leaves[index - 1] if index else b"\1" * 32, index, size, roots[size], path)
            refused(verify_inclusion, leaves[index], index, size, roots[size - 1], path)
            forgeries(verify_inclusion, path, leaves[index], index, size, roots[size])
        for old in range(size + 1):
            proof = naive_tree.proof(old, leaves[:size]) if old else []
            verify_consistency(old, roots[old], size, roots[size], proof)
            refused(verify_consistency, old, b"\1" * 32, size, roots[size], proof)
            if old:
                refused(verify_consistency, old, roots[old], size, b"\1" * 32, proof)
            forgeries(verify_consistency, proof, old, roots[old], size, roots[size])


def refused(verify, *arguments) -> None:
    with pytest.raises(EvidenceError):
        verify(*arguments)


def forgeries(verify, hashes: list[bytes], *arguments) -> None:
    refused(verify, *arguments, [*hashes, b"\0" * 32])
    for at in range(len(hashes)):
        refused(verify, *arguments, hashes[:at] + hashes[at + 1 :])
        refused(verify, *arguments, [*hashes[:at], hashes[at][:-1] + bytes([hashes[at][-1] ^ 1]), *hashes[at + 1 :]])
        refused(verify, *arguments, [*hashes[:at], hashes[at][:-1], *hashes[at + 1 :]])


def test_proofs_and_roots_of_pymerkle_hold() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    choose = random.Random(seed)
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(3_000):
        tree.append_entry(b"%d" % number)
    for _ in range(200):
        size = choose.randint(1, 3_000)
        old, index = choose.randint(1, size), choose.randrange(size)
        # Its paths begin with the leaf itself. Its consistency proofs are of another form, its roots are not.
        path = tree.prove_inclusion(index + 1, size).path[1:]
        verify_inclusion(leaf_hash(b"%d" % index), index, size, tree.get_root(size), path)
        refused(verify_inclusion, leaf_hash(b"x"), index, size, tree.get_root(size), path)
        proof = naive_tree.proof(old, [leaf_hash(b"%d" % number) for number in range(size)])
        verify_consistency(old, tree.get_root(old), size, tree.get_root(size), proof)


def test_notes_of_others_are_verified() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)
    text, _, lines = EXAMPLE_NOTE.rpartition(b"\n\n")
    signature = base64.b64decode(lines.split()[-1])
    assert signature[:4] == key.id
    assert key.has_signed(text + b"\n", signature[4:])
    assert not key.has_signed(text + b" \n", signature[4:])
    demo = Checkpoint.parse(DEMO_NOTE)
    assert (demo.origin, demo.size, demo.note) == ("hubaudit.example/demo", 70_000, DEMO_NOTE)
    demo.verify(DEMO_KEY)
    demo.verify([EXAMPLE_KEY, VerifierKey.parse(DEMO_KEY)])
    assert str(VerifierKey.parse(DEMO_KEY)) == DEMO_KEY
    with pytest.raises(EvidenceError, match=r"signed by hubaudit.example/demo\+43f0a3f1, not by example.com/foo\+530d903a"):
        demo.verify(EXAMPLE_KEY)


def test_a_changed_checkpoint_is_refused_wherever_it_was_changed() -> None:
    for at in range(len(DEMO_NOTE)):
        for bit in range(8):
            changed = DEMO_NOTE[:at] + bytes([DEMO_NOTE[at] ^ 1 << bit]) + DEMO_NOTE[at + 1 :]
            with pytest.raises(EvidenceError):
                Checkpoint.parse(changed).verify(DEMO_KEY)
        with pytest.raises(EvidenceError):
            Checkpoint.parse(DEMO_NOTE[:at]).verify(DEMO_KEY)


@pytest.mark.parametrize("text", [
    "log\n01\n{empty}\n", "log\n-1\n{empty}\n", "log\n\u0661\n{empty}\n", "log\n9223372036854775808\n{empty}\n", f"log\n{'9' * 5000}\n{{empty}}\n",
    "log\n1\n\n", "log\n1\nAA==\n", "log\n0\n{zero}\n", "log\n1\n", "\n1\n{zero}\n", "log\n1\n{zero}\n\nmore\n",
])  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    text = text.format(empty=base64.b64encode(EMPTY_ROOT).decode(), zero=base64.b64encode(bytes(32)).decode())
    with pytest.raises(EvidenceError):
        Checkpoint.parse(Signer("log").sign(text))


@pytest.mark.parametrize("change", [
    lambda key: "", lambda key: key[1:], lambda key: key.replace("+", ""), lambda key: key[:-4], lambda key: key + "+",
    lambda key: key.replace("43f0a3f1", "43F0A3F1"), lambda key: key.replace("43f0a3f1", "43f0a3f2"), lambda key: "a " + key,
    lambda key: key.replace("AUU9", "BEU9"),
])  # fmt: skip
def test_what_is_no_verifier_key_is_refused(change) -> None:
    with pytest.raises(ValueError, match="verifier key"):
        VerifierKey.parse(change(DEMO_KEY))


class Signer:
    """A log's key, made here."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.generate()
        public = b"\x01" + self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha256(name.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{name}+{self.id.hex()}+{base64.b64encode(public).decode()}"

    def sign(self, text: str, *others: "Signer") -> bytes:
        lines = [f"\u2014 {one.name} {base64.b64encode(one.id + one._key.sign(text.encode())).decode()}\n" for one in (self, *others)]
        return f"{text}\n{''.join(lines)}".encode()

    def checkpoint(self, leaves: list[bytes], *others: "Signer") -> Checkpoint:
        root = base64.b64encode(naive_tree.root(leaves)).decode()
        return Checkpoint.parse(self.sign(f"{self.name}\n{len(leaves)}\n{root}\n", *others))


def test_a_checkpoint_needs_one_good_signature_and_no_bad_one() -> None:
    old, new, stranger = Signer("log"), Signer("log"), Signer("other")
    both = old.checkpoint([leaf_hash(b"")], new, stranger)
    for keys in (old.vkey, new.vkey, [old.vkey, new.vkey], [stranger.vkey, new.vkey]):
        both.verify(keys)
    with pytest.raises(EvidenceError, match="of the log 'log'"):
        both.verify(stranger.vkey)
    *text, first, second, third, end = both.note.split(b"\n")
    # The new key's line with the signature of the old one.
    forged = base64.b64encode(new.id + base64.b64decode(first.split()[-1])[4:])
    bad = dataclasses.replace(both, note=b"\n".join([*text, first, b" ".join([*second.split()[:2], forged]), third, end]))
    bad.verify(old.vkey)
    with pytest.raises(EvidenceError, match="not good"):
        bad.verify([old.vkey, new.vkey])
    with pytest.raises(ValueError, match="no verifier key"):
        both.verify([])


def test_a_receipt_goes_through_a_file_and_vouches_for_its_header_alone() -> None:
    signer = Signer("log")
    headers = [b"\x09" + sequence.to_bytes(8, "little") + b"header" for sequence in range(11)]
    leaves = [leaf_hash(header) for header in headers]
    checkpoint = signer.checkpoint(leaves)
    for sequence, header in enumerate(headers):
        receipt = hubaudit.Receipt(sequence, header, tuple(naive_tree.path(sequence, leaves)), checkpoint)
        receipt.verify(signer.vkey)
        assert hubaudit.Receipt.parse(receipt.tlog_proof()) == receipt
        bare = receipt.tlog_proof(with_header=False)
        assert bare.startswith(f"c2sp.org/tlog-proof@v1\nindex {sequence}\n".encode()) and bare.endswith(b"\n\n" + checkpoint.note)
        assert hubaudit.Receipt.parse(bare, header=header) == receipt
        with pytest.raises(EvidenceError, match="pass the one"):
            hubaudit.Receipt.parse(bare)
        for wrong in (
            dataclasses.replace(receipt, header=header + b"."),
            dataclasses.replace(receipt, sequence=sequence ^ 1),
            dataclasses.replace(receipt, hashes=receipt.hashes[:-1]),
            dataclasses.replace(receipt, checkpoint=signer.checkpoint(leaves[::-1])),
        ):
            with pytest.raises(EvidenceError):
                wrong.verify(signer.vkey)
        with pytest.raises(EvidenceError):
            receipt.verify(Signer("log").vkey)
        for at in range(len(bare) - len(checkpoint.note)):
            with pytest.raises(EvidenceError):
                hubaudit.Receipt.parse(bare[:at], header=header)


def test_a_receipt_whose_header_is_that_of_another_position_is_refused() -> None:
    # Proved and signed: by a log that holds a record where another one belongs.
    header = b"\x09" + (1).to_bytes(8, "little") + b"header"
    leaves = [leaf_hash(header)]
    signer = Signer("log")
    receipt = hubaudit.Receipt(0, header, (), signer.checkpoint(leaves))
    verify_inclusion(leaves[0], 0, 1, naive_tree.root(leaves), [])
    with pytest.raises(EvidenceError, match="not that of record 0"):
        receipt.verify(signer.vkey)


def test_without_the_cryptography_package_the_error_says_what_to_install() -> None:
    # None in sys.modules makes an import fail as if there were no such package.
    program = f"""
import sys
sys.modules["cryptography"] = None
import hubaudit
for use in (lambda: hubaudit.Client("127.0.0.1:1", verifier_key={DEMO_KEY!r}), lambda: hubaudit.Checkpoint.parse({DEMO_NOTE!r}).verify({DEMO_KEY!r})):
    try:
        use()
    except ImportError as error:
        print(error)
"""
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert output.count("the extra hubaudit[verify]: pip install cryptography") == 2
