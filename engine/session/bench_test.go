package session

import (
	"io"
	"net"
	"testing"

	"ribd/wire"
)

// pair returns the two ends of a TCP connection over loopback.
func pair(t testing.TB) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		got <- c
	}()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	there = <-got
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func testWriter(l link) *writer { return newWriter(l, func() int64 { return 1 }, func(error) {}) }

// BenchmarkTrySend writes one UPDATE of about 60 octets: beside the system call
// little may be left. net.Conn.Write stands for that.
func BenchmarkTrySend(b *testing.B) {
	msg := update(65001, 0, 4)
	b.Run("writer", func(b *testing.B) {
		here, there := pair(b)
		go io.Copy(io.Discard, there)
		w := testWriter(newLink(here))
		b.ReportAllocs()
		for b.Loop() {
			if !w.try(msg) {
				if err := w.send(msg); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("net.Conn", func(b *testing.B) {
		here, there := pair(b)
		go io.Copy(io.Discard, there)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := here.Write(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReceive reads UPDATEs of about 60 octets as they come in bulk, and
// splits them.
func BenchmarkReceive(b *testing.B) {
	here, there := pair(b)
	var bulk []byte
	const n = 4096
	for range n {
		bulk = append(bulk, update(65001, 0, 4)...)
	}
	go func() {
		for {
			if _, err := there.Write(bulk); err != nil {
				return
			}
		}
	}()
	size := len(bulk) / n
	b.SetBytes(int64(size))
	b.ReportAllocs()
	left := b.N
	err := newLink(here).Receive(new(buffers), func(buf []byte) (used int, more bool) {
		for len(buf)-used >= wire.HeaderLen {
			_, k, err := wire.ParseHeader(buf[used:], &wire.Session{})
			if err != nil {
				b.Fatal(err)
			}
			if k > len(buf)-used {
				break
			}
			used += k
			left--
		}
		return used, left > 0
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestTrySendAllocatesNothing(t *testing.T) {
	here, there := pair(t)
	go io.Copy(io.Discard, there)
	w := testWriter(newLink(here))
	msg := update(65001, 0, 4)
	if n := testing.AllocsPerRun(200, func() { w.try(msg) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
