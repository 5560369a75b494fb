// Package engine puts ribd together: configuration, tables, loader and API,
// and the order in which they start and stop.
//
// Start binds every listener first, so that a second instance fails at once
// and touches nothing, then opens the tables, serves, and loads in the
// background: look-ups are answered from the first route on, and readiness
// says when the start's loads are over. Shutdown goes the other way: the
// listeners close, requests that run end, the load that runs is cut off, the
// tables are given back.
//
// It owns the process's memory limit while it runs: the tables lie outside the
// Go heap, so the limit that Go's collector works towards is lowered by them as
// they grow.
package engine
