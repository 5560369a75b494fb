package mrt

import (
	"context"
	"io"
	"sync/atomic"
)

// The raw file is read so far ahead of what decompresses it.
const (
	aheadSize  = 256 << 10
	aheadCount = 4
)

// readAhead reads a file in a goroutine of its own. It is an io.Reader for one
// goroutine; wait returns when the file is no longer touched.
type readAhead struct {
	full  chan piece
	empty chan []byte
	done  chan struct{}
	ctx   context.Context
	count *atomic.Int64 // octets that have been handed out

	cur []byte // what is left of buf
	buf []byte
	err error // of the file, io.EOF at its end, sticky
}

type piece struct {
	b   []byte
	err error
}

func newReadAhead(ctx context.Context, r io.Reader, count *atomic.Int64) *readAhead {
	a := &readAhead{
		full:  make(chan piece, aheadCount),
		empty: make(chan []byte, aheadCount),
		done:  make(chan struct{}),
		ctx:   ctx,
		count: count,
	}
	for range aheadCount {
		a.empty <- make([]byte, aheadSize)
	}
	go a.run(r)
	return a
}

func (a *readAhead) run(r io.Reader) {
	defer close(a.done)
	for {
		var b []byte
		select {
		case b = <-a.empty:
		case <-a.ctx.Done():
			return
		}
		n, err := r.Read(b[:aheadSize])
		select {
		case a.full <- piece{b[:n], err}:
		case <-a.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Read hands out what has been read, or waits for it.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.buf != nil {
			a.empty <- a.buf
			a.buf = nil
		}
		if a.err != nil {
			return 0, a.err
		}
		select {
		case next := <-a.full:
			a.cur, a.buf, a.err = next.b, next.b[:cap(next.b)], next.err
		case <-a.ctx.Done():
			a.err = context.Cause(a.ctx)
		}
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	a.count.Add(int64(n))
	return n, nil
}

// failed returns an error of the file itself, not its end.
func (a *readAhead) failed() error {
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// wait returns when the goroutine has ended; the context must have.
func (a *readAhead) wait() { <-a.done }
