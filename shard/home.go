package shard

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"ribd/trie"
)

// Prefixes shorter than this live in the roof: a home is chosen by this many
// first bits.
const (
	split4 = 12
	split6 = 24
)

// homes says which shard a prefix lives in.
type homes struct {
	n     uint32             // home shards; the roof is number n
	table [1 << split4]uint8 // of IPv4
}

func (h *homes) init(n int) {
	h.n = uint32(n)
	for i := range h.table {
		h.table[i] = uint8(h.hash(uint32(i)))
	}
}

func (h *homes) hash(bits uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], bits)
	return uint32(xxhash.Sum64(b[:]) % uint64(h.n))
}

// of returns the shard of the prefix k/n.
func (h *homes) of(t *tableInfo, k trie.Key, n uint8) uint32 {
	switch {
	case n < t.split:
		return h.n
	case t.split == split4:
		return uint32(h.table[k.Hi>>(64-split4)])
	case t.raw:
		return h.hash(uint32(k.Hi >> 32))
	}
	return h.hash(uint32(k.Hi >> (64 - split6)))
}
