//go:build linux

package engine

import (
	"testing"

	"ribd/internal/peertest"
)

// TestInteropSpeakerSpeaksToDaemons proves the speaker on the daemons: what it
// announces is what they read, and the other way round.
func TestInteropSpeakerSpeaksToDaemons(t *testing.T) {
	withDaemons(t, func(f peertest.Features) bool { return f.Forwards }, func(t *testing.T, k peertest.Kind) {
		n := peertest.NewNet(t)
		dh, sh := n.Host(), n.Host()
		d := peertest.Start(t, k, dh, peertest.Config{AS: daemonAS, Routes: ofDaemon(k), Neighbors: neighbors(sh, speakerAS)})
		s := speakers(t, sh, dh, speakerOptions{})
		for i, f := range unicast {
			s[i].announce(of(zoo(), f)...)
			s[i].end()
			peertest.WaitRoutes(t, d, f, as(of(zoo(), f), by(sh)), masksOf(k)...)
			s[i].wantRoutes(f, as(of(ofDaemon(k), f), prepended(daemonAS), by(dh)))
			gone := of(zoo(), f)[0]
			s[i].withdraw(gone)
			peertest.WaitRoutes(t, d, f, as(of(zoo(), f)[1:], by(sh)), masksOf(k)...)
		}
	})
}
