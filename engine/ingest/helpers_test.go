package ingest

import (
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"ribd/internal/golden"
	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

var peerAddr = netip.MustParseAddr("192.0.2.1")

// open returns a RIB with a peer that has a number.
func open(t testing.TB, o shard.Options) (*shard.RIB, rib.PeerNum) {
	t.Helper()
	r, err := shard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, addPeer(t, r, 65001)
}

func addPeer(t testing.TB, r *shard.RIB, as uint32) rib.PeerNum {
	t.Helper()
	n, err := r.AddPeer(rib.PeerInfo{ID: rib.PeerID(rib.SourceBGP, "", peerAddr, as), Addr: peerAddr, AS: as, RouterID: 0xc0000201})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// start returns a Peer with a session.
func start(t testing.TB, r *shard.RIB, n rib.PeerNum, s Session) *Peer {
	t.Helper()
	p := New(Options{RIB: r, Peer: n})
	t.Cleanup(p.Close)
	p.Start(s)
	return p
}

// routes lists every path of the RIB, a line each: table, prefix or NLRI, path id, and what the path is.
func routes(r *shard.RIB) []string {
	r.Settle()
	v := r.View()
	defer v.Close()
	var out []string
	var paths []rib.Path
	for _, t := range r.Tables() {
		f, rd, hasRD := r.TableInfo(t)
		w := v.Walk(t, shard.WalkRange{})
		for w.Next() {
			m := w.Match()
			at := m.Prefix().String()
			if f.Form() == wire.FormRaw {
				b, _ := r.RawNLRI(m.Key)
				at = fmt.Sprintf("%x", b)
			}
			if hasRD {
				at = string(wire.AppendRD(nil, rd)) + " " + at
			}
			paths = w.Paths(paths[:0])
			for _, p := range paths {
				out = append(out, fmt.Sprintf("%v %s %s", f, at, pathText(r, &p)))
			}
		}
		w.Close()
	}
	slices.Sort(out)
	return out
}

func pathText(r *shard.RIB, p *rib.Path) string {
	b, _ := r.Attrs().Bytes(p.Attrs)
	s := fmt.Sprintf("peer %d attrs %x at %d", p.Peer, b, p.Received)
	if p.HasPathID {
		s += fmt.Sprintf(" id %d", p.PathID)
	}
	if p.PreAttrs != 0 {
		b, _ = r.Attrs().Bytes(p.PreAttrs)
		s += fmt.Sprintf(" before %x", b)
	}
	if p.Labels != 0 {
		b, _ = r.Labels(p.Labels)
		s += fmt.Sprintf(" labels %x", b)
	}
	if p.Filtered != rib.FilterNone {
		s += " filtered " + p.Filtered.String()
	}
	if p.Stale != rib.StaleNo {
		s += " stale " + p.Stale.String()
	}
	return s
}

// same compares lines.
func same(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d lines, want %d\ngot  %s\nwant %s", len(got), len(want),
		strings.Join(got[:min(len(got), 12)], "\n     "), strings.Join(want[:min(len(want), 12)], "\n     "))
}

var realTable struct {
	sync.Once
	ps  []netip.Prefix
	err error
}

// realPrefixes returns the IPv4 prefixes of a real table.
func realPrefixes(t testing.TB) []netip.Prefix {
	name := golden.Data(t, "tables", "prefixes-2023.txt.gz")
	realTable.Do(func() {
		f, err := os.Open(name)
		if err != nil {
			realTable.err = err
			return
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			realTable.err = err
			return
		}
		ps, err := tablegen.ReadPrefixes(z)
		realTable.err = err
		for _, p := range ps {
			if p.Addr().Is4() {
				realTable.ps = append(realTable.ps, p)
			}
		}
	})
	if realTable.err != nil {
		t.Fatal(realTable.err)
	}
	return realTable.ps
}
