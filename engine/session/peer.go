package session

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/shard/rib"
	"ribd/wire"
)

// idleHold is the first time that a peer is left in peace after an error; fsm
// doubles it with each that follows.
const idleHold = 250 * time.Millisecond

// peer is one neighbour: its machines, and what is known of it over its
// sessions. mu guards the machines and all that they change; it is never held
// over a call that waits, nor over a hook.
type peer struct {
	m      *Manager
	addr   netip.Addr
	rng    netip.Prefix // of a dynamic neighbour, else invalid
	config atomic.Pointer[config.Peer]
	own    atomic.Pointer[identity]
	count  counts
	routes routes

	mu            sync.Mutex
	md5           string
	set           *fsm.Settings
	first, second *half
	conns         map[*conn]struct{} // open ones, the dropped included
	enabled       bool
	closed        bool // removed, or all is shut down: nothing starts any more
	peerAS        uint32
	state         fsm.State
	since         time.Time
	reason        string
	flaps         uint64
	history       history
	lost          Event // the last change from Established; zero before one
	sent          *Notification
	received      *Notification
	neg           *fsm.Negotiated // of the last session
	current       *Session
	prev          chan struct{} // done of the last session
	moved         sync.Cond     // a machine has made a step
	ended         alarm         // of a dynamic neighbour: when it is forgotten
}

// half is one machine with its timers and its connection.
type half struct {
	p      *peer
	m      fsm.Machine
	c      *conn
	dial   context.CancelFunc // of the call that is under way
	alarms [fsm.NumTimers]alarm
	after  [fsm.NumTimers]time.Duration
}

func newPeer(m *Manager, addr netip.Addr, cfg *config.Peer, rng netip.Prefix, own identity, md5 string) *peer {
	p := &peer{m: m, addr: addr, rng: rng, md5: md5, enabled: true, since: time.Now(), reason: "not started", conns: map[*conn]struct{}{}}
	p.config.Store(cfg)
	p.own.Store(&own)
	p.set = p.machineSettings(cfg)
	p.first = p.newHalf(fsm.New(p.set))
	p.moved.L = &p.mu
	p.ended.mu, p.ended.ring = &p.mu, func() { go m.forget(p) }
	p.routes.init(p)
	if len(cfg.AS.Numbers) == 1 && !cfg.AS.Any {
		p.peerAS = cfg.AS.Numbers[0]
	}
	return p
}

func (p *peer) newHalf(m fsm.Machine) *half {
	h := &half{p: p, m: m}
	for t := range h.alarms {
		h.alarms[t].mu = &p.mu
		h.alarms[t].ring = func() { h.ring(fsm.Timer(t)) }
	}
	return h
}

func (p *peer) machineSettings(cfg *config.Peer) *fsm.Settings {
	s := fsm.DefaultSettings()
	s.Passive = cfg.Mode == config.ModePassive
	s.Active = cfg.Mode == config.ModeActive
	s.SendHoldTime = cfg.SendHoldTime
	s.DelayOpen = cfg.DelayOpen
	if s.ConnectRetry = cfg.ConnectRetry; s.ConnectRetry == 0 {
		s.ConnectRetry = p.m.o.ConnectRetry
	}
	s.ConnectRetryMin = min(s.ConnectRetryMin, s.ConnectRetry)
	s.IdleHoldMin = idleHold
	return &s
}

// id is the peer's in the API.
func (p *peer) id() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return rib.PeerID(rib.SourceBGP, "", p.addr, p.peerAS)
}

// localAS is ours as the peer sees it.
func (p *peer) localAS(cfg *config.Peer) uint32 {
	if cfg.LocalAS.AS != 0 {
		return cfg.LocalAS.AS
	}
	return p.own.Load().as
}

// event gives an event to a machine and does what it says. c is the connection
// of EventTCPAcked and EventTCPConfirmed. p.mu is held.
func (p *peer) event(h *half, e fsm.Event, c *conn) {
	var buf [16]fsm.Action
	m, acts := fsm.Step(h.m, e, buf[:0])
	h.m = m
	for i := range acts {
		p.act(h, &acts[i], &e, c)
	}
	p.settle()
	p.note(&e)
	p.moved.Broadcast()
}

// act does one action. p.mu is held.
func (p *peer) act(h *half, a *fsm.Action, e *fsm.Event, c *conn) {
	switch a.Kind {
	case fsm.ActConnect:
		p.call(h)
	case fsm.ActAdopt:
		// A call that is under way goes on: the other end may be giving up its own
		// for ours. Of two connections section 6.8 decides.
		h.c, c.h = c, h
	case fsm.ActTrack:
		if p.second != nil {
			c.drop()
			return
		}
		p.second = p.newHalf(fsm.NewSecond(p.set))
		p.event(p.second, *e, c)
	case fsm.ActRefuse:
		c.drop()
	case fsm.ActDrop:
		h.hangUp()
		if h.c != nil {
			h.c.drop()
			h.c = nil
		}
	case fsm.ActSendOpen:
		if h.c != nil {
			h.c.w.own(wire.AppendOpen(nil, p.ourOpen()), false)
			p.count.out.open.Add(1)
		}
	case fsm.ActSendKeepalive:
		if h.c != nil {
			h.c.w.own(keepalive, false)
			p.count.out.keepalive.Add(1)
			p.count.lastOut.Store(time.Now().UnixNano())
		}
	case fsm.ActSendNotification:
		if h.c != nil {
			h.c.notice = wire.AppendNotification(nil, a.Notification)
			p.sent = noted(a.Notification, time.Now())
			p.count.out.notification.Add(1)
		}
	case fsm.ActStartTimer:
		d := a.After
		if a.Timer.Jittered() && !a.Exact {
			d = fsm.Jitter(d, rand.Uint32())
		}
		h.after[a.Timer] = d
		h.alarms[a.Timer].start(d)
	case fsm.ActStopTimer:
		h.alarms[a.Timer].stop()
	case fsm.ActUp:
		if h.c != nil {
			h.c.up, h.c.retain = true, false
		}
	case fsm.ActDown:
		p.flaps++
		if h.c != nil {
			h.c.retain = a.Retain
		}
	}
}

var keepalive = wire.AppendKeepalive(nil)

// hangUp gives up the call that is under way.
func (h *half) hangUp() {
	if h.dial != nil {
		h.dial()
		h.dial = nil
	}
}

// ring is the end of a timer. p.mu is held.
func (h *half) ring(t fsm.Timer) {
	switch c := h.c; {
	case c == nil:
	case t == fsm.TimerHold:
		if left := c.holdLeft(h.after[t]); left > 0 {
			h.alarms[t].start(left)
			return
		}
	case t == fsm.TimerSendHold:
		if left := h.after[t] - time.Duration(c.w.blockedFor()); left > 0 {
			h.alarms[t].start(left)
			return
		}
	}
	h.p.event(h, fsm.Event{Kind: t.Expires()}, nil)
}

// behind is how long the hold timer is put off while we are late with reading.
const behind = 10 * time.Second

// holdLeft is how much of the hold time is left, since what was heard since the
// timer was started did not put it off.
func (c *conn) holdLeft(hold time.Duration) time.Duration {
	if at := c.heard.Load(); at != 0 {
		if left := hold - time.Duration(c.p.m.now()-at); left > 0 {
			return left
		}
	}
	if !c.up {
		return 0
	}
	if c.busy.Load() {
		return min(behind, hold)
	}
	if _, unread, _ := c.l.Queues(); unread > 0 {
		return min(behind, hold)
	}
	return 0
}

// settle has a second machine only beside a first one that has a connection, and
// only while it has one too: what has none would wait to call beside the other one.
// p.mu is held.
func (p *peer) settle() {
	if p.second != nil && p.first.c == nil && p.second.c != nil {
		p.swap()
	}
	if p.second != nil && p.second.c == nil {
		p.second.quiet()
		p.second = nil
	}
}

// swap makes the second machine the first. p.mu is held.
func (p *peer) swap() {
	p.first, p.second = p.second, p.first
	p.first.m, p.second.m = fsm.Swap(p.second.m, p.first.m)
}

// quiet stops the timers of a half that is done with.
func (h *half) quiet() {
	for i := range h.alarms {
		h.alarms[i].stop()
	}
	h.hangUp()
	if h.c != nil {
		h.c.drop()
		h.c = nil
	}
}

// best returns the state of the machine that is further. p.mu is held.
func (p *peer) best() fsm.State {
	s := p.first.m.State()
	if p.second != nil {
		s = max(s, p.second.m.State())
	}
	return s
}

// note records a change of state. p.mu is held.
func (p *peer) note(e *fsm.Event) {
	s, now := p.best(), time.Now()
	if s == p.state && !failure(e.Kind) {
		return
	}
	why := e.Reason()
	if e.Cause != "" && (e.Kind == fsm.EventManualStop || e.Kind == fsm.EventAutomaticStop) {
		why = e.Cause // the NOTIFICATION is shown beside it
	}
	if s == fsm.Established || s == fsm.Idle || failure(e.Kind) || p.reason == "not started" || p.state == fsm.Established {
		p.reason = why
	}
	if s == p.state {
		return
	}
	change := Event{At: now, From: p.state.String(), To: s.String(), Reason: why}
	p.history.add(change)
	if p.state == fsm.Established {
		p.lost = change
	}
	was := p.state
	p.state, p.since = s, now
	switch {
	case s == fsm.Established:
		p.m.log.Info("session is up", "peer", p.addr, "name", p.config.Load().Name, "as", p.peerAS)
	case was == fsm.Established:
		p.m.log.Warn("session is down", "peer", p.addr, "name", p.config.Load().Name, "as", p.peerAS, "reason", why)
	default:
		p.m.log.Debug("session", "peer", p.addr, "from", was.String(), "to", s.String(), "reason", why)
	}
	if p.rng.IsValid() {
		p.wither(s)
	}
}

// failure says whether an event tells why a session is down.
func failure(k fsm.EventKind) bool {
	switch k {
	case fsm.EventManualStop, fsm.EventAutomaticStop, fsm.EventHoldExpires, fsm.EventTCPFails, fsm.EventHeaderError, fsm.EventOpenError,
		fsm.EventNotification, fsm.EventNotificationVersion, fsm.EventUpdateError, fsm.EventSendHoldExpires, fsm.EventRouteRefreshError:
		return true
	}
	return false
}

// crossing is how long after a session was established a connection that comes
// in may be one that crossed with it: it is left to section 6.8. Later it means
// that the peer has restarted, where it has graceful restart (RFC 4724 section
// 5), and ends the session.
const crossing = 10 * time.Second

// connected gives a new connection to the machines. p.mu is held.
func (p *peer) connected(c *conn, kind fsm.EventKind) {
	p.conns[c] = struct{}{}
	if p.closed || !p.enabled {
		c.notice = wire.AppendNotification(nil, wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseConnectionRejected})
		c.drop()
		return
	}
	if p.first.m.State() == fsm.Idle && p.rng.IsValid() {
		p.event(p.first, fsm.Event{Kind: fsm.EventManualStartPassive}, nil)
	}
	switch s := p.first.m.State(); {
	case kind == fsm.EventTCPAcked && s >= fsm.OpenConfirm:
		// The peer's own connection got its OPEN while this one was made: see conn.open.
	case kind == fsm.EventTCPConfirmed && p.second == nil && s == fsm.Established && time.Since(p.since) < crossing:
		p.second = p.newHalf(fsm.NewSecond(p.set))
		p.event(p.second, fsm.Event{Kind: kind}, c)
	default:
		p.event(p.first, fsm.Event{Kind: kind}, c)
	}
	if c.h == nil && !c.over.Load() {
		c.drop() // nobody wanted it
	}
}

// left forgets a connection that is closed.
func (p *peer) left(c *conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// opened takes the OPEN of a connection: what it leads to, and whether another
// connection has to go (RFC 4271 section 6.8). p.mu is held.
func (p *peer) opened(c *conn, o *wire.Open) {
	cfg := p.config.Load()
	ours := p.ourOpen()
	neg, note := fsm.Negotiate(ours, o, &fsm.Want{AnyAS: cfg.AS.Any, AS: cfg.AS.Numbers, RoleStrict: cfg.RoleStrict, StaleTime: p.staleTime(cfg)})
	if note != nil {
		p.event(c.h, fsm.Event{Kind: fsm.EventOpenError, Notification: note, Cause: p.refusal(note, ours, o)}, nil)
		return
	}
	if p.rng.IsValid() {
		p.peerAS = neg.PeerAS()
	}
	c.neg = neg
	p.collide(c.h) // before the KEEPALIVE that would have the peer establish a session
	if c.h != nil {
		p.event(c.h, fsm.Event{Kind: fsm.EventOpen, Negotiated: neg}, nil)
		p.collide(nil)
	}
}

// ourOpen is what we say to the peer now. p.mu is held.
func (p *peer) ourOpen() *wire.Open {
	cfg := p.config.Load()
	l := fsm.Local{
		AS: p.localAS(cfg), ID: p.own.Load().id, HoldTime: uint16(cfg.HoldTime / time.Second), Families: cfg.Families,
		ExtendedMessages: cfg.ExtendedMessages, ExtendedNextHop: cfg.ExtendedNextHop,
		Internal: p.internal(cfg), Hostname: p.m.o.Hostname, Domain: p.m.o.Domain,
	}
	for _, f := range cfg.Families {
		ap := familyAddPath(cfg, f)
		if ap.Receive {
			l.AddPathReceive = l.AddPathReceive.With(f)
		}
		if ap.Send != 0 {
			l.AddPathSend = l.AddPathSend.With(f)
		}
	}
	if r, ok := roles[cfg.LocalRole]; ok {
		l.Role, l.HasRole = r, true
	}
	if g := cfg.GracefulRestart; g.Enabled {
		l.Graceful = fsm.Graceful{
			Enabled: true, HelperOnly: g.HelperOnly, Notification: g.Notification,
			Restarting:  !g.HelperOnly && time.Now().Before(p.m.o.Restarting),
			RestartTime: uint16(min(g.RestartTime/time.Second, wire.MaxRestartTime)),
			LLGR:        g.LLGRStaleTime > 0, StaleTime: uint32(min(g.LLGRStaleTime/time.Second, wire.MaxStaleTime)),
		}
	}
	return fsm.OurOpen(&l)
}

var roles = map[config.SessionRole]wire.Role{
	config.RoleProvider: wire.RoleProvider, config.RoleRS: wire.RoleRS, config.RoleRSClient: wire.RoleRSClient,
	config.RoleCustomer: wire.RoleCustomer, config.RolePeer: wire.RolePeer,
}

func familyAddPath(cfg *config.Peer, f wire.Family) config.FamilyAddPath {
	if ap, ok := cfg.AddPath.ByFamily[f]; ok {
		return ap
	}
	return config.FamilyAddPath{Receive: cfg.AddPath.Receive, Send: cfg.AddPath.Send}
}

// internal says whether the peer can only be of our own AS.
func (p *peer) internal(cfg *config.Peer) bool {
	return !cfg.AS.Any && len(cfg.AS.Numbers) == 1 && cfg.AS.Numbers[0] == p.localAS(cfg)
}

// external says whether the peer can only be of another AS.
func (p *peer) external(cfg *config.Peer) bool {
	return !cfg.AS.Any && !slices.Contains(cfg.AS.Numbers, p.localAS(cfg))
}

func (p *peer) staleTime(cfg *config.Peer) uint32 {
	return uint32(min(cfg.GracefulRestart.LLGRStaleTime/time.Second, wire.MaxStaleTime))
}

// established returns the session, nil without one.
func (p *peer) established() *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}
