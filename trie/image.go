package trie

import (
	"sync/atomic"
	"unsafe"

	"ribd/internal/slab"
)

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
	root    slab.Table
	nodes   slab.Reader
	roof    slab.Table
	handles *Handles
}

// NewImage4 makes an empty image with nodes in an arena of at most 2^31 words.
func NewImage4(nodes *slab.Arena, hs *Handles) *Image4 {
	setBehind(nodes)
	return &Image4{*slab.NewTable(1 << root4Len), nodes.Reader(), *slab.NewTable(1 << roof4Len), hs}
}

// Lookup returns the handle of the longest prefix that holds address a, given in
// host order, 0 for none, or Behind.
func (m *Image4) Lookup(a uint32) (handle uint32) {
	x := m.root.Load(a >> 16)
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), a>>8)
	}
	if int32(x) <= 0 {
		return m.lookupRest(x, a)
	}
	return x
}

// lookupRest goes on for the few addresses that end in a second node, or in
// nothing of their home.
//
//go:noinline
func (m *Image4) lookupRest(x, a uint32) uint32 {
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), a)
	}
	if x == 0 {
		x = m.roof.Load(a >> (32 - roof4Len))
	}
	return x
}

// lanes is how many addresses of a batch go down the image side by side, so that
// the loads of a level are under way together.
const lanes = 16

// LookupBatch is Lookup of each of as into out, which is at least as long.
func (m *Image4) LookupBatch(as []uint32, out []uint32) {
	out = out[:len(as)]
	for len(as) >= lanes {
		m.lookupLanes((*[lanes]uint32)(as), (*[lanes]uint32)(out))
		as, out = as[lanes:], out[lanes:]
	}
	for i, a := range as {
		out[i] = m.Lookup(a)
	}
}

func (m *Image4) lookupLanes(as, out *[lanes]uint32) {
	var at [lanes]unsafe.Pointer // words
	root, nodes := &m.root, m.nodes
	for i, a := range as {
		out[i] = root.Load(a >> 16)
	}
	for i, x := range out {
		if x&childBit != 0 {
			at[i] = runWord(nodes.Pointer(x&^childBit), as[i]>>8)
		}
	}
	for i, x := range out {
		if x&childBit != 0 {
			out[i] = atomic.LoadUint32((*uint32)(at[i]))
		}
	}
	for i, x := range out {
		if int32(x) <= 0 {
			out[i] = m.lookupRest(x, as[i])
		}
	}
}

// Writer returns the writer of one shard, or of the roof, with its heap in the
// arena of the nodes: see NewImageHeap.
func (m *Image4) Writer(h *slab.Heap) *ImageWriter {
	return &ImageWriter{heap: h, handles: m.handles, home: &m.root, roof: &m.roof,
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
	root    slab.Table
	nodes   slab.Reader
	roof    slab.Table
	handles *Handles
}

// NewImage6 makes an empty image with nodes in an arena of at most 2^31 words.
func NewImage6(nodes *slab.Arena, hs *Handles) *Image6 {
	setBehind(nodes)
	return &Image6{*slab.NewTable(1 << root6Len), nodes.Reader(), *slab.NewTable(1 << roof6Len), hs}
}

// Lookup returns the handle of the longest prefix that holds the address, given
// as its two halves, 0 for none, or Behind.
func (m *Image6) Lookup(hi, lo uint64) (handle uint32) {
	x := m.root.Load(uint32(hi >> (64 - root6Len)))
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), uint32(hi>>32))
		if x&childBit != 0 {
			x = stepRun(m.nodes.Pointer(x&^childBit), uint32(hi>>24))
			if x&childBit != 0 {
				x = stepRun(m.nodes.Pointer(x&^childBit), uint32(hi>>16))
			}
		}
	}
	if int32(x) <= 0 {
		return m.lookupRest(x, hi, lo)
	}
	return x
}

// lookupRest goes on from the 48th bit, or to the roof.
//
//go:noinline
func (m *Image6) lookupRest(x uint32, hi, lo uint64) uint32 {
	k := hi<<48 | lo>>16
	for d := 48; x&childBit != 0; d += runStride {
		if d == 112 {
			k = lo << 48
		}
		x = stepRun(m.nodes.Pointer(x&^childBit), uint32(k>>56))
		k <<= runStride
	}
	if x != 0 {
		return x
	}
	x = m.roof.Load(uint32(hi >> (64 - roof6Len)))
	if x&childBit != 0 {
		x = stepRun(m.nodes.Pointer(x&^childBit), uint32(hi>>40))
	}
	return x
}

// LookupBatch is Lookup of each address into out; lo and out are at least as
// long as hi.
func (m *Image6) LookupBatch(hi, lo []uint64, out []uint32) {
	lo, out = lo[:len(hi)], out[:len(hi)]
	for len(hi) >= lanes {
		m.lookupLanes((*[lanes]uint64)(hi), (*[lanes]uint64)(lo), (*[lanes]uint32)(out))
		hi, lo, out = hi[lanes:], lo[lanes:], out[lanes:]
	}
	for i := range hi {
		out[i] = m.Lookup(hi[i], lo[i])
	}
}

func (m *Image6) lookupLanes(hi, lo *[lanes]uint64, out *[lanes]uint32) {
	var at [lanes]unsafe.Pointer // words
	root, nodes := &m.root, m.nodes
	for i, a := range hi {
		out[i] = root.Load(uint32(a >> (64 - root6Len)))
	}
	for shift := 32; shift >= 16; shift -= runStride {
		for i, x := range out {
			if x&childBit != 0 {
				at[i] = runWord(nodes.Pointer(x&^childBit), uint32(hi[i]>>(shift&63)))
			}
		}
		for i, x := range out {
			if x&childBit != 0 {
				out[i] = atomic.LoadUint32((*uint32)(at[i]))
			}
		}
	}
	for i, x := range out {
		if int32(x) <= 0 {
			out[i] = m.lookupRest(x, hi[i], lo[i])
		}
	}
}

// Writer returns the writer of one shard, or of the roof, with its heap in the
// arena of the nodes: see NewImageHeap.
func (m *Image6) Writer(h *slab.Heap) *ImageWriter {
	return &ImageWriter{heap: h, handles: m.handles, home: &m.root, roof: &m.roof,
		homeLen: root6Len, roofLen: roof6Len, least: root6Len}
}

// Close gives the memory of the tables back.
func (m *Image6) Close() {
	m.root.Close()
	m.roof.Close()
}
