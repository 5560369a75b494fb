//go:build linux

package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
	"ribd/wire"
)

// TestInteropOtherFamiliesGoThrough has GoBGP 3 announce routes of families
// that have no plain prefixes: ribd shows them, and GoBGP 4 gets them.
func TestInteropOtherFamiliesGoThrough(t *testing.T) {
	peertest.Need(t, peertest.GoBGP3, peertest.GoBGP4)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	families := []string{"ipv4-unicast", "ipv4-labelled-unicast", "ipv6-labelled-unicast", "ipv4-vpn", "ipv6-vpn", "ipv4-flowspec", "ipv6-flowspec", "l2vpn-evpn"}
	all := "families: [" + strings.Join(families, ", ") + "], flowspec_validation: off"
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, 65001, all), peerLine(bh.V4, 65002, all)}})
	start := func(k peertest.Kind, h *peertest.Host, as uint32) peertest.Families {
		return peertest.Start(t, k, h, peertest.Config{AS: as, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS, Families: families}}}).(peertest.Families)
	}
	a, b := start(peertest.GoBGP3, ah, 65001), start(peertest.GoBGP4, bh, 65002)
	for _, c := range []struct {
		family, words string
		texts         int
	}{
		{"ipv4-labelled-unicast", "198.51.100.0/24 100", 1},
		{"ipv6-labelled-unicast", "2001:db8:3::/48 200", 1},
		{"ipv4-vpn", "10.1.1.0/24 label 10 rd 65001:100 rt 65001:100", 1},
		{"ipv6-vpn", "2001:db8:4::/48 label 11 rd 10.0.0.1:7 rt 65001:100", 1},
		{"ipv4-flowspec", "match destination 203.0.113.0/24 protocol ==tcp then discard", 1},
		{"ipv6-flowspec", "match destination 2001:db8:5::/48 protocol ==udp then discard", 1},
		{"l2vpn-evpn", "macadv aa:bb:cc:dd:ee:04 192.0.2.4 esi 0 etag 1000 label 1000 rd 192.0.2.1:65000 rt 65001:200", 1},
	} {
		t.Run(c.family, func(t *testing.T) {
			if err := a.RIB("add", c.family, strings.Fields(c.words)...); err != nil {
				t.Fatal(err)
			}
			var want []string
			peertest.Until(t, peertestWait, "GoBGP 4 has it", func() (err error) {
				if want, err = a.Keys(c.family); err != nil || len(want) != 1 {
					t.Fatalf("GoBGP 3 has %v, %v", want, err)
				}
				got, err := b.Keys(c.family)
				if err == nil && len(got) != 1 {
					ps, perr := r.paths("filtered=any&family=" + c.family)
					err = fmt.Errorf("it has %v, want %v; ribd has %s, %v", got, want, show(ps), perr)
				}
				return err
			})
			ps, err := r.paths("family=" + c.family)
			if err != nil || len(ps) != 1 {
				t.Fatalf("ribd: %s, %v", show(ps), err)
			}
			if strings.Contains(c.family, "flowspec") || strings.Contains(c.family, "evpn") {
				if ps[0].NLRI == "" || text(ps[0].NLRIText) == "" {
					t.Errorf("the NLRI is not shown: %s", show(ps[0]))
				}
			}
			if err := a.RIB("del", c.family, strings.Fields(c.words)...); err != nil {
				t.Fatal(err)
			}
			peertest.Until(t, peertestWait, "it is gone from GoBGP 4", func() error {
				if got, err := b.Keys(c.family); err != nil || len(got) > 0 {
					return fmt.Errorf("it has %v, %v", got, err)
				}
				return nil
			})
		})
	}
}

// TestInteropRouteServer has clients of a route server hear of each other: ribd
// is in no path, next hops and MEDs stay (RFC 7947).
func TestInteropRouteServer(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		const client = "route_server_client: true"
		r := startRIBD(t, rh, ribdConf{peers: append(peerLines(dh, daemonAS, client), peerLines(sh, speakerAS, client)...)})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.RouteServer = true })})
		s := speakers(t, sh, rh, speakerOptions{})
		r.established(both(dh)...)
		for i, f := range unicast {
			s[i].announce(of(zoo(), f)...)
			s[i].wantRoutes(f, as(of(ofDaemon(k), f), prepended(daemonAS), by(dh)))
			peertest.WaitRoutes(t, d, f, as(of(zoo(), f), by(sh)), masksOf(k)...)
		}
	})
}

// TestInteropRoles has BIRD, FRR and OpenBGPD tell what they are to ribd (RFC
// 9234): roles that do not fit are refused by name, ones that fit are shown,
// and a route from a provider does not come to another one.
func TestInteropRoles(t *testing.T) {
	for _, k := range []peertest.Kind{peertest.BIRD, peertest.FRR, peertest.OpenBGPD} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			peertest.Need(t, k)
			n := peertest.NewNet(t)
			rh, dh, ah, bh := n.Host(), n.Host(), n.Host(), n.Host()
			peers := func(role string) ribdConf {
				return ribdConf{peers: []string{peerLine(dh.V4, daemonAS, "local_role: "+role), peerLine(ah.V4, 65011, "local_role: customer"), peerLine(bh.V4, 65012, "local_role: provider")}}
			}
			r := startRIBD(t, rh, peers("peer"))
			peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS, Role: "provider"}}})
			mismatch := func(n *apiv1.Notification) bool { return n != nil && n.Code == wire.CodeOpen && n.Subcode == 11 }
			r.until(dh.V4, "is refused for its role", func(p apiv1.Peer) bool {
				return p.State != "established" && p.LastNotification != nil && (mismatch(p.LastNotification.Sent) || mismatch(p.LastNotification.Received))
			})
			if k == peertest.OpenBGPD {
				return // it holds a peer back for half a minute after that
			}
			r.reload(peers("customer"))
			p := r.waitState(dh.V4, "established")
			if p.Role == nil || text(p.Role.Local) != "customer" || text(p.Role.Remote) != "provider" {
				t.Errorf("role: %s", show(p.Role))
			}
			provider := startSpeaker(t, ah, speakerOptions{as: 65011, to: rh.V4, more: []wire.Capability{wire.RoleCapability(wire.RoleProvider)}})
			customer := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4, more: []wire.Capability{wire.RoleCapability(wire.RoleCustomer)}})
			customer.wantRoutes(unicast[0], as(of(ofDaemon(k), unicast[0]), prepended(daemonAS), prepended(ribdAS), by(rh), noMED))
			provider.until("the End-of-RIB", func() bool { return provider.ends[wire.IPv4Unicast] == 1 })
			provider.wantRoutes(unicast[0], nil)
			ps, err := r.paths("peer=" + dh.V4.String())
			if err != nil || len(ps) == 0 || ps[0].OnlyToCustomer == nil || *ps[0].OnlyToCustomer != daemonAS {
				t.Errorf("ONLY_TO_CUSTOMER: %s, %v", show(ps), err)
			}
		})
	}
}

// TestInteropDynamicNeighbors has every daemon be taken as one of a range.
func TestInteropDynamicNeighbors(t *testing.T) {
	peertest.Need(t, peertest.Kinds()...)
	t.Parallel()
	n := peertest.NewNet(t)
	rh := n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{
		`prefix: 10.200.0.0/24, as: any, max_peers: 7` + accept, `prefix: "fd00:200::/64", as: [65001, 65002, 65003, 65004, 65005, 65006], max_peers: 6` + accept,
	}})
	var hosts []*peertest.Host
	for i, k := range peertest.Kinds() {
		h := n.Host()
		hosts = append(hosts, h)
		peertest.Start(t, k, h, peertest.Config{AS: 65001 + uint32(i), Routes: ofDaemon(k)[:1], Neighbors: neighbors(rh, ribdAS)})
	}
	for i, h := range hosts {
		for _, a := range both(h) {
			p := r.waitState(a, "established")
			if want := map[bool]string{true: "10.200.0.0/24", false: "fd00:200::/64"}[a.Is4()]; text(p.DynamicRange) != want || p.ASN != 65001+uint32(i) {
				t.Errorf("%s: range %s, AS %d", a, text(p.DynamicRange), p.ASN)
			}
		}
	}
	peertest.Until(t, peertestWait, "a path from each", func() error {
		ps, err := r.paths("prefix=192.0.2.0/24")
		if err == nil && len(ps) != len(hosts) {
			err = fmt.Errorf("%d paths", len(ps))
		}
		return err
	})
	// Nobody of another AS, and no more than max_peers.
	h := n.Host()
	s := newSpeaker(t, h, speakerOptions{as: 65099, to: rh.V6})
	if err := s.connect(); err == nil {
		t.Error("an AS that the range does not name was taken")
	}
	startSpeaker(t, h, speakerOptions{as: 65099, to: rh.V4})
	s = newSpeaker(t, n.Host(), speakerOptions{as: 65100, to: rh.V4})
	if err := s.connect(); err == nil {
		t.Error("one more than max_peers was taken")
	}
}

// TestInteropExtendedNextHop has IPv4 routes go over IPv6 sessions alone, with
// IPv6 next hops (RFC 8950).
func TestInteropExtendedNextHop(t *testing.T) {
	for _, k := range []peertest.Kind{peertest.BIRD, peertest.GoBGP3, peertest.GoBGP4} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			peertest.Need(t, k)
			n := peertest.NewNet(t)
			rh, dh, sh := n.Host(), n.Host(), n.Host()
			const enh = "extended_next_hop: true, families: [ipv4-unicast, ipv6-unicast]"
			r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V6, daemonAS, enh), peerLine(sh.V6, speakerAS, enh)}})
			d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: []peertest.Neighbor{{Address: rh.V6, AS: ribdAS, ExtendedNextHop: true, Families: unicast[:]}}})
			families := wire.NewFamilySet(wire.IPv4Unicast)
			s := startSpeaker(t, sh, speakerOptions{to: rh.V6, families: []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast}, more: []wire.Capability{wire.ExtendedNextHopCapability(families)}})
			route := of(zoo(), unicast[0])[2]
			route.NextHop = sh.V6
			s.announce(route)
			r.established(dh.V6)
			r.wantRoutes("family=ipv4-unicast&peer="+sh.V6.String(), []peertest.Route{route})
			want := as([]peertest.Route{route}, prepended(ribdAS), noMED, func(r *peertest.Route) { r.NextHop = rh.V6 })
			peertest.WaitRoutes(t, d, unicast[0], want, masksOf(k)...)
			own := of(ofDaemon(k), unicast[0])[1]
			if k != peertest.BIRD {
				return // their command line wants an IPv4 next hop
			}
			if err := d.Announce(own); err != nil {
				t.Fatal(err)
			}
			heard := as([]peertest.Route{own}, prepended(daemonAS), func(r *peertest.Route) { r.NextHop = dh.V6 })
			r.wantRoutes("family=ipv4-unicast&peer="+dh.V6.String(), heard)
			s.wantRoutes(unicast[0], as(heard, prepended(ribdAS), noMED, func(r *peertest.Route) { r.NextHop = rh.V6 }))
		})
	}
}

// TestInteropMaxPrefixes has a daemon send more than it may: it is told so, and
// called again when the time has passed.
func TestInteropMaxPrefixes(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, wh := n.Host(), n.Host(), n.Host()
		limit := func(n int, action string) string {
			return fmt.Sprintf("max_prefixes: {ipv4-unicast: {warn: 1, limit: %d, action: %s}}", n, action)
		}
		conf := func(n int) ribdConf {
			return ribdConf{peers: []string{peerLine(dh.V4, daemonAS, limit(n, "shutdown")), peerLine(wh.V4, 65002, limit(2, "warn"))}}
		}
		r := startRIBD(t, rh, conf(2))
		with := func(as uint32) peertest.Config {
			return peertest.Config{AS: as, Routes: of(ofDaemon(k), unicast[0]), Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}}
		}
		d := peertest.Start(t, k, dh, with(daemonAS))
		peertest.Start(t, k, wh, with(65002))
		p := r.until(dh.V4, "is shut down", func(p apiv1.Peer) bool { return p.Flaps == 1 && p.State == "idle" })
		if l := p.LastNotification.Sent; l == nil || l.Code != wire.CodeCease || l.Subcode != 1 && l.Subcode != 9 {
			t.Errorf("sent %s", show(l))
		}
		if !strings.Contains(text(p.Reason), "prefix") {
			t.Errorf("reason %q", text(p.Reason))
		}
		r.wantRoutes("family=ipv4-unicast&peer="+dh.V4.String(), nil)
		// A warning is all that the other one gets.
		p = r.until(wh.V4, "has all its routes", func(p apiv1.Peer) bool { return family(p, unicast[0]).Accepted == 3 })
		if p.State != "established" || p.Flaps != 0 {
			t.Errorf("warned, and %s, %s", p.State, text(p.Reason))
		}
		d.Proc().Kill()
		r.reload(conf(3))
		r.change(dh.V4, "enable", "")
		d.Start(false)
		r.established(dh.V4)
		r.until(dh.V4, "has all its routes", func(p apiv1.Peer) bool { return family(p, unicast[0]).Accepted == 3 })
	})
}

// TestInteropALinkLocalNextHopGoesAlong has BIRD and ribd on a link with
// link-local addresses (RFC 2545 section 3).
func TestInteropALinkLocalNextHopGoesAlong(t *testing.T) {
	peertest.Need(t, peertest.BIRD)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, dh := n.Host(), n.Host()
	ours, theirs := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
	rh.AddAddr(netip.PrefixFrom(ours, 64))
	dh.AddAddr(netip.PrefixFrom(theirs, 64))
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V6, daemonAS)}})
	peertest.Start(t, peertest.BIRD, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(peertest.BIRD), Neighbors: []peertest.Neighbor{{Address: rh.V6, AS: ribdAS}}})
	r.established(dh.V6)
	r.wantRoutes("peer="+dh.V6.String(), as(of(ofDaemon(peertest.BIRD), unicast[1]), prepended(daemonAS), by(dh)))
	ps, err := r.paths("peer=" + dh.V6.String())
	if err != nil || !slices.ContainsFunc(ps, func(p routePath) bool { return text(p.NextHopLinkLocal) == theirs.String() }) {
		t.Errorf("got %s, %v", show(ps), err)
	}
}
