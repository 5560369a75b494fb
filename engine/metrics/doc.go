// Package metrics holds the counters of a running ribd and writes them in the
// Prometheus text format.
//
// Counters that a request touches are found once and then incremented by
// pointer: no name is built or looked up while serving. Sizes of the RIB and
// of memory are read when somebody asks for them. The names, all of them
// ribd_*, are listed in docs/metrics.md, and a test holds that list to what is
// written. It owns no goroutine.
package metrics
