package session

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// tcpLink is a link over TCP. It reads and writes by the socket's own calls
// under the runtime's poller, so that a read needs no buffer before there is
// something to read, and a write can be tried.
type tcpLink struct {
	conn          *net.TCPConn
	raw           syscall.RawConn
	local, remote netip.AddrPort

	// The write in progress; try and all are made once, since a closure on
	// every write would be an allocation.
	out      []byte
	n        int
	err      error
	progress func()
	try, all func(fd uintptr) bool
}

// newLink makes a link of a connection.
func newLink(conn net.Conn) link {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return &plainLink{conn: conn}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return &plainLink{conn: conn}
	}
	l := &tcpLink{conn: c, raw: raw, local: addrPort(c.LocalAddr()), remote: addrPort(c.RemoteAddr())}
	l.try = func(fd uintptr) bool {
		for l.n < len(l.out) && l.err == nil {
			var n int
			n, l.err = sysWrite(fd, l.out[l.n:])
			l.n += n
		}
		return true
	}
	l.all = func(fd uintptr) bool {
		for l.n < len(l.out) {
			n, err := sysWrite(fd, l.out[l.n:])
			switch {
			case err == errAgain:
				return false
			case err != nil:
				l.err = err
				return true
			}
			l.n += n
			if l.progress != nil {
				l.progress()
			}
		}
		return true
	}
	return l
}

func (l *tcpLink) Addrs() (local, remote netip.AddrPort) { return l.local, l.remote }

// Receive reads until the socket is empty, then waits: epoll tells an edge, so
// a read that got less than it wanted is no sign that nothing else, such as the
// end, is there.
func (l *tcpLink) Receive(bufs *buffers, take func(b []byte) (used int, more bool)) error {
	in := chunks{from: bufs}
	var end error
	step := func(fd uintptr) bool {
		for {
			p, have := in.get()
			n, err := sysRead(fd, (*p)[have:])
			if n <= 0 || err != nil {
				in.drop(p)
				if err == errAgain {
					return false
				}
				if end = err; err == nil {
					end = io.EOF
				}
				return true
			}
			b := (*p)[:have+n]
			used, more := take(b)
			in.put(p, b[used:], len(b) >= readSmall)
			if !more {
				return true
			}
		}
	}
	if err := l.raw.Read(step); err != nil {
		return err
	}
	return end
}

func (l *tcpLink) TryWrite(b []byte) (int, error) {
	l.out, l.n, l.err = b, 0, nil
	err := l.raw.Write(l.try)
	l.out = nil
	if err != nil {
		return 0, err
	}
	if l.err == errAgain {
		l.err = nil
	}
	return l.n, l.err
}

func (l *tcpLink) Write(b []byte, progress func()) error {
	l.out, l.n, l.err, l.progress = b, 0, nil, progress
	err := l.raw.Write(l.all)
	l.out, l.progress = nil, nil
	if err != nil {
		return err
	}
	return l.err
}

func (l *tcpLink) Interrupt() { l.conn.SetReadDeadline(longAgo) }

func (l *tcpLink) Linger(wait time.Duration) { linger(l.conn, wait) }

func (l *tcpLink) Kill() {
	l.conn.SetLinger(0)
	l.conn.SetDeadline(longAgo)
}

func (l *tcpLink) Close() { l.conn.Close() }

func (l *tcpLink) Queues() (send, receive, mss int) { return sysQueues(l.raw) }
