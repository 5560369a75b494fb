package session

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/engine/ingest"
	"ribd/shard/rib"
	"ribd/wire"
)

// establish begins the session of a connection that is established, by its
// reader. The one before has to be over first: they share the tables.
func (p *peer) establish(c *conn) {
	p.mu.Lock()
	cfg, neg := p.config.Load(), c.neg
	s := &Session{
		ID: rib.PeerID(rib.SourceBGP, "", p.addr, neg.PeerAS()), Peer: *cfg, Range: p.rng,
		AS: neg.PeerAS(), LocalAS: neg.Ours.AS, RouterID: neg.PeerID(), LocalRouterID: neg.Ours.ID, Internal: !neg.External,
		Negotiated: *neg, Since: time.Now(), p: p, c: c, done: make(chan struct{}),
	}
	s.Local, s.Remote = c.l.Addrs()
	prev := p.prev
	p.prev = s.done
	p.mu.Unlock()
	if prev != nil {
		<-prev
	}
	if c.over.Load() {
		close(s.done)
		return
	}
	c.wire = neg.Session()
	if err := p.routes.begin(s, c.wire); err != nil {
		close(s.done)
		c.endWith(wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseOutOfResources}, err.Error())
		return
	}
	c.heard.Store(p.m.now())
	c.sess = s
	p.mu.Lock()
	p.neg = neg
	p.current = s
	p.mu.Unlock()
	if p.m.o.Hooks.Up != nil {
		p.m.o.Hooks.Up(s)
	}
}

// finish ends a session, by its reader.
func (p *peer) finish(s *Session, retain bool) {
	p.mu.Lock()
	if p.current == s {
		p.current = nil
	}
	retain = retain && !p.closed && p.enabled
	p.mu.Unlock()
	s.c.w.stopOthers()
	if p.m.o.Hooks.Down != nil {
		p.m.o.Hooks.Down(s)
	}
	p.routes.over(s, &s.Negotiated.Graceful, retain)
	close(s.done)
}

// limit does what max_prefixes says.
func (p *peer) limit(s *Session, ev ingest.LimitEvent) {
	l := p.config.Load().MaxPrefixes[ev.Family]
	state := LimitWarned
	if ev.Over {
		state = LimitExceeded
	}
	p.m.log.Warn("max_prefixes", "peer", p.addr, "family", ev.Family, "prefixes", ev.Count, "warn", l.Warn, "limit", l.Limit,
		"state", state, "action", l.Action)
	if !ev.Over || l.Action == config.LimitWarn {
		return
	}
	e := fsm.Event{Kind: fsm.EventAutomaticStop, Restart: fsm.Never,
		Cause:        fmt.Sprintf("max_prefixes: %d of %s, the limit is %d", ev.Count, ev.Family, l.Limit),
		Notification: &wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseMaxPrefixes, Data: wire.MaxPrefixesData(ev.Family, l.Limit)}}
	if l.Action == config.LimitRestart {
		e.Restart = l.RestartAfter
	}
	s.c.event(e)
}

// limits tells of the limits that the last flush found passed.
func (p *peer) limits(s *Session) {
	for ev, ok := s.in.LimitReached(); ok; ev, ok = s.in.LimitReached() {
		p.limit(s, ev)
	}
}

// start is the peer's first start.
func (p *peer) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.enabled || p.rng.IsValid() {
		return
	}
	p.event(p.first, fsm.Event{Kind: p.set.StartKind(true)}, nil)
}

// each gives an event to every machine. p.mu is held.
func (p *peer) each(e fsm.Event) {
	if p.second != nil {
		p.event(p.second, e, nil)
	}
	p.event(p.first, e, nil)
	if p.second != nil { // it became the first, and the first the second
		p.event(p.second, e, nil)
	}
}

func cease(subcode uint8, message string) *wire.Notification {
	n := &wire.Notification{Code: wire.CodeCease, Subcode: subcode}
	if subcode == wire.CeaseAdminShutdown || subcode == wire.CeaseAdminReset {
		n.Data = wire.ShutdownData(message)
	}
	return n
}

// validMessage says whether a text may be a shutdown communication.
func validMessage(s string) bool { return len(s) <= wire.MaxShutdownMessage && utf8.ValidString(s) }

// quoted says what was done, and what was said to the peer.
func quoted(message, what string) string {
	if message == "" {
		return what
	}
	return what + ": " + message
}

// enable lets the peer start; one that waits calls now.
func (p *peer) enable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.enabled
	p.enabled = true
	if p.closed || was && p.best() > fsm.Active {
		return
	}
	if was {
		p.each(fsm.Event{Kind: fsm.EventManualStop})
	}
	if !p.rng.IsValid() {
		p.event(p.first, fsm.Event{Kind: p.set.StartKind(true)}, nil)
	}
}

// disable ends the session and keeps it down.
func (p *peer) disable(message string) {
	p.mu.Lock()
	p.enabled = false
	p.each(fsm.Event{Kind: fsm.EventManualStop, Notification: cease(wire.CeaseAdminShutdown, message), Cause: quoted(message, "disabled")})
	p.mu.Unlock()
	p.routes.drop()
}

// reset ends the session, which starts again.
func (p *peer) reset(message string) {
	p.restart(cease(wire.CeaseAdminReset, message), quoted(message, "reset"))
}

func (p *peer) restart(n *wire.Notification, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.enabled {
		return
	}
	if p.best() <= fsm.Active { // nothing to end: begin anew
		p.each(fsm.Event{Kind: fsm.EventManualStop, Cause: why})
		if !p.rng.IsValid() {
			p.event(p.first, fsm.Event{Kind: p.set.StartKind(true)}, nil)
		}
		return
	}
	p.each(fsm.Event{Kind: fsm.EventAutomaticStop, Notification: n, Cause: why})
}

// change takes a new configuration over.
func (p *peer) change(cfg *config.Peer, own identity, md5 string, ch Change) {
	p.mu.Lock()
	p.config.Store(cfg)
	p.own.Store(&own)
	p.md5 = md5
	p.set = p.machineSettings(cfg)
	p.first.m.Use(p.set)
	if p.second != nil {
		p.second.m.Use(p.set)
	}
	ses := p.current
	p.mu.Unlock()
	p.routes.setLimits(cfg)
	if ses != nil && slices.Contains(ch.Keys, "max_prefixes") {
		ses.in.Flush()
		p.limits(ses)
	}
	if ch.Kind == Reset {
		if len(cfg.AS.Numbers) == 1 && !p.rng.IsValid() {
			p.mu.Lock()
			p.peerAS = cfg.AS.Numbers[0]
			p.mu.Unlock()
		}
		p.restart(cease(wire.CeaseConfigChange, ""), "the configuration has changed")
	} else if slices.Contains(ch.Keys, "mode") && p.below(fsm.OpenSent) || slices.Contains(ch.Keys, "max_prefixes") && p.below(fsm.Connect) {
		p.restart(nil, "the configuration has changed")
	}
}

// below says whether no machine of an enabled peer is in state s or further.
func (p *peer) below(s fsm.State) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enabled && p.best() < s
}

// remove ends the peer for good.
func (p *peer) remove(why string) {
	p.end(fsm.Event{Kind: fsm.EventManualStop, Notification: cease(wire.CeasePeerDeconfigured, ""), Cause: why})
	p.routes.drop()
}

// shutdown ends the peer with the daemon.
func (p *peer) shutdown(graceful bool) {
	p.end(fsm.Event{Kind: fsm.EventManualStop, Notification: cease(wire.CeaseAdminShutdown, ""), Cause: "ribd shuts down", Graceful: graceful})
}

func (p *peer) end(e fsm.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.each(e)
	p.first.quiet()
	if p.second != nil {
		p.second.quiet()
	}
	p.ended.stop()
}

// kill ends every connection at once.
func (p *peer) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.l.Kill()
	}
}

// forget takes the routes away when all is over.
func (p *peer) forget() { p.routes.drop() }

// refresh asks for a family again; 0 is for all.
func (p *peer) refresh(f wire.Family) error {
	s := p.established()
	switch {
	case s == nil:
		return ErrNotEstablished
	case !s.Negotiated.RefreshSend:
		return ErrNoRefresh
	case f != 0 && !s.carries(f):
		return ErrFamily
	}
	for _, x := range s.Negotiated.Families.Families() {
		if f == 0 || x == f {
			s.c.w.own(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: x}), false)
			p.count.out.refresh.Add(1)
		}
	}
	return nil
}

func (p *peer) reimport(out map[rib.PeerNum]rib.Filter) { p.routes.reimport(out) }

// active says whether a neighbour of a range counts against its bound: it has a
// connection or routes.
func (p *peer) active() bool {
	_, idle := p.idleSince()
	return !idle
}

// idleSince says since when a neighbour of a range is gone.
func (p *peer) idleSince() (time.Time, bool) {
	p.mu.Lock()
	busy := len(p.conns) > 0 || p.best() > fsm.Active
	since := p.since
	p.mu.Unlock()
	if busy {
		return time.Time{}, false
	}
	_, num := p.routes.counters()
	return since, num == 0
}

// wither notes when a neighbour of a range is gone. p.mu is held.
func (p *peer) wither(s fsm.State) {
	switch {
	case s > fsm.Active:
		p.ended.stop()
	case !p.ended.on() && !p.closed:
		p.ended.start(endedRest)
	}
}

// refusal says what was wrong with an OPEN.
func (p *peer) refusal(n *wire.Notification, ours, theirs *wire.Open) string {
	switch {
	case n.Code != wire.CodeOpen:
		return ""
	case n.Subcode == wire.SubBadPeerAS:
		return "the peer's AS is " + itoa(theirs.AS) + ", configured is " + asText(p.config.Load())
	case n.Subcode == wire.SubBadID:
		return "the peer's identifier is " + idText(theirs.ID) + ", ours is " + idText(ours.ID)
	case n.Subcode == wire.SubRoleMismatch:
		mine, _ := ours.Role()
		if r, ok := theirs.Role(); ok {
			return "our role is " + mine.String() + ", the peer's is " + r.String()
		}
		return "our role is " + mine.String() + ", the peer has none and role_strict is set"
	case n.Subcode == wire.SubUnsupportedCapability:
		return "no family is common"
	case n.Subcode == wire.SubUnacceptableHoldTime:
		return "the peer's hold time is " + itoa(uint32(theirs.HoldTime)) + " s"
	}
	return ""
}
