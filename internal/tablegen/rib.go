package tablegen

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/netip"
)

// MRT types and subtypes of RFC 6396 and 8050.
const (
	mrtTableDumpV2, mrtBGP4MPET                  = 13, 17
	subPeerIndex, subIPv4Unicast, subIPv6Unicast = 1, 2, 4
	subIPv4AddPath, subIPv6AddPath               = 8, 10
	subStateChangeAS4, subMessageAS4             = 5, 4
	subMessageAS4AddPath                         = 9
)

// Counts say what was written.
type Counts struct {
	Records, Paths, IPv4, IPv6, Sets int
}

// appendHeader appends an MRT header; finish fills in the length.
func appendHeader(b []byte, seconds uint32, typ, sub uint16) []byte {
	b = binary.BigEndian.AppendUint32(b, seconds)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint16(b, sub)
	return append(b, 0, 0, 0, 0)
}

func finish(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	return b
}

// appendPrefix appends the length in bits and the octets that it needs.
func appendPrefix(b []byte, p netip.Prefix) []byte {
	b = append(b, byte(p.Bits()))
	n := (p.Bits() + 7) / 8
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return append(b, a[:n]...)
	}
	a := p.Addr().As16()
	return append(b, a[:n]...)
}

// WriteRIB writes the table as TABLE_DUMP_V2, in the forms of RFC 8050 where
// Add-Path is asked for.
func (t *Table) WriteRIB(w io.Writer) (Counts, error) {
	out := bufio.NewWriterSize(w, 1<<18)
	c := Counts{Records: 1}
	if _, err := out.Write(t.peerIndex()); err != nil {
		return c, err
	}
	var b []byte
	for i, p := range t.prefixes {
		var n int
		b, n = t.appendRecord(b[:0], i, p, uint32(c.Records-1))
		if n == 0 {
			continue
		}
		if _, err := out.Write(b); err != nil {
			return c, err
		}
		c.Records++
		c.Paths += n
		if p.Addr().Is4() {
			c.IPv4++
		} else {
			c.IPv6++
		}
	}
	for _, at := range t.cache.at {
		if at != 0 {
			c.Sets++
		}
	}
	return c, out.Flush()
}

func (t *Table) peerIndex() []byte {
	b := appendHeader(nil, uint32(t.o.Time.Unix()), mrtTableDumpV2, subPeerIndex)
	b = append(b, 192, 0, 2, 254) // the collector
	const name = "ribbench"
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.peers)))
	for _, p := range t.peers {
		kind := byte(2) // the AS has four octets
		if p.Addr.Is6() {
			kind |= 1
		}
		b = append(b, kind)
		b = append(b, p.RouterID.AsSlice()...)
		b = append(b, p.Addr.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, p.AS)
	}
	return finish(b)
}

// appendRecord appends the RIB entry record of one prefix, and returns how many
// paths it holds.
func (t *Table) appendRecord(b []byte, i int, p netip.Prefix, seq uint32) ([]byte, int) {
	sub := uint16(subIPv4Unicast)
	switch {
	case p.Addr().Is6() && t.o.AddPath > 0:
		sub = subIPv6AddPath
	case p.Addr().Is6():
		sub = subIPv6Unicast
	case t.o.AddPath > 0:
		sub = subIPv4AddPath
	}
	b = appendHeader(b, uint32(t.o.Time.Unix()), mrtTableDumpV2, sub)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = appendPrefix(b, p)
	at := len(b)
	b = append(b, 0, 0)
	n := 0
	for peer := range t.peers {
		if !t.sees(i, peer) {
			continue
		}
		for path := range t.pathsOf(i, peer) {
			b = binary.BigEndian.AppendUint16(b, uint16(peer))
			b = binary.BigEndian.AppendUint32(b, t.received(i, peer))
			if t.o.AddPath > 0 {
				b = binary.BigEndian.AppendUint32(b, uint32(path+1))
			}
			size := len(b)
			b = append(b, 0, 0)
			if path == 0 {
				b = append(b, t.attrs(t.policy[i], peer)...)
			} else {
				b = t.appendAttrs(b, t.policy[i], peer, uint64(path))
			}
			binary.BigEndian.PutUint16(b[size:], uint16(len(b)-size-2))
			n++
		}
	}
	binary.BigEndian.PutUint16(b[at:], uint16(n))
	return finish(b), n
}

// pathsOf is how many paths a peer gives of a prefix.
func (t *Table) pathsOf(i, peer int) int {
	if t.o.AddPath == 0 {
		return 1
	}
	rng := newSource(t.o.Seed, 'n', uint64(i), uint64(peer))
	return min(rng.geometric(1+float64(t.o.AddPath)/3), t.o.AddPath)
}

// received is when a peer gave a prefix: within the month before the dump, the
// same for the prefixes of a policy mostly.
func (t *Table) received(i, peer int) uint32 {
	rng := newSource(t.o.Seed, 'w', uint64(t.policy[i]), uint64(peer))
	return uint32(t.o.Time.Unix()) - uint32(rng.intN(30*24*3600))
}
