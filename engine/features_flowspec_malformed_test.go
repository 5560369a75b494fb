package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ribd/wire"
)

// TestAMalformedRuleIsWithdrawnCountedAndShownWithItsOctets sends one rule
// that is right, and then the same with something wrong: it is taken back
// (RFC 8955 section 4, RFC 7606), and the session stays.
func TestAMalformedRuleIsWithdrawnCountedAndShownWithItsOctets(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.60.1, as: 65001"+flowPeers, "address: 127.21.60.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.60.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.60.2"), as: 65002, families: flowFamilies})
	good := unhex("09 0120cb007107 038111")
	const key = "ipv4-flowspec 090120cb007107038111"
	attrs := flowAttrs([]uint32{65001}, discard)
	count := uint64(0)
	for _, x := range []struct {
		name string
		f    wire.Family
		nlri string
	}{
		{"an unknown component type", wire.IPv4FlowSpec, "05 0118cb0071 03 0e8101"},
		{"an unknown component type alone", wire.IPv4FlowSpec, "03 0e8101"},
		{"component type 0", wire.IPv4FlowSpec, "03 008101"},
		{"the flow label in IPv4", wire.IPv4FlowSpec, "03 0d8101"},
		{"components out of order", wire.IPv4FlowSpec, "08 038111 0118cb0071"},
		{"a component twice", wire.IPv4FlowSpec, "06 038111 038106"},
		{"no component", wire.IPv4FlowSpec, "00"},
		{"a prefix length over 32", wire.IPv4FlowSpec, "07 0121cb00710700"},
		{"a prefix that is cut off", wire.IPv4FlowSpec, "04 0118cb00"},
		{"an operator without its value", wire.IPv4FlowSpec, "02 0381"},
		{"operators without an end", wire.IPv4FlowSpec, "03 030111"},
		{"an end of list, and more behind it", wire.IPv4FlowSpec, "05 0381118106"},
		{"a length that stops within a value", wire.IPv4FlowSpec, "06 0118cb0071 03"},
		{"an IPv6 offset beyond the length", wire.IPv6FlowSpec, "07 01202120010db8"},
		{"an IPv6 prefix length over 128", wire.IPv6FlowSpec, "14 018100 20010db8000000000000000000000000 00"},
		{"a VPN rule without a distinguisher", wire.IPv4FlowSpecVPN, "05 0118cb0071"},
	} {
		one.tell(wire.IPv4FlowSpec, attrs, nlri{raw: good})
		two.expect("the good one", key)
		if x.f == wire.IPv4FlowSpec {
			// The malformed message announces the good rule as well: all of it goes.
			one.send(reach(x.f, attrs, append(append([]byte(nil), good...), unhex(x.nlri)...)))
		} else {
			one.send(reach(x.f, attrs, unhex(x.nlri)))
			one.takeBack(wire.IPv4FlowSpec, nlri{raw: good})
		}
		two.expect(x.name)
		count++
		e := c.peer("127.21.60.1").Errors
		if e.TreatAsWithdraw != count || e.Last == nil {
			t.Fatalf("%s: errors %+v, want %d treated as withdrawn", x.name, *e, count)
		}
		if octets := strings.ReplaceAll(x.nlri, " ", ""); !strings.Contains(fmt.Sprintf("%+v %s", *e.Last, mustJSON(e.Last)), octets) {
			t.Errorf("%s: the octets %s are not shown: %s", x.name, octets, mustJSON(e.Last))
		}
		if e.Last.RFC == nil || !strings.HasPrefix(*e.Last.RFC, "RFC ") || e.Last.Action != "treat-as-withdraw" {
			t.Errorf("%s: %s", x.name, mustJSON(e.Last))
		}
	}
	if one.over() {
		t.Error("the session has ended")
	}
	// NaN and infinity are no rates (RFC 8955 7.1): the rule is not one that
	// discards, or none.
	for i, bad := range []uint64{0x8006_0000_7fc0_0000, 0x8006_0000_7f80_0000, 0x800c_0000_7f80_0000} {
		one.flow(wire.IPv4FlowSpec, fmt.Sprintf("09 0120cb0071%02x 038111", 100+i), []uint32{65001}, nil, bad)
		one.tell(wire.IPv4FlowSpec, attrs, nlri{raw: good})
		eventually(t, "the rule behind it", func() bool { return len(c.rules("?destination=203.0.113.7/32")) == 1 })
		for _, r := range c.rules(fmt.Sprintf("?filtered=any&destination=203.0.113.%d/32", 100+i)) {
			if r.Actions.RateBytes != nil || r.Actions.RatePackets != nil {
				t.Errorf("%016x is a rate of %s", bad, r.Actions)
			}
		}
		if m := c.match("", fmt.Sprintf(`{"dst":"203.0.113.%d","protocol":17}`, 100+i)); m.Action != nil && m.Action.RateBytes != nil {
			t.Errorf("%016x limits: %s", bad, m.Action)
		}
		one.takeBack(wire.IPv4FlowSpec, nlri{raw: good})
		eventually(t, "it is gone", func() bool { return len(c.rules("?destination=203.0.113.7/32")) == 0 })
	}
}

// RFC 8955 section 10, RFC 7606 5.4: where the lengths do not frame, nothing
// behind them can be read.
func TestALengthThatDoesNotFrameEndsTheFamilyOrTheSession(t *testing.T) {
	t.Parallel()
	for i, x := range []struct{ name, nlri string }{
		{"a length beyond the message", "20 0118cb0071"},
		{"half of a length of two octets", "f0"},
	} {
		c, to := hub(t, "", fmt.Sprintf("address: 127.21.61.%d, as: 65001%s", i+1, flowPeers))
		addr := fmt.Sprintf("127.21.61.%d", i+1)
		one := play(t, to, playerOptions{from: ip(addr), as: 65001, families: flowFamilies})
		one.send(reach(wire.IPv4FlowSpec, flowAttrs([]uint32{65001}, discard), unhex(x.nlri)))
		eventually(t, x.name, func() bool {
			return one.over() || c.peer(addr).Errors.FamilyDisabled == 1
		})
		if one.over() {
			n := one.notifications()
			if len(n) != 1 || n[0].Code != wire.CodeUpdate {
				t.Errorf("%s: %v", x.name, n)
			}
		}
	}
}

// Canonical octets are the key: the same rule in another writing is the same
// rule.
func TestOneRuleInTwoWritingsIsOneRule(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.62.1, as: 65001"+flowPeers, "address: 127.21.62.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.62.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.62.2"), as: 65002, families: flowFamilies})
	const key = "ipv4-flowspec 080118cb0071038111"
	for i, raw := range []string{
		"08 0118cb0071 038111",
		"f008 0118cb0071 038111",   // a length in two octets
		"08 0118cb0071 03c111",     // the first "and" bit means nothing
		"08 0118cb0071 038911",     // a reserved bit
		"08 0118cb0071 03c911",     // both
		"f008 0118cb0071 03 c9 11", // all of it
	} {
		one.flow(wire.IPv4FlowSpec, raw, []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{65001<<16 | uint32(i)}) }, discard)
		eventually(t, raw, func() bool { return two.text(key, wire.AttrCommunities) == fmt.Sprintf("65001:%d", i) })
		two.expect(raw, key)
		if r := c.rule(""); r.Text != "destination 203.0.113.0/24 protocol =udp then rate-limit 0" {
			t.Errorf("%s: %s", raw, r.Text)
		}
	}
	one.takeBack(wire.IPv4FlowSpec, nlri{raw: unhex("f008 0118cb0071 03c911")})
	two.expect("withdrawn in yet another writing")
	if e := c.peer("127.21.62.1").Errors; e.TreatAsWithdraw != 0 {
		t.Errorf("errors: %+v", *e)
	}
}

func TestPoliciesJudgeRulesOnlyInTermsThatNameTheFamily(t *testing.T) {
	t.Parallel()
	src := hubConfig(`policies:
  closed: [{if: 'as_path.length > 100', then: accept}, {then: reject}]
  plain: [{if: 'as_path.contains(65002)', then: {accept: true, add_communities: ["64512:1"]}}, {if: 'family == "ipv4-flowspec"', then: {accept: true, add_communities: ["64512:2"]}}, {then: reject}]
  none: [{if: 'family == "ipv4-flowspec"', then: reject}, {then: accept}]
`, "address: 127.21.63.1, as: 65001, import: closed"+flowPeers, "address: 127.21.63.2, as: 65002, import: plain"+flowPeers,
		"address: 127.21.63.3, as: 65003, import: none"+flowPeers, "address: 127.21.63.4, as: 65004"+flowPeers)
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	for i := 1; i <= 3; i++ {
		p := play(t, to, playerOptions{from: ip(fmt.Sprintf("127.21.63.%d", i)), as: uint32(65000 + i), families: flowFamilies})
		p.flow(wire.IPv4FlowSpec, fmt.Sprintf("06 0120cb0071%02x", i), []uint32{p.as}, nil, discard)
		p.announce(0, []uint32{p.as}, nil, fmt.Sprintf("10.%d.0.0/16", i))
	}
	sink := play(t, to, playerOptions{from: ip("127.21.63.4"), as: 65004, families: flowFamilies})
	// A term that does not name the family does not judge rules: neither its
	// condition nor a plain reject at the end.
	sink.expect("what policies let through", "10.2.0.0/16", "10.3.0.0/16", "ipv4-flowspec 060120cb007102")
	if got := sink.text("ipv4-flowspec 060120cb007102", wire.AttrCommunities); got != "64512:2" {
		t.Errorf("the term that names the family set %s", got)
	}
	eventually(t, "the others' rules are filtered", func() bool { return len(c.rules("?filtered=true")) == 2 })
	for _, row := range c.rules("?filtered=true") {
		if row.FilterReason == nil || *row.FilterReason != "policy" {
			t.Errorf("filtered: %+v", row)
		}
	}
	write(strings.Replace(src, "none: [{if: 'family == \"ipv4-flowspec\"', then: reject}", "none: [{if: 'family == \"ipv4-flowspec\"', then: accept}", 1))
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	sink.expect("after a reload", "10.2.0.0/16", "10.3.0.0/16", "ipv4-flowspec 060120cb007102", "ipv4-flowspec 060120cb007103")
}

// RFC 8955 section 3: filters by prefix hold for rules, of their destination; on the
// way in and on the way out.
func TestPoliciesFilterRulesByTheirDestination(t *testing.T) {
	t.Parallel()
	c, to := hub(t, `policies:
  customer: [{if: 'family == "ipv4-flowspec" && prefix in "203.0.113.0/24"', then: accept}]
  hosts: [{if: 'family == "ipv4-flowspec" && prefix.length == 32', then: accept}]
`, "address: 127.21.65.1, as: 65001, import: customer"+flowPeers, "address: 127.21.65.2, as: 65002, export: hosts"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.65.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.65.2"), as: 65002, families: flowFamilies})
	for _, rule := range []string{"06 0120cb007107", "06 0120cb007207", "05 0118cb0071", "03 038111"} {
		one.flow(wire.IPv4FlowSpec, rule, []uint32{65001}, nil, discard)
	}
	two.expect("the host of the customer", "ipv4-flowspec 060120cb007107")
	eventually(t, "what the policies let in", func() bool { return len(c.rules("?filtered=false")) == 2 && len(c.rules("?filtered=true")) == 2 })
}

// Redirect to an address is read in both forms of the drafts, and what is
// originated here is written as the peer's configuration says.
func TestRedirectToAnAddressIsSentInTheConfiguredForm(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.64.1, as: 65001"+flowPeers, "address: 127.21.64.2, as: 65002, flowspec_redirect: next-hop"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.64.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.64.2"), as: 65002, families: flowFamilies})
	const key, key6 = "ipv4-flowspec 060120cb007107", "ipv6-flowspec 1301800020010db8000000000000000000000007"
	c.post("/api/v1/flowspec", `{"match":{"destination":"203.0.113.7/32"},"actions":{"redirect":{"type":"ip","value":"192.0.2.9","copy":true}}}`)
	c.post("/api/v1/flowspec", `{"match":{"destination":"2001:db8::7/128"},"actions":{"redirect":{"type":"ip","value":"2001:db8::9","copy":false}}}`)
	one.expect("both", key, key6)
	two.expect("both", key, key6)
	forms := func(p *player, key string) string {
		v, _ := p.attr(key, wire.AttrExtCommunities)
		w, _ := p.attr(key, wire.AttrIPv6ExtCommunities)
		return fmt.Sprintf("%x %x %s", v, w, p.text(key, wire.AttrNextHop))
	}
	for _, x := range []struct {
		p         *player
		key, want string
	}{
		{one, key, "010cc00002090001  -"},
		{one, key6, " 000c20010db80000000000000000000000090000 -"},
		{two, key, "0800000000000001  192.0.2.9"},
		{two, key6, "0800000000000000  2001:db8::9"},
	} {
		if got := forms(x.p, x.key); got != x.want {
			t.Errorf("%s to AS %d: %q, want %q", x.key, x.p.as, got, x.want)
		}
	}
}
