package metrics

import "strconv"

// UpdateGroups is the sums over the update groups: peers that are sent the same
// share one, which decides and encodes once for all of them.
type UpdateGroups struct {
	Groups  int
	Members int    // peers in them
	Lagging int    // of those: behind the others, in the initial sync or slow
	Routes  int    // of all groups' Adj-RIBs-Out
	Bytes   uint64 // of memory
}

// Write writes the sums.
func (u *UpdateGroups) Write(w *Writer) {
	w.Gauge("ribd_update_groups", uint64(u.Groups))
	w.Gauge("ribd_update_group_members", uint64(u.Members))
	w.Gauge("ribd_update_group_lagging_members", uint64(u.Lagging))
	w.Gauge("ribd_update_group_routes", uint64(u.Routes))
	w.Gauge("ribd_update_group_bytes", u.Bytes)
}

// PolicyFailures counts how often the condition of a term could not be judged.
type PolicyFailures struct {
	Policy string
	Term   int // from 1
	Count  uint64
}

// Write writes the count.
func (p *PolicyFailures) Write(w *Writer) {
	w.Counter("ribd_policy_failures_total", p.Count, "policy", p.Policy, "term", strconv.Itoa(p.Term))
}
