package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// brief are attributes of a route as a player holds them.
func (p *player) brief(key string) string {
	var s []string
	for _, a := range []wire.AttrType{wire.AttrASPath, wire.AttrNextHop, wire.AttrMED, wire.AttrLocalPref, wire.AttrCommunities, wire.AttrLargeCommunities, wire.AttrExtCommunities} {
		s = append(s, p.text(key, a))
	}
	return strings.Join(s, " | ")
}

const everyAction = `policies:
  all:
    - if: 'prefix == "192.0.2.0/24"'
      then: {remove_communities: ["65001:*"], remove_large_communities: ["65001:*:3"], remove_ext_communities: ["rt:65001:*"], next: true}
    - if: '"64512:7" in communities'
      then: reject   # nothing has it before the next term
    - if: 'prefix == "192.0.2.0/24"'
      then:
        accept: true
        set: {local_pref: 250, med: 33, next_hop: 198.51.100.7}
        add_communities: ["64512:7", no-peer]
        add_large_communities: ["64512:1:1"]
        add_ext_communities: ["ro:64512:9"]
        prepend: {as: 64512, times: 3}
    - if: 'prefix.length > 24'
      then: reject
    - then: {accept: true, prepend: {as: 64999}}
`

func TestEveryActionOfAPolicyWorksOnImportAndExport(t *testing.T) {
	t.Parallel()
	c, to := hub(t, everyAction, "address: 127.20.80.1, as: 65001, import: all", "address: 127.20.80.2, as: 65002",
		"address: 127.20.80.3, as: 65003", "address: 127.20.80.4, as: 65004, export: all", "address: 127.20.80.5, as: 64512")
	rich := func(e *wire.AttrEditor) {
		e.SetUint32(wire.AttrMED, 5)
		e.AddCommunities([]uint32{65001<<16 | 1, 65100<<16 | 2})
		e.AddLargeCommunities([][12]byte{large(65001, 2, 3), large(65001, 2, 4)})
		e.AddExtCommunities([]uint64{0x0002fde900000001, 0x0002fdea00000001})
	}
	play1 := play(t, to, playerOptions{from: ip("127.20.80.1"), as: 65001})
	play2 := play(t, to, playerOptions{from: ip("127.20.80.2"), as: 65002})
	plain := play(t, to, playerOptions{from: ip("127.20.80.3"), as: 65003})
	export := play(t, to, playerOptions{from: ip("127.20.80.4"), as: 65004})
	internal := play(t, to, playerOptions{from: ip("127.20.80.5"), as: 64512})

	// Import: what is stored, what the other peers are sent.
	play1.announce(0, []uint32{65001}, rich, "192.0.2.0/24", "10.0.0.0/8", "10.1.1.0/25")
	internal.expect("what is imported", "10.0.0.0/8", "192.0.2.0/24")
	want := "64512 64512 64512 65001 | 198.51.100.7 | 33 | 250 | 65100:2 64512:7 65535:65284 | 65001:2:4 64512:1:1 | rt:65002:1 ro:64512:9"
	if got := internal.brief("192.0.2.0/24"); got != want {
		t.Errorf("imported:\n got %s\nwant %s", got, want)
	}
	if got := internal.text("10.0.0.0/8", wire.AttrASPath); got != "64999 65001" {
		t.Errorf("by the last term: %s", got)
	}
	plain.expect("what is imported", "10.0.0.0/8", "192.0.2.0/24")
	if got, want := plain.brief("192.0.2.0/24"), "64512 64512 64512 64512 65001 | 127.0.0.1 | - | - | 65100:2 64512:7 65535:65284 | 65001:2:4 64512:1:1 | rt:65002:1 ro:64512:9"; got != want {
		t.Errorf("passed on:\n got %s\nwant %s", got, want)
	}
	r := c.one("?prefix=192.0.2.0/24")
	if *r.LocalPref != 250 || *r.MED != 33 || *r.NextHop != "198.51.100.7" || r.ASPath != "64512 64512 64512 65001" || !slices.Contains(r.Communities, "64512:7") {
		t.Errorf("shown: %+v", r)
	}
	pre := c.one("?prefix=192.0.2.0/24&policy=pre")
	if pre.LocalPref != nil || *pre.MED != 5 || *pre.NextHop != "127.20.80.1" || pre.ASPath != "65001" || fmt.Sprint(pre.Communities) != "[65001:1 65100:2]" ||
		fmt.Sprint(pre.LargeCommunities) != "[65001:2:3 65001:2:4]" || fmt.Sprint(pre.ExtCommunities) != "[rt:65001:1 rt:65002:1]" {
		t.Errorf("before policy: %+v", pre)
	}
	refused := c.one("?prefix=10.1.1.0/25&filtered=true")
	if *refused.FilterReason != "policy" || refused.ASPath != "65001" || refused.Best {
		t.Errorf("refused: %+v", refused)
	}
	play1.close()
	for _, p := range []*player{internal, plain, export} {
		p.expect("gone") // before the same prefixes come from another peer
	}

	// Export: the same changes, to one peer alone.
	play2.announce(0, []uint32{65002}, rich, "192.0.2.0/24", "10.0.0.0/8", "10.1.1.0/25")
	export.expect("what is exported", "10.0.0.0/8", "192.0.2.0/24")
	plain.expect("all", "10.0.0.0/8", "10.1.1.0/25", "192.0.2.0/24")
	want = "64512 64512 64512 64512 65002 | 198.51.100.7 | 33 | - | 65100:2 64512:7 65535:65284 | 65001:2:4 64512:1:1 | rt:65002:1 ro:64512:9"
	if got := export.brief("192.0.2.0/24"); got != want {
		t.Errorf("exported:\n got %s\nwant %s", got, want)
	}
	if got := export.text("10.0.0.0/8", wire.AttrASPath) + ", " + plain.text("10.0.0.0/8", wire.AttrASPath); got != "64512 64999 65002, 64512 65002" {
		t.Errorf("by the last term, and without: %s", got)
	}
	for query, n := range map[string]int{
		"": 2, "&community=64512:7": 1, "&community=65001:1": 1, "&as_path=^64512_64999": 1, "&next_hop=198.51.100.7": 1, "&prefix=10.0.0.0/8&match=longer": 1, "&min_length=9": 1,
		"&family=ipv6-unicast": 0, "&large_community=64512:1:*": 1, "&origin_asn=65002": 2,
	} {
		if r := c.routes("?table=adj-out&peer=127.20.80.4" + query).Routes; len(r) != n {
			t.Errorf("adj-out%s: %d routes, want %d: %+v", query, len(r), n, r)
		}
	}
}

func large(a, b, c uint32) (v [12]byte) {
	for i, n := range []uint32{a, b, c} {
		v[4*i], v[4*i+1], v[4*i+2], v[4*i+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
	return v
}

// RFC 8212, and the rule of families: a term judges VPN and raw families only
// where it names them.
func TestWithoutAPolicyNothingComesInOrGoesOut(t *testing.T) {
	t.Parallel()
	e, c, _ := speaking(t, `
as: 64512
router_id: 192.0.2.254
policies:
  plain: [{then: accept}]
  vpn: [{if: 'family == "ipv4-vpn" && "rt:65001:1" in ext_communities', then: accept}, {then: accept}]
peers:
  - {address: 127.20.81.1, as: 65001, mode: passive}
  - {address: 127.20.81.2, as: 64512, mode: passive}
  - {address: 127.20.81.3, as: 65003, mode: passive, flowspec_validation: off, export: accept-all, import: plain, families: [ipv4-unicast, ipv4-vpn, ipv4-flowspec]}
  - {address: 127.20.81.4, as: 65004, mode: passive, flowspec_validation: off, export: accept-all, import: vpn, families: [ipv4-unicast, ipv4-vpn, ipv4-flowspec]}
`, nil)
	to := e.BGPAddrs()[0].String()
	fs := []wire.Family{wire.IPv4Unicast, wire.IPv4VPN, wire.IPv4FlowSpec}
	one := play(t, to, playerOptions{from: ip("127.20.81.1"), as: 65001})
	internal := play(t, to, playerOptions{from: ip("127.20.81.2"), as: 64512})
	three := play(t, to, playerOptions{from: ip("127.20.81.3"), as: 65003, families: fs})
	four := play(t, to, playerOptions{from: ip("127.20.81.4"), as: 65004, families: fs})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	internal.announce(0, nil, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 100) }, "198.51.100.0/24")
	three.expect("the internal peer's: it needs no policy", "198.51.100.0/24")
	eventually(t, "the external peer's is refused", func() bool { return c.reasons()["203.0.113.0/24"] == "no-policy" })
	rt := func(e *wire.AttrEditor) { e.AddExtCommunities([]uint64{0x0002fde900000001}) }
	flow := nlri{raw: unhex("08 0118cb0071 038111")}
	for _, p := range []*player{three, four} {
		as := []uint32{p.as}
		p.announce(0, as, nil, fmt.Sprintf("10.%d.0.0/16", p.as-65000))
		p.tell(wire.IPv4VPN, attributes(as, p.local(), rt), nlri{prefix: "10.0.0.0/8", rd: rdOne + uint64(p.as), labels: labelStack(9)})
		p.tell(wire.IPv4FlowSpec, attributes(as, ip("0.0.0.0"), nil), flow)
	}
	three.expect("the other one's that its policy takes", "198.51.100.0/24", "10.4.0.0/16", "ipv4-vpn 65001:65005 10.0.0.0/8")
	four.expect("without a term for VPNs none", "198.51.100.0/24", "10.3.0.0/16")
	one.expect("without export: nothing")
	for _, f := range []string{"ipv4-vpn", "ipv4-flowspec"} {
		for _, r := range c.routes("?filtered=true&family=" + f).Routes {
			if *r.FilterReason != "policy" {
				t.Errorf("%s: %s", f, *r.FilterReason)
			}
		}
	}
}

// What conditions of export policies see: peer is to whom, from is whose.
func TestExportPoliciesKnowWhoseRouteGoesToWhom(t *testing.T) {
	t.Parallel()
	src := hubConfig(`groups: {customers: {import: accept-all, export: accept-all}, transits: {import: accept-all, export: to-transit}}
policies:
  to-transit:
    - if: '("64512:" + string(peer.asn)) in communities'
      then: reject
    - if: 'from.group == "customers" && from.type == "external" && !(prefix in prefix_set("bogons"))'
      then: {accept: true, prepend: {as: 64512}}
    - if: 'from.name == "special" && as_path.matches("_65100_") && as_path.length == 2 && med == 4 && has_med && origin == "igp"'
      then: accept
prefix_sets: {bogons: ["10.0.0.0/8{8,32}"]}
`, "address: 127.20.82.1, as: 65001, group: customers, mode: passive", "address: 127.20.82.2, as: 65002, group: transits, mode: passive",
		"address: 127.20.82.3, as: 65003, group: transits, mode: passive, name: special")
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	customer := play(t, to, playerOptions{from: ip("127.20.82.1"), as: 65001})
	transit := play(t, to, playerOptions{from: ip("127.20.82.2"), as: 65002})
	special := play(t, to, playerOptions{from: ip("127.20.82.3"), as: 65003})
	customer.announce(0, []uint32{65001}, nil, "203.0.113.0/24", "10.1.0.0/16")
	customer.announce(0, []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{64512<<16 | 65002}) }, "198.51.100.0/24")
	special.announce(0, []uint32{65003, 65100}, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrMED, 4) }, "192.0.2.0/25")
	special.announce(0, []uint32{65003, 65100}, nil, "192.0.2.128/25")
	customer.expect("everything", "192.0.2.0/25", "192.0.2.128/25")
	transit.expect("customers' and what is special", "192.0.2.0/25", "203.0.113.0/24")
	special.expect("the community is about the other one", "198.51.100.0/24", "203.0.113.0/24")
	if got := transit.text("203.0.113.0/24", wire.AttrASPath); got != "64512 64512 65001" {
		t.Errorf("AS path %s", got)
	}
	write(strings.Replace(src, `{8,32}"]`, `{8,8}"]`, 1)) // a set of prefixes changes, and nothing else
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	transit.expect("one more", "10.1.0.0/16", "192.0.2.0/25", "203.0.113.0/24")
	if c.peer("127.20.82.2").Flaps != 0 || transit.over() {
		t.Error("a session has ended")
	}
}
