// Package ribd is a routing table to embed: it loads BGP dumps (MRT) into a
// sharded copy-on-write RIB and answers longest matches on it, with every path
// of every peer and its attributes. It builds, writes and reads UPDATE messages
// and Flow Spec rules, too.
//
//	t, err := ribd.Open(ribd.Options{})
//	…
//	defer t.Close()
//	_, err = t.Load(ctx, "rib.mrt.gz", ribd.LoadOptions{})
//	…
//	v := t.View()
//	defer v.Close()
//	r, ok := v.Lookup(netip.MustParseAddr("192.0.2.1"))
//	fmt.Println(r.Prefix(), r.Best().Attributes().ASPath)
//
// There are two ways to ask. A View is a snapshot: it keeps what it saw while
// others load, and it walks. A Reader looks up in the latest state, never
// waits for a loader and allocates nothing; its answers are small values
// that may be kept.
//
// Memory: tables and attributes lie outside the Go heap, in address space that
// is reserved by Open and taken as it fills. What a Route or Path gives out is
// copied and may be kept; a Route itself reads its View and ends with it.
//
// # Messages and rules
//
// Update.Encode writes what a program wants to announce or withdraw as UPDATE
// messages, DecodeUpdates reads them, with an error that says which octet is
// malformed by which RFC. A FlowRule is a Flow Specification: read from text
// (ParseFlowRule) or from an NLRI (DecodeFlowRule), made into one
// (FlowRule.NLRI), its actions written into attributes
// (Attributes.SetFlowActions). A Matcher finds, among many rules, those that a
// packet matches.
//
// The package brings in neither an HTTP server nor policies nor sessions: those
// are in cmd/ribd, on the same tables.
package ribd
