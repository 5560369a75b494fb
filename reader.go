package ribd

import (
	"encoding/binary"
	"net/netip"

	"ribd/shard"
	"ribd/shard/rib"
)

// Reader looks addresses up in the latest state of a table: it never waits for
// a loader, nor a loader for it, and allocates nothing. Each is for one
// goroutine. Close it.
type Reader struct {
	t  *Table
	rd *shard.Reader

	at4  []uint32 // the addresses of a batch, by family, and where they stand
	at6  []uint64
	lo6  []uint64
	of4  []int32
	of6  []int32
	out4 []shard.Match
	out6 []shard.Match
}

// Answer is what a Reader says of an address: a small value that may be kept.
type Answer struct {
	// Prefix is the longest match; it is not valid where there is none.
	Prefix netip.Prefix
	// OriginAS is the AS that the best path starts at, NeighborAS the one that
	// it was last sent by; 0 where there is none.
	OriginAS, NeighborAS uint32
	// Paths is the number of paths.
	Paths int
	// AttrsID names the best path's attribute set; see Table.Attributes.
	AttrsID uint32
}

// OK says whether anything matched.
func (a Answer) OK() bool { return a.Prefix.IsValid() }

// NewReader makes a reader.
func (t *Table) NewReader() *Reader { return &Reader{t: t, rd: t.rib.NewReader()} }

// Close ends the reader.
func (r *Reader) Close() { r.rd.Close() }

// Lookup returns the longest match of an address. For many, LookupBatch costs
// less.
func (r *Reader) Lookup(a netip.Addr) Answer {
	if !a.IsValid() {
		return Answer{}
	}
	r.rd.Pin()
	defer r.rd.Unpin()
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return r.answer(r.rd.Match4(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return r.answer(r.rd.Match6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])))
}

// LookupBatch looks every address up and writes the answers into out, which is
// as long as addrs.
func (r *Reader) LookupBatch(addrs []netip.Addr, out []Answer) {
	const part = 1024
	for len(addrs) > part {
		r.batch(addrs[:part], out[:part])
		addrs, out = addrs[part:], out[part:]
	}
	r.batch(addrs, out)
}

func (r *Reader) batch(addrs []netip.Addr, out []Answer) {
	r.at4, r.at6, r.lo6, r.of4, r.of6 = r.at4[:0], r.at6[:0], r.lo6[:0], r.of4[:0], r.of6[:0]
	for i, a := range addrs {
		out[i] = Answer{}
		switch a = a.Unmap(); {
		case a.Is4():
			b := a.As4()
			r.at4 = append(r.at4, binary.BigEndian.Uint32(b[:]))
			r.of4 = append(r.of4, int32(i))
		case a.IsValid():
			b := a.As16()
			r.at6 = append(r.at6, binary.BigEndian.Uint64(b[:8]))
			r.lo6 = append(r.lo6, binary.BigEndian.Uint64(b[8:]))
			r.of6 = append(r.of6, int32(i))
		}
	}
	r.out4, r.out6 = grow(r.out4, len(r.at4)), grow(r.out6, len(r.at6))
	r.rd.Pin()
	defer r.rd.Unpin()
	r.rd.MatchBatch4(r.at4, r.out4)
	for i, at := range r.of4 {
		out[at] = r.answer(r.out4[i])
	}
	r.rd.MatchBatch6(r.at6, r.lo6, r.out6)
	for i, at := range r.of6 {
		out[at] = r.answer(r.out6[i])
	}
}

func grow(s []shard.Match, n int) []shard.Match {
	if cap(s) < n {
		return make([]shard.Match, n)
	}
	return s[:n]
}

// answer reads a match under the pin that it was found in.
func (r *Reader) answer(m shard.Match) Answer {
	if !m.OK() {
		return Answer{}
	}
	p, n, _ := r.rd.Best(m)
	if n == 0 {
		return Answer{}
	}
	a := Answer{Prefix: m.Prefix(), Paths: n, AttrsID: uint32(p.Attrs)}
	a.OriginAS, a.NeighborAS = r.t.rib.Attrs().OriginNeighbor(p.Attrs)
	return a
}

// Attributes decodes the attribute set of an id; ok is false when nothing uses
// it any more.
func (t *Table) Attributes(id uint32) (a Attributes, ok bool) {
	b, ok := t.rib.Attrs().Bytes(rib.AttrID(id))
	if !ok {
		return Attributes{}, false
	}
	return decodeAttributes(append([]byte(nil), b...)), true
}
