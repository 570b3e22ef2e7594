// # MerkleTree
//
// Makes an append-only log verifiable with standard formats (RFC 6962, C2SP), so also with software of others. Everything here is a value
// or a pure function: no files, sockets, clock or global state. Imports only CAuditDigest (SHA-256, Ed25519, random bytes).
//
// ## Reading order
//
//   TreeHash            a SHA-256 hash: of a leaf (0x00 || bytes), of a node (0x01 || left || right)       RFC 6962, 2.1
//   CompactRange        the growing tree: append a leaf, get the root and the completed subtrees
//   TileHashReader      what a store must read, so that roots and proofs can be built
//   InclusionProof      leaf i is in the tree of size n                                                    RFC 9162, 2.1.3
//   ConsistencyProof    the tree of size n begins with the tree of size m                                  RFC 9162, 2.1.4
//   Tile, TileLevel     the files of a tiled log, their paths, and which of them exist                     C2SP tlog-tiles
//   EntryBundle         the content of an entries tile
//   SignedNote          text and signatures; VerifierKey is the public key, SignerKey the private key      C2SP signed-note
//   Checkpoint          origin, size and root; SignedCheckpoint is the note around it                      C2SP tlog-checkpoint
//   NoteSignature       a signature line; a witness's line has a time                                      C2SP tlog-cosignature
//   TlogProof           the offline receipt for one leaf                                                   C2SP tlog-proof
//   TrustPolicy         which logs and how many witnesses must have signed                                 C2SP tlog-policy
//   AddCheckpointRequest   what a log sends to a witness                                                   C2SP tlog-witness
//   EvidenceError       why any of these is invalid: a code and a sentence
//
// ## How a log uses it
//
//   var tree = CompactRange()
//   tree.append(contentsOf: headers.map { .leaf($0) }) { level, index, hashes in
//     // If level is a multiple of 8, these are hashes `index`... of tile level `level / 8`. Append them to one file per tile level: each
//     // 8,192 bytes of it are a tile, and a partial tile is the end of the file.
//   }
//   let checkpoint = try Checkpoint(origin: origin, size: tree.size, root: tree.root)
//   let signed = try SignedCheckpoint(checkpoint, signedBy: [key])
//
// After a restart, `CompactRange(size:reading:)` restores the tree from at most 64 subtrees of the tiles.
// `InclusionProof(index:treeSize:reading:)` and `ConsistencyProof(oldSize:newSize:reading:)` build proofs for any size up to the current
// one.
//
// ## Rules
//
//   A parser accepts only what the formatter of the same type writes. Numbers are decimal without leading zeros, base64 is padded and
//   canonical, every line ends in a newline.
//   Names are compared as bytes. Swift's String treats canonically equivalent names as equal; their signatures differ.
//   A parser verifies nothing. `verify` throws for invalid evidence, so no caller can ignore a returned Bool.
//   Signatures of unknown keys are ignored. One invalid signature of a known key rejects the note.
//   Sizes and indices are UInt64: leaf i is the record with sequence i.
