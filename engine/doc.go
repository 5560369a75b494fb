// Package engine puts ribd together: configuration, tables, sessions, policies,
// what peers are sent, loader and API, and the order in which they start and
// stop.
//
// Start binds the API's listeners first, so that a second instance fails at
// once and touches nothing, then opens the tables, compiles the policies, starts
// the sessions, serves, and loads in the background: look-ups are answered from
// the first route on, and readiness says when the start's loads are over and the
// configured peers have sent what they have. Shutdown goes the other way:
// sessions end, the listeners close, requests that run end, the load that runs is
// cut off, the tables are given back.
//
// The packages below know nothing of each other; the adapters here (bgp.go,
// peers.go, loads.go) plug them together. A reload (reload.go) changes what runs
// into what the file says now.
//
// It owns the process's memory limit while it runs: the tables lie outside the
// Go heap, so the limit that Go's collector works towards is lowered by them as
// they grow.
package engine
