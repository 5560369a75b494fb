package origin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// usual is the guards of the example configuration, and a bound for each thing.
func usual() Guards {
	return Guards{
		Protected:  []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:bad::/48")},
		MinLength4: 24, MinLength6: 48, MaxRules: 1000, MaxRulesPerPeer: 200, MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour,
		Blackhole: []uint32{64512<<16 | 666, 0xffffff01}, NextHops: []netip.Addr{netip.MustParseAddr("192.0.2.66"), netip.MustParseAddr("100::1")},
	}
}

func own() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("::ffff:203.0.113.10"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("2001:db8:77::1")}
}

func hop(h string) func(*Route) { return func(r *Route) { r.Attrs = attrs(h) } }

// vpn makes a route one of a VPN.
func vpn(r *Route) {
	r.Family, r.RD, r.Labels = wire.IPv4VPN, 65000<<32|1, []byte{0, 1, 1}
	if r.Prefix.Addr().Is6() {
		r.Family = wire.IPv6VPN
	}
}

// ruleCases is what the guards say of routes and rules; "" is that they let it
// through.
var ruleCases = []struct {
	name string
	r    Route
	want Guard
}{
	{"a plain route of a protected prefix", route("198.51.100.0/24"), ""},
	{"a plain default route", route("0.0.0.0/0"), ""},
	{"no-export alone", route("10.0.0.0/8", with(0xffffff01)), ""},
	{"a blackhole", route("192.0.2.7/32", with(blackhole)), ""},
	{"a blackhole by the configured community", route("192.0.2.7/32", with(64512<<16|666)), ""},
	{"wide", route("10.0.0.0/8", with(blackhole)), GuardTooWide},
	{"wide, the community among others", route("10.0.0.0/8", with(1, 64512<<16|666, 2)), GuardTooWide},
	{"a little wide", route("10.0.0.0/23", with(blackhole)), GuardTooWide},
	{"not too wide", route("10.0.0.0/24", with(blackhole)), ""},
	{"wide IPv6", route("2001:db8:2::/47", with(blackhole)), GuardTooWide},
	{"not too wide IPv6", route("2001:db8:1::/48", with(blackhole)), ""},
	{"the default route", route("0.0.0.0/0", with(blackhole)), GuardDefault},
	{"the default route of IPv6", route("::/0", with(blackhole)), GuardDefault},
	{"in a protected prefix", route("198.51.100.7/32", with(blackhole)), GuardProtected},
	{"a protected prefix", route("198.51.100.0/24", with(blackhole)), GuardProtected},
	{"in a protected prefix of IPv6", route("2001:db8:bad:1::/64", with(blackhole)), GuardProtected},
	{"an address of a session", route("203.0.113.9/32", with(blackhole)), GuardOwnAddress},
	{"around an address of a session", route("203.0.113.0/24", with(blackhole)), GuardOwnAddress},
	{"a mapped address", route("203.0.113.10/32", with(blackhole)), GuardOwnAddress},
	{"a link-local address", route("fe80::1/128", with(blackhole)), GuardOwnAddress},
	{"beside the address of a session", route("203.0.113.11/32", with(blackhole)), ""},
	{"by the blackhole next hop", route("198.51.100.7/32", hop("192.0.2.66")), GuardProtected},
	{"by the blackhole next hop of IPv6", route("2001:db8:bad::1/128", hop("100::1")), GuardProtected},
	{"by the blackhole next hop, mapped", route("198.51.100.7/32", hop("::ffff:192.0.2.66")), GuardProtected},
	{"by the blackhole next hop and a link-local one", route("2001:db8:bad::1/128", func(r *Route) {
		b := append(netip.MustParseAddr("100::1").AsSlice(), netip.MustParseAddr("fe80::9").AsSlice()...)
		r.Attrs = wire.AppendAttr(attrs(""), wire.FlagTransitive, wire.AttrNextHop, b)
	}), GuardProtected},
	{"a VPN's blackhole", route("198.51.100.7/32", with(blackhole), vpn), GuardProtected},
	{"a VPN's blackhole next hop", route("198.51.100.7/32", vpn, func(r *Route) {
		r.Attrs = wire.AppendAttr(attrs(""), wire.FlagTransitive, wire.AttrNextHop, append(make([]byte, 8), 192, 0, 2, 66))
	}), GuardProtected},
	{"an EVPN route that is a blackhole", Route{Key: Key{Family: wire.L2VPNEVPN, NLRI: "\x03\x05hello"}, Attrs: attrs("192.0.2.1", blackhole)}, GuardNoDestination},
	{"ttl too long", route("192.0.2.7/32", with(blackhole), ttl(25*time.Hour)), GuardTTL},
	{"ttl as long as it may be", route("192.0.2.7/32", with(blackhole), ttl(24*time.Hour)), ""},
	{"a plain route for a year", route("192.0.2.0/24", ttl(365*24*time.Hour)), ""},

	{"discard", rule("destination 203.0.112.0/24 then discard"), ""},
	{"discard without destination", rule("protocol =udp then discard"), GuardNoDestination},
	{"a source alone", rule("source 10.0.0.0/8 then discard"), GuardNoDestination},
	{"discard everything", rule("destination 0.0.0.0/0 then discard"), GuardDefault},
	{"discard in a wide prefix", rule("destination 10.0.0.0/8 protocol =udp then discard"), GuardTooWide},
	{"limit", rule("destination 198.51.100.1/32 then rate-limit 1000000"), GuardProtected},
	{"limit packets", rule("destination 198.51.100.1/32 then rate-limit-packets 1000"), GuardProtected},
	{"redirect to a route target", rule("destination 198.51.100.1/32 then redirect 65000:1"), GuardProtected},
	{"redirect to an address", rule("destination 198.51.100.1/32 then redirect 192.0.2.1"), GuardProtected},
	{"mark", rule("destination 198.51.100.1/32 then mark 46"), ""},
	{"mark everything", rule("protocol =udp then mark 46"), ""},
	{"sample", rule("destination 10.0.0.0/8 then sample"), ""},
	{"an action that nobody knows", rule("destination 198.51.100.1/32 then sample", func(r *Route) {
		r.Attrs = wire.AppendAttr(attrs(""), wire.FlagOptional|wire.FlagTransitive, wire.AttrExtCommunities, []byte{0x80, 0x42, 0, 0, 0, 0, 0, 1})
	}), GuardProtected},
	{"a rule with a blackhole community", rule("destination 198.51.100.1/32 then sample", func(r *Route) { r.Attrs = attrs("", blackhole) }), GuardProtected},
	{"a session's address", rule("destination 203.0.113.9/32 destination-port =179 then discard"), GuardOwnAddress},
	{"a session's address of IPv6", rule("destination 2001:db8:77::/64 then discard"), GuardOwnAddress},
	{"IPv6 from an offset that is wide", rule("destination ::1234:5678:9a00:0/104 offset 64 then discard"), GuardTooWide},
	{"IPv6 from an offset that hits what is protected", rule("destination 0:db8:bad::/64 offset 16 then discard"), GuardProtected},
	{"IPv6 from an offset that hits a session", rule("destination 0:db8:77::1/128 offset 16 then discard"), GuardOwnAddress},
	{"IPv6 from an offset beside it", rule("destination 0:db8:78::1/128 offset 16 then discard"), ""},
	{"IPv6 in a protected prefix", rule("destination 2001:db8:bad:1::/64 then discard"), GuardProtected},
	{"a rule for frames", Route{Key: Key{Family: 25<<8 | 133, NLRI: "\x03\x0e\x81\x05"}, Attrs: rule("destination 192.0.2.0/24 then discard").Attrs}, GuardNoDestination},
	{"a VPN's rule", rule("rd 65000:1 destination 198.51.100.1/32 then discard"), GuardProtected},
}

func TestGuards(t *testing.T) {
	for _, c := range ruleCases {
		r := newRig(t, Options{Guards: usual(), Own: own})
		for _, mode := range []Mode{AllOrNothing, EachAlone} {
			for what, f := range map[string]func([]Route, Mode) ([]Result, error){"check": r.Check, "announce": r.Announce} {
				res, err := f([]Route{c.r}, mode)
				if mode == EachAlone && err == nil {
					err = res[0].Err
				}
				if guardOf(err) != c.want || c.want == "" && err != nil {
					t.Errorf("%s: %s, mode %d: got %v, want %q", c.name, what, mode, err, c.want)
				}
			}
		}
		if r.shows(c.r) != (c.want == "") {
			t.Errorf("%s: in the RIB %v", c.name, c.want != "")
		}
		r.end()
	}
}

// What was announced while no guard was there is judged by them on a reload, and
// after a restart, as if it came then.
func TestGuardsHoldAfterAReloadAndARestart(t *testing.T) {
	for _, c := range ruleCases {
		if c.want == GuardTTL {
			continue
		}
		if c.r.TTL == 0 {
			c.r.TTL = time.Hour
		}
		j := &memory{}
		r := newRig(t, Options{Journal: j})
		if c.want == GuardDefault || c.want == GuardNoDestination {
			// These need no configuration.
			if _, err := r.Announce([]Route{c.r}, AllOrNothing); guardOf(err) != c.want {
				t.Errorf("%s: without configured guards: %v", c.name, err)
			}
			continue
		}
		r.announce(c.r)
		if !r.shows(c.r) {
			t.Fatalf("%s: not in the RIB without guards", c.name)
		}
		check := func(when string, r *rig) {
			t.Helper()
			l := r.list(Filter{})
			if len(l) != 1 || (l[0].Held != nil) != (c.want != "") || l[0].Held != nil && l[0].Held.Guard != c.want {
				t.Errorf("%s: %s: listed as %+v, want %q", c.name, when, l, c.want)
			}
			if r.shows(c.r) != (c.want == "") {
				t.Errorf("%s: %s: in the RIB %v", c.name, when, c.want != "")
			}
			if s := r.Stats(); s.Held != len(l)-btoi(c.want == "") || c.want != "" && s.Guarded != 0 {
				t.Errorf("%s: %s: stats %+v", c.name, when, s)
			}
		}
		r.o.Own = own
		held, released := r.SetGuards(usual())
		if held != btoi(c.want != "") || released != 0 {
			t.Errorf("%s: %d are held, %d released", c.name, held, released)
		}
		check("after a reload", r)
		if c.want != "" { // it is refused when it comes again, and stays as it is
			if _, err := r.Announce([]Route{c.r}, AllOrNothing); guardOf(err) != c.want {
				t.Errorf("%s: announced while it is held: %v", c.name, err)
			}
			check("after it was refused", r)
		}
		again := newRig(t, Options{Journal: &memory{recs: j.recs}, Guards: usual(), Own: own})
		check("after a restart", again)
		again.o.Own = func() []netip.Addr { return nil }
		if held, released := again.SetGuards(Guards{}); held != 0 || released != btoi(c.want != "") || !again.shows(c.r) {
			t.Errorf("%s: without guards: %d held, %d released", c.name, held, released)
		}
		if found, err := r.Withdraw([]Key{c.r.Key}); err != nil || !found[0] || len(r.list(Filter{})) != 0 {
			t.Errorf("%s: what is held can't be withdrawn: %v", c.name, err)
		}
		r.end()
		again.end()
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestTooMany(t *testing.T) {
	g := Guards{MaxRules: 5, MaxRulesPerPeer: 3}
	r := newRig(t, Options{Guards: g})
	hole := func(i int, more ...func(*Route)) Route {
		return route(fmt.Sprintf("10.0.0.%d/32", i), append([]func(*Route){with(blackhole)}, more...)...)
	}
	ok := func(w Route) {
		t.Helper()
		if _, err := r.Announce([]Route{w}, AllOrNothing); err != nil {
			t.Error(err)
		}
	}
	no := func(w Route, want Guard) {
		t.Helper()
		if _, err := r.Announce([]Route{w}, AllOrNothing); guardOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	ok(hole(1))                  // for everybody
	ok(hole(2, peers("a")))      // a has 2
	ok(hole(3, peers("a", "b"))) // a has 3, b 2
	no(hole(4, peers("a")), GuardPerPeer)
	no(hole(4), GuardPerPeer) // a would have 4
	ok(hole(4, peers("b")))   // b has 3
	no(hole(5, peers("b", "c")), GuardPerPeer)
	ok(hole(5, peers("c"))) // c has 2, all are 5
	no(hole(6, peers("c")), GuardTotal)
	ok(hole(5, peers("c"), with(blackhole, 1))) // in its own place
	no(rule("destination 10.0.0.1/32 then discard"), GuardTotal)
	for i := range 10 {
		ok(route(fmt.Sprintf("172.16.%d.0/24", i))) // plain routes do not count
	}
	if _, err := r.Withdraw([]Key{hole(1).Key}); err != nil {
		t.Fatal(err)
	}
	ok(rule("destination 10.0.0.1/32 then discard", peers("a")))
	if s := r.Stats(); s.Guarded != 5 {
		t.Errorf("%d are counted", s.Guarded)
	}
	// Fewer are possible after a reload: those that came last are held.
	r.SetGuards(Guards{MaxRules: 2})
	for _, w := range r.list(Filter{}) {
		guarded := strings.Contains(w.Prefix.String(), "/32") || w.NLRI != ""
		first := w.Key == hole(2).Key || w.Key == hole(3).Key
		if (w.Held != nil) != (guarded && !first) {
			t.Errorf("%v: held %v", w.Key, w.Held)
		}
	}
	if s := r.Stats(); s.Guarded != 2 || s.Held != 3 {
		t.Errorf("stats %+v", s)
	}
	// A list is counted as a whole.
	if _, err := r.Announce([]Route{hole(9)}, AllOrNothing); guardOf(err) != GuardTotal {
		t.Errorf("got %v", err)
	}
	r.SetGuards(Guards{MaxRules: 6})
	res, err := r.Announce([]Route{hole(9), hole(10), hole(11)}, EachAlone)
	if err != nil || res[0].Err != nil || guardOf(res[1].Err) != GuardTotal || guardOf(res[2].Err) != GuardTotal {
		t.Errorf("got %+v %v", res, err)
	}
	if _, err := r.Announce([]Route{hole(12), hole(13)}, AllOrNothing); guardOf(err) != GuardTotal || r.Stats().Guarded != 6 {
		t.Errorf("got %v, %d counted", err, r.Stats().Guarded)
	}
}

func TestWhatIsGuardedEndsByItself(t *testing.T) {
	r := newRig(t, Options{Guards: usual()})
	for _, c := range []struct {
		r    Route
		want time.Duration
	}{
		{route("10.0.0.1/32", with(blackhole)), time.Hour},
		{route("10.0.0.1/32", with(blackhole), ttl(2*time.Hour)), 2 * time.Hour},
		{route("10.0.0.1/32", with(blackhole)), time.Hour},
		{rule("destination 10.0.0.1/32 then discard"), time.Hour},
		{rule("destination 10.0.0.1/32 then mark 1"), 0},
		{route("10.0.0.0/8"), 0},
	} {
		res := r.announce(c.r)
		left := time.Until(res[0].Expires).Round(time.Minute)
		if c.want == 0 && !res[0].Expires.IsZero() || c.want != 0 && left != c.want {
			t.Errorf("%v lasts %v, want %v", c.r.Key, left, c.want)
		}
	}
	// Without default_ttl one has to be given where there is a longest.
	r.SetGuards(Guards{MaxTTL: time.Hour})
	if _, err := r.Announce([]Route{route("10.0.0.2/32", with(blackhole))}, AllOrNothing); guardOf(err) != GuardTTL {
		t.Errorf("got %v", err)
	}
}

func TestALowerMaxTTLHoldsWhatLastsLonger(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j, Guards: Guards{MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour}})
	long, short := route("10.0.0.1/32", with(blackhole), ttl(20*time.Hour)), route("10.0.0.2/32", with(blackhole))
	r.announce(long, short)
	r.SetGuards(Guards{MaxTTL: 2 * time.Hour})
	again := newRig(t, Options{Journal: &memory{recs: j.recs}, Guards: Guards{MaxTTL: 2 * time.Hour}})
	for when, r := range map[string]*rig{"reload": r, "restart": again} {
		got, _ := r.Get(long.Key)
		if got.Held == nil || got.Held.Guard != GuardTTL || r.shows(long) || !r.shows(short) {
			t.Errorf("%s: %+v", when, got)
		}
	}
}

// The overlap of what a rule with an offset hits answers to one that tries
// addresses.
func TestOverlapWithAnOffset(t *testing.T) {
	for _, c := range []struct {
		prefix string
		offset uint8
		other  string
		want   bool
	}{
		{"::5/128", 120, "2001:db8::5/128", true},
		{"::5/128", 120, "2001:db8::4/128", false},
		{"::5/128", 120, "2001:db8::/64", true},
		{"2001:db8::/32", 0, "2001:db8:1::/48", true},
		{"0:db8::/32", 16, "3fff:db8::/32", true},
		{"0:db8::/32", 16, "3fff:db9::/32", false},
		{"0:db8::/32", 16, "3ffe::/15", true},
		{"0:db8::/32", 16, "10.0.0.0/8", false},
		{"::/64", 64, "2001:db8::/32", true},
	} {
		d := target{netip.MustParsePrefix(c.prefix), c.offset, true}
		if got := d.overlaps(netip.MustParsePrefix(c.other)); got != c.want {
			t.Errorf("%s offset %d and %s: got %v", c.prefix, c.offset, c.other, got)
		}
	}
}
