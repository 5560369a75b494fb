//go:build linux

package peertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// routes are what a daemon of a kind can originate.
func routes(k Kind) []Route {
	l := []Route{
		{Prefix: pfx("192.0.2.0/24"), Origin: "igp"},
		{Prefix: pfx("198.51.100.0/25"), Origin: "incomplete", ASPath: "64999 4200000001", MED: new(uint32(77)),
			Communities: []string{"65001:1", "65001:666"}, LargeCommunities: []string{"4200000001:2:3"}, ExtCommunities: []string{"rt:65001:5"}},
		{Prefix: pfx("2001:db8:1::/48"), Origin: "egp", ASPath: "64999 64999", MED: new(uint32(0)), Communities: []string{"65001:1"}},
	}
	if k == OpenBGPD {
		for i := range l {
			l[i].ASPath = ""
		}
		l[2].MED = nil
	}
	if k == FRR {
		// A route of its own has a MED of 0 where none is set.
		l[0].MED = new(uint32(0))
	}
	return l
}

func of(l []Route, family string) (out []Route) {
	for _, r := range l {
		if r.Family() == family {
			out = append(out, r)
		}
	}
	return out
}

// heard returns routes as an external neighbour hears them.
func heard(l []Route, as string, from *Host) []Route {
	l = slices.Clone(l)
	for i := range l {
		r := &l[i]
		if r.ASPath == "" {
			r.ASPath = as
		} else {
			r.ASPath = as + " " + r.ASPath
		}
		r.NextHop = from.Addr(r.Prefix.Addr())
	}
	return l
}

// TestDaemonsExchangeRoutes proves the harness: each daemon hears from GoBGP 3,
// or BIRD, what that announces, with the attributes, and the other way round.
func TestDaemonsExchangeRoutes(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			other := BIRD
			if k == BIRD {
				other = GoBGP3
			}
			Need(t, k, other)
			n := NewNet(t)
			a, b := n.Host(), n.Host()
			ra := Start(t, k, a, Config{AS: 65001, Routes: routes(k), Neighbors: []Neighbor{{Address: b.V4, AS: 65002}, {Address: b.V6, AS: 65002}}})
			rb := Start(t, other, b, Config{AS: 65002, Routes: routes(other), Neighbors: []Neighbor{{Address: a.V4, AS: 65001}, {Address: a.V6, AS: 65001}}})
			WaitState(t, ra, b.V4, "established")
			WaitState(t, ra, b.V6, "established")
			WaitState(t, rb, a.V6, "established")
			for _, f := range []string{"ipv4-unicast", "ipv6-unicast"} {
				WaitRoutes(t, ra, f, heard(of(routes(other), f), "65002", b), NoLocalPref, NoZeroMED)
				WaitRoutes(t, rb, f, heard(of(routes(k), f), "65001", a), NoLocalPref)
			}
		})
	}
}

// TestDaemonsKeepPathIDs has ExaBGP announce two paths of one prefix, and take
// one back.
func TestDaemonsKeepPathIDs(t *testing.T) {
	for _, k := range Kinds() {
		if !Can(k).AddPathReceive || k == ExaBGP {
			continue
		}
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			Need(t, k, ExaBGP)
			n := NewNet(t)
			a, b := n.Host(), n.Host()
			two := []Route{
				{Prefix: pfx("192.0.2.0/24"), PathID: 7, Origin: "igp", ASPath: "64999"},
				{Prefix: pfx("192.0.2.0/24"), PathID: 8, Origin: "igp", ASPath: "64998 64999"},
			}
			ra := Start(t, k, a, Config{AS: 65001, Neighbors: []Neighbor{{Address: b.V4, AS: 65002, AddPathReceive: true}}})
			rb := Start(t, ExaBGP, b, Config{AS: 65002, Routes: two, Neighbors: []Neighbor{{Address: a.V4, AS: 65001, AddPathSend: true}}})
			masks := []Mask{NoLocalPref}
			if !Can(k).PathIDs {
				masks = append(masks, NoPathID)
			}
			WaitRoutes(t, ra, "ipv4-unicast", heard(two, "65002", b), masks...)
			if err := rb.Withdraw(two[1]); err != nil {
				t.Fatal(err)
			}
			WaitRoutes(t, ra, "ipv4-unicast", heard(two[:1], "65002", b), masks...)
		})
	}
}

// TestDaemonsGuardTheTransport has MD5 and TTL security on, both ends alike.
func TestDaemonsGuardTheTransport(t *testing.T) {
	for _, k := range Kinds() {
		for _, c := range []struct {
			name string
			with func(n *Neighbor)
			can  bool
			need func(t testing.TB)
		}{
			{"md5", func(n *Neighbor) { n.MD5 = "secret" }, Can(k).MD5, NeedMD5},
			{"ttl", func(n *Neighbor) { n.TTL = true }, Can(k).TTL, NeedMinTTL},
		} {
			if !c.can || k == GoBGP3 {
				continue
			}
			t.Run(string(k)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				Need(t, k, GoBGP3)
				c.need(t)
				n := NewNet(t)
				a, b := n.Host(), n.Host()
				to := func(h *Host, as uint32) (l []Neighbor) {
					for _, addr := range []netip.Addr{h.V4, h.V6} {
						n := Neighbor{Address: addr, AS: as}
						c.with(&n)
						l = append(l, n)
					}
					return l
				}
				ra := Start(t, k, a, Config{AS: 65001, Neighbors: to(b, 65002)})
				Start(t, GoBGP3, b, Config{AS: 65002, Neighbors: to(a, 65001)})
				WaitState(t, ra, b.V4, "established")
				WaitState(t, ra, b.V6, "established")
			})
		}
	}
}

// TestAKilledProcessTakesItsChildrenAlong has no child be left when Kill
// returns: OpenBGPD's hold its port.
func TestAKilledProcessTakesItsChildrenAlong(t *testing.T) {
	t.Parallel()
	Need(t)
	dir := Dir(t)
	p := NewProc(t, NewNet(t).Host(), "sh", dir, nil, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait")
	for range 20 {
		p.Start()
		pid := p.PID()
		Until(t, Patience, "all run", func() error {
			if n := len(group(pid)); n != 9 {
				return fmt.Errorf("%d processes", n)
			}
			return nil
		})
		p.Kill()
		if l := group(pid); len(l) > 0 {
			t.Fatalf("%v go on", l)
		}
	}
}

// TestDaemonsTellWhyTheyEnd has each daemon end a session with a text, and
// read GoBGP's.
func TestDaemonsTellWhyTheyEnd(t *testing.T) {
	for _, k := range Kinds() {
		other := BIRD
		if k == BIRD {
			other = FRR
		}
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			Need(t, k, other)
			n := NewNet(t)
			a, b := n.Host(), n.Host()
			ra := Start(t, k, a, Config{AS: 65001, Neighbors: []Neighbor{{Address: b.V4, AS: 65002}}})
			rb := Start(t, other, b, Config{AS: 65002, Neighbors: []Neighbor{{Address: a.V4, AS: 65001}}})
			says := func(from Router, to netip.Addr, at Router, of netip.Addr, can bool) {
				WaitState(t, from, to, "established")
				text := "maintenance of " + string(from.Kind())
				if err := from.Disable(to, text); err != nil {
					t.Fatal(err)
				}
				Until(t, Patience, string(at.Kind())+" shows the text", func() error {
					want := text
					if !can {
						want = "shutdown"
					}
					if s, err := at.LastError(of); err != nil || !strings.Contains(strings.ToLower(s), strings.ToLower(want)) {
						return fmt.Errorf("%q, %v", s, err)
					}
					return nil
				})
				if err := from.Enable(to); err != nil {
					t.Fatal(err)
				}
				WaitState(t, from, to, "established")
			}
			says(ra, b.V4, rb, a.V4, Can(k).Message)
			says(rb, a.V4, ra, b.V4, Can(k).ShowsMessage)
		})
	}
}
