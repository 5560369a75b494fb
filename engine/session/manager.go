package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ribd/engine/config"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

const (
	defaultConnectRetry = 120 * time.Second
	defaultMaxPending   = 1024
	// maxEnded bounds the dynamic neighbours that are listed after their end.
	maxEnded  = 1024
	endedRest = time.Hour
)

// Manager keeps all sessions. Its methods are for any goroutine, but not for
// hooks, unless they say so.
type Manager struct {
	o       Options
	log     *slog.Logger
	rib     *shard.RIB
	base    time.Time
	closing chan struct{}
	wg      sync.WaitGroup // connections and calls
	pending atomic.Int64   // accepted connections without an OPEN
	strange limiter        // log lines about strangers
	calls   caller
	bufs    buffers
	dial    func(context.Context, *peer, *config.Peer, string) (link, error)
	// yieldFor is the constant, but for tests of slow machines.
	yieldFor time.Duration

	apply sync.Mutex // one change of configuration at a time

	mu        sync.RWMutex
	set       Settings
	keys      secrets
	listeners map[string]*listener
	peers     map[netip.Addr]*peer   // configured, by address
	ranges    map[netip.Prefix]*span // configured ranges
	closed    bool
}

// span is a range of dynamic neighbours.
type span struct {
	prefix netip.Prefix
	config *config.Peer
	md5    bool
	peers  map[netip.Addr]*peer // there or ended
}

// New makes a Manager without a peer. Apply gives it some, and Shutdown ends it.
func New(o Options) *Manager {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.ConnectRetry == 0 {
		o.ConnectRetry = defaultConnectRetry
	}
	if o.MaxPending == 0 {
		o.MaxPending = defaultMaxPending
	}
	return &Manager{
		o: o, log: o.Log, rib: o.RIB, base: time.Now(), closing: make(chan struct{}), dial: dialTCP, yieldFor: yieldFor,
		listeners: map[string]*listener{}, keys: secrets{},
		peers: map[netip.Addr]*peer{}, ranges: map[netip.Prefix]*span{},
	}
}

// now is the time since the Manager was made in nanoseconds, never 0.
func (m *Manager) now() int64 { return int64(time.Since(m.base)) + 1 }

// readKeys reads the MD5 keys of all peers.
func readKeys(s *Settings) (secrets, error) {
	keys := secrets{}
	var errs []error
	for i := range s.Peers {
		p := &s.Peers[i]
		if p.MD5File == "" || s.AS == 0 {
			continue
		}
		k := keyOf(p)
		b, err := os.ReadFile(p.MD5File)
		if err != nil {
			errs = append(errs, fmt.Errorf("peer %s: md5_file: %w", k, err))
			continue
		}
		key := strings.TrimRight(string(b), "\r\n")
		switch {
		case key == "" || strings.ContainsAny(key, "\r\n"):
			errs = append(errs, fmt.Errorf("peer %s: md5_file: %s does not hold one key on one line", k, p.MD5File))
		case len(key) > maxKey:
			errs = append(errs, fmt.Errorf("peer %s: md5_file: the key in %s is longer than %d octets", k, p.MD5File, maxKey))
		}
		keys[k] = key
	}
	return keys, errors.Join(errs...)
}

// Plan says what Apply would do.
func (m *Manager) Plan(s Settings) (Changes, error) {
	keys, err := readKeys(&s)
	if err != nil {
		return Changes{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return plan(&m.set, &s, m.keys, keys), nil
}

// Apply makes s what runs. Only what differs is touched: an unchanged session
// goes on. After an error everything is as it was.
func (m *Manager) Apply(s Settings) (Changes, error) {
	m.apply.Lock()
	defer m.apply.Unlock()
	keys, err := readKeys(&s)
	if err != nil {
		return Changes{}, err
	}
	s.Peers = slices.Clone(s.Peers)
	m.mu.RLock()
	c, closed := plan(&m.set, &s, m.keys, keys), m.closed
	m.mu.RUnlock()
	if closed {
		return Changes{}, ErrClosed
	}
	fresh, gone, err := m.relisten(&s, keys)
	if err != nil {
		return Changes{}, err
	}
	todo := m.adopt(&s, keys, &c, fresh, gone)
	for _, x := range gone {
		x.close()
	}
	for _, x := range fresh {
		x.done.Go(func() { x.serve(m) })
		m.log.Info("listening", "api", "bgp", "addr", x.l.Addr().String())
	}
	for _, f := range todo {
		f()
	}
	return c, nil
}

// relisten binds the addresses that are new in s and gives every listener its
// keys. It closes nothing but what it has bound itself, after an error.
func (m *Manager) relisten(s *Settings, keys secrets) (fresh map[string]*listener, gone []*listener, err error) {
	want := listenSet(s)
	fresh = map[string]*listener{}
	m.mu.RLock()
	have := maps.Clone(m.listeners)
	old := m.keys
	m.mu.RUnlock()
	undo := func() {
		for _, x := range fresh {
			x.l.Close()
		}
		for name, x := range have {
			if want[name] {
				x.setKeys(old)
			}
		}
	}
	for name, x := range have {
		if !want[name] {
			gone = append(gone, x)
		} else if err := x.setKeys(keys); err != nil {
			undo()
			return nil, nil, err
		}
	}
	for _, l := range s.Listen {
		name := l.String()
		if !want[name] || have[name] != nil || fresh[name] != nil {
			continue
		}
		x, err := listen(l)
		if err == nil {
			fresh[name] = x
			err = x.setKeys(keys)
		}
		if err != nil {
			undo()
			return nil, nil, err
		}
	}
	return fresh, gone, nil
}

// adopt takes the settings over and returns what is to be done without the
// mutex: peers that start and end.
func (m *Manager) adopt(s *Settings, keys secrets, c *Changes, fresh map[string]*listener, gone []*listener) (todo []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range gone {
		delete(m.listeners, x.name)
	}
	maps.Copy(m.listeners, fresh)
	own := identity{as: s.AS, id: routerID(s)}
	after := byKey(s)
	m.set, m.keys = *s, keys
	kinds := map[string]Change{}
	for _, ch := range c.Peers {
		kinds[ch.Peer] = ch
	}
	for a, p := range m.peers {
		if _, ok := after[peerKey{addr: a}]; !ok {
			delete(m.peers, a)
			todo = append(todo, func() { p.remove("the peer is not configured any more") })
		}
	}
	for r, x := range m.ranges {
		if _, ok := after[peerKey{rng: r}]; ok {
			continue
		}
		delete(m.ranges, r)
		for _, p := range x.peers {
			todo = append(todo, func() { p.remove("the range is not configured any more") })
		}
	}
	for k, cfg := range after {
		ch, changed := kinds[k.String()]
		if k.addr.IsValid() {
			p := m.peers[k.addr]
			switch {
			case p == nil:
				p = newPeer(m, k.addr, cfg, netip.Prefix{}, own, keys[k])
				m.peers[k.addr] = p
				todo = append(todo, p.start)
			case changed:
				todo = append(todo, func() { p.change(cfg, own, keys[k], ch) })
			}
			continue
		}
		x := m.ranges[k.rng]
		if x == nil {
			x = &span{prefix: k.rng, peers: map[netip.Addr]*peer{}}
			m.ranges[k.rng] = x
		}
		x.config, x.md5 = cfg, keys[k] != ""
		if changed {
			for _, p := range x.peers {
				todo = append(todo, func() { p.change(dynamicConfig(cfg, p.addr), own, keys[k], ch) })
			}
		}
	}
	return todo
}

// identity is who we are.
type identity struct {
	as uint32
	id uint32
}

// routerID is the BGP identifier: the one that is configured, else one of the
// addresses that are listened on, else one made of the AS number, so that a
// router with nothing configured has one that is not zero.
func routerID(s *Settings) uint32 {
	if s.RouterID.Is4() {
		return be32(s.RouterID)
	}
	for _, l := range s.Listen {
		if ap, err := netip.ParseAddrPort(l.Address); err == nil && ap.Addr().Is4() && !ap.Addr().IsUnspecified() {
			return be32(ap.Addr())
		}
	}
	return 127<<24 | 1
}

func be32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// dynamicConfig is the configuration of one neighbour of a range.
func dynamicConfig(r *config.Peer, a netip.Addr) *config.Peer {
	c := *r
	c.Address, c.Mode = a, config.ModePassive
	return &c
}

// Addrs returns the addresses that are listened on.
func (m *Manager) Addrs() []net.Addr {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []net.Addr
	for _, l := range m.set.Listen {
		if x := m.listeners[l.String()]; x != nil {
			out = append(out, x.l.Addr())
		}
	}
	return out
}

// all returns every peer.
func (m *Manager) all() []*peer {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ps := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		ps = append(ps, p)
	}
	for _, x := range m.ranges {
		for _, p := range x.peers {
			ps = append(ps, p)
		}
	}
	return ps
}

// Sessions returns the established sessions.
func (m *Manager) Sessions() []*Session {
	var out []*Session
	for _, p := range m.all() {
		if s := p.established(); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// Peers returns what is known of every peer, by address.
func (m *Manager) Peers() []Status { return m.statuses(nil) }

// Select returns what is known of the peers that match wants by their id and
// address, by address: it is asked before anything is put together.
func (m *Manager) Select(match func(id string, a netip.Addr) bool) []Status { return m.statuses(match) }

func (m *Manager) statuses(match func(id string, a netip.Addr) bool) []Status {
	ps := m.all()
	slices.SortFunc(ps, func(a, b *peer) int { return a.addr.Compare(b.addr) })
	out := make([]Status, 0, len(ps))
	for _, p := range ps {
		if match == nil || match(p.id(), p.addr) {
			out = append(out, p.status())
		}
	}
	return out
}

// find returns the peer of an address or id.
func (m *Manager) find(name string) (*peer, error) {
	a, err := netip.ParseAddr(name)
	a = a.Unmap()
	id := strings.ToLower(name)
	var found []*peer
	for _, p := range m.all() {
		if err == nil && p.addr == a || err != nil && p.id() == id {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNoPeer
	case 1:
		return found[0], nil
	}
	return nil, ErrAmbiguous
}

// Peer returns what is known of the peer of an address or id.
func (m *Manager) Peer(name string) (Status, error) {
	p, err := m.find(name)
	if err != nil {
		return Status{}, err
	}
	return p.status(), nil
}

// Enable lets a peer that was disabled start again; one that waits for its next
// call calls now.
func (m *Manager) Enable(name string) error {
	p, err := m.find(name)
	if err != nil {
		return err
	}
	p.enable()
	return nil
}

// Disable ends a peer's session and keeps it down until Enable. message goes to
// the peer (RFC 9003).
func (m *Manager) Disable(name, message string) error {
	return m.admin(name, message, (*peer).disable)
}

// Reset ends a peer's session, which then starts again. message goes to the peer
// (RFC 9003).
func (m *Manager) Reset(name, message string) error {
	return m.admin(name, message, (*peer).reset)
}

func (m *Manager) admin(name, message string, do func(*peer, string)) error {
	if !validMessage(message) {
		return ErrMessage
	}
	p, err := m.find(name)
	if err != nil {
		return err
	}
	do(p, message)
	return nil
}

// Refresh asks a peer for a family again (RFC 2918); 0 is for all families of
// the session.
func (m *Manager) Refresh(name string, f wire.Family) error {
	p, err := m.find(name)
	if err != nil {
		return err
	}
	return p.refresh(f)
}

// Reimport asks Hooks.Import for the policy of every peer that has routes here
// and has it judge what comes from now on. The result is for RIB.Rejudge, which
// judges what is stored.
func (m *Manager) Reimport() map[rib.PeerNum]rib.Filter {
	out := map[rib.PeerNum]rib.Filter{}
	for _, p := range m.all() {
		p.reimport(out)
	}
	return out
}

// Shutdown ends everything: no connection, call, listener or goroutine is left
// when it returns. graceful lets the peers keep our routes where that was
// negotiated (RFC 4724, RFC 8538). Notifications that can't be sent when ctx is
// done are not.
func (m *Manager) Shutdown(ctx context.Context, graceful bool) {
	m.apply.Lock()
	defer m.apply.Unlock()
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	close(m.closing)
	ls := m.listeners
	m.listeners = map[string]*listener{}
	m.mu.Unlock()
	for _, x := range ls {
		x.close()
	}
	ps := m.all()
	for _, p := range ps {
		p.shutdown(graceful)
	}
	over := make(chan struct{})
	go func() { m.wg.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
		for _, p := range ps {
			p.kill()
		}
		<-over
	}
	for _, p := range ps {
		p.forget()
	}
}
