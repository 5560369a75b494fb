package flow

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a RIB with tables of rules, and peers whose import accepts everything.
type lab struct {
	t       testing.TB
	r       *shard.RIB
	fl      *Tables
	fan     *shard.Fan
	filters map[rib.PeerNum]rib.Filter
	lock    sync.Mutex // of filters, where they change
}

func newLab(t testing.TB, o shard.Options) *lab {
	t.Helper()
	r, err := shard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, r: r, filters: map[rib.PeerNum]rib.Filter{}}
	l.fl = New(Options{RIB: r, Filter: func(n rib.PeerNum) rib.Filter {
		l.lock.Lock()
		defer l.lock.Unlock()
		return l.filters[n]
	}})
	l.fan = r.NewFan()
	t.Cleanup(func() {
		l.fan.Close()
		l.fl.Close()
		r.Close()
	})
	return l
}

// peer adds a session; AS 0 is an internal one. Peers are added before routes.
func (l *lab) peer(addr string, as uint32, mode Validation) rib.PeerNum {
	l.t.Helper()
	a := netip.MustParseAddr(addr)
	i := rib.PeerInfo{ID: rib.PeerID(rib.SourceBGP, "", a, as), Addr: a, AS: as, RouterID: binary.BigEndian.Uint32(a.AsSlice()), Internal: as == 0}
	n, err := l.r.AddPeer(i)
	if err != nil {
		l.t.Fatal(err)
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.filters[n] = l.fl.Filter(nil, mode)
	return n
}

// source adds a peer of another kind, whose routes nobody validates.
func (l *lab) source(s rib.Source, addr string) rib.PeerNum {
	l.t.Helper()
	i := rib.PeerInfo{Source: s, Name: "test"}
	if addr != "" {
		i.Addr = netip.MustParseAddr(addr)
	}
	i.ID = rib.PeerID(s, "", i.Addr, 0)
	n, err := l.r.AddPeer(i)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// set is attributes: an AS_PATH, and ORIGINATOR_ID unless it is 0.
type set struct {
	path       []uint32
	confed     []uint32 // before it
	asSet      []uint32 // the path is this
	originator string
	goOn       bool
}

func segment(typ wire.SegmentType, as []uint32) (b []byte) {
	if len(as) == 0 {
		return nil
	}
	b = append(b, byte(typ), byte(len(as)))
	for _, a := range as {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

func (l *lab) attrs(s set) rib.AttrID {
	l.t.Helper()
	b := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{0})
	b = wire.AppendAttr(b, 0x40, wire.AttrASPath, slices.Concat(segment(wire.SegConfedSequence, s.confed), segment(wire.SegSet, s.asSet), segment(wire.SegSequence, s.path)))
	if s.originator != "" {
		b = wire.AppendAttr(b, 0x80, wire.AttrOriginatorID, netip.MustParseAddr(s.originator).AsSlice())
	}
	if s.goOn {
		b = wire.AppendAttr(b, 0xc0, wire.AttrExtCommunities, []byte{0x80, 7, 0, 0, 0, 0, 0, 1})
	}
	id, ok := l.r.Attrs().Intern(b)
	if !ok {
		l.t.Fatal("no room")
	}
	return id
}

// rule returns the canonical NLRI of a rule with a destination, "" is none, and a
// destination port.
func rule(f wire.Family, rd uint64, dst string, port uint16) []byte {
	var b []byte
	if flowspec.IsVPN(f) {
		b = binary.BigEndian.AppendUint64(b, rd)
	}
	if dst != "" {
		p := netip.MustParsePrefix(dst)
		b = append(b, 1, byte(p.Bits()))
		if flowspec.Is6(f) {
			b = append(b, 0)
		}
		b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	b = binary.BigEndian.AppendUint16(append(b, 5, 0x91), port)
	b, err := flowspec.Canonical(nil, f, append([]byte{byte(len(b))}, b...))
	if err != nil {
		panic(err)
	}
	return b
}

// place is where a prefix or rule is stored.
type place struct {
	t rib.TableID
	k trie.Key
	n uint8
}

func (l *lab) prefix(f wire.Family, rd uint64, p string) place {
	l.t.Helper()
	tb, ok := l.r.Table(f, rd)
	if !ok {
		l.t.Fatal("no table")
	}
	k, n := trie.PrefixKey(netip.MustParsePrefix(p))
	return place{tb, k, n}
}

func (l *lab) at(f wire.Family, nlri []byte) place {
	l.t.Helper()
	tb, _ := l.r.Table(f, 0)
	k, n, ok := l.r.RawKey(nlri)
	if !ok {
		l.t.Fatal("no key")
	}
	return place{tb, k, n}
}

// announce does what package ingest does: the filter of the peer is asked first.
func (l *lab) announce(at place, p rib.Path) rib.FilterReason {
	fam, rd, _ := l.r.TableInfo(at.t)
	if f := l.filters[p.Peer]; f != nil {
		v, final := f.Set(fam, p.Peer, p.Attrs)
		if !final {
			v = f.Route(fam, rd, at.k, at.n, &p)
		}
		if p.Filtered = v.Filtered; v.Filtered == rib.FilterNone && v.Attrs != p.Attrs {
			p.Attrs, p.PreAttrs = v.Attrs, p.Attrs
		}
	}
	l.fan.Announce(at.t, at.k, at.n, &p)
	return p.Filtered
}

func (l *lab) withdraw(at place, p rib.PeerNum) { l.fan.Withdraw(at.t, at.k, at.n, p, 0, false) }

// wait flushes and waits until verdicts are in the tables.
func (l *lab) wait() {
	l.t.Helper()
	l.fan.Flush()
	if err := l.fl.Wait(l.t.Context(), l.r.Mark(nil)); err != nil {
		l.t.Fatal(err)
	}
}

// paths returns what the RIB has of a rule or prefix.
func (l *lab) paths(at place) []rib.Path {
	rd := l.r.NewReader()
	defer rd.Close()
	rd.Pin()
	defer rd.Unpin()
	if m := rd.Get(at.t, at.k, at.n); m.OK() {
		return rd.Paths(m, nil)
	}
	return nil
}

// verdict returns that on a peer's path of a rule.
func (l *lab) verdict(at place, n rib.PeerNum) string {
	for _, p := range l.paths(at) {
		if p.Peer == n {
			if p.Filtered == rib.FilterNone {
				return "valid"
			}
			return p.Filtered.String()
		}
	}
	return "gone"
}

func (l *lab) want(at place, n rib.PeerNum, want, when string) {
	l.t.Helper()
	l.wait()
	if got := l.verdict(at, n); got != want {
		l.t.Errorf("%s: %s, want %s", when, got, want)
	}
}
