package session

import (
	"net/netip"
	"sync"
	"sync/atomic"
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
	Receive(bufs *buffers, take func(b []byte) (used int, more bool)) error
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
	// mostLarge bounds the large buffers that are in use: with hundreds of peers
	// that all send at once the others make do with small ones.
	mostLarge = 64
)

// buffers is what connections read into. A buffer is taken when there is
// something to read and given back at once: a peer that is silent holds none.
type buffers struct {
	small, large sync.Pool
	used         atomic.Int32 // large ones
	inBits       atomic.Bool  // large ones only where a message needs it
}

// chunks is the memory of a Receive: what is left of a message, and how large
// the next read is to be.
type chunks struct {
	from  *buffers
	rest  []byte
	large bool
}

// get returns a buffer that begins with the rest. A message that fills a small
// one has to have a large one.
func (c *chunks) get() (p *[]byte, have int) {
	pool, size := &c.from.small, readSmall
	if c.large && !c.from.inBits.Load() && c.from.used.Load() < mostLarge || len(c.rest) > readSmall/2 {
		pool, size = &c.from.large, readLarge
		c.from.used.Add(1)
	}
	p, ok := pool.Get().(*[]byte)
	if !ok {
		b := make([]byte, size)
		p = &b
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
		c.from.used.Add(-1)
		c.from.large.Put(p)
	} else {
		c.from.small.Put(p)
	}
}
