// Package peertest runs real BGP daemons for tests: BIRD 2, FRR, OpenBGPD,
// GoBGP 3 and 4, ExaBGP. Each is a process of its own in a network namespace of
// its own, on a switch that belongs to the test (Net, Host), so that every
// router has port 179, addresses of both families, TCP MD5 and a TTL that
// counts, and a link that can be pulled.
// Nothing of the machine's configuration is read or changed.
//
// A Router is told what it is in one Config and shows what it holds as Routes,
// whatever its command line looks like: so a test says what arrives where, and
// runs with each daemon alike.
//
//	net := peertest.NewNet(t)
//	a, b := net.Host(), net.Host()
//	bird := peertest.Start(t, peertest.BIRD, a, peertest.Config{AS: 65001, …})
//	peertest.WaitRoutes(t, bird, "ipv4-unicast", want...)
//
// The daemons with Flow Spec are FlowSpec routers too: their rules are Rules, in
// numbers alone, which each takes and shows in words of its own (rule_*.go).
//
// Every wait is bounded and is for a condition. A daemon that is not installed
// skips the test, or fails it where RIBD_PEERS is "required" (Need). What a
// daemon cannot do at all is told by Can.
//
// The package is a leaf: it knows nothing of ribd. It works on Linux alone.
package peertest
