// # AuditWitness
//
// Both sides of C2SP tlog-witness. A witness runs on another machine. It remembers the largest checkpoint it has seen of a log, and signs
// ("cosigns") a newer one only if that extends it. So a log cannot show different histories to different readers of cosigned checkpoints,
// and a witness refuses a log that was restored from an older copy.
//
// ## The witness (`hubaudit witness`)
//
//   Witness             the rules: takes a request's body, returns an answer; one lock per log
//   WitnessDirectory    its memory: one file per log, replaced atomically and synced before the answer is sent
//   WitnessServer       HTTP around them: POST /add-checkpoint, GET /<sha256 of the origin>/checkpoint
//
// ## The log (`hubaudit serve --witnesses POLICY`)
//
//   CosignatureRounds      decides which witness gets which checkpoint, when to retry and when to publish; a value without I/O
//   WitnessReply           interprets a witness's answer and verifies its cosignature
//   WitnessConnection      one POST over HTTP or HTTPS, with a deadline
//   WitnessTrust           the roots that witnesses' certificates are verified with
//   CosignatureCollector   runs the rounds: submits new checkpoints and publishes them with their cosignatures
//
// The log never waits for a witness. A checkpoint is signed and stored without cosignatures, and stored again with them, even if a newer
// one exists by then. The frame protocol shows the newest checkpoint. HTTP and receipts show the newest one with a quorum; if the policy
// has no quorum, the newest. All that is sent is signed and public, so plain HTTP will do; TLS keeps others on the way from
// blocking some of it unseen.
//
// Imports AuditLog (checkpoints and proofs of the log), AuditHTTP, AuditTLS, MerkleTree and SwiftNIO.
