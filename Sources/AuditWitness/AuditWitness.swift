// # AuditWitness
//
// Both ends of C2SP tlog-witness: a witness keeps, on another machine, the largest checkpoint that it has seen of a log, and signs it
// ("cosigns") when it continues the one before. Who holds a cosigned checkpoint knows that the log cannot show anybody else another past
// without the witness, and a log that was rolled back to an older copy is refused by it.
//
// ## The witness (`hubaudit witness`)
//
//   Witness             the rules: a request's body in, an answer out; one log at a time under a lock
//   WitnessDirectory    what it remembers: one file for each log, replaced whole and synced before an answer goes out
//   WitnessServer       HTTP around them: POST /add-checkpoint, GET /<sha256 of the origin>/checkpoint
//
// ## The log (`hubaudit serve --witnesses POLICY`)
//
//   CosignatureRounds      which checkpoint goes to which witness, when to try again, when to publish: a value without I/O
//   WitnessReply           what a witness' answer means; its cosignature is verified here
//   WitnessConnection      one POST over HTTP, with a deadline
//   CosignatureCollector   runs the rounds: hears of new checkpoints, submits them, publishes them with the cosignatures
//
// A witness is never waited for: checkpoints are signed and stored without it, and stored again with what it adds, also when there are newer
// ones by then. Over the wire the newest is shown. Who trusts a log only with its witnesses takes what HTTP and receipts show: where the
// policy has a quorum, the newest checkpoint that has it, and where it has none, the newest.
// What goes over the network is signed and public, so the connection need not be trusted; it is plain HTTP.
//
// Imports AuditLog (checkpoints and proofs of the log), MerkleTree and SwiftNIO.
