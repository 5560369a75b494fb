package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// otherFamilies are one of each form but plain prefixes, with two routes each.
var otherFamilies = []struct {
	f    wire.Family
	a, b nlri
}{
	{wire.IPv4LabelledUnicast, nlri{prefix: "203.0.113.0/24", labels: labelStack(100)}, nlri{prefix: "198.51.100.0/24", labels: labelStack(101, 102)}},
	{wire.IPv6VPN, nlri{prefix: "2001:db8::/32", rd: rdOne, labels: labelStack(300)}, nlri{prefix: "2001:db8::/32", rd: rdOne + 1, labels: labelStack(300)}},
	{wire.IPv4FlowSpec, nlri{raw: unhex("08 0118cb0071 038111")}, nlri{raw: unhex("03 038106")}},
	{wire.L2VPNEVPN, nlri{raw: unhex("03 11 0000fde900000001 00000000 20 c0000201")}, nlri{raw: unhex("03 11 0000fde900000001 00000000 20 c0000202")}},
}

func otherNames() (fs []wire.Family, names string) {
	for _, x := range otherFamilies {
		fs, names = append(fs, x.f), names+x.f.String()+", "
	}
	return fs, "flowspec_validation: off, families: [" + names + "ipv4-unicast]"
}

// hopOf is a next hop that routes of a family may have.
func hopOf(f wire.Family) netip.Addr {
	if f.Is4() {
		return ip("198.51.100.9")
	}
	return ip("2001:db8::9")
}

// keysOfAll are the routes' names at a player, with an id where it has one.
func keysOfAll(which func(i int) []nlri, ids bool) (keys []string) {
	for i, x := range otherFamilies {
		for _, r := range which(i) {
			route := r.prefix
			if r.raw != nil {
				route = fmt.Sprintf("%x", r.raw)
			}
			keys = append(keys, routeKey(x.f, r.rd, route, r.id, ids))
		}
	}
	return keys
}

func TestAddPathWorksInEveryFamily(t *testing.T) {
	t.Parallel()
	fs, names := otherNames()
	c, to := hub(t, "", "address: 127.20.110.1, as: 65001, add_path: {receive: true}, "+names, "address: 127.20.110.2, as: 65002, add_path: {send: all}, "+names)
	one := play(t, to, playerOptions{from: ip("127.20.110.1"), as: 65001, families: fs, sendIDs: true})
	two := play(t, to, playerOptions{from: ip("127.20.110.2"), as: 65002, families: fs, takeIDs: true})
	for _, x := range otherFamilies {
		for id := range uint32(3) {
			r := x.a
			r.id = id
			one.tell(x.f, attributes([]uint32{65001, 100 + id}, hopOf(x.f), nil), r)
		}
	}
	eventually(t, "three paths in each", func() bool { return len(two.holds()) == 3*len(otherFamilies) })
	for _, x := range otherFamilies {
		r := x.a
		r.labels, r.id = nil, 1
		one.takeBack(x.f, r)
	}
	eventually(t, "two paths in each", func() bool { return len(two.holds()) == 2*len(otherFamilies) })
	for _, key := range two.holds() {
		if path := two.text(key, wire.AttrASPath); strings.HasSuffix(path, " 101") {
			t.Errorf("%s: the withdrawn path is there: %s", key, path)
		}
	}
	for _, x := range otherFamilies {
		if r := c.routes("?family=" + x.f.String()).Routes; len(r) != 2 || r[0].PathID == nil || !r[0].Best || r[1].Best {
			t.Errorf("%s: %+v", x.f, r)
		}
	}
}

func TestRestartRefreshAndLimitsWorkInEveryFamily(t *testing.T) {
	t.Parallel()
	fs, names := otherNames()
	c, to := hub(t, "", "address: 127.20.111.1, as: 65001, max_prefixes: {l2vpn-evpn: {limit: 2}, ipv6-vpn: {limit: 2}}, "+names, "address: 127.20.111.2, as: 65002, "+names)
	o := playerOptions{from: ip("127.20.111.1"), as: 65001, families: fs, more: append(restarting(true, 60, fs...), wire.EnhancedRefreshCapability())}
	one := play(t, to, o)
	two := play(t, to, playerOptions{from: ip("127.20.111.2"), as: 65002, families: fs})
	announce := func(p *player, which func(i int) []nlri) {
		for i, x := range otherFamilies {
			p.tell(x.f, attributes([]uint32{65001}, hopOf(x.f), nil), which(i)...)
		}
	}
	both := func(i int) []nlri { return []nlri{otherFamilies[i].a, otherFamilies[i].b} }
	first := func(i int) []nlri { return []nlri{otherFamilies[i].a} }
	announce(one, both)
	two.expect("all", keysOfAll(both, false)...)

	for _, f := range fs {
		one.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Subtype: 1}))
	}
	announce(one, first)
	for _, f := range fs {
		one.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Subtype: 2}))
	}
	two.expect("what an enhanced refresh left", keysOfAll(first, false)...)
	announce(one, both)
	two.expect("all again", keysOfAll(both, false)...)

	one.close()
	for _, x := range otherFamilies {
		eventually(t, "stale "+x.f.String(), func() bool { return len(c.routes("?stale=gr&family="+x.f.String()).Routes) == 2 })
	}
	one = again(t, to, o)
	announce(one, first)
	for _, f := range fs {
		one.send(wire.AppendEndOfRIB(nil, f))
	}
	two.expect("what came again", keysOfAll(first, false)...)

	// The limits count over all distinguishers.
	one.tell(wire.IPv6VPN, attributes([]uint32{65001}, ip("2001:db8::9"), nil), otherFamilies[1].b, nlri{prefix: "2001:db8::/32", rd: rdOne + 9, labels: labelStack(1)})
	eventually(t, "too many VPN routes", one.over)
	n := one.notifications()
	if len(n) != 1 {
		t.Fatalf("told %v", n)
	}
	if in, ok := n[0].Unwrap(); !ok || in.Subcode != wire.CeaseMaxPrefixes { // with RFC 8538 it ends the session for good
		t.Errorf("told %v", n)
	}
	two.expect("nothing is kept")
}

func TestAReflectorLeavesVPNRoutesAsTheyAre(t *testing.T) {
	t.Parallel()
	fs, names := otherNames()
	_, to := hub(t, "", "address: 127.20.112.1, as: 64512, route_reflector_client: true, "+names, "address: 127.20.112.2, as: 64512, route_reflector_client: true, "+names)
	one := play(t, to, playerOptions{from: ip("127.20.112.1"), as: 64512, families: fs})
	two := play(t, to, playerOptions{from: ip("127.20.112.2"), as: 64512, families: fs})
	for _, x := range otherFamilies {
		one.tell(x.f, attributes(nil, hopOf(x.f), func(e *wire.AttrEditor) {
			e.SetUint32(wire.AttrLocalPref, 200)
			e.AddExtCommunities([]uint64{0x0002fde900000001, 0x4300000000000001})
			e.Set(wire.AttrAIGP, unhex("01 000b 0000000000000064"))
		}), x.a)
	}
	first := func(i int) []nlri { return []nlri{otherFamilies[i].a} }
	two.expect("all", keysOfAll(first, false)...)
	for _, key := range two.holds() {
		got := strings.Join([]string{two.text(key, wire.AttrNextHop), two.text(key, wire.AttrLocalPref), two.text(key, wire.AttrOriginatorID), two.text(key, wire.AttrClusterList),
			two.text(key, wire.AttrExtCommunities), two.text(key, wire.AttrAIGP)}, " | ")
		hop := "2001:db8::9"
		switch {
		case strings.Contains(key, "flowspec"):
			hop = "-" // it means nothing and is sent with length 0 (RFC 8955 section 4)
		case strings.HasPrefix(key, "ipv4"):
			hop = "198.51.100.9"
		}
		if want := hop + " | 200 | 127.20.112.1 | 192.0.2.254 | rt:65001:1 0x4300000000000001 | 01000b0000000000000064"; got != want {
			t.Errorf("%s:\n got %s\nwant %s", key, got, want)
		}
	}
	// Labels are of the router that is the next hop: another's address does not
	// go with them, so what can't be told of as it is is not told of.
	one.tell(wire.IPv4LabelledUnicast, attributes(nil, ip("2001:db8::9"), nil), otherFamilies[0].a)
	two.expect("without RFC 8950: no IPv6 next hop", keysOfAll(first, false)[1:]...)
}

// What is for internal peers alone stays inside.
func TestAttributesThatAreInternalStayInside(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.113.1, as: 64512", "address: 127.20.113.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.113.1"), as: 64512})
	two := play(t, to, playerOptions{from: ip("127.20.113.2"), as: 65002})
	one.announce(0, []uint32{65100}, func(e *wire.AttrEditor) {
		e.SetUint32(wire.AttrLocalPref, 200)
		e.SetUint32(wire.AttrMED, 5)
		e.Set(wire.AttrAtomicAggregate, nil)
		e.Set(wire.AttrAggregator, unhex("0000fde9 c0000201"))
		e.AddExtCommunities([]uint64{0x0002fde900000001, 0x4300000000000001})
		e.Set(wire.AttrAIGP, unhex("01 000b 0000000000000064"))
		e.SetUint32(wire.AttrOriginatorID, 7)
		e.PrependCluster(9)
	}, "203.0.113.0/24")
	two.expect("the route", "203.0.113.0/24")
	var types []string
	two.mu.Lock()
	for w := wire.WalkAttributes(two.table["203.0.113.0/24"]); w.Next(); {
		types = append(types, w.Type().String())
	}
	two.mu.Unlock()
	if want := []string{"ORIGIN", "AS_PATH", "NEXT_HOP", "ATOMIC_AGGREGATE", "AGGREGATOR", "EXTENDED_COMMUNITIES"}; !slices.Equal(types, want) {
		t.Errorf("attributes %v, want %v", types, want)
	}
	if got := two.text("203.0.113.0/24", wire.AttrExtCommunities); got != "rt:65001:1" {
		t.Errorf("extended communities %s", got)
	}
	r := c.one("?prefix=203.0.113.0/24")
	if !r.AtomicAggregate || *r.Aggregator != "65001 192.0.2.1" || *r.OriginatorID != "0.0.0.7" || fmt.Sprint(r.ClusterList) != "[0.0.0.9]" || *r.AIGP != 100 {
		t.Errorf("shown: %+v", r)
	}
}

// A peer without capabilities speaks of IPv4 unicast, with 2-octet AS numbers.
func TestAPeerWithoutCapabilitiesGetsIPv4(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.114.1, as: 65001", "address: 127.20.114.2, as: 65002", "address: 127.20.114.3, as: 65003, families: [ipv6-unicast]")
	old := play(t, to, playerOptions{from: ip("127.20.114.1"), as: 65001, bare: true})
	two := play(t, to, playerOptions{from: ip("127.20.114.2"), as: 65002})
	old.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	two.expect("what it sends", "203.0.113.0/24")
	two.announce(0, []uint32{65002, 70000}, nil, "198.51.100.0/24")
	two.tell(v6u, attributes([]uint32{65002}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	old.expect("IPv4 alone", "198.51.100.0/24")
	if got := old.text("198.51.100.0/24", wire.AttrASPath); got != "64512 65002 70000" {
		t.Errorf("AS path %s", got)
	}
	p := c.peer("127.20.114.1")
	negotiated := ""
	for _, f := range p.Families {
		if f.Negotiated != nil && *f.Negotiated {
			negotiated += f.Family + " "
		}
	}
	if negotiated != "ipv4-unicast " {
		t.Errorf("negotiated %s", negotiated)
	}
	if status, b := c.ask("POST", "/api/v1/peers/127.20.114.1/refresh", "", nil); status != 409 && status != 422 {
		t.Errorf("a refresh that it can't answer: %d %s", status, b)
	}
	if n := refusedOpen(t, to, playerOptions{from: ip("127.20.114.3"), as: 65003, bare: true}); n.Subcode != wire.SubUnsupportedCapability {
		t.Errorf("no family in common: %s", n.String())
	}
}

// The shortest and the longest prefixes, in each family that has prefixes.
func TestPrefixesOfEveryLengthGoThrough(t *testing.T) {
	t.Parallel()
	fs := []wire.Family{v4u, v6u, wire.IPv4Multicast, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast, wire.IPv4VPN, wire.IPv6VPN}
	names := "families: [" + v4u.String()
	for _, f := range fs[1:] {
		names += ", " + f.String()
	}
	_, to := hub(t, "", "address: 127.20.115.1, as: 65001, "+names+"]", "address: 127.20.115.2, as: 65002, "+names+"]")
	one := play(t, to, playerOptions{from: ip("127.20.115.1"), as: 65001, families: fs})
	two := play(t, to, playerOptions{from: ip("127.20.115.2"), as: 65002, families: fs})
	var want []string
	for _, f := range fs {
		attrs := attributes([]uint32{65001}, hopOf(f), nil)
		base, most := ip("203.0.113.255"), 32
		if !f.Is4() {
			base, most = ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), 128
		}
		for n := 0; n <= most; n++ {
			prefix := netip.PrefixFrom(base, n).Masked().String()
			r := nlri{prefix: prefix}
			if f.Form() != wire.FormPrefix {
				r.labels = labelStack(uint32(16 + n))
			}
			if f.Form() == wire.FormVPN {
				r.rd = rdOne
			}
			one.tell(f, attrs, r)
			want = append(want, routeKey(f, r.rd, prefix, 0, false))
		}
	}
	two.expect("every length", want...)
	one.close()
	two.expect("none")
}

// What was not agreed on is not taken, and ends no session (RFC 4760 6, 7).
func TestFamiliesThatWereNotAgreedOnAreIgnored(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.116.1, as: 65001, families: [ipv4-unicast], add_path: {receive: {ipv4-unicast: true}}", "address: 127.20.116.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.116.1"), as: 65001, families: []wire.Family{v4u, v6u, wire.L2VPNEVPN}})
	two := play(t, to, playerOptions{from: ip("127.20.116.2"), as: 65002})
	one.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8::/32"})
	one.tell(wire.L2VPNEVPN, attributes([]uint32{65001}, ip("2001:db8::9"), nil), otherFamilies[3].a)
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24") // without an id: Add-Path was not agreed on
	two.expect("what was agreed on", "203.0.113.0/24")
	p := c.peer("127.20.116.1")
	if p.State != "established" || p.Families[0].AddPath.Receive {
		t.Errorf("%s, %+v", p.State, p.Families[0].AddPath)
	}
	for _, f := range []string{"ipv6-unicast", "l2vpn-evpn"} {
		if r := c.routes("?filtered=any&family=" + f).Routes; len(r) != 0 {
			t.Errorf("%s: %+v", f, r)
		}
	}
}
