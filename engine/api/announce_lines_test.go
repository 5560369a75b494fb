package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
)

func TestLinesAreAnsweredOneForOne(t *testing.T) {
	b, s, _ := announcing(t)
	body := strings.Join([]string{
		`{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`,
		`{"prefix":"10.9.2.0/24"}`,
		``,
		`{"prefix":"203.0.113.1/32","next_hop":"192.0.2.66","communities":["blackhole"]}`,
		`rubbish`,
		`{"prefix":"10.9.3.0/24","next_hop":"192.0.2.66","x":"` + strings.Repeat("y", 2*maxLine) + `"}`,
		`{"prefix":"10.9.3.0/24","next_hop":"192.0.2.66","peers":["192.0.2.9"]}`,
		`{"prefix":"198.51.100.0/24","next_hop":"192.0.2.66"}`,
	}, "\r\n")
	answer := s.post(t, 200, "POST", "/api/v1/paths", typeNDJSON, body, nil)
	got := strings.Split(strings.TrimSpace(answer), "\n")
	if len(got) != 7 {
		t.Fatalf("%d answers: %s", len(got), answer)
	}
	for i, want := range []string{`"prefix":"10.9.1.0/24"`, `{"line":2,"status":400,"error":"NEXT_HOP is missing`, `{"line":4,"status":422,"error":"guard protected: `, `{"line":5,"status":400,`,
		`{"line":6,"status":413,`, `"prefix":"10.9.3.0/24"`, `"state":"refused","reason":"policy"`} {
		if !strings.Contains(got[i], want) {
			t.Errorf("answer %d: got %s, want … %s …", i, got[i], want)
		}
	}
	if !strings.HasSuffix(got[2], `"guard":"protected"}`) {
		t.Error(got[2])
	}
	var only apiv1.PathAnnounced
	strict(t, "line", got[5], &only)
	if len(only.Peers) != 1 || only.Peers[0].PeerID != idOfNine {
		t.Errorf("%+v", only)
	}
	b.r.Sync()
	if got := originated(t, s, "/api/v1/paths"); len(got) != 3 {
		t.Errorf("%v", got)
	}
	answer = s.post(t, 200, "DELETE", "/api/v1/paths", typeNDJSON, "{\"prefix\":\"10.9.1.0/24\"}\n{\"prefix\":\"10.9.1.0/24\",\"path_id\":1}\nx\n{\"prefix\":\"10.9.3.0/24\"}\n", nil)
	got = strings.Split(strings.TrimSpace(answer), "\n")
	if len(got) != 4 || !strings.Contains(got[0], `"withdrawn":true`) || !strings.HasPrefix(got[1], `{"line":2,"status":404,`) || !strings.HasPrefix(got[2], `{"line":3,"status":400,`) || !strings.Contains(got[3], `"withdrawn":true`) {
		t.Errorf("%s", answer)
	}
}

// onSocket serves on a loopback port, and returns a client that connects there.
func onSocket(t testing.TB, s *Server) (url string, client *http.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tr := &http.Transport{}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		_ = s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String(), &http.Client{Transport: tr, Timeout: patience}
}

func TestALineIsAnsweredBeforeTheNextOneIsSent(t *testing.T) {
	_, s, _ := announcing(t)
	url, client := onSocket(t, s)
	r, w := io.Pipe()
	req, err := http.NewRequest("POST", url+"/api/v1/paths", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", typeNDJSON)
	line := func(i int) string {
		return fmt.Sprintf("{\"prefix\":\"10.9.%d.0/24\",\"next_hop\":\"192.0.2.66\"}\n", i)
	}
	go func() { _, _ = io.WriteString(w, line(0)) }()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for i := range 20 {
		got, err := in.ReadString('\n')
		if err != nil || !strings.Contains(got, fmt.Sprintf("10.9.%d.0/24", i)) {
			t.Fatalf("line %d: %q %v", i, got, err)
		}
		if _, err := io.WriteString(w, line(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	if rest, err := io.ReadAll(in); err != nil || !strings.Contains(string(rest), "10.9.20.0/24") {
		t.Errorf("%q %v", rest, err)
	}
}

func TestAHundredThousandLinesInBoundedMemory(t *testing.T) {
	b, s, _ := announcing(t)
	url, client := onSocket(t, s)
	const n = 120_000
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 64<<10)
		for i := range n {
			fmt.Fprintf(out, "{\"prefix\":\"%d.%d.%d.0/24\",\"next_hop\":\"192.0.2.66\",\"as_path\":\"65001 %d\"}\n", 20+i>>16, i>>8&255, i&255, 1+i%1000)
		}
		_ = out.Flush()
		_ = w.Close()
	}()
	resp, err := client.Post(url+"/api/v1/paths", typeNDJSON, r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	got := 0
	for ; sc.Scan(); got++ {
		if want := fmt.Sprintf(`{"prefix":"%d.%d.%d.0/24",`, 20+got>>16, got>>8&255, got&255); !strings.HasPrefix(sc.Text(), want) {
			t.Fatalf("line %d: got %s, want %s…", got, sc.Text(), want)
		}
	}
	if got != n || sc.Err() != nil {
		t.Fatalf("%d answers: %v", got, sc.Err())
	}
	b.r.Sync()
	var count apiv1.Count
	s.get(t, 200, "/api/v1/routes/count?source=local", &count)
	if count.Paths != n {
		t.Errorf("%d paths", count.Paths)
	}
	// The whole list, by pages and by lines. One page is read as JSON, of the others
	// the rows are counted: reading them all takes minutes on a slow machine.
	var page apiv1.OriginatedPaths
	if s.get(t, 200, "/api/v1/paths?limit=5000", &page); len(page.Paths) != 5000 || page.Next == nil {
		t.Errorf("a page has %d paths, next %v", len(page.Paths), page.Next)
	}
	listed, seen := 0, ""
	for uri := "/api/v1/paths?limit=50000"; uri != ""; {
		code, text, _ := s.do("GET", uri, "")
		first, _, ok := strings.Cut(strings.TrimPrefix(text, `{"paths":[{"prefix":"`), `"`)
		if code != 200 || !ok || first == seen {
			t.Fatalf("%d, and the page begins with %.100s, the one before with %s", code, text, seen)
		}
		listed += strings.Count(text, `{"prefix":"`)
		seen, uri = first, ""
		_, next, _ := strings.Cut(text[strings.LastIndexByte(text, ']'):], `"next":"`)
		if cursor, _, ok := strings.Cut(next, `"`); ok {
			uri = "/api/v1/paths?limit=50000&cursor=" + cursor
		}
	}
	code, text, _ := s.do("GET", "/api/v1/paths", "", "Accept", typeNDJSON)
	if rows := strings.Count(text, "\n"); code != 200 || rows != n || listed != n {
		t.Errorf("%d listed by pages, %d by lines", listed, rows)
	}
}

// A client that sends and does not read is made to wait; the server holds no more
// than a few batches.
func TestWhoDoesNotReadIsMadeToWait(t *testing.T) {
	_, s, _ := announcing(t)
	s.opts.WriteTimeout = 3 * time.Second
	url, _ := onSocket(t, s)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/paths HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000000000\r\n\r\n", typeNDJSON)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	line := []byte(strings.Repeat("{\"prefix\":\"10.9.1.0/24\",\"next_hop\":\"192.0.2.66\"}\n", 1000))
	sent := 0
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := conn.Write(line)
		sent += n
		if err != nil {
			break
		}
		if sent > 200<<20 {
			t.Fatal("200 MB were taken without an answer being read")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 48<<20 {
		t.Errorf("the heap grew by %d octets", grown)
	}
}

func TestTheServersEndDoesNotWaitForLines(t *testing.T) {
	_, s, _ := announcing(t)
	s.opts.ReadTimeout = time.Hour
	url, _ := onSocket(t, s)
	for _, path := range []string{"/api/v1/paths", "/api/v1/updates"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n%s\n", path, typeNDJSON, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		in := bufio.NewReader(conn)
		for line := ""; !strings.Contains(line, "{"); {
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			if rest, _ := io.ReadAll(in); !strings.Contains(string(rest), "the server is shutting down") {
				t.Errorf("%s: %s", path, rest)
			}
		}()
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestABodyThatBreaksOffIsToldOf(t *testing.T) {
	_, s, _ := announcing(t)
	s.opts.ReadTimeout = 200 * time.Millisecond
	url, _ := onSocket(t, s)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/paths HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n%s\n", typeNDJSON, `{"prefix":"10.9.1.0/24","next_hop":"192.0.2.66"}`)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	b, _ := io.ReadAll(conn)
	if !strings.Contains(string(b), `"prefix":"10.9.1.0/24"`) || !strings.Contains(string(b), `{"error":"the body broke off`) {
		t.Errorf("%s", b)
	}
}

func BenchmarkAnnounceLines(b *testing.B) {
	_, s, _ := announcing(b)
	s.opts.Told = nil
	var body strings.Builder
	const n = 100_000
	for i := range n {
		fmt.Fprintf(&body, "{\"prefix\":\"%d.%d.%d.0/24\",\"next_hop\":\"192.0.2.66\",\"as_path\":\"65001 %d\",\"communities\":[\"64512:1\"]}\n", 20+i>>16, i>>8&255, i&255, 1+i%1000)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		text := strings.ReplaceAll(body.String(), "64512:1", fmt.Sprintf("64512:%d", i%60000))
		if code, _, _ := s.do("POST", "/api/v1/paths", text, "Content-Type", typeNDJSON); code != 200 {
			b.Fatal(code)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "routes/s")
}
