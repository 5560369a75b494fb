package engine

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/wire"
)

// bothHub is a hub that listens on ::1 too. There is one address of that kind,
// so one peer.
func bothHub(t *testing.T, peers ...string) (c *client, to4, to6 string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback: %v", err)
	}
	l.Close()
	e, c, _ := speaking(t, hubConfig("", peers...), func(o *Options) {
		o.Config.BGP.Listen = append(o.Config.BGP.Listen, config.Listen{Network: "tcp", Address: "[::1]:0"})
	})
	return c, e.BGPAddrs()[0].String(), e.BGPAddrs()[1].String()
}

func enh(fs ...wire.Family) []wire.Capability {
	return []wire.Capability{wire.ExtendedNextHopCapability(wire.NewFamilySet(fs...))}
}

func TestBothFamiliesGoOverIPv6(t *testing.T) {
	t.Parallel()
	c, to4, to6 := bothHub(t, `address: "::1", as: 65001`, "address: 127.20.90.2, as: 65002", "address: 127.20.90.3, as: 64512")
	six := play(t, to6, playerOptions{from: ip("::1"), as: 65001})
	two := play(t, to4, playerOptions{from: ip("127.20.90.2"), as: 65002})
	internal := play(t, to4, playerOptions{from: ip("127.20.90.3"), as: 64512})
	six.tell(v6u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	six.tell(v4u, attributes([]uint32{65001}, ip("198.51.100.9"), nil), nlri{prefix: "203.0.113.0/24"}) // in the NLRI field, over IPv6
	two.expect("both", "2001:db8:1::/48", "203.0.113.0/24")
	internal.expect("both", "2001:db8:1::/48", "203.0.113.0/24")
	if got := internal.text("203.0.113.0/24", wire.AttrNextHop) + ", " + internal.text("2001:db8:1::/48", wire.AttrNextHop); got != "198.51.100.9, 2001:db8::9" {
		t.Errorf("next hops %s", got)
	}
	two.tell(v6u, attributes([]uint32{65002}, ip("2001:db8::8"), nil), nlri{prefix: "2001:db8:2::/48"})
	two.announce(0, []uint32{65002}, nil, "198.51.100.0/24")
	// IPv4 routes without an IPv4 address of ours, nor RFC 8950, can't be told of.
	eventually(t, "IPv6", func() bool { return slices.Contains(six.holds(), "2001:db8:2::/48") })
	if got := six.text("2001:db8:2::/48", wire.AttrNextHop); got != "::1" {
		t.Errorf("next hop %s", got)
	}
	for _, route := range six.holds() {
		if hop := six.text(route, wire.AttrNextHop); route == "198.51.100.0/24" && hop == "127.0.0.1" {
			t.Errorf("%s with next hop %s", route, hop)
		}
	}
	p := c.peer("::1")
	if p.State != "established" || *p.Address != "::1" || *p.Local.Address != "::1" {
		t.Errorf("the peer's page: %+v", p)
	}
	if r := c.routes("?peer=::1").Routes; len(r) != 2 || *r[0].Peer != "::1" {
		t.Errorf("routes by peer: %+v", r)
	}
}

// RFC 8950.
func TestIPv4RoutesMayHaveIPv6NextHops(t *testing.T) {
	t.Parallel()
	c, to4, to6 := bothHub(t, `address: "::1", as: 65001, extended_next_hop: true`, "address: 127.20.91.2, as: 65002, extended_next_hop: true, next_hop: unchanged",
		"address: 127.20.91.3, as: 65003, extended_next_hop: true, next_hop: unchanged", "address: 127.20.91.4, as: 64512, extended_next_hop: true")
	six := play(t, to6, playerOptions{from: ip("::1"), as: 65001, more: enh(v4u)})
	two := play(t, to4, playerOptions{from: ip("127.20.91.2"), as: 65002, more: enh(v4u)})
	three := play(t, to4, playerOptions{from: ip("127.20.91.3"), as: 65003})
	internal := play(t, to4, playerOptions{from: ip("127.20.91.4"), as: 64512})
	const prefix = "203.0.113.0/24"
	six.tell(v4u, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: prefix})
	two.expect("with it", prefix)
	three.expect("without it", prefix)
	internal.expect("without it", prefix)
	if got := two.text(prefix, wire.AttrNextHop); got != "2001:db8::9" {
		t.Errorf("with RFC 8950: next hop %s", got)
	}
	for _, p := range []*player{three, internal} {
		if got := p.text(prefix, wire.AttrNextHop); got != "127.0.0.1" {
			t.Errorf("without: next hop %s, want our own", got)
		}
	}
	if r := c.one("?prefix=" + prefix); *r.NextHop != "2001:db8::9" || r.Filtered {
		t.Errorf("shown: %+v", r)
	}
	two.announce(0, []uint32{65002}, nil, "198.51.100.0/24")
	six.expect("the other way", "198.51.100.0/24")
	if got := six.text("198.51.100.0/24", wire.AttrNextHop); got != "::1" {
		t.Errorf("towards IPv6: next hop %s", got)
	}
	i := slices.IndexFunc(c.peer("::1").Capabilities, func(k apiv1.Capability) bool { return k.Name == "extended-next-hop" })
	if k := c.peer("::1").Capabilities; i < 0 || k[i].Negotiated == nil {
		t.Errorf("capabilities: %+v", k)
	}
}

// RFC 9072, and a page with all that two ends can name.
func TestLongOpensAndEveryCapabilityAreLaidOpen(t *testing.T) {
	t.Parallel()
	var names string
	var fs []wire.Family
	for _, f := range []wire.Family{v4u, v6u, wire.IPv4Multicast, wire.IPv6Multicast, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast, wire.IPv4VPN, wire.IPv6VPN,
		wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN, wire.L2VPNEVPN, wire.LS} {
		names, fs = names+f.String()+", ", append(fs, f)
	}
	for i := range uint8(12) {
		f := wire.MakeFamily(99, i+1)
		names, fs = names+f.String()+", ", append(fs, f)
	}
	c, to := hub(t, "", "address: 127.20.92.1, as: 65001, local_role: peer, extended_next_hop: true, add_path: {receive: true, send: all}, families: ["+names+
		"], graceful_restart: {llgr_stale_time: 1h}")
	all := wire.NewFamilySet(fs...)
	var gr wire.GracefulRestart
	var long []wire.LLGRFamily
	for _, f := range fs {
		gr.Families = append(gr.Families, wire.GracefulFamily{Family: f})
		long = append(long, wire.LLGRFamily{Family: f, StaleTime: 60})
	}
	gr.Time, gr.Notification = 30, true
	one := play(t, to, playerOptions{from: ip("127.20.92.1"), as: 65001, families: fs, hold: 30, extended: true, more: []wire.Capability{
		wire.AddPathCapability(wire.NewFamilySet(v4u), all), wire.GracefulRestartCapability(gr), wire.LLGRCapability(long), wire.RoleCapability(wire.RolePeer),
		wire.HostnameCapability("edge-7", "example.net"), wire.EnhancedRefreshCapability(), {Code: 200, Value: []byte{0x00, 0xff}}, {Code: 200, Value: []byte{1}},
		wire.ExtendedNextHopCapability(wire.NewFamilySet(v4u)),
	}})
	var octets int
	for _, k := range one.opened.Capabilities {
		octets += 2 + len(k.Value)
	}
	if octets <= 255 {
		t.Errorf("our OPEN has %d octets of capabilities, too few for RFC 9072", octets)
	}
	eventually(t, "what came is counted", func() bool { return c.peer("127.20.92.1").Messages.LastReceived != nil })
	p := c.peer("127.20.92.1")
	byName := map[string][]apiv1.Capability{}
	for _, k := range p.Capabilities {
		byName[k.Name] = append(byName[k.Name], k)
	}
	for _, name := range []string{"multiprotocol", "route-refresh", "extended-next-hop", "extended-message", "role", "graceful-restart", "4-octet-as", "add-path", "enhanced-route-refresh",
		"long-lived-graceful-restart"} {
		if ks := byName[name]; len(ks) == 0 || ks[0].Sent == nil || ks[0].Received == nil || ks[0].Negotiated == nil {
			t.Errorf("%s: %+v", name, ks)
		}
	}
	if ks := byName["unknown"]; len(ks) == 0 || ks[0].Code != 200 || fmt.Sprint(ks[0].Received) != "[00ff 01]" || ks[0].Sent != nil || ks[0].Negotiated != nil {
		t.Errorf("unknown: %+v", ks)
	}
	if len(byName) < 12 {
		t.Errorf("capabilities: %v", byName)
	}
	if h := p.Timers; *h.Hold.Negotiated != 30 || *h.Hold.Received != 30 || h.Hold.Configured != 90 || *h.Keepalive != 10 || *h.SendHold != 480 {
		t.Errorf("timers: %+v", h)
	}
	f := map[string]apiv1.PeerFamily{}
	for _, x := range p.Families {
		f[x.Family] = x
	}
	if len(f) != len(fs) || !f["ipv4-unicast"].AddPath.Receive || !f["ipv4-unicast"].AddPath.Send || f["ipv6-unicast"].AddPath.Send {
		t.Errorf("families: %+v", p.Families)
	}
	h := p.History
	if len(h) < 3 || h[len(h)-1].To != "established" || h[len(h)-1].From != "open-confirm" || h[len(h)-1].Reason == "" {
		t.Errorf("history: %+v", h)
	}
	if p.Messages.Received.Open != 1 || p.Messages.Sent.Open != 1 || p.Messages.Sent.Keepalive == 0 || p.Messages.LastReceived == nil || p.Transport.BytesIn == 0 || p.Transport.MSS == nil {
		t.Errorf("messages %+v, transport %+v", p.Messages, p.Transport)
	}
}
