package session

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ribd/wire"
)

// fickle is a link whose socket has room for as much as chance allows.
type fickle struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	got  []byte
	fail bool
}

func (l *fickle) TryWrite(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail {
		return 0, errors.New("broken")
	}
	n := 0
	if l.rnd.IntN(3) > 0 {
		n = l.rnd.IntN(len(b) + 1)
	}
	l.got = append(l.got, b[:n]...)
	return n, nil
}

func (l *fickle) Write(b []byte, progress func()) error {
	for len(b) > 0 {
		l.mu.Lock()
		if l.fail {
			l.mu.Unlock()
			return errors.New("broken")
		}
		n := 1 + l.rnd.IntN(len(b))
		l.got = append(l.got, b[:n]...)
		l.mu.Unlock()
		b = b[n:]
		progress()
	}
	return nil
}

func (l *fickle) Receive(*buffers, func([]byte) (int, bool)) error { return nil }
func (l *fickle) Interrupt()                                       {}
func (l *fickle) Linger(time.Duration)                             {}
func (l *fickle) Kill()                                            {}
func (l *fickle) Close()                                           {}
func (l *fickle) Addrs() (a, b netip.AddrPort)                     { return }
func (l *fickle) Queues() (send, receive, mss int)                 { return }

// numbered is a message of type 2 that carries a number, and is n octets longer.
func numbered(i uint32, n int) []byte {
	b := append(header(23+n, 2), make([]byte, 4+n)...)
	binary.BigEndian.PutUint32(b[19:], i)
	return b
}

func TestWriterSendsWholeMessagesInOrder(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := &fickle{rnd: rand.New(rand.NewPCG(seed, 2))}
		w := testWriter(l)
		var wg sync.WaitGroup
		wg.Go(func() { // our own messages come when they come
			for range 50 {
				w.own(keepalive, false)
				if rnd.IntN(4) == 0 {
					time.Sleep(time.Microsecond)
				}
			}
		})
		next, want := uint32(0), uint32(0)
		sizes := rand.New(rand.NewPCG(seed, 3))
		for range 200 {
			var msgs []byte
			first := next
			for range 1 + sizes.IntN(20) {
				msgs = append(msgs, numbered(next, sizes.IntN(4000))...)
				next++
			}
			if !w.try(msgs) {
				if sizes.IntN(2) == 0 {
					next = first // not taken: the next ones carry the same numbers
					continue
				}
				if err := w.send(msgs); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			want = next
		}
		wg.Wait()
		w.own(wire.AppendNotification(nil, wire.Notification{Code: 6, Subcode: 2}), true)
		if w.try(numbered(next, 0)) || w.send(numbered(next, 0)) == nil {
			t.Errorf("seed %d: something is taken after the last message", seed)
		}
		w.drain(time.Second)
		var got, own uint32
		b := l.got
		for len(b) > 0 {
			mt, n, err := wire.ParseHeader(b, &wire.Session{Extended: true})
			if err != nil || n > len(b) {
				t.Fatalf("seed %d: %d octets are no message: %v", seed, len(b), err)
			}
			switch mt {
			case wire.MsgKeepalive:
				own++
			case wire.MsgUpdate:
				if i := binary.BigEndian.Uint32(b[19:]); i != got {
					t.Fatalf("seed %d: message %d, want %d", seed, i, got)
				}
				got++
			case wire.MsgNotification:
				if n != len(b) {
					t.Errorf("seed %d: %d octets follow the last message", seed, len(b)-n)
				}
			}
			b = b[n:]
		}
		if got != want || own != 50 {
			t.Errorf("seed %d: %d messages, want %d; %d of our own", seed, got, want, own)
		}
		if w.bytes.Load() != uint64(len(l.got)) {
			t.Errorf("seed %d: counted %d octets of %d", seed, w.bytes.Load(), len(l.got))
		}
	}
}

func TestABrokenLinkIsToldOnce(t *testing.T) {
	l := &fickle{rnd: rand.New(rand.NewPCG(1, 1)), fail: true}
	failed := 0
	w := newWriter(l, func() int64 { return 1 }, func(error) { failed++ })
	if w.try(keepalive) || w.send(keepalive) == nil {
		t.Error("a broken link takes messages")
	}
	w.own(keepalive, true)
	w.drain(time.Second)
	if failed != 1 {
		t.Errorf("told %d times", failed)
	}
}

func TestBorder(t *testing.T) {
	var b []byte
	for i := range uint32(100) {
		b = append(b, numbered(i, 77)...) // 100 octets each
	}
	for most, want := range map[int]int{1: 100, 99: 100, 100: 100, 250: 200, 9999: 9900, 10000: 10000, 1 << 20: 10000} {
		if got := border(b, most); got != want {
			t.Errorf("border(%d) = %d, want %d", most, got, want)
		}
	}
}
