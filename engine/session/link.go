package session

import (
	"net/netip"
	"sync"
	"time"

	"ribd/internal/invariants"
)

// link is one connection: TCP, or what a test puts in its place to run under a
// clock of its own. Receive and Close are for the goroutine that owns the
// connection, writes are for one goroutine at a time, the rest is for any.
type link interface {
	// Receive calls take with what has arrived and was not used yet, until take
	// returns more false (nil), the other end closes (io.EOF) or the connection
	// fails. b is lent for the call.
	Receive(take func(b []byte) (used int, more bool)) error
	// TryWrite writes what goes without waiting.
	TryWrite(b []byte) (int, error)
	// Write writes all of b; progress is called after each part.
	Write(b []byte, progress func()) error
	// Interrupt ends Receive at once.
	Interrupt()
	// Linger says that nothing will be written any more, and throws away what
	// comes until the other end closes too, for at most wait. After Receive.
	Linger(wait time.Duration)
	// Kill ends Receive and Write at once, and Close then resets the connection.
	Kill()
	// Close gives the connection back. After Receive.
	Close()
	Addrs() (local, remote netip.AddrPort)
	// Queues returns what the system holds: octets that the peer has not
	// acknowledged, octets that were not read, and the maximum segment size.
	Queues() (send, receive, mss int)
}

const (
	readSmall = 32 << 10
	readLarge = 256 << 10
)

// Read buffers are taken when there is something to read and given back at
// once: a peer that is silent holds none.
var (
	smallBufs = sync.Pool{New: func() any { b := make([]byte, readSmall); return &b }}
	largeBufs = sync.Pool{New: func() any { b := make([]byte, readLarge); return &b }}
)

// chunks is the memory of a Receive: what is left of a message, and how large
// the next read is to be.
type chunks struct {
	rest  []byte
	large bool
}

// get returns a buffer that begins with the rest.
func (c *chunks) get() (p *[]byte, have int) {
	if c.large || len(c.rest) > readSmall/2 {
		p = largeBufs.Get().(*[]byte)
	} else {
		p = smallBufs.Get().(*[]byte)
	}
	return p, copy(*p, c.rest)
}

// put gives the buffer back and keeps b, which was not used. large says that a
// small buffer was full, or would have been.
func (c *chunks) put(p *[]byte, b []byte, large bool) {
	if len(b) == 0 && cap(c.rest) > 8192 {
		c.rest = nil
	}
	c.rest = append(c.rest[:0], b...)
	c.drop(p)
	c.large = large
}

func (c *chunks) drop(p *[]byte) {
	invariants.Spoil(*p)
	if len(*p) == readLarge {
		largeBufs.Put(p)
	} else {
		smallBufs.Put(p)
	}
}
