package ribd

import (
	"iter"
	"net/netip"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// View is a snapshot of a table: what it shows stays as it was when it was
// taken, whatever is loaded meanwhile. It costs memory for what has changed
// since, so Close it; one that is held too long, or of which there are too
// many, is ended (see Options and Err). A View is for one goroutine at a time.
type View struct {
	t    *Table
	view *shard.View
}

// View takes a snapshot.
func (t *Table) View() *View { return &View{t: t, view: t.rib.View()} }

// Close gives the snapshot up, and the Routes that came out of it.
func (v *View) Close() { v.view.Close() }

// Version names the content of the snapshot.
func (v *View) Version() string { return v.view.Version() }

// Err is not nil where the limits of Options have ended the view: it finds
// nothing then.
func (v *View) Err() error { return v.view.Err() }

// Route is a prefix and its paths, as a View shows them. It reads the View and
// ends with it. The zero value is no route.
type Route struct {
	v *View
	m shard.Match
}

// tableOf returns the unicast table that an address is in. IPv4-mapped
// addresses count as IPv4.
func tableOf(a netip.Addr) (rib.TableID, trie.Key, uint8) {
	if a = a.Unmap(); a.Is4() {
		return rib.TableIPv4Unicast, trie.KeyOf(a), 32
	}
	return rib.TableIPv6Unicast, trie.KeyOf(a), 128
}

// Lookup returns the longest match of an address; ok is false where there is
// none, and for an address that is not valid.
func (v *View) Lookup(a netip.Addr) (r Route, ok bool) {
	if !a.IsValid() {
		return Route{}, false
	}
	t, k, n := tableOf(a)
	m := v.view.Match(t, k, n)
	return Route{v, m}, m.OK()
}

// LookupBatch looks every address up and returns as many routes, appended to
// dst: those of an address that nothing matches are zero (see Route.OK).
func (v *View) LookupBatch(addrs []netip.Addr, dst []Route) []Route {
	for _, a := range addrs {
		r, ok := v.Lookup(a)
		if !ok {
			r = Route{}
		}
		dst = append(dst, r)
	}
	return dst
}

// Get returns the route of exactly this prefix.
func (v *View) Get(p netip.Prefix) (r Route, ok bool) {
	if !p.IsValid() {
		return Route{}, false
	}
	t, _, _ := tableOf(p.Addr())
	k, n := trie.PrefixKey(p)
	m := v.view.Get(t, k, n)
	return Route{v, m}, m.OK()
}

// Covering ranges over the routes that cover a prefix, the prefix itself too,
// the shortest first.
func (v *View) Covering(p netip.Prefix) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		if !p.IsValid() {
			return
		}
		t, _, _ := tableOf(p.Addr())
		k, n := trie.PrefixKey(p)
		v.view.Covering(t, k, n, func(m shard.Match) bool { return yield(Route{v, m}) })
	}
}

// Walk ranges over the routes that a prefix covers, the prefix itself too, in
// the order of addresses and then of lengths. 0.0.0.0/0 and ::/0 are the whole
// table of a family.
func (v *View) Walk(under netip.Prefix) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		if !under.IsValid() {
			return
		}
		t, _, _ := tableOf(under.Addr())
		k, n := trie.PrefixKey(under)
		w := v.view.Walk(t, shard.WalkRange{Under: k, UnderLen: n})
		defer w.Close()
		for w.Next() {
			if !yield(Route{v, w.Match()}) {
				return
			}
		}
	}
}

// OK says whether there is a route at all.
func (r Route) OK() bool { return r.v != nil && r.m.OK() }

// Prefix returns the route's prefix, one that is not valid for no route.
func (r Route) Prefix() netip.Prefix {
	if !r.OK() {
		return netip.Prefix{}
	}
	return r.m.Prefix()
}

// Best returns the best path of the route, the zero Path for no route.
func (r Route) Best() Path {
	if !r.OK() {
		return Path{}
	}
	p, n, _ := r.v.view.Best(r.m)
	if n == 0 {
		return Path{}
	}
	return r.path(&p)
}

// Paths returns the paths of the route, the best first.
func (r Route) Paths() []Path {
	if !r.OK() {
		return nil
	}
	paths := r.v.view.Paths(r.m, nil)
	out := make([]Path, len(paths))
	for i := range paths {
		out[i] = r.path(&paths[i])
	}
	return out
}

// Path is one path to a prefix. It is a value: it may be kept.
type Path struct {
	Peer Peer
	// PathID is the Add-Path identifier (RFC 7911); it means something where
	// HasPathID is true, and 0 is one.
	PathID    uint32
	HasPathID bool
	// Best is true for one path of a prefix. BestReason is the step of the
	// decision process that decided between it and the next.
	Best       bool
	BestReason string
	// Rank counts from 1.
	Rank     int
	Received time.Time
	// AttrsID names the attribute set: equal ids, equal attributes.
	AttrsID uint32

	raw []byte
}

func (r Route) path(p *rib.Path) Path {
	out := Path{
		PathID: p.PathID, HasPathID: p.HasPathID, Best: p.Best, Rank: int(p.Rank),
		Received: time.Unix(int64(p.Received), 0).UTC(), AttrsID: uint32(p.Attrs),
	}
	if p.Best {
		out.BestReason = p.Reason.String()
	}
	if info, ok := r.v.t.rib.Peer(p.Peer); ok {
		out.Peer = peerOf(info)
	}
	// The octets stay where they are for minutes after their end only, and a
	// Path may be kept.
	if b, ok := r.v.t.rib.Attrs().Bytes(p.Attrs); ok {
		out.raw = append([]byte(nil), b...)
	}
	return out
}

// Attributes decodes the path's attributes.
func (p Path) Attributes() Attributes { return decodeAttributes(p.raw) }
