package session

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// plainLink is a link over any net.Conn: what systems other than Linux use, and
// tests that run over a pipe. It has no way to try a write, so every one goes
// by way of a goroutine, and a peer that is silent holds a read buffer.
type plainLink struct {
	conn net.Conn
}

func (l *plainLink) Receive(bufs *buffers, take func(b []byte) (used int, more bool)) error {
	in := chunks{from: bufs}
	for {
		p, have := in.get()
		n, err := l.conn.Read((*p)[have:])
		if n == 0 && err != nil {
			in.drop(p)
			return err
		}
		b := (*p)[:have+n]
		used, more := take(b)
		in.put(p, b[used:], len(b) >= readSmall)
		if !more {
			return nil
		}
	}
}

func (l *plainLink) TryWrite([]byte) (int, error) { return 0, nil }

func (l *plainLink) Write(b []byte, progress func()) error {
	for len(b) > 0 {
		n, err := l.conn.Write(b[:min(len(b), 64<<10)])
		if err != nil {
			return err
		}
		b = b[n:]
		if progress != nil {
			progress()
		}
	}
	return nil
}

func (l *plainLink) Interrupt() { l.conn.SetReadDeadline(longAgo) }

func (l *plainLink) Linger(wait time.Duration) { linger(l.conn, wait) }

func (l *plainLink) Kill() {
	if c, ok := l.conn.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	l.conn.SetDeadline(longAgo)
}

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

// lingerMost bounds what linger throws away.
const lingerMost = 64 << 20

// linger closes the sending half of a connection and reads until the other end
// has closed its own. A pipe has no halves: it is not lingered on.
func linger(c net.Conn, wait time.Duration) {
	h, ok := c.(interface{ CloseWrite() error })
	if !ok || h.CloseWrite() != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(wait))
	b := make([]byte, 4<<10)
	for n := 0; n < lingerMost; {
		k, err := c.Read(b)
		if err != nil {
			return
		}
		n += k
	}
}

func (l *plainLink) Close() { l.conn.Close() }

func (l *plainLink) Queues() (send, receive, mss int) { return 0, 0, 0 }

func (l *plainLink) Addrs() (local, remote netip.AddrPort) {
	return addrPort(l.conn.LocalAddr()), addrPort(l.conn.RemoteAddr())
}

// addrPort returns the address of a TCP socket, IPv4 as such.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// reason says what ended a connection, in the words of a person.
func reason(err error) string {
	var sys syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF):
		return "the peer closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the connection was ended here"
	case errors.As(err, &sys):
		return sys.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
