//go:build unix

package api

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/valyala/fasthttp"

	"ribd/internal/golden"
	"ribd/shard/rib"
	"ribd/trie"
)

// full is a table of the real prefixes with three paths each and attribute sets
// shared about as much as in real tables, and addresses inside real prefixes.
func full(b *testing.B) (*Server, *table, []uint32) {
	b.Helper()
	file, err := os.Open(golden.Data(b, "tables", "prefixes-2023.txt.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	t := newTable(b)
	var peers []rib.PeerNum
	for i := range 3 {
		peers = append(peers, t.peer(fmt.Sprintf("192.0.2.%d", i+1), uint32(65001+i), "rrc00"))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var addrs []uint32
	var paths [3]rib.Path
	for sc := bufio.NewScanner(z); sc.Scan(); {
		p, err := netip.ParsePrefix(sc.Text())
		if err != nil || p.Addr().Is6() {
			continue
		}
		a := p.Addr().As4()
		v := binary.BigEndian.Uint32(a[:])
		addrs = append(addrs, v|rnd.Uint32()&(1<<(32-p.Bits())-1))
		if n := rnd.IntN(8); n < 3 || len(addrs) == 1 { // a new origin, else that of the prefix before
			for i := range paths {
				s := attrSpec{next: fmt.Sprintf("192.0.2.%d", i+1), med: -1, path: fmt.Sprintf("%d %d %d %d", 65001+i, 1000+rnd.IntN(50), 2000+rnd.IntN(2000), 10000+rnd.IntN(70000)),
					comms: []uint32{rnd.Uint32N(1 << 20), rnd.Uint32N(1 << 20), uint32(65001+i) << 16}}
				id, ok := t.r.Attrs().Intern(s.canonical())
				if !ok {
					b.Fatal("no room")
				}
				paths[i] = rib.Path{Peer: peers[i], Attrs: id, Received: 1767323045}
			}
		}
		k, n := trie.PrefixKey(p)
		t.fan.Entry(rib.TableIPv4Unicast, k, n, paths[:])
	}
	t.sync()
	rnd.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	s, err := New(Options{RIB: t.r, Version: "test"})
	if err != nil {
		b.Fatal(err)
	}
	return s, t, addrs
}

// BenchmarkFull asks a table of the real prefixes, in this process alone.
func BenchmarkFull(b *testing.B) {
	s, t, addrs := full(b)
	b.Run("lookup", func(b *testing.B) {
		var ctx fasthttp.RequestCtx
		ctx.Init2(noConn{}, nil, false)
		uris := make([]string, 1<<16)
		for i := range uris {
			v := addrs[i]
			uris[i] = "/api/v1/lookup/" + netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String()
		}
		i := 0
		for b.Loop() {
			ctx.Request.SetRequestURI(uris[i&(1<<16-1)])
			i++
			ctx.Response.Reset()
			s.handle(&ctx)
		}
		b.ReportMetric(float64(s.attrs.size.Load())/1e6, "MB-cache")
	})
	b.Run("packed", func(b *testing.B) {
		var ctx fasthttp.RequestCtx
		ctx.Init2(noConn{}, nil, false)
		c := s.acquire(&ctx)
		defer s.release(c)
		_ = c.q.parse(nil, 0)
		_ = c.filters()
		l := lookups{c: c, target: target{table: c.find(1<<8|1, 0)}}
		c.packed.init(true)
		in := make([]byte, 0, 4<<20)
		for i := range 1 << 20 {
			in = binary.BigEndian.AppendUint32(in, addrs[i%len(addrs)])
		}
		var out []byte
		i := 0
		for b.Loop() {
			at := i * 4096 & (4<<20 - 1)
			i++
			out = l.packed(in[at:at+4096], out[:0], 4)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/address")
	})
	b.Run("packed-http", func(b *testing.B) {
		srv := t.serve()
		request := []byte("POST /api/v1/lookup?family=ipv4-unicast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 4096\r\n\r\n")
		for i := range 1024 {
			request = binary.BigEndian.AppendUint32(request, addrs[i])
		}
		askers(b, srv.addr, request, 1024)
	})
	b.Run("rows", func(b *testing.B) {
		for b.Loop() {
			var ctx fasthttp.RequestCtx
			ctx.Init2(noConn{}, nil, false)
			ctx.Request.SetRequestURI("/api/v1/routes?community=65002:0")
			ctx.Request.Header.Set("Accept", typeNDJSON)
			s.handle(&ctx)
			var w counter
			_, _ = ctx.Response.BodyStream().(*body).WriteTo(&w)
			b.SetBytes(int64(w))
			_ = ctx.Response.CloseBodyStream()
		}
		b.ReportMetric(float64(len(addrs)*b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
