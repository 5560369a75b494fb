package mrt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"ribd/wire/mrt"
)

// Sizes of the pipeline. A buffer is what the framer reads into; a segment, a
// part of one, is what a worker decodes. Segments of messages are smaller: a
// message makes more operations an octet, and a Fan sends a batch early when it
// is full, which a worker has to wait for its turn for.
const (
	bufferSize     = 512 << 10
	bufferKeep     = 4 << 20 // a buffer that grew past it is not kept
	ribSegment     = 256 << 10
	messageSegment = 96 << 10
)

// job is one load.
type job struct {
	l      *Loader
	src    Source
	col    *collector
	strict bool
	log    *slog.Logger
	done   chan struct{}
	st     Status // l.mu guards it; the counts are in n
	n      counters

	cancel context.CancelCauseFunc
	work   chan *segment
	free   chan *buffer

	mu  sync.Mutex
	met map[*peer]bool // that the file names; true: this load brought it

}

// buffer holds octets of the unpacked file. Segments share it.
type buffer struct {
	b      []byte
	base   int64 // offset of b[0] in the unpacked file
	starts []uint32
	refs   atomic.Int32
}

// segment is a run of whole records in a buffer.
type segment struct {
	buf    *buffer
	starts []uint32 // of its records in buf.b, which say their length
	index  *index   // the PEER_INDEX_TABLE before them, nil: none
	before <-chan struct{}
	sent   chan struct{} // closed when its routes and all before are sent
}

// index is a PEER_INDEX_TABLE.
type index struct {
	peers  []*peer
	shared bool // a peer stands in it twice
}

// run loads the file.
func (j *job) run(ctx context.Context, cancel context.CancelCauseFunc) error {
	j.cancel = cancel
	r, size, closer, err := j.open()
	if err != nil {
		return err
	}
	if size > 0 {
		j.l.set(j, func(s *Status) { s.Total = size })
	}
	// A Read that blocks ends when its file is closed. One that can't be closed is
	// waited for: nobody else may read it before.
	var once sync.Once
	shut := func() { once.Do(func() { closer.Close() }) }
	stop := context.AfterFunc(ctx, shut)
	defer stop()
	inner, end := context.WithCancelCause(ctx)
	ahead := newReadAhead(inner, r, &j.n.bytes)
	defer func() {
		end(nil)
		shut()
		if !j.src.leave {
			ahead.wait()
		}
	}()
	j.log.Info("load begins", "bytes", size)
	return j.pipeline(ctx, ahead)
}

func (j *job) open() (r io.Reader, size int64, c io.Closer, err error) {
	if j.src.Open == nil {
		if j.src.Reader == nil {
			return nil, 0, nil, errors.New("nothing to read: neither Reader nor Open is set")
		}
		return j.src.Reader, j.src.Size, io.NopCloser(nil), nil
	}
	f, size, err := j.src.Open()
	if err != nil {
		return nil, 0, nil, err
	}
	return f, size, f, nil
}

// pipeline decompresses, frames and decodes what ahead gives.
func (j *job) pipeline(ctx context.Context, ahead *readAhead) error {
	in, c, stop, err := unpack(bufio.NewReaderSize(ahead, 64<<10))
	defer stop()
	j.l.set(j, func(s *Status) { s.Compression = c })
	if err != nil {
		if ahead.failed() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: the file ends in the header of its compression", err)
		}
		return err
	}
	workers := j.l.o.Workers
	j.work = make(chan *segment, workers)
	j.free = make(chan *buffer, workers+3)
	for range cap(j.free) {
		j.free <- new(buffer)
	}
	var wg sync.WaitGroup
	for range workers {
		w := newWorker(j)
		wg.Go(w.run)
	}
	f := newFramer(j, in)
	f.run(ctx)
	f.drain()
	close(j.work)
	wg.Wait()
	return f.finish(ctx, ahead.failed())
}

// fail ends the load with an error.
func (j *job) fail(err error) { j.cancel(err) }

// damage counts a place that could not be read, and logs the first of them.
func (j *job) damage(off int64, reason string) {
	n := j.n.damaged.Add(1)
	keep := int64(j.l.o.KeepDamage)
	if n <= keep {
		j.n.mu.Lock()
		j.n.damage = append(j.n.damage, Damage{off, reason})
		j.n.mu.Unlock()
		j.log.Warn("damaged record skipped", "offset", off, "reason", reason)
	} else if n == keep+1 {
		j.log.Warn("more damaged records are counted, but not logged")
	}
	if j.strict {
		j.fail(fmt.Errorf("%w at offset %d: %s", errDamaged, off, reason))
	}
}

// meet returns a peer of the file's collector. It is nil when there is no
// number for it; the load has failed then.
func (j *job) meet(k peerKey, bgpID uint32, internal bool) *peer {
	p, made, err := j.col.get(k, bgpID, internal)
	if err != nil {
		j.fail(fmt.Errorf("peer %v AS%d: %w", k.addr, k.as, err))
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.met == nil {
		j.met = map[*peer]bool{}
	}
	if _, ok := j.met[p]; !ok {
		j.met[p] = made
		j.n.peers.Add(1)
	}
	return p
}

// unmake drops the peers that this load brought.
func (j *job) unmake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, made := range j.met {
		if made {
			j.col.drop(p)
		}
	}
}

// report logs what a load came to.
func (j *job) report(s Status) {
	attrs := []any{"state", s.State.String(), "compression", s.Compression.String(), "bytes", s.Bytes, "records", s.Records,
		"routes", s.Routes, "withdrawals", s.Withdrawals, "peers", s.Peers, "damaged", s.Damaged,
		"seconds", s.EndedAt.Sub(s.StartedAt).Seconds(), "routes_per_second", int64(s.Rate)}
	if s.TreatedAsWithdrawn > 0 || s.AttributesDiscarded > 0 {
		attrs = append(attrs, "treated_as_withdrawn", s.TreatedAsWithdrawn, "attributes_discarded", s.AttributesDiscarded)
	}
	if s.Truncated != "" {
		attrs = append(attrs, "truncated", s.Truncated)
	}
	for _, n := range s.Notes {
		attrs = append(attrs, "note", n)
	}
	switch {
	case s.Err != nil:
		j.log.Error("load failed", append(attrs, "err", s.Err)...)
	case s.Damaged > 0 || s.Truncated != "":
		j.log.Warn("load is over, the file was not sound", attrs...)
	default:
		j.log.Info("load is over", attrs...)
	}
}

// release gives up one hold of a buffer.
func (j *job) release(b *buffer) {
	if b.refs.Add(-1) != 0 {
		return
	}
	if cap(b.b) > bufferKeep {
		b.b = nil
	}
	b.starts = b.starts[:0]
	j.free <- b
}

// recordSize is the size of the record that begins at the start of b.
func recordSize(b []byte) int {
	h, _ := mrt.ParseHeader(b)
	return h.Size()
}
