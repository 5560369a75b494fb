package mrt

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"ribd/engine/ingest"
	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/mrt"
)

// lines lists all paths of all tables, less the numbers of peers.
func lines(r *shard.RIB) (out []string) {
	r.Settle()
	v := r.View()
	defer v.Close()
	var paths []rib.Path
	for _, t := range r.Tables() {
		f, _, _ := r.TableInfo(t)
		w := v.Walk(t, shard.WalkRange{})
		for w.Next() {
			paths = w.Paths(paths[:0])
			for _, p := range paths {
				info, _ := r.Peer(p.Peer)
				attrs, _ := r.Attrs().Bytes(p.Attrs)
				out = append(out, fmt.Sprintf("%v %v of %v AS%d id %d %v at %d: %x", f, w.Match().Prefix(), info.Addr, info.AS, p.PathID, p.HasPathID, p.Received, attrs))
			}
		}
		w.Close()
	}
	slices.Sort(out)
	return out
}

// unpacked reads a file.
func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, _, stop, err := unpack(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// play gives the UPDATEs of a recording to sessions, as if they came from the peers
// themselves.
func play(t *testing.T, name string, r *shard.RIB) (messages int) {
	t.Helper()
	b := unpacked(t, name)
	type session struct {
		*ingest.Peer
		num  rib.PeerNum
		kind [2]bool
	}
	up := map[peerKey]*session{}
	down := func(k peerKey) {
		if s := up[k]; s != nil {
			s.Close()
			r.DropPeer(s.num)
			delete(up, k)
		}
	}
	for len(b) >= mrt.HeaderLen {
		rec := b[:recordSize(b)]
		b = b[len(rec):]
		var x mrt.Record
		if x.Parse(rec) != nil {
			continue
		}
		var st mrt.StateChange
		var m mrt.Message
		switch x.Kind() {
		case mrt.KindStateChange:
			if st.Parse(&x) == nil && st.Old == mrt.StateEstablished && st.New != st.Old {
				down(peerKey{st.Peer, st.PeerAS})
			}
			continue
		case mrt.KindMessage:
			if m.Parse(&x) != nil || m.Sent {
				continue
			}
		default:
			continue
		}
		k := peerKey{m.Peer, m.PeerAS}
		if m.Type == mrt.Open {
			down(k)
		}
		if m.Type != mrt.Update {
			continue
		}
		s, kind := up[k], [2]bool{m.AS4, m.AddPath}
		if s == nil {
			n, err := r.AddPeer(rib.PeerInfo{ID: "x", Source: rib.SourceMRT, Addr: m.Peer, AS: m.PeerAS, Internal: m.PeerAS == m.LocalAS})
			if err != nil {
				t.Fatal(err)
			}
			s = &session{ingest.New(ingest.Options{RIB: r, Peer: n}), n, [2]bool{!m.AS4}}
			up[k] = s
		}
		if s.kind != kind {
			s.kind = kind
			terms := wire.Session{AS4: m.AS4, Extended: true, Recorded: true}
			if m.AddPath {
				terms.AddPath = wire.AllFamilies()
			}
			s.Start(ingest.Session{Wire: terms})
		}
		s.Update(m.Data, x.Time)
		messages++
	}
	for _, s := range up {
		s.Close()
	}
	return messages
}

// What sessions make of the UPDATEs of a recording is what the recording's load does.
func TestARecordingLeavesWhatItsSessionsDid(t *testing.T) {
	for _, name := range []string{
		"synth-small-a.updates.gz", "synth-addpath-a.updates.gz", "ris-updates.20160811.1600.gz", "ris-updates.20071015.1505.gz",
		"ris-rrc06.updates.1427846400.gz", "ris-rrc15.updates.20100227.1610.gz", "mrtparse-quagga_bgp",
	} {
		t.Run(name, func(t *testing.T) {
			path := golden.Data(t, "mrt", name)
			loaded, l := newRIB(t, Options{})
			load(t, l, File(path, "x"))
			played, _ := newRIB(t, Options{})
			messages := play(t, path, played)
			want, got := lines(loaded), lines(played)
			if len(want) == 0 || messages == 0 {
				t.Fatalf("%d paths, %d messages", len(want), messages)
			}
			if !slices.Equal(got, want) {
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("%d paths, want %d; the first that differs is\n%s, want\n%s", len(got), len(want), got[i], want[i])
					}
				}
				t.Fatalf("%d paths, want %d", len(got), len(want))
			}
		})
	}
}
