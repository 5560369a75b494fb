package shard

import (
	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

// Reader looks up in the latest state: one a goroutine or connection. It never
// waits for a writer, nor a writer for it.
//
// Every look-up, and every use of a Match, has to be between Pin and Unpin. Pin
// for a request or a batch: until Unpin no memory that is replaced is used
// again. Pins do not nest.
type Reader struct {
	look
	pin  *slab.Pin
	down rib.PeerSet // as of Pin
	out  []uint32
	sink uint32 // of warm, so that its loads are not for nothing
}

// NewReader registers a reader. Close it.
func (r *RIB) NewReader() *Reader {
	return &Reader{look: newLook(r, nil), pin: r.domain.NewPin()}
}

// Close ends the reader, pinned or not.
func (rd *Reader) Close() { rd.pin.Close() }

// Pin begins a request.
func (rd *Reader) Pin() {
	rd.pin.Enter()
	rd.down = *rd.r.peers.down.Load()
}

// Unpin ends a request: nothing that was found since Pin may be used again.
func (rd *Reader) Unpin() { rd.pin.Exit() }

// Match4 returns the longest match of an IPv4 address in host order, in the
// unicast table.
func (rd *Reader) Match4(a uint32) Match {
	h := rd.r.image4.Lookup(a)
	if h <= trie.Behind {
		return rd.rest(h, rib.TableIPv4Unicast, trie.Key4(a), 32)
	}
	n := rd.r.hs.Len(h)
	m := Match{Key: trie.Key{Hi: (uint64(a) << 32) &^ (^uint64(0) >> n)}, Len: n, v4: true, block: rd.r.hs.Load(h)}
	if len(rd.down) > 0 {
		return rd.around(m, trie.Key4(a), 32)
	}
	return m
}

// Match6 returns the longest match of an IPv6 address, given as its two halves,
// in the unicast table.
func (rd *Reader) Match6(hi, lo uint64) Match {
	h := rd.r.image6.Lookup(hi, lo)
	if h <= trie.Behind {
		return rd.rest(h, rib.TableIPv6Unicast, trie.Key{Hi: hi, Lo: lo}, 128)
	}
	n := rd.r.hs.Len(h)
	k := trie.Key{Hi: hi, Lo: lo}
	m := Match{Key: k.Mask(n), Table: rib.TableIPv6Unicast, Len: n, block: rd.r.hs.Load(h)}
	if len(rd.down) > 0 {
		return rd.around(m, k, 128)
	}
	return m
}

// rest is the answer where the image has none: no prefix, or, for trie.Behind,
// what the tries say. Only what is not filtered is in the image, so only that is
// looked for.
//
//go:noinline
func (rd *Reader) rest(h uint32, t rib.TableID, k trie.Key, width uint8) Match {
	if h == 0 {
		return Match{}
	}
	m := rd.match(t, k, width)
	m.shard = 0
	return m
}

// around goes on to a shorter prefix while m has only paths of peers that are
// down: these are in the image until they are swept.
func (rd *Reader) around(m Match, k trie.Key, width uint8) Match {
	if m.block == 0 || rd.r.read.Eligible(m.block, rd.down) {
		return m
	}
	var found Match
	rd.longest(m.Table, k, width, func(m Match, _ rib.PeerSet) bool {
		if !rd.r.read.Eligible(m.block, rd.down) {
			return false
		}
		found = m
		return true
	})
	return found
}

// MatchBatch4 is Match4 for each of as; out is as long.
func (rd *Reader) MatchBatch4(as []uint32, out []Match) {
	out = out[:len(as)]
	if cap(rd.out) < len(as) {
		rd.out = make([]uint32, len(as))
	}
	hs := rd.out[:len(as)]
	rd.r.image4.LookupBatch(as, hs)
	for i, h := range hs {
		if h <= trie.Behind {
			out[i] = rd.rest(h, rib.TableIPv4Unicast, trie.Key4(as[i]), 32)
			continue
		}
		n := rd.r.hs.Len(h)
		out[i] = Match{Key: trie.Key{Hi: (uint64(as[i]) << 32) &^ (^uint64(0) >> n)}, Len: n, v4: true, block: rd.r.hs.Load(h)}
		if len(rd.down) > 0 {
			out[i] = rd.around(out[i], trie.Key4(as[i]), 32)
		}
	}
	rd.warm(out)
}

// MatchBatch6 is Match6 for each of the addresses whose halves are hi and lo;
// out is as long.
func (rd *Reader) MatchBatch6(hi, lo []uint64, out []Match) {
	out = out[:len(hi)]
	if cap(rd.out) < len(hi) {
		rd.out = make([]uint32, len(hi))
	}
	hs := rd.out[:len(hi)]
	rd.r.image6.LookupBatch(hi, lo, hs)
	for i, h := range hs {
		if h <= trie.Behind {
			out[i] = rd.rest(h, rib.TableIPv6Unicast, trie.Key{Hi: hi[i], Lo: lo[i]}, 128)
			continue
		}
		n := rd.r.hs.Len(h)
		k := trie.Key{Hi: hi[i], Lo: lo[i]}
		out[i] = Match{Key: k.Mask(n), Table: rib.TableIPv6Unicast, Len: n, block: rd.r.hs.Load(h)}
		if len(rd.down) > 0 {
			out[i] = rd.around(out[i], k, 128)
		}
	}
	rd.warm(out)
}

// warm asks for the first path of each match and for its summary, so that what
// Best asks for next is in the cache: loads that wait for nothing overlap, and
// each would cost the time of several look-ups if it came alone.
func (rd *Reader) warm(ms []Match) {
	if cap(rd.out) < len(ms) {
		rd.out = make([]uint32, len(ms))
	}
	ids := rd.out[:len(ms)]
	for i := range ms {
		ids[i] = 0
		if b := ms[i].block; b != 0 {
			ids[i] = uint32(rd.r.read.FirstAttrs(b))
		}
	}
	sum := rd.sink
	for _, id := range ids {
		sum ^= rd.r.attrs.Warm(rib.AttrID(id))
	}
	rd.sink = sum
}

// Get returns the prefix k/n of a table, also one of which all paths are
// filtered.
func (rd *Reader) Get(t rib.TableID, k trie.Key, n uint8) Match { return rd.get(t, k, n) }

// Match returns the longest prefix of at most maxLen bits that covers k and has
// a path that is not filtered, in any table. Match4 and Match6 are faster.
func (rd *Reader) Match(t rib.TableID, k trie.Key, maxLen uint8) Match {
	return rd.match(t, k, maxLen)
}

// MatchFunc returns the longest prefix of at most maxLen bits that covers k and
// has a path that keep wants, and those paths, appended to dst. keep also gets
// paths that are filtered.
func (rd *Reader) MatchFunc(t rib.TableID, k trie.Key, maxLen uint8, keep func(*rib.Path) bool, dst []rib.Path) (Match, []rib.Path) {
	return rd.matchFunc(t, k, maxLen, keep, dst)
}

// Covering calls yield with every prefix that covers k/n, the shortest first
// and k/n too, until it returns false.
func (rd *Reader) Covering(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {
	rd.covering(t, k, n, yield)
}

// Longer calls yield with every prefix that k/n covers and that is longer, until it
// returns false: those of one shard after those of another, in order in each.
// What is covered may be a whole table: yield bounds it, as the pin lasts.
func (rd *Reader) Longer(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {
	rd.longer(t, k, n, yield)
}

// Best returns the best path of a match, the number of paths that are not
// filtered (0: there is no best path), and flags.
func (rd *Reader) Best(m Match) (p rib.Path, count int, f Flags) {
	if m.block == 0 {
		return rib.Path{}, 0, 0
	}
	return rd.best(m.block, rd.down)
}

// Paths appends the paths of a match to dst, best first, filtered ones last,
// none of peers that are down.
func (rd *Reader) Paths(m Match, dst []rib.Path) []rib.Path {
	if m.block == 0 {
		return dst
	}
	return rd.r.read.Paths(m.block, rd.down, &rd.ranker, dst)
}
