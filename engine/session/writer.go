package session

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pieceLen is how much Send writes before it looks whether a message of our
	// own waits, such as a KEEPALIVE: a piece ends between two messages.
	pieceLen = 128 << 10
	// maxUrgent bounds our own messages that wait for a full socket.
	maxUrgent = 64 << 10
	// keepRest is how much of a buffer for unsent octets is kept for the next time.
	keepRest = 16 << 10
)

var errOver = errors.New("the session is over")

// writer is the sending half of a connection. One goroutine at a time owns the
// link's writing: a Send, or flush, which exists only while the socket is full.
// While there is an owner, TrySend takes nothing and our own messages wait for
// the next border between messages.
type writer struct {
	l    link
	now  func() int64 // nanoseconds, never 0
	fail func(error)  // called once, without the mutex

	mu     sync.Mutex
	idle   sync.Cond // busy has become false, or over is set
	busy   bool
	rest   []byte // what flush writes
	urgent []byte // own messages for the owner to write at the next border
	last   bool   // the last message is in urgent or gone: nothing else is taken
	over   error  // nothing can be written any more

	stuck atomic.Int64  // while busy: when the last octet went; else 0
	bytes atomic.Uint64 // written
}

func newWriter(l link, now func() int64, fail func(error)) *writer {
	w := &writer{l: l, now: now, fail: fail}
	w.idle.L = &w.mu
	return w
}

// try writes msgs where the socket has room for at least the first octet, and
// sees to the rest. It never waits.
func (w *writer) try(msgs []byte) bool {
	w.mu.Lock()
	if w.busy || w.last || w.over != nil {
		w.mu.Unlock()
		return false
	}
	n, err := w.l.TryWrite(msgs)
	switch {
	case err != nil:
		w.over = err
		w.mu.Unlock()
		w.fail(err)
		return false
	case n == 0 && len(msgs) > 0:
		w.mu.Unlock()
		return false
	}
	w.bytes.Add(uint64(n))
	if n < len(msgs) {
		w.flushLocked(msgs[n:])
	}
	w.mu.Unlock()
	return true
}

// flushLocked makes a goroutine the owner, which writes b (copied).
func (w *writer) flushLocked(b []byte) {
	w.busy = true
	w.stuck.Store(w.now())
	w.rest = append(w.rest[:0], b...)
	go func() { w.release(w.write(w.rest)) }()
}

// write writes all of b. The caller is the owner.
func (w *writer) write(b []byte) error {
	err := w.l.Write(b, w.progress)
	if err == nil {
		w.bytes.Add(uint64(len(b)))
	}
	return err
}

func (w *writer) progress() { w.stuck.Store(w.now()) }

// send writes msgs, and waits while the peer does not read.
func (w *writer) send(msgs []byte) error {
	w.mu.Lock()
	for w.busy && w.over == nil && !w.last {
		w.idle.Wait()
	}
	if err := w.ended(); err != nil {
		w.mu.Unlock()
		return err
	}
	w.busy = true
	w.stuck.Store(w.now())
	w.mu.Unlock()
	var err error
	for len(msgs) > 0 && err == nil {
		n := border(msgs, pieceLen)
		if err = w.write(msgs[:n]); err == nil {
			err = w.writeUrgent()
		}
		msgs = msgs[n:]
	}
	w.release(err)
	return err
}

func (w *writer) ended() error {
	if w.over == nil && w.last {
		return errOver
	}
	return w.over
}

// writeUrgent writes our own messages. The caller is the owner. After the last
// one the error is errOver.
func (w *writer) writeUrgent() error {
	for {
		w.mu.Lock()
		b := w.urgent
		w.urgent = nil
		err := w.ended()
		w.mu.Unlock()
		if len(b) == 0 {
			return err
		}
		if err := w.write(b); err != nil {
			return err
		}
	}
}

// release ends the caller's ownership.
func (w *writer) release(err error) {
	for {
		if err == nil {
			err = w.writeUrgent()
		}
		w.mu.Lock()
		if err == nil && len(w.urgent) > 0 {
			w.mu.Unlock()
			continue // it came just now
		}
		break
	}
	w.busy = false
	w.stuck.Store(0)
	if cap(w.rest) > keepRest {
		w.rest = nil
	}
	failed := false
	if err != nil && w.over == nil {
		w.over = err
		failed = err != errOver
	}
	w.idle.Broadcast()
	w.mu.Unlock()
	if failed {
		w.fail(err)
	}
}

// own sends a message of ours, at once or at the next border. The last one ends
// the sending: what of others was not written is dropped.
func (w *writer) own(msg []byte, last bool) {
	w.mu.Lock()
	if w.over != nil || w.last || (len(w.urgent)+len(msg) > maxUrgent && !last) {
		w.mu.Unlock()
		return
	}
	w.last = last
	if w.busy {
		w.urgent = append(w.urgent, msg...)
		w.mu.Unlock()
		return
	}
	var n int
	var err error
	if len(msg) > 0 {
		n, err = w.l.TryWrite(msg)
	}
	w.bytes.Add(uint64(n))
	switch {
	case err != nil:
		w.over = err
	case n < len(msg):
		w.flushLocked(msg[n:])
	case last:
		w.over = errOver
	}
	w.mu.Unlock()
	if err != nil {
		w.fail(err)
	}
}

// stopOthers makes send and try fail from now on; our own messages go still.
func (w *writer) stopOthers() {
	w.mu.Lock()
	w.last = true
	w.idle.Broadcast()
	w.mu.Unlock()
}

// drain waits until what was begun is written, or for at most wait. Nothing can
// be sent after it.
func (w *writer) drain(wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy {
		t := time.AfterFunc(wait, w.l.Kill)
		for w.busy {
			w.idle.Wait()
		}
		t.Stop()
	}
	if w.over == nil {
		w.over = errOver
	}
	w.idle.Broadcast()
}

// blockedFor is for how long nothing could be written although something waits.
func (w *writer) blockedFor() int64 {
	if at := w.stuck.Load(); at != 0 {
		return w.now() - at
	}
	return 0
}

// border returns the length of the whole messages that b begins with, at most
// most of it, at least one; all of b where it is short.
func border(b []byte, most int) int {
	if len(b) <= most {
		return len(b)
	}
	n := 0
	for {
		size := int(binary.BigEndian.Uint16(b[n+16:]))
		if size < 19 || n+size > len(b) {
			return len(b) // not messages: the caller's mistake is not made worse
		}
		if n > 0 && n+size > most {
			return n
		}
		n += size
		if n+18 > len(b) {
			return len(b)
		}
	}
}
