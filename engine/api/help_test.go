package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// patience is how long tests wait for what has to come: far longer than the
// slowest machine takes, and below what a run of tests may take.
const patience = 5 * time.Minute

// table is a RIB filled by hand.
type table struct {
	t     testing.TB
	r     *shard.RIB
	fan   *shard.Fan
	peers map[string]rib.PeerNum
}

func newTable(t testing.TB) *table {
	t.Helper()
	r, err := shard.Open(shard.Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := &table{t: t, r: r, fan: r.NewFan(), peers: map[string]rib.PeerNum{}}
	t.Cleanup(func() { b.fan.Close(); r.Close() })
	return b
}

// peer adds a peer of a dump.
func (b *table) peer(addr string, as uint32, collector string) rib.PeerNum {
	b.t.Helper()
	a := netip.MustParseAddr(addr)
	info := rib.PeerInfo{ID: rib.PeerID(rib.SourceMRT, collector, a, as), Source: rib.SourceMRT, Collector: collector, Addr: a, AS: as, RouterID: as}
	n, err := b.r.AddPeer(info)
	if err != nil {
		b.t.Fatal(err)
	}
	b.peers[addr+"|"+collector] = n
	return n
}

// attrSpec is an attribute set in words.
type attrSpec struct {
	path   string // "65001 {64500,64501} 3356"
	next   string
	med    int // -1: none
	comms  []uint32
	large  [][3]uint32
	ext    []uint64
	origin byte
	more   []byte // canonical attributes of types over 32
}

func (s attrSpec) canonical() []byte {
	var b []byte
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrOrigin, []byte{s.origin})
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrASPath, pathBytes(s.path))
	if s.next != "" {
		b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrNextHop, netip.MustParseAddr(s.next).AsSlice())
	}
	if s.med >= 0 {
		b = wire.AppendAttr(b, wire.FlagOptional, wire.AttrMED, be32(uint32(s.med)))
	}
	if s.comms != nil {
		var v []byte
		for _, c := range s.comms {
			v = append(v, be32(c)...)
		}
		b = wire.AppendAttr(b, wire.FlagOptional|wire.FlagTransitive, wire.AttrCommunities, v)
	}
	if s.ext != nil {
		var v []byte
		for _, c := range s.ext {
			v = append(append(v, be32(uint32(c>>32))...), be32(uint32(c))...)
		}
		b = wire.AppendAttr(b, wire.FlagOptional|wire.FlagTransitive, wire.AttrExtCommunities, v)
	}
	if s.large != nil {
		var v []byte
		for _, c := range s.large {
			v = append(append(append(v, be32(c[0])...), be32(c[1])...), be32(c[2])...)
		}
		b = wire.AppendAttr(b, wire.FlagOptional|wire.FlagTransitive, wire.AttrLargeCommunities, v)
	}
	return append(b, s.more...)
}

func be32(v uint32) []byte { return []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)} }

// pathBytes encodes "1 2 {3,4} 5".
func pathBytes(s string) []byte {
	var out []byte
	var seq []uint32
	flush := func(typ byte, ases []uint32) {
		if len(ases) == 0 {
			return
		}
		out = append(out, typ, byte(len(ases)))
		for _, a := range ases {
			out = append(out, be32(a)...)
		}
	}
	for _, f := range strings.Fields(s) {
		if strings.HasPrefix(f, "{") {
			flush(2, seq)
			seq = nil
			var set []uint32
			for _, a := range strings.Split(strings.Trim(f, "{}"), ",") {
				set = append(set, number(a))
			}
			flush(1, set)
			continue
		}
		seq = append(seq, number(f))
	}
	flush(2, seq)
	return out
}

func number(s string) (n uint32) {
	if _, err := fmt.Sscan(s, &n); err != nil {
		panic(err)
	}
	return n
}

// add announces one path.
func (b *table) add(prefix string, peer rib.PeerNum, s attrSpec, change ...func(*rib.Path)) {
	b.t.Helper()
	id, ok := b.r.Attrs().Intern(s.canonical())
	if !ok {
		b.t.Fatal("no room for attributes")
	}
	p := rib.Path{Peer: peer, Attrs: id, Received: 1767323045}
	for _, c := range change {
		c(&p)
	}
	px := netip.MustParsePrefix(prefix)
	t := rib.TableIPv4Unicast
	if px.Addr().Is6() {
		t = rib.TableIPv6Unicast
	}
	k, n := trie.PrefixKey(px)
	b.fan.Announce(t, k, n, &p)
}

func (b *table) sync() { b.fan.Flush(); b.r.Sync() }

// server serves a table on a loopback port.
type server struct {
	*Server
	t    testing.TB
	url  string
	addr string
	http *http.Client
}

func (b *table) serve(change ...func(*Options)) *server {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	return b.serveOn(l, change...)
}

func (b *table) serveOn(l net.Listener, change ...func(*Options)) *server {
	b.t.Helper()
	o := Options{RIB: b.r, Version: "test"}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	b.t.Cleanup(func() {
		tr.CloseIdleConnections()
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		_ = s.Shutdown(ctx)
		if err := <-done; err != nil {
			b.t.Errorf("Serve: %v", err)
		}
	})
	return &server{s, b.t, "http://" + l.Addr().String(), l.Addr().String(), &http.Client{Transport: tr, Timeout: patience}}
}

// noConn is the connection of requests that come from a test's memory.
type noConn struct{ net.Conn }

func (noConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
func (noConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8} }
func (noConn) SetReadDeadline(time.Time) error  { return nil }
func (noConn) SetWriteDeadline(time.Time) error { return nil }

// do asks through the handler alone, without a socket.
func (s *Server) do(method, uri, content string, headers ...string) (int, string, *fasthttp.ResponseHeader) {
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.SetRequestURI(uri)
	req.Header.SetHost("localhost")
	if content != "" {
		req.SetBodyString(content)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	ctx.Init2(noConn{}, nil, false)
	req.CopyTo(&ctx.Request)
	s.handle(&ctx)
	code := ctx.Response.StatusCode()
	if ctx.Response.IsBodyStream() {
		var out bytes.Buffer
		_, _ = ctx.Response.BodyStream().(*body).WriteTo(&out)
		_ = ctx.Response.CloseBodyStream()
		return code, out.String(), &ctx.Response.Header
	}
	return code, string(ctx.Response.Body()), &ctx.Response.Header
}

// get asks and decodes; the status has to be as wanted.
func (s *Server) get(t testing.TB, status int, uri string, out any) {
	t.Helper()
	code, body, _ := s.do("GET", uri, "")
	if code != status {
		t.Fatalf("%s: got status %d, want %d: %s", uri, code, status, body)
	}
	strict(t, uri, body, out)
}

// strict decodes JSON that has to have no unknown fields and nothing behind it.
func strict(t testing.TB, what, body string, out any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		t.Fatalf("%s: %v in\n%s", what, err, body)
	}
	if d.More() {
		t.Fatalf("%s: something follows the JSON:\n%s", what, body)
	}
}

func lines[T any](t testing.TB, body string) (out []T) {
	t.Helper()
	sc := bufio.NewScanner(strings.NewReader(body))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var v T
		strict(t, "line", sc.Text(), &v)
		out = append(out, v)
	}
	return out
}

// small is a table that most tests ask.
func small(t testing.TB) (*table, *Server) {
	b := newTable(t)
	a := b.peer("192.0.2.1", 65001, "rrc00")
	c := b.peer("192.0.2.2", 65002, "rrc00")
	d := b.peer("2001:db8::2", 65002, "rrc01")
	b.add("0.0.0.0/0", a, attrSpec{path: "65001", next: "192.0.2.1", med: -1})
	b.add("10.0.0.0/8", a, attrSpec{path: "65001 3356 15169", next: "192.0.2.1", med: 5, comms: []uint32{65001<<16 | 100, 0xffffff01}})
	b.add("10.0.0.0/8", c, attrSpec{path: "65002 174 3356 15169", next: "192.0.2.2", med: -1})
	b.add("10.1.0.0/16", c, attrSpec{path: "65002 174 {64500,64501}", next: "192.0.2.2", med: -1, large: [][3]uint32{{65001, 1, 2}}})
	b.add("10.1.2.0/24", a, attrSpec{path: "65001 3356 64512", next: "192.0.2.1", med: -1, ext: []uint64{0x0002fde900000001}},
		func(p *rib.Path) { p.PathID, p.HasPathID = 0, true })
	b.add("10.1.2.0/24", a, attrSpec{path: "65001 1299 64512", next: "192.0.2.1", med: -1, more: wire.AppendAttr(nil, 192, 99, []byte{0, 255})},
		func(p *rib.Path) { p.PathID, p.HasPathID = 7, true })
	b.add("192.168.0.0/16", a, attrSpec{path: "65001 666", next: "0.0.0.0", med: -1}, func(p *rib.Path) { p.Filtered = rib.FilterNextHop })
	b.add("2001:db8::/32", d, attrSpec{path: "65002 6939", next: "2001:db8::2", med: -1})
	b.add("2001:db8:1::/48", d, attrSpec{path: "", next: "2001:db8::2", med: -1})
	b.sync()
	s, err := New(Options{RIB: b.r, Version: "test", Started: time.Unix(1767323045, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func prefixOf(l *apiv1.Lookup) string {
	if l.Prefix == nil {
		return "null"
	}
	return *l.Prefix
}

func itoa(n uint32) string { return fmt.Sprint(n) }

func peerIDOf(list []shard.PeerStatus, addr string) string {
	for _, s := range list {
		if s.Info.Addr.String() == addr {
			return s.Info.ID
		}
	}
	return ""
}
