package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// spoken are the messages that a player has had since mark, without KEEPALIVEs.
func (p *player) spoken(mark int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said[mark:])
}

func TestARefreshIsAnsweredWithAllRoutes(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.50.1, as: 65001", "address: 127.20.50.2, as: 65002", "address: 127.20.50.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.50.1"), as: 65001})
	plain := play(t, to, playerOptions{from: ip("127.20.50.2"), as: 65002})
	enhanced := play(t, to, playerOptions{from: ip("127.20.50.3"), as: 65003, more: []wire.Capability{wire.EnhancedRefreshCapability()}})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24", "198.51.100.0/24")
	one.tell(wire.IPv6Unicast, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	for _, p := range []*player{plain, enhanced} {
		p.expect("the routes", "198.51.100.0/24", "2001:db8:1::/48", "203.0.113.0/24")
		eventually(t, "End-of-RIB", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.ends) == 2 })
	}
	ask := wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast})
	forget := func(p *player) int {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.table, "198.51.100.0/24")
		delete(p.table, "203.0.113.0/24")
		return len(p.said)
	}
	mark := forget(plain)
	plain.send(ask)
	plain.expect("again, after a plain request", "198.51.100.0/24", "2001:db8:1::/48", "203.0.113.0/24")
	for _, s := range plain.spoken(mark) {
		if s != "update" {
			t.Errorf("it is sent %q", s)
		}
	}
	mark = forget(enhanced)
	enhanced.send(ask)
	enhanced.expect("again, after a request with RFC 7313", "198.51.100.0/24", "2001:db8:1::/48", "203.0.113.0/24")
	eventually(t, "EoRR", func() bool { return slices.Contains(enhanced.spoken(mark), "refresh 2 ipv4-unicast") })
	if got := strings.Join(enhanced.spoken(mark), ", "); got != "refresh 1 ipv4-unicast, update, refresh 2 ipv4-unicast" {
		t.Errorf("it is sent %s", got)
	}
	// A family that is not spoken: nothing. A wrong length: 7/1 (RFC 7313 5).
	plain.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.L2VPNEVPN}))
	enhanced.send(append(slices.Clone(ask[:16]), 0, 24, 5, 0, 1, 1, 1, 9))
	eventually(t, "a malformed request ends the session", enhanced.over)
	if n := enhanced.notifications(); len(n) != 1 || n[0].Code != wire.CodeRouteRefresh || n[0].Subcode != 1 {
		t.Errorf("got %v", n)
	}
	eventually(t, "both requests are counted", func() bool { return c.peer("127.20.50.2").Messages.Received.RouteRefresh == 2 })
	if plain.over() {
		t.Error("a request for a family that is not spoken ended the session")
	}
}

func TestARefreshIsAskedForFamilyByFamily(t *testing.T) {
	t.Parallel()
	families := []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4Multicast, wire.IPv6Multicast, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast,
		wire.IPv4VPN, wire.IPv6VPN, wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN, wire.L2VPNEVPN, wire.LS}
	var names []string
	for _, f := range families {
		names = append(names, f.String())
	}
	c, to := hub(t, "", "address: 127.20.51.1, as: 65001, families: ["+strings.Join(names, ", ")+"]")
	one := play(t, to, playerOptions{from: ip("127.20.51.1"), as: 65001, families: families})
	c.established("127.20.51.1")
	if status, b := c.ask("POST", "/api/v1/peers/127.20.51.1/refresh", "", nil); status/100 != 2 {
		t.Fatalf("refresh: %d %s", status, b)
	}
	eventually(t, "a request for each family", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		seen := map[wire.Family]bool{}
		for _, r := range one.refreshes {
			seen[r.Family] = r.Subtype == 0
		}
		return len(seen) == len(families)
	})
	eventually(t, "they are counted", func() bool { return c.peer("127.20.51.1").Messages.Sent.RouteRefresh == uint64(len(families)) })
	if status, _ := c.ask("POST", "/api/v1/peers/127.20.51.1/refresh?family=ipv6-vpn", "", nil); status/100 == 2 {
		eventually(t, "one family alone", func() bool {
			one.mu.Lock()
			defer one.mu.Unlock()
			return len(one.refreshes) == len(families)+1 && one.refreshes[len(families)].Family == wire.IPv6VPN
		})
	}
}

// RFC 7313 section 4: what is not announced between BoRR and EoRR has gone.
func TestAnEnhancedRefreshSweepsWhatIsNotSentAgain(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.52.1, as: 65001", "address: 127.20.52.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.52.1"), as: 65001, more: []wire.Capability{wire.EnhancedRefreshCapability()}})
	two := play(t, to, playerOptions{from: ip("127.20.52.2"), as: 65002})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")
	one.tell(wire.IPv6Unicast, attributes([]uint32{65001}, ip("2001:db8::9"), nil), nlri{prefix: "2001:db8:1::/48"})
	two.expect("the routes", "192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/48", "203.0.113.0/24")
	one.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 1}))
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")           // as it was
	one.announce(0, []uint32{65001, 65100}, nil, "192.0.2.0/24")      // changed
	one.announce(0, []uint32{65001, 65100}, nil, "198.51.100.128/25") // new
	two.expect("nothing goes before the end", "192.0.2.0/24", "198.51.100.0/24", "198.51.100.128/25", "2001:db8:1::/48", "203.0.113.0/24")
	one.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 2}))
	two.expect("what was not sent again has gone", "192.0.2.0/24", "198.51.100.128/25", "2001:db8:1::/48", "203.0.113.0/24")
	if f := c.peer("127.20.52.1").Families[0]; f.Received != 3 || f.Stale != 0 {
		t.Errorf("counts %+v", f)
	}
}

func TestAnAdvertisementIntervalGathersChanges(t *testing.T) {
	t.Parallel()
	_, to := hub(t, "", "address: 127.20.53.1, as: 65001", "address: 127.20.53.2, as: 65002, advertisement_interval: 150ms", "address: 127.20.53.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.53.1"), as: 65001})
	slow := play(t, to, playerOptions{from: ip("127.20.53.2"), as: 65002})
	quick := play(t, to, playerOptions{from: ip("127.20.53.3"), as: 65003})
	const prefix, changes = "203.0.113.0/24", 60
	began := time.Now()
	for i := range uint32(changes) {
		path := fmt.Sprintf("64512 65001 %d", 100+i)
		one.announce(0, []uint32{65001, 100 + i}, nil, prefix)
		eventually(t, "the one without an interval is told of each change", func() bool { return quick.text(prefix, wire.AttrASPath) == path })
	}
	eventually(t, "the last change", func() bool { return slow.text(prefix, wire.AttrASPath) == fmt.Sprintf("64512 65001 %d", 100+changes-1) })
	most := int(time.Since(began)/(150*time.Millisecond)) + 3
	count := func(p *player) (n int) {
		for _, s := range p.spoken(0) {
			if s == "update" {
				n++
			}
		}
		return n
	}
	if n := count(slow); n > most {
		t.Errorf("%d UPDATEs in %s, want %d at most", n, time.Since(began), most)
	}
	if n := count(quick); n != changes {
		t.Errorf("%d UPDATEs without an interval, want %d", n, changes)
	}
	one.withdraw(0, prefix)
	slow.expect("it is withdrawn")
}

// A peer that reconnects is sent everything again.
func TestAPeerThatComesBackIsSentEverythingAgain(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.54.1, as: 65001", "address: 127.20.54.2, as: 65002", "address: 127.20.54.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.54.1"), as: 65001})
	var prefixes []string
	for i := range 200 {
		prefixes = append(prefixes, fmt.Sprintf("10.0.%d.0/24", i))
	}
	one.announce(0, []uint32{65001}, nil, prefixes...)
	play(t, to, playerOptions{from: ip("127.20.54.3"), as: 65003}).expect("the routes, with one who stays", prefixes...)
	for i := range 3 {
		var two *player
		eventually(t, "a session", func() (ok bool) {
			p, err := tryPlay(t, to, playerOptions{from: ip("127.20.54.2"), as: 65002, id: 0x7f143602 + uint32(i)})
			two = p
			return err == nil
		})
		two.expect("everything", prefixes...)
		eventually(t, "End-of-RIB after it", func() bool {
			said := two.spoken(0)
			i := slices.Index(said, "end-of-rib ipv4-unicast")
			return i > 0 && !slices.Contains(said[i:], "update")
		})
		if n := len(two.spoken(0)); n > 4 {
			t.Errorf("%d messages for 200 routes of one set: %v", n, two.spoken(0))
		}
		two.close()
	}
	if p := c.peer("127.20.54.2"); p.Flaps == 0 {
		t.Errorf("flaps %d", p.Flaps)
	}
}
