package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// source is the body of a request, read part by part, each within the read
// timeout. The end of the server waits no longer than stopPause for a sender that
// pauses, and not at all for one of lines, whose lines so far have their answers.
type source struct {
	c     *call
	r     io.Reader
	lines bool
}

const stopPause = time.Second

// errStopping ends bodies of lines when the server ends.
var errStopping = errors.New("the server is shutting down")

// source makes the request's body one.
func (c *call) source() *source {
	if r := c.ctx.RequestBodyStream(); r != nil {
		return &source{c: c, r: r}
	}
	return &source{c: c, r: bytes.NewReader(c.ctx.Request.Body())}
}

// lineSource is source for lines that are answered as they come.
func (c *call) lineSource() *source {
	c.reads = true
	c.s.connsMu.Lock()
	c.s.lines[c.ctx] = true
	c.s.connsMu.Unlock()
	src := c.source()
	src.lines = true
	return src
}

func (src *source) Read(p []byte) (int, error) {
	c := src.c
	_ = c.ctx.SetReadDeadline(time.Now().Add(c.s.opts.ReadTimeout))
	// stopReading comes after stopping is set, so that either this sees it or the
	// deadline that is set there holds.
	if c.s.stopping.Load() {
		if src.lines {
			return 0, errStopping
		}
		_ = c.ctx.SetReadDeadline(time.Now().Add(stopPause))
	}
	n, err := src.r.Read(p)
	c.s.metrics.BodyIn.Add(n)
	if src.lines && err != nil && err != io.EOF && c.s.stopping.Load() {
		err = errStopping
	}
	return n, err
}

// stopReading bounds the wait for what comes: bodies, and heads, which fasthttp
// reads, as well as bodies that nobody wanted. A connection that fasthttp gives its
// own deadline just then has its turn later. stopping is set.
func (s *Server) stopReading(ended <-chan struct{}) {
	for {
		s.connsMu.Lock()
		for c := range s.conns {
			_ = c.SetReadDeadline(time.Now().Add(stopPause))
		}
		for ctx := range s.lines {
			_ = ctx.SetReadDeadline(time.Now())
		}
		s.connsMu.Unlock()
		select {
		case <-ended:
			return
		case <-time.After(2 * stopPause): // those of now have passed
		}
	}
}

// connState keeps s.conns.
func (s *Server) connState(c net.Conn, state fasthttp.ConnState) {
	s.connsMu.Lock()
	defer s.connsMu.Unlock()
	switch state {
	case fasthttp.StateNew:
		s.conns[c] = true
	case fasthttp.StateClosed:
		delete(s.conns, c)
	}
}
