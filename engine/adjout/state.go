package adjout

import (
	"maps"
	"math/bits"
	"math/rand/v2"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// prefix is what a route is about: a prefix of a table, or a raw NLRI.
type prefix struct {
	key   trie.Key
	table rib.TableID
	n     uint8
}

// Words of an entry. Those behind the key are there as the family wants them.
const (
	wAttr  = iota // the set that is sent; of a dead entry its birth, or 0
	wStamp        // number of the batch that changed it last
	wMeta         // length, source peer, flags
	wKey          // one word for IPv4 and raw NLRI, four for IPv6
)

// Flags of an entry, in wMeta beside 8 bits of length and 20 of the source.
const (
	entryDead  = 1 << 28 // withdrawn, and somebody may have to be told
	entryFresh = 1 << 29 // has not changed since its birth
	entryConst = 1 << 30 // has had one source only
	entryAlt   = 1 << 31 // of a chain's first entry, for route servers: the second is live
	entryPath  = 1 << 31 // with Add-Path: the source path has a path id

	metaPeerShift = 8
	metaPeer      = rib.MaxPeers << metaPeerShift
)

// Ids of the two entries that a prefix can have for route server clients: what
// all but its source are sent, and what its source is sent instead.
const (
	idMain = 0
	idAlt  = 1
)

// layout is how the entries of a family lie in words.
type layout struct {
	family wire.Family
	form   wire.Form
	v4     bool // one word of key
	table  int  // word of the table for VPN families; 0: none
	labels int  // word of the label stack; 0: none
	chain  int  // words of id, source path and next entry; 0: one entry a prefix
	stride int
}

// Words from layout.chain on.
const (
	chainID   = iota // path id as sent, or idMain and idAlt
	chainFrom        // path id of the source, or to whom idAlt is sent
	chainNext        // entry that follows of the same prefix; 0: none
	chainWords
)

func newLayout(f wire.Family, chained bool) layout {
	l := layout{family: f, form: f.Form(), v4: f.Is4() || f.Form() == wire.FormRaw}
	l.stride = wKey + 4
	if l.v4 {
		l.stride = wKey + 1
	}
	if l.form == wire.FormVPN {
		l.table = l.stride
		l.stride++
	}
	if l.form == wire.FormVPN || l.form == wire.FormLabelled {
		l.labels = l.stride
		l.stride++
	}
	if chained {
		l.chain = l.stride
		l.stride += chainWords
	}
	return l
}

func (l *layout) setKey(e []uint32, p *prefix) {
	e[wKey] = uint32(p.key.Hi >> 32)
	if !l.v4 {
		e[wKey+1], e[wKey+2], e[wKey+3] = uint32(p.key.Hi), uint32(p.key.Lo>>32), uint32(p.key.Lo)
	}
	if l.table != 0 {
		e[l.table] = uint32(p.table)
	}
}

func (l *layout) is(e []uint32, p *prefix) bool {
	if e[wKey] != uint32(p.key.Hi>>32) || uint8(e[wMeta]) != p.n || l.table != 0 && e[l.table] != uint32(p.table) {
		return false
	}
	return l.v4 || e[wKey+1] == uint32(p.key.Hi) && e[wKey+2] == uint32(p.key.Lo>>32) && e[wKey+3] == uint32(p.key.Lo)
}

// prefix returns what an entry is about. The table of families that have only
// one is the caller's to know.
func (l *layout) prefix(e []uint32, t rib.TableID) prefix {
	p := prefix{key: trie.Key{Hi: uint64(e[wKey]) << 32}, table: t, n: uint8(e[wMeta])}
	if !l.v4 {
		p.key.Hi |= uint64(e[wKey+1])
		p.key.Lo = uint64(e[wKey+2])<<32 | uint64(e[wKey+3])
	}
	if l.table != 0 {
		p.table = rib.TableID(e[l.table])
	}
	return p
}

func (l *layout) labelsOf(e []uint32) uint32 {
	if l.labels == 0 {
		return 0
	}
	return e[l.labels]
}

func (l *layout) id(e []uint32) uint32 {
	if l.chain == 0 {
		return 0
	}
	return e[l.chain+chainID]
}

func (l *layout) next(e []uint32) uint32 {
	if l.chain == 0 {
		return 0
	}
	return e[l.chain+chainNext]
}

func entryPeer(e []uint32) rib.PeerNum { return rib.PeerNum(e[wMeta] & metaPeer >> metaPeerShift) }

const (
	bucketBits = 6
	numBuckets = 1 << bucketBits
	refBits    = 24 // of an entry in its bucket
	maxRef     = 1<<refBits - 1
)

// state is the Adj-RIB-Out of a family as a group has it: a hash table in
// buckets, so that it grows by small steps. One goroutine changes it, with the
// group's lock; others read with the lock.
type state struct {
	lay     layout
	table   rib.TableID // of families that have only one
	seed    [2]uint64
	buckets [numBuckets]bucket

	hint uint32              // entries that a bucket may expect
	live int                 // entries that are sent to all but their source
	own  map[rib.PeerNum]int // of these, by source
	only map[rib.PeerNum]int // entries that are sent to one member, by member

	mixed map[string]int // prefixes that are mixed, by their sources in order
}

// bucket is words of entries, and cells that find them by hash: linear probing,
// 8 bits of the hash and the number of the entry from 1.
type bucket struct {
	words []uint32
	cells []uint32
	used  uint32 // cells in use
	n     uint32 // entries handed out
	free  uint32 // first of those that were given back, linked by wAttr
}

func newState(f wire.Family, t rib.TableID, chained bool) *state {
	return &state{
		lay: newLayout(f, chained), table: t, seed: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1},
		own: map[rib.PeerNum]int{}, only: map[rib.PeerNum]int{}, mixed: map[string]int{},
	}
}

// clone copies a state.
func (s *state) clone() *state {
	c := &state{lay: s.lay, table: s.table, seed: s.seed, live: s.live, own: maps.Clone(s.own), only: maps.Clone(s.only), mixed: maps.Clone(s.mixed)}
	for i := range s.buckets {
		b := s.buckets[i]
		b.words = append([]uint32(nil), b.words...)
		b.cells = append([]uint32(nil), b.cells...)
		c.buckets[i] = b
	}
	return c
}

// hash is keyed: peers choose prefixes. The top bits choose the bucket, the
// lowest 8 are the tag.
func (s *state) hash(p *prefix) uint64 {
	hi, lo := bits.Mul64(p.key.Hi^s.seed[0], uint64(p.n)<<32^uint64(p.table)^s.seed[1])
	h := hi ^ lo
	if !s.lay.v4 {
		hi, lo = bits.Mul64(h^p.key.Lo, s.seed[1])
		h = hi ^ lo
	}
	hi, lo = bits.Mul64(h^s.seed[1], 0x9e3779b97f4a7c15)
	return hi ^ lo
}

// ref is an entry over all buckets.
type ref uint32

func makeRef(bucket uint32, n uint32) ref { return ref(bucket<<refBits | n) }

func (r ref) split() (bucket, n uint32) { return uint32(r) >> refBits, uint32(r) & maxRef }

// entry returns the words of an entry.
func (s *state) entry(r ref) []uint32 {
	b, n := r.split()
	return s.buckets[b].entry(n, s.lay.stride)
}

func (b *bucket) entry(n uint32, stride int) []uint32 {
	at := int(n-1) * stride
	return b.words[at : at+stride : at+stride]
}

// warm loads the cell that a prefix has, or would have: who is about to look for
// many has the memory of all of them asked for at once.
func (s *state) warm(h uint64) uint32 {
	b := &s.buckets[h>>(64-bucketBits)]
	if len(b.cells) == 0 {
		return 0
	}
	return b.cells[uint32(h>>8)&uint32(len(b.cells)-1)]
}

// find returns the first entry of a prefix, 0 where there is none.
func (s *state) find(p *prefix, h uint64) ref {
	i := uint32(h >> (64 - bucketBits))
	b := &s.buckets[i]
	if cell, ok := s.cell(b, p, h); ok {
		return makeRef(i, b.cells[cell]&maxRef)
	}
	return 0
}

// cell returns the cell of a prefix; ok is false where there is none.
func (s *state) cell(b *bucket, p *prefix, h uint64) (at uint32, ok bool) {
	if len(b.cells) == 0 {
		return 0, false
	}
	mask := uint32(len(b.cells) - 1)
	tag := uint32(h) << refBits
	for at = uint32(h>>8) & mask; ; at = (at + 1) & mask {
		c := b.cells[at]
		if c == 0 {
			return at, false
		}
		if c&^maxRef == tag && s.lay.is(b.entry(c&maxRef, s.lay.stride), p) {
			return at, true
		}
	}
}

// insert makes an entry for a prefix: its first one where head is 0, else one
// more behind that. It returns 0 where the bucket is full.
func (s *state) insert(p *prefix, h uint64, head ref) ref {
	i := uint32(h >> (64 - bucketBits))
	b := &s.buckets[i]
	n := b.take(s.lay.stride, s.hint)
	if n == 0 {
		return 0
	}
	e := b.entry(n, s.lay.stride)
	clear(e)
	s.lay.setKey(e, p)
	e[wMeta] = uint32(p.n)
	if head != 0 {
		first := s.entry(head)
		e[s.lay.chain+chainNext] = first[s.lay.chain+chainNext]
		first[s.lay.chain+chainNext] = n
		return makeRef(i, n)
	}
	if b.used*5 >= uint32(len(b.cells))*4 {
		s.grow(b)
	}
	at, _ := s.cell(b, p, h)
	b.cells[at] = uint32(h)<<refBits | n
	b.used++
	return makeRef(i, n)
}

const fewEntries = 16

// take returns the number of an entry that is not in use.
func (b *bucket) take(stride int, hint uint32) uint32 {
	if n := b.free; n != 0 {
		b.free = b.entry(n, stride)[wAttr]
		return n
	}
	if b.n == maxRef {
		return 0
	}
	b.n++
	if need := int(b.n) * stride; need > cap(b.words) {
		room := max(8*stride, need+need/4)
		if b.n >= fewEntries {
			room = max(room, int(hint)*stride)
		}
		words := make([]uint32, need, room)
		copy(words, b.words)
		b.words = words
	} else {
		b.words = b.words[:need]
	}
	return b.n
}

// grow doubles the cells, at least.
func (s *state) grow(b *bucket) {
	old := b.cells
	size := max(8, 2*len(old))
	for b.n >= fewEntries && uint32(size)*4 < s.hint*5 {
		size *= 2
	}
	b.cells = make([]uint32, size)
	mask := uint32(len(b.cells) - 1)
	for _, c := range old {
		if c == 0 {
			continue
		}
		p := s.lay.prefix(b.entry(c&maxRef, s.lay.stride), s.table)
		at := uint32(s.hash(&p)>>8) & mask
		for b.cells[at] != 0 {
			at = (at + 1) & mask
		}
		b.cells[at] = c
	}
}

// expect says how many prefixes there will be, so that buckets grow to that at
// once when they have a few.
func (s *state) expect(n int) { s.hint = uint32(n/numBuckets + n/numBuckets/16) }

// remove gives an entry back.
func (s *state) remove(r ref) {
	i, n := r.split()
	b := &s.buckets[i]
	e := b.entry(n, s.lay.stride)
	p := s.lay.prefix(e, s.table)
	h := s.hash(&p)
	at, ok := s.cell(b, &p, h)
	if !ok {
		panic("BUG: adjout: an entry that is in no cell")
	}
	next := s.lay.next(e)
	if first := b.cells[at] & maxRef; first != n {
		f := b.entry(first, s.lay.stride)
		for s.lay.next(f) != n {
			f = b.entry(s.lay.next(f), s.lay.stride)
		}
		f[s.lay.chain+chainNext] = next
	} else if next != 0 {
		b.cells[at] = b.cells[at]&^maxRef | next
	} else {
		s.empty(b, at)
	}
	e[wMeta] = entryDead
	e[wStamp] = 0
	e[wAttr], b.free = b.free, n
}

// empty clears a cell and moves those behind it that probed past it.
func (s *state) empty(b *bucket, at uint32) {
	mask := uint32(len(b.cells) - 1)
	b.used--
	for i := at; ; {
		b.cells[at] = 0
		for {
			i = (i + 1) & mask
			c := b.cells[i]
			if c == 0 {
				return
			}
			p := s.lay.prefix(b.entry(c&maxRef, s.lay.stride), s.table)
			home := uint32(s.hash(&p)>>8) & mask
			if (i-home)&mask >= (i-at)&mask {
				b.cells[at] = c
				at = i
				break
			}
		}
	}
}

// memory is what a state takes, in octets.
func (s *state) memory() (n uint64) {
	for i := range s.buckets {
		n += 4 * uint64(cap(s.buckets[i].words)+cap(s.buckets[i].cells))
	}
	return n
}

// advertised is how many routes a member has been sent.
func (s *state) advertised(t *Target, only audiences) int {
	n := s.live - s.own[t.Num] + s.only[t.Num]
	if len(only) == 0 {
		return n
	}
	for src, routes := range s.own {
		if src != t.Num && !only.reach(src, t) {
			n -= routes
		}
	}
	for key, prefixes := range s.mixed {
		if only.first(unpackSources(key), t) >= 0 {
			n += prefixes
		}
	}
	return n
}

func count(m map[rib.PeerNum]int, p rib.PeerNum, by int) {
	if n := m[p] + by; n != 0 {
		m[p] = n
	} else {
		delete(m, p)
	}
}
