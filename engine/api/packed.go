package api

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"

	"ribd/engine/metrics"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// packedStep is how many addresses are looked up under one pin.
const packedStep = 1024

// packedBatch is the scratch of packed look-ups.
type packedBatch struct {
	a4     []uint32
	hi, lo []uint64
	out    []shard.Match
}

func (b *packedBatch) init(v4 bool) {
	if b.out == nil {
		b.out = make([]shard.Match, packedStep)
	}
	if v4 && b.a4 == nil {
		b.a4 = make([]uint32, packedStep)
	}
	if !v4 && b.hi == nil {
		b.hi, b.lo = make([]uint64, packedStep), make([]uint64, packedStep)
	}
}

// packedIn is how much of a packed body is read at a time: its answer is at most
// four times as long, and is written before more is read.
const packedIn = 32 << 10

var errMisaligned = errors.New("the body is no multiple of the size of an address")

// lookupPacked is POST lookup with packed addresses.
func (c *call) lookupPacked(l *lookups) *problem {
	if l.target.any {
		return bad("family", "is missing: ipv4-unicast (4 octets an address) or ipv6-unicast (16)")
	}
	if c.q.has(pFields) {
		return bad("fields", "packed answers have no fields to choose")
	}
	t := &l.target.table
	size := int(t.width() / 8)
	if n := c.ctx.Request.Header.ContentLength(); n > 0 && n%size != 0 {
		return fail(400, "body", "%d octets are no multiple of the %d of an address of %s", n, size, t.family)
	}
	c.packed.init(size == 4)
	if cap(c.in) < packedIn {
		c.in = make([]byte, packedIn)
	}
	in, src := c.in[:packedIn], c.source()
	// The first part is read here, so that a body that ends in the middle of an
	// address, and whose length nobody gave, is still answered 400.
	have, err := readAligned(src, in, 0, size)
	if err == errMisaligned {
		return fail(400, "body", "%d octets are no multiple of the %d of an address of %s", have, size, t.family)
	}
	if err != nil && err != io.EOF {
		return fail(400, "body", "broke off: %v", err)
	}
	if err == nil && have == c.ctx.Request.Header.ContentLength() {
		err = io.EOF
	}
	look := *l
	look.c = c
	if err == io.EOF { // all of it is here: one answer with its length
		r := &c.ctx.Response
		r.SwapBody(look.packed(in[:have], r.SwapBody(nil)[:0], size))
		r.Header.SetContentType(typeOctets)
		return nil
	}
	c.streamBody(typeOctets, "", func(out *sink) error {
		for {
			c.buf = look.packed(in[:have], c.buf[:0], size)
			if err := out.write(c.buf); err != nil {
				return err
			}
			if err == io.EOF {
				return nil
			}
			if have, err = readAligned(src, in, 0, size); err != nil && err != io.EOF {
				return err
			}
		}
	})
	return nil
}

// readAligned reads what has come, and on until it is whole addresses.
func readAligned(r io.Reader, b []byte, have, size int) (int, error) {
	for {
		n, err := r.Read(b[have:])
		have += n
		switch {
		case err == io.EOF && have%size != 0:
			return have, errMisaligned
		case err != nil:
			return have, err
		case have > 0 && have%size == 0:
			return have, nil
		}
	}
}

// packed answers whole addresses.
func (l *lookups) packed(in, out []byte, size int) []byte {
	n := len(in) / size
	l.c.s.metrics.Lookups[l.kind(metrics.Packed)].Add(n)
	at := len(out)
	need := at + n*recordSize
	if cap(out) < need {
		out = append(make([]byte, 0, max(need, 4*cap(out))), out...)
	}
	out = out[:need]
	for len(in) > 0 {
		k := min(len(in), packedStep*size)
		switch {
		case l.filtered || !l.target.table.fast():
			l.packedSlow(in[:k], out[at:], size)
		case size == 4:
			l.packed4(in[:k], out[at:])
		default:
			l.packed6(in[:k], out[at:])
		}
		in, at = in[k:], at+k/size*recordSize
	}
	return out
}

func (l *lookups) packed4(in, out []byte) {
	b := &l.c.packed
	n := len(in) / 4
	as, ms := b.a4[:n], b.out[:n]
	for i := range as {
		as[i] = binary.BigEndian.Uint32(in[4*i:])
	}
	rd := l.c.rd
	rd.Pin()
	rd.MatchBatch4(as, ms)
	l.records(rd, ms, out)
	rd.Unpin()
}

func (l *lookups) packed6(in, out []byte) {
	b := &l.c.packed
	n := len(in) / 16
	his, los, ms := b.hi[:n], b.lo[:n], b.out[:n]
	for i := range his {
		his[i] = binary.BigEndian.Uint64(in[16*i:])
		los[i] = binary.BigEndian.Uint64(in[16*i+8:])
	}
	rd := l.c.rd
	rd.Pin()
	rd.MatchBatch6(his, los, ms)
	for i := range his {
		if his[i] == 0 && los[i]>>32 == 0xffff { // IPv4-mapped: counts as IPv4
			ms[i] = rd.Match4(uint32(los[i]))
		}
	}
	l.records(rd, ms, out)
	rd.Unpin()
}

// records writes the answers to matches, under the pin that they were made by.
func (l *lookups) records(rd *shard.Reader, ms []shard.Match, out []byte) {
	attrs := l.c.s.rib.Attrs()
	for i := range ms {
		b := out[recordSize*i : recordSize*i+recordSize : recordSize*i+recordSize]
		if !ms[i].OK() {
			putRecord(b, 255, 0, 0, 0, 0, 0)
			continue
		}
		p, count, flags := rd.Best(ms[i])
		if count == 0 {
			putRecord(b, 255, 0, 0, 0, 0, 0)
			continue
		}
		origin, neighbor := attrs.OriginNeighbor(p.Attrs)
		putRecord(b, ms[i].Len, flags, count, origin, neighbor, uint32(p.Attrs))
	}
}

// packedSlow answers with filters, or from another table than unicast.
func (l *lookups) packedSlow(in, out []byte, size int) {
	t := l.target.table
	for i := range len(in) / size {
		a, _ := netip.AddrFromSlice(in[size*i : size*i+size])
		a = a.Unmap()
		b := out[recordSize*i : recordSize*i+recordSize]
		at := t
		if t.width() == 128 && a.Is4() {
			at = unmapped(l.c, t)
		}
		m := l.match(&at, a)
		if !m.OK() {
			putRecord(b, 255, 0, 0, 0, 0, 0)
			continue
		}
		l.record(b, m)
	}
}

// unmapped is the IPv4 table beside an IPv6 one.
func unmapped(c *call, t tableRef) tableRef {
	return c.find(wire.MakeFamily(1, t.family.SAFI()), t.rd)
}

// record answers from the paths that match left in c.paths.
func (l *lookups) record(b []byte, m shard.Match) {
	paths, f := l.c.paths, &l.c.filter
	best := &paths[0]
	var flags shard.Flags
	if best.Stale != rib.StaleNo {
		flags |= shard.FlagStale
	}
	if info, ok := l.c.s.rib.Peer(best.Peer); ok && info.Internal {
		flags |= shard.FlagInternal
	}
	origin, neighbor := l.c.s.rib.Attrs().OriginNeighbor(f.attrsOf(best))
	for i := range paths[1:] {
		if o, _ := l.c.s.rib.Attrs().OriginNeighbor(f.attrsOf(&paths[i+1])); o != origin {
			flags |= shard.FlagManyOrigins
			break
		}
	}
	putRecord(b, m.Len, flags, len(paths), origin, neighbor, uint32(f.attrsOf(best)))
}
