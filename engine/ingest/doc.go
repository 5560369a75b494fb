// Package ingest is the way of a peer's UPDATEs into the RIB: it takes messages
// apart, interns their attributes, has import policy judge them, and hands the
// routes to the shards.
//
// A [Peer] is one number of a peer in the RIB, for as long as it has that
// number. Sessions come and go under it: Start begins one, Updates takes in what
// it reads, Retain says that it has ended and which families outlive it (RFC
// 4724, RFC 9494). A message is handled as a whole:
//
//	parse in place ──▶ intern once ──▶ judge once ──▶ one operation a route
//	package wire       rib.Attrs       rib.Filter     shard.Fan
//
// What RFC 7606 asks for is done here: a discarded attribute is counted, a
// message that is to be treated as a withdrawal takes its routes away, and what
// resets the session is handed back with nothing of the message applied.
//
// A Flow Spec rule is stored under its canonical octets (RFC 8955 section 4); one
// that is malformed inside makes its message a withdrawal.
//
// A [Router] is the part that recordings share: it knows where an NLRI of any
// family belongs, and makes operations of the routes of an UPDATE.
//
// It owns no socket, timer or goroutine, and decides nothing about a session:
// what a limit that is passed or a malformed message means there is package
// session's to say.
package ingest
