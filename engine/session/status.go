package session

import (
	"net/netip"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/engine/ingest"
	"ribd/shard/rib"
	"ribd/wire"
)

// Status is all that is known of one peer: one that is configured, or one of a
// range that is there or ended within the hour. What is counted of its routes
// is the RIB's to tell.
type Status struct {
	ID      string       // rib.PeerID
	Num     rib.PeerNum  // 0: it has no routes here
	Address netip.Addr   // invalid for a range itself, which is not listed
	Range   netip.Prefix // of a dynamic neighbour, else invalid
	Config  config.Peer
	AS      uint32 // 0: not known yet
	// RouterID is the peer's of the last session, 0 before one.
	RouterID uint32
	Internal bool

	Local         netip.AddrPort // of the connection; without one as configured, maybe invalid
	Remote        netip.AddrPort // of the connection, invalid without one
	LocalAS       uint32
	LocalRouterID uint32
	RemoteRole    wire.Role // where HasRemoteRole
	HasRemoteRole bool

	Enabled       bool
	State         fsm.State
	Since         time.Time // of State
	Reason        string    // of State
	Flaps         uint64    // how often it left Established
	NextConnectAt time.Time // zero: no call is waited for
	History       []Event   // oldest first
	// LastDown is the last change from Established, zero before one: a peer that is
	// called in vain has pushed it out of the history.
	LastDown Event

	// Negotiated is of the session, or the last one; nil before the first.
	Negotiated   *fsm.Negotiated
	ConnectRetry time.Duration
	Families     []FamilyStatus

	Messages         Messages
	Counters         ingest.Counters // over all sessions since the peer has had routes here
	LastNotification struct{ Received, Sent *Notification }
	Transport        Transport

	// Session is the established one, nil without one.
	Session *Session
}

// FamilyStatus is what sessions know of one family of a peer.
type FamilyStatus struct {
	Family       wire.Family
	Negotiated   bool
	Receive      bool               // with path ids
	Send         bool               // with path ids
	Limit        config.MaxPrefixes // Limit 0: none
	LimitState   LimitState
	EndOfRIB     time.Time // received in this session; zero: not yet
	SentEndOfRIB time.Time // see Session.SentEndOfRIB
	// What is kept of an earlier session, and until when; see RFC 4724 and 9494.
	Restart    bool // the peer's capability names the family
	Forwarding bool
	LLGRTime   time.Duration
	LongLived  bool // the peer's LLGR capability names the family
	Stale      rib.Stale
	StaleUntil time.Time
}

// LimitState is how a family stands to its limit of prefixes.
type LimitState uint8

// The states of a limit.
const (
	LimitOK LimitState = iota
	LimitWarned
	LimitExceeded
)

// String names the state as the API does.
func (s LimitState) String() string {
	return [...]string{"ok", "warned", "exceeded"}[min(s, LimitExceeded)]
}

// MessageCounts counts messages of one direction.
type MessageCounts struct {
	Open, Update, Keepalive, Notification, RouteRefresh uint64
	Withdraws                                           uint64 // routes
}

// Messages counts messages since the peer was configured.
type Messages struct {
	Received, Sent         MessageCounts
	LastReceived, LastSent time.Time
}

// Transport is the connection under a session.
type Transport struct {
	MD5               bool
	TTLSecurity       uint8 // hops, 0: off
	Connected         bool
	MSS               int
	SendQueue         int    // octets that the peer has not acknowledged
	ReceiveQueue      int    // octets that were not read
	BytesIn, BytesOut uint64 // since the peer was configured
}

// status is what is known of the peer.
func (p *peer) status() Status {
	cfg := p.config.Load()
	counters, num := p.routes.counters()
	kept := p.routes.retainedNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		ID: rib.PeerID(rib.SourceBGP, "", p.addr, p.peerAS), Num: num, Address: p.addr, Range: p.rng, Config: *cfg, AS: p.peerAS,
		LocalAS: p.localAS(cfg), LocalRouterID: p.own.Load().id, Internal: p.internal(cfg) || p.peerAS != 0 && p.peerAS == p.localAS(cfg),
		Enabled: p.enabled, State: p.state, Since: p.since, Reason: p.reason, Flaps: p.flaps, NextConnectAt: p.nextConnect(),
		History: p.history.list(), LastDown: p.lost, Negotiated: p.neg, ConnectRetry: p.set.ConnectRetry,
		Messages: p.count.messages(), Counters: counters, Session: p.current,
		Transport: Transport{MD5: p.md5 != "", TTLSecurity: cfg.TTLSecurity, BytesIn: p.count.bytesIn.Load(), BytesOut: p.count.bytesOut.Load()},
	}
	s.Local = netip.AddrPortFrom(cfg.LocalAddress, 0)
	s.Messages.Received.Update = counters.Updates
	s.Messages.Received.Withdraws = counters.Withdrawn
	s.LastNotification.Received, s.LastNotification.Sent = p.received, p.sent
	if p.neg != nil {
		s.RouterID = p.neg.PeerID()
		s.RemoteRole, s.HasRemoteRole = p.neg.RemoteRole, p.neg.HasRemoteRole
	}
	p.transport(&s)
	p.families(&s, cfg, kept)
	return s
}

// nextConnect is when the peer is called next. p.mu is held.
func (p *peer) nextConnect() time.Time {
	switch a := &p.first.alarms; {
	case p.set.Passive || p.rng.IsValid() || p.best() > fsm.Active:
		return time.Time{}
	case a[fsm.TimerIdleHold].on():
		return a[fsm.TimerIdleHold].at
	default:
		return a[fsm.TimerConnectRetry].at
	}
}

// transport tells of the connection under the session, else of the one that is
// further. p.mu is held.
func (p *peer) transport(s *Status) {
	var c *conn
	for _, h := range []*half{p.second, p.first} {
		if h != nil && h.c != nil && (c == nil || h.m.State() >= c.h.m.State()) {
			c = h.c
		}
	}
	for x := range p.conns {
		s.Transport.BytesIn += x.read.Load()
		s.Transport.BytesOut += x.w.bytes.Load()
	}
	if c == nil {
		return
	}
	s.Local, s.Remote = c.l.Addrs()
	t := &s.Transport
	t.Connected = true
	t.SendQueue, t.ReceiveQueue, t.MSS = c.l.Queues()
}

// families tells of each family that is configured or negotiated. p.mu is held.
func (p *peer) families(s *Status, cfg *config.Peer, kept map[wire.Family]retained) {
	for _, f := range cfg.Families {
		x := FamilyStatus{Family: f, Limit: cfg.MaxPrefixes[f]}
		if k, ok := kept[f]; ok {
			x.Stale, x.StaleUntil = k.kind, k.until
		}
		if n := p.neg; n != nil {
			x.Restart, x.Forwarding = n.Graceful.Families.Has(f), n.Graceful.Forwarding.Has(f)
			for _, l := range n.Graceful.LongLived {
				if l.Family == f {
					x.LongLived, x.LLGRTime = true, l.StaleTime
				}
			}
		}
		if ses := p.current; ses != nil {
			n := &ses.Negotiated
			x.Negotiated = n.Families.Has(f)
			x.Receive, x.Send = n.AddPathReceive.Has(f), n.AddPathSend.Has(f)
			for _, e := range s.Counters.EndOfRIB {
				if e.Family == f {
					x.EndOfRIB = e.At
				}
			}
			ses.mu.Lock()
			x.SentEndOfRIB = ses.sentEoR[f]
			ses.mu.Unlock()
			x.LimitState = limitState(x.Limit, p.m.rib.PrefixCount(ses.Num, f))
		}
		s.Families = append(s.Families, x)
	}
}

// limitState says where a number of prefixes stands.
func limitState(l config.MaxPrefixes, n int64) LimitState {
	switch {
	case l.Limit > 0 && n > int64(l.Limit):
		return LimitExceeded
	case l.Warn > 0 && n > int64(l.Warn):
		return LimitWarned
	}
	return LimitOK
}
