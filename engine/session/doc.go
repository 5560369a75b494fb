// Package session keeps the BGP sessions: listeners and calls, the options of
// sockets (MD5 of RFC 2385, TTL security of RFC 5082), collisions (RFC 4271
// section 6.8), timers, and each peer's life from configuration to removal.
//
// It carries out what the pure machine of engine/fsm says, and gives what a
// peer sends to engine/ingest. It owns who a peer is over the sessions: its
// number in the tables, what is kept for it while it restarts (RFC 4724, RFC
// 8538, RFC 9494), its history, and what the API shows of it. It does not know
// what is sent to a peer but its own messages: whoever sends UPDATEs gets a
// Session by Hooks.Up and uses TrySend and Send.
//
// A peer that is down costs no goroutine, but timers. A connection has one
// goroutine, which reads, parses and takes in without a hand-over; a second one
// runs only while the socket is full. A peer's mutex guards its machines; it
// is not taken on the way of an UPDATE.
//
// Peers are hostile: what a connection may cost before its OPEN, how many may
// wait, how long they may take, and what is buffered for a peer that does not
// read are bounded.
package session
