package rules

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// entry is a rule of a table. It does not change but for at, which is the
// writer's.
type entry struct {
	hi    uint64 // the first octets of key
	key   []byte
	nlri  []byte
	value Value
	compiled

	at int32 // its place among the table's changes; ^place in its base; atNone
}

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
	owned   bool // no snapshot has it: the writer may change it
}

// list is entries in order, in chunks. A copy of the struct is a snapshot once
// share was called.
type list struct {
	chunks []*chunk
	before []int // by chunk: how many entries are in front; made by share
	n      int
	owned  bool // no snapshot has chunks
}

// find returns the place of the first entry whose key is not below key, and
// whether it is the same. The chunk is the last one where all are below.
func (l *list) find(hi uint64, key []byte) (chunk, at int, same bool) {
	lo, n := 0, len(l.chunks)
	for n > 1 {
		half := n / 2
		c := l.chunks[lo+half]
		if c.his[0] < hi || c.his[0] == hi && bytes.Compare(c.entries[0].key, key) <= 0 {
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
		if x := c.his[at+half]; x < hi || x == hi && bytes.Compare(c.entries[at+half].key, key) < 0 {
			at += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo, at, at < len(c.his) && c.his[at] == hi && bytes.Equal(c.entries[at].key, key)
}

// share makes the list one that snapshots may have: the next change copies.
func (l *list) share() {
	l.before = make([]int, len(l.chunks))
	n := 0
	for i, c := range l.chunks {
		c.owned = false
		l.before[i] = n
		n += len(c.entries)
	}
	l.owned = false
}

// own makes chunk i one that may be changed.
func (l *list) own(i int) *chunk {
	if !l.owned {
		l.chunks, l.owned = slices.Clone(l.chunks), true
	}
	c := l.chunks[i]
	if !c.owned {
		c = &chunk{
			his:     append(make([]uint64, 0, chunkMost), c.his...),
			entries: append(make([]*entry, 0, chunkMost), c.entries...), owned: true,
		}
		l.chunks[i] = c
	}
	return c
}

// replace puts e where one with the same key is.
func (l *list) replace(chunk, at int, e *entry) { l.own(chunk).entries[at] = e }

// insert puts e where find said.
func (l *list) insert(i, at int, e *entry) {
	l.n++
	if len(l.chunks) == 0 {
		l.chunks, l.owned = append(l.chunks[:0:0], &chunk{owned: true}), true
	}
	c := l.own(i)
	if len(c.his) == chunkMost {
		half := chunkMost / 2
		if at == chunkMost && i == len(l.chunks)-1 { // they come in order: leave full ones behind
			half = chunkMost
		}
		next := &chunk{
			his:     append(make([]uint64, 0, chunkMost), c.his[half:]...),
			entries: append(make([]*entry, 0, chunkMost), c.entries[half:]...), owned: true,
		}
		c.his = c.his[:half]
		clear(c.entries[half:])
		c.entries = c.entries[:half]
		l.chunks = slices.Insert(l.chunks, i+1, next)
		if at > half || half == chunkMost {
			c, at = next, at-half
		}
	}
	c.his = slices.Insert(c.his, at, e.hi)
	c.entries = slices.Insert(c.entries, at, e)
}

// remove takes the entry at a place out.
func (l *list) remove(i, at int) {
	l.n--
	c := l.own(i)
	c.his = slices.Delete(c.his, at, at+1)
	c.entries = slices.Delete(c.entries, at, at+1)
	switch {
	case len(c.his) == 0:
		l.chunks = slices.Delete(l.chunks, i, i+1)
	case i+1 < len(l.chunks) && len(c.his)+len(l.chunks[i+1].his) <= chunkMost/2:
		next := l.chunks[i+1]
		c.his, c.entries = append(c.his, next.his...), append(c.entries, next.entries...)
		l.chunks = slices.Delete(l.chunks, i+1, i+2)
	}
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
