package api

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// source is the body of a request, read part by part, each within the read
// timeout. The end of the server does not wait that long for a sender that pauses:
// not at all for one of lines, whose lines so far have their answers, and
// stopPause for the others.
type source struct {
	c     *call
	r     io.Reader
	lines bool
}

const stopPause = time.Second

// errStopping ends bodies of lines when the server ends.
var errStopping = errors.New("the server is shutting down")

// source makes the request's body one.
func (c *call) source() *source { return c.newSource(false) }

// lineSource is source for lines that are answered as they come.
func (c *call) lineSource() *source { return c.newSource(true) }

func (c *call) newSource(lines bool) *source {
	s := c.s
	s.readingMu.Lock()
	s.reading[c.ctx] = lines
	s.readingMu.Unlock()
	c.reads = true
	if r := c.ctx.RequestBodyStream(); r != nil {
		return &source{c, r, lines}
	}
	return &source{c, bytes.NewReader(c.ctx.Request.Body()), lines}
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

// stopReading wakes those who wait for a body. stopping is set.
func (s *Server) stopReading() {
	s.readingMu.Lock()
	defer s.readingMu.Unlock()
	for ctx, lines := range s.reading {
		by := time.Now()
		if !lines {
			by = by.Add(stopPause)
		}
		_ = ctx.SetReadDeadline(by)
	}
}
