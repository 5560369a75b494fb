package mrt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ribd/shard"
	"ribd/wire"
	"ribd/wire/mrt"
)

// file builds an MRT file.
type file struct {
	b    []byte
	time uint32
	seq  uint32
}

var (
	peerA = mrt.Peer{Type: mrt.PeerAS4, BGPID: 1, Addr: netip.MustParseAddr("192.0.2.1"), AS: 65001}
	peerB = mrt.Peer{Type: mrt.PeerAS4, BGPID: 2, Addr: netip.MustParseAddr("192.0.2.2"), AS: 4_200_000_000}
	peerC = mrt.Peer{Type: mrt.PeerAS4 | mrt.PeerIPv6, BGPID: 3, Addr: netip.MustParseAddr("2001:db8::3"), AS: 65003}
	local = netip.MustParseAddr("192.0.2.254")
)

func (f *file) record(t mrt.Type, s mrt.Subtype, body []byte) {
	at := len(f.b)
	f.b = append(mrt.Begin(f.b, f.time+1_700_000_000, 0, t, s), body...)
	mrt.End(f.b[at:])
}

func (f *file) index(id uint32, peers ...mrt.Peer) {
	x := mrt.PeerIndex{CollectorID: id, Count: len(peers)}
	b := x.Append(nil)
	for _, p := range peers {
		b = p.Append(b)
	}
	f.record(mrt.TypeTableDump2, mrt.PeerIndexTable, b)
}

// nlri returns a prefix as NLRI: a length octet and the bits.
func nlri(s string) []byte {
	p := netip.MustParsePrefix(s)
	return append([]byte{byte(p.Bits())}, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

// attrs returns ORIGIN, AS_PATH of 4-octet numbers and NEXT_HOP.
func attrs(path ...uint32) []byte {
	b := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{0})
	seg := []byte{2, byte(len(path))}
	for _, as := range path {
		seg = binary.BigEndian.AppendUint32(seg, as)
	}
	b = wire.AppendAttr(b, 0x40, wire.AttrASPath, seg)
	return wire.AppendAttr(b, 0x40, wire.AttrNextHop, []byte{192, 0, 2, 1})
}

// rib adds a RIB record; each entry is a place in the index and an AS number.
func (f *file) rib(prefix string, entries ...uint32) {
	x := mrt.RIB{Seq: f.seq, Family: wire.IPv4Unicast, NLRI: nlri(prefix), Count: len(entries)}
	if netip.MustParsePrefix(prefix).Addr().Is6() {
		x.Family = wire.IPv6Unicast
	}
	f.seq++
	b := x.Append(nil, x.Subtype())
	for _, e := range entries {
		e := mrt.Entry{Peer: uint16(e), Originated: f.time + 1_600_000_000, Attrs: attrs(65001, e)}
		b = e.Append(b, mrt.LayoutPlain)
	}
	f.record(mrt.TypeTableDump2, x.Subtype(), b)
}

// message adds a BGP message of a peer.
func (f *file) message(p mrt.Peer, t mrt.MessageType, sent bool, body []byte) {
	msg := bytes.Repeat([]byte{255}, 16)
	msg = binary.BigEndian.AppendUint16(msg, uint16(19+len(body)))
	msg = append(append(msg, byte(t)), body...)
	m := mrt.Message{PeerAS: p.AS, LocalAS: 64512, Peer: p.Addr, Local: local, AS4: true, Sent: sent, Data: msg}
	if p.Addr.Is6() {
		m.Local = netip.MustParseAddr("2001:db8::fe")
	}
	f.record(mrt.TypeBGP4MP, m.Subtype(), m.Append(nil))
}

// update returns the body of an UPDATE.
func update(withdrawn, attrs []byte, nlri ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	return append(append(b, attrs...), bytes.Join(nlri, nil)...)
}

func (f *file) announce(p mrt.Peer, as uint32, prefixes ...string) {
	var all [][]byte
	for _, s := range prefixes {
		all = append(all, nlri(s))
	}
	f.message(p, mrt.Update, false, update(nil, attrs(p.AS, as), all...))
}

func (f *file) withdraw(p mrt.Peer, prefix string) {
	f.message(p, mrt.Update, false, update(nlri(prefix), nil))
}

func (f *file) state(p mrt.Peer, from, to mrt.State) {
	s := mrt.StateChange{PeerAS: p.AS, LocalAS: 64512, Peer: p.Addr, Local: local, AS4: true, Old: from, New: to}
	f.record(mrt.TypeBGP4MP, mrt.StateChangeAS4, s.Append(nil))
}

func (f *file) open(p mrt.Peer) {
	b := []byte{4, byte(p.AS >> 8), byte(p.AS), 0, 90, 1, 1, 1, 1, 0}
	f.message(p, mrt.Open, false, b)
}

func (f *file) source(collector string) Source {
	return Source{Name: "test", Collector: collector, Reader: bytes.NewReader(f.b), Size: int64(len(f.b))}
}

// table prints all paths as "prefix address path", one a line.
func table(r *shard.RIB) string {
	var b strings.Builder
	for _, x := range allPaths(r) {
		peer, _, _ := strings.Cut(x.peer, " ")
		fmt.Fprintf(&b, "%s %s", x.prefix, peer)
		if x.id != "" {
			fmt.Fprintf(&b, " #%s", x.id)
		}
		fmt.Fprintf(&b, " %s\n", x.attrs)
	}
	return b.String()
}

func wantTable(t *testing.T, r *shard.RIB, lines ...string) {
	t.Helper()
	r.Settle()
	want := ""
	if len(lines) > 0 {
		want = strings.Join(lines, "\n") + "\n"
	}
	if got := table(r); got != want {
		t.Errorf("the table holds\n%swant\n%s", got, want)
	}
}

func TestFilesOfACollectorGoOnFromEachOther(t *testing.T) {
	r, l := newRIB(t, Options{Workers: 2})
	var dump, updates, later file
	dump.index(1, peerA, peerB)
	dump.rib("10.0.0.0/8", 0, 1)
	dump.rib("10.1.0.0/16", 0)
	dump.rib("2001:db8::/32", 1)
	updates.announce(peerA, 7, "10.1.0.0/16", "10.2.0.0/16")
	updates.withdraw(peerB, "10.0.0.0/8")
	updates.announce(peerC, 9, "10.3.0.0/16")
	load(t, l, dump.source("x"))
	if st := load(t, l, updates.source("x")); st.Routes != 3 || st.Withdrawals != 1 || st.Peers != 3 {
		t.Errorf("%+v", st)
	}
	wantTable(t, r,
		"10.0.0.0/8 192.0.2.1 65001 0",
		"10.1.0.0/16 192.0.2.1 65001 7",
		"10.2.0.0/16 192.0.2.1 65001 7",
		"10.3.0.0/16 2001:db8::3 65003 9",
		"2001:db8::/32 192.0.2.2 65001 1")

	// A later dump of IPv4 replaces that family, of all peers; the other stays.
	later.index(1, peerA)
	later.rib("10.2.0.0/16", 0)
	load(t, l, later.source("x"))
	wantTable(t, r,
		"10.2.0.0/16 192.0.2.1 65001 0",
		"2001:db8::/32 192.0.2.2 65001 1")

	// Another collector's peer of the same address is another peer.
	load(t, l, dump.source("y"))
	if n := len(r.Peers()); n != 5 {
		t.Errorf("%d peers, want 3 of x and 2 of y", n)
	}
}

func TestALaterDumpThatIsNotSoundSweepsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		harm func(*file)
	}{
		{"truncated", func(f *file) { f.b = f.b[:len(f.b)-3] }},
		{"damaged record", func(f *file) { f.record(mrt.TypeTableDump2, mrt.RIBIPv4Unicast, []byte{0, 0, 0, 1, 33, 0, 0}) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, l := newRIB(t, Options{})
			var dump, later file
			dump.index(1, peerA)
			dump.rib("10.0.0.0/8", 0)
			later.index(1, peerA, peerB)
			later.rib("10.2.0.0/16", 1)
			later.rib("10.3.0.0/16", 1)
			tc.harm(&later)
			load(t, l, dump.source("x"))
			st := load(t, l, later.source("x"))
			if (st.Truncated == "") == (st.Damaged == 0) || st.State != Done || len(st.Notes) != 1 {
				t.Errorf("%+v", st)
			}
			if got := table(r); !strings.Contains(got, "10.0.0.0/8 192.0.2.1") || !strings.Contains(got, "10.2.0.0/16 192.0.2.2") {
				t.Errorf("the table holds\n%s", got)
			}
		})
	}
}

func TestTheSameTableTwiceInOneFileCountsAsALaterDump(t *testing.T) {
	r, l := newRIB(t, Options{})
	var f file
	f.index(1, peerA, peerB)
	f.rib("10.0.0.0/8", 0, 1)
	f.rib("10.1.0.0/16", 0)
	f.time = 60
	f.index(1, peerB) // other places
	f.rib("10.0.0.0/8", 0)
	load(t, l, f.source("x"))
	wantTable(t, r, "10.0.0.0/8 192.0.2.2 65001 0")
}

func TestAnUnnamedDumpOfAnotherCollectorAdds(t *testing.T) {
	r, l := newRIB(t, Options{})
	var one, two file
	one.index(1, peerA)
	one.rib("10.0.0.0/8", 0)
	two.index(2, peerB)
	two.rib("10.1.0.0/16", 0)
	load(t, l, one.source(""))
	if st := load(t, l, two.source("")); len(st.Notes) != 1 {
		t.Errorf("notes: %q", st.Notes)
	}
	wantTable(t, r, "10.0.0.0/8 192.0.2.1 65001 0", "10.1.0.0/16 192.0.2.2 65001 0")
}

func TestASessionThatGoesDownDropsItsRoutesInOrder(t *testing.T) {
	for _, tc := range []struct {
		name string
		down func(*file)
		gone bool
	}{
		{"out of established", func(f *file) { f.state(peerA, mrt.StateEstablished, mrt.StateIdle) }, true},
		{"clearing", func(f *file) { f.state(peerA, mrt.StateEstablished, mrt.StateClearing) }, true},
		{"open", func(f *file) { f.open(peerA) }, true},
		{"into established", func(f *file) { f.state(peerA, mrt.StateOpenConfirm, mrt.StateEstablished) }, false},
		{"between others", func(f *file) { f.state(peerA, mrt.StateActive, mrt.StateConnect) }, false},
		{"another peer", func(f *file) { f.state(peerC, mrt.StateEstablished, mrt.StateIdle) }, false},
		{"own open", func(f *file) {
			own := peerA
			own.AS = 64512
			f.message(peerA, mrt.Open, false, []byte{4, 0xfc, 0, 0, 90, 1, 1, 1, 1, 0})
		}, false},
		{"sent open", func(f *file) { f.message(peerA, mrt.Open, true, []byte{4, 0xfd, 0xe9, 0, 90, 1, 1, 1, 1, 0}) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, l := newRIB(t, Options{Workers: 4})
			var f file
			f.announce(peerA, 1, "10.0.0.0/8")
			f.announce(peerB, 1, "10.0.0.0/8")
			tc.down(&f)
			f.announce(peerA, 2, "10.1.0.0/16")
			st := load(t, l, f.source("x"))
			want := []string{"10.0.0.0/8 192.0.2.1 65001 1", "10.0.0.0/8 192.0.2.2 4200000000 1", "10.1.0.0/16 192.0.2.1 65001 2"}
			if tc.gone {
				want = want[1:]
			}
			wantTable(t, r, want...)
			if (st.SessionsDown == 1) != tc.gone || len(r.Peers()) != 2 {
				t.Errorf("%d sessions down, %d peers", st.SessionsDown, len(r.Peers()))
			}
		})
	}
}

func TestManyFlapsLeaveWhatCameLast(t *testing.T) {
	r, l := newRIB(t, Options{Workers: 3})
	var f file
	for i := range 500 {
		f.announce(peerA, uint32(i+1), "10.0.0.0/8", fmt.Sprintf("10.%d.0.0/16", i%250))
		f.announce(peerB, uint32(i+1), "10.0.0.0/8")
		f.state(peerA, mrt.StateEstablished, mrt.StateIdle)
	}
	f.announce(peerA, 9999, "10.9.0.0/16")
	st := load(t, l, f.source("x"))
	wantTable(t, r, "10.0.0.0/8 192.0.2.2 4200000000 500", "10.9.0.0/16 192.0.2.1 65001 9999")
	if st.SessionsDown != 500 {
		t.Errorf("%d sessions down, want 500", st.SessionsDown)
	}
}

func TestOfTwoRoutesForOnePathTheLaterStays(t *testing.T) {
	r, l := newRIB(t, Options{Workers: 4})
	var f file
	const rounds, prefixes = 40, 1200
	for i := range rounds {
		for p := range prefixes {
			f.announce(peerA, uint32(i+1), fmt.Sprintf("10.%d.%d.0/24", p/250, p%250))
		}
	}
	load(t, l, f.source("x"))
	all := allPaths(r)
	if len(all) != prefixes {
		t.Fatalf("%d paths, want %d", len(all), prefixes)
	}
	for _, x := range all {
		if want := fmt.Sprintf("65001 %d", rounds); x.attrs != want {
			t.Fatalf("%s has %s, want %s", x.prefix, x.attrs, want)
		}
	}
}

func TestSentMessagesEnterNoTable(t *testing.T) {
	r, l := newRIB(t, Options{})
	var f file
	f.message(peerA, mrt.Update, true, update(nil, attrs(65001), nlri("10.0.0.0/8")))
	if st := load(t, l, f.source("x")); st.Skipped != 1 || st.Routes != 0 {
		t.Errorf("%+v", st)
	}
	wantTable(t, r)
}

func TestMalformedAttributesDoWhatRFC7606Says(t *testing.T) {
	r, l := newRIB(t, Options{})
	var f file
	f.announce(peerA, 1, "10.0.0.0/8", "10.1.0.0/16")
	badOrigin := attrs(65001, 2)
	badOrigin[3] = 9
	f.message(peerA, mrt.Update, false, update(nil, badOrigin, nlri("10.0.0.0/8")))
	badAggregator := append(attrs(65001, 3), 0xc0, byte(wire.AttrAggregator), 1, 0)
	f.message(peerA, mrt.Update, false, update(nil, badAggregator, nlri("10.2.0.0/16")))
	f.message(peerA, mrt.Update, false, append(update(nil, nil), 99)) // a prefix of 99 bits
	st := load(t, l, f.source("x"))
	wantTable(t, r, "10.1.0.0/16 192.0.2.1 65001 1", "10.2.0.0/16 192.0.2.1 65001 3")
	if st.TreatedAsWithdrawn != 1 || st.AttributesDiscarded != 1 || st.Damaged != 1 || !strings.Contains(st.Damage[0].Reason, "prefix length over 32") {
		t.Errorf("%+v", st)
	}
}

func TestDamageIsCountedAndReadPast(t *testing.T) {
	var log bytes.Buffer
	r, l := newRIB(t, Options{KeepDamage: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var f file
	f.announce(peerA, 1, "10.0.0.0/8")
	at := len(f.b)
	f.b = append(f.b, "not a record at all, only text"...)
	for i := range 4 {
		f.announce(peerA, 2, fmt.Sprintf("10.%d.0.0/16", i))
	}
	bad := len(f.b)
	f.record(mrt.TypeBGP4MP, mrt.MessageAS4, []byte{1, 2, 3})
	f.record(mrt.TypeTableDump2, mrt.RIBIPv4Unicast, []byte{0, 0, 0, 0, 8, 10, 0, 0}) // no index before it
	f.record(mrt.TypeBGP4MP, 99, []byte{1, 2, 3, 4})
	f.record(77, 1, []byte{1, 2, 3, 4})
	f.announce(peerA, 3, "10.9.0.0/16")
	src := f.source("x")
	src.Name = "some.mrt"
	st := load(t, l, src)
	if st.Damaged != 3 || len(st.Damage) != 2 || st.Damage[0].Offset != int64(at) || st.Damage[1].Offset != int64(bad) {
		t.Errorf("%d damaged, %+v; want 3, the first at %d and %d", st.Damaged, st.Damage, at, bad)
	}
	if len(allPaths(r)) != 6 || st.Truncated != "" || st.Skipped != 2 {
		t.Errorf("%s%+v", table(r), st)
	}
	for _, want := range []string{"file=some.mrt", fmt.Sprintf("offset=%d", at), "reason="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log.String())
		}
	}
}

func TestStrictMakesDamageAnError(t *testing.T) {
	var sound, damaged, short file
	sound.announce(peerA, 1, "10.0.0.0/8")
	damaged.announce(peerA, 2, "10.1.0.0/16")
	damaged.announce(peerB, 2, "10.1.0.0/16")
	damaged.record(mrt.TypeBGP4MP, mrt.MessageAS4, []byte{1, 2, 3})
	short.announce(peerC, 2, "10.2.0.0/16")
	short.announce(peerC, 2, "10.3.0.0/16")
	short.b = short.b[:len(short.b)-1]
	r, l := newRIB(t, Options{Strict: true})
	load(t, l, sound.source("x"))
	for _, f := range []*file{&damaged, &short} {
		st, err := l.Load(context.Background(), f.source("x"))
		if err == nil || st.State != Failed || !errors.Is(st.Err, err) {
			t.Errorf("%v, %+v", err, st)
		}
	}
	r.Settle()
	// Peers that the failed loads brought are gone, the other keeps what was read.
	if peers := r.Peers(); len(peers) != 1 || peers[0].Info.Addr != peerA.Addr {
		t.Errorf("peers: %+v", peers)
	}
	if got := table(r); strings.Contains(got, "192.0.2.2") || !strings.Contains(got, "10.0.0.0/8") {
		t.Errorf("the table holds\n%s", got)
	}
}

func TestADroppedPeerIsGoneUntilAFileNamesIt(t *testing.T) {
	r, l := newRIB(t, Options{})
	var f file
	f.announce(peerA, 1, "10.0.0.0/8")
	f.announce(peerB, 1, "10.0.0.0/8")
	load(t, l, f.source("x"))
	n := r.Peers()[0].Num
	if !l.DropPeer(n) || l.DropPeer(n) || l.DropPeer(4711) {
		t.Error("drop: want true once, and false for what is not there")
	}
	wantTable(t, r, "10.0.0.0/8 192.0.2.2 4200000000 1")
	load(t, l, f.source("x"))
	wantTable(t, r, "10.0.0.0/8 192.0.2.1 65001 1", "10.0.0.0/8 192.0.2.2 4200000000 1")
}

// packed returns a file in each compression.
func packed(t *testing.T, b []byte) map[string][]byte {
	var one, many, z bytes.Buffer
	w := gzip.NewWriter(&one)
	w.Write(b)
	w.Close()
	for part := range slices.Chunk(b, len(b)/3+1) {
		w := gzip.NewWriter(&many)
		w.Write(part)
		w.Close()
	}
	e, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	e.Write(b)
	e.Close()
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, z.Bytes()...)
	return map[string][]byte{"plain": b, "gzip": one.Bytes(), "gzip of several members": many.Bytes(),
		"zstd": z.Bytes(), "zstd of several frames": append(skippable, z.Bytes()...)}
}

func TestCompressionIsFoundByContent(t *testing.T) {
	var f file
	for i := range 300 {
		f.announce(peerA, uint32(i), fmt.Sprintf("10.%d.0.0/16", i%250))
	}
	for name, b := range packed(t, f.b) {
		t.Run(name, func(t *testing.T) {
			_, l := newRIB(t, Options{})
			st := load(t, l, Source{Name: "no-suffix", Reader: io.NopCloser(bytes.NewReader(b))})
			want := int64(300)
			if name == "zstd of several frames" {
				want = 600
			}
			if st.Routes != want || st.Compression.String() != strings.Fields(name)[0] || st.Bytes != int64(len(b)) || st.Total != -1 {
				t.Errorf("%+v", st)
			}
			st, err := l.Load(context.Background(), Source{Name: "cut", Reader: bytes.NewReader(b[:len(b)-9]), Size: int64(len(b) - 9)})
			if err != nil || st.Truncated == "" || st.State != Done {
				t.Errorf("cut off: %v, %+v", err, st)
			}
			if st, err = l.Load(context.Background(), Source{Name: "cut", Strict: true, Reader: bytes.NewReader(b[:len(b)-9])}); err == nil {
				t.Errorf("cut off, and has to be sound: %+v", st)
			}
		})
	}
}

func TestWhatIsNoMRTFileIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		want    string
	}{
		"empty": {"", "the file is empty"},
		"text":  {strings.Repeat("This is no MRT file. ", 100), "no MRT record in the file"},
		"xz":    {"\xfd7zXZ\x00rest", "compressed with xz: gzip, bzip2, zstd and plain files are read"},
	} {
		_, l := newRIB(t, Options{})
		st, err := l.Load(context.Background(), Source{Name: name, Reader: strings.NewReader(tc.content)})
		if err == nil || err.Error() != "load "+name+": "+tc.want || st.State != Failed {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
	_, l := newRIB(t, Options{})
	if _, err := l.Load(context.Background(), File("no/such/file", "")); err == nil || !strings.Contains(err.Error(), "no/such/file") {
		t.Errorf("a missing file: %v", err)
	}
}

// slow gives its octets when it is told to.
type slow struct {
	r    io.Reader
	gate chan struct{}
}

func (s *slow) Read(p []byte) (int, error) {
	<-s.gate
	return s.r.Read(p)
}

func TestLoadsRunInTheOrderGivenAndCanBeCancelled(t *testing.T) {
	r, l := newRIB(t, Options{MaxQueued: 3})
	var first, second, third file
	first.announce(peerA, 1, "10.0.0.0/8")
	second.announce(peerA, 2, "10.0.0.0/8")
	third.announce(peerA, 3, "10.0.0.0/8")
	gate := make(chan struct{})
	start := func(ctx context.Context, f *file, r io.Reader) (string, <-chan struct{}) {
		id, done, err := l.Start(ctx, Source{Name: "f", Collector: "x", Reader: r})
		if err != nil {
			t.Fatal(err)
		}
		return id, done
	}
	ctx, cancel := context.WithCancel(context.Background())
	one, done1 := start(context.Background(), &first, &slow{bytes.NewReader(first.b), gate})
	two, done2 := start(ctx, &second, bytes.NewReader(second.b))
	three, done3 := start(context.Background(), &third, bytes.NewReader(third.b))
	for {
		if st, ok := l.Get(one); ok && st.State == Running {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if st, _ := l.Get(three); st.State != Queued {
		t.Errorf("the third is %v", st.State)
	}
	l.Start(context.Background(), third.source("x"))
	if _, _, err := l.Start(context.Background(), third.source("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("a full queue: %v", err)
	}
	cancel()
	close(gate)
	<-done1
	<-done2
	<-done3
	wantTable(t, r, "10.0.0.0/8 192.0.2.1 65001 3")
	for id, want := range map[string]State{one: Done, two: Cancelled, three: Done} {
		if st, ok := l.Get(id); !ok || st.State != want {
			t.Errorf("load %s is %v, want %v", id, st.State, want)
		}
	}
	if all := l.List(); len(all) != 4 || all[0].ID != one || all[2].ID != three {
		t.Errorf("list: %+v", all)
	}
	if _, ok := l.Get("no"); ok {
		t.Error("a load that never was")
	}
}

func TestARunningLoadIsCancelled(t *testing.T) {
	_, l := newRIB(t, Options{})
	var f file
	f.announce(peerA, 1, "10.0.0.0/8")
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	id, done, err := l.Start(ctx, Source{Name: "f", Open: func() (io.ReadCloser, int64, error) { return pr, -1, nil }})
	if err != nil {
		t.Fatal(err)
	}
	pw.Write(f.b) // and no more: the reader waits
	cancel()
	<-done
	if st, _ := l.Get(id); st.State != Cancelled || !errors.Is(st.Err, context.Canceled) {
		t.Errorf("%+v", st)
	}
	if _, err := pw.Write([]byte{1}); err == nil {
		t.Error("the file was not closed")
	}
	l.Close()
	if _, _, err := l.Start(context.Background(), f.source("")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestProgressIsOneLineThatFits(t *testing.T) {
	s := Status{Name: "/data/rib.20260101.0000.gz", State: Running, Bytes: 18 << 20, Total: 27 << 20, Routes: 2_310_000, Rate: 3.9e6, Left: 61 * time.Second}
	for _, tc := range []struct {
		width int
		edit  func(*Status)
		want  string
	}{
		{110, nil, "rib.20260101.0000.gz  66% " + strings.Repeat("█", 12) + "▋      " + "  18.0 MiB of 27.0 MiB  2,310,000 routes  3.9 M/s  1:01 left"},
		{80, nil, "rib.20260101.0000.gz  66%  18.0 MiB of 27.0 MiB  2,310,000 routes  3.9 M/s  1:0…"},
		{110, func(s *Status) { s.Total, s.Left = -1, -1 }, "rib.20260101.0000.gz  18.0 MiB  2,310,000 routes  3.9 M/s"},
		{110, func(s *Status) { s.State, s.Damaged, s.Bytes = Failed, 1, s.Total }, "rib.20260101.0000.gz 100% " + strings.Repeat("█", 9) + "  27.0 MiB of 27.0 MiB  2,310,000 routes  3.9 M/s  failed  1 damaged"},
	} {
		x := s
		if tc.edit != nil {
			tc.edit(&x)
		}
		got := string(AppendProgress(nil, x, tc.width))
		if n := columns(got); n > tc.width {
			t.Errorf("%d columns of %d", n, tc.width)
		}
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(tc.want), " ") && tc.width != 110 || tc.width == 80 && got != tc.want {
			t.Errorf("width %d:\n got %q\nwant %q", tc.width, got, tc.want)
		}
	}
}
