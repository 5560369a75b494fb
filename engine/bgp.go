package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ribd/engine/adjout"
	"ribd/engine/config"
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/engine/policy"
	"ribd/engine/session"
	"ribd/engine/store"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// bgp is the BGP side of an engine: sessions, import and export policy, and
// what each peer is sent. It plugs them into each other.
type bgp struct {
	rib      *shard.RIB
	log      *slog.Logger
	sessions *session.Manager
	out      *adjout.Manager
	origin   *origin.Manager
	flow     *flow.Tables
	store    *store.Store   // nil: nothing is kept over a restart
	journal  *store.Journal // of what is originated; nil as store is
	facts    sync.Map       // rib.PeerNum -> *policy.PeerFacts, of peers that have routes
	sources  atomic.Uint64  // counts changes of facts that were there
	local    atomic.Uint32  // the rib.PeerNum of what is originated here for all peers
	own      ownAddrs
	guarded  guarded

	// change is held while the configuration, or a policy of a session, is being
	// changed; mu guards what follows and is held for a moment.
	change  sync.Mutex
	mu      sync.Mutex
	cfg     *config.Config // with the peers of the API
	file    *config.Config // as the file has it
	added   []addedPeer    // by the API
	set     *policy.Set    // compiled of cfg
	imports map[rib.PeerNum]imported
}

// imported is the import filter of a peer, and all that went into it.
type imported struct {
	filter rib.Filter
	of     importInput
}

// newBGP puts the parts together; begin starts them.
func newBGP(r *shard.RIB, log *slog.Logger, cfg *config.Config, st *store.Store) (*bgp, error) {
	s := &bgp{rib: r, log: log, file: cfg, cfg: cfg, store: st, imports: map[rib.PeerNum]imported{}}
	s.own.read()
	s.cfg = s.withStored(cfg)
	set, problems := policy.Compile(s.cfg, r.Attrs(), r.RawNLRI)
	if len(problems) > 0 {
		return nil, problems
	}
	s.use(set)
	o := session.Options{
		RIB: r, Log: log,
		Hooks: session.Hooks{Import: s.importOf, Up: s.up, Down: s.down, Refresh: s.refresh, Gone: s.gone},
	}
	o.Hostname = hostname()
	restart := restartTime(s.cfg)
	if restart > 0 {
		o.Restarting = time.Now().Add(restart)
	}
	s.out = adjout.New(adjout.Options{RIB: r, Log: log, Hold: restart > 0})
	o.Hooks.Behind = s.out.Behind
	s.sessions = session.New(o)
	s.flow = flow.New(flow.Options{RIB: r, Log: log, Filter: s.importNow})
	if err := s.startOrigin(); err != nil {
		s.flow.Close()
		s.out.Close()
		return nil, err
	}
	return s, nil
}

// use makes a set of policies the one that counts. What goes wrong in a
// condition while it is judged is logged.
func (s *bgp) use(set *policy.Set) {
	set.Report(func(f policy.Failure) {
		s.log.Warn("policy condition failed: the route is rejected", "policy", f.Policy, "term", f.Term, "line", f.Line, "times", f.Count, "why", f.Last)
	})
	s.set = set
}

// begin opens the listeners and starts the sessions.
func (s *bgp) begin() error {
	_, err := s.sessions.Apply(session.SettingsOf(s.cfg))
	return err
}

// restartTime is how long peers may take to come back to a speaker that says it
// has restarted (RFC 4724 section 4.1): 0 where it helps others only.
func restartTime(c *config.Config) (longest time.Duration) {
	for i := range c.Peers {
		if g := &c.Peers[i].GracefulRestart; g.Enabled && !g.HelperOnly {
			longest = max(longest, g.RestartTime)
		}
	}
	return longest
}

// factsOf is what conditions may know of a session's peer.
func factsOf(s *session.Session) *policy.PeerFacts {
	c := s.Config()
	f := &policy.PeerFacts{
		ID: s.ID, Name: c.Name, Address: s.Remote.Addr().Unmap(), Group: c.Group, Description: c.Description,
		ASN: s.AS, RouterID: idAddr(s.RouterID), Internal: s.Internal, Role: c.LocalRole,
		RouteServerClient: c.RouteServer, RouteReflectorClient: c.RouteReflector, Source: rib.SourceBGP,
	}
	return f
}

// from is who a path came from, for conditions of export policies.
func (s *bgp) from(n rib.PeerNum) *policy.PeerFacts {
	if f, ok := s.facts.Load(n); ok {
		return f.(*policy.PeerFacts)
	}
	return nil
}

// note keeps the facts of a session's peer; the same pointer stands for the same
// facts.
func (s *bgp) note(ses *session.Session) *policy.PeerFacts {
	f := factsOf(ses)
	if old := s.from(ses.Num); old != nil && *old == *f {
		return old
	}
	if _, had := s.facts.Swap(ses.Num, f); had {
		s.sources.Add(1)
	}
	return f
}

// importOf is the import policy of a session (session.Hooks). What has not
// changed keeps its filter.
func (s *bgp) importOf(ses *session.Session) rib.Filter {
	facts := s.note(ses)
	c := ses.Config()
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.importInput(ses, &c, facts)
	if old, ok := s.imports[ses.Num]; ok && old.of.equal(&in) {
		return old.filter
	}
	f := s.flow.Filter(s.set.Import(c.Import, *facts, in.checks), in.validation)
	s.imports[ses.Num] = imported{f, in}
	return f
}

// export is the export policy of a session: nil where it accepts nothing, so
// that nothing is done for the peer.
func (s *bgp) export(ses *session.Session, facts *policy.PeerFacts) adjout.Export {
	if name := ses.Config().Export; name == "reject-all" || name == "" && !ses.Internal {
		return nil
	}
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	return policy.WithSources(set.Export(ses.Config().Export, *facts, s.from), s.sources.Load())
}

// up is told of a session that is established (session.Hooks).
func (s *bgp) up(ses *session.Session) {
	facts := s.note(ses)
	c := ses.Config()
	s.out.SetSource(ses.Num, adjout.Source{RRClient: c.RouteReflector})
	t := s.target(ses, &c)
	t.Export = s.export(ses, facts)
	ses.SetUser(s.out.Join(t, ses)) // the *adjout.Member, for as long as the session lives
}

// down is told that it is over.
func (s *bgp) down(ses *session.Session) {
	if m, ok := ses.User().(*adjout.Member); ok {
		m.Leave()
	}
}

// gone is told that a peer has no routes here any more.
func (s *bgp) gone(n rib.PeerNum) {
	s.out.RemoveSource(n)
	s.facts.Delete(n)
	s.mu.Lock()
	delete(s.imports, n)
	s.mu.Unlock()
}

// refresh is told that a peer asks for a family again.
func (s *bgp) refresh(ses *session.Session, f wire.Family, enhanced bool) {
	if m, ok := ses.User().(*adjout.Member); ok {
		m.Refresh(f, enhanced)
	}
}

// target is what a session's peer is sent, and how.
func (s *bgp) target(ses *session.Session, c *config.Peer) adjout.Target {
	n := &ses.Negotiated
	s.mu.Lock()
	global := s.cfg.AS
	cluster := addrID(s.cfg.ClusterID)
	s.mu.Unlock()
	t := adjout.Target{
		Num: ses.Num, ID: ses.ID, Name: ses.Remote.Addr().String(), Internal: ses.Internal,
		RRClient: c.RouteReflector, RSClient: c.RouteServer,
		AS: ses.LocalAS, GlobalAS: global, ReplaceAS: c.LocalAS.ReplaceAS, RemovePrivateAS: c.RemovePrivateAS,
		RouterID: ses.LocalRouterID, ClusterID: cluster, NextHop: nextHops[c.NextHop],
		Redirect:        redirects[c.FlowSpecRedirect],
		ExtendedNextHop: n.ExtendedNextHop, Families: n.Families.Families(), AddPath: map[wire.Family]int{},
		Send: n.SendOptions(), Interval: c.AdvertisementInterval,
		Overrun: func() { ses.Close(wire.CodeCease, 8, "") },
	}
	if c.LocalRole != config.RoleNone {
		t.Role, t.HasRole = roles[c.LocalRole], true
	}
	t.LLGR = len(n.Theirs.LLGR()) > 0
	for _, f := range t.Families {
		if !n.AddPathSend.Has(f) {
			continue
		}
		send := c.AddPath.Send
		if v, ok := c.AddPath.ByFamily[f]; ok {
			send = v.Send
		}
		t.AddPath[f] = max(1, int(send))
	}
	t.NextHop4, t.NextHop6, t.LinkLocal = s.own.towards(ses.Local.Addr(), ses.Remote.Addr(), ses.Internal)
	t.Over6 = ses.Local.Addr().Unmap().Is6()
	return t
}

// nextHops and roles are the words of the configuration in the terms of those
// who carry them out.
var nextHops = [...]adjout.NextHop{
	config.NextHopDefault: adjout.NextHopDefault, config.NextHopSelf: adjout.NextHopSelf, config.NextHopUnchanged: adjout.NextHopUnchanged,
}

var roles = [...]wire.Role{
	config.RoleProvider: wire.RoleProvider, config.RoleRS: wire.RoleRS, config.RoleRSClient: wire.RoleRSClient,
	config.RoleCustomer: wire.RoleCustomer, config.RolePeer: wire.RolePeer,
}

// shutdown ends the sessions: as the configuration says, peers keep what they
// have where that was negotiated, or it is taken back first.
func (s *bgp) shutdown(ctx context.Context) {
	s.change.Lock()
	defer s.change.Unlock()
	graceful := s.cfg.Shutdown == config.ShutdownGraceful
	if !graceful {
		s.takeBack(ctx)
	}
	s.origin.Close() // so that what ends now is not sent
	s.guarded.close()
	if s.journal != nil {
		if err := s.journal.Close(); err != nil {
			s.log.Error("the journal of what is originated", "error", err)
		}
	}
	s.sessions.Shutdown(ctx, graceful)
	s.flow.Close()
	s.out.Close()
}

// takeBack withdraws everything from every peer, and waits until that is sent.
func (s *bgp) takeBack(ctx context.Context) {
	nothing := map[*adjout.Member]adjout.Export{}
	for _, ses := range s.sessions.Sessions() {
		if m, ok := ses.User().(*adjout.Member); ok {
			nothing[m] = nil
		}
	}
	s.out.SetExports(nothing)
	for m := range nothing {
		if m.Wait(ctx) != nil {
			return
		}
	}
}
