//go:build linux

package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
	"ribd/wire"
)

// peertestWait is how long a test waits for what daemons do by themselves.
const peertestWait = peertest.Patience

// many are n IPv4 routes, each with attributes of its own, so that they do not
// pack.
func many(n int, path string) []peertest.Route {
	l := make([]peertest.Route, n)
	for i := range l {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 20<<24+uint32(i)<<8)
		l[i] = peertest.Route{Prefix: netip.PrefixFrom(netip.AddrFrom4(a), 24), Origin: "igp", ASPath: path,
			Communities: []string{fmt.Sprintf("65010:%d", i), "65009:1", "65009:2", "65009:3"}}
	}
	return l
}

// narrow gives a machine's sockets little memory, so that they are full soon.
func narrow(h *peertest.Host) {
	h.Sysctl("ipv4/tcp_wmem", "4096 16384 32768")
	h.Sysctl("ipv4/tcp_rmem", "4096 16384 32768")
}

// TestInteropAPeerThatStopsReadingDelaysNobody freezes a daemon and sends more
// than its socket holds: others get everything meanwhile, its session ends by
// the hold timer, and when it goes on it gets everything.
func TestInteropAPeerThatStopsReadingDelaysNobody(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, ah, bh := n.Host(), n.Host(), n.Host(), n.Host()
		narrow(rh)
		narrow(dh)
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS), peerLine(ah.V4, speakerAS), peerLine(bh.V4, 65012)}})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Hold: 6 * time.Second, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
		a := startSpeaker(t, ah, speakerOptions{to: rh.V4})
		b := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4})
		r.established(dh.V4)
		peertest.WaitState(t, d, rh.V4, "established")
		d.Proc().Freeze()
		routes := many(1500, "65009") // 130 kB, and ExaBGP takes some 30 a second in where others work too
		told := as(routes, prepended(ribdAS), by(rh))
		a.announce(routes...)
		a.end()
		b.wantRoutes(unicast[0], told)
		r.until(dh.V4, "has something queued, or is over", func(p apiv1.Peer) bool { return p.State != "established" || p.Transport.SendQueue > 0 })
		p := r.until(dh.V4, "is over", func(p apiv1.Peer) bool { return p.Flaps == 1 })
		if l := p.LastNotification; l == nil || l.Sent == nil || l.Sent.Code != wire.CodeHoldTimer {
			t.Errorf("notification: %s, reason %s", show(l), text(p.Reason))
		}
		b.wantRoutes(unicast[0], told)
		d.Proc().Thaw()
		r.established(dh.V4)
		peertest.WaitRoutes(t, d, unicast[0], told, masksOf(k)...)
	})
}

// TestInteropSendHoldTimer has a peer that sends keepalives and reads nothing:
// its session ends by the send hold timer (RFC 9687).
func TestInteropSendHoldTimer(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	narrow(rh)
	narrow(bh)
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, speakerAS), peerLine(bh.V4, 65012, "hold_time: 9s, send_hold_time: 10s")}})
	a := startSpeaker(t, ah, speakerOptions{to: rh.V4})
	b := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4})
	r.established(bh.V4)
	b.pause()
	a.announce(many(5000, "65009")...)
	p := r.until(bh.V4, "is over", func(p apiv1.Peer) bool { return p.Flaps == 1 })
	if !strings.Contains(strings.ToLower(text(p.Reason)), "send hold") {
		// The reason may be that of the next attempt already.
		told := false
		for _, h := range p.History {
			told = told || strings.Contains(strings.ToLower(h.Reason), "send hold")
		}
		if !told {
			t.Errorf("history: %s", show(p.History))
		}
	}
}

// TestInteropAHalfOpenConnectionIsNoticed pulls the daemon's cable, so that
// neither end is told: the hold timer ends the session and its routes. Then the
// daemon starts anew behind a pulled cable, and ribd still has the old session.
func TestInteropAHalfOpenConnectionIsNoticed(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS), peerLine(sh.V4, speakerAS)}})
		routes := of(ofDaemon(k), unicast[0])
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Hold: 6 * time.Second, Routes: routes, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
		s := startSpeaker(t, sh, speakerOptions{to: rh.V4})
		told := as(routes, prepended(daemonAS), prepended(ribdAS), by(rh), noMED)
		r.established(dh.V4)
		s.wantRoutes(unicast[0], told)

		dh.Pull()
		p := r.until(dh.V4, "is over", func(p apiv1.Peer) bool { return p.Flaps == 1 })
		if l := p.LastNotification; l == nil || l.Sent == nil || l.Sent.Code != wire.CodeHoldTimer {
			t.Errorf("notification: %s, reason %s", show(l), text(p.Reason))
		}
		s.wantRoutes(unicast[0], nil)
		dh.Plug()
		r.established(dh.V4)
		s.wantRoutes(unicast[0], told)

		dh.Pull()
		d.Proc().Kill()
		d.Start(false)
		if p := r.must(dh.V4); p.Flaps != 1 {
			t.Logf("ribd noticed before the cable was back: %s", text(p.Reason))
		}
		dh.Plug()
		r.until(dh.V4, "is back", func(p apiv1.Peer) bool { return p.Flaps >= 2 && p.State == "established" })
		s.wantRoutes(unicast[0], told)
	})
}

// TestInteropMemoryIsBackAfter100Flaps has a peer with 30,000 routes come and
// go 100 times.
func TestInteropMemoryIsBackAfter100Flaps(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, speakerAS), peerLine(bh.V4, 65012)}})
	b := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4, withoutTable: true})
	const routes, flaps = 30000, 100
	a := newSpeaker(t, ah, speakerOptions{to: rh.V4})
	e := wire.NewEncoder(wire.SendOptions{AS4: true})
	for i, rt := range many(routes, "65009") {
		rt.NextHop = ah.V4
		rt.Communities = []string{fmt.Sprintf("65009:%d", i/6)}
		if err := e.Announce(wire.IPv4Unicast, attributesOf(t, rt)); err != nil {
			t.Fatal(err)
		}
		encodeRoute(e, rt.Prefix, 0)
	}
	table := e.Flush()
	flap := func(i int) {
		peertest.Until(t, peertestWait, fmt.Sprintf("session %d", i), a.connect)
		a.write(table)
		a.end()
		r.until(ah.V4, "sent its routes", func(p apiv1.Peer) bool { return family(p, unicast[0]).Received == routes })
		if i%10 == 0 {
			b.until("all routes", func() bool { return b.routes >= routes })
		}
		a.close()
		r.until(ah.V4, "is gone", func(p apiv1.Peer) bool { return p.State != "established" && family(p, unicast[0]).Received == 0 })
	}
	// The first ones fill what is kept for the next.
	const warm = 20
	const garbage = 4 << 20
	for i := range warm {
		flap(i)
	}
	before := r.memory()
	for range 20 {
		time.Sleep(200 * time.Millisecond) // garbage is given back in a lull
		before = min(before, r.memory())
	}
	for i := warm; i < flaps; i++ {
		flap(i)
	}
	var after uint64
	err := peertest.Wait(peertestWait, func() error {
		// A few MB of garbage stay on the heap between lulls; a table of 300,000
		// routes, of which they are no part, is measured by ribbench.
		if after = r.memory(); after > before*105/100+garbage {
			return fmt.Errorf("%d MB after %d flaps, %d MB after %d", before>>20, warm, after>>20, flaps)
		}
		return nil
	})
	if err != nil {
		b, _ := r.ask("GET", "/metrics")
		var lines []string
		for l := range strings.Lines(string(b)) {
			if strings.HasPrefix(l, "go_mem") || strings.HasPrefix(l, "process_resident") || strings.HasPrefix(l, "ribd_memory") {
				lines = append(lines, l)
			}
		}
		t.Errorf("%v\n%s", err, strings.Join(lines, ""))
	}
	t.Logf("%.1f MB after %d flaps, %.1f MB after %d", float64(before)/(1<<20), warm, float64(after)/(1<<20), flaps)
}
