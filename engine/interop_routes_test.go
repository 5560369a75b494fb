//go:build linux

package engine

import (
	"fmt"
	"testing"

	"ribd/internal/peertest"
)

// TestInteropRoutesOfExternalPeersArriveUnchanged has routes go from the
// daemon through ribd to a speaker, and the other way, over IPv4 and IPv6: each
// hop changes what RFC 4271 section 5 has it change, and no more.
func TestInteropRoutesOfExternalPeersArriveUnchanged(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		theirs, ours := ofDaemon(k), zoo()
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: theirs, Neighbors: neighbors(rh, ribdAS)})
		r := startRIBD(t, rh, ribdConf{peers: append(peerLines(dh, daemonAS), peerLines(sh, speakerAS)...)})
		s := speakers(t, sh, rh, speakerOptions{})
		for _, s := range s {
			s.announce(of(ours, s.o.families[0].String())...)
			// NO_EXPORT stays with ribd (RFC 1997).
			s.announce(peertest.Route{Prefix: pfx(map[bool]string{true: "100.99.0.0/16", false: "2001:db8:99::/48"}[s.o.to.Is4()]), Origin: "igp", ASPath: "65009", Communities: []string{"65535:65281"}})
			s.end()
		}
		r.established(both(dh)...)
		for i, f := range unicast {
			heard := as(of(theirs, f), prepended(daemonAS), by(dh))
			r.wantRoutes(fmt.Sprintf("family=%s&peer=%s", f, both(dh)[i]), heard)
			told := as(heard, prepended(ribdAS), by(rh), noMED)
			r.wantRoutes(fmt.Sprintf("table=adj-out&family=%s&peer=%s", f, both(sh)[i]), told)
			s[i].wantRoutes(f, told)
			told = as(of(ours, f), prepended(ribdAS), by(rh), noMED)
			peertest.WaitRoutes(t, d, f, told, masksOf(k)...)
			r.wantRoutes(fmt.Sprintf("table=adj-out&family=%s&peer=%s", f, both(dh)[i]), told)
			s[i].until("the End-of-RIB", func() bool { return s[i].ends[s[i].o.families[0]] == 1 })
		}
		// What is withdrawn goes, and all else stays.
		if err := d.Withdraw(theirs[1], theirs[3]); err != nil {
			t.Fatal(err)
		}
		for i, f := range unicast {
			s[i].wantRoutes(f, as(of([]peertest.Route{theirs[0], theirs[2], theirs[4]}, f), prepended(daemonAS), prepended(ribdAS), by(rh), noMED))
			gone, left := of(ours, f)[0], of(ours, f)[1:]
			s[i].withdraw(gone)
			peertest.WaitRoutes(t, d, f, as(left, prepended(ribdAS), by(rh), noMED), masksOf(k)...)
		}
		for _, a := range both(dh) {
			if p := r.must(a); p.Flaps != 0 || p.Errors == nil || p.Errors.TreatAsWithdraw+p.Errors.AttributeDiscard != 0 {
				t.Errorf("peer %s: flaps %d, errors %s", a, p.Flaps, show(p.Errors))
			}
		}
	})
}

// TestInteropRoutesOfInternalPeersArriveUnchanged is the same within an AS:
// LOCAL_PREF and MED are there, the next hop stays, the AS path too.
func TestInteropRoutesOfInternalPeersArriveUnchanged(t *testing.T) {
	withDaemons(t, nil, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, sh := n.Host(), n.Host(), n.Host()
		theirs, ours := ofDaemon(k), zoo()
		theirs[2].LocalPref = new(uint32(150))
		d := peertest.Start(t, k, dh, peertest.Config{AS: ribdAS, Routes: theirs, Neighbors: neighbors(rh, ribdAS)})
		r := startRIBD(t, rh, ribdConf{peers: append(peerLines(dh, ribdAS), peerLines(sh, speakerAS)...)})
		s := speakers(t, sh, rh, speakerOptions{})
		for _, s := range s {
			s.announce(of(ours, s.o.families[0].String())...)
		}
		r.established(both(dh)...)
		for i, f := range unicast {
			heard := as(of(theirs, f), by(dh), localPref(100))
			r.wantRoutes(fmt.Sprintf("family=%s&peer=%s", f, both(dh)[i]), heard)
			s[i].wantRoutes(f, as(heard, prepended(ribdAS), by(rh), noMED, func(r *peertest.Route) { r.LocalPref = nil }))
			peertest.WaitRoutes(t, d, f, as(of(ours, f), by(sh), localPref(100)), append(masksOf(k)[1:], peertest.NoZeroMED)...)
		}
	})
}

// TestInteropAddPathFromDaemons has two paths of one prefix arrive under their
// ids; when one is withdrawn the other stays.
func TestInteropAddPathFromDaemons(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.AddPathSend }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, ah, bh := n.Host(), n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: peerLines(dh, daemonAS, "add_path: {receive: true, send: off}")})
		peers := neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.AddPathSend = true })
		two := [2][2]peertest.Route{}
		for i, p := range []string{"192.0.2.0/24", "2001:db8:1::/48"} {
			two[i][0] = peertest.Route{Prefix: pfx(p), PathID: 11, Origin: "igp", ASPath: "65011 64999"}
			two[i][1] = peertest.Route{Prefix: pfx(p), PathID: 12, Origin: "igp", ASPath: "65012 64998 64999"}
		}
		var withdraw func(i int)
		if !peertest.Can(k).Forwards {
			d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: peers, Routes: []peertest.Route{two[0][0], two[0][1], two[1][0], two[1][1]}})
			withdraw = func(i int) {
				if err := d.Withdraw(two[i][0]); err != nil {
					t.Error(err)
				}
			}
		} else {
			// A router passes on the paths of two others.
			peers = append(append(peers, neighbors(ah, 65011)...), neighbors(bh, 65012)...)
			peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: peers})
			a := speakers(t, ah, dh, speakerOptions{as: 65011})
			b := speakers(t, bh, dh, speakerOptions{as: 65012})
			for i := range a {
				a[i].announce(two[i][0])
				b[i].announce(two[i][1])
			}
			withdraw = func(i int) { a[i].withdraw(two[i][0]) }
		}
		r.established(both(dh)...)
		for i, f := range unicast {
			query := fmt.Sprintf("family=%s&peer=%s", f, both(dh)[i])
			want := as(two[i][:], prepended(daemonAS))
			masks := []peertest.Mask{peertest.NoNextHop, peertest.NoZeroMED}
			if peertest.Can(k).Forwards {
				masks = append(masks, peertest.NoPathID) // its own numbers
			}
			r.wantRoutes(query, want, masks...)
			before, err := r.routes(query)
			if err != nil || len(before) != 2 || before[0].PathID == before[1].PathID {
				t.Fatalf("ids: got %v, %v", before, err)
			}
			withdraw(i)
			r.wantRoutes(query, want[1:], masks...)
			after, err := r.routes(query)
			if err != nil || len(after) != 1 || after[0].PathID != before[0].PathID && after[0].PathID != before[1].PathID {
				t.Errorf("after the withdrawal: got %v, %v; before %v", after, err, before)
			}
		}
	})
}

// TestInteropAddPathToDaemons has ribd send two paths of one prefix; when one
// is gone the other stays.
func TestInteropAddPathToDaemons(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.AddPathReceive }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh, ah, bh := n.Host(), n.Host(), n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: append(append(peerLines(dh, daemonAS, "add_path: {receive: false, send: all}"), peerLines(ah, 65011)...), peerLines(bh, 65012)...)})
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Neighbors: neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.AddPathReceive = true })})
		a := speakers(t, ah, rh, speakerOptions{as: 65011})
		b := speakers(t, bh, rh, speakerOptions{as: 65012})
		r.established(both(dh)...)
		for i, f := range unicast {
			p := pfx([]string{"192.0.2.0/24", "2001:db8:1::/48"}[i])
			two := []peertest.Route{{Prefix: p, Origin: "igp", ASPath: "65011 64999"}, {Prefix: p, Origin: "igp", ASPath: "65012 64998 64999"}}
			a[i].announce(two[0])
			b[i].announce(two[1])
			want := as(two, prepended(ribdAS), by(rh))
			masks := append(masksOf(k), peertest.NoPathID)
			peertest.WaitRoutes(t, d, f, want, masks...)
			got, err := d.Routes(f)
			if ids := peertest.Can(k).PathIDs; err != nil || len(got) != 2 || ids && got[0].PathID == got[1].PathID {
				t.Fatalf("got %v, %v", got, err)
			}
			kept := got[0]
			if kept.ASPath != want[1].ASPath {
				kept = got[1]
			}
			// The better one goes; the other stays under its id.
			a[i].withdraw(two[0])
			peertest.WaitRoutes(t, d, f, want[1:], masks...)
			if got, err := d.Routes(f); err != nil || len(got) != 1 || got[0].PathID != kept.PathID {
				t.Errorf("after the withdrawal: got %v, %v; the path had id %d", got, err, kept.PathID)
			}
		}
	})
}

// TestInteropAddPathBothWays negotiates both directions on one session.
func TestInteropAddPathBothWays(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.AddPathReceive && f.AddPathSend }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		rh, dh := n.Host(), n.Host()
		r := startRIBD(t, rh, ribdConf{peers: peerLines(dh, daemonAS, "add_path: {receive: true, send: all}")})
		peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: neighbors(rh, ribdAS, func(n *peertest.Neighbor) { n.AddPathReceive, n.AddPathSend = true, true })})
		r.established(both(dh)...)
		for i, f := range unicast {
			a := both(dh)[i]
			if got := family(r.must(a), f).AddPath; got == nil || !got.Receive || !got.Send {
				t.Errorf("%s: Add-Path is %s", a, show(got))
			}
			r.wantRoutes(fmt.Sprintf("family=%s&peer=%s", f, a), as(of(ofDaemon(k), f), prepended(daemonAS), by(dh)), peertest.NoPathID)
			ps, err := r.paths(fmt.Sprintf("family=%s&peer=%s", f, a))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range ps {
				if p.PathID == nil {
					t.Errorf("%s has no path id", p.Prefix)
				}
			}
		}
	})
}
