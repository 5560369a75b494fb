package session

import (
	"sync/atomic"
	"time"

	"ribd/engine/fsm"
	"ribd/wire"
)

const (
	// sendGrace is how long the last message may take to go.
	sendGrace = 2 * time.Second
	// lingerFor is how long a connection is read, and what comes thrown away,
	// after its last message: closing it with octets unread would reset it, and
	// the peer would not see the message.
	lingerFor = time.Second
)

// conn is one connection to a peer. Its goroutine is its reader, from the event
// that it is there to its close; others only interrupt it.
type conn struct {
	p  *peer
	l  link
	w  *writer
	in bool // the peer made it

	// Guarded by the peer's mutex.
	h      *half           // whose connection it is; nil: nobody's any more
	neg    *fsm.Negotiated // what the OPENs led to
	up     bool            // it was established
	retain bool            // its routes outlive it
	notice []byte          // NOTIFICATION that is sent when it is dropped

	over  atomic.Bool           // h is nil: nothing that comes is taken
	heard atomic.Int64          // Manager.now of the last KEEPALIVE or UPDATE
	busy  atomic.Bool           // the reader is at work
	cause atomic.Pointer[error] // why writing failed
	read  atomic.Uint64         // octets

	// The reader's own.
	kept    int          // octets that take left, and gets again
	pending bool         // counts in Manager.pending
	wire    wire.Session // how messages read
	sess    *Session
}

func newConn(p *peer, l link, in bool) *conn {
	c := &conn{p: p, l: l, in: in}
	c.w = newWriter(l, p.m.now, c.failed)
	return c
}

// failed notes that writing has failed; the reader then finds the connection
// ended.
func (c *conn) failed(err error) {
	c.cause.CompareAndSwap(nil, &err)
	c.l.Interrupt()
}

// run is the life of a connection after the event that it is there.
func (c *conn) run(kind fsm.EventKind) {
	p := c.p
	p.mu.Lock()
	p.connected(c, kind)
	p.mu.Unlock()
	var err error
	if !c.over.Load() {
		err = c.l.Receive(&p.m.bufs, c.take)
	}
	if e := c.cause.Load(); e != nil {
		err = *e
	}
	p.mu.Lock()
	if c.h != nil {
		p.event(c.h, fsm.Event{Kind: fsm.EventTCPFails, Cause: reason(err)}, nil)
	}
	p.mu.Unlock()
	if c.sess != nil {
		p.finish(c.sess, c.retain)
	}
	c.close()
	c.opened()
}

// close lets the last message go, and then the connection.
func (c *conn) close() {
	c.w.drain(sendGrace)
	if c.notice != nil || c.up {
		c.l.Linger(lingerFor)
	}
	c.l.Close()
	c.p.count.bytesIn.Add(c.read.Load())
	c.p.count.bytesOut.Add(c.w.bytes.Load())
	c.p.left(c)
}

// drop ends the connection; its reader sees to the rest. The peer's mutex is
// held.
func (c *conn) drop() {
	c.h = nil
	c.over.Store(true)
	c.w.own(c.notice, true)
	c.l.Interrupt()
}

// opened notes that the connection does not wait for its OPEN any more.
func (c *conn) opened() {
	if c.pending {
		c.pending = false
		c.p.m.pending.Add(-1)
	}
}

// take is what Receive calls.
func (c *conn) take(b []byte) (used int, more bool) {
	c.busy.Store(true)
	defer c.busy.Store(false)
	c.read.Add(uint64(len(b) - c.kept))
	if c.sess == nil {
		used = c.shake(b)
	}
	if c.sess != nil {
		used += c.flow(b[used:])
	}
	if c.over.Load() {
		return len(b), false
	}
	c.kept = len(b) - used
	return used, true
}

// shake takes messages up to the one that establishes the session.
func (c *conn) shake(b []byte) (used int) {
	p := c.p
	for len(b)-used >= wire.HeaderLen && !c.over.Load() && c.sess == nil {
		rest := b[used:]
		t, n, err := wire.ParseHeader(rest, &c.wire)
		if err != nil {
			c.refuse(fsm.EventHeaderError, err, rest)
			break
		}
		if n > len(rest) {
			break
		}
		used += n
		c.counted(t)
		msg := rest[:n]
		var e fsm.Event
		switch t {
		case wire.MsgOpen:
			c.open(msg)
			continue
		case wire.MsgKeepalive:
			e.Kind = fsm.EventKeepalive
		case wire.MsgUpdate:
			e.Kind = fsm.EventUpdate
		case wire.MsgNotification:
			c.notification(msg)
			continue
		case wire.MsgRouteRefresh:
			e.Kind = fsm.EventRouteRefresh
		}
		p.mu.Lock()
		if c.h != nil {
			p.event(c.h, e, nil)
			p.collide(nil)
		}
		up := c.up && c.h != nil
		p.mu.Unlock()
		if up {
			p.establish(c)
		}
	}
	return used
}

// refuse ends the connection for a message that can't be read; b begins with it.
func (c *conn) refuse(kind fsm.EventKind, err *wire.Error, b []byte) {
	if n := len(b); n >= wire.HeaderLen {
		b = b[:min(n, max(wire.HeaderLen, int(b[16])<<8|int(b[17])))]
	}
	n := err.Notification(b)
	c.event(fsm.Event{Kind: kind, Notification: &n, Cause: err.Error()})
}

// event gives an event to the machine whose connection this is.
func (c *conn) event(e fsm.Event) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.h != nil {
		c.p.event(c.h, e, nil)
	}
}

// open takes an OPEN.
func (c *conn) open(msg []byte) {
	o, err := wire.ParseOpen(append([]byte(nil), msg...)) // what was negotiated keeps it
	if err != nil {
		c.refuse(fsm.EventOpenError, err, msg)
		return
	}
	c.opened()
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.in && c.h != nil {
		c.h.hangUp() // what it leads to now would collide with this one once the peer has established it
	}
	c.p.yield(c, &o)
	if c.h != nil {
		c.p.opened(c, &o)
	}
}

func (c *conn) notification(msg []byte) {
	n, err := wire.ParseNotification(msg, &c.wire)
	if err != nil {
		c.refuse(fsm.EventHeaderError, err, msg)
		return
	}
	n.Data = append([]byte(nil), n.Data...)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.received = noted(n, time.Now())
	if c.h != nil {
		c.p.event(c.h, fsm.Event{Kind: fsm.EventNotification, Notification: &n}, nil)
	}
}

// flow takes the messages of an established session in.
func (c *conn) flow(b []byte) (used int) {
	s, in, now := c.sess, c.sess.in, time.Now()
	c.p.count.lastIn.Store(now.UnixNano())
	for !c.over.Load() {
		n, err := in.Updates(b[used:], uint32(now.Unix()))
		used += n
		if n > 0 {
			c.heard.Store(c.p.m.now())
		}
		if err != nil {
			c.refuse(fsm.EventUpdateError, err, b[used:])
			break
		}
		rest := b[used:]
		if len(rest) < wire.HeaderLen {
			break
		}
		t, size, err := wire.ParseHeader(rest, &c.wire)
		if err != nil {
			c.refuse(fsm.EventHeaderError, err, rest)
			break
		}
		if size > len(rest) {
			break
		}
		used += size
		c.other(s, t, rest[:size])
	}
	in.Flush()
	if len(b) >= readSmall {
		c.pace()
	}
	c.p.limits(s)
	return used
}

const (
	paceStep = 200 * time.Microsecond
	paceMost = 20 * time.Millisecond
)

// pace has a peer that sends in bulk wait while what it has sent is told on to
// others, for a moment: else the changes of all others would stand in line
// behind a whole table. It reads in small pieces meanwhile.
func (c *conn) pace() {
	m := c.p.m
	if m.o.Hooks.Behind == nil {
		return
	}
	behind := m.o.Hooks.Behind()
	m.bufs.inBits.Store(behind)
	for waited := time.Duration(0); behind && waited < paceMost && !c.over.Load(); waited += paceStep {
		time.Sleep(paceStep)
		behind = m.o.Hooks.Behind()
	}
}

// other takes a message of an established session that is no UPDATE.
func (c *conn) other(s *Session, t wire.MessageType, msg []byte) {
	c.counted(t)
	switch t {
	case wire.MsgKeepalive:
		c.heard.Store(c.p.m.now())
	case wire.MsgNotification:
		c.notification(msg)
	case wire.MsgRouteRefresh:
		c.refreshed(s, msg)
	case wire.MsgOpen:
		c.event(fsm.Event{Kind: fsm.EventOpen})
	case wire.MsgUpdate:
		panic("BUG: session: ingest left a whole UPDATE")
	}
}

// refreshed takes a ROUTE-REFRESH (RFC 2918, RFC 7313).
func (c *conn) refreshed(s *Session, msg []byte) {
	r, err := wire.ParseRouteRefresh(msg, &c.wire)
	if err != nil {
		c.refuse(fsm.EventHeaderError, err, msg)
		return
	}
	if !s.carries(r.Family) {
		return // RFC 2918 section 4: ignored
	}
	enhanced := s.enhanced()
	if enhanced && len(msg) != wire.HeaderLen+4 && r.Subtype != 0 {
		n := wire.Notification{Code: wire.CodeRouteRefresh, Subcode: wire.SubInvalidRefreshLength, Data: msg}
		c.event(fsm.Event{Kind: fsm.EventRouteRefreshError, Notification: &n})
		return
	}
	switch {
	case r.Subtype == 0 || !enhanced:
		if c.p.m.o.Hooks.Refresh != nil {
			c.p.m.o.Hooks.Refresh(s, r.Family, enhanced)
		}
	case r.Subtype == 1:
		s.in.Flush()
		s.in.BeginRefresh(r.Family)
	case r.Subtype == 2:
		s.in.Flush()
		s.in.EndRefresh(r.Family)
	}
}

// counted counts a message that came.
func (c *conn) counted(t wire.MessageType) {
	in := &c.p.count.in
	switch t {
	case wire.MsgOpen:
		in.open.Add(1)
	case wire.MsgUpdate:
		in.update.Add(1)
	case wire.MsgKeepalive:
		in.keepalive.Add(1)
	case wire.MsgNotification:
		in.notification.Add(1)
	case wire.MsgRouteRefresh:
		in.refresh.Add(1)
	}
}

// endWith ends the session with a NOTIFICATION, from outside.
func (c *conn) endWith(n wire.Notification, cause string) {
	c.event(fsm.Event{Kind: fsm.EventAutomaticStop, Notification: &n, Cause: cause})
}
