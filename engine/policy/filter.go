package policy

import (
	"strconv"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Export is what a peer is sent. Filters with equal keys give equal verdicts for
// equal routes, as long as they ask the same of whose a route is: also those of
// another Set, after a reload.
type Export interface {
	rib.Filter
	Key() string
}

// fixed is a policy without conditions: the same verdict for all.
type fixed struct {
	reason rib.FilterReason
	key    string
}

// Set is of rib.Filter.
func (f fixed) Set(_ wire.Family, _ rib.PeerNum, attrs rib.AttrID) (rib.Verdict, bool) {
	return rib.Verdict{Attrs: attrs, Filtered: f.reason}, true
}

// Route is of rib.Filter.
func (f fixed) Route(_ wire.Family, _ uint64, _ trie.Key, _ uint8, p *rib.Path) rib.Verdict {
	return rib.Verdict{Attrs: p.Attrs, Filtered: f.reason}
}

// Key is of Export.
func (f fixed) Key() string { return f.key }

// fixedFor returns the policy that needs no conditions: "" is RFC 8212, so that
// an external peer without a policy has no routes.
func (s *Set) fixedFor(name string, internal bool) (fixed, bool) {
	switch {
	case name == AcceptAll, name == "" && internal:
		return fixed{rib.FilterNone, AcceptAll}, true
	case name == RejectAll:
		return fixed{rib.FilterPolicy, RejectAll}, true
	case name == "":
		return fixed{rib.FilterNoPolicy, "none"}, true
	case s.policies[name] == nil:
		return fixed{rib.FilterPolicy, RejectAll}, true // the configuration allows no such name
	}
	return fixed{}, false
}

// importFilter judges what one peer brings in.
type importFilter struct {
	checks *checker
	core   *core // nil: fixed
	near   memo
	fixed  fixed
}

// Import makes the filter of what a peer brings in: the checks, then a policy.
// name is as the configuration has it; with "", an external peer brings in
// nothing and an internal one all (RFC 8212).
func (s *Set) Import(name string, peer PeerFacts, c Checks) rib.Filter {
	f := &importFilter{checks: newChecker(s.attrs, &peer, c, &s.room)}
	var ok bool
	if f.fixed, ok = s.fixedFor(name, peer.Internal); !ok {
		f.core, _ = s.core(s.policies[name], &peer, nil)
	}
	return f
}

// Set is of rib.Filter.
func (f *importFilter) Set(fam wire.Family, from rib.PeerNum, attrs rib.AttrID) (rib.Verdict, bool) {
	id, why := f.checks.check(fam, attrs)
	if why != rib.FilterNone {
		return rib.Verdict{Attrs: attrs, Filtered: why}, true
	}
	v, final := rib.Verdict{Attrs: id, Filtered: f.fixed.reason}, true
	if f.core != nil {
		v, final = f.core.set(&f.near, fam, from, id)
	}
	if v.Filtered != rib.FilterNone {
		v.Attrs = attrs
	}
	return v, final
}

// Route is of rib.Filter.
func (f *importFilter) Route(fam wire.Family, rd uint64, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	id, why := f.checks.checkRoute(fam, p.Attrs)
	if why != rib.FilterNone {
		return rib.Verdict{Attrs: p.Attrs, Filtered: why}
	}
	if f.core == nil {
		if f.fixed.reason != rib.FilterNone {
			id = p.Attrs
		}
		return rib.Verdict{Attrs: id, Filtered: f.fixed.reason}
	}
	q := *p
	q.Attrs = id
	v := f.core.route(&f.near, fam, k, n, &q)
	if v.Filtered != rib.FilterNone {
		v.Attrs = p.Attrs
	}
	return v
}

// exportFilter judges what one kind of peer is sent.
type exportFilter struct {
	core *core
	near memo
	key  string
}

// Export makes the filter of what a peer is sent. from says whose routes of a
// peer number are: the same pointer for as long as the facts are the same, nil
// where nothing is known. With the name "", an external peer is sent nothing and
// an internal one all (RFC 8212).
func (s *Set) Export(name string, to PeerFacts, from func(rib.PeerNum) *PeerFacts) Export {
	if f, ok := s.fixedFor(name, to.Internal); ok {
		return f
	}
	if from == nil {
		from = func(rib.PeerNum) *PeerFacts { return nil }
	}
	c, key := s.core(s.policies[name], &to, from)
	return &exportFilter{core: c, key: key}
}

// WithSources returns an export filter whose key tells apart the states of what
// is known of sources, where its policy looks at that: after a change of such
// facts it gives other verdicts for the same routes. e is not to be used on.
func WithSources(e Export, state uint64) Export {
	if f, ok := e.(*exportFilter); ok && state != 0 && f.core.usesFrom {
		f.key += "\x00" + strconv.FormatUint(state, 10)
	}
	return e
}

// Set is of rib.Filter.
func (f *exportFilter) Set(fam wire.Family, from rib.PeerNum, attrs rib.AttrID) (rib.Verdict, bool) {
	return f.core.set(&f.near, fam, from, attrs)
}

// Route is of rib.Filter.
func (f *exportFilter) Route(fam wire.Family, _ uint64, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	return f.core.route(&f.near, fam, k, n, p)
}

// Key is of Export.
func (f *exportFilter) Key() string { return f.key }
