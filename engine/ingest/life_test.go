package ingest

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

func TestRefresh(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}})
	take(t, p, announcement("10.0.0.0/8", "10.1.0.0/16"))
	if p.EndRefresh(wire.IPv4Unicast) {
		t.Error("a refresh ends that did not begin")
	}
	p.BeginRefresh(wire.IPv4Unicast)
	take(t, p, announcement("10.1.0.0/16", "10.2.0.0/16"))
	if got, want := prefixesOf(r), []string{"10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"}; !slices.Equal(got, want) {
		t.Errorf("between: %v, want %v", got, want)
	}
	if !p.EndRefresh(wire.IPv4Unicast) {
		t.Error("the refresh had begun")
	}
	if got, want := prefixesOf(r), []string{"10.1.0.0/16", "10.2.0.0/16"}; !slices.Equal(got, want) {
		t.Errorf("after: %v, want %v", got, want)
	}
}

// What a peer says and what its session asks of the tables stay in order, however
// full the queues are of what others send.
func TestOrderBesideAFlood(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2, QueueLen: 8})
	other := start(t, r, addPeer(t, r, 65002), Session{Wire: wire.Session{AS4: true}})
	e := wire.NewEncoder(wire.SendOptions{AS4: true})
	if err := e.Announce(wire.IPv4Unicast, attributes()); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(20_000) {
		e.Route4(20<<24|i<<8, 24, 0)
	}
	flood := e.Flush()
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	wg.Go(func() {
		for !stop.Load() {
			if _, err := other.Updates(flood, 1000); err != nil {
				t.Error(err)
			}
			other.Flush()
		}
	})
	s := Session{Wire: wire.Session{AS4: true}}
	p := start(t, r, num, s)
	for i := range 16 {
		list := []string{"10.0.0.0/8"}
		for j := range 4 {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(30 + j), byte(i), byte(j), 0}), 24).String())
		}
		if i%2 == 0 {
			p.BeginRefresh(wire.IPv4Unicast)
			take(t, p, announcement(list...))
			p.EndRefresh(wire.IPv4Unicast)
		} else {
			p.Retain(wire.AllFamilies(), rib.StaleGR)
			p.Start(s)
			take(t, p, announcement(list...), wire.AppendEndOfRIB(nil, wire.IPv4Unicast))
		}
		r.Sync()
		st, _ := r.PeerStatus(num)
		if n := st.Counts[0]; n.Paths != int64(len(list)) || n.Stale != 0 {
			t.Fatalf("round %d: %+v, want %d paths", i, n, len(list))
		}
	}
}

// RFC 4724 section 4.2: stale until announced again, End-of-RIB or the timer; what
// has outlived one session does not outlive the next.
func TestGracefulRestart(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2})
	s := Session{Wire: wire.Session{AS4: true}}
	p := start(t, r, num, s)
	v6 := update(nil, slices.Concat(origin(0), asPath(1), []byte{0x80, 14, 24, 0, 2, 1, 16}, make([]byte, 16), []byte{0, 16, 0x20, 1}), nil)
	take(t, p, announcement("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"), v6)
	p.Retain(wire.NewFamilySet(wire.IPv4Unicast), rib.StaleGR)
	check := func(name string, want ...string) {
		t.Helper()
		if got := prefixesOf(r); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	check("down", "10.0.0.0/8 stale gr", "10.1.0.0/16 stale gr", "10.2.0.0/16 stale gr")
	p.Start(s)
	take(t, p, announcement("10.1.0.0/16"), update(prefixes("10.2.0.0/16"), nil, nil))
	check("up", "10.0.0.0/8 stale gr", "10.1.0.0/16")
	p.BeginRefresh(wire.IPv4Unicast) // ignored before the End-of-RIB (RFC 7313 section 4)
	if p.EndRefresh(wire.IPv4Unicast) {
		t.Error("a refresh began before the End-of-RIB")
	}
	p.Retain(wire.AllFamilies(), rib.StaleGR)
	check("down again", "10.1.0.0/16 stale gr")
	if got := p.Retained(); !slices.Equal(got, []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast}) {
		t.Errorf("retained: %v", got)
	}
	p.Start(s)
	take(t, p, announcement("10.3.0.0/16"), wire.AppendEndOfRIB(nil, wire.IPv4Unicast))
	check("End-of-RIB", "10.3.0.0/16")
	p.Retain(wire.AllFamilies(), rib.StaleGR)
	p.EndRetain(wire.IPv4Unicast)
	check("the timer")
	p.Start(s)
	take(t, p, announcement("10.4.0.0/16"))
	p.Retain(wire.AllFamilies(), rib.StaleGR)
	p.Start(Session{Wire: wire.Session{AS4: true, Families: wire.NewFamilySet(wire.IPv6Unicast)}})
	check("the family is not negotiated again")
}

// RFC 9494: NO_LLGR goes, the rest gets LLGR_STALE, and comes last.
func TestLongLivedGracefulRestart(t *testing.T) {
	r, num := open(t, shard.Options{Shards: 2})
	p := start(t, r, num, Session{Wire: wire.Session{AS4: true}, Filter: ruled{r.Attrs()}})
	med2 := []byte{0x80, 4, 4, 0, 0, 0, 2} // policy sets LOCAL_PREF
	take(t, p,
		announcement("10.0.0.0/8"),
		update(nil, attributes(communities(65001<<16|1)), prefixes("10.1.0.0/16")),
		update(nil, attributes(communities(65001<<16|1, noLLGR)), prefixes("10.2.0.0/16")),
		update(nil, attributes(communities(llgrStale)), prefixes("10.3.0.0/16")),
		update(nil, attributes(med2), prefixes("10.4.0.0/16")))
	p.Retain(wire.AllFamilies(), rib.StaleGR)
	p.LongLived(wire.IPv4Unicast)
	p.LongLived(wire.IPv6Unicast) // nothing is known of it
	pref := []byte{0x40, 5, 4, 0, 0, 0, 200}
	want := []string{}
	for _, x := range []struct {
		prefix     string
		attrs, pre []byte
	}{
		{"10.0.0.0/8", attributes(communities(llgrStale)), nil},
		{"10.1.0.0/16", attributes(communities(65001<<16|1, llgrStale)), nil},
		{"10.3.0.0/16", attributes(communities(llgrStale)), nil},
		{"10.4.0.0/16", attributes(med2, pref, communities(llgrStale)), attributes(med2, communities(llgrStale))},
	} {
		m := modelRoute{attrs: x.attrs, pre: x.pre, stale: rib.StaleLLGR}
		one := model{peer: num, routes: map[modelKey]*modelRoute{{family: wire.IPv4Unicast, at: x.prefix}: &m}}
		want = append(want, one.lines(1000)...)
	}
	same(t, routes(r), want)
	take(t, p, announcement("10.1.0.0/16"))
	p.EndRetain(wire.IPv4Unicast)
	if got := prefixesOf(r); !slices.Equal(got, []string{"10.1.0.0/16"}) {
		t.Errorf("at the end: %v", got)
	}
}
