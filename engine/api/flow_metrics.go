package api

import (
	"ribd/engine/flow"
	"ribd/engine/metrics"
	"ribd/shard/rib"
)

// collectFlow writes the counts of Flow Spec rules. Values of one name stand
// together, as the text format wants it.
func collectFlow(w *metrics.Writer, s flow.Stats) {
	for i := range s.Families {
		f := &s.Families[i]
		w.Gauge("ribd_flowspec_rules", uint64(max(0, f.Active)), "family", f.Family.String(), "state", "active")
		w.Gauge("ribd_flowspec_rules", uint64(max(0, f.Rules-f.Active)), "family", f.Family.String(), "state", "inactive")
	}
	for i := range s.Families {
		f := &s.Families[i]
		for _, r := range [...]rib.FilterReason{rib.FilterNoDestination, rib.FilterNoUnicast, rib.FilterOriginator, rib.FilterMoreSpecific} {
			w.Gauge("ribd_flowspec_invalid_paths", uint64(max(0, f.Invalid[r])), "family", f.Family.String(), "reason", r.String())
		}
	}
	w.Counter("ribd_flowspec_validations_total", s.Evaluations)
	w.Counter("ribd_flowspec_revalidations_total", s.Revalidations)
	w.Counter("ribd_flowspec_validity_changes_total", s.Changes)
}
