package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
)

const (
	// dialTimeout bounds a call; fsm gives one up sooner where it calls again.
	dialTimeout = 20 * time.Second
	// maxCalls bounds the calls that are under way: thousands of peers that do
	// not answer are no storm of goroutines.
	maxCalls = 256
)

// caller runs calls, so many at a time, in their order.
type caller struct {
	mu      sync.Mutex
	running int
	waiting []func()
}

// call runs f in a goroutine of wg, now or when it is its turn.
func (c *caller) call(wg *sync.WaitGroup, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running >= maxCalls {
		c.waiting = append(c.waiting, f)
		return
	}
	c.running++
	wg.Go(f)
}

// done ends a call, and begins the next one.
func (c *caller) done(wg *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.running--
		return
	}
	next := c.waiting[0]
	c.waiting = c.waiting[1:]
	wg.Go(next)
}

// call makes a connection, in a goroutine that becomes its reader. p.mu is held.
func (p *peer) call(h *half) {
	h.hangUp()
	if p.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.dial = cancel
	cfg, key := p.config.Load(), p.md5
	p.m.calls.call(&p.m.wg, func() {
		l, err := p.dialed(ctx, cfg, key)
		p.m.calls.done(&p.m.wg)
		p.mu.Lock()
		if ctx.Err() != nil { // hung up
			p.mu.Unlock()
			if l != nil {
				l.Close()
			}
			return
		}
		h.hangUp()
		if err != nil && h.c == nil {
			p.event(h, fsm.Event{Kind: fsm.EventTCPFails, Cause: reason(err)}, nil)
		}
		p.mu.Unlock()
		if err == nil {
			newConn(p, l, false).run(fsm.EventTCPAcked)
		}
	})
}

func (p *peer) dialed(ctx context.Context, cfg *config.Peer, key string) (link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // while it waited for its turn
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l, err := p.m.dial(ctx, p, cfg, key)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		err = fmt.Errorf("no answer in %v", dialTimeout)
	}
	return l, err
}

// dialTCP calls a peer.
func dialTCP(ctx context.Context, p *peer, cfg *config.Peer, key string) (link, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: false}, // BGP has its own
		KeepAlive:       -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) { err = p.tune(fd, cfg, key) }); e != nil {
				return e
			}
			return err
		},
	}
	d.SetMultipathTCP(false)
	if a := cfg.LocalAddress; a.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	nc, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(p.addr, cfg.Port).String())
	if err != nil {
		return nil, err
	}
	return newLink(nc), nil
}

// tune sets the options of a socket to a peer: a key where it is one that calls,
// since one that was accepted has its listener's.
func (p *peer) tune(fd uintptr, cfg *config.Peer, key string) error {
	six := isSix(fd)
	if key != "" {
		if err := setKey(fd, netip.PrefixFrom(p.addr.WithZone(""), p.addr.BitLen()), six, []byte(key)); err != nil {
			return err
		}
	}
	var ttl, least uint8
	switch {
	case cfg.TTLSecurity > 0: // RFC 5082
		ttl, least = 255, uint8(256-int(cfg.TTLSecurity))
	case cfg.Multihop > 0:
		ttl = cfg.Multihop
	case p.external(cfg):
		ttl = 1
	default:
		ttl = 64
	}
	return setTTL(fd, six, ttl, least)
}

// accept takes a connection that came in, or closes it.
func (m *Manager) accept(nc *net.TCPConn) {
	remote := addrPort(nc.RemoteAddr()).Addr()
	p, err := m.admit(remote)
	if err == nil {
		err = p.accepted(nc)
	}
	if err != nil {
		m.strange.log(func(more int) {
			m.log.Warn("connection refused", "from", remote, "reason", err, "more_since", more)
		})
		nc.SetLinger(0)
		nc.Close()
		return
	}
	m.take(p, newLink(nc))
}

// take gives a connection that came in to its peer.
func (m *Manager) take(p *peer, l link) {
	c := newConn(p, l, true)
	c.pending = true
	m.pending.Add(1)
	m.wg.Go(func() { c.run(fsm.EventTCPConfirmed) })
}

// accepted sets the options of a connection that came in.
func (p *peer) accepted(nc *net.TCPConn) error {
	raw, err := nc.SyscallConn()
	if err != nil {
		return err
	}
	cfg := p.config.Load()
	if e := raw.Control(func(fd uintptr) {
		if err = p.tune(fd, cfg, ""); err != nil || cfg.TTLSecurity == 0 {
			return
		}
		if ttl, ok := synTTL(fd); ok && int(ttl) < 256-int(cfg.TTLSecurity) {
			err = fmt.Errorf("its TTL is %d: with ttl_security %d hops it has to be at least %d (RFC 5082)", ttl, cfg.TTLSecurity, 256-int(cfg.TTLSecurity))
		}
	}); e != nil {
		return e
	}
	return err
}

var (
	errStranger = errors.New("no peer is configured with this address")
	errFull     = errors.New("the range has as many peers as max_peers allows")
	errPending  = errors.New("too many connections wait for their OPEN")
)

// admit returns the peer of an address; one of a range is made where it is not
// there yet.
func (m *Manager) admit(a netip.Addr) (*peer, error) {
	if m.pending.Load() >= int64(m.o.MaxPending) {
		return nil, errPending
	}
	m.mu.RLock()
	p := m.peers[a]
	if p == nil && a.Zone() != "" {
		p = m.peers[a.WithZone("")]
	}
	m.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *span
	for r, x := range m.ranges {
		if r.Contains(a.WithZone("")) && (best == nil || r.Bits() > best.prefix.Bits()) {
			best = x
		}
	}
	switch {
	case best == nil || m.closed:
		return nil, errStranger
	case best.peers[a] != nil:
		p := best.peers[a]
		if !p.active() && best.full() {
			return nil, errFull
		}
		return p, nil
	case best.full():
		return nil, errFull
	}
	best.evict(m)
	k := peerKey{rng: best.prefix}
	p = newPeer(m, a, dynamicConfig(best.config, a), best.prefix, identity{as: m.set.AS, id: routerID(&m.set)}, m.keys[k])
	best.peers[a] = p
	return p, nil
}

// full says whether a range has no room for another session.
func (x *span) full() bool {
	if x.config.MaxPeers == 0 {
		return false
	}
	n := 0
	for _, p := range x.peers {
		if p.active() {
			n++
		}
	}
	return n >= x.config.MaxPeers
}

// evict makes room in the list of neighbours that are gone.
func (x *span) evict(m *Manager) {
	if len(x.peers) < maxEnded {
		return
	}
	var oldest *peer
	var at time.Time
	gone := 0
	for _, p := range x.peers {
		if since, ok := p.idleSince(); ok {
			gone++
			if oldest == nil || since.Before(at) {
				oldest, at = p, since
			}
		}
	}
	if gone >= maxEnded {
		delete(x.peers, oldest.addr)
		m.wg.Go(func() { oldest.remove("forgotten") })
	}
}

// forget takes a neighbour of a range off the list, an hour after its end.
func (m *Manager) forget(p *peer) {
	m.mu.Lock()
	x := m.ranges[p.rng]
	_, idle := p.idleSince()
	if m.closed || x == nil || x.peers[p.addr] != p || !idle {
		m.mu.Unlock()
		p.mu.Lock()
		if !p.closed && p.best() <= fsm.Active { // routes are retained: later
			p.ended.start(endedRest)
		}
		p.mu.Unlock()
		return
	}
	delete(x.peers, p.addr)
	m.mu.Unlock()
	p.remove("forgotten")
}
