//go:build linux

package peertest

import (
	"fmt"
	"slices"
	"testing"
)

// rules are one of each: components, operators, actions.
func rules() []Rule {
	return []Rule{
		MustRule("ipv4-flowspec", "destination 203.0.113.0/24; protocol =17; destination-port =53|>=1024&<=2048 then 8006000000000000"),
		MustRule("ipv4-flowspec", "destination 203.0.113.0/24; source 192.0.2.0/25; protocol =6|=17; port =80; packet-length >=100&<=200|>1400; dscp =46 then 8006000049742400"),
		MustRule("ipv4-flowspec", "destination 203.0.113.0/25; source-port !=80&!=8080 then 8006000049742400"),
		MustRule("ipv4-flowspec", "destination 203.0.113.0/26; icmp-type =8; icmp-code <1 then 8006000049742400"),
		MustRule("ipv4-flowspec", "destination 203.0.113.1/32; tcp-flags =0x2&!0x10; fragment !0x2 then 8008fde800000064"),
		MustRule("ipv4-flowspec", "destination 203.0.113.2/32; tcp-flags 0x3|!=0x12; fragment =0x2|=0x4 then 800900000000002e 8007000000000003"),
		MustRule("ipv4-flowspec", "destination 203.0.113.3/32; fragment =0x1|0xa then 8108c00002010007"),
		MustRule("ipv4-flowspec", "destination 203.0.113.4/32; source-port true|false then 8208000100020003"),
		MustRule("ipv4-flowspec", "destination 203.0.113.5/32 then 800c000042c80000"),
		MustRule("ipv4-flowspec", "destination 203.0.113.6/32 then 010cc00002010001 8001000000000007"),
		MustRule("ipv6-flowspec", "destination 2001:db8::/32; protocol =17; dscp =10; flow-label =29062 then 8006000000000000"),
		MustRule("ipv6-flowspec", "destination 2001:db8:7::/48; flow-label =881030 then 8006000000000000"),
		MustRule("ipv6-flowspec", "destination 0:0:1::/64/32; source ::1/128/120; fragment =0x2 then 8006000000000000"),
		MustRule("ipv4-flowspec-vpn", "rd 65001:7; destination 203.0.113.0/24 then 8006000000000000"),
		MustRule("ipv6-flowspec-vpn", "rd 65001:7; destination 2001:db8::/32 then 8006000000000000"),
	}
}

func TestRulesReadAndWriteTheirText(t *testing.T) {
	for _, r := range rules() {
		again, err := ParseRule(r.Family, r.String()[len(r.Family)+1:])
		if err != nil || again.String() != r.String() {
			t.Errorf("%s: %s, %v", r, again, err)
		}
	}
}

// TestDaemonsExchangeRules proves the harness for Flow Spec: what one daemon
// announces all others show as the same rule with the same actions.
func TestDaemonsExchangeRules(t *testing.T) {
	kinds := []Kind{ExaBGP, GoBGP4, BIRD, FRR}
	for _, from := range kinds[:3] {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			Need(t, kinds...)
			n := NewNet(t)
			h := n.Host()
			var to []FlowSpec
			c := Config{AS: 65001}
			for i, k := range kinds {
				if k == from {
					continue
				}
				r := n.Host()
				as := uint32(65002 + i)
				c.Neighbors = append(c.Neighbors, Neighbor{Address: r.V4, AS: as, Families: RuleFamilies(from, k)})
				to = append(to, Start(t, k, r, Config{AS: as, Neighbors: []Neighbor{{Address: h.V4, AS: 65001, Families: RuleFamilies(from, k)}}}).(FlowSpec))
			}
			d := Start(t, from, h, c).(FlowSpec)
			for _, r := range to {
				WaitState(t, r, h.V4, "established")
				WaitState(t, d, r.Host().V4, "established")
			}
			said := slices.DeleteFunc(rules(), func(r Rule) bool {
				bad := Announces(from, &r) != nil
				for _, d := range to {
					bad = bad || slices.Contains(RuleFamilies(d.Kind()), r.Family) && Takes(d.Kind(), &r) != nil
				}
				return bad
			})
			if err := d.AnnounceRules(said...); err != nil {
				t.Fatal(err)
			}
			check := func(said []Rule) {
				t.Helper()
				for _, r := range to {
					for _, f := range RuleFamilies(from, r.Kind()) {
						WaitRules(t, r, f, heardRules(said, f))
					}
				}
			}
			check(said)
			if err := d.WithdrawRules(said[0], said[3]); err != nil {
				t.Fatal(err)
			}
			check(slices.Concat(said[1:3], said[4:]))
		})
	}
}

// heardRules are the rules of a family as a neighbour of AS 65001 hears them.
func heardRules(l []Rule, family string) (out []Rule) {
	for _, r := range l {
		if r.Family == family {
			r.ASPath = fmt.Sprint(65001)
			out = append(out, r)
		}
	}
	return out
}

// TestAnOffsetIsReadWhereThePatternBegins has ExaBGP and BIRD, the two that
// write RFC 8956 3.1 as it stands, read each other's.
func TestAnOffsetIsReadWhereThePatternBegins(t *testing.T) {
	t.Parallel()
	Need(t, ExaBGP, BIRD)
	n := NewNet(t)
	a, b := n.Host(), n.Host()
	f := []string{"ipv6-flowspec"}
	da := Start(t, ExaBGP, a, Config{AS: 65001, Neighbors: []Neighbor{{Address: b.V4, AS: 65002, Families: f}}}).(FlowSpec)
	db := Start(t, BIRD, b, Config{AS: 65002, Neighbors: []Neighbor{{Address: a.V4, AS: 65001, Families: f}}}).(FlowSpec)
	WaitState(t, da, b.V4, "established")
	said := MustRule(f[0], "destination 0:0:1::/64/32; source ::1/128/120; fragment =0x2 then 8006000000000000")
	for i, d := range []FlowSpec{da, db} {
		if err := d.AnnounceRules(said); err != nil {
			t.Fatal(err)
		}
		said.ASPath = fmt.Sprint(65001 + i)
		WaitRules(t, []FlowSpec{db, da}[i], f[0], []Rule{said})
	}
}
