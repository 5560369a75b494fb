package engine

import (
	"net/netip"
	"reflect"
	"slices"

	"ribd/engine/config"
	"ribd/engine/flow"
	"ribd/engine/policy"
	"ribd/engine/session"
)

// importInput is all that decides what the import of a peer does: where it is
// the same, stored routes need not be judged again.
type importInput struct {
	name   string
	terms  config.Policy
	sets   map[string][]config.PrefixRange
	facts  policy.PeerFacts
	checks policy.Checks

	validation flow.Validation
}

func (i *importInput) equal(o *importInput) bool { return reflect.DeepEqual(i, o) }

// importInput collects it. s.mu is held.
func (s *bgp) importInput(ses *session.Session, c *config.Peer, facts *policy.PeerFacts) importInput {
	own := []uint32{s.cfg.AS}
	if !slices.Contains(own, ses.LocalAS) {
		own = append(own, ses.LocalAS)
	}
	in := importInput{name: c.Import, facts: *facts, validation: validations[c.FlowSpec]}
	in.checks = policy.Checks{
		LocalAS: own, AllowOwnAS: c.AllowOwnAS, RouterID: ses.LocalRouterID, ClusterID: ses.LocalRouterID,
		EnforceFirstAS: c.EnforceFirstAS, RejectASSets: c.RejectASSets,
		Own:      append([]netip.Addr{ses.Local.Addr().Unmap()}, s.own.all()...),
		Loopback: ses.Remote.Addr().Unmap().IsLoopback(),
	}
	if ses.LocalAS != s.cfg.AS && !c.LocalAS.NoPrepend {
		in.checks.Prepend = ses.LocalAS
	}
	if id := addrID(s.cfg.ClusterID); id != 0 {
		in.checks.ClusterID = id
	}
	if terms, ok := s.cfg.Policies[c.Import]; ok {
		in.terms = slices.Clone(terms)
		for i := range in.terms { // where a term stands in the file is not what it does
			t := &in.terms[i]
			t.Line, t.IfLine, t.IfCol, t.IfSource = 0, 0, 0, ""
		}
		in.sets = s.cfg.PrefixSets
	}
	return in
}
