//go:build linux

package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/internal/peertest"
	"ribd/wire"
)

// raw connects from an address of a host's and sends octets; it returns what
// ribd answers until it closes the connection.
func raw(h *peertest.Host, from, to netip.Addr, b []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), peertestWait)
	defer cancel()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	d.SetMultipathTCP(false)
	c, err := h.Dial(ctx, d, netip.AddrPortFrom(to, 179))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(peertestWait))
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	got, err := io.ReadAll(c)
	return got, err
}

// TestInteropHostileStarts opens connections that say anything but a proper
// OPEN: each is told what was wrong, and a good peer's session goes on.
func TestInteropHostileStarts(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, gh, ah, xh := n.Host(), n.Host(), n.Host(), n.Host()
	// Each attempt is another peer's, since one that fails is held back.
	peers := []string{peerLine(gh.V4, 65012)}
	var from []netip.Addr
	for i := range 11 {
		a := netip.AddrFrom4([4]byte{10, 200, 0, byte(100 + i)})
		ah.AddAddr(netip.PrefixFrom(a, 24))
		from, peers = append(from, a), append(peers, peerLine(a, speakerAS, "mode: passive"))
	}
	r := startRIBD(t, rh, ribdConf{peers: peers})
	good := startSpeaker(t, gh, speakerOptions{as: 65012, to: rh.V4})
	s := newSpeaker(t, ah, speakerOptions{to: rh.V4, local: from[10]})
	message := func(change func(o *wire.Open)) []byte {
		o := s.open()
		change(o)
		return wire.AppendOpen(nil, o)
	}
	fine := message(func(*wire.Open) {})
	version := bytes.Clone(fine)
	version[wire.HeaderLen] = 3
	for i, c := range []struct {
		name          string
		b             []byte
		code, subcode uint8
	}{
		{"another protocol", []byte("GET / HTTP/1.1\r\nHost: ribd\r\n\r\n"), wire.CodeHeader, wire.SubNotSynchronized},
		{"a length of nothing", append(bytes.Repeat([]byte{0xff}, 16), 0, 0, 1), wire.CodeHeader, wire.SubBadLength},
		{"a type that is none", append(bytes.Repeat([]byte{0xff}, 16), 0, 19, 77), wire.CodeHeader, wire.SubBadType},
		{"version 3", version, wire.CodeOpen, wire.SubUnsupportedVersion},
		{"another AS", message(func(o *wire.Open) { o.AS = 65077; o.Capabilities = []wire.Capability{wire.AS4Capability(65077)} }), wire.CodeOpen, 2},
		{"AS 0", message(func(o *wire.Open) { o.AS = 0; o.Capabilities = []wire.Capability{wire.AS4Capability(0)} }), wire.CodeOpen, 2},
		{"identifier 0", message(func(o *wire.Open) { o.ID = 0 }), wire.CodeOpen, 3},
		{"a hold time of 1 s", message(func(o *wire.Open) { o.HoldTime = 1 }), wire.CodeOpen, 6},
		{"an UPDATE first", wire.AppendEndOfRIB(nil, wire.IPv4Unicast), wire.CodeFSM, 1},
		{"a second OPEN", append(bytes.Clone(fine), fine...), wire.CodeFSM, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := raw(ah, from[i], rh.V4, c.b)
			for len(got) > 0 {
				kind, n, werr := wire.ParseHeader(got, &wire.Session{})
				if werr != nil || n > len(got) {
					t.Fatalf("got %x, %v", got, werr)
				}
				if kind == wire.MsgNotification {
					m, _ := wire.ParseNotification(got[:n], &wire.Session{})
					if m.Code != c.code || m.Subcode != c.subcode {
						t.Errorf("ribd says %v, want code %d, subcode %d", &m, c.code, c.subcode)
					}
					return
				}
				got = got[n:]
			}
			t.Errorf("no NOTIFICATION, %v", err)
		})
	}
	// Who is no peer gets no word, and no memory.
	if got, _ := raw(xh, xh.V4, rh.V4, fine); len(got) > 0 {
		if kind, _, _ := wire.ParseHeader(got, &wire.Session{}); kind != wire.MsgNotification {
			t.Errorf("a stranger is told %x", got)
		}
	}
	peertest.Until(t, peertestWait, "the peer's own session", s.connect)
	if p := r.must(gh.V4); p.State != "established" || p.Flaps != 0 {
		t.Errorf("the good peer is %s, flaps %d", p.State, p.Flaps)
	}
	good.look(func() {
		if good.err != nil || good.notification != nil {
			t.Errorf("the good peer: %v, %v", good.err, good.notification)
		}
	})
}

// TestInteropMalformedUpdatesKeepTheSession sends UPDATEs that are wrong as RFC
// 7606 has it: the routes of one are withdrawn, the session and all other
// routes stay, and what was wrong is shown.
func TestInteropMalformedUpdatesKeepTheSession(t *testing.T) {
	peertest.Need(t)
	t.Parallel()
	n := peertest.NewNet(t)
	rh, ah, bh := n.Host(), n.Host(), n.Host()
	r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(ah.V4, speakerAS), peerLine(bh.V4, 65012)}})
	a := startSpeaker(t, ah, speakerOptions{to: rh.V4})
	b := startSpeaker(t, bh, speakerOptions{as: 65012, to: rh.V4})
	one := peertest.Route{Prefix: pfx("192.0.2.0/24"), Origin: "igp", ASPath: "65009"}
	two := peertest.Route{Prefix: pfx("198.51.100.0/24"), Origin: "igp", ASPath: "65009"}
	a.announce(one, two)
	b.wantRoutes(unicast[0], as([]peertest.Route{one, two}, prepended(ribdAS), by(rh)))

	// two again, with an ORIGIN that is none: treat as withdraw (section 7.1).
	e := wire.NewEncoder(a.send)
	hop := two
	hop.NextHop = ah.V4
	attrs := attributesOf(t, hop)
	if attrs[3] != wire.OriginIGP {
		t.Fatalf("ORIGIN is not where it was: %x", attrs)
	}
	attrs[3] = 9
	if err := e.Announce(wire.IPv4Unicast, attrs); err != nil {
		t.Fatal(err)
	}
	encodeRoute(e, two.Prefix, 0)
	a.write(e.Flush())
	b.wantRoutes(unicast[0], as([]peertest.Route{one}, prepended(ribdAS), by(rh)))
	p := r.until(ah.V4, "has an error", func(p apiv1.Peer) bool { return p.Errors != nil && p.Errors.TreatAsWithdraw == 1 })
	if l := p.Errors.Last; l == nil || l.Action != "treat-as-withdraw" || l.Data == "" || text(l.RFC) == "" {
		t.Errorf("last error: %s", show(l))
	}
	if p.State != "established" || p.Flaps != 0 {
		t.Errorf("%s, flaps %d: %s", p.State, p.Flaps, text(p.Reason))
	}

	// An UPDATE whose lengths do not add up ends the session, with the reason.
	a.write(append(bytes.Repeat([]byte{0xff}, 16), 0, 23, byte(wire.MsgUpdate), 0, 99, 0, 0))
	a.until("the NOTIFICATION", func() bool { return a.notification != nil })
	if a.notification.Code != wire.CodeUpdate || a.notification.Subcode != wire.SubMalformedAttributes {
		t.Errorf("ribd says %v", a.notification)
	}
	b.wantRoutes(unicast[0], nil)
	peertest.Until(t, peertestWait, "the session is back", a.connect)
	a.announce(one)
	b.wantRoutes(unicast[0], as([]peertest.Route{one}, prepended(ribdAS), by(rh)))
}

// TestInteropReloadTouchesNothingElse changes one daemon's settings and
// policies under way: the others' sessions go on, as does its own where no more
// than policy changed; a bad file changes nothing.
func TestInteropReloadTouchesNothingElse(t *testing.T) {
	kinds := []peertest.Kind{peertest.BIRD, peertest.FRR, peertest.OpenBGPD, peertest.GoBGP3, peertest.GoBGP4, peertest.ExaBGP}
	peertest.Need(t, kinds...)
	t.Parallel()
	n := peertest.NewNet(t)
	rh := n.Host()
	var hosts []*peertest.Host
	for range kinds {
		hosts = append(hosts, n.Host())
	}
	// conf has the import policy of all, and the keys of the first.
	conf := func(policy, first string) (c ribdConf) {
		for i, h := range hosts {
			keys := ""
			if i == 0 {
				keys = first
			}
			c.peers = append(c.peers, fmt.Sprintf("address: %s, as: %d, import: in, export: accept-all%s", h.V4, 65001+i, keys))
		}
		c.more = "policies: {in: [" + policy + "]}"
		return c
	}
	const all = "{then: accept}"
	r := startRIBD(t, rh, conf(all, ""))
	for i, k := range kinds {
		peertest.Start(t, k, hosts[i], peertest.Config{AS: 65001 + uint32(i), Routes: of(ofDaemon(k), unicast[0]), Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
	}
	accepted := func(n int64, flaps uint64, of []*peertest.Host) {
		t.Helper()
		for _, h := range of {
			p := r.until(h.V4, fmt.Sprintf("has %d routes of 3", n), func(p apiv1.Peer) bool {
				f := family(p, unicast[0])
				return p.State == "established" && f.Accepted == n && f.Received >= 3 && p.Flaps >= flaps
			})
			if p.Flaps != flaps {
				t.Errorf("%s flapped %d times, want %d: %s", h.V4, p.Flaps, flaps, text(p.Reason))
			}
		}
	}
	accepted(3, 0, hosts)
	r.reload(conf(`{if: 'prefix.length > 24', then: reject}, {then: accept}`, ""))
	accepted(1, 0, hosts)

	r.write(conf(`{if: 'prefix.lenght > 24', then: reject}`, ""))
	if b, err := r.ask("POST", "/api/v1/reload"); err == nil {
		t.Errorf("a bad file was taken: %s", b)
	}
	accepted(1, 0, hosts)

	r.write(conf(all, ", description: changed"))
	r.hup()
	accepted(3, 0, hosts)

	r.reload(conf(all, ", hold_time: 30s"))
	accepted(3, 0, hosts[1:])
	accepted(3, 1, hosts[:1])
	c := conf(all, ", hold_time: 30s")
	c.peers = c.peers[:len(hosts)-1]
	r.reload(c)
	accepted(3, 0, hosts[1:len(hosts)-1])
	if _, err := r.peer(hosts[len(hosts)-1].V4); err == nil {
		t.Error("a peer that is no more in the file is still there")
	}
}

// TestInteropADaemonThatFlapsComesBack kills a daemon again and again: each
// time its routes go, and come.
func TestInteropADaemonThatFlapsComesBack(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: []string{peerLine(dh.V4, daemonAS), peerLine(sh.V4, speakerAS)}})
		routes := of(ofDaemon(k), unicast[0])
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: routes, Neighbors: []peertest.Neighbor{{Address: rh.V4, AS: ribdAS}}})
		s := startSpeaker(t, sh, speakerOptions{to: rh.V4})
		told := as(routes, prepended(daemonAS), prepended(ribdAS), by(rh), noMED)
		for i := range 8 {
			s.wantRoutes(unicast[0], told)
			if p := r.must(dh.V4); p.Flaps != uint64(i) {
				t.Fatalf("flaps: %d, want %d", p.Flaps, i)
			}
			d.Proc().Kill()
			s.wantRoutes(unicast[0], nil)
			d.Start(false)
		}
		s.wantRoutes(unicast[0], told)
	})
}
