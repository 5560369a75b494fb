package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// strict is what a peer of these tests has besides: its rules are validated.
const strict = ", families: [ipv4-unicast, ipv6-unicast, ipv4-vpn, ipv4-flowspec, ipv6-flowspec, ipv4-flowspec-vpn]"

var strictFamilies = []wire.Family{v4u, v6u, wire.IPv4VPN, wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN}

// validity waits until a rule is valid, "", or not, for a reason.
func (c *client) validity(what, nlriHex, want string) {
	c.t.Helper()
	nlriHex = strings.ReplaceAll(nlriHex, " ", "")
	got := "?"
	for end := time.Now().Add(waitLimit); time.Now().Before(end); pause() {
		for _, r := range c.rules("?filtered=any") {
			if r.NLRI != nlriHex {
				continue
			}
			switch {
			case r.Valid && r.InvalidReason == nil && !r.Filtered:
				got = ""
			case !r.Valid && r.InvalidReason != nil:
				got = *r.InvalidReason
			default:
				got = fmt.Sprintf("valid %t, filtered %t, reason %v", r.Valid, r.Filtered, r.InvalidReason)
			}
		}
		if got == want {
			return
		}
	}
	c.t.Errorf("%s: rule %s is %q, want %q", what, nlriHex, got, want)
}

// RFC 8955 section 6: feasible is what the peer that is best for the
// destination says, and nobody else for anything more specific.
func TestRulesAreFeasibleAsLongAsTheUnicastRoutesSaySo(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.50.1, as: 65001"+strict, "address: 127.21.50.2, as: 65002"+strict, "address: 127.21.50.3, as: 65003"+strict)
	o := func(i int) playerOptions {
		return playerOptions{from: ip(fmt.Sprintf("127.21.50.%d", i)), as: uint32(65000 + i), families: strictFamilies}
	}
	one, two, sink := play(t, to, o(1)), play(t, to, o(2)), play(t, to, o(3))
	const rule, key = "09 0120cb007107 038111", "ipv4-flowspec 090120cb007107038111"
	sees := func(what string, valid bool, unicast ...string) {
		t.Helper()
		if valid {
			unicast = append(unicast, key)
		}
		sink.expect(what, unicast...)
	}
	matches := func(what string, want bool) {
		t.Helper()
		eventually(t, what, func() bool { return len(c.match("", `{"dst":"203.0.113.7","protocol":17}`).Rules) == 1 == want })
	}

	// (b): without a unicast route there is no originator to compare with.
	one.flow(wire.IPv4FlowSpec, rule, []uint32{65001}, nil, discard)
	c.validity("no route", rule, "no-unicast-route")
	matches("an invalid rule matches nothing", false)
	// Its own route comes: the rule is judged again.
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	c.validity("its own route", rule, "")
	sees("its own route", true, "203.0.113.0/24")
	matches("a valid rule matches", true)
	// Another one's is better for the destination.
	two.announce(0, []uint32{65002}, nil, "203.0.113.0/25")
	c.validity("a more specific route of another", rule, "originator")
	sees("a more specific route of another", false, "203.0.113.0/24", "203.0.113.0/25")
	matches("not any more", false)
	two.withdraw(0, "203.0.113.0/25")
	c.validity("it is gone", rule, "")
	sees("it is gone", true, "203.0.113.0/24")
	// (c): a more specific route of another neighbouring AS, under the destination.
	const wideRule = "08 0118cb0071 038111"
	one.flow(wire.IPv4FlowSpec, wideRule, []uint32{65001}, nil, discard)
	c.validity("the whole /24", wideRule, "")
	two.announce(0, []uint32{65002}, nil, "203.0.113.128/25")
	c.validity("a part of it is another's", wideRule, "more-specific")
	c.validity("which is none of this rule's", rule, "")
	two.withdraw(0, "203.0.113.128/25")
	c.validity("the part is gone", wideRule, "")
	one.announce(0, []uint32{65001, 65002}, nil, "203.0.113.128/25")
	c.validity("a part by the same neighbour", wideRule, "")
	// The session of the route's peer ends, and so does its rule; the other's rule
	// for a route of nobody stays what it was.
	two.flow(wire.IPv4FlowSpec, "09 0120cb007108 038111", []uint32{65002}, nil, discard)
	c.validity("another's rule", "09 0120cb007108 038111", "originator")
	one.close()
	c.validity("the route is gone", "09 0120cb007108 038111", "no-unicast-route")
	sink.expect("nothing")
	if e := c.peer("127.21.50.2").Errors; e.TreatAsWithdraw != 0 {
		t.Errorf("an invalid rule is no error: %+v", e)
	}
	if f := family1(c, "127.21.50.2", "ipv4-flowspec"); f.Received != 1 || f.Filtered != 1 || f.Accepted != 0 {
		t.Errorf("counts: %+v", f)
	}
	_, b := c.ask("GET", "/metrics", "", nil)
	if !strings.Contains(string(b), "ribd_flowspec") || !strings.Contains(string(b), "no-unicast-route") {
		t.Error("the reason is not counted in the metrics")
	}
}

func TestARuleWithoutDestinationIsInfeasibleUnlessConfigured(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.51.1, as: 65001"+strict, "address: 127.21.51.2, as: 65002, flowspec_validation: no-destination"+strict,
		"address: 127.21.51.3, as: 65003, flowspec_validation: off"+strict, "address: 127.21.51.4, as: 65004, flowspec_validation: strict"+strict)
	hex := func(i int) string { return fmt.Sprintf("03 0381%02x", i) }
	with := func(i int) string { return fmt.Sprintf("09 0120cb0071%02x 038111", i) }
	for i := 1; i <= 4; i++ {
		p := play(t, to, playerOptions{from: ip(fmt.Sprintf("127.21.51.%d", i)), as: uint32(65000 + i), families: strictFamilies})
		p.flow(wire.IPv4FlowSpec, hex(i), []uint32{p.as}, nil, discard)
		p.flow(wire.IPv4FlowSpec, with(i), []uint32{p.as}, nil, discard)
	}
	c.validity("the default", hex(1), "no-destination")
	c.validity("no-destination", hex(2), "")
	c.validity("off", hex(3), "")
	c.validity("strict", hex(4), "no-destination")
	c.validity("the default", with(1), "no-unicast-route")
	c.validity("no-destination", with(2), "no-unicast-route")
	c.validity("off", with(3), "")
	c.validity("strict", with(4), "no-unicast-route")
	if m := c.match("", `{"dst":"8.8.8.8","protocol":3}`); len(m.Rules) != 1 {
		t.Errorf("a packet for the rule that is feasible: %+v", m)
	}
	if m := c.match("", `{"dst":"8.8.8.8","protocol":4}`); len(m.Rules) != 0 {
		t.Errorf("a packet for the rule that is not: %+v", m)
	}
}

// RFC 9117: a rule of an internal peer, or with an empty AS path, is feasible
// where its path is empty or that of a confederation; the originator is
// ORIGINATOR_ID where it is there; the leftmost AS needs not be the peer's.
func TestOriginatorsAndEmptyPathsAreAsRFC9117Says(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.52.1, as: 64512"+strict, "address: 127.21.52.2, as: 64512"+strict, "address: 127.21.52.3, as: 65003, enforce_first_as: true"+strict, "address: 127.21.52.4, as: 65004, enforce_first_as: false"+strict)
	server := play(t, to, playerOptions{from: ip("127.21.52.4"), as: 65004, families: strictFamilies})
	internal := play(t, to, playerOptions{from: ip("127.21.52.1"), as: 64512, families: strictFamilies})
	reflector := play(t, to, playerOptions{from: ip("127.21.52.2"), as: 64512, families: strictFamilies})
	external := play(t, to, playerOptions{from: ip("127.21.52.3"), as: 65003, families: strictFamilies})
	pref := func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 100) }
	from := func(id string) func(e *wire.AttrEditor) {
		return func(e *wire.AttrEditor) {
			b := ip(id).As4()
			e.SetUint32(wire.AttrLocalPref, 100)
			e.Set(wire.AttrOriginatorID, b[:])
			e.Set(wire.AttrClusterList, []byte{192, 0, 2, 200})
		}
	}
	external.announce(0, []uint32{65003}, nil, "203.0.113.0/24")
	eventually(t, "the route", func() bool { return len(c.routes("?prefix=203.0.113.0/24").Routes) == 1 })
	// (b.2): the empty path of an internal peer is feasible whoever the route's
	// originator is.
	internal.flow(wire.IPv4FlowSpec, "06 0120cb007101", nil, pref, discard)
	c.validity("the AS's own rule for another's route", "06 0120cb007101", "")
	// With a path it has to be the route's originator.
	internal.flow(wire.IPv4FlowSpec, "06 0120cb007102", []uint32{65003}, pref, discard)
	c.validity("another's rule by an internal peer", "06 0120cb007102", "originator")
	// ORIGINATOR_ID on both sides.
	reflector.announce(0, []uint32{65009}, from("192.0.2.77"), "198.51.100.0/24")
	eventually(t, "the reflected route", func() bool { return len(c.routes("?prefix=198.51.100.0/24").Routes) == 1 })
	internal.flow(wire.IPv4FlowSpec, "06 0120c6336401", []uint32{65009}, from("192.0.2.77"), discard)
	c.validity("of the same originator, by another reflector", "06 0120c6336401", "")
	internal.flow(wire.IPv4FlowSpec, "06 0120c6336402", []uint32{65009}, from("192.0.2.78"), discard)
	c.validity("of another originator", "06 0120c6336402", "originator")
	// eBGP: an empty path and a leftmost AS that is not the peer's are no errors.
	// What has to be the same is the leftmost AS of the route (section 4.2).
	external.flow(wire.IPv4FlowSpec, "06 0120cb007103", nil, nil, discard)
	c.validity("an empty path over eBGP, and the route's is not", "06 0120cb007103", "originator")
	external.flow(wire.IPv4FlowSpec, "06 0120cb007104", []uint32{65003}, nil, discard)
	c.validity("a plain one", "06 0120cb007104", "")
	external.flow(wire.IPv4FlowSpec, "06 0120cb007105", []uint32{65100}, nil, discard)
	c.validity("another leftmost AS than the route's", "06 0120cb007105", "originator")
	server.announce(0, []uint32{65100}, nil, "192.0.2.0/24")
	eventually(t, "the route server's", func() bool { return len(c.routes("?prefix=192.0.2.0/24").Routes) == 1 })
	server.flow(wire.IPv4FlowSpec, "06 0120c0000201", []uint32{65100}, nil, discard)
	c.validity("the route's leftmost AS, which is not the peer's", "06 0120c0000201", "")
	server.flow(wire.IPv4FlowSpec, "06 0120c0000202", []uint32{65101}, nil, discard)
	c.validity("neither", "06 0120c0000202", "originator")
	for _, r := range c.rules("?filtered=any&peer=127.21.52.3") {
		if r.FilterReason != nil && strings.Contains(*r.FilterReason, "first-as") {
			t.Errorf("the leftmost AS is checked: %+v", r)
		}
	}
	if e := c.peer("127.21.52.3").Errors; e.TreatAsWithdraw != 0 {
		t.Errorf("errors: %+v", *e)
	}
}

func TestRulesOfAVPNAreValidatedByItsRoutes(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.53.1, as: 65001"+strict)
	one := play(t, to, playerOptions{from: ip("127.21.53.1"), as: 65001, families: strictFamilies})
	const rule = "0e 0000fde900000001 0120cb007107"
	one.flow(wire.IPv4FlowSpecVPN, rule, []uint32{65001}, nil, discard)
	c.validity("no route in its VPN", rule, "no-unicast-route")
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	attrs := attributes([]uint32{65001}, ip("198.51.100.1"), nil)
	one.tell(wire.IPv4VPN, attrs, nlri{prefix: "203.0.113.0/24", rd: rdOne + 1, labels: labelStack(100)})
	c.validity("a route in another", rule, "no-unicast-route")
	one.tell(wire.IPv4VPN, attrs, nlri{prefix: "203.0.113.0/24", rd: rdOne, labels: labelStack(100)})
	c.validity("a route in its VPN", rule, "")
	one.takeBack(wire.IPv4VPN, nlri{prefix: "203.0.113.0/24", rd: rdOne})
	c.validity("which is gone", rule, "no-unicast-route")
}

func TestRoutesOfDumpsAndFilteredOnesValidateNothing(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "policies:\n  none: [{if: 'family == \"ipv4-flowspec\"', then: accept}, {then: reject}]\n", "address: 127.21.54.1, as: 65001, import: none"+strict)
	one := play(t, to, playerOptions{from: ip("127.21.54.1"), as: 65001, families: strictFamilies})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	one.flow(wire.IPv4FlowSpec, "06 0120cb007107", []uint32{65001}, nil, discard)
	c.validity("its route is refused", "06 0120cb007107", "no-unicast-route")
	// The path of a local route has no peer: rules of others for it are not its.
	c.post("/api/v1/paths", `{"prefix":"203.0.113.0/24","next_hop":"192.0.2.1"}`)
	c.validity("a local route", "06 0120cb007107", "originator")
}
