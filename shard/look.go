package shard

import (
	"net/netip"

	"ribd/shard/rib"
	"ribd/trie"
)

// Match is a prefix and its paths as a look-up found them. It is good until the
// Unpin of the Reader that it came from, or the Close of the View.
type Match struct {
	Key   trie.Key
	Table rib.TableID
	Len   uint8
	v4    bool
	shard uint8
	block uint32
}

// OK says whether there is a prefix at all.
func (m Match) OK() bool { return m.block != 0 }

// Block is a reference to the paths, for rib.Blocks.
func (m Match) Block() uint32 { return m.block }

// Prefix returns the prefix; it means nothing for families whose NLRI are not
// prefixes.
func (m Match) Prefix() netip.Prefix { return m.Key.Prefix(m.Len, m.v4) }

// Flags says more of the best path: the bits are those of the packed answers
// of the API.
type Flags uint8

// The flags. What RPKI says is the caller's to add.
const (
	FlagStale       Flags = 1 << iota // the best path is stale
	FlagInternal                      // the best path came by IBGP
	FlagManyOrigins                   // the paths have more than one origin AS
)

// look is what look-ups in the tries have in common, in the latest state or in
// that of a View. It belongs to one goroutine.
type look struct {
	r       *RIB
	states  []state // of a View; nil: the latest
	scratch state
	ranker  rib.Ranker
	entries []trie.Entry
}

func newLook(r *RIB, states []state) look {
	return look{r: r, states: states, ranker: rib.Ranker{Attrs: r.attrs, Peers: &r.peers.known}}
}

// state returns that of shard i. In the latest state it is good until the next
// call.
func (l *look) state(i uint32) *state {
	if l.states != nil {
		return &l.states[i]
	}
	l.scratch = l.r.shards[i].load()
	return &l.scratch
}

func (l *look) get(t rib.TableID, k trie.Key, n uint8) Match {
	info := l.r.dir.get(t)
	if info == nil || n > info.width {
		return Match{}
	}
	i := l.r.homes.of(info, k, n)
	st := l.state(i)
	ref := l.r.root(st, t, info.width).Get(k.Mask(n), n)
	if ref == 0 || len(st.down) > 0 && !l.anyLeft(ref, st.down) {
		return Match{}
	}
	return match(info, k.Mask(n), n, i, ref)
}

func match(info *tableInfo, k trie.Key, n uint8, shard, ref uint32) Match {
	return Match{Key: k, Table: info.id, Len: n, v4: info.v4, shard: uint8(shard), block: ref}
}

// anyLeft says whether a block has a path of a peer that is up, filtered or
// not.
func (l *look) anyLeft(ref uint32, down rib.PeerSet) bool {
	rs := l.r.read.Records(ref)
	for rs.Next() {
		if !down.Has(rs.Peer()) {
			return true
		}
	}
	return false
}

// longest calls try with each prefix that covers k, of at most maxLen bits, the
// longest first, until it returns true.
func (l *look) longest(t rib.TableID, k trie.Key, maxLen uint8, try func(m Match, down rib.PeerSet) bool) {
	info := l.r.dir.get(t)
	if info == nil {
		return
	}
	maxLen = min(maxLen, info.width)
	home := l.r.homes.of(info, k, maxLen)
	for _, i := range [2]uint32{home, l.r.homes.n} {
		st := l.state(i)
		v := l.r.root(st, t, info.width)
		down := st.down
		for n := maxLen; ; {
			ref, m := v.Match(k, n)
			if ref == 0 {
				break
			}
			if try(match(info, k.Mask(m), m, i, ref), down) {
				return
			}
			if m == 0 {
				break
			}
			n = m - 1
		}
		if i == l.r.homes.n || info.split == 0 {
			return
		}
		maxLen = min(maxLen, info.split-1)
	}
}

// match is the longest prefix with a path that is not filtered.
func (l *look) match(t rib.TableID, k trie.Key, maxLen uint8) (found Match) {
	l.longest(t, k, maxLen, func(m Match, down rib.PeerSet) bool {
		if !l.r.read.Eligible(m.block, down) {
			return false
		}
		found = m
		return true
	})
	return found
}

// matchFunc is the longest prefix with a path that keep wants.
func (l *look) matchFunc(t rib.TableID, k trie.Key, maxLen uint8, keep func(*rib.Path) bool, dst []rib.Path) (found Match, paths []rib.Path) {
	base := len(dst)
	l.longest(t, k, maxLen, func(m Match, down rib.PeerSet) bool {
		dst = l.r.read.Paths(m.block, down, &l.ranker, dst[:base])
		kept := dst[:base]
		for i := base; i < len(dst); i++ {
			if keep(&dst[i]) {
				kept = append(kept, dst[i])
			}
		}
		if len(kept) == base {
			return false
		}
		found, dst = m, kept
		return true
	})
	if !found.OK() {
		return Match{}, dst[:base]
	}
	return found, dst
}

// covering calls yield with each prefix that covers k/n, the shortest first,
// k/n too.
func (l *look) covering(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {
	info := l.r.dir.get(t)
	if info == nil {
		return
	}
	n = min(n, info.width)
	home, roof := l.r.homes.of(info, k, n), l.r.homes.n
	for _, i := range [2]uint32{roof, home} {
		if i == roof && info.split == 0 {
			continue
		}
		st := l.state(i)
		l.entries = l.r.root(st, t, info.width).Covering(k, n, l.entries[:0])
		down := st.down
		for _, e := range l.entries {
			if len(down) > 0 && !l.anyLeft(e.Value, down) {
				continue
			}
			if !yield(match(info, k.Mask(e.Len), e.Len, i, e.Value)) {
				return
			}
		}
		if home == roof {
			return
		}
	}
}

// longer calls yield with each prefix that is longer than k/n and covered by it.
func (l *look) longer(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {
	info := l.r.dir.get(t)
	if info == nil || n >= info.width {
		return
	}
	k = k.Mask(n)
	first, last := uint32(0), l.r.homes.n
	if n >= info.split && info.split > 0 {
		first = l.r.homes.of(info, k, n) // all of it lives in one shard
		last = first
	}
	for i := first; i <= last; i++ {
		st := l.state(i)
		down := st.down
		c := l.r.root(st, t, info.width).Cursor()
		for c.Under(k, n); c.Next(); {
			if c.Len() == n || len(down) > 0 && !l.anyLeft(c.Value(), down) {
				continue
			}
			if !yield(match(info, c.Key(), c.Len(), i, c.Value())) {
				return
			}
		}
	}
}

// best is the best path of a block, how many are not filtered, and flags.
func (l *look) best(ref uint32, down rib.PeerSet) (p rib.Path, count int, f Flags) {
	p, count, many := l.r.read.Best(ref, down, &l.ranker)
	if count == 0 {
		return rib.Path{}, 0, 0
	}
	if p.Stale != rib.StaleNo {
		f |= FlagStale
	}
	if peer := l.r.peers.known.Get(p.Peer); peer != nil && peer.Internal {
		f |= FlagInternal
	}
	if many {
		f |= FlagManyOrigins
	}
	return p, count, f
}
