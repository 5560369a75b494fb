package flow

import (
	"fmt"
	"sync"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Validation is how the rules of a peer are validated.
type Validation uint8

// How rules are validated.
const (
	Strict        Validation = iota // RFC 8955 section 6, RFC 9117
	NoDestination                   // the same, but a rule without destination prefix is feasible
	Off                             // every rule is feasible
)

// String names it as the configuration does.
func (v Validation) String() string {
	switch v {
	case Strict:
		return "strict"
	case NoDestination:
		return "no-destination"
	case Off:
		return "off"
	}
	return fmt.Sprintf("validation-%d", uint8(v))
}

// Filter returns a filter that asks next, and then validates the Flow Spec rules
// that next accepts; next nil accepts everything. It is for the routes of one
// session (not of a recording or a monitor), and for any goroutine but one that
// holds a pin of its own for long.
func (t *Tables) Filter(next rib.Filter, v Validation) rib.Filter {
	return &filter{t, next, v}
}

type filter struct {
	t    *Tables
	next rib.Filter
	mode Validation
}

// Set is of rib.Filter. Whether a rule is feasible depends on its destination: what
// is not refused yet has to be judged route by route.
func (f *filter) Set(fam wire.Family, from rib.PeerNum, attrs rib.AttrID) (rib.Verdict, bool) {
	v, final := rib.Verdict{Attrs: attrs}, true
	if f.next != nil {
		v, final = f.next.Set(fam, from, attrs)
	}
	if f.mode == Off || !flowspec.Is(fam) || final && v.Filtered != rib.FilterNone {
		return v, final
	}
	return rib.Verdict{}, false
}

// Route is of rib.Filter.
func (f *filter) Route(fam wire.Family, rd uint64, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	v := f.policy(fam, rd, k, n, p)
	if v.Filtered != rib.FilterNone || f.mode == Off || !flowspec.Is(fam) {
		return v
	}
	if why := f.t.validate(fam, k, p, f.mode); why != rib.FilterNone {
		return rib.Verdict{Attrs: p.Attrs, Filtered: why}
	}
	return v
}

// policy is what next says of a route.
func (f *filter) policy(fam wire.Family, rd uint64, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	if f.next == nil {
		return rib.Verdict{Attrs: p.Attrs}
	}
	if v, final := f.next.Set(fam, p.Peer, p.Attrs); final {
		return v
	}
	return f.next.Route(fam, rd, k, n, p)
}

// validate works the verdict on a rule out for the routes that there are now.
func (t *Tables) validate(fam wire.Family, k trie.Key, p *rib.Path, mode Validation) rib.FilterReason {
	s := subject{family: fam, mode: mode}
	var ok bool
	if s.nlri, ok = t.rib.RawNLRI(k); !ok {
		return rib.FilterNoUnicast
	}
	if s.peer, ok = t.rib.Peer(p.Peer); !ok {
		return rib.FilterNoUnicast
	}
	s.attrs, _ = t.attrs.Bytes(p.Attrs)
	rd := t.readers.get()
	defer t.readers.put(rd)
	rd.Pin()
	defer rd.Unpin()
	why, _ := t.evaluate(rd, nil, &s)
	return why
}

// decided is a filter that knows some verdicts already: those of the goroutine that
// follows. A path that has become another one since is validated as usual.
type decided struct {
	*filter
	verdicts map[pathKey]rib.FilterReason
}

// pathKey is a path of a rule, and what it came with.
type pathKey struct {
	k         trie.Key
	peer      rib.PeerNum
	pathID    uint32
	hasPathID bool
	attrs     rib.AttrID
}

// Route is of rib.Filter.
func (d *decided) Route(fam wire.Family, rd uint64, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	why, ok := d.verdicts[pathKey{k, p.Peer, p.PathID, p.HasPathID, p.Attrs}]
	if !ok {
		return d.filter.Route(fam, rd, k, n, p)
	}
	v := d.policy(fam, rd, k, n, p)
	if v.Filtered == rib.FilterNone && why != rib.FilterNone {
		return rib.Verdict{Attrs: p.Attrs, Filtered: why}
	}
	return v
}

// readers lends readers of the RIB, one at a time to each who asks.
type readers struct {
	rib    *shard.RIB
	mu     sync.Mutex
	free   []*shard.Reader
	closed bool
}

func (r *readers) get() *shard.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		rd := r.free[n-1]
		r.free = r.free[:n-1]
		return rd
	}
	return r.rib.NewReader()
}

func (r *readers) put(rd *shard.Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		rd.Close()
		return
	}
	r.free = append(r.free, rd)
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, rd := range r.free {
		rd.Close()
	}
	r.free = nil
}
