//go:build linux

package engine

import (
	"fmt"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
	"ribd/wire"
)

const gracefully = "graceful_restart: {restart_time: 60s, helper_only: true, notification: true}"

// TestInteropGracefulRestart kills a daemon: its routes stay, stale, and nobody
// else notices. It comes back with fewer, and the rest is swept.
func TestInteropGracefulRestart(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.Restarts }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS, gracefully), peerLine(sh.V4, speakerAS)}})
		routes := of(ofDaemon(k), unicast[0])
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: routes, Restart: 60 * time.Second, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
		s := startSpeaker(t, sh, speakerOptions{to: rh.V4})
		r.established(dh.V4)
		heard := as(routes, prepended(daemonAS), by(dh))
		told := as(heard, prepended(ribdAS), by(rh), noMED)
		mine := "family=ipv4-unicast&peer=" + dh.V4.String()
		r.wantRoutes(mine, heard)
		s.wantRoutes(unicast[0], told)
		r.until(dh.V4, "restarts gracefully", func(p apiv1.Peer) bool {
			g := family(p, unicast[0]).GracefulRestart
			return g != nil && g.RestartTime == 60
		})

		d.Proc().Kill()
		r.until(dh.V4, "is gone, its routes are stale", func(p apiv1.Peer) bool {
			return p.State != "established" && family(p, unicast[0]).Stale == int64(len(routes))
		})
		r.wantRoutes(mine, heard)
		if got, err := r.routes(mine + "&stale=true"); err != nil || len(got) != len(routes) {
			t.Errorf("stale: got %v, %v", got, err)
		}

		// The last of its routes is no more.
		_ = d.Withdraw(routes[len(routes)-1])
		// GoBGP is told its routes when it runs: before its session, then, so that
		// its End-of-RIB comes after them.
		dh.Pull()
		d.Start(true)
		dh.Plug()
		r.waitState(dh.V4, "established")
		r.until(dh.V4, "has routes that are not stale, and no others", func(p apiv1.Peer) bool {
			f := family(p, unicast[0])
			return f.Stale == 0 && f.Received == int64(len(routes)-1)
		})
		r.wantRoutes(mine, heard[:len(routes)-1])
		s.wantRoutes(unicast[0], told[:len(routes)-1])
		s.look(func() {
			for _, kept := range told[:len(routes)-1] {
				if s.withdrawn[kept.Prefix] != 0 {
					t.Errorf("%s was withdrawn on the way", kept.Prefix)
				}
			}
		})
	})
}

// restarter are the options of a speaker that restarts gracefully.
func restarter(to *peertest.Host, seconds uint16, restarting bool, more ...wire.Capability) speakerOptions {
	return speakerOptions{to: to.V4, more: append([]wire.Capability{wire.GracefulRestartCapability(wire.GracefulRestart{
		Restarting: restarting, Notification: true, Time: seconds,
		Families: []wire.GracefulFamily{{Family: wire.IPv4Unicast, Forwarding: true}},
	})}, more...)}
}

// TestInteropGracefulRestartEndsWithItsTime has the peer not come back. Its time
// is long enough to see the routes while they are stale.
func TestInteropGracefulRestartEndsWithItsTime(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, speakerAS, gracefully), peerLine(bh.V4, 65012)}})
	a := startSpeaker(t, ah, restarter(rh, 15, false))
	b := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4})
	route := peertest.Route{Prefix: pfx("192.0.2.0/24"), Origin: "igp", ASPath: "65009"}
	a.announce(route)
	a.end()
	told := as([]peertest.Route{route}, prepended(ribdAS), by(rh))
	b.wantRoutes(unicast[0], told)
	a.close()
	r.until(ah.V4, "left a stale route", func(p apiv1.Peer) bool { return family(p, unicast[0]).Stale == 1 })
	b.wantRoutes(unicast[0], told)
	b.wantRoutes(unicast[0], nil)
	if got, err := r.routes("peer=" + ah.V4.String()); err != nil || len(got) != 0 {
		t.Errorf("after the time: %v, %v", got, err)
	}
}

// TestInteropHardResetKeepsNothing ends a session by a Hard Reset, and by
// another NOTIFICATION, which keeps the routes (RFC 8538).
func TestInteropHardResetKeepsNothing(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah := n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, speakerAS, gracefully)}})
	a := startSpeaker(t, ah, restarter(rh, 60, false))
	route := peertest.Route{Prefix: pfx("192.0.2.0/24"), Origin: "igp", ASPath: "65009"}
	for _, c := range []struct {
		name  string
		n     wire.Notification
		stale int64
	}{
		{"an error", wire.Notification{Code: wire.CodeHoldTimer}, 1},
		{"hard reset", wire.HardReset(wire.Notification{Code: wire.CodeCease, Subcode: 2}), 0},
		{"cease", wire.Notification{Code: wire.CodeCease, Subcode: 2, Data: wire.ShutdownData("soon back")}, 1},
	} {
		a.announce(route)
		a.end()
		r.until(ah.V4, "has a route", func(p apiv1.Peer) bool {
			f := family(p, unicast[0])
			return f.Received == 1 && f.Stale == 0 && p.State == "established"
		})
		a.write(wire.AppendNotification(nil, c.n))
		a.close()
		r.until(ah.V4, fmt.Sprintf("%s is over, and left %d stale routes", c.name, c.stale), func(p apiv1.Peer) bool {
			f := family(p, unicast[0])
			return p.State != "established" && f.Received == c.stale && f.Stale == c.stale
		})
		peertest.Until(t, peertestWait, "speaker is back", a.connect)
	}
	// ribd's own end is a Hard Reset too, where both ends know it.
	r.established(ah.V4)
	r.change(ah.V4, "disable", "enough")
	a.until("a hard reset", func() bool { return a.notification != nil })
	if inner, hard := a.notification.Unwrap(); !hard || inner.Subcode != 2 {
		t.Errorf("got %v", a.notification)
	}
}

// TestInteropLongLivedGracefulRestart keeps routes past the restart time, as
// the last resort, and not those that ask not to be kept (RFC 9494).
func TestInteropLongLivedGracefulRestart(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh, ch := n.Host(), n.Host(), n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{
		peerLine(ah.V4, speakerAS, "graceful_restart: {restart_time: 60s, llgr_stale_time: 1h}"),
		peerLine(bh.V4, 65012, "graceful_restart: {restart_time: 60s, llgr_stale_time: 1h}"), peerLine(ch.V4, 65013),
	}})
	llgr := wire.LLGRCapability([]wire.LLGRFamily{{Family: wire.IPv4Unicast, Forwarding: true, StaleTime: 3600}})
	a := startSpeaker(t, ah, restarter(rh, 1, false, llgr))
	o := restarter(rh, 1, false, llgr)
	o.as = 65012
	b := startSpeaker(t, bh, o)
	c := startSpeaker(t, ch, speakerOptions{as: 65013, to: rh.V4})
	keep := peertest.Route{Prefix: pfx("192.0.2.0/24"), Origin: "igp", ASPath: "65009", Communities: []string{"65009:1"}}
	drop := peertest.Route{Prefix: pfx("198.51.100.0/24"), Origin: "igp", ASPath: "65009", Communities: []string{"65535:7"}}
	a.announce(keep, drop)
	a.end()
	told := as([]peertest.Route{keep, drop}, prepended(ribdAS), by(rh))
	b.wantRoutes(unicast[0], told)
	c.wantRoutes(unicast[0], told)
	a.close()
	stale := told[0]
	stale.Communities = []string{"65009:1", "65535:6"}
	b.wantRoutes(unicast[0], []peertest.Route{stale})
	c.wantRoutes(unicast[0], nil) // it knows nothing of LLGR
	ps, err := r.paths("peer=" + ah.V4.String())
	if err != nil || len(ps) != 1 || text(ps[0].Stale) != "llgr" {
		t.Errorf("got %s, %v", show(ps), err)
	}
}

// TestInteropRIBDRestartsGracefully kills ribd, whose peers keep its routes
// while it is away: it is told to preserve its state.
func TestInteropRIBDRestartsGracefully(t *testing.T) {
	peertest.Need(t, peertest.BIRD)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, dh, sh := n.Host(), n.Host(), n.Host()
	peers := []string{peerLine(dh.V4, daemonAS, "graceful_restart: {restart_time: 60s, helper_only: false, notification: true}"), peerLine(sh.V4, speakerAS)}
	r := startRIBD(t, rh, ribdConf{peers: peers})
	d := peertest.Start(t, peertest.BIRD, dh, peertest.Config{AS: daemonAS, Restart: 60 * time.Second, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
	s := startSpeaker(t, sh, speakerOptions{to: rh.V4})
	routes := of(zoo(), unicast[0])
	s.announce(routes...)
	s.end()
	told := as(routes, prepended(ribdAS), by(rh), noMED)
	peertest.WaitRoutes(t, d, unicast[0], told, masksOf(peertest.BIRD)...)
	r.proc.Kill()
	peertest.Until(t, peertestWait, "bird notices", func() error {
		if st, err := d.State(rh.V4); err != nil || st == "established" {
			return fmt.Errorf("state %s, %v", st, err)
		}
		return nil
	})
	peertest.WaitRoutes(t, d, unicast[0], told, masksOf(peertest.BIRD)...)
	r.start()
	r.established(dh.V4)
	peertest.Until(t, peertestWait, "the speaker is back", s.connect)
	s.announce(routes[1:]...)
	s.end()
	peertest.WaitRoutes(t, d, unicast[0], told[1:], masksOf(peertest.BIRD)...)
}
