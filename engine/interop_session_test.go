//go:build linux

package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
	"ribd/wire"
)

// TestInteropMD5 has sessions come up where the keys are the same, and not
// where they differ, until ribd is given the right one.
func TestInteropMD5(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.MD5 }, func(t *testing.T, k peertest.Kind) {
		peertest.NeedMD5(t)
		n := peertest.NewNet(t)
		rh, dh := n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: peerLines(dh, daemonAS, "md5_file: wrong.key")}, [2]string{"wrong.key", "guessed\n"}, [2]string{"right.key", "hidden-secret\n"})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.MD5 = "hidden-secret" })})
		// Segments with a wrong signature come, and nothing comes of it.
		peertest.Until(t, peertestWait, "segments are refused", func() error {
			if n := rh.Count("TCPMD5Failure"); n < 4 {
				return fmt.Errorf("%d of them", n)
			}
			return nil
		})
		for _, a := range both(dh) {
			if p := r.must(a); p.State == "established" || p.Flaps != 0 {
				t.Fatalf("wrong key, and %s is %s, flaps %d", a, p.State, p.Flaps)
			}
		}
		r.reload(ribdConf{peers: peerLines(dh, daemonAS, "md5_file: right.key")})
		for i, f := range unicast {
			a := both(dh)[i]
			p := r.waitState(a, "established")
			if p.Transport == nil || !p.Transport.MD5 {
				t.Errorf("%s: transport %s", a, show(p.Transport))
			}
			if strings.Contains(show(p), "hidden-secret") {
				t.Error("the key is shown")
			}
			r.wantRoutes(fmt.Sprintf("family=%s&peer=%s", f, a), as(of(ofDaemon(k), f), prepended(daemonAS), by(dh)))
		}
		if strings.Contains(r.proc.Log(), "hidden-secret") || strings.Contains(r.proc.Log(), "guessed") {
			t.Error("a key is in the log")
		}
		_ = d
	})
}

// TestInteropTTLSecurity has sessions come up where both ends send with a TTL
// of 255, and not where the daemon does not.
func TestInteropTTLSecurity(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.TTL }, func(t *testing.T, k peertest.Kind) {
		peertest.NeedMinTTL(t)
		n := peertest.NewNet(t)
		rh, dh, ch := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: append(peerLines(dh, daemonAS, "ttl_security: {hops: 1}"), peerLines(ch, 65002, "ttl_security: {hops: 1}")...)})
		peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.TTL = true })})
		careless := peertest.Start(t, k, ch, peertest.Config{AS: 65002, Neighbors: neighbors(rh, ribdAS)})
		for _, a := range both(dh) {
			p := r.waitState(a, "established")
			if p.Transport == nil || p.Transport.TTLSecurity == nil {
				t.Errorf("%s: transport %s", a, show(p.Transport))
			}
		}
		peertest.Until(t, peertestWait, "segments are dropped", func() error {
			if n := rh.Count("TCPMinTTLDrop"); n < 4 {
				return fmt.Errorf("%d of them", n)
			}
			return nil
		})
		for _, a := range both(ch) {
			if p := r.must(a); p.State == "established" || p.Flaps != 0 {
				t.Errorf("without TTL security, and %s is %s, flaps %d", a, p.State, p.Flaps)
			}
		}
		// Of a connection that is half there, since some answer a SYN with 255,
		// its end is not to be told.
		careless.Proc().Kill()
		r.reload(ribdConf{peers: append(peerLines(dh, daemonAS, "ttl_security: {hops: 1}"), peerLines(ch, 65002)...)})
		careless.Start(false)
		r.established(both(ch)...)
		for _, a := range both(dh) {
			if p := r.must(a); p.Flaps != 0 {
				t.Errorf("%s was not touched by the change, and flapped %d times: %s", a, p.Flaps, text(p.Reason))
			}
		}
	})
}

// sets counts the attribute sets of routes: so many UPDATEs, at least, hold
// them.
func sets(l []peertest.Route) uint64 {
	all := map[string]bool{}
	for _, r := range l {
		r.Prefix = netip.Prefix{}
		all[r.String()] = true
	}
	return uint64(len(all))
}

// TestInteropRouteRefresh has each end ask the other to send its routes again.
func TestInteropRouteRefresh(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: append(peerLines(dh, daemonAS), peerLines(sh, speakerAS)...)})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: neighbors(rh, ribdAS)})
		s := speakers(t, sh, rh, speakerOptions{})
		for i, f := range unicast {
			s[i].announce(of(zoo(), f)...)
			a := both(dh)[i]
			mine := fmt.Sprintf("family=%s&peer=%s", f, a)
			theirs := as(of(ofDaemon(k), f), prepended(daemonAS), by(dh))
			r.wantRoutes(mine, theirs)
			told := as(of(zoo(), f), prepended(ribdAS), by(rh), noMED)
			peertest.WaitRoutes(t, d, f, told, masksOf(k)...)
			r.until(a, "has sent its End-of-RIB", func(p apiv1.Peer) bool {
				e := family(p, f).EndOfRIB
				return e != nil && e.Received != nil || k == peertest.GoBGP3 || k == peertest.GoBGP4
			})
			if peertest.Can(k).Refresh {
				before := r.must(a).Messages.Sent.Update
				if err := d.Refresh(both(rh)[i]); err != nil {
					t.Fatal(err)
				}
				r.until(a, "asked for its routes, and was sent them", func(p apiv1.Peer) bool {
					return p.Messages.Received.RouteRefresh >= 1 && p.Messages.Sent.Update >= before+sets(told)
				})
				peertest.WaitRoutes(t, d, f, told, masksOf(k)...)
			}
			before := r.must(a).Messages.Received.Update
			r.change(a, "refresh", "")
			p := r.until(a, "was asked for its routes, and sent them", func(p apiv1.Peer) bool {
				return p.Messages.Sent.RouteRefresh >= 1 && (p.Messages.Received.Update >= before+sets(theirs) || !peertest.Can(k).Refreshes)
			})
			if p.Flaps != 0 {
				t.Errorf("%s flapped: %s", a, text(p.Reason))
			}
			r.wantRoutes(mine, theirs)
		}
	})
}

// TestInteropShutdownCommunication has each end tell the other why it ends the
// session (RFC 9003).
func TestInteropShutdownCommunication(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh := n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS)}})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
		r.established(dh.V4)
		if err := d.Disable(rh.V4, "theirs: maintenance until noon"); err != nil {
			t.Fatal(err)
		}
		r.until(dh.V4, "was told why", func(p apiv1.Peer) bool {
			if p.LastNotification == nil || p.LastNotification.Received == nil {
				return false
			}
			l := p.LastNotification.Received
			// FRR, which has RFC 8538 on, sends it in a Hard Reset.
			return l.Code == wire.CodeCease && (l.Subcode == 2 || l.Subcode == 9) && (!peertest.Can(k).Message || text(l.Message) == "theirs: maintenance until noon")
		})
		var changes []string
		for _, h := range r.must(dh.V4).History {
			changes = append(changes, h.From+" -> "+h.To+": "+h.Reason)
		}
		if l := strings.Join(changes, "\n"); !strings.Contains(l, "-> established") || !strings.Contains(l, "maintenance until noon") && peertest.Can(k).Message {
			t.Errorf("the history does not tell:\n%s", l)
		}
		if err := d.Enable(rh.V4); err != nil {
			t.Fatal(err)
		}
		r.established(dh.V4)
		r.change(dh.V4, "disable", "ours: näch links")
		p := r.until(dh.V4, "is disabled", func(p apiv1.Peer) bool { return !p.Enabled && p.State == "idle" })
		if l := p.LastNotification.Sent; l == nil || l.Code != wire.CodeCease || l.Subcode != 2 && l.Subcode != 9 || text(l.Message) != "ours: näch links" {
			t.Errorf("sent: %s", show(l))
		}
		peertest.Until(t, peertestWait, string(k)+" shows why", func() error {
			s, err := d.LastError(rh.V4)
			if err == nil && !strings.Contains(s, "ours: n") {
				err = fmt.Errorf("it shows %q", s)
			}
			return err
		})
		r.change(dh.V4, "enable", "")
		r.established(dh.V4)
		if k == peertest.OpenBGPD || k == peertest.GoBGP3 || k == peertest.GoBGP4 {
			return // they wait after a reset, OpenBGPD for 30 seconds
		}
		r.change(dh.V4, "reset", "again")
		r.until(dh.V4, "is back after a reset", func(p apiv1.Peer) bool { return p.Flaps >= 3 && p.State == "established" })
	})
}

// TestInteropEnhancedRefresh has a speaker ask, and be asked, with markers of
// begin and end (RFC 7313): what is not sent again between them is gone.
func TestInteropEnhancedRefresh(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, 65011), peerLine(bh.V4, 65012)}})
	with := func(as uint32) speakerOptions {
		return speakerOptions{as: as, to: rh.V4, more: []wire.Capability{wire.EnhancedRefreshCapability()}}
	}
	a, b := startSpeaker(t, ah, with(65011)), startSpeaker(t, bh, with(65012))
	one := peertest.Route{Prefix: pfx("192.0.2.0/24"), Origin: "igp", ASPath: "65011"}
	two := peertest.Route{Prefix: pfx("198.51.100.0/24"), Origin: "igp", ASPath: "65011"}
	a.announce(one, two)
	told := as([]peertest.Route{one, two}, prepended(ribdAS), by(rh))
	b.wantRoutes(unicast[0], told)
	b.write(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast}))
	b.until("routes again between marks", func() bool {
		return len(b.refreshes) == 2 && b.refreshes[0].Subtype == 1 && b.refreshes[1].Subtype == 2 && b.routes == 4
	})
	r.change(ah.V4, "refresh", "")
	a.until("a request", func() bool { return len(a.refreshes) == 1 && a.refreshes[0].Subtype == 0 })
	a.write(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 1}))
	a.announce(one)
	a.write(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 2}))
	b.wantRoutes(unicast[0], told[:1])
	b.look(func() {
		if b.withdrawn[one.Prefix] != 0 {
			t.Error("what was sent again was withdrawn")
		}
	})
}
