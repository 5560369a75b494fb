package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTheServersEndDoesNotWaitForTheRest: of a body of any kind, read or unwanted,
// or of a head, with a read timeout that would have it wait for an hour.
func TestTheServersEndDoesNotWaitForTheRest(t *testing.T) {
	_, s, _ := announcing(t)
	s.opts.ReadTimeout, s.http.ReadTimeout = time.Hour, time.Hour
	url, _ := onSocket(t, s)
	head := func(path, mediaType string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n", path, mediaType)
	}
	sent := []string{
		head("/api/v1/paths", js) + `{"prefix":`,
		head("/api/v1/peers", js) + `{"address":`,
		head("/api/v1/lookup", "text/plain") + "192.0.2.1\n",
		head("/api/v1/lookup?family=ipv4-unicast", typeOctets) + "abcd",
		head("/api/v1/none", js) + "{",
		head("/api/v1/paths", js),
		"POST /api/v1/paths HTTP/1.1\r\nHost: loc",
	}
	for _, text := range sent {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, text)
	}
	eventually(t, "all are connected", func() bool { return open(s) == len(sent) })
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Shutdown: %v", err)
	}
	eventually(t, "none is", func() bool { return open(s) == 0 })
}

// open counts the connections and the bodies of lines.
func open(s *Server) int {
	s.connsMu.Lock()
	defer s.connsMu.Unlock()
	return len(s.conns) + len(s.lines)
}

// slowLoads reads a body when it is let.
type slowLoads struct {
	Loads
	let chan struct{}
	got chan any // what its reader panicked with
}

func (l slowLoads) Body(r io.Reader, _ int64, _ string) (string, <-chan struct{}, error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { l.got <- recover() }()
		<-l.let
		_, _ = io.Copy(io.Discard, r)
	}()
	return "1", done, nil
}

// unwritable is a listener of connections that can be read alone.
type (
	unwritable     struct{ net.Listener }
	unwritableConn struct{ net.Conn }
)

func (l unwritable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return unwritableConn{c}, err
}

func (unwritableConn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestALoadIsReadToItsEndWhateverBecomesOfItsAnswer: where the head of an answer
// can't be written, its body is closed unwritten. The number of answers before it
// decides which write that is.
func TestALoadIsReadToItsEndWhateverBecomesOfItsAnswer(t *testing.T) {
	b := newTable(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loads := slowLoads{let: make(chan struct{}), got: make(chan any, 1)}
	s := b.serveOn(unwritable{l}, func(o *Options) { o.Loads, o.ReadTimeout = loads, patience })
	for n := range 100 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		const load = "POST /api/v1/load HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"
		fmt.Fprint(conn, strings.Repeat("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", n)+load)
		closed := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			closed <- err
		}()
		select {
		case <-closed: // the load was never begun
		case loads.let <- struct{}{}:
			conn.Close()
			if r := <-loads.got; r != nil {
				t.Errorf("after %d answers its reader panics: %v", n, r)
			}
			<-closed
		}
		conn.Close()
	}
}

// TestABugWhileAnAnswerIsWrittenEndsThatAnswerAlone: fasthttp writes outside the
// handler, so that a panic there would end the process.
func TestABugWhileAnAnswerIsWrittenEndsThatAnswerAlone(t *testing.T) {
	_, s, _ := announcing(t)
	s.exact["/api/v1/bug"] = &endpoint{path: "/api/v1/bug", metrics: s.none, methods: []method{get(0, func(c *call) *problem {
		if p := c.stream(); p != nil {
			return p
		}
		c.lineSource()
		c.streamBody(typeNDJSON, "", func(out *sink) error {
			if err := out.write([]byte("begun\n")); err != nil {
				return err
			}
			panic("on purpose")
		})
		return nil
	})}}
	url, client := onSocket(t, s)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /api/v1/bug HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if string(b) != "begun\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v: an answer that breaks off was to come", b, err)
	}
	eventually(t, "nothing is left of it", func() bool { return s.streams.Load() == 0 && open(s) == 0 })
	next, err := client.Get(url + "/api/v1/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Body.Close()
	if _, err := io.Copy(io.Discard, next.Body); err != nil || next.StatusCode != http.StatusOK {
		t.Errorf("the next request: %s, %v", next.Status, err)
	}
}
