package rules

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// entry is a rule of a table. It does not change but for at, which is the
// writer's.
type entry struct {
	hi    uint64 // the first octets of the key
	data  []byte // the NLRI, and behind it the key
	size  uint16 // of the NLRI
	value Value
	at    int32 // its place among the table's changes; ^place in its base; atNone
}

func (e *entry) nlri() []byte { return e.data[:e.size:e.size] }

func (e *entry) key() []byte { return e.data[e.size:] }

// atNone is entry.at of a rule that takes no part in matching.
const atNone = 1<<31 - 1

// first8 returns the first octets of a key as a number in the same order.
func first8(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// chunkMost is how many entries a chunk holds: a change copies one.
const chunkMost = 128

// chunk is entries in order; his is their hi, side by side.
type chunk struct {
	his     []uint64
	entries []*entry
	turn    uint64 // of the list when it was made: later, snapshots have it
}

// list is entries in order, in chunks. A copy of the struct is a snapshot once
// share was called.
type list struct {
	chunks []*chunk
	counts []int32 // by chunk: its entries
	before []int   // by chunk: how many entries are in front; made by share
	n      int
	turn   uint64 // times that it was shared
	owned  bool   // no snapshot has chunks
}

// find returns the place of the first entry whose key is not below key, and
// whether it is the same. The chunk is the last one where all are below.
func (l *list) find(hi uint64, key []byte) (chunk, at int, same bool) {
	lo, n := 0, len(l.chunks)
	for n > 1 {
		half := n / 2
		c := l.chunks[lo+half]
		if c.his[0] < hi || c.his[0] == hi && bytes.Compare(c.entries[0].key(), key) <= 0 {
			lo += half
		}
		n -= half
	}
	if len(l.chunks) == 0 {
		return 0, 0, false
	}
	c := l.chunks[lo]
	at, n = 0, len(c.his)
	for n > 0 {
		half := n / 2
		if x := c.his[at+half]; x < hi || x == hi && bytes.Compare(c.entries[at+half].key(), key) < 0 {
			at += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo, at, at < len(c.his) && c.his[at] == hi && bytes.Equal(c.entries[at].key(), key)
}

// share makes the list one that snapshots may have: the next change copies.
func (l *list) share() {
	l.before = make([]int, len(l.counts))
	n := 0
	for i, c := range l.counts {
		l.before[i] = n
		n += int(c)
	}
	l.turn++
	l.owned = false
}

// own makes chunk i one that may be changed.
func (l *list) own(i int) *chunk {
	if !l.owned {
		l.chunks, l.owned = slices.Clone(l.chunks), true
	}
	c := l.chunks[i]
	if c.turn != l.turn {
		c = l.chunk(c.his, c.entries)
		l.chunks[i] = c
	}
	return c
}

// chunk makes a chunk that may be changed, with room for the most entries.
func (l *list) chunk(his []uint64, entries []*entry) *chunk {
	return &chunk{
		his:     append(make([]uint64, 0, chunkMost), his...),
		entries: append(make([]*entry, 0, chunkMost), entries...), turn: l.turn,
	}
}

// replace puts e where one with the same key is.
func (l *list) replace(chunk, at int, e *entry) { l.own(chunk).entries[at] = e }

// insert puts e where find said.
func (l *list) insert(i, at int, e *entry) {
	l.n++
	if len(l.chunks) == 0 {
		l.chunks, l.counts, l.owned = []*chunk{l.chunk(nil, nil)}, []int32{0}, true
	}
	c := l.own(i)
	if len(c.his) == chunkMost {
		half := chunkMost / 2
		if at == chunkMost && i == len(l.chunks)-1 { // they come in order: leave full ones behind
			half = chunkMost
		}
		next := l.chunk(c.his[half:], c.entries[half:])
		c.his = c.his[:half]
		clear(c.entries[half:])
		c.entries = c.entries[:half]
		l.chunks = slices.Insert(l.chunks, i+1, next)
		l.counts = slices.Insert(l.counts, i+1, int32(len(next.his)))
		l.counts[i] = int32(half)
		if at > half || half == chunkMost {
			c, i, at = next, i+1, at-half
		}
	}
	c.his = slices.Insert(c.his, at, e.hi)
	c.entries = slices.Insert(c.entries, at, e)
	l.counts[i]++
}

// remove takes the entry at a place out.
func (l *list) remove(i, at int) {
	l.n--
	c := l.own(i)
	c.his = slices.Delete(c.his, at, at+1)
	c.entries = slices.Delete(c.entries, at, at+1)
	l.counts[i]--
	switch {
	case len(c.his) == 0:
		l.drop(i)
	case i+1 < len(l.chunks) && int(l.counts[i]+l.counts[i+1]) <= chunkMost/2:
		next := l.chunks[i+1]
		c.his, c.entries = append(c.his, next.his...), append(c.entries, next.entries...)
		l.counts[i] += l.counts[i+1]
		l.drop(i + 1)
	}
}

func (l *list) drop(i int) {
	l.chunks = slices.Delete(l.chunks, i, i+1)
	l.counts = slices.Delete(l.counts, i, i+1)
}

// from yields the entries from the first whose key is not below key, with their
// places from 0, until yield is false.
func (l *list) from(key []byte, yield func(e *entry, place int) bool) {
	if len(l.chunks) == 0 {
		return
	}
	i, at, _ := l.find(first8(key), key)
	for ; i < len(l.chunks); i, at = i+1, 0 {
		entries := l.chunks[i].entries
		for k := at; k < len(entries); k++ {
			if !yield(entries[k], l.before[i]+k) {
				return
			}
		}
	}
}
