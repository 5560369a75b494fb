package engine

import "ribd/engine/metrics"

// collect writes the metrics of what only the engine has at hand; the API
// writes those of sessions itself.
func (s *bgp) collect(w *metrics.Writer) {
	var sums metrics.UpdateGroups
	for _, g := range s.out.Groups() {
		sums.Groups++
		sums.Members += g.Members
		sums.Lagging += g.Lagging
		sums.Routes += g.Routes
		sums.Bytes += g.Memory
	}
	sums.Write(w)
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	for _, f := range set.Failures() {
		p := metrics.PolicyFailures{Policy: f.Policy, Term: f.Term, Count: f.Count}
		p.Write(w)
	}
	if s.journal != nil {
		st := s.journal.Stats()
		j := metrics.Journal{LogBytes: uint64(st.LogBytes), SnapshotBytes: uint64(st.SnapshotBytes), Writes: st.Writes, Broken: st.Broken}
		j.Write(w)
	}
}
