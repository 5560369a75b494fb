package api

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func dial(t testing.TB, s *server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestBatchAnswersWhileItIsRead(t *testing.T) {
	b, _ := small(t)
	s := b.serve()
	pr, pw := io.Pipe()
	req, err := http.NewRequest("POST", s.url+"/api/v1/lookup", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	go func() { _, _ = io.WriteString(pw, "10.1.2.3\n") }()
	r, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	in := bufio.NewReader(r.Body)
	for i := range 5 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var l apiv1.Lookup
		strict(t, "line", line, &l)
		if i == 4 {
			_ = pw.Close()
		} else {
			_, _ = fmt.Fprintf(pw, "10.1.%d.1\n", i)
		}
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q %v", rest, err)
	}
}

func TestPackedBodyWithAndWithoutLength(t *testing.T) {
	b, s0 := small(t)
	s := b.serve()
	ask := func(t *testing.T, family string, in []byte, chunked bool) (int, []byte) {
		t.Helper()
		var body io.Reader = strings.NewReader(string(in))
		if chunked {
			body = io.MultiReader(body) // no length known
		}
		r, err := s.http.Post(s.url+"/api/v1/lookup?family="+family, typeOctets, body)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		out, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, out
	}
	for _, chunked := range []bool{false, true} {
		var in []byte
		for i := range 5000 {
			in = append(in, 10, 1, byte(i), byte(i>>8))
		}
		code, out := ask(t, "ipv4-unicast", in, chunked)
		if code != 200 || len(out) != len(in)*4 {
			t.Fatalf("chunked %v: %d, %d octets", chunked, code, len(out))
		}
		for i := 0; i < 5000; i += 7 {
			var l apiv1.Lookup
			s0.get(t, 200, "/api/v1/lookup/"+netip.AddrFrom4([4]byte(in[4*i:])).String(), &l)
			checkRecord(t, out[16*i:16*i+16], &l)
		}
		a := netip.MustParseAddr("2001:db8:1::1").As16()
		m := netip.MustParseAddr("::ffff:10.1.2.3").As16()
		n := netip.MustParseAddr("2002::1").As16()
		code, out = ask(t, "ipv6-unicast", append(append(a[:], m[:]...), n[:]...), chunked)
		if code != 200 || out[0] != 48 || out[16] != 24 || out[32] != 255 || len(out) != 48 {
			t.Errorf("IPv6: %d %v", code, out)
		}
		code, out = ask(t, "ipv4-unicast&peer=192.0.2.2", []byte{10, 1, 2, 3}, chunked)
		if code != 200 || out[0] != 16 || binary.LittleEndian.Uint16(out[2:]) != 1 {
			t.Errorf("filtered: %d %v", code, out)
		}
		if code, out = ask(t, "ipv4-unicast", in[:4*100+3], chunked); code != 400 {
			t.Errorf("no multiple: %d %s", code, out)
		}
		if code, out = ask(t, "ipv4-unicast", nil, chunked); code != 200 || len(out) != 0 {
			t.Errorf("empty: %d %s", code, out)
		}
	}
	if code, _ := ask(t, "", []byte{1}, false); code != 400 {
		t.Errorf("no family: %d", code)
	}
}

func checkRecord(t *testing.T, b []byte, l *apiv1.Lookup) {
	t.Helper()
	if l.Prefix == nil {
		if b[0] != 255 {
			t.Errorf("%s: got length %d, want none", l.Query, b[0])
		}
		return
	}
	best := &l.Paths[0]
	many := false
	for i := range l.Paths {
		many = many || deref(l.Paths[i].OriginASN) != deref(best.OriginASN)
	}
	le := binary.LittleEndian
	if int(b[0]) != netip.MustParsePrefix(*l.Prefix).Bits() || int(le.Uint16(b[2:])) != len(l.Paths) || le.Uint32(b[4:]) != deref(best.OriginASN) ||
		le.Uint32(b[8:]) != deref(best.NeighborASN) || le.Uint32(b[12:]) != best.AttrsID || b[1]&4 != 0 != many || b[1]&^4 != 0 {
		t.Errorf("%s: record %v is not %+v", l.Query, b, best)
	}
}

func deref(p *uint32) uint32 {
	if p == nil {
		return 0
	}
	return *p
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	b, _ := small(t)
	s := b.serve()
	c := dial(t, s)
	var ask strings.Builder
	for i := range 50 {
		fmt.Fprintf(&ask, "GET /api/v1/lookup/10.1.2.%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i)
		ask.WriteString("POST /api/v1/lookup HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n10.1.0.1\n")
	}
	go func() { _, _ = io.WriteString(c, ask.String()) }()
	in := bufio.NewReader(c)
	for i := range 100 {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var l apiv1.Lookup
		strict(t, "answer", string(body), &l)
		want := fmt.Sprintf("10.1.2.%d", i/2)
		if i%2 == 1 {
			want = "10.1.0.1"
		}
		if r.StatusCode != 200 || l.Query != want {
			t.Fatalf("answer %d: %d %s, want %s", i, r.StatusCode, l.Query, want)
		}
	}
}

// gate is a listener for whose connections no deadline holds before it is opened,
// so that a slow machine has all clients connected by then.
type gate struct {
	net.Listener
	mu    sync.Mutex
	open  bool
	conns []*gateConn
}

type gateConn struct {
	net.Conn
	g           *gate
	read, write time.Time
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	gc := &gateConn{Conn: c, g: g}
	g.conns = append(g.conns, gc)
	return gc, nil
}

// opens lets the deadlines hold that were set.
func (g *gate) opens() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, c := range g.conns {
		_ = c.Conn.SetReadDeadline(c.read)
		_ = c.Conn.SetWriteDeadline(c.write)
	}
}

func (c *gateConn) SetReadDeadline(d time.Time) error {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	if c.read = d; !c.g.open {
		return nil
	}
	return c.Conn.SetReadDeadline(d)
}

func (c *gateConn) SetWriteDeadline(d time.Time) error {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	if c.write = d; !c.g.open {
		return nil
	}
	return c.Conn.SetWriteDeadline(d)
}

func TestClientsThatStopReadingAreFreed(t *testing.T) {
	b, _ := many(t, 30_000)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l}
	s := b.serveOn(g, func(o *Options) { o.WriteTimeout = 3 * time.Second; o.ReadTimeout = 3 * time.Second })
	before := runtime.NumGoroutine()
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	for i := range 40 {
		c := dial(t, s)
		switch i % 4 {
		case 0, 1: // asks for the table and never reads
			_, _ = io.WriteString(c, "GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n")
		case 2: // is gone in the middle
			_, _ = io.WriteString(c, "GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\nAccept-Encoding: zstd\r\n\r\n")
			_, _ = io.ReadFull(c, make([]byte, 1000))
			_ = c.Close()
		case 3: // begins a body and stops
			_, _ = io.WriteString(c, "POST /api/v1/lookup HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n10.1.0.1\n\r\n4\r\n1.")
		}
	}
	eventually(t, "30 streams stand", func() bool { return s.streams.Load() == 30 }) // but for those that are gone
	runtime.GC()
	runtime.ReadMemStats(&m1)
	if grown := int64(m1.HeapAlloc) - int64(m0.HeapAlloc); grown > 40<<20 {
		t.Errorf("40 stalled clients hold %d KiB", grown>>10)
	}
	g.opens()
	eventually(t, "streams are freed", func() bool { return s.streams.Load() == 0 })
	eventually(t, "connections are closed", func() bool { return s.Server.http.GetOpenConnectionsCount() == 0 })
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+45 }) // idle workers stay for 10 s
	if s.rib.Stats().Views != 0 {
		t.Errorf("%d views are held", s.rib.Stats().Views)
	}
}

func TestWholeTableStreamsInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a large table")
	}
	b, _ := many(t, 150_000)
	s := b.serve(func(o *Options) {
		o.Peers = realistic(t)
		o.AdjOut = func(string) AdjOut { return mirror{b.r} }
	})
	for _, uri := range []string{"/api/v1/routes", "/api/v1/routes?table=adj-out&peer=" + transitA} {
		streamsInBoundedMemory(t, s, uri)
	}
}

// mirror is the Adj-RIB-Out of a peer that is sent all there is.
type mirror struct{ r *shard.RIB }

func (m mirror) Err() error { return nil }

func (m mirror) Paths(t rib.TableID, k trie.Key, n uint8, dst []Advertised) []Advertised {
	v := m.r.View()
	defer v.Close()
	for _, p := range v.Paths(v.Get(t, k, n), nil) {
		dst = append(dst, Advertised{Attrs: p.Attrs, PathID: p.PathID, HasPathID: p.HasPathID, From: p.Peer, FromPathID: p.PathID, FromHasPathID: p.HasPathID})
	}
	return dst
}

func streamsInBoundedMemory(t *testing.T, s *server, uri string) {
	t.Helper()
	r, err := s.http.Do(func() *http.Request {
		q, _ := http.NewRequest("GET", s.url+uri, nil)
		q.Header.Set("Accept", typeNDJSON)
		return q
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var peak, base uint64
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base = m.HeapAlloc
	in := bufio.NewReaderSize(r.Body, 1<<20)
	rows, octets := 0, 0
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		octets += len(line)
		if rows++; rows%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if rows != 200_000 {
		t.Errorf("%s: %d rows", uri, rows)
	}
	if peak > base+8<<20 {
		t.Errorf("%s: %d octets were streamed with %d KiB more heap", uri, octets, (peak-base)>>10)
	}
}

func TestTenThousandAddresses(t *testing.T) {
	b, _ := many(t, 3000)
	s := b.serve()
	var in strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&in, "10.%d.%d.7\n", i%4, i%251)
	}
	r, err := s.http.Post(s.url+"/api/v1/lookup", "text/plain", strings.NewReader(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	sc := bufio.NewScanner(r.Body)
	sc.Buffer(nil, 1<<20)
	n := 0
	for ; sc.Scan(); n++ {
		want := fmt.Sprintf(`{"query":"10.%d.%d.7",`, n%4, n%251)
		if !strings.HasPrefix(sc.Text(), want) {
			t.Fatalf("line %d: %.80s, want %s", n, sc.Text(), want)
		}
	}
	if n != 10_000 || sc.Err() != nil {
		t.Errorf("%d lines, %v", n, sc.Err())
	}
}

func TestShutdownTellsStreams(t *testing.T) {
	b, _ := many(t, 60_000)
	s := b.serve()
	c := dial(t, s)
	_, _ = io.WriteString(c, "GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n")
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.stopping.Store(true)
	rest, _ := io.ReadAll(in)
	if !strings.Contains(string(rest), `{"error":"the server is shutting down"}`) || strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("the end is %q", rest[max(0, len(rest)-100):])
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	b, _ := many(t, 30_000)
	s := b.serve(func(o *Options) { o.MaxStreams, o.WriteTimeout = 2, time.Hour })
	for range 2 {
		c := dial(t, s)
		_, _ = io.WriteString(c, "GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n")
	}
	eventually(t, "two streams", func() bool { return s.streams.Load() == 2 })
	code, body, h := s.do("GET", "/api/v1/routes", "")
	if code != 503 || len(h.Peek("Retry-After")) == 0 {
		t.Errorf("got %d %s", code, body)
	}
	if code, _, _ := s.do("GET", "/api/v1/lookup/10.1.2.3", ""); code != 200 {
		t.Errorf("single look-ups go on: %d", code)
	}
}
