package ribd_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd"
	"ribd/wire/flowspec"
)

// someRules are rules that packets of somePacket have a chance to match.
func someRules(t *testing.T, r *rand.Rand, n int) []ribd.FlowRule {
	t.Helper()
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var all []ribd.FlowRule
	seen := map[string]bool{}
	for len(all) < n {
		text := pick("", "destination 192.0.2.0/24", "destination 192.0.2.128/25", "destination 192.0.2.7/32", "destination 0.0.0.0/0",
			"destination 2001:db8::/32", "destination ::7/128 offset 120") + " " +
			pick("", "protocol =udp", "protocol =tcp|=udp", "protocol !=icmp") + " " +
			pick("", "port =53", "destination-port >=1000&<=2000", "source-port 53 123", "destination-port 1-5|=443") + " " +
			pick("", "", "packet-length >=100", "dscp =46", "fragment not-a-fragment") + " then " +
			pick("discard", "mark 10 continue", "rate-limit 1000", "sample continue", "redirect 65000:1")
		rule, err := ribd.ParseFlowRule(text)
		if err != nil {
			continue // nothing before then
		}
		n, err := rule.NLRI()
		if err != nil {
			t.Fatal(err)
		}
		if key := n.Family.String() + string(n.Raw); !seen[key] {
			seen[key] = true
			all = append(all, rule)
		}
	}
	return all
}

func somePacket(r *rand.Rand) ribd.Packet {
	p := ribd.Packet{
		Src: netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(3))}), Dst: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))}),
		Protocol: []uint8{1, 6, 17}[r.IntN(3)], SrcPort: []uint16{53, 123, 9}[r.IntN(3)], DstPort: uint16([]int{3, 443, 1500}[r.IntN(3)]),
		Length: uint32(r.IntN(200)), DSCP: uint8(r.IntN(2) * 46), Has: flowspec.HasAll,
	}
	if r.IntN(2) == 0 {
		p.Dst, p.Src = netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::1")
	}
	if r.IntN(8) == 0 {
		p.Fragment = flowspec.IsF
	}
	return p
}

// A Matcher finds what asking each rule finds, in the order of section 5.1, and
// the actions are those of the rules up to the first terminal one.
func TestMatcherAgreesWithTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(8955, 1))
	hits := 0
	for range 50 {
		rules := someRules(t, r, 1+r.IntN(60))
		m, err := ribd.NewMatcher(rules)
		if err != nil {
			t.Fatal(err)
		}
		order := make([]int, len(rules))
		nlri := make([][]byte, len(rules))
		for i := range order {
			n, _ := rules[i].NLRI()
			order[i], nlri[i] = i, n.Raw
		}
		slices.SortFunc(order, func(a, b int) int {
			if d := int(rules[a].Family) - int(rules[b].Family); d != 0 {
				return d
			}
			return flowspec.Compare(rules[a].Family, nlri[a], nlri[b])
		})
		var found ribd.FlowMatch
		for range 200 {
			p := somePacket(r)
			var want []int
			applied, over := 0, false
			for _, i := range order {
				if rules[i].Match(&p) {
					want = append(want, i)
					if !over {
						applied++
					}
					over = over || rules[i].Actions.Terminal()
				}
			}
			if got := m.Match(&p, &found); got != (want != nil) || !slices.Equal(found.Rules, want) || found.Applied != applied {
				t.Fatalf("%+v: rules %v, %d apply, want %v, %d", p, found.Rules, found.Applied, want, applied)
			}
			hits += len(want)
			a := m.Actions(&found)
			if applied == 0 {
				if !a.Empty() {
					t.Fatalf("%+v: %q of no rule", p, a.String())
				}
			} else if a.GoOn != rules[want[applied-1]].Actions.GoOn {
				t.Fatalf("%+v: %q of %d rules", p, a.String(), applied)
			}
		}
	}
	if hits < 10000 {
		t.Errorf("only %d hits", hits)
	}
}

func TestMatcherAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(8955, 2))
	m, err := ribd.NewMatcher(someRules(t, r, 100))
	if err != nil {
		t.Fatal(err)
	}
	var found ribd.FlowMatch
	packets := make([]ribd.Packet, 100)
	for i := range packets {
		packets[i] = somePacket(r)
		m.Match(&packets[i], &found)
	}
	if n := testing.AllocsPerRun(10, func() {
		for i := range packets {
			m.Match(&packets[i], &found)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMatcherOfNothingAndOfVPNs(t *testing.T) {
	var found ribd.FlowMatch
	m, err := ribd.NewMatcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := somePacket(rand.New(rand.NewPCG(1, 1))); m.Match(&p, &found) {
		t.Errorf("%+v of no rules", found)
	}
	one, err := ribd.ParseFlowRule("rd 65000:1 protocol =udp then discard")
	if err != nil {
		t.Fatal(err)
	}
	other := one
	other.RD++
	if _, err := ribd.NewMatcher([]ribd.FlowRule{one, other}); err == nil || !strings.Contains(err.Error(), "rule 1: not of the same route distinguisher") {
		t.Errorf("two VPNs: %v", err)
	}
	if _, err := ribd.NewMatcher([]ribd.FlowRule{one, {}}); err == nil || !strings.Contains(err.Error(), "rule 1: ") {
		t.Errorf("an empty rule: %v", err)
	}
	m, err = ribd.NewMatcher([]ribd.FlowRule{one})
	if err != nil {
		t.Fatal(err)
	}
	p := ribd.Packet{Dst: netip.MustParseAddr("192.0.2.1"), Protocol: 17, Has: flowspec.HasAll}
	if !m.Match(&p, &found) || found.Applied != 1 {
		t.Errorf("%+v", found)
	}
}

// Every rule of flowspec-rules-a.tsv is announced with its actions as it came,
// but for the order of communities.
func TestFlowRulesOfExaBGP(t *testing.T) {
	rules := 0
	for name, msg := range messages(t, "flowspec-rules-a.tsv") {
		us, err := ribd.DecodeUpdates(msg, ribd.MessageOptions{})
		if err != nil || len(us) != 1 || us[0].Malformed != nil {
			t.Fatalf("%s: %+v, %v", name, us, err)
		}
		u := us[0]
		for _, n := range append(u.Announce, u.Withdraw...) {
			rules++
			r, err := ribd.DecodeFlowRule(n, u.Attributes)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			back, err := ribd.ParseFlowRule(r.String())
			if err != nil || back.String() != r.String() {
				t.Errorf("%s: %q reads back as %q, %v", name, r, back, err)
			}
			m, err := back.NLRI()
			if err != nil || m.Family != n.Family || !bytes.Equal(m.Raw, n.Raw) {
				t.Errorf("%s: %q is %+v, %v, came as %x", name, r, m, err, n.Raw)
			}
			a := u.Attributes
			if err := a.SetFlowActions(&back.Actions, ribd.RedirectCommunity); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			slices.Sort(a.ExtCommunities)
			want := slices.Sorted(slices.Values(u.Attributes.ExtCommunities))
			if !slices.Equal(a.ExtCommunities, want) {
				t.Errorf("%s: %v becomes %v", name, want, a.ExtCommunities)
			}
		}
	}
	if rules != 544 {
		t.Errorf("%d rules", rules)
	}
}

// A redirect to an address is in a community or in the next hop.
func TestRedirectForms(t *testing.T) {
	r, err := ribd.ParseFlowRule("destination 192.0.2.0/24 then redirect 203.0.113.9 copy")
	if err != nil {
		t.Fatal(err)
	}
	for form, hop := range map[ribd.RedirectForm]netip.Addr{ribd.RedirectCommunity: {}, ribd.RedirectNextHop: netip.MustParseAddr("203.0.113.9")} {
		n, err := r.NLRI()
		if err != nil {
			t.Fatal(err)
		}
		u := ribd.Update{Announce: []ribd.NLRI{n}}
		if err := u.Attributes.SetFlowActions(&r.Actions, form); err != nil {
			t.Fatal(err)
		}
		b, err := u.Encode(ribd.MessageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		us, err := ribd.DecodeUpdates(b, ribd.MessageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := ribd.DecodeFlowRule(us[0].Announce[0], us[0].Attributes)
		if err != nil || back.String() != r.String() || us[0].Attributes.NextHop != hop {
			t.Errorf("form %d: %v by %v, %v", form, back, us[0].Attributes.NextHop, err)
		}
	}
}

// A message with rules has no next hop but for one that they redirect to, though
// other routes of the update need one (RFC 8955 section 4).
func TestRulesHaveNoNextHop(t *testing.T) {
	r, err := ribd.ParseFlowRule("destination 192.0.2.0/24 then discard")
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.NLRI()
	if err != nil {
		t.Fatal(err)
	}
	u := ribd.Update{Announce: []ribd.NLRI{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, n}}
	u.Attributes.NextHop = netip.MustParseAddr("203.0.113.1")
	b, err := u.Encode(ribd.MessageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	us, err := ribd.DecodeUpdates(b, ribd.MessageOptions{})
	if err != nil || len(us) != 2 || us[0].Attributes.NextHop != u.Attributes.NextHop || us[1].Attributes.NextHop.IsValid() {
		t.Errorf("%+v, %v", us, err)
	}
}
