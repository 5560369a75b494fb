package wire

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// slowPrefix reads one prefix the obvious way, bit by bit.
func slowPrefix(b []byte, most int) (p netip.Prefix, size int, ok bool) {
	n := int(b[0])
	size = 1 + (n+7)/8
	if n > most || size > len(b) {
		return p, 0, false
	}
	var a [16]byte
	for i := range n {
		a[i/8] |= b[1+i/8] & (0x80 >> (i % 8))
	}
	if most == 32 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(a[:4])), n), size, true
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), n), size, true
}

// TestCursorsEqualTheSlowReading walks random blocks, sound and broken.
func TestCursorsEqualTheSlowReading(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 20000 {
		most := 32
		if r.IntN(2) == 0 {
			most = 128
		}
		addPath := r.IntN(2) == 0
		var b []byte
		for range r.IntN(5) {
			if addPath {
				b = append(b, byte(r.Uint32()), 0, 0, 1)
			}
			n := r.IntN(most + 1)
			b = append(b, byte(n))
			for range (n + 7) / 8 {
				b = append(b, byte(r.Uint32()))
			}
		}
		switch r.IntN(6) {
		case 0:
			b = b[:len(b)-r.IntN(len(b)+1)]
		case 1:
			if len(b) > 0 {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
		}
		checkWalk(t, b, most, addPath)
	}
}

func checkWalk(t *testing.T, b []byte, most int, addPath bool) {
	t.Helper()
	w4, w6 := NewNLRI4(b, 7, addPath), NewNLRI6(b, 7, addPath)
	next, err, prefix, id, end := w4.Next, w4.Err, w4.Prefix, w4.PathID, check4(b, addPath)
	if most == 128 {
		next, err, prefix, id, end = w6.Next, w6.Err, w6.Prefix, w6.PathID, check6(b, addPath)
	}
	p := 0
	for {
		at, wantID := p, uint32(0)
		ok := p < len(b)
		if ok && addPath {
			if ok = len(b)-p > 4; ok {
				wantID = be32(b[p:])
				at += 4
			}
		}
		var want netip.Prefix
		size := 0
		if ok {
			want, size, ok = slowPrefix(b[at:], most)
		}
		if got := next(); got != ok {
			t.Fatalf("%x: Next is %v at octet %d, want %v", b, got, p, ok)
		}
		if !ok {
			break
		}
		if got := prefix(); got != want || got != got.Masked() {
			t.Fatalf("%x: got %v at octet %d, want %v", b, got, p, want)
		}
		if got := id(); got != wantID {
			t.Fatalf("%x: got path id %d at octet %d, want %d", b, got, p, wantID)
		}
		p = at + size
	}
	e := err()
	if (e != nil) != (p < len(b)) || end != p {
		t.Fatalf("%x: ended at octet %d of %d with %v; the check says %d", b, p, len(b), e, end)
	}
	if e != nil && (e.Off < 7+p || e.Off >= 7+len(b) || e.Start != 7 || e.End != 7+len(b) || e.Action != SessionReset) {
		t.Fatalf("%x: %+v, walk ended at %d", b, e, p)
	}
}

func TestLabelStacks(t *testing.T) {
	rd := []byte{0, 1, 192, 0, 2, 1, 0, 5}
	for _, c := range []struct {
		name     string
		f        Family
		withdraw bool
		nlri     []byte
		labels   []byte
		prefix   string
		rd       uint64
	}{
		{"one label", IPv4LabelledUnicast, false, []byte{24 + 8, 0, 1, 1, 10}, []byte{0, 1, 1}, "10.0.0.0/8", 0},
		{"two labels", IPv4LabelledUnicast, false, []byte{48 + 8, 0, 1, 0, 0, 2, 1, 10}, []byte{0, 1, 0, 0, 2, 1}, "10.0.0.0/8", 0},
		{"one label without the bit (RFC 8277 2.2)", IPv4LabelledUnicast, false, []byte{24 + 8, 0, 1, 0, 10}, []byte{0, 1, 0}, "10.0.0.0/8", 0},
		{"withdrawal (RFC 8277 2.4)", IPv4LabelledUnicast, true, []byte{24 + 8, 0x80, 0, 0, 10}, []byte{0x80, 0, 0}, "10.0.0.0/8", 0},
		{"withdrawal, any label", IPv6LabelledUnicast, true, []byte{24 + 16, 0, 0, 0, 0x20, 1}, []byte{0, 0, 0}, "2001::/16", 0},
		{"VPN", IPv4VPN, false, append(append([]byte{24 + 64 + 12, 0, 1, 1}, rd...), 10, 0xff), []byte{0, 1, 1}, "10.240.0.0/12", 0x0001c00002010005},
		{"VPN, default route", IPv6VPN, true, append([]byte{24 + 64, 0x80, 0, 0}, rd...), []byte{0x80, 0, 0}, "::/0", 0x0001c00002010005},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewNLRILabelled(c.nlri, 0, c.f, false, c.withdraw)
			if !w.Next() || !bytes.Equal(w.Labels(), c.labels) || w.Prefix().String() != c.prefix || w.RD() != c.rd || w.HasRD() != (c.f.Form() == FormVPN) {
				t.Fatalf("got %x %x %v (%v)", w.RD(), w.Labels(), w.Prefix(), w.Err())
			}
			if w.Next() || w.Err() != nil {
				t.Errorf("goes on: %v", w.Err())
			}
		})
	}
	for _, c := range []struct {
		name string
		f    Family
		nlri []byte
	}{
		{"no room for a label", IPv4LabelledUnicast, []byte{23, 0, 1, 1}},
		{"no room for a distinguisher", IPv4VPN, []byte{24 + 63, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"prefix over 32", IPv4LabelledUnicast, []byte{24 + 33, 0, 1, 1, 1, 2, 3, 4, 5}},
		{"overrun", IPv4LabelledUnicast, []byte{24 + 32, 0, 1, 1, 1, 2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewNLRILabelled(c.nlri, 5, c.f, false, false)
			if w.Next() || w.Err() == nil || w.Err().Off != 5 {
				t.Errorf("got %v", w.Err())
			}
		})
	}
}

func TestRawFraming(t *testing.T) {
	for _, c := range []struct {
		f    Family
		b    []byte
		want int
	}{
		{L2VPNEVPN, []byte{2, 1, 9, 3, 0}, 2},
		{LS, []byte{0, 1, 0, 1, 9, 0, 2, 0, 0}, 2},
		{IPv4FlowSpec, append([]byte{3, 1, 8, 10, 0xf0, 240}, make([]byte, 240)...), 2},
		{MakeFamily(25, 65), []byte{0, 2, 1, 2, 0, 0}, 2},
		{MakeFamily(1, 132), append([]byte{96}, append(make([]byte, 12), 0)...), 2},
		{MakeFamily(1, 85), []byte{1, 0, 1, 2, 7, 7}, 1},
		{MakeFamily(1, 5), []byte{1, 2, 7, 7}, 1},
		{MakeFamily(77, 5), []byte{1, 2, 7, 7}, 1},
	} {
		for _, addPath := range []bool{false, true} {
			b := c.b
			if addPath {
				b = append([]byte{0, 0, 0, 5}, b...)
				if c.want == 2 {
					continue
				}
			}
			w := NewNLRIRaw(b, 0, c.f, addPath)
			n := 0
			var all []byte
			for w.Next() {
				all = append(all, w.Bytes()...)
				n++
				if w.HasPathID() && w.PathID() != 5 {
					t.Errorf("%v: path id %d", c.f, w.PathID())
				}
			}
			if n != c.want || w.Err() != nil || !w.HasPathID() && !bytes.Equal(all, b) {
				t.Errorf("%v: %d NLRI (%v), want %d", c.f, n, w.Err(), c.want)
			}
		}
		if c.f.frame() == frameWhole {
			continue
		}
		w := NewNLRIRaw(c.b[:1], 9, c.f, false)
		if w.Next() || w.Err() == nil || w.Err().Off != 9 {
			t.Errorf("%v: an NLRI cut short passed: %v", c.f, w.Err())
		}
	}
}
