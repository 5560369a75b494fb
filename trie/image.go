package trie

import "ribd/internal/slab"

const (
	root4Len  = 16
	roof4Len  = 12
	root6Len  = 24
	roof6Len  = 16
	imageUnit = 4
)

// Image4 answers which IPv4 prefix is the longest that holds an address, for all
// shards together and as of now: it has no versions. A root of 2^16 words leads
// to nodes of 8 bits; where the home of an address has nothing, the roof is
// asked. Look-ups are for any goroutine, under a pin of the domain.
type Image4 struct {
	nodes   *slab.Arena
	handles *Handles
	root    *slab.Table
	roof    *slab.Table
}

// NewImage4 makes an empty image with nodes in an arena of at most 2^31 words.
func NewImage4(nodes *slab.Arena, hs *Handles) *Image4 {
	return &Image4{nodes, hs, slab.NewTable(1 << root4Len), slab.NewTable(1 << roof4Len)}
}

// Lookup returns the handle of the longest prefix that holds address a, given in
// host order, or 0.
func (m *Image4) Lookup(a uint32) (handle uint32) {
	x := m.root.Load(a >> 16)
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), a>>8&0xff)
		if x&childBit != 0 {
			x = stepRun(m.nodes.Pointer(x&^childBit), a&0xff)
		}
	}
	if x == 0 {
		x = m.roof.Load(a >> (32 - roof4Len))
	}
	return x
}

// LookupBatch is Lookup of each of as into out, which is at least as long.
func (m *Image4) LookupBatch(as []uint32, out []uint32) {
	out = out[:len(as)]
	for i, a := range as {
		out[i] = m.Lookup(a)
	}
}

// Writer returns the writer of one shard, or of the roof, with its heap in the
// arena of the nodes: see NewImageHeap.
func (m *Image4) Writer(h *slab.Heap) *ImageWriter {
	return &ImageWriter{heap: h, handles: m.handles, home: m.root, roof: m.roof,
		homeLen: root4Len, roofLen: roof4Len, least: roof4Len}
}

// Close gives the memory of the tables back.
func (m *Image4) Close() {
	m.root.Close()
	m.roof.Close()
}

// Image6 is as Image4 for IPv6: home is a sparse table of 2^24 words, of which
// only the pages in use take memory; the roof has nodes of its own.
type Image6 struct {
	nodes   *slab.Arena
	handles *Handles
	root    *slab.Table
	roof    *slab.Table
}

// NewImage6 makes an empty image with nodes in an arena of at most 2^31 words.
func NewImage6(nodes *slab.Arena, hs *Handles) *Image6 {
	return &Image6{nodes, hs, slab.NewTable(1 << root6Len), slab.NewTable(1 << roof6Len)}
}

// Lookup returns the handle of the longest prefix that holds the address, given
// as its two halves, or 0.
func (m *Image6) Lookup(hi, lo uint64) (handle uint32) {
	x := m.root.Load(uint32(hi >> (64 - root6Len)))
	k := hi << root6Len
	for d := root6Len; x&childBit != 0; d += runStride {
		if d == 64 {
			k = lo
		}
		x = stepRun(m.nodes.Pointer(x&^childBit), uint32(k>>56))
		k <<= runStride
	}
	if x == 0 {
		return m.lookupRoof(hi)
	}
	return x
}

func (m *Image6) lookupRoof(hi uint64) uint32 {
	x := m.roof.Load(uint32(hi >> (64 - roof6Len)))
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), uint32(hi>>40)&0xff)
	}
	return x
}

// LookupBatch is Lookup of each address into out; hi, lo and out are as long.
func (m *Image6) LookupBatch(hi, lo []uint64, out []uint32) {
	lo, out = lo[:len(hi)], out[:len(hi)]
	for i := range hi {
		out[i] = m.Lookup(hi[i], lo[i])
	}
}

// Writer returns the writer of one shard, or of the roof, with its heap in the
// arena of the nodes: see NewImageHeap.
func (m *Image6) Writer(h *slab.Heap) *ImageWriter {
	return &ImageWriter{heap: h, handles: m.handles, home: m.root, roof: m.roof,
		homeLen: root6Len, roofLen: roof6Len, least: root6Len}
}

// Close gives the memory of the tables back.
func (m *Image6) Close() {
	m.root.Close()
	m.roof.Close()
}
