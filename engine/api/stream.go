package api

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
)

// writePart is how much of an answer is put together before it is written: one
// chunk of the chunked coding, and what a slow client can make a connection hold.
const writePart = 64 << 10

// body is an answer that is made while it is written. fasthttp calls WriteTo on
// the connection's goroutine with a writer that frames each Write as one chunk
// and flushes it, so a client that does not read stops the making: the memory of
// an answer is one part, and no goroutine or pipe stands between.
type body struct {
	c   *call
	run func(*sink) error
	out sink
}

// streamBody makes run the answer. The call lives on until the answer is written
// or given up.
func (c *call) streamBody(mediaType, encoding string, run func(*sink) error) {
	r := &c.ctx.Response
	r.Header.SetContentType(mediaType)
	if encoding != "" {
		r.Header.Set(fasthttp.HeaderContentEncoding, encoding)
	}
	c.holds = true
	c.ctx.SetBodyStream(&body{c: c, run: run, out: sink{c: c, encoding: encoding}}, -1)
}

// Read is never called: SupportsBodyWriteTo says so.
func (b *body) Read([]byte) (int, error) { return 0, errors.New("api: a body is written, not read") }

// SupportsBodyWriteTo tells fasthttp to call WriteTo.
func (b *body) SupportsBodyWriteTo() bool { return true }

// WriteTo makes the answer and writes it.
func (b *body) WriteTo(w io.Writer) (n int64, err error) {
	defer func() {
		if r := recover(); r != nil { // handle has returned
			b.c.bug(r)
			b.c = nil
			n, err = b.out.written, errors.New("api: making the answer failed")
		}
	}()
	b.out.w = w
	err = b.run(&b.out)
	if e := b.out.finish(err == nil); err == nil {
		err = e
	}
	if err != nil {
		b.c.s.metrics.Broken.Inc()
	}
	b.out.due() // the end of the chunks, which may come long after the last one
	return b.out.written, err
}

// Close frees what the answer held. fasthttp calls it in every case, also when
// the client was gone before anything was written.
func (b *body) Close() error {
	if c := b.c; c != nil {
		b.c = nil
		for wait := time.Duration(0); c.until != nil; wait = 20 * time.Millisecond {
			select {
			case <-c.until: // the loader reads from this connection until then
				c.until = nil
			case <-time.After(wait): // and nobody wrote that it has begun
				_ = c.ctx.SetReadDeadline(time.Now())
			}
		}
		c.s.release(c)
	}
	return nil
}

// sink writes parts of an answer, each within the write timeout.
type sink struct {
	c        *call
	w        io.Writer
	encoding string
	enc      encoder
	written  int64
}

// encoder is a compressor that can be told to let go of what it has.
type encoder interface {
	io.Writer
	Flush() error
	Close() error
	Reset(io.Writer)
}

// write writes what is there in parts, and holds nothing of it back.
func (s *sink) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePart)
		if err := s.part(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (s *sink) part(p []byte) error {
	if s.encoding == "" {
		_, err := s.Write(p)
		return err
	}
	if s.enc == nil {
		s.enc = encoderFor(s.encoding)
		s.enc.Reset((*raw)(s))
	}
	if _, err := s.enc.Write(p); err != nil {
		return err
	}
	return s.enc.Flush()
}

// raw is the sink below its compressor.
type raw sink

func (r *raw) Write(p []byte) (int, error) { return (*sink)(r).Write(p) }

// Write writes to the socket.
func (s *sink) Write(p []byte) (int, error) {
	s.due()
	n, err := s.w.Write(p)
	s.written += int64(n)
	return n, err
}

// due begins the time that the next part may take.
func (s *sink) due() {
	_ = s.c.ctx.SetWriteDeadline(time.Now().Add(s.c.s.opts.WriteTimeout)) // fails only without a socket
}

// finish ends the compressed form and gives the compressor back.
func (s *sink) finish(whole bool) error {
	if s.encoding != "" && s.enc == nil && whole { // nothing was written: an empty frame
		s.enc = encoderFor(s.encoding)
		s.enc.Reset((*raw)(s))
	}
	if s.enc == nil {
		return nil
	}
	var err error
	if whole {
		err = s.enc.Close()
	}
	s.enc.Reset(nil)
	poolFor(s.encoding).Put(s.enc)
	s.enc = nil
	return err
}

var (
	zstdPool = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("BUG: api: " + err.Error())
		}
		return e
	}}
	gzipPool = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return w
	}}
)

func poolFor(encoding string) *sync.Pool {
	if encoding == "zstd" {
		return &zstdPool
	}
	return &gzipPool
}

func encoderFor(encoding string) encoder { return poolFor(encoding).Get().(encoder) }

// encoding chooses the compression of an answer: zstd, gzip or none.
func (c *call) encoding() string {
	h := c.ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)
	if len(h) == 0 {
		return ""
	}
	z, g := quality(h, "zstd"), quality(h, "gzip")
	switch {
	case z > 0 && z >= g:
		return "zstd"
	case g > 0:
		return "gzip"
	}
	return ""
}

// page is an answer that has to be whole before its first octet is written, as
// it is of one view. What is past the first pieces is kept compressed.
type page struct {
	pieces [][]byte
	packed int // pieces from here on are s2 blocks
	size   int
}

const (
	pagePiece = 256 << 10
	pagePlain = 1 << 20
)

// add takes over what was put together since and returns an empty buffer.
func (p *page) add(b []byte) []byte {
	p.size += len(b)
	if p.size <= pagePlain {
		p.pieces = append(p.pieces, append([]byte(nil), b...))
		p.packed = len(p.pieces)
	} else {
		p.pieces = append(p.pieces, s2.Encode(nil, b))
	}
	return b[:0]
}

// write gives the page to a client, freeing the pieces as they go.
func (p *page) write(out *sink) error {
	var scratch []byte
	for i, b := range p.pieces {
		p.pieces[i] = nil
		if i >= p.packed {
			var err error
			if scratch, err = s2.Decode(scratch[:cap(scratch)], b); err != nil {
				return err
			}
			b = scratch
		}
		if err := out.write(b); err != nil {
			return err
		}
	}
	return nil
}

// trim takes the comma off the end of a page.
func (p *page) trim() {
	last := len(p.pieces) - 1
	if last < 0 {
		return
	}
	b := p.pieces[last]
	if last >= p.packed {
		b, _ = s2.Decode(nil, b)
	}
	if n := len(b); n > 0 && b[n-1] == ',' {
		b = b[:n-1]
		p.size--
	}
	if last >= p.packed {
		b = s2.Encode(nil, b)
	}
	p.pieces[last] = b
}
