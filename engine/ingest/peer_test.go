package ingest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/internal/invariants"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// update makes an UPDATE of its three parts.
func update(withdrawn, attrs, nlri []byte) []byte {
	b := append(bytes.Repeat([]byte{255}, 16), 0, 0, byte(wire.MsgUpdate))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(withdrawn))), withdrawn...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(attrs))), attrs...)
	b = append(b, nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// prefixes returns prefixes as NLRI.
func prefixes(list ...string) (b []byte) {
	for _, s := range list {
		p := netip.MustParsePrefix(s)
		b = append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

func origin(v byte) []byte { return []byte{0x40, 1, 1, v} }

func asPath(as byte) []byte { return []byte{0x40, 2, 6, 2, 1, 0, 0, 0xfd, as} }

func nextHop() []byte { return []byte{0x40, 3, 4, 192, 0, 2, 1} }

func attributes(more ...[]byte) []byte {
	return append(slices.Concat(origin(0), asPath(0xe9), nextHop()), slices.Concat(more...)...)
}

func communities(cs ...uint32) []byte {
	v := []byte{}
	for _, c := range cs {
		v = binary.BigEndian.AppendUint32(v, c)
	}
	return wire.AppendAttr(nil, 0xc0, wire.AttrCommunities, v)
}

func announcement(list ...string) []byte { return update(nil, attributes(), prefixes(list...)) }

// take takes messages in, which have to be sound, and flushes.
func take(t testing.TB, p *Peer, msgs ...[]byte) {
	t.Helper()
	b := slices.Concat(msgs...)
	if n, err := p.Updates(b, 1000); err != nil || n != len(b) {
		t.Fatalf("%d octets of %d, %v", n, len(b), err)
	}
	p.Flush()
}

// prefixesOf lists the prefixes that the RIB has, with what their paths are beside
// the attributes.
func prefixesOf(r *shard.RIB) (out []string) {
	for _, line := range routes(r) {
		f := strings.Fields(line)
		s := f[1]
		if _, rest, ok := strings.Cut(line, " at 1000"); ok {
			s += rest
		}
		out = append(out, s)
	}
	return out
}

var malformedCases = []struct {
	name     string
	session  wire.Session
	msg      []byte
	action   wire.Action
	want     []string // what is there then of 10.0.0.0/8, 10.1.0.0/16 and 10.2.0.0/16
	attrs    []byte   // of 10.0.0.0/8, where that is the point
	withdraw uint64   // routes counted as withdrawn
}{
	{
		name: "sound", session: wire.Session{AS4: true},
		msg:  update(prefixes("10.1.0.0/16"), attributes(), prefixes("10.2.0.0/16")),
		want: []string{"10.0.0.0/8", "10.2.0.0/16"}, withdraw: 1,
	}, {
		name: "AGGREGATOR of 5 octets is discarded", session: wire.Session{AS4: true},
		msg:    update(nil, attributes([]byte{0xc0, 7, 5, 0, 0, 0, 0, 0}), prefixes("10.0.0.0/8")),
		action: wire.AttributeDiscard, want: []string{"10.0.0.0/8", "10.1.0.0/16"}, attrs: attributes(),
	}, {
		name: "LOCAL_PREF of an external peer is discarded", session: wire.Session{AS4: true, External: true},
		msg:    update(nil, attributes([]byte{0x40, 5, 4, 0, 0, 0, 9}), prefixes("10.0.0.0/8")),
		action: wire.AttributeDiscard, want: []string{"10.0.0.0/8", "10.1.0.0/16"}, attrs: attributes(),
	}, {
		name: "a family that was not negotiated is left out", session: wire.Session{AS4: true, Families: wire.NewFamilySet(wire.IPv4Unicast)},
		msg:    update(nil, slices.Concat(origin(0), asPath(1), []byte{0x80, 14, 24, 0, 2, 1, 16}, make([]byte, 16), []byte{0, 16, 0x20, 1}), nil),
		action: wire.AttributeDiscard, want: []string{"10.0.0.0/8", "10.1.0.0/16"},
	}, {
		name: "ORIGIN 3 takes the routes away", session: wire.Session{AS4: true},
		msg:    update(prefixes("10.1.0.0/16"), slices.Concat(origin(3), asPath(0xe9), nextHop()), prefixes("10.0.0.0/8", "10.2.0.0/16")),
		action: wire.TreatAsWithdraw, withdraw: 1,
	}, {
		name: "no AS_PATH takes the routes away", session: wire.Session{AS4: true},
		msg:    update(nil, slices.Concat(origin(0), nextHop()), prefixes("10.0.0.0/8")),
		action: wire.TreatAsWithdraw, want: []string{"10.1.0.0/16"},
	}, {
		name: "COMMUNITIES of 3 octets take the routes away", session: wire.Session{AS4: true},
		msg:    update(nil, attributes([]byte{0xc0, 8, 3, 0, 0, 0}), prefixes("10.1.0.0/16")),
		action: wire.TreatAsWithdraw, want: []string{"10.0.0.0/8"},
	}, {
		name: "the worst of several counts", session: wire.Session{AS4: true},
		msg:    update(nil, attributes([]byte{0xc0, 7, 5, 0, 0, 0, 0, 0}, []byte{0xc0, 8, 3, 0, 0, 0}), prefixes("10.1.0.0/16")),
		action: wire.TreatAsWithdraw, want: []string{"10.0.0.0/8"},
	}, {
		name: "a prefix of 33 bits resets", session: wire.Session{AS4: true},
		msg:    update(prefixes("10.1.0.0/16"), attributes(), []byte{33, 10, 0, 0, 0, 0}),
		action: wire.SessionReset, want: []string{"10.0.0.0/8", "10.1.0.0/16"},
	}, {
		name: "MP_REACH_NLRI twice resets", session: wire.Session{AS4: true},
		msg: update(prefixes("10.1.0.0/16"), slices.Concat(origin(0), asPath(1),
			[]byte{0x80, 14, 10, 0, 1, 2, 4, 192, 0, 2, 1, 0, 0}, []byte{0x80, 14, 10, 0, 1, 2, 4, 192, 0, 2, 1, 0, 0}), nil),
		action: wire.SessionReset, want: []string{"10.0.0.0/8", "10.1.0.0/16"},
	}, {
		name: "attributes longer than the message reset", session: wire.Session{AS4: true},
		msg:    append(update(nil, nil, nil)[:21], 0, 99),
		action: wire.SessionReset, want: []string{"10.0.0.0/8", "10.1.0.0/16"},
	},
}

// Every action of RFC 7606: what is counted, what stays, and what is told.
func TestMalformedMessages(t *testing.T) {
	for _, c := range malformedCases {
		t.Run(c.name, func(t *testing.T) {
			r, n := open(t, shard.Options{Shards: 1})
			p := start(t, r, n, Session{Wire: c.session})
			take(t, p, announcement("10.0.0.0/8", "10.1.0.0/16"))
			before := p.Counters()
			err := p.Update(c.msg, 1000)
			p.Flush()
			if (err != nil) != (c.action == wire.SessionReset) {
				t.Errorf("the reader hears %v", err)
			}
			if got := prefixesOf(r); !slices.Equal(got, c.want) {
				t.Errorf("%v is there, want %v", got, c.want)
			}
			if c.attrs != nil && r.Attrs().Find(c.attrs) == 0 {
				t.Errorf("no set of attributes %x", c.attrs)
			}
			got := p.Counters()
			for _, x := range []struct {
				name   string
				action wire.Action
				n      uint64
			}{{"discarded", wire.AttributeDiscard, got.AttributeDiscard}, {"treated", wire.TreatAsWithdraw, got.TreatAsWithdraw}, {"reset", wire.SessionReset, got.SessionReset}} {
				if want := c.action == x.action; (x.n == 1) != want || x.n > 1 {
					t.Errorf("%s: %d", x.name, x.n)
				}
			}
			if got.Withdrawn-before.Withdrawn != c.withdraw {
				t.Errorf("%d withdrawn, want %d", got.Withdrawn-before.Withdrawn, c.withdraw)
			}
			if c.action == wire.ActionNone {
				if got.Last != nil {
					t.Errorf("%v", got.Last.Error)
				}
				return
			}
			if got.Last == nil || got.Last.Error.Action != c.action || !bytes.Equal(got.Last.Message, c.msg) || got.Last.At.IsZero() {
				t.Errorf("the last error is %+v", got.Last)
			}
		})
	}
}

// A message that resets the session ends a run of messages: those before it count,
// it does not, and those after it are left.
func TestARunEndsAtWhatIsNotAnUpdate(t *testing.T) {
	good, bad := announcement("10.0.0.0/8"), update(nil, attributes(), []byte{33, 10, 0, 0, 0, 0})
	for _, c := range []struct {
		name string
		in   [][]byte
		n    int
		err  bool
	}{
		{"nothing", nil, 0, false},
		{"two", [][]byte{good, good}, 2 * len(good), false},
		{"half a message", [][]byte{good, good[:len(good)-1]}, len(good), false},
		{"half a header", [][]byte{good, good[:18]}, len(good), false},
		{"KEEPALIVE between", [][]byte{good, wire.AppendKeepalive(nil), good}, len(good), false},
		{"malformed", [][]byte{good, bad, good}, len(good), true},
		{"a marker that is none", [][]byte{good, append([]byte{0}, good[1:]...)}, len(good), true},
		{"a length below the header's", [][]byte{good, append(append(slices.Clone(good[:16]), 0, 5), good[18:]...)}, len(good), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, num := open(t, shard.Options{Shards: 1})
			p := start(t, r, num, Session{Wire: wire.Session{AS4: true}})
			n, err := p.Updates(slices.Concat(c.in...), 1)
			if n != c.n || (err != nil) != c.err {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

// byFamily is a Filter that refuses all but one family.
type byFamily wire.Family

func (f byFamily) Set(fam wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	if fam == wire.Family(f) {
		return rib.Verdict{Attrs: id}, true
	}
	return rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}, true
}

func (f byFamily) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("Set is final")
}

// Messages that follow each other with one set of attributes are judged once for
// each family.
func TestEqualSetsOfTwoFamiliesAreJudgedApart(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 1})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}, Filter: byFamily(wire.IPv4Multicast)})
	e := wire.NewEncoder(wire.SendOptions{AS4: true})
	for _, x := range []struct {
		f wire.Family
		a uint32
	}{{wire.IPv4Unicast, 10 << 24}, {wire.IPv4Multicast, 10 << 24}, {wire.IPv4Unicast, 11 << 24}, {wire.IPv4Multicast, 11 << 24}} {
		if err := e.Announce(x.f, attributes()); err != nil {
			t.Fatal(err)
		}
		e.Route4(x.a, 8, 0)
	}
	take(t, p, e.Flush())
	want := []string{"10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/8 filtered policy", "11.0.0.0/8 filtered policy"}
	if got := prefixesOf(r); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// After Close everything is still there to be called, and does nothing.
func TestAClosedPeerDoesNothing(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 1})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}})
	take(t, p, announcement("10.0.0.0/8"))
	p.Close()
	p.Close()
	p.Start(Session{Filter: everything(rib.FilterPolicy)})
	take(t, p, announcement("10.1.0.0/16"), update(prefixes("10.0.0.0/8"), nil, nil))
	if n, err := p.Updates(slices.Concat(announcement("10.2.0.0/16"), wire.AppendKeepalive(nil)), 1); err != nil || n != len(announcement("10.2.0.0/16")) {
		t.Error(n, err)
	}
	if err := p.Update(announcement("10.2.0.0/16"), 1); err != nil {
		t.Error(err)
	}
	p.SetFilter(nil)
	p.BeginRefresh(wire.IPv4Unicast)
	p.EndRefresh(wire.IPv4Unicast)
	p.Retain(wire.AllFamilies(), rib.StaleLLGR)
	p.LongLived(wire.IPv4Unicast)
	p.EndRetain(wire.IPv4Unicast)
	p.Withdraw(wire.IPv4Unicast)
	if got := prefixesOf(r); !slices.Equal(got, []string{"10.0.0.0/8"}) {
		t.Errorf("%v is there", got)
	}
}

func TestCountersAndEndOfRIB(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 1})
	var ended []wire.Family
	var p *Peer
	p = New(Options{RIB: r, Peer: num, EndOfRIB: func(f wire.Family) {
		ended = append(ended, f)
		p.Flush() // any method may be called
		if c := p.Counters(); len(c.EndOfRIB) < len(ended) {
			t.Errorf("%v of %v is counted", c.EndOfRIB, ended)
		}
	}})
	defer p.Close()
	p.Start(Session{Wire: wire.Session{AS4: true, Families: wire.NewFamilySet(wire.IPv4Unicast, wire.IPv6Unicast)}})
	take(t, p, announcement("10.0.0.0/8", "10.1.0.0/16"), update(prefixes("10.1.0.0/16", "10.9.0.0/16"), nil, nil),
		wire.AppendEndOfRIB(nil, wire.IPv4Unicast), wire.AppendEndOfRIB(nil, wire.IPv6VPN), wire.AppendEndOfRIB(nil, wire.IPv6Unicast))
	c := p.Counters()
	if c.Updates != 5 || c.Announced != 2 || c.Withdrawn != 2 || c.Refused != 0 {
		t.Errorf("%+v", c)
	}
	if want := []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast}; !slices.Equal(ended, want) {
		t.Errorf("End-of-RIB of %v, want %v", ended, want)
	}
	p.Start(Session{Wire: wire.Session{AS4: true}})
	if c := p.Counters(); len(c.EndOfRIB) != 0 || c.Announced != 2 {
		t.Errorf("a new session begins with %+v", c)
	}
}

// What finds no room takes the older route of the same key away.
func TestNoRoomIsAWithdrawal(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 1, MaxAttrSets: 100})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}})
	refused := uint64(0)
	for as := range 250 {
		take(t, p, update(nil, slices.Concat(origin(0), asPath(byte(as)), nextHop()), prefixes("10.0.0.0/8")))
		c := p.Counters()
		if there := len(prefixesOf(r)) == 1; there != (c.Refused == refused) {
			t.Fatalf("set %d: %d refused, the route is there: %v", as, c.Refused, there)
		}
		refused = c.Refused
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestLimits(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2})
	p := start(t, r, num, Session{
		Wire:   wire.Session{AS4: true},
		Filter: everything(rib.FilterPolicy), // counted before policy
		Limits: map[wire.Family]Limit{wire.IPv4Unicast: {Warn: 2, Max: 4}},
	})
	step := func(name string, want string, msgs ...[]byte) {
		t.Helper()
		r.Sync() // what was below is known to have been
		take(t, p, msgs...)
		got := ""
		if ev, ok := p.LimitReached(); ok {
			got = map[bool]string{false: "warn", true: "over"}[ev.Over]
			if n := int64(len(prefixesOf(r))); ev.Count != n || ev.Family != wire.IPv4Unicast || ev.Limit != (Limit{2, 4}) {
				t.Errorf("%s: %+v, there are %d", name, ev, n)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	gone := func(list ...string) []byte { return update(prefixes(list...), nil, nil) }
	step("two", "", announcement("10.0.0.0/8", "10.1.0.0/16"))
	step("the same again", "", announcement("10.0.0.0/8", "10.1.0.0/16"))
	step("three", "warn", announcement("10.2.0.0/16"))
	step("four", "", announcement("10.3.0.0/16"))
	step("the same again and again", "", announcement("10.0.0.0/8", "10.3.0.0/16"), announcement("10.0.0.0/8"), announcement("10.0.0.0/8"))
	step("down", "", gone("10.0.0.0/8", "10.3.0.0/16"))
	step("up", "warn", announcement("10.3.0.0/16"))
	step("over", "over", announcement("10.4.0.0/16", "10.5.0.0/16"))
	step("told once", "", announcement("10.6.0.0/16"))
	step("below", "", gone("10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16"))
	step("over at once", "over", announcement("10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16"))
	p.SetLimits(map[wire.Family]Limit{wire.IPv4Unicast: {Max: 100}})
	take(t, p)
	if ev, ok := p.LimitReached(); ok {
		t.Errorf("under a limit of 100: %+v", ev)
	}
	p.SetLimits(map[wire.Family]Limit{wire.IPv4Unicast: {Max: 5}})
	take(t, p)
	if ev, ok := p.LimitReached(); !ok || !ev.Over || ev.Count != 6 {
		t.Errorf("lowered below what is there: %+v, %v", ev, ok)
	}
}

// What outlives a session does not count until it is announced again.
func TestRetainedRoutesAreNotCounted(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 1})
	s := Session{Wire: wire.Session{AS4: true}, Limits: map[wire.Family]Limit{wire.IPv4Unicast: {Max: 2}}}
	p := start(t, r, num, s)
	take(t, p, announcement("10.0.0.0/8", "10.1.0.0/16"))
	p.Retain(wire.AllFamilies(), rib.StaleGR)
	p.Start(s)
	take(t, p, announcement("10.2.0.0/16", "10.3.0.0/16"))
	if ev, ok := p.LimitReached(); ok {
		t.Errorf("%+v with %v", ev, prefixesOf(r))
	}
	take(t, p, announcement("10.1.0.0/16"))
	if ev, ok := p.LimitReached(); !ok || ev.Count != 3 {
		t.Errorf("%+v, %v with %v", ev, ok, prefixesOf(r))
	}
}

// everything is a Filter that says one thing of every route.
type everything rib.FilterReason

func (f everything) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	return rib.Verdict{Attrs: id, Filtered: rib.FilterReason(f)}, true
}

func (f everything) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("Set is final")
}

// pref is a Filter that sets LOCAL_PREF.
type pref struct {
	attrs *rib.Attrs
	v     uint32
}

func (f pref) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	b, _ := f.attrs.Bytes(id)
	to, ok := f.attrs.Intern(withPref(b, f.v))
	if !ok {
		panic("no room")
	}
	return rib.Verdict{Attrs: to}, true
}

func (f pref) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("Set is final")
}

// When SetFilter returns, nothing that the filter before has judged can come after
// a Rejudge: however fast the reader is, all routes are what the new one says.
func TestSetFilterIsABarrier(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}, Filter: pref{r.Attrs(), 1}})
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			b := update(nil, attributes([]byte{0x80, 4, 4, 0, 0, 0, byte(i % 7)}), []byte{24, 10, byte(i % 3), byte(i)})
			if _, err := p.Updates(append(b, b...), 1000); err != nil {
				t.Error(err)
			}
			if i%3 == 0 {
				p.Flush()
			}
		}
		p.Flush()
	})
	for v := uint32(2); v < 30; v++ {
		f := pref{r.Attrs(), v}
		p.SetFilter(f)
		<-r.Rejudge(map[rib.PeerNum]rib.Filter{num: f})
		view := r.View()
		w := view.Walk(rib.TableIPv4Unicast, shard.WalkRange{})
		var paths []rib.Path
		for w.Next() {
			paths = w.Paths(paths[:0])
			if s, _ := r.Attrs().Summary(paths[0].Attrs); s.LocalPref != v || paths[0].PreAttrs == 0 {
				t.Errorf("%v has LOCAL_PREF %d under filter %d", w.Match().Prefix(), s.LocalPref, v)
			}
		}
		w.Close()
		view.Close()
	}
	stop.Store(true)
	wg.Wait()
}

// Nothing is allocated for a message or a route.
func TestTakingInAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("slabs are in the heap")
	}
	r, num := open(t, shard.Options{Shards: 1})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true, External: true}, Filter: everything(0)})
	var b [2][]byte
	for i := range b {
		e := wire.NewEncoder(wire.SendOptions{AS4: true})
		for j := range 200 {
			f := []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4VPN, wire.L2VPNEVPN, wire.IPv4LabelledUnicast}[j%5]
			hop := nextHop()
			if !f.Is4() {
				hop = append([]byte{0x40, 3, 16}, make([]byte, 16)...)
			}
			if err := e.Announce(f, slices.Concat(origin(byte(i)), asPath(byte(j)), hop)); err != nil {
				t.Fatal(err)
			}
			switch f.Form() {
			case wire.FormPrefix:
				e.Route4(uint32(10<<24|j<<8), 24, 0)
			case wire.FormRaw:
				e.RouteRaw([]byte{1, 1, byte(j)}, 0)
			default:
				e.RouteLabelled(7, []byte{0, 0, 1}, uint64(10<<24|j<<8)<<32, 0, 24, 0)
			}
		}
		b[i] = e.Flush()
	}
	i := 0
	run := func() {
		if n, err := p.Updates(b[i%2], 1000); err != nil || n != len(b[i%2]) {
			t.Fatal(n, err)
		}
		p.Flush()
		r.Sync()
		i++
	}
	for range 20 {
		run()
	}
	syncs := testing.AllocsPerRun(50, r.Sync)
	if n := testing.AllocsPerRun(50, run); n > syncs+1 {
		t.Errorf("%v allocations for 200 messages, of which Sync makes %v", n, syncs)
	}
	if len(routes(r)) != 200 {
		t.Errorf("%d routes", len(routes(r)))
	}
}
