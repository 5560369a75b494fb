package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/wire"
)

// hub starts a ribd of AS 64512 between peers that tests play, each a line of
// the configuration. It returns where they connect to.
func hub(t *testing.T, more string, peers ...string) (c *client, to string) {
	t.Helper()
	e, c, _ := speaking(t, hubConfig(more, peers...), nil)
	return c, e.BGPAddrs()[0].String()
}

func hubConfig(more string, peers ...string) string {
	var b strings.Builder
	b.WriteString("as: 64512\nrouter_id: 192.0.2.254\n" + more)
	if len(peers) > 0 {
		b.WriteString("peer_defaults: {mode: passive, import: accept-all, export: accept-all}\npeers:\n")
	}
	for _, p := range peers {
		fmt.Fprintf(&b, "  - {%s}\n", p)
	}
	return b.String()
}

// one returns the only route of an answer.
func (c *client) one(query string) apiv1.Route {
	c.t.Helper()
	var r []apiv1.Route
	eventually(c.t, "a route for "+query, func() bool { r = c.routes(query).Routes; return len(r) > 0 })
	if len(r) != 1 {
		c.t.Fatalf("%s: %d routes, want 1: %+v", query, len(r), r)
	}
	return r[0]
}

// labelStack writes labels as they stand in an NLRI.
func labelStack(labels ...uint32) (b []byte) {
	for i, l := range labels {
		v := l << 4
		if i == len(labels)-1 {
			v |= 1
		}
		b = append(b, byte(v>>16), byte(v>>8), byte(v))
	}
	return b
}

// unhex reads hex with blanks in it.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// rawUpdate writes an UPDATE of attributes and NLRI as they are given.
func rawUpdate(attrs, nlri []byte) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 16), 0, 0, byte(wire.MsgUpdate), 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// anyFamily is a route of a family and how the API shows it.
type anyFamily struct {
	family     wire.Family
	hop        string // "": none
	route      nlri
	key        string // as players name it
	prefix, rd string
	labels     []uint32
	text       string // is in nlri_text
}

const rdOne = 0x0000fde900000001 // 65001:1

var anyFamilies = []anyFamily{
	{family: wire.IPv4Multicast, hop: "127.20.1.1", route: nlri{prefix: "203.0.113.0/24"}, key: "ipv4-multicast 203.0.113.0/24", prefix: "203.0.113.0/24"},
	{family: wire.IPv6Multicast, hop: "2001:db8::1", route: nlri{prefix: "2001:db8:1::/48"}, key: "ipv6-multicast 2001:db8:1::/48", prefix: "2001:db8:1::/48"},
	{family: wire.IPv4LabelledUnicast, hop: "198.51.100.1", route: nlri{prefix: "203.0.113.0/24", labels: labelStack(100)},
		key: "ipv4-labelled-unicast 203.0.113.0/24", prefix: "203.0.113.0/24", labels: []uint32{100}},
	{family: wire.IPv6LabelledUnicast, hop: "::ffff:198.51.100.1", route: nlri{prefix: "2001:db8:2::/48", labels: labelStack(2, 1048575)},
		key: "ipv6-labelled-unicast 2001:db8:2::/48", prefix: "2001:db8:2::/48", labels: []uint32{2, 1048575}},
	{family: wire.IPv4VPN, hop: "198.51.100.1", route: nlri{prefix: "10.0.0.0/8", rd: rdOne, labels: labelStack(300)},
		key: "ipv4-vpn 65001:1 10.0.0.0/8", prefix: "10.0.0.0/8", rd: "65001:1", labels: []uint32{300}},
	{family: wire.IPv6VPN, hop: "2001:db8::1", route: nlri{prefix: "fd00::/8", rd: 0x0001c00002010007, labels: labelStack(301)},
		key: "ipv6-vpn 192.0.2.1:7 fd00::/8", prefix: "fd00::/8", rd: "192.0.2.1:7", labels: []uint32{301}},
	{family: wire.IPv4FlowSpec, route: nlri{raw: unhex("08 0118cb0071 038111")}, text: "destination 203.0.113.0/24 protocol =udp"},
	{family: wire.IPv6FlowSpec, route: nlri{raw: unhex("0a 01200020010db8 038111")}, text: "2001:db8::/32"},
	{family: wire.IPv4FlowSpecVPN, route: nlri{raw: unhex("10 0000fde900000001 0118cb0071 038111")}, text: "203.0.113.0/24"},
	{family: wire.L2VPNEVPN, hop: "198.51.100.1", route: nlri{raw: unhex("02 21 0000fde900000001 00000000000000000000 00000000 30 0200c0ffee01 00 000640")}, text: "02:00:c0:ff:ee:01"},
	{family: wire.LS, hop: "198.51.100.1", route: nlri{raw: unhex("0001 001f 02 0000000000000000 0100 0012 0200 0004 0000fde9 0203 0006 000000000001")}, text: "65001"},
	{family: wire.MakeFamily(99, 9), hop: "198.51.100.1", route: nlri{raw: unhex("00 01 02 03 fe ff")}},
}

func TestEveryFamilyIsKeptShownAndPassedOnOctetForOctet(t *testing.T) {
	t.Parallel()
	var names []string
	var fs []wire.Family
	for _, x := range anyFamilies {
		names, fs = append(names, x.family.String()), append(fs, x.family)
	}
	families := "flowspec_validation: off, families: [" + strings.Join(names, ", ") + "]"
	c, to := hub(t, "", "address: 127.20.1.1, as: 65001, "+families, "address: 127.20.1.2, as: 65002, "+families)
	one := play(t, to, playerOptions{from: ip("127.20.1.1"), as: 65001, families: fs})
	two := play(t, to, playerOptions{from: ip("127.20.1.2"), as: 65002, families: fs})
	for _, x := range anyFamilies {
		if x.key == "" {
			x.key = fmt.Sprintf("%s %x", x.family, x.route.raw)
		}
		t.Run(x.family.String(), func(t *testing.T) { anyFamilyPasses(t, c, one, two, x) })
	}
	if got := two.holds(); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	eventually(t, "End-of-RIB of every family", func() bool {
		two.mu.Lock()
		defer two.mu.Unlock()
		return len(two.ends) == len(fs)
	})
}

func anyFamilyPasses(t *testing.T, c *client, one, two *player, x anyFamily) {
	var hop netip.Addr
	if x.hop != "" {
		hop = ip(x.hop)
	}
	attrs := attributes([]uint32{65001}, hop, func(e *wire.AttrEditor) {
		e.AddExtCommunities([]uint64{0x0002fde900000001})
		if x.family == wire.LS {
			e.Set(wire.AttrLS, unhex("0402 0003 616263"))
		}
	})
	one.tell(x.family, attrs, x.route)
	two.expect("the route", x.key)
	two.mu.Lock()
	labels := two.labels[x.key]
	two.mu.Unlock()
	if string(labels) != string(x.route.labels) {
		t.Errorf("labels %x arrive, want %x", labels, x.route.labels)
	}
	wantHop := x.hop
	if x.family == wire.IPv4Multicast {
		wantHop = "127.0.0.1" // plain prefixes go out as eBGP has it
	}
	if x.family == wire.IPv6Multicast {
		wantHop = "::ffff:127.0.0.1"
	}
	if got := two.text(x.key, wire.AttrNextHop); got != wantHop && (x.hop != "" || got != "-") {
		t.Errorf("next hop %s arrives, want %s", got, wantHop)
	}
	if got := two.text(x.key, wire.AttrASPath) + ", " + two.text(x.key, wire.AttrExtCommunities); got != "64512 65001, rt:65001:1" {
		t.Errorf("arrives with %s", got)
	}
	if x.family == wire.LS && two.text(x.key, wire.AttrLS) != "04020003616263" {
		t.Errorf("BGP-LS attribute %s", two.text(x.key, wire.AttrLS))
	}
	for _, table := range []string{"", "&table=adj-out&peer=127.20.1.2"} {
		query := "?family=" + x.family.String() + table
		if x.rd != "" {
			query += "&rd=" + x.rd
		}
		shownAs(t, c.one(query), x)
	}
	if x.rd != "" {
		if r := c.routes("?family=" + x.family.String() + "&rd=65001:2").Routes; len(r) != 0 {
			t.Errorf("another distinguisher has %+v", r)
		}
	}
	p := c.peer("127.20.1.1")
	i := slices.IndexFunc(p.Families, func(f apiv1.PeerFamily) bool { return f.Family == x.family.String() })
	if i < 0 || p.Families[i].Received != 1 || p.Families[i].Accepted != 1 || p.Families[i].Best != 1 {
		t.Errorf("the peer's families: %+v", p.Families)
	}
	gone := x.route
	gone.labels = nil // a withdrawal has the label 0x800000 (RFC 8277 2.4)
	one.takeBack(x.family, gone)
	two.expect("it is withdrawn")
	if n := len(c.routes("?family=" + x.family.String()).Routes); n != 0 {
		t.Errorf("%d routes are shown after the withdrawal", n)
	}
}

// shownAs holds a route of the API to what was sent.
func shownAs(t *testing.T, r apiv1.Route, x anyFamily) {
	t.Helper()
	str := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if got := str(r.Prefix); got != x.prefix {
		t.Errorf("prefix %q, want %q", got, x.prefix)
	}
	if got := str(r.RD); got != x.rd {
		t.Errorf("rd %q, want %q", got, x.rd)
	}
	if !slices.Equal(r.Labels, x.labels) {
		t.Errorf("labels %v, want %v", r.Labels, x.labels)
	}
	if got, want := str(r.NLRI), fmt.Sprintf("%x", x.route.raw); got != want {
		t.Errorf("nlri %q, want %q", got, want)
	}
	if got := str(r.NLRIText); !strings.Contains(got, x.text) || x.text != "" && got == "" {
		t.Errorf("nlri_text %q, want %q in it", got, x.text)
	}
}

func TestAVPNIsATableOfItsOwn(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.2.1, as: 65001, families: [ipv4-vpn]", "address: 127.20.2.2, as: 65002, families: [ipv4-vpn]")
	o := func(from string, as uint32) playerOptions {
		return playerOptions{from: ip(from), as: as, families: []wire.Family{wire.IPv4VPN}}
	}
	one, two := play(t, to, o("127.20.2.1", 65001)), play(t, to, o("127.20.2.2", 65002))
	attrs := attributes([]uint32{65001}, ip("198.51.100.1"), nil)
	for i := range uint32(3) {
		one.tell(wire.IPv4VPN, attrs, nlri{prefix: "10.0.0.0/8", rd: rdOne + uint64(i), labels: labelStack(100 + i)})
	}
	two.expect("one prefix in three VPNs", "ipv4-vpn 65001:1 10.0.0.0/8", "ipv4-vpn 65001:2 10.0.0.0/8", "ipv4-vpn 65001:3 10.0.0.0/8")
	var l apiv1.Lookup
	c.get("/api/v1/lookup/10.1.2.3?family=ipv4-vpn&rd=65001:2", &l)
	if len(l.Paths) != 1 || !slices.Equal(l.Paths[0].Labels, []uint32{101}) || *l.Paths[0].RD != "65001:2" {
		t.Errorf("look-up in one VPN: %+v", l)
	}
	// A new label is a new route of the same key.
	one.tell(wire.IPv4VPN, attrs, nlri{prefix: "10.0.0.0/8", rd: rdOne, labels: labelStack(777)})
	eventually(t, "the new label", func() bool {
		two.mu.Lock()
		defer two.mu.Unlock()
		return binary.BigEndian.Uint32(append([]byte{0}, two.labels["ipv4-vpn 65001:1 10.0.0.0/8"]...))>>4 == 777
	})
	one.takeBack(wire.IPv4VPN, nlri{prefix: "10.0.0.0/8", rd: rdOne + 1})
	two.expect("one of them is withdrawn", "ipv4-vpn 65001:1 10.0.0.0/8", "ipv4-vpn 65001:3 10.0.0.0/8")
	one.close()
	two.expect("the peer is gone")
}
