//go:build linux

package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"ribd/internal/peertest"
)

// announcing are the zoo's routes as programs announce them: a body for POST
// paths, and what a daemon is to show.
func announcing(hop [2]netip.Addr) (bodies []string, want []peertest.Route) {
	for _, r := range zoo() {
		r.ASPath = strings.TrimPrefix(strings.TrimPrefix(r.ASPath, "65009"), " ")
		r.NextHop = hop[0]
		if r.Prefix.Addr().Is6() {
			r.NextHop = hop[1]
		}
		fields := map[string]any{"prefix": r.Prefix, "next_hop": r.NextHop, "origin": r.Origin, "as_path": r.ASPath}
		if r.MED != nil {
			fields["med"] = *r.MED
		}
		for name, l := range map[string][]string{"communities": r.Communities, "large_communities": r.LargeCommunities, "ext_communities": r.ExtCommunities} {
			if len(l) > 0 {
				fields[name] = l
			}
		}
		if r.AtomicAggregate {
			fields["atomic_aggregate"], fields["aggregator"] = true, r.Aggregator
		}
		bodies, want = append(bodies, mustJSON(fields)), append(want, r)
	}
	return bodies, want
}

// TestInteropAnnouncedRoutesArrive has every daemon be sent what programs
// announce: with all attributes, again after it restarted, and no more once it
// is withdrawn.
func TestInteropAnnouncedRoutesArrive(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, gh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: peerLines(dh, daemonAS)})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: neighbors(rh, ribdAS)})
		r.established(both(dh)...)
		// The next hop is another machine's on the same net, as given.
		bodies, routes := announcing([2]netip.Addr{gh.V4, gh.V6})
		r.mustSendList("["+strings.Join(bodies, ",")+"]", dh)
		for i, f := range unicast {
			want := as(of(routes, f), prepended(ribdAS))
			peertest.WaitRoutes(t, d, f, want, masksOf(k)...)
			r.wantRoutes(fmt.Sprintf("table=adj-out&family=%s&peer=%s", f, both(dh)[i]), want)
			r.wantRoutes("source=local&family="+f, of(routes, f))
		}
		// It restarts: all of it again.
		d.Proc().Kill()
		d.Start(false)
		r.established(both(dh)...)
		for _, f := range unicast {
			peertest.WaitRoutes(t, d, f, as(of(routes, f), prepended(ribdAS)), masksOf(k)...)
		}
		gone := of(routes, unicast[0])[1]
		r.mustSend("DELETE", "/api/v1/paths", fmt.Sprintf(`{"prefix":%q}`, gone.Prefix))
		left := append(of(routes, unicast[0])[:1:1], of(routes, unicast[0])[2:]...)
		peertest.WaitRoutes(t, d, unicast[0], as(left, prepended(ribdAS)), masksOf(k)...)
		peertest.WaitRoutes(t, d, unicast[1], as(of(routes, unicast[1]), prepended(ribdAS)), masksOf(k)...)
	})
}

// mustSendList announces a list and holds the answers to "sent" for a host's
// session of each family.
func (r *ribdProc) mustSendList(body string, to *peertest.Host) {
	r.t.Helper()
	var raw struct{ Paths []told }
	var l []told
	if err := r.send("POST", "/api/v1/paths", body, &l); err != nil {
		if err := r.send("POST", "/api/v1/paths", body, &raw); err != nil {
			r.t.Fatal(err)
		}
		l = raw.Paths
	}
	for _, a := range l {
		p := pfx(*a.Prefix)
		state := a.states()[to.Addr(p.Addr()).String()]
		if state != "sent" && state != "queued" {
			r.t.Errorf("%s: %v", p, a.states())
		}
	}
}

// TestInteropLocalPathsWithIDs has ribd originate several paths of one prefix
// to daemons that take them.
func TestInteropLocalPathsWithIDs(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.AddPathReceive }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, gh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS, "add_path: {receive: false, send: all}")}})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS, AddPathReceive: true}}})
		r.established(dh.V4)
		var want []peertest.Route
		for i, path := range []string{"64990", "64991 64999", "64992 64999 64999"} {
			id := []string{"null", "0", "7"}[i]
			a := r.mustSend("POST", "/api/v1/paths", fmt.Sprintf(`{"prefix":"203.0.113.0/24","next_hop":%q,"as_path":%q,"path_id":%s}`, gh.V4, path, id))
			route := peertest.Route{Prefix: pfx("203.0.113.0/24"), NextHop: gh.V4, Origin: "igp", ASPath: path}
			for _, p := range a.Peers {
				if p.AdvertisedPathID != nil {
					route.PathID = *p.AdvertisedPathID
				}
			}
			want = append(want, route)
		}
		masks := masksOf(k)
		peertest.WaitRoutes(t, d, unicast[0], as(want, prepended(ribdAS)), masks...)
		r.mustSend("DELETE", "/api/v1/paths", `{"prefix":"203.0.113.0/24","path_id":0}`)
		peertest.WaitRoutes(t, d, unicast[0], as([]peertest.Route{want[0], want[2]}, prepended(ribdAS)), masks...)
	})
}

// TestInteropRulesFollowTheRoutesThatTheyAreFor has BIRD announce a route and a
// rule for it: when the route goes, ribd takes the rule back from GoBGP.
func TestInteropRulesFollowTheRoutesThatTheyAreFor(t *testing.T) {
	t.Parallel()
	peertest.Need(t, peertest.BIRD, peertest.GoBGP4)
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	const families = "families: [ipv4-unicast, ipv4-flowspec]"
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, daemonAS, families), peerLine(bh.V4, 65002, families)}})
	route := peertest.Route{Prefix: pfx("203.0.113.0/24"), Origin: "igp"}
	rule := peertest.MustRule("ipv4-flowspec", "destination 203.0.113.7/32; protocol =17 then 8006000000000000")
	fs := []string{"ipv4-unicast", "ipv4-flowspec"}
	a := peertest.Start(t, peertest.BIRD, ah, peertest.Config{AS: daemonAS, Rules: []peertest.Rule{rule}, Routes: []peertest.Route{route},
		Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS, Families: fs}}})
	b := peertest.Start(t, peertest.GoBGP4, bh, peertest.Config{AS: 65002, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS, Families: fs}}}).(peertest.FlowSpec)
	r.established(ah.V4, bh.V4)
	rule.ASPath = fmt.Sprintf("%d %d", ribdAS, daemonAS)
	there := []peertest.Rule{rule}
	peertest.WaitRules(t, b, "ipv4-flowspec", there)
	if err := a.Withdraw(route); err != nil {
		t.Fatal(err)
	}
	peertest.WaitRules(t, b, "ipv4-flowspec", nil)
	peertest.Until(t, peertestWait, "it is shown as not feasible", func() error {
		var l struct{ Rules []ruleRow }
		err := r.get("/api/v1/flowspec?filtered=any", &l)
		if err == nil && (len(l.Rules) != 1 || l.Rules[0].Valid || text(l.Rules[0].InvalidReason) != "no-unicast-route") {
			err = fmt.Errorf("shown: %s", show(l))
		}
		return err
	})
	if err := a.Announce(route); err != nil {
		t.Fatal(err)
	}
	peertest.WaitRules(t, b, "ipv4-flowspec", there)
}

// TestInteropRedirectToAnAddressInBothForms has ExaBGP, which knows both drafts,
// announce and be sent them.
func TestInteropRedirectToAnAddressInBothForms(t *testing.T) {
	t.Parallel()
	peertest.Need(t, peertest.ExaBGP)
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	line := func(h *peertest.Host, as int, form string) string {
		return peerLine(h.V4, as, "flowspec_validation: off, families: [ipv4-unicast, ipv4-flowspec], flowspec_redirect: "+form)
	}
	r := startRIBD(t, rh, ribdConf{peers: []string{line(ah, 65001, "next-hop"), line(bh, 65002, "community")}})
	a, b := startFlow(t, peertest.ExaBGP, ah, rh, 65001), startFlow(t, peertest.ExaBGP, bh, rh, 65002)
	r.established(ah.V4, bh.V4)
	older := peertest.MustRule("ipv4-flowspec", "destination 203.0.113.1/32 then 0800000000000000")
	older.NextHop = netip.MustParseAddr("192.0.2.9")
	newer := peertest.MustRule("ipv4-flowspec", "destination 203.0.113.2/32 then 010cc00002090000")
	if err := a.AnnounceRules(older, newer); err != nil {
		t.Fatal(err)
	}
	peertest.Until(t, peertestWait, "both are read alike", func() error {
		var l struct{ Rules []ruleRow }
		if err := r.get("/api/v1/flowspec", &l); err != nil {
			return err
		}
		if len(l.Rules) != 2 || l.Rules[0].Actions.String() != "redirect=ip:192.0.2.9" || l.Rules[1].Actions.String() != "redirect=ip:192.0.2.9" {
			return fmt.Errorf("%s", show(l))
		}
		return nil
	})
	// What another one announced is passed on as it came.
	older.ASPath, newer.ASPath = "64512 65001", "64512 65001"
	peertest.WaitRules(t, b, "ipv4-flowspec", []peertest.Rule{older, newer})
	// What is originated here is in the form of the peer.
	r.mustSend("POST", "/api/v1/flowspec", `{"text":"destination 203.0.113.3/32 then redirect ip:192.0.2.10"}`)
	form := func(numbers, hop string) peertest.Rule {
		x := peertest.MustRule("ipv4-flowspec", numbers)
		x.ASPath = "64512"
		if hop != "" {
			x.NextHop = netip.MustParseAddr(hop)
		}
		return x
	}
	peertest.WaitRules(t, a, "ipv4-flowspec", []peertest.Rule{form("destination 203.0.113.3/32 then 0800000000000000", "192.0.2.10")})
	peertest.WaitRules(t, b, "ipv4-flowspec", []peertest.Rule{older, newer, form("destination 203.0.113.3/32 then 010cc000020a0000", "")})
}
