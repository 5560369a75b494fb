package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ribd/shard"
	"ribd/wire"
)

func TestARouteIsInTheRIBWhenAnnounceReturns(t *testing.T) {
	r := newRig(t, Options{})
	vpn := Route{Key: Key{Family: wire.IPv4VPN, RD: 65000<<32 | 1, Prefix: netip.MustParsePrefix("10.0.0.0/8")}, Labels: []byte{0, 1, 1}, Attrs: attrs("192.0.2.1")}
	evpn := Route{Key: Key{Family: wire.L2VPNEVPN, NLRI: "\x03\x05hello"}, Attrs: attrs("192.0.2.1")}
	routes := []Route{
		route("203.0.113.0/24"), route("2001:db8::/32"), route("0.0.0.0/0"), vpn, evpn,
		rule("destination 203.0.113.0/24 protocol =udp then mark 46"),
		rule("ipv6-flowspec destination 2001:db8::/64 then sample"),
	}
	res := r.announce(routes...)
	for i, w := range routes {
		if !r.shows(w) {
			t.Errorf("route %d is not in the RIB", i)
		}
		if !res[i].New || !res[i].Changed || res[i].Err != nil || res[i].AttrsID == 0 || !res[i].Expires.IsZero() {
			t.Errorf("route %d: result %+v", i, res[i])
		}
		got, ok := r.Get(w.Key)
		if !ok || got.Key != w.Key || string(got.Attrs) != string(w.Attrs) || string(got.Labels) != string(w.Labels) || got.Created.IsZero() {
			t.Errorf("route %d: got %+v", i, got)
		}
	}
	if n := len(r.list(Filter{})); n != len(routes) {
		t.Errorf("%d are listed, want %d", n, len(routes))
	}
	found, err := r.Withdraw([]Key{routes[0].Key, routes[3].Key, routes[5].Key, route("198.51.100.0/24").Key, routes[0].Key})
	if want := []bool{true, true, true, false, false}; err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v %v, want %v", found, err, want)
	}
	for i, w := range routes {
		if want := i != 0 && i != 3 && i != 5; r.shows(w) != want {
			t.Errorf("route %d: in the RIB %v, want %v", i, !want, want)
		}
	}
}

func TestTheSameRouteAgainChangesNothing(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j})
	first := r.announce(route("203.0.113.0/24"), route("203.0.113.0/24", pathID(0)))
	follow := r.rib.Follow("") // so that there is a feed
	defer follow.Close()
	n, before := len(j.recs), r.rib.Mark(nil)
	again := r.announce(route("203.0.113.0/24"), route("203.0.113.0/24", pathID(0)))
	for i := range again {
		if again[i].New || again[i].Changed || again[i].AttrsID != first[i].AttrsID || again[i].Num != first[i].Num {
			t.Errorf("got %+v, first %+v", again[i], first[i])
		}
	}
	if len(j.recs) != n {
		t.Errorf("%d records are written", len(j.recs)-n)
	}
	// A longer life is kept, but tells nobody anything.
	r.announce(route("203.0.113.0/24", ttl(time.Hour)))
	res := r.announce(route("203.0.113.0/24", ttl(2*time.Hour)))
	if left := time.Until(res[0].Expires); res[0].Changed || left < 2*time.Hour-time.Minute || left > 2*time.Hour {
		t.Errorf("it lasts %v, changed %v", left, res[0].Changed)
	}
	if len(j.recs) != n+2 {
		t.Errorf("%d records, want 2", len(j.recs)-n)
	}
	if res = r.announce(route("203.0.113.0/24")); !res[0].Expires.IsZero() {
		t.Error("without a ttl it still ends")
	}
	if after := r.rib.Mark(nil); !slices.Equal(before, after) {
		t.Errorf("the RIB was told of a change: %v, then %v", before, after)
	}
}

func TestAListIsAllOrNothing(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j, Guards: Guards{MinLength4: 24}})
	r.announce(route("203.0.113.0/24"))
	n := len(j.recs)
	bad := []Route{route("198.51.100.0/24"), route("203.0.113.0/24", with(1)), route("10.0.0.0/8", with(blackhole)), route("192.0.2.0/24")}
	res, err := r.Announce(bad, AllOrNothing)
	var re *RouteError
	if !errors.As(err, &re) || re.Index != 2 || guardOf(err) != GuardTooWide || res != nil {
		t.Errorf("got %v %v", res, err)
	}
	if len(j.recs) != n || len(r.list(Filter{})) != 1 || !r.shows(route("203.0.113.0/24")) {
		t.Error("something has changed")
	}
	res, err = r.Check(bad, EachAlone)
	if err != nil || res[2].Err == nil || res[3].Err != nil || !res[3].New || len(r.list(Filter{})) != 1 || len(j.recs) != n {
		t.Errorf("check: %v %v", res, err)
	}
	// Line by line the others are announced.
	res, err = r.Announce(bad, EachAlone)
	if err != nil || guardOf(res[2].Err) != GuardTooWide || res[0].Err != nil || !r.shows(bad[1]) || !r.shows(bad[3]) || r.shows(bad[2]) {
		t.Errorf("each alone: %v %v", res, err)
	}
	if s := r.Stats(); s.Refused[GuardTooWide] != 2 || s.Routes[wire.IPv4Unicast] != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestWhatIsMalformedIsRefused(t *testing.T) {
	r := newRig(t, Options{})
	fs := rule("destination 203.0.113.0/24 then sample")
	for name, c := range map[string]struct {
		r    Route
		want string
	}{
		"host bits":       {Route{Key: Key{Family: wire.IPv4Unicast, Prefix: netip.MustParsePrefix("203.0.113.1/24")}}, "203.0.113.0/24"},
		"family":          {Route{Key: Key{Family: wire.IPv6Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24")}}, "no prefix of ipv6-unicast"},
		"no prefix":       {Route{Key: Key{Family: wire.IPv4Unicast}}, "missing"},
		"NLRI and prefix": {Route{Key: Key{Family: wire.IPv4Unicast, Prefix: netip.MustParsePrefix("203.0.113.0/24"), NLRI: "x"}}, "octets"},
		"prefix of raw":   {Route{Key: Key{Family: wire.L2VPNEVPN, Prefix: netip.MustParsePrefix("203.0.113.0/24")}}, "no prefixes"},
		"no NLRI":         {Route{Key: Key{Family: wire.IPv4FlowSpec}}, "missing"},
		"bad NLRI":        {Route{Key: Key{Family: wire.IPv4FlowSpec, NLRI: "\x03\x63\x00\x00"}, Attrs: fs.Attrs}, "component"},
		"long NLRI":       {Route{Key: Key{Family: wire.LS, NLRI: strings.Repeat("x", 70000)}}, "70000 octets"},
		"no attributes":   {route("203.0.113.0/24", func(r *Route) { r.Attrs = nil }), "mandatory"},
		"cut attributes":  {route("203.0.113.0/24", func(r *Route) { r.Attrs = r.Attrs[:len(r.Attrs)-1] }), "canonical"},
		"twice":           {route("203.0.113.0/24", func(r *Route) { r.Attrs = append(r.Attrs, r.Attrs...) }), "ascending"},
		"label":           {route("203.0.113.0/24", func(r *Route) { r.Labels = []byte{0, 0, 1} }), "no labels"},
		"no label":        {Route{Key: Key{Family: wire.IPv4VPN, Prefix: netip.MustParsePrefix("10.0.0.0/8")}}, "wants a label"},
		"half a label":    {Route{Key: Key{Family: wire.IPv4VPN, Prefix: netip.MustParsePrefix("10.0.0.0/8")}, Labels: []byte{1, 2}}, "3 octets"},
		"ttl":             {route("203.0.113.0/24", ttl(-1)), "time to live"},
		"long ttl":        {route("203.0.113.0/24", ttl(1<<62)), "time to live"},
		"peers":           {route("203.0.113.0/24", peers("b", "a")), "ascending"},
		"peers twice":     {route("203.0.113.0/24", peers("a", "a")), "ascending"},
		"no peer":         {route("203.0.113.0/24", peers("")), "ascending"},
	} {
		if _, err := r.Announce([]Route{c.r}, AllOrNothing); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, c.want)
		}
	}
	if n := len(r.list(Filter{})); n != 0 {
		t.Errorf("%d routes are there", n)
	}
}

func TestAnNLRIThatIsNotCanonicalIsTheSameRule(t *testing.T) {
	r := newRig(t, Options{})
	fs := rule("destination 203.0.113.0/24 then sample")
	long := fs
	long.NLRI = string([]byte{0xf0, byte(len(fs.NLRI) - 1)}) + fs.NLRI[1:]
	r.announce(long)
	if res := r.announce(fs); res[0].New || res[0].Changed {
		t.Errorf("it is another rule: %+v", res[0])
	}
	if l := r.list(Filter{Rules: true}); len(l) != 1 || l[0].NLRI != fs.NLRI {
		t.Errorf("listed: %v", l)
	}
	if found, _ := r.Withdraw([]Key{long.Key}); !found[0] {
		t.Error("it is not found by the other form")
	}
}

func TestPathIDsMakeSeveralPathsOfAPrefix(t *testing.T) {
	r := newRig(t, Options{})
	all := []Route{route("203.0.113.0/24"), route("203.0.113.0/24", pathID(0), with(2)), route("203.0.113.0/24", pathID(7), with(3))}
	r.announce(all...)
	for _, w := range all {
		if !r.shows(w) {
			t.Errorf("%v is not in the RIB", w.Key)
		}
	}
	if found, _ := r.Withdraw([]Key{all[0].Key}); !found[0] || r.shows(all[0]) || !r.shows(all[1]) || !r.shows(all[2]) {
		t.Error("withdrawing the path without an id did not take that one alone")
	}
}

func TestEveryListOfPeersIsASourceOfItsOwn(t *testing.T) {
	r := newRig(t, Options{})
	r.announce(route("203.0.113.0/24", peers("a", "b")), route("198.51.100.0/24", peers("a", "b")), route("192.0.2.0/24", peers("a")), route("10.0.0.0/8"))
	if n := r.Stats().Sources; n != 3 {
		t.Errorf("%d sources, want 3", n)
	}
	// A route that is meant for others moves, and is not there twice.
	for _, w := range []Route{route("203.0.113.0/24", peers("a")), route("203.0.113.0/24"), route("203.0.113.0/24", peers("b"))} {
		if res := r.announce(w); !res[0].Changed || res[0].New || !r.shows(w) {
			t.Errorf("%v: %+v", w.Peers, res[0])
		}
	}
	for n := range r.sources {
		if p, ok := r.rib.Peer(n); !ok || p.ID != PeerID() {
			t.Errorf("source %d has the id %v", n, p)
		}
	}
}

// Sessions need numbers of the RIB too: not every list of peers gets one.
func TestListsOfPeersAreBounded(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j})
	list := make([]Route, maxSources+5)
	for i := range list {
		list[i] = route("203.0.113.0/24", pathID(uint32(i)), peers(fmt.Sprintf("%08d", i)))
	}
	res, err := r.Announce(list, EachAlone)
	if err != nil {
		t.Fatal(err)
	}
	full := 0
	for i := range res {
		if res[i].Err != nil {
			full++
			if i < maxSources-1 || !errors.Is(res[i].Err, ErrFull) {
				t.Fatalf("list %d: %v", i, res[i].Err)
			}
		}
	}
	if n := r.Stats().Sources; n != maxSources || full != 6 {
		t.Errorf("%d sources, %d refused", n, full)
	}
	r.announce(list[0], route("10.0.0.0/8", peers("00000007")), route("192.0.2.0/24"))
	again := newRig(t, Options{Journal: &memory{recs: j.recs}})
	if n := len(again.list(Filter{})); n != maxSources+1 {
		t.Errorf("%d routes after a restart", n)
	}
}

func TestASourceWithoutRoutesIsDropped(t *testing.T) {
	r := newRig(t, Options{})
	w := route("203.0.113.0/24", peers("a"))
	r.announce(w)
	if _, err := r.Withdraw([]Key{w.Key}); err != nil {
		t.Fatal(err)
	}
	r.alone(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dropSources()
		if len(r.Manager.sources) != 2 {
			t.Error("it goes at once")
		}
		r.Manager.sources["a"].since = time.Now().Add(-time.Hour)
		r.dropSources()
		if len(r.Manager.sources) != 1 {
			t.Error("it stays for ever")
		}
	})
	if r.announce(w); !r.shows(w) {
		t.Error("it does not come back")
	}
}

func TestWhatTheJournalCannotKeepIsNotDone(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j})
	old := route("203.0.113.0/24", ttl(time.Hour))
	r.announce(old, route("192.0.2.0/24", peers("x")))
	before := r.list(Filter{})
	j.set(errors.New("no space left on device"), false)
	for i, w := range [][]Route{{route("198.51.100.0/24")}, {route("203.0.113.0/24", with(5), peers("a"))}, {old}, {route("1.0.0.0/24"), route("2.0.0.0/24"), route("1.0.0.0/24", with(9))}} {
		for _, mode := range []Mode{AllOrNothing, EachAlone} {
			if _, err := r.Announce(w, mode); !errors.Is(err, ErrNotKept) || !strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("%d: got %v", i, err)
			}
		}
	}
	if _, err := r.Withdraw([]Key{old.Key}); !errors.Is(err, ErrNotKept) {
		t.Errorf("withdraw: got %v", err)
	}
	if err := r.Remember("k", 1, []byte("x")); !errors.Is(err, ErrNotKept) {
		t.Errorf("remember: got %v", err)
	}
	if _, _, ok := r.Recall("k"); ok {
		t.Error("an answer is remembered that is not kept")
	}
	after := r.list(Filter{})
	if len(before) != len(after) {
		t.Fatalf("%d routes, there were %d", len(after), len(before))
	}
	for i := range after {
		b, a := before[i], after[i]
		if a.Key != b.Key || string(a.Attrs) != string(b.Attrs) || !a.Expires.Equal(b.Expires) || !slices.Equal(a.Peers, b.Peers) || !r.shows(a) {
			t.Errorf("got %+v, want %+v", a, b)
		}
	}
	for _, w := range []Route{route("198.51.100.0/24"), route("1.0.0.0/24")} {
		if len(r.inRIB(w.Key)) != 0 {
			t.Errorf("%v is in the RIB", w.Key)
		}
	}
	j.set(nil, false)
	if r.announce(route("198.51.100.0/24")); !r.shows(route("198.51.100.0/24")) || r.Stats().NotKept == 0 {
		t.Error("it does not go on when the disk is well again")
	}
}

func TestCallsThatWaitShareOneWrite(t *testing.T) {
	j := &memory{hold: make(chan struct{})}
	r := newRig(t, Options{Journal: j})
	var wg sync.WaitGroup
	one := func(i int) {
		defer wg.Done()
		if _, err := r.Announce([]Route{route(fmt.Sprintf("10.%d.0.0/16", i))}, AllOrNothing); err != nil {
			t.Error(err)
		}
	}
	waits := func(what string, ok func(q *requests) bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
			r.requests.mu.Lock()
			done := ok(&r.requests)
			r.requests.mu.Unlock()
			if done {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("never came: %s", what)
			}
		}
	}
	wg.Add(1)
	go one(0)
	waits("the first writes", func(q *requests) bool { return q.leading && len(q.waiting) == 0 })
	const callers = 50
	for i := range callers {
		wg.Add(1)
		go one(i + 1)
	}
	waits("the others wait", func(q *requests) bool { return len(q.waiting) == callers })
	close(j.hold)
	wg.Wait()
	if j.appends != 2 {
		t.Errorf("%d writes for %d calls, want 2", j.appends, callers+1)
	}
	if n := len(r.list(Filter{})); n != callers+1 {
		t.Errorf("%d routes", n)
	}
}

func TestAfterCloseNothingIsTaken(t *testing.T) {
	r := newRig(t, Options{})
	r.Manager.Close()
	if _, err := r.Announce([]Route{route("10.0.0.0/8")}, AllOrNothing); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Withdraw([]Key{route("10.0.0.0/8").Key}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	r.Manager.Close()
}

func TestListGoesPageByPage(t *testing.T) {
	r := newRig(t, Options{})
	var all []Route
	for i := range 200 {
		all = append(all, route(fmt.Sprintf("10.%d.%d.0/24", i%7, i)), route(fmt.Sprintf("2001:db8:%x::/48", i)))
	}
	all = append(all, route("10.0.0.0/8", pathID(3)), route("10.0.0.0/8"), rule("destination 10.0.0.0/24 then sample"), rule("protocol =1 then sample"))
	r.announce(all...)
	slices.SortFunc(all, func(a, b Route) int { return a.Compare(&b.Key) })
	var got []Route
	var after *Key
	for {
		page, more := r.List(nil, Filter{}, after, 7)
		got = append(got, page...)
		if !more {
			break
		}
		after = &page[len(page)-1].Key
		// What goes and comes behind the cursor's back does not disturb it.
		r.Withdraw([]Key{*after})
		r.announce(route("0.0.0.0/0"))
	}
	if len(got) != len(all) {
		t.Fatalf("%d routes, want %d", len(got), len(all))
	}
	for i := range got {
		if got[i].Key != all[i].Key {
			t.Fatalf("route %d is %v, want %v", i, got[i].Key, all[i].Key)
		}
	}
	for name, c := range map[string]struct {
		f    Filter
		want int
	}{
		"family": {Filter{Family: wire.IPv6Unicast}, 0}, "rules": {Filter{Rules: true}, 0}, "rd": {Filter{HasRD: true, RD: 5}, 0},
		"prefix": {Filter{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, 0},
	} {
		for _, w := range r.list(Filter{}) {
			if c.f.Family == w.Family || c.f.Rules && w.NLRI != "" || c.f.Prefix.IsValid() && c.f.Prefix == w.Prefix {
				c.want++
			}
		}
		if n := len(r.list(c.f)); n != c.want {
			t.Errorf("%s: %d, want %d", name, n, c.want)
		}
	}
}

func TestRulesAreFoundByID(t *testing.T) {
	r := newRig(t, Options{ID: func(peer string, f wire.Family, has bool, id uint32, nlri []byte) uint64 {
		if peer != PeerID() {
			t.Errorf("peer %s", peer)
		}
		return uint64(len(nlri))<<32 | uint64(id) + 1
	}})
	a, b := rule("destination 10.0.0.0/24 then sample"), rule("destination 10.0.0.0/24 then sample", pathID(4))
	res := r.announce(a, b, route("10.0.0.0/8"))
	if res[2].ID != 0 || res[0].ID == res[1].ID {
		t.Errorf("ids %d %d %d", res[0].ID, res[1].ID, res[2].ID)
	}
	if got, ok := r.Rule(res[1].ID); !ok || got.Key != b.Key || got.ID != res[1].ID {
		t.Errorf("got %+v", got)
	}
	r.Withdraw([]Key{b.Key})
	if _, ok := r.Rule(res[1].ID); ok {
		t.Error("it is found though it is gone")
	}
}

// A bug in what the Manager calls ends one call, not all that come after it.
func TestAPanicDoesNotStopTheOthers(t *testing.T) {
	bug := true
	r := newRig(t, Options{Guards: Guards{MinLength4: 24}, Own: func() []netip.Addr {
		if bug {
			panic("BUG: of the test")
		}
		return nil
	}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it does not panic")
			}
		}()
		_, _ = r.Announce([]Route{route("10.0.0.0/24", with(blackhole))}, AllOrNothing)
	}()
	bug = false
	done := make(chan error, 1)
	go func() {
		_, err := r.Announce([]Route{route("10.0.1.0/24", with(blackhole))}, AllOrNothing)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the next call hangs")
	}
}

// What the guards hold is in no table, and still has its attributes, labels and
// NLRI when the sweeps have been over them.
func TestWhatIsHeldOutlivesTheSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the keeper is as often as it says, whatever the machine does
		tables, err := shard.Open(shard.Options{Shards: 1, SweepEvery: 100 * time.Millisecond, IDRest: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, Options{RIB: tables, tick: 5 * time.Millisecond})
		vpn := route("10.9.9.9/32", with(blackhole, 77), func(r *Route) { r.Family, r.RD, r.Labels = wire.IPv4VPN, 9, []byte{0, 3, 1} })
		held := []Route{route("10.0.0.1/32", with(blackhole, 78)), vpn, rule("destination 10.0.0.1/32 then rate-limit 12345")}
		r.announce(held...)
		r.SetGuards(Guards{Protected: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		for end := time.Now().Add(10 * time.Second); tables.Attrs().Generation() < 8; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nothing is swept")
			}
		}
		for _, w := range held {
			if got, _ := r.Get(w.Key); string(got.Attrs) != string(w.Attrs) || string(got.Labels) != string(w.Labels) || got.Held == nil {
				t.Errorf("got %+v, want %+v", got, w)
			}
		}
		r.SetGuards(Guards{})
		for _, w := range held {
			if !r.shows(w) {
				t.Errorf("%v does not come back", w.Key)
			}
		}
	})
}
