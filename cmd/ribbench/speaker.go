package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ribd/wire"
)

const (
	speakerHold  = 240 // seconds
	speakerBuf   = 1 << 18
	speakerLimit = 3 * time.Minute // for anything that is waited for
)

// speaker is one end of a BGP session that is played by hand: it sends octets
// that are ready, and counts what comes.
type speaker struct {
	conn    net.Conn
	addPath bool
	write   sync.Mutex

	routes, withdrawn atomic.Int64 // NLRI that came
	updates           atomic.Int64 // UPDATEs with routes that came
	up                time.Time    // when the other end's KEEPALIVE came
	first             atomic.Int64 // when the first UPDATE with routes came, ns after up
	ends              atomic.Int64 // End-of-RIB markers
	gap               atomic.Int64 // the longest time without any message, ns
	seen              func(msg []byte)
	done              chan struct{}
	err               error
}

// speak opens a session from a loopback address to a daemon and brings it up. It
// is for IPv4 unicast, and for other families that are named.
func speak(from netip.Addr, to netip.AddrPort, as uint32, addPath bool, seen func(msg []byte), also ...wire.Family) (*speaker, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: speakerLimit}
	conn, err := d.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	s := &speaker{conn: conn, addPath: addPath, seen: seen, done: make(chan struct{})}
	id := from.As4()
	caps := []wire.Capability{wire.MultiprotocolCapability(wire.IPv4Unicast), {Code: wire.CapRouteRefresh}, wire.AS4Capability(as)}
	for _, f := range also {
		caps = append(caps, wire.MultiprotocolCapability(f))
	}
	if addPath {
		both := wire.NewFamilySet(wire.IPv4Unicast)
		caps = append(caps, wire.AddPathCapability(both, both))
	}
	open := wire.AppendOpen(nil, &wire.Open{AS: as, HoldTime: speakerHold, ID: binary.BigEndian.Uint32(id[:]), Capabilities: caps})
	if _, err = conn.Write(open); err != nil {
		conn.Close()
		return nil, err
	}
	up := make(chan error, 1)
	go s.read(up)
	select {
	case err = <-up:
	case <-time.After(speakerLimit):
		err = fmt.Errorf("%s: the session does not come up", from)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go s.keepalive()
	return s, nil
}

// read counts messages until the connection ends.
func (s *speaker) read(up chan<- error) {
	defer close(s.done)
	r := bufio.NewReaderSize(s.conn, speakerBuf)
	established := false
	last := time.Now()
	for {
		msg, err := nextMessage(r)
		if err == nil && msg[18] == byte(wire.MsgNotification) {
			err = fmt.Errorf("%s: NOTIFICATION %d/%d", s.conn.LocalAddr(), msg[19], msg[20])
		}
		if err != nil {
			s.err = err
			if !established {
				up <- err
			}
			return
		}
		now := time.Now()
		if g := now.Sub(last).Nanoseconds(); established && g > s.gap.Load() {
			s.gap.Store(g)
		}
		last = now
		switch wire.MessageType(msg[18]) {
		case wire.MsgOpen:
			// Not sooner (RFC 4271 8.2.2, OpenSent): BIRD 2 takes a KEEPALIVE that
			// comes before its own OPEN is out, but reads NLRI without path ids then.
			if err := s.send(wire.AppendKeepalive(nil)); err != nil {
				s.err = err
				up <- err
				return
			}
		case wire.MsgKeepalive:
			if !established {
				established, s.up = true, now
				up <- nil
			}
		case wire.MsgUpdate:
			s.count(msg, now)
			if s.seen != nil {
				s.seen(msg)
			}
		}
		if _, err := r.Discard(len(msg)); err != nil {
			s.err = err
			return
		}
	}
}

// nextMessage returns the message at the front of r without taking it out.
func nextMessage(r *bufio.Reader) ([]byte, error) {
	h, err := r.Peek(wire.HeaderLen)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:]))
	if n < wire.HeaderLen {
		return nil, fmt.Errorf("a message of %d octets", n)
	}
	return r.Peek(n)
}

// count counts the classic NLRI of an UPDATE, and IPv4 unicast in MP_REACH_NLRI.
func (s *speaker) count(msg []byte, now time.Time) {
	b := msg[wire.HeaderLen:]
	w := int(binary.BigEndian.Uint16(b))
	gone := s.nlri(b[2 : 2+w])
	b = b[2+w:]
	a := int(binary.BigEndian.Uint16(b))
	routes := s.nlri(b[2+a:])
	if w == 0 && a != 0 && routes == 0 {
		routes = s.inReach(msg)
	}
	if w == 0 && a == 0 && routes == 0 {
		s.ends.Add(1)
	}
	if gone > 0 {
		s.withdrawn.Add(gone)
	}
	if routes > 0 {
		if s.first.Load() == 0 {
			s.first.Store(max(1, now.Sub(s.up).Nanoseconds()))
		}
		s.routes.Add(routes)
		s.updates.Add(1)
	}
}

// inReach counts IPv4 unicast in MP_REACH_NLRI.
func (s *speaker) inReach(msg []byte) (n int64) {
	session := wire.Session{AS4: true, Families: wire.NewFamilySet(wire.IPv4Unicast)}
	if s.addPath {
		session.AddPath = session.Families
	}
	var u wire.Update
	if u.Parse(msg, &session) != nil {
		return 0
	}
	if m, ok := u.Reach(); ok && m.Family == wire.IPv4Unicast {
		for w := m.NLRI4(); w.Next(); {
			n++
		}
	}
	return n
}

func (s *speaker) nlri(b []byte) (n int64) {
	for len(b) > 0 {
		if s.addPath {
			b = b[4:]
		}
		b = b[1+(int(b[0])+7)/8:]
		n++
	}
	return n
}

// keepalive keeps the session up until it ends.
func (s *speaker) keepalive() {
	t := time.NewTicker(speakerHold / 8 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
			if s.send(wire.AppendKeepalive(nil)) != nil {
				return
			}
		}
	}
}

// send writes whole messages.
func (s *speaker) send(b []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	_, err := s.conn.Write(b)
	return err
}

// close ends the session and waits until that is so.
func (s *speaker) close() {
	s.conn.Close()
	<-s.done
}

// await waits until a condition of the session holds.
func (s *speaker) await(what string, ok func() bool) error {
	for end := time.Now().Add(speakerLimit); !ok(); {
		select {
		case <-s.done:
			if ok() {
				return nil
			}
			return fmt.Errorf("waiting for %s: %w", what, s.ended())
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s did not come in %s: %d routes, %d withdrawn", what, speakerLimit, s.routes.Load(), s.withdrawn.Load())
		}
		time.Sleep(200 * time.Microsecond)
	}
	return nil
}

func (s *speaker) ended() error {
	if s.err == nil {
		return io.EOF
	}
	return s.err
}
