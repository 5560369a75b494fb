package mrt_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
	"ribd/wire/mrt"
)

// record makes one record of a body in hex (spaces are for the reader).
func record(t testing.TB, ty mrt.Type, s mrt.Subtype, body string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	out := mrt.Begin(nil, 1_700_000_000, 0, ty, s)
	if ty == mrt.TypeBGP4MPET {
		out = out[:mrt.HeaderLen] // the body in hex begins with the microseconds
	}
	out = append(out, b...)
	mrt.End(out)
	return out
}

func parse(t testing.TB, b []byte) *mrt.Record {
	t.Helper()
	r := new(mrt.Record)
	if err := r.Parse(b); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMalformedRecordsSayWhereAndWhy(t *testing.T) {
	const (
		td2 = mrt.TypeTableDump2
		mp  = mrt.TypeBGP4MP
	)
	keepalive := strings.Repeat("ff", 16) + "0013 04"
	session := "fde8 fde9 0000 0001 c0000201 c0000202"
	tests := []struct {
		name string
		ty   mrt.Type
		sub  mrt.Subtype
		body string
		want string
	}{
		{"view name overruns", td2, mrt.PeerIndexTable, "01020304 0010 6162", "mrt: View Name at octet 18: longer than the record (RFC 6396 4.3.1)"},
		{"more peers than octets", td2, mrt.PeerIndexTable, "01020304 0000 0002 00 01010101 c0000201 fde8", "mrt: Peer Count at octet 18: more peers than the record can hold (RFC 6396 4.3.1)"},
		{"last peer cut off", td2, mrt.PeerIndexTable, "01020304 0000 0001 02 01010101 c0000201 fde8", "mrt: Peer Entries at octet 20: last peer cut off (RFC 6396 4.3.1)"},
		{"octets after the peers", td2, mrt.PeerIndexTable, "01020304 0000 0001 00 01010101 c0000201 fde8 00", "mrt: Peer Entries at octet 31: octets left over after the last peer (RFC 6396 4.3.1)"},
		{"prefix of 33 bits", td2, mrt.RIBIPv4Unicast, "00000001 21 0a000000 00 0000", "mrt: Prefix Length at octet 16: over 32 (RFC 6396 4.3.2)"},
		{"prefix of 129 bits", td2, mrt.RIBIPv6Unicast, "00000001 81 20010db8 0000", "mrt: Prefix Length at octet 16: over 128 (RFC 6396 4.3.2)"},
		{"prefix cut off", td2, mrt.RIBIPv4Unicast, "00000001 18 0a00 00", "mrt: Prefix at octet 17: cut off (RFC 6396 4.3.2)"},
		{"more entries than octets", td2, mrt.RIBIPv4Unicast, "00000001 08 0a 0002 0000 00000000 0000", "mrt: Entry Count at octet 18: more entries than the record can hold (RFC 6396 4.3.2)"},
		{"attributes overrun", td2, mrt.RIBIPv4Unicast, "00000001 08 0a 0001 0000 00000000 0005 40010100", "mrt: RIB Entries at octet 20: entry longer than the record (RFC 6396 4.3.4)"},
		{"octets after the entries", td2, mrt.RIBIPv4Unicast, "00000001 08 0a 0001 0000 00000000 0000 ff", "mrt: RIB Entries at octet 28: octets left over after the last entry (RFC 6396 4.3.4)"},
		{"generic of a family without a format", td2, mrt.RIBGeneric, "00000001 0063 63 0102 0000", "mrt: Network Layer Reachability Information at octet 19: of a family whose format is not known (RFC 6396 4.3.3)"},
		{"generic NLRI overruns", td2, mrt.RIBGeneric, "00000001 0001 80 70 0001", "mrt: Network Layer Reachability Information at octet 19: longer than the record (RFC 6396 4.3.3)"},
		{"family of a session", mp, mrt.MessageAS2, "fde8 fde9 0000 0003 c0000201 c0000202", "mrt: Address Family at octet 18: neither IPv4 nor IPv6 (RFC 6396 4.4.2)"},
		{"message without a header", mp, mrt.MessageAS2, session + "ffff", "mrt: BGP Message at octet 28: shorter than its header (RFC 6396 4.4.2)"},
		{"message longer than the record", mp, mrt.MessageAS2, session + strings.Repeat("ff", 16) + "0014 04", "mrt: BGP Message at octet 44: longer than the record (RFC 6396 4.4.2)"},
		{"octets after the message", mp, mrt.MessageAS2, session + keepalive + "00", "mrt: BGP Message at octet 47: octets left over after the message (RFC 6396 4.4.2)"},
		{"state change cut off", mp, mrt.StateChangeAS2, session + "0006 00", "mrt: STATE_CHANGE at octet 30: cut off (RFC 6396 4.4.1)"},
		{"table dump over 32 bits", mrt.TypeTableDump, mrt.TableDumpIPv4, "0000 0001 0a000000 21 01 00000000 c0000201 fde8 0000", "mrt: Prefix Length at octet 20: over 32 (RFC 6396 4.2)"},
		{"table dump attributes", mrt.TypeTableDump, mrt.TableDumpIPv4, "0000 0001 0a000000 08 01 00000000 c0000201 fde8 0001", "mrt: Attribute Length at octet 32: is not what is left of the record (RFC 6396 4.2)"},
		{"old BGP cut off", mrt.TypeBGP, mrt.BGPUpdate, "fde8 c0000201 fde9 c000", "mrt: BGP at octet 20: cut off (RFC 6396 B.2)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := record(t, tc.ty, tc.sub, tc.body)
			_, _, err := encodeAgain(nil, parse(t, b))
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != tc.want {
				t.Errorf("\n got %s\nwant %s", err, tc.want)
			}
			if err.Off < 0 || err.Off > len(b) {
				t.Errorf("octet %d lies outside of the record's %d", err.Off, len(b))
			}
		})
	}
}

func TestHeadersThatDisagreeWithTheirRecordAreErrors(t *testing.T) {
	var r mrt.Record
	for _, tc := range []struct {
		b    []byte
		want string
	}{
		{make([]byte, 11), "mrt: MRT header at octet 11: shorter than 12 octets (RFC 6396 2)"},
		{make([]byte, 13), "mrt: Length at octet 8: is not the size of the record (RFC 6396 2)"},
		{record(t, mrt.TypeBGP4MPET, mrt.MessageAS4, "0000"), "mrt: Microsecond Timestamp at octet 12: cut off (RFC 6396 3)"},
	} {
		if err := r.Parse(tc.b); err == nil || err.Error() != tc.want {
			t.Errorf("%x: got %v, want %s", tc.b, err, tc.want)
		}
	}
}

func TestPathIDsOfGenericRecordsAreFoundInBothPlaces(t *testing.T) {
	const attrs = "0000" // no attributes
	tests := []struct {
		name, body string
		layout     mrt.Layout
		ids        []uint32
	}{
		{"RFC 8050, in the NLRI", "00000001 0019 46 00000007 0203 010203 0002 0000 00000000" + attrs + "0001 00000000" + attrs,
			mrt.LayoutNLRI, []uint32{7, 7}},
		{"GoBGP and OpenBGPD, in the entries", "00000001 0019 46 0203 010203 0002 0000 00000000 00000007" + attrs + "0001 00000000 00000008" + attrs,
			mrt.LayoutEntries, []uint32{7, 8}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var r mrt.RIB
			if err := r.Parse(parse(t, record(t, mrt.TypeTableDump2, mrt.RIBGenericAP, tc.body))); err != nil {
				t.Fatal(err)
			}
			if r.Layout != tc.layout || r.Family != wire.L2VPNEVPN || !bytes.Equal(r.NLRI, []byte{2, 3, 1, 2, 3}) {
				t.Errorf("layout %d, family %v, NLRI %x", r.Layout, r.Family, r.NLRI)
			}
			var ids []uint32
			w := r.Entries()
			for w.Next() {
				ids = append(ids, w.Entry().PathID)
			}
			if w.Err() != nil || !slices.Equal(ids, tc.ids) {
				t.Errorf("path ids %v (%v), want %v", ids, w.Err(), tc.ids)
			}
		})
	}
}

func TestKeysAreMaskedAndLeftAligned(t *testing.T) {
	for _, tc := range []struct {
		sub    mrt.Subtype
		nlri   string
		hi, lo uint64
		n      uint8
	}{
		{mrt.RIBIPv4Unicast, "00", 0, 0, 0},
		{mrt.RIBIPv4Unicast, "0b 0aff", 0x0ae0_0000_0000_0000, 0, 11},
		{mrt.RIBIPv4Unicast, "20 c0000201", 0xc000_0201_0000_0000, 0, 32},
		{mrt.RIBIPv6Unicast, "20 20010db8", 0x2001_0db8_0000_0000, 0, 32},
		{mrt.RIBIPv6Unicast, "2e 20010579 10ff", 0x2001_0579_10fc_0000, 0, 46},
		{mrt.RIBIPv6Unicast, "41 20010db8 00000000 ff", 0x2001_0db8_0000_0000, 0x8000_0000_0000_0000, 65},
		{mrt.RIBIPv6Unicast, "80 20010db8 00000000 00000000 00000001", 0x2001_0db8_0000_0000, 1, 128},
	} {
		var r mrt.RIB
		if err := r.Parse(parse(t, record(t, mrt.TypeTableDump2, tc.sub, "00000001"+tc.nlri+"0000"))); err != nil {
			t.Fatal(err)
		}
		if hi, lo, n := r.Key(); hi != tc.hi || lo != tc.lo || n != tc.n {
			t.Errorf("%s: %x %x/%d, want %x %x/%d", tc.nlri, hi, lo, n, tc.hi, tc.lo, tc.n)
		}
	}
}

func TestFormsThatNoFileHoldsDecodeAndEncode(t *testing.T) {
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	end := func(b []byte) []byte { mrt.End(b); return b }
	old := mrt.Message{PeerAS: 65001, LocalAS: 65002, Peer: a6, Local: a6, Body: []byte{0, 0, 0, 0}}
	geo := mrt.GeoPeers{CollectorID: 1, ViewName: []byte("view"), Latitude: 0x7fc00000, Longitude: 0x41200000, Count: 2}
	g4 := mrt.GeoPeer{Peer: mrt.Peer{Addr: a4, AS: 65001}, Latitude: 1, Longitude: 2}
	g6 := mrt.GeoPeer{Peer: mrt.Peer{Type: mrt.PeerIPv6 | mrt.PeerAS4, Addr: a6, AS: 4_200_000_000}, Latitude: 3, Longitude: 4}
	td := mrt.TableDump{Family: wire.IPv6Unicast, Len: 32, Status: 1, Peer: a6, PeerAS: 4_200_000_000, AS4: true, Attrs: []byte{1, 2}}
	entry := mrt.OldEntry{PeerAS: 1, LocalAS: 2, Peer: a4, Local: a4, View: 3, Status: 4, Originated: 5, Family: wire.IPv4Multicast,
		NextHop: []byte{192, 0, 2, 9}, NLRI: []byte{8, 10}, Attrs: []byte{9}}
	msg := mrt.Message{PeerAS: 1, LocalAS: 2, Peer: a4, Local: a4, Data: append(bytes.Repeat([]byte{255}, 16), 0, 19, 4)}
	var all [][]byte
	all = append(all,
		end(old.Append(mrt.Begin(nil, 1, 0, mrt.TypeBGP4Plus, mrt.BGPUpdate))),
		end(old.Append(mrt.Begin(nil, 1, 0, mrt.TypeBGP4Plus01, mrt.BGPKeepalive))),
		end(g6.Append(g4.Append(geo.Append(mrt.Begin(nil, 1, 0, mrt.TypeTableDump2, mrt.GeoPeerTable))))),
		end(td.Append(mrt.Begin(nil, 1, 0, mrt.TypeTableDump, mrt.TableDumpIPv6AS4))),
		end(entry.Append(mrt.Begin(nil, 1, 0, mrt.TypeBGP4MP, mrt.BGP4MPEntry))))
	for bits := range 8 {
		m := msg
		m.AS4, m.Sent, m.AddPath = bits&1 != 0, bits&2 != 0, bits&4 != 0
		all = append(all, end(m.Append(mrt.Begin(nil, 1, 999_999, mrt.TypeBGP4MPET, m.Subtype()))))
		var back mrt.Message
		if err := back.Parse(parse(t, all[len(all)-1])); err != nil || back.AS4 != m.AS4 || back.Sent != m.Sent || back.AddPath != m.AddPath {
			t.Errorf("%+v came back as %+v (%v)", m, back, err)
		}
	}
	for _, b := range all {
		r := parse(t, b)
		got, _, err := encodeAgain(nil, r)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%v %s: %v\n got %x\nwant %x", r.Type, mrt.SubtypeName(r.Type, r.Subtype), err, got, b)
		}
		if strings.Contains(mrt.SubtypeName(r.Type, r.Subtype), "(") {
			t.Errorf("no name for %v %d", r.Type, r.Subtype)
		}
	}
}

func TestStatesPastTheRFCHaveNames(t *testing.T) {
	var s mrt.StateChange
	b := record(t, mrt.TypeBGP4MP, mrt.StateChangeAS2, "fde8 fde9 0000 0001 c0000201 c0000202 0006 0007")
	if err := s.Parse(parse(t, b)); err != nil {
		t.Fatal(err)
	}
	if s.Old.String() != "established" || s.New.String() != "clearing" || mrt.State(9).String() != "state(9)" {
		t.Errorf("%v to %v, %v", s.Old, s.New, mrt.State(9))
	}
}

func TestResyncFindsTheNextChainOfRecords(t *testing.T) {
	state := record(t, mrt.TypeBGP4MP, mrt.StateChangeAS2, "fde8 fde9 0000 0001 c0000201 c0000202 0006 0007")
	chain := bytes.Repeat(state, 4)
	const now = 1_700_000_000
	for _, tc := range []struct {
		name string
		b    []byte
		last uint32
		eof  bool
		at   int
		ok   bool
	}{
		{"at once", chain, now, true, 0, true},
		{"after damage", append([]byte{1, 2, 3, 4, 5}, chain...), now, true, 5, true},
		{"two records and the end", append([]byte{1}, bytes.Repeat(state, 2)...), now, true, 1, true},
		{"cut in the third", chain[:len(state)*2+20], now, true, 0, true},
		{"another time", chain, now + 3*86400, true, len(chain) - mrt.HeaderLen + 1, false},
		{"nothing", make([]byte, 100), now, true, 100 - mrt.HeaderLen + 1, false},
		{"one header that leads nowhere", append(bytes.Clone(state), make([]byte, 40)...), now, true, len(state) + 40 - mrt.HeaderLen + 1, false},
		{"more to come", append([]byte{1}, state[:20]...), now, false, 1, false},
	} {
		at, ok := mrt.Resync(tc.b, tc.last, tc.eof)
		if at != tc.at || ok != tc.ok {
			t.Errorf("%s: %d %v, want %d %v", tc.name, at, ok, tc.at, tc.ok)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	attrs := bytes.Repeat([]byte{7}, 40)
	rib := mrt.RIB{Family: wire.IPv4Unicast, NLRI: []byte{24, 192, 0, 2}, Count: 5}
	b := rib.Append(mrt.Begin(nil, 1, 0, mrt.TypeTableDump2, rib.Subtype()), rib.Subtype())
	for i := range 5 {
		e := mrt.Entry{Peer: uint16(i), Attrs: attrs}
		b = e.Append(b, mrt.LayoutPlain)
	}
	mrt.End(b)
	m := mrt.Message{PeerAS: 1, LocalAS: 2, Peer: netip.MustParseAddr("2001:db8::1"), Local: netip.MustParseAddr("2001:db8::2"), AS4: true,
		Data: binary.BigEndian.AppendUint16(bytes.Repeat([]byte{255}, 16), 19)}
	m.Data = append(m.Data, byte(mrt.Keepalive))
	mb := m.Append(mrt.Begin(nil, 1, 0, mrt.TypeBGP4MPET, m.Subtype()))
	mrt.End(mb)
	var r mrt.Record
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		if r.Parse(b) != nil || rib.Parse(&r) != nil {
			t.Fatal("does not parse")
		}
		w := rib.Entries()
		for w.Next() {
			sum += len(w.Entry().Attrs)
		}
		if r.Parse(mb) != nil || m.Parse(&r) != nil {
			t.Fatal("does not parse")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none (%d)", n, sum)
	}
}

func BenchmarkRIBRecord(b *testing.B) {
	data := unpacked(b, "synth-small-a.rib.gz")
	var r mrt.Record
	var rib mrt.RIB
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	entries := 0
	for b.Loop() {
		entries = 0
		for at := 0; at < len(data); {
			h, _ := mrt.ParseHeader(data[at:])
			if r.Parse(data[at:at+h.Size()]) != nil {
				b.Fatal("does not parse")
			}
			at += h.Size()
			if r.Kind() != mrt.KindRIB {
				continue
			}
			if rib.Parse(&r) != nil {
				b.Fatal("does not parse")
			}
			w := rib.Entries()
			for w.Next() {
				entries++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
}
