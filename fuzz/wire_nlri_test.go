package fuzz

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ribd/wire"
)

// nlriFamilies are the families that FuzzNLRI walks: each form, and each
// framing of raw NLRI.
var nlriFamilies = []wire.Family{
	wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast, wire.IPv4VPN, wire.IPv6VPN,
	wire.L2VPNEVPN, wire.LS, wire.IPv4FlowSpec, wire.IPv6FlowSpecVPN, wire.MakeFamily(25, 65), wire.MakeFamily(1, 132),
	wire.MakeFamily(1, 85), wire.MakeFamily(1, 5), wire.MakeFamily(99, 99),
}

// nlriWalk is what one walk over a block found: the block written again, and
// the same with the spare bits of each prefix as they came.
type nlriWalk struct {
	again, masked []byte
	err           *wire.Error
}

// FuzzNLRI: what decodes encodes to the same octets, but for the spare bits of
// a prefix; every prefix is canonical; a walk ends at the end or with an error
// that points to the rest.
func FuzzNLRI(f *testing.F) {
	for i := range nlriFamilies {
		for mode := range byte(4) {
			f.Add([]byte{24, 10, 0, 1, 8, 11, 0}, byte(i), mode)
			f.Add([]byte{0, 0, 0, 1, 32, 0x20, 1, 0xd, 0xb8}, byte(i), mode)
			f.Add([]byte{104, 0, 1, 1, 0, 0, 0xfd, 0xe9, 0, 0, 0, 1, 10, 0}, byte(i), mode)
			f.Add([]byte{2, 3, 1, 2, 3, 0, 0}, byte(i), mode)
			f.Add([]byte{0, 1, 0, 2, 1, 2}, byte(i), mode)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, which, mode byte) {
		fam := nlriFamilies[int(which)%len(nlriFamilies)]
		addPath, single := mode&1 != 0, mode&2 != 0
		var w nlriWalk
		const off = 23
		switch fam.Form() {
		case wire.FormPrefix:
			if fam.Is4() {
				w = walkNLRI4(t, b, off, addPath)
			} else {
				w = walkNLRI6(t, b, off, addPath)
			}
		case wire.FormRaw:
			w = walkRaw(b, off, fam, addPath)
		default:
			w = walkLabelled(t, b, off, fam, addPath, single)
		}
		if n := len(w.again); n > len(b) || !bytes.Equal(w.masked, w.again) {
			t.Fatalf("%v: %x\nreads as   %x\nencodes as %x", fam, b, w.masked, w.again)
		}
		if (w.err == nil) != (len(w.again) == len(b)) {
			t.Fatalf("%v: %x: walked %d octets of %d, error %v", fam, b, len(w.again), len(b), w.err)
		}
		if e := w.err; e != nil {
			if e.Start != off || e.End != off+len(b) || e.Off < off+len(w.again) || e.Off >= e.End || e.Action != wire.SessionReset {
				t.Fatalf("%v: %x: %+v, after %d octets", fam, b, *e, len(w.again))
			}
		}
	})
}

// keep notes an NLRI that was written again, whose prefix has n bits, beside
// the octets of the block that it came from.
func (w *nlriWalk) keep(b []byte, n uint8) {
	came := bytes.Clone(b[len(w.masked):min(len(w.again), len(b))])
	if n%8 != 0 && len(came) > 0 {
		came[len(came)-1] &= 0xff << (8 - n%8)
	}
	w.masked = append(w.masked, came...)
}

func (w *nlriWalk) id(has bool, id uint32) {
	if has {
		w.again = binary.BigEndian.AppendUint32(w.again, id)
	}
}

func walkNLRI4(t *testing.T, b []byte, off int, addPath bool) (r nlriWalk) {
	w := wire.NewNLRI4(b, off, addPath)
	for w.Next() {
		if p := w.Prefix(); !p.IsValid() || p != p.Masked() {
			t.Fatalf("%x: prefix %v", b, p)
		}
		r.id(w.HasPathID(), w.PathID())
		r.again = wire.AppendNLRI4(r.again, w.Addr(), w.Len())
		r.keep(b, w.Len())
	}
	r.err = w.Err()
	return r
}

func walkNLRI6(t *testing.T, b []byte, off int, addPath bool) (r nlriWalk) {
	w := wire.NewNLRI6(b, off, addPath)
	for w.Next() {
		if p := w.Prefix(); !p.IsValid() || p != p.Masked() {
			t.Fatalf("%x: prefix %v", b, p)
		}
		r.id(w.HasPathID(), w.PathID())
		r.again = wire.AppendNLRI6(r.again, w.Hi(), w.Lo(), w.Len())
		r.keep(b, w.Len())
	}
	r.err = w.Err()
	return r
}

func walkLabelled(t *testing.T, b []byte, off int, f wire.Family, addPath, single bool) (r nlriWalk) {
	w := wire.NewNLRILabelled(b, off, f, addPath, single)
	for w.Next() {
		if p := w.Prefix(); !p.IsValid() || p != p.Masked() || len(w.Labels()) == 0 || len(w.Labels())%3 != 0 {
			t.Fatalf("%x: prefix %v, labels %x", b, p, w.Labels())
		}
		r.id(w.HasPathID(), w.PathID())
		r.again = wire.AppendNLRILabelled(r.again, w.HasRD(), w.RD(), w.Labels(), w.Hi(), w.Lo(), w.Len())
		r.keep(b, w.Len())
	}
	r.err = w.Err()
	return r
}

func walkRaw(b []byte, off int, f wire.Family, addPath bool) (r nlriWalk) {
	w := wire.NewNLRIRaw(b, off, f, addPath)
	for w.Next() {
		r.id(w.HasPathID(), w.PathID())
		r.again = append(r.again, w.Bytes()...)
		r.keep(b, 0)
	}
	r.err = w.Err()
	return r
}
