// Package api serves the HTTP API of ribd over fasthttp: look-ups, lists of
// routes, peers, loads, numbers.
//
// One request runs on its connection's goroutine from the first octet to the
// last, streamed bodies and answers too: fasthttp calls the WriteTo of a body,
// which reads what the client sent so far, answers that, and waits for the
// socket when the client does not read. There is no pipe, no second goroutine,
// and no buffer that grows with the table. What a connection needs (a reader of
// the RIB, buffers, parsed parameters) is a call, which is reused.
//
// Answers are put together from parts: the fields of an attribute set are
// rendered once and kept in a bounded cache, a peer's fields in another, and
// only the few fields of the path itself are written each time. Nothing holds a
// pin or a view of the RIB across a write to a socket: lists take a view, render
// a slice, close the view, write, and go on by key.
//
// The package owns listeners that it is given, its caches and counters. It is
// not the loader, nor what runs sessions, sends to peers and reads the
// configuration: engine plugs those in through Options.
package api
