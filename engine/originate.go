package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ribd/engine/adjout"
	"ribd/engine/api"
	"ribd/engine/config"
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/engine/policy"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// startOrigin puts what was originated before into the tables. The sessions
// have not begun.
func (s *bgp) startOrigin() (err error) {
	o := origin.Options{
		RIB: s.rib, Log: s.log, AS: s.cfg.AS, RouterID: addrID(s.cfg.RouterID), Guards: guardsOf(s.cfg),
		Own: func() []netip.Addr { return s.guarded.addresses(s) }, Source: s.localSource, Gone: s.gone, ID: flow.RuleID,
	}
	if s.store != nil {
		if s.journal, err = s.store.Journal(s.log); err != nil {
			return err
		}
		o.Journal = s.journal
	}
	s.origin, err = origin.New(o)
	return err
}

// localSource is told of a source of routes that are originated here, and of the
// only peers that may be sent them.
func (s *bgp) localSource(n rib.PeerNum, only []string) {
	s.facts.Store(n, &policy.PeerFacts{ID: origin.PeerID(), Name: "local", Source: rib.SourceLocal})
	src := adjout.Source{}
	if only == nil {
		s.local.Store(uint32(n))
	} else {
		src.Only = make(map[string]struct{}, len(only))
		for _, id := range only {
			src.Only[id] = struct{}{}
		}
	}
	s.out.SetSource(n, src)
}

// guardsOf is the guards of a configuration.
func guardsOf(c *config.Config) origin.Guards {
	g := origin.Guards{
		Protected: c.Guards.Protected, MinLength4: c.Guards.MinLength4, MinLength6: c.Guards.MinLength6,
		MaxRules: c.Guards.MaxRules, MaxRulesPerPeer: c.Guards.MaxRulesPerPeer,
		MaxTTL: c.Guards.MaxTTL, DefaultTTL: c.Guards.DefaultTTL,
	}
	for _, m := range c.Blackhole.Communities {
		if v, ok := m.Value(); ok {
			g.Blackhole = append(g.Blackhole, v)
		}
	}
	for _, a := range []netip.Addr{c.Blackhole.NextHop4, c.Blackhole.NextHop6} {
		if a.IsValid() {
			g.NextHops = append(g.NextHops, a)
		}
	}
	return g
}

// validations is the words of the configuration in the terms of who carries them
// out.
var validations = [...]flow.Validation{
	config.FlowSpecStrict: flow.Strict, config.FlowSpecNoDestination: flow.NoDestination, config.FlowSpecOff: flow.Off,
}

var redirects = [...]flowspec.RedirectForm{
	config.FlowSpecRedirectCommunity: flowspec.RedirectCommunity, config.FlowSpecRedirectNextHop: flowspec.RedirectNextHop,
}

// importNow is the import filter of a peer as of now, nil where it has none.
func (s *bgp) importNow(n rib.PeerNum) rib.Filter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.imports[n].filter
}

// told waits until what was flushed is with the peers, and tells of every route
// what became of it at each (api.Announcing).
func (s *bgp) told(ctx context.Context, routes []origin.Route, results []origin.Result, each func(i int, peers []api.PeerAnswer)) {
	mark := s.rib.Mark(nil)
	// Where ctx ends, what is known is answered: the rest is queued.
	_ = s.out.Told(ctx, mark)
	if len(routes) == 0 || slices.ContainsFunc(routes, func(r origin.Route) bool { return flowspec.Is(r.Family) }) {
		_ = s.flow.Wait(ctx, mark)
	}
	if len(results) == 0 {
		return
	}
	briefs := s.sessions.Briefs(nil)
	at := make(map[string]int, len(briefs))
	blank := make([]api.PeerAnswer, len(briefs))
	for i, b := range briefs {
		at[b.ID] = i
		blank[i] = api.PeerAnswer{Peer: b.Address.String(), PeerID: b.ID, State: api.PeerQueued, Reason: "the session has just come up"}
		if b.Session == nil {
			blank[i].State, blank[i].Reason = api.PeerDown, b.State.String()
			if b.Reason != "" {
				blank[i].Reason += ": " + b.Reason
			}
		}
	}
	var verdicts []adjout.Verdict
	answers := make([]api.PeerAnswer, len(blank))
	for i := range results {
		r := &results[i]
		if r.Err != nil {
			continue
		}
		copy(answers, blank)
		verdicts = s.out.Explain(r.Table, r.Key, r.Len, r.Num, routes[i].PathID, routes[i].HasPathID, verdicts[:0])
		for _, v := range verdicts {
			if j, ok := at[v.ID]; ok && blank[j].State != api.PeerDown {
				a := &answers[j]
				a.State, a.Reason, a.PathID, a.HasPathID = peerStates[v.State], v.Reason, v.PathID, v.HasPathID
			}
		}
		each(i, answers)
	}
}

// peerStates is what adjout says in the API's terms.
var peerStates = [...]api.PeerState{adjout.Sent: api.PeerSent, adjout.Queued: api.PeerQueued, adjout.Refused: api.PeerRefused}

// errPeerDown is why a peer that is down has no preview.
var errPeerDown = errors.New("its session is not established, and what it would be sent depends on what is negotiated; leave peer= out for plain EBGP")

// preview answers the messages that a peer would be sent (api.Announcing).
func (s *bgp) preview(peerID string, routes []api.PreviewRoute) ([]byte, []api.PreviewRefusal, error) {
	t, err := s.previewTarget(peerID, routes)
	if err != nil {
		return nil, nil, err
	}
	var refused []api.PreviewRefusal
	in := make([]adjout.PreviewRoute, 0, len(routes))
	index := make([]int, 0, len(routes))
	for i := range routes {
		r := &routes[i]
		if peerID != "" && len(r.Peers) > 0 && !slices.Contains(r.Peers, peerID) {
			refused = append(refused, api.PreviewRefusal{Index: i, Reason: "not one of its peers"})
			continue
		}
		p := adjout.PreviewRoute{
			Family: r.Family, RD: r.RD, NLRI: []byte(r.NLRI), Labels: r.Labels, Attrs: r.Attrs, From: rib.PeerNum(s.local.Load()),
			PathID: r.PathID, HasPathID: r.HasPathID, Withdraw: r.Withdraw,
		}
		if r.Prefix.IsValid() {
			p.Key, p.Len = trie.PrefixKey(r.Prefix)
		}
		in, index = append(in, p), append(index, i)
	}
	messages, no, err := s.out.Preview(t, in)
	for _, n := range no {
		refused = append(refused, api.PreviewRefusal{Index: index[n.Index], Reason: n.Reason})
	}
	slices.SortFunc(refused, func(a, b api.PreviewRefusal) int { return a.Index - b.Index })
	return messages, refused, err
}

// previewTarget is a peer with a session, or for "" a plain external one.
func (s *bgp) previewTarget(peerID string, routes []api.PreviewRoute) (adjout.Target, error) {
	if peerID != "" {
		st, err := s.sessions.Peer(peerID)
		if err != nil {
			return adjout.Target{}, refusedOperation(err)
		}
		if st.Session != nil {
			if m, ok := st.Session.User().(*adjout.Member); ok {
				return m.Target(), nil
			}
		}
		return adjout.Target{}, fmt.Errorf("peer %s: %w", st.Address, errPeerDown)
	}
	s.mu.Lock()
	cfg, set := s.cfg, s.set
	s.mu.Unlock()
	if cfg.AS == 0 {
		return adjout.Target{}, errors.New("the configuration has no as, this router's own AS number, to be prepended for an external peer")
	}
	t := adjout.Target{
		Name: "plain EBGP", AS: cfg.AS, RouterID: addrID(cfg.RouterID), NextHop4: cfg.RouterID, ExtendedNextHop: wire.AllFamilies(),
		Send: wire.SendOptions{AS4: true}, Export: set.Export("accept-all", policy.PeerFacts{}, s.from),
	}
	for i := range routes {
		if f := routes[i].Family; !slices.Contains(t.Families, f) {
			t.Families = append(t.Families, f)
		}
	}
	return t, nil
}
