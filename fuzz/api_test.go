package fuzz

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"ribd/engine/api"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// apiServer serves a small table of nested prefixes from three peers.
type apiServer struct {
	addr     string
	prefixes []netip.Prefix
	conn     net.Conn // kept from one request to the next
	in       *bufio.Reader
}

func newAPIServer(f *testing.F) *apiServer {
	r, err := shard.Open(shard.Options{Shards: 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(r.Close)
	s := &apiServer{}
	for _, p := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "192.0.2.0/24", "198.51.100.0/25",
		"::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8:1:2::3/128"} {
		s.prefixes = append(s.prefixes, netip.MustParsePrefix(p))
	}
	fan := r.NewFan()
	for i := range 3 {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		source := [...]rib.Source{rib.SourceBGP, rib.SourceMRT, rib.SourceMRT}[i]
		peer, err := r.AddPeer(rib.PeerInfo{ID: rib.PeerID(source, "c", addr, 64496), Source: source, Collector: "c", Addr: addr, AS: 64496 + uint32(i), RouterID: uint32(i)})
		if err != nil {
			f.Fatal(err)
		}
		for j, p := range s.prefixes {
			if i == 2 && j%2 == 0 {
				continue
			}
			attrs := []byte{0x40, 1, 1, byte(j % 3), 0x40, 2, 10, 2, 2}
			attrs = binary.BigEndian.AppendUint32(attrs, 64496+uint32(i))
			attrs = binary.BigEndian.AppendUint32(attrs, 65536+uint32(j%4))
			attrs = append(attrs, 0x40, 3, 4, 192, 0, 2, byte(i+1))
			attrs = append(attrs, 0xc0, 8, 4, 0xfb, 0xf0, 0, byte(j%5))
			id, ok := r.Attrs().Intern(attrs)
			if !ok {
				f.Fatal("no room for an attribute set")
			}
			k, n := trie.PrefixKey(p)
			table := rib.TableIPv4Unicast
			if p.Addr().Is6() {
				table = rib.TableIPv6Unicast
			}
			fan.Announce(table, k, n, &rib.Path{Peer: peer, Attrs: id, HasPathID: j%3 == 0, PathID: uint32(j % 2), Received: 1_767_225_600 + uint32(j)})
		}
	}
	fan.Close()
	r.Sync()
	server, err := api.New(api.Options{RIB: r, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	s.addr = l.Addr().String()
	go server.Serve(l)
	f.Cleanup(func() {
		if s.conn != nil {
			s.conn.Close()
		}
		server.Shutdown(context.Background())
	})
	return s
}

// ask sends the target as it is and returns what a client reads.
func (s *apiServer) ask(t *testing.T, method, target, accept, contentType string, body []byte) (status int, answered []byte) {
	t.Helper()
	q := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target)
	if accept != "" {
		q = fmt.Appendf(q, "Accept: %s\r\n", accept)
	}
	if contentType != "" {
		q = fmt.Appendf(q, "Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	q = append(append(q, "\r\n"...), body...)
	if s.conn == nil {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		s.conn, s.in = c, bufio.NewReader(c)
	}
	s.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := s.conn.Write(q); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	r, err := http.ReadResponse(s.in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	answered, err = io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s: %v after %q", target, err, answered)
	}
	if r.Close {
		s.conn.Close()
		s.conn = nil
	}
	return r.StatusCode, answered
}

// longest is the naive longest match.
func (s *apiServer) longest(a netip.Addr) (best netip.Prefix) {
	for _, p := range s.prefixes {
		if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
			best = p
		}
	}
	return best
}

// checkProblem holds an answer that is not 200 to RFC 9457, and to a status that a
// client can be blamed for.
func checkProblem(t *testing.T, what string, status int, body []byte) {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Status != status || p.Title == "" {
		t.Fatalf("%s: %d with %q (%v)", what, status, body, err)
	}
	if status < 400 || status >= 500 && status != http.StatusNotImplemented {
		t.Fatalf("%s: status %d: %s", what, status, body)
	}
}

// FuzzLookup promises of any text that a look-up is asked for: it answers 200
// exactly where the text is an address without a zone, and then with the naive
// longest match; a batch of that one line answers the same object, or an error in
// its place; the packed form gives the same length.
func FuzzLookup(f *testing.F) {
	s := newAPIServer(f)
	for _, seed := range []string{"10.1.2.3", "10.1.2.4", "192.0.2.1", "2001:db8:1:2::3", "::ffff:10.1.2.3", "fe80::1%eth0", "10.1.2.3/32", "010.1.2.3", "", " 10.1.2.3", "%", "1.2.3", "a/b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || strings.ContainsAny(text, "\r\n") {
			return // no line of a batch, or several
		}
		a, err := netip.ParseAddr(text)
		good := err == nil && a.Zone() == ""
		a = a.Unmap()
		status, body := s.ask(t, "GET", "/api/v1/lookup/"+url.PathEscape(text), "", "", nil)
		var one struct{ Prefix *netip.Prefix }
		switch {
		case good && status != 200, !good && status == 200:
			t.Fatalf("%q: status %d: %s", text, status, body)
		case !good:
			checkProblem(t, text, status, body)
		default:
			if err := json.Unmarshal(body, &one); err != nil {
				t.Fatalf("%q: %v: %s", text, err, body)
			}
			if want := s.longest(a); one.Prefix == nil || *one.Prefix != want {
				t.Fatalf("%q: prefix %v, want %v", text, one.Prefix, want)
			}
		}
		status, batch := s.ask(t, "POST", "/api/v1/lookup", "", "text/plain", []byte(text+"\n"))
		if status != 200 || bytes.Count(batch, []byte("\n")) != 1 {
			t.Fatalf("a batch of %q: status %d, %q", text, status, batch)
		}
		var line struct {
			Query, Error *string
		}
		if err := json.Unmarshal(batch, &line); err != nil || line.Query == nil {
			t.Fatalf("a batch of %q: %v: %q", text, err, batch)
		}
		if trimmed, err := netip.ParseAddr(strings.TrimSpace(text)); (line.Error == nil) != (err == nil && trimmed.Zone() == "") {
			t.Fatalf("a batch of %q: %q", text, batch)
		}
		if !good {
			return
		}
		if !bytes.Equal(bytes.TrimSpace(batch), bytes.TrimSpace(body)) {
			t.Fatalf("%q: a batch answers %s, a single look-up %s", text, batch, body)
		}
		family := "ipv4-unicast"
		if a.Is6() {
			family = "ipv6-unicast"
		}
		status, packed := s.ask(t, "POST", "/api/v1/lookup?family="+family, "", "application/octet-stream", a.AsSlice())
		if status != 200 || len(packed) != 16 || int(packed[0]) != one.Prefix.Bits() {
			t.Fatalf("%q: packed: status %d, %x, want length %d", text, status, packed, one.Prefix.Bits())
		}
	})
}

// FuzzRoutes promises of any query: what is not answered is refused by a problem
// that blames the client; what is answered is well formed, the rows of a stream are
// those of the pages, cursor by cursor, and as many as count says.
func FuzzRoutes(f *testing.F) {
	s := newAPIServer(f)
	for _, seed := range []string{"", "prefix=10.1.0.0/16&match=longer", "prefix=10.1.2.3&match=shorter", "as_path=^64496_65537$", "as_path=_6553[67]_",
		"community=64496:*&best=true", "origin_asn=65537", "peer=192.0.2.1", "min_length=9&max_length=24", "match=longest&prefix=10.1.2.9", "next_hop=192.0.2.2",
		"path_id=none", "path_id=0&family=ipv6-unicast", "as_path_length=2&source=mrt", "received_after=2026-01-01T00:00:03Z", "as_path=(", "limit=0", "prefix=10.0.0.1/8", "%zz", "best=true&best=true"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) || strings.Contains(query, "limit") || strings.Contains(query, "cursor") || strings.Contains(query, "fields") {
			return
		}
		target := "/api/v1/routes?" + query
		status, stream := s.ask(t, "GET", target, "application/x-ndjson", "", nil)
		countStatus, counted := s.ask(t, "GET", "/api/v1/routes/count?"+query, "", "", nil)
		if status != 200 {
			checkProblem(t, target, status, stream)
			return
		}
		if countStatus != 200 {
			t.Fatalf("%s: routes are answered, their count is not: %d %s", target, countStatus, counted)
		}
		var rows []string
		for line := range strings.Lines(string(stream)) {
			var row struct {
				Prefix netip.Prefix
				Error  any
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil || row.Error != nil || !row.Prefix.IsValid() {
				t.Fatalf("%s: row %q: %v", target, line, err)
			}
			rows = append(rows, strings.TrimSpace(line))
		}
		var count struct{ Prefixes, Paths int }
		if err := json.Unmarshal(counted, &count); err != nil || count.Paths != len(rows) {
			t.Fatalf("%s: %d rows, count says %s (%v)", target, len(rows), counted, err)
		}
		if paged := s.pages(t, target); strings.Join(paged, "\n") != strings.Join(rows, "\n") {
			t.Fatalf("%s: the stream has %d rows, pages of 4 have %d:\n%s\n--\n%s", target, len(rows), len(paged), strings.Join(rows, "\n"), strings.Join(paged, "\n"))
		}
	})
}

// pages follows the cursors of pages of four rows.
func (s *apiServer) pages(t *testing.T, target string) (rows []string) {
	t.Helper()
	next := ""
	for range 100 {
		page := target + "&limit=4"
		if next != "" {
			page += "&cursor=" + url.QueryEscape(next)
		}
		status, body := s.ask(t, "GET", page, "application/json", "", nil)
		var answer struct {
			Routes []json.RawMessage
			Next   *string
		}
		if err := json.Unmarshal(body, &answer); status != 200 || err != nil {
			t.Fatalf("%s: %d, %v: %s", page, status, err, body)
		}
		for _, r := range answer.Routes {
			rows = append(rows, string(r))
		}
		if answer.Next == nil {
			return rows
		}
		next = *answer.Next
	}
	t.Fatalf("%s: more than 100 pages", target)
	return nil
}
