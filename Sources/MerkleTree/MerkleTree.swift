// # MerkleTree
//
// Makes an append-only log checkable by anybody, with software that its authors did not write. Everything here is a value or a
// function of values: no files, no sockets, no clock, no global state. Imports CAuditDigest (SHA-256, Ed25519, randomness) and nothing
// else.
//
// ## Reading order
//
//   TreeHash            a SHA-256 hash: of a leaf (0x00 || bytes), of a node (0x01 || left || right)       RFC 6962, 2.1
//   CompactRange        the tree while it grows: append a leaf, ask for the root, hand out completed subtrees
//   TileHashReader      what a store must be able to read, so that roots and proofs can be built from it
//   InclusionProof      leaf i is in the tree of size n                                                    RFC 9162, 2.1.3
//   ConsistencyProof    the tree of size n begins with the tree of size m                                  RFC 9162, 2.1.4
//   Tile, TileLevel     the files that a tiled log serves, their paths, which of them exist                C2SP tlog-tiles
//   EntryBundle         the content of an entries tile
//   SignedNote          text and signatures; VerifierKey and SignerKey are the halves of a key             C2SP signed-note
//   Checkpoint          origin, size and root; SignedCheckpoint is the note around it                      C2SP tlog-checkpoint
//   NoteSignature       a signature line; a witness' carries a time                                        C2SP tlog-cosignature
//   TlogProof           the offline receipt for one leaf                                                   C2SP tlog-proof
//   TrustPolicy         which logs and how many witnesses must have signed                                 C2SP tlog-policy
//   AddCheckpointRequest   what a log sends to a witness                                                   C2SP tlog-witness
//   EvidenceError       everything that can be wrong with any of these: a code and a sentence
//
// ## How a log uses it
//
//   var tree = CompactRange()
//   tree.append(contentsOf: headers.map { .leaf($0) }) { level, index, hashes in
//     // Where level is a multiple of 8: the hashes from number `index` on of tile level `level / 8`. Appended to one flat file for each
//     // tile level, they are the tiles, 8,192 bytes each; a partial tile is the file's end.
//   }
//   let checkpoint = try Checkpoint(origin: origin, size: tree.size, root: tree.root)
//   let signed = try SignedCheckpoint(checkpoint, signedBy: [key])
//
// After a restart `CompactRange(size:reading:)` takes the tree from the tiles, at the cost of at most 64 subtrees, and
// `InclusionProof(index:treeSize:reading:)` and `ConsistencyProof(oldSize:newSize:reading:)` build proofs for any size up to it.
//
// ## Rules
//
//   A parser takes exactly what the formatter of the same type writes, and nothing else: one spelling for each thing. Numbers are decimal
//   without leading zeros, base64 is padded and canonical, every line ends in a newline.
//   Names are compared as bytes: to Swift's String two canonically equivalent names are equal, to a signature they are not.
//   A parser verifies nothing; `verify` does, and returns or throws. There is no Bool to forget.
//   Signatures of unknown keys are passed over; one bad signature of a known key rejects the note.
//   Sizes and indices are UInt64: leaf i is the record with sequence i.
