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

// TestTheServersEndDoesNotWaitForHalfABody: of any kind, with a read timeout that
// would have it wait for an hour.
func TestTheServersEndDoesNotWaitForHalfABody(t *testing.T) {
	_, s, _ := announcing(t)
	s.opts.ReadTimeout = time.Hour
	url, _ := onSocket(t, s)
	for _, c := range []struct{ path, mediaType, sent string }{
		{"/api/v1/paths", js, `{"prefix":`},
		{"/api/v1/peers", js, `{"address":`},
		{"/api/v1/lookup", "text/plain", "192.0.2.1\n"},
		{"/api/v1/lookup?family=ipv4-unicast", typeOctets, "abcd"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n%s", c.path, c.mediaType, c.sent)
	}
	eventually(t, "four bodies are read", func() bool { return bodies(s) == 4 })
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := bodies(s); n != 0 {
		t.Errorf("%d bodies are still read", n)
	}
}

// bodies counts the bodies that are read.
func bodies(s *Server) int {
	s.readingMu.Lock()
	defer s.readingMu.Unlock()
	return len(s.reading)
}

// TestABugWhileAnAnswerIsWrittenEndsThatAnswerAlone: fasthttp writes outside the
// handler, so that a panic there would end the process.
func TestABugWhileAnAnswerIsWrittenEndsThatAnswerAlone(t *testing.T) {
	_, s, _ := announcing(t)
	s.exact["/api/v1/bug"] = &endpoint{path: "/api/v1/bug", metrics: s.none, methods: []method{get(0, func(c *call) *problem {
		if p := c.stream(); p != nil {
			return p
		}
		c.source()
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
	if n, m := s.streams.Load(), bodies(s); n != 0 || m != 0 {
		t.Errorf("%d streams and %d bodies are left", n, m)
	}
	next, err := client.Get(url + "/api/v1/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Body.Close()
	if _, err := io.Copy(io.Discard, next.Body); err != nil || next.StatusCode != http.StatusOK {
		t.Errorf("the next request: %s, %v", next.Status, err)
	}
}
