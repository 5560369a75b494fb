package fuzz

import (
	"bytes"
	"net/netip"
	"testing"

	"ribd/wire"
	"ribd/wire/mrt"
)

// FuzzMRTRecord promises of every record: what decodes encodes to the same
// octets; an error lies within the record; every slice that is handed out
// lies within the record; no prefix is longer than its family, and its key
// has no bit past its length.
func FuzzMRTRecord(f *testing.F) {
	for _, seed := range mrtSeeds() {
		f.Add(uint16(seed.ty), uint16(seed.sub), seed.body)
	}
	f.Fuzz(func(t *testing.T, ty, sub uint16, body []byte) {
		b := mrt.Begin(nil, 1, 0, mrt.Type(ty), mrt.Subtype(sub))[:mrt.HeaderLen]
		b = append(b, body...)
		mrt.End(b)
		b = b[:len(b):len(b)] // a read past the end panics
		var r mrt.Record
		if err := r.Parse(b); err != nil {
			checkMRTError(t, err, b)
			return
		}
		d := mrtDecoder{t: t, rec: b}
		out := mrt.Begin(nil, r.Time, r.Micros, r.Type, r.Subtype)
		out, err := d.again(out, &r)
		if err != nil {
			checkMRTError(t, err, b)
			return
		}
		if r.Kind() == mrt.KindOther || r.Kind() == mrt.KindUnknown {
			return
		}
		mrt.End(out)
		if !bytes.Equal(out, b) {
			t.Fatalf("%v %s: decodes, but encodes to other octets\n got %x\nwant %x", r.Type, mrt.SubtypeName(r.Type, r.Subtype), out, b)
		}
	})
}

// FuzzMRTResync promises: records that follow damage are found, never before
// the damage begins and never past the first of them.
func FuzzMRTResync(f *testing.F) {
	f.Add([]byte{}, uint8(3))
	f.Add(bytes.Repeat([]byte{0, 16}, 20), uint8(5))
	m := mrt.StateChange{PeerAS: 65001, Peer: netip.MustParseAddr("192.0.2.1"), Local: netip.MustParseAddr("192.0.2.2"), Old: 6, New: 1}
	rec := m.Append(mrt.Begin(nil, 1_700_000_000, 0, mrt.TypeBGP4MP, mrt.StateChangeAS2))
	mrt.End(rec)
	f.Fuzz(func(t *testing.T, damage []byte, n uint8) {
		b := bytes.Clone(damage)
		for range 3 + n%8 {
			b = append(b, rec...)
		}
		at, ok := mrt.Resync(b, 1_700_000_000, true)
		if !ok {
			t.Fatalf("records after %d octets of damage are not found", len(damage))
		}
		if at > len(damage) {
			t.Fatalf("records go on at %d, found at %d", len(damage), at)
		}
	})
}

type mrtSeed struct {
	ty   mrt.Type
	sub  mrt.Subtype
	body []byte
}

// mrtSeeds is one sound body for each form.
func mrtSeeds() []mrtSeed {
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	keepalive := append(bytes.Repeat([]byte{255}, 16), 0, 19, 4)
	var seeds []mrtSeed
	add := func(ty mrt.Type, sub mrt.Subtype, body []byte) { seeds = append(seeds, mrtSeed{ty, sub, body}) }

	p4, p6 := mrt.Peer{Addr: a4, AS: 65001}, mrt.Peer{Type: 3, Addr: a6, AS: 4_200_000_000}
	index := mrt.PeerIndex{CollectorID: 1, ViewName: []byte("view"), Count: 2}
	add(mrt.TypeTableDump2, mrt.PeerIndexTable, p6.Append(p4.Append(index.Append(nil))))
	geo := mrt.GeoPeers{Count: 1}
	g := mrt.GeoPeer{Peer: p6}
	add(mrt.TypeTableDump2, mrt.GeoPeerTable, g.Append(geo.Append(nil)))
	entry := mrt.Entry{Peer: 1, Originated: 2, PathID: 3, Attrs: []byte{0x40, 1, 1, 0}}
	for _, r := range []mrt.RIB{
		{Family: wire.IPv4Unicast, NLRI: []byte{24, 192, 0, 2}, Count: 1},
		{Family: wire.IPv6Unicast, NLRI: []byte{32, 0x20, 1, 0xd, 0xb8}, Count: 1},
		{Family: wire.IPv4Multicast, NLRI: []byte{0}, Count: 1, Layout: mrt.LayoutEntries},
		{Family: wire.IPv4VPN, NLRI: []byte{0x70, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 10, 0, 0}, Count: 1},
		{Family: wire.L2VPNEVPN, NLRI: []byte{2, 1, 0}, Count: 1, Layout: mrt.LayoutEntries},
		{Family: wire.L2VPNEVPN, NLRI: []byte{2, 1, 0}, Count: 1, Layout: mrt.LayoutNLRI, PathID: 9},
	} {
		add(mrt.TypeTableDump2, r.Subtype(), entry.Append(r.Append(nil, r.Subtype()), r.Layout))
	}
	td := mrt.TableDump{Family: wire.IPv4Unicast, Prefix: [16]byte{10}, Len: 8, Status: 1, Peer: a4, PeerAS: 65001, Attrs: entry.Attrs}
	add(mrt.TypeTableDump, mrt.TableDumpIPv4, td.Append(nil))
	for sub := mrt.MessageAS2; sub <= mrt.MessageAS4LocalAP; sub++ {
		m := mrt.Message{PeerAS: 1, LocalAS: 2, Peer: a6, Local: a6, Data: keepalive}
		m.AS4 = sub == mrt.MessageAS4 || sub == mrt.MessageAS4Local || sub == mrt.MessageAS4AP || sub == mrt.MessageAS4LocalAP
		add(mrt.TypeBGP4MP, sub, m.Append(nil))
		add(mrt.TypeBGP4MPET, sub, append([]byte{0, 0, 0, 1}, m.Append(nil)...))
	}
	s := mrt.StateChange{PeerAS: 1, LocalAS: 2, Peer: a4, Local: a4, Old: 6, New: 7}
	add(mrt.TypeBGP4MP, mrt.StateChangeAS2, s.Append(nil))
	old := mrt.OldEntry{Peer: a4, Local: a4, Family: wire.IPv4Unicast, NextHop: []byte{192, 0, 2, 1}, NLRI: []byte{8, 10}, Attrs: entry.Attrs}
	add(mrt.TypeBGP4MP, mrt.BGP4MPEntry, old.Append(nil))
	m := mrt.Message{PeerAS: 1, LocalAS: 2, Peer: a4, Local: a4, Body: []byte{0, 0, 0, 0}}
	add(mrt.TypeBGP, mrt.BGPUpdate, m.Append(nil))
	m.Peer, m.Local = a6, a6
	add(mrt.TypeBGP4Plus, mrt.BGPOpen, m.Append(nil))
	s = mrt.StateChange{PeerAS: 1, Peer: a4, Old: 6, New: 1}
	add(mrt.TypeBGP, mrt.BGPStateChange, s.Append(nil))
	return seeds
}

// mrtDecoder decodes a record by its kind and appends what it decoded.
type mrtDecoder struct {
	t   *testing.T
	rec []byte
}

// within fails the test where part is no part of the record.
func (d *mrtDecoder) within(name string, part []byte, off int) {
	if len(part) == 0 {
		return
	}
	if off < 0 {
		off = bytes.Index(d.rec, part)
	}
	if off < 0 || off+len(part) > len(d.rec) || !bytes.Equal(d.rec[off:off+len(part)], part) || cap(part) > cap(d.rec) {
		d.t.Fatalf("%s is not at octet %d of the record", name, off)
	}
}

// key fails the test where a prefix is too long or not canonical.
func (d *mrtDecoder) key(v4 bool, hi, lo uint64, n uint8) {
	most := uint8(128)
	if v4 {
		most = 32
	}
	var m0, m1 uint64
	if n >= 64 {
		m0, m1 = ^uint64(0), ^(^uint64(0) >> (n - 64))
	} else {
		m0 = ^(^uint64(0) >> n)
	}
	if n > most || hi&^m0 != 0 || lo&^m1 != 0 {
		d.t.Fatalf("prefix %x %x/%d is not canonical", hi, lo, n)
	}
}

func (d *mrtDecoder) again(dst []byte, r *mrt.Record) ([]byte, *mrt.Error) {
	switch r.Kind() {
	case mrt.KindTableDump:
		var x mrt.TableDump
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		d.within("attributes", x.Attrs, x.AttrsOff)
		hi, lo, n := x.Key()
		d.key(x.Family.Is4(), hi, lo, n)
		return x.Append(dst), nil
	case mrt.KindPeerIndex:
		var x mrt.PeerIndex
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		d.within("view name", x.ViewName, -1)
		dst = x.Append(dst)
		w := x.Peers()
		for w.Next() {
			p := w.Peer()
			dst = p.Append(dst)
		}
		return dst, w.Err()
	case mrt.KindGeoPeers:
		var x mrt.GeoPeers
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		dst = x.Append(dst)
		w := x.Peers()
		for w.Next() {
			p := w.Peer()
			dst = p.Append(dst)
		}
		return dst, w.Err()
	case mrt.KindRIB:
		return d.rib(dst, r)
	}
	return d.session(dst, r)
}

func (d *mrtDecoder) rib(dst []byte, r *mrt.Record) ([]byte, *mrt.Error) {
	var x mrt.RIB
	if err := x.Parse(r); err != nil {
		return dst, err
	}
	d.within("NLRI", x.NLRI, -1)
	if x.Family.Form() == wire.FormPrefix {
		hi, lo, n := x.Key()
		d.key(x.Family.Is4(), hi, lo, n)
	}
	dst = x.Append(dst, r.Subtype)
	w := x.Entries()
	n := 0
	for w.Next() {
		e := w.Entry()
		d.within("attributes", e.Attrs, e.AttrsOff)
		dst = e.Append(dst, x.Layout)
		n++
	}
	if w.Err() == nil && n != x.Count {
		d.t.Fatalf("%d entries of %d and no error", n, x.Count)
	}
	return dst, w.Err()
}

func (d *mrtDecoder) session(dst []byte, r *mrt.Record) ([]byte, *mrt.Error) {
	switch r.Kind() {
	case mrt.KindMessage:
		var x mrt.Message
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		d.within("message", x.Body, x.BodyOff)
		return x.Append(dst), nil
	case mrt.KindStateChange:
		var x mrt.StateChange
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		return x.Append(dst), nil
	case mrt.KindEntry:
		var x mrt.OldEntry
		if err := x.Parse(r); err != nil {
			return dst, err
		}
		d.within("attributes", x.Attrs, x.AttrsOff)
		hi, lo, n := x.Key()
		d.key(x.Family.Is4(), hi, lo, n)
		return x.Append(dst), nil
	}
	return dst, nil
}

func checkMRTError(t *testing.T, err *mrt.Error, rec []byte) {
	t.Helper()
	if err.Off < 0 || err.Off > len(rec) {
		t.Fatalf("%v: octet %d of a record of %d", err, err.Off, len(rec))
	}
	if err.Field == "" || err.Reason == "" || err.RFC == "" {
		t.Fatalf("error without field, reason or section: %#v", err)
	}
}
