package session

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/engine/ingest"
	"ribd/shard/rib"
	"ribd/wire"
)

// Session is one established session, from Hooks.Up to Hooks.Down. The exported
// fields do not change.
type Session struct {
	Num           rib.PeerNum
	ID            string       // rib.PeerID
	Peer          config.Peer  // as it was when the session was established
	Range         netip.Prefix // of a dynamic neighbour, else invalid
	AS            uint32       // the peer's
	LocalAS       uint32       // ours, as this peer sees it
	RouterID      uint32       // the peer's BGP identifier
	LocalRouterID uint32
	Internal      bool
	Negotiated    fsm.Negotiated
	Local, Remote netip.AddrPort
	Since         time.Time

	user atomic.Value // what the caller keeps with it
	p    *peer
	c    *conn
	in   *ingest.Peer
	done chan struct{}

	mu      sync.Mutex
	sentEoR map[wire.Family]time.Time
}

// Config is the peer's configuration of today: keys that do not reset a session
// may differ from Peer.
func (s *Session) Config() config.Peer { return *s.p.config.Load() }

// SetUser has the session keep a value, not nil, for its caller: in Hooks.Up,
// when others may see the session already.
func (s *Session) SetUser(v any) { s.user.Store(v) }

// User returns what SetUser was given, nil before that.
func (s *Session) User() any { return s.user.Load() }

// TrySend sends whole messages, of which updates are UPDATEs that withdraw so
// many routes, where the socket has room for their first octet; what does not
// fit is copied and follows. It never waits. False: nothing was taken, and Send
// is the way.
func (s *Session) TrySend(msgs []byte, updates, withdraws int) bool {
	if !s.c.w.try(msgs) {
		return false
	}
	s.p.count.sent(updates, withdraws)
	return true
}

// Send sends whole messages, and waits while the peer does not read. After an
// error the session is over.
func (s *Session) Send(msgs []byte, updates, withdraws int) error {
	if err := s.c.w.send(msgs); err != nil {
		return err
	}
	s.p.count.sent(updates, withdraws)
	return nil
}

// Unsent says whether octets wait that TrySend has taken: the peer reads slower
// than it is sent to.
func (s *Session) Unsent() bool { return s.c.w.stuck.Load() != 0 }

// SentEndOfRIB notes that an End-of-RIB was sent, for Status.
func (s *Session) SentEndOfRIB(f wire.Family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sentEoR == nil {
		s.sentEoR = map[wire.Family]time.Time{}
	}
	if _, ok := s.sentEoR[f]; !ok {
		s.sentEoR[f] = time.Now()
	}
}

// Close ends the session with a NOTIFICATION. message is for an administrative
// shutdown or reset (RFC 9003).
func (s *Session) Close(code, subcode uint8, message string) {
	n := wire.Notification{Code: code, Subcode: subcode}
	if message != "" {
		n.Data = wire.ShutdownData(message)
	}
	s.c.endWith(n, n.String())
}

// Done is closed when the session is over and its Down has returned.
func (s *Session) Done() <-chan struct{} { return s.done }

// counts is what a peer's messages come to, over its sessions. Updated by its
// reader and whoever sends; read by any.
type counts struct {
	in, out struct {
		open, update, keepalive, notification, refresh, withdraws atomic.Uint64
	}
	bytesIn, bytesOut atomic.Uint64 // of connections that are over
	lastIn, lastOut   atomic.Int64  // unix nanoseconds
}

func (c *counts) sent(updates, withdraws int) {
	c.out.update.Add(uint64(updates))
	if withdraws > 0 {
		c.out.withdraws.Add(uint64(withdraws))
	}
	c.lastOut.Store(time.Now().UnixNano())
}

func (c *counts) messages() Messages {
	at := func(v *atomic.Int64) time.Time {
		if n := v.Load(); n != 0 {
			return time.Unix(0, n)
		}
		return time.Time{}
	}
	return Messages{
		Received: MessageCounts{c.in.open.Load(), c.in.update.Load(), c.in.keepalive.Load(), c.in.notification.Load(),
			c.in.refresh.Load(), c.in.withdraws.Load()},
		Sent: MessageCounts{c.out.open.Load(), c.out.update.Load(), c.out.keepalive.Load(), c.out.notification.Load(),
			c.out.refresh.Load(), c.out.withdraws.Load()},
		LastReceived: at(&c.lastIn), LastSent: at(&c.lastOut),
	}
}

// carries says whether a family was negotiated.
func (s *Session) carries(f wire.Family) bool { return s.Negotiated.Families.Has(f) }

func (s *Session) enhanced() bool { return s.Negotiated.EnhancedRefresh }
