package flow

import (
	"net/netip"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// subject is a path of a rule that is to be validated.
type subject struct {
	family wire.Family
	nlri   []byte // canonical
	peer   *rib.PeerInfo
	attrs  []byte // as they came
	mode   Validation
}

// target is what the verdict on a rule depends on: a destination, and the table of
// the routes to it.
type target struct {
	table rib.TableID
	k     trie.Key
	n     uint8
	ok    bool // there is one
}

// settled returns the verdict of a subject where it does not depend on unicast
// routes, and else its target.
func (t *Tables) settled(s *subject) (why rib.FilterReason, done bool, at target) {
	if s.mode == Off {
		return rib.FilterNone, true, at
	}
	vpn := flowspec.IsVPN(s.family)
	if vpn && s.peer.Internal {
		// What another PE says is accepted (RFC 8955 section 8).
		return rib.FilterNone, true, at
	}
	if at.k, at.n, at.ok = destination(s.family, s.nlri); !at.ok { // RFC 8955 section 6 a, RFC 8956 section 5
		if s.mode == NoDestination {
			return rib.FilterNone, true, at
		}
		return rib.FilterNoDestination, true, at
	}
	path, _ := wire.FindAttr(s.attrs, wire.AttrASPath)
	if s.peer.Internal && wire.ASPathLen(path) == 0 {
		// Of our own AS: the path is empty, or of the confederation (RFC 9117
		// section 4.1, b.2). External peers have an AS to show (section 4.2).
		return rib.FilterNone, true, at
	}
	f, rd := flowspec.Unicast(s.family), flowspec.RD(s.family, s.nlri)
	var ok bool
	if at.table, ok = t.rib.FindTable(f, rd); !ok {
		return rib.FilterNoUnicast, true, at
	}
	return rib.FilterNone, false, at
}

// destination returns the destination that a rule is validated by; ok is false
// where it has none, or one that leaves out the first bits of addresses.
func destination(f wire.Family, nlri []byte) (k trie.Key, n uint8, ok bool) {
	dst, offset, ok := flowspec.Destination(f, nlri)
	if !ok || offset != 0 {
		return trie.Key{}, 0, false
	}
	k, n = trie.PrefixKey(dst)
	return k, n, true
}

// evaluate works the verdict on a subject out. Where it is FilterMoreSpecific,
// witness is one route for which it is. rd is pinned; m is of it, or nil.
func (t *Tables) evaluate(rd *shard.Reader, m *memo, s *subject) (why rib.FilterReason, witness changedKey) {
	t.counts.evaluated.Add(1)
	why, done, at := t.settled(s)
	if done {
		return why, witness
	}
	b, ok := t.bestFor(rd, m, at)
	if !ok {
		return rib.FilterNoUnicast, witness
	}
	if !b.speaksFor(s) {
		return rib.FilterOriginator, witness
	}
	if w, ok := t.foreignTo(rd, m, at, b.neighbor); ok {
		return rib.FilterMoreSpecific, w
	}
	return rib.FilterNone, witness
}

// memo is what was found of a destination, for the rules to it that are looked at
// next. It is good as long as its reader is pinned: what changes meanwhile comes
// by in the feed.
type memo struct {
	at      target
	known   bool // best and matched are of at
	best    unicast
	matched bool // there is a best match
	walked  bool // found and witness are of at, and of the neighbour of best
	found   bool
	witness changedKey
}

// bestFor is bestMatch with a memo, which may be nil.
func (t *Tables) bestFor(rd *shard.Reader, m *memo, at target) (u unicast, ok bool) {
	if m == nil {
		return t.bestMatch(rd, at)
	}
	if !m.known || m.at != at {
		*m = memo{at: at, known: true}
		m.best, m.matched = t.bestMatch(rd, at)
	}
	return m.best, m.matched
}

// foreignTo is foreign with the memo of bestFor.
func (t *Tables) foreignTo(rd *shard.Reader, m *memo, at target, neighbor uint32) (w changedKey, found bool) {
	if m == nil {
		return t.foreign(rd, at, neighbor)
	}
	if !m.walked {
		m.witness, m.found = t.foreign(rd, at, neighbor)
		m.walked = true
	}
	return m.witness, m.found
}

// unicast is the best path of a unicast prefix. Recordings and monitors tell of no
// route that traffic takes, so they do not count.
type unicast struct {
	n        uint8
	peer     *rib.PeerInfo
	attrs    rib.AttrID // as they came
	set      []byte
	neighbor uint32 // first AS, 0: none
}

// bestOf returns the best path of a match, if it is one of a session or our own.
func (t *Tables) bestOf(rd *shard.Reader, m shard.Match) (u unicast, ok bool) {
	p, count, _ := rd.Best(m)
	if count == 0 {
		return u, false
	}
	// Live paths come before others.
	if u.peer, ok = t.rib.Peer(p.Peer); !ok || !u.peer.Source.Live() {
		return u, false
	}
	u.n, u.attrs = m.Len, p.Attrs
	if p.PreAttrs != 0 {
		u.attrs = p.PreAttrs
	}
	_, u.neighbor = t.attrs.OriginNeighbor(u.attrs)
	return u, true
}

// bestMatch returns the route that a destination matches best: the longest that
// covers it.
func (t *Tables) bestMatch(rd *shard.Reader, at target) (u unicast, ok bool) {
	for n := at.n; ; {
		m := rd.Match(at.table, at.k, n)
		if !m.OK() {
			return u, false
		}
		if u, ok = t.bestOf(rd, m); ok {
			u.set, _ = t.attrs.Bytes(u.attrs)
			return u, true
		}
		if m.Len == 0 {
			return u, false
		}
		n = m.Len - 1
	}
}

// speaksFor says whether the route that a rule's destination matches best is of
// its originator (RFC 8955 section 6 b; RFC 9117 section 4.1, b.1), and of its
// first AS where an external peer sent the rule (section 4.2).
func (u *unicast) speaksFor(s *subject) bool {
	a, b := originator(s.attrs, s.peer), originator(u.set, u.peer)
	if !a.IsValid() || a != b {
		return false
	}
	if s.peer.Internal {
		return true
	}
	path, _ := wire.FindAttr(s.attrs, wire.AttrASPath)
	first, ok := wire.ASPathNeighbor(path)
	return ok && first == u.neighbor
}

// originator is the address in ORIGINATOR_ID, and without one that of the peer
// (RFC 8955 section 6). It is not valid for what is made here.
func originator(attrs []byte, peer *rib.PeerInfo) netip.Addr {
	if v, _ := wire.FindAttr(attrs, wire.AttrOriginatorID); len(v) == 4 {
		return netip.AddrFrom4([4]byte(v))
	}
	return peer.Addr.Unmap()
}

// isForeign says whether the route to one prefix is of another AS, as foreign asks.
func (t *Tables) isForeign(rd *shard.Reader, c changedKey, neighbor uint32) bool {
	u, ok := t.bestOf(rd, rd.Get(c.t, c.k, c.n))
	return ok && u.neighbor != neighbor
}
