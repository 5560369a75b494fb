//go:build linux

package peertest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Config is what a router is told.
type Config struct {
	AS uint32
	// ID is the router id, the host's IPv4 address unless set.
	ID netip.Addr
	// Hold is the hold time, 90 seconds unless set.
	Hold time.Duration
	// Restart is the restart time of graceful restart; 0 is none.
	Restart   time.Duration
	Neighbors []Neighbor
	// Routes are originated, with the router itself as next hop: what does not
	// fit into a daemon's language is refused.
	Routes []Route
	// Rules are originated too, by daemons that announce Flow Spec.
	Rules []Rule
}

// Neighbor is one session.
type Neighbor struct {
	Address netip.Addr
	AS      uint32
	// Families are those of the transport's address unless set.
	Families []string
	Passive  bool
	// AddPathSend and AddPathReceive ask for Add-Path, all paths.
	AddPathSend, AddPathReceive bool
	MD5                         string
	// TTL asks for TTL security over one hop.
	TTL bool
	// RouteServer: the neighbour is a route server, whose own AS is in no path.
	RouteServer bool
	// ExtendedNextHop has IPv4 routes with an IPv6 next hop (RFC 8950).
	ExtendedNextHop bool
	// Role is the router's own towards the neighbour (RFC 9234): provider,
	// rs, rs-client, customer, peer. GoBGP and ExaBGP know none.
	Role string
	// RouteServerClient makes the router a route server for it, ReflectorClient
	// a route reflector; not all daemons can.
	RouteServerClient, ReflectorClient bool
}

func (n *Neighbor) families() []string {
	switch {
	case len(n.Families) > 0:
		return n.Families
	case n.Address.Is4():
		return []string{"ipv4-unicast"}
	}
	return []string{"ipv6-unicast"}
}

func (n *Neighbor) has(family string) bool { return slices.Contains(n.families(), family) }

// Router is a running daemon.
type Router interface {
	Kind() Kind
	Host() *Host
	// Proc is the process that speaks BGP: kill it, freeze it.
	Proc() *Proc
	// Start starts it again after an end; restart says that it is to tell its
	// peers that it restarts gracefully.
	Start(restart bool)
	// Stop ends it as an operator would.
	Stop()
	// State returns the session's state in lower case ("established", …), and
	// an error while the daemon does not answer.
	State(neighbor netip.Addr) (string, error)
	// Routes returns what it learned from its neighbours of a family.
	Routes(family string) ([]Route, error)
	// Announce originates routes as well, Withdraw takes them back (by prefix
	// and path id).
	Announce(routes ...Route) error
	Withdraw(routes ...Route) error
	// Refresh asks a neighbour to send its routes again.
	Refresh(neighbor netip.Addr) error
	// Disable ends a session with a message (RFC 9003), Enable takes it up again.
	Disable(neighbor netip.Addr, message string) error
	Enable(neighbor netip.Addr) error
	// LastError returns what the router tells of the session's last end.
	LastError(neighbor netip.Addr) (string, error)
}

// base is what all routers share.
type base struct {
	t    testing.TB
	kind Kind
	host *Host
	cfg  Config
	dir  string
	proc *Proc
}

func (b *base) Kind() Kind  { return b.kind }
func (b *base) Host() *Host { return b.host }
func (b *base) Proc() *Proc { return b.proc }

// Start starts a router on a host and waits until it answers. It ends with the
// test.
func Start(t testing.TB, k Kind, h *Host, c Config) Router {
	t.Helper()
	if !c.ID.IsValid() {
		c.ID = h.V4
	}
	if c.Hold == 0 {
		c.Hold = 90 * time.Second
	}
	c.Routes, c.Rules = slices.Clone(c.Routes), slices.Clone(c.Rules)
	b := base{t: t, kind: k, host: h, cfg: c, dir: Dir(t)}
	var r Router
	switch k {
	case BIRD:
		r = newBIRD(b)
	case FRR:
		r = newFRR(b)
	case OpenBGPD:
		r = newOpenBGPD(b)
	case GoBGP3, GoBGP4:
		r = newGoBGP(b)
	case ExaBGP:
		r = newExaBGP(b)
	default:
		t.Fatalf("no daemon is named %q", k)
	}
	r.Start(false)
	return r
}

// file writes a file of the router's.
func (b *base) file(name, text string) string {
	b.t.Helper()
	p := filepath.Join(b.dir, name)
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// ready waits until a daemon that was started answers, or ended.
func (b *base) ready(f func() error) {
	b.t.Helper()
	ended := false
	err := Wait(Patience, func() error {
		if ended = !b.proc.Running(); ended {
			return nil
		}
		return f()
	})
	if ended {
		b.t.Fatalf("%s ended at its start", b.kind)
	}
	if err != nil {
		b.t.Fatalf("%s does not answer: %v", b.kind, err)
	}
}

// neighbor returns the session with an address.
func (b *base) neighbor(a netip.Addr) (int, *Neighbor, error) {
	for i := range b.cfg.Neighbors {
		if b.cfg.Neighbors[i].Address == a {
			return i, &b.cfg.Neighbors[i], nil
		}
	}
	return 0, nil, fmt.Errorf("%s: no neighbour %s", b.kind, a)
}

// logged returns the last lines of the daemon's log that have both texts. What a
// daemon shows of a session's end may be of the next attempt already; its log
// keeps it.
func (b *base) logged(one, other string) (lines []string) {
	for l := range strings.Lines(b.proc.Log()) {
		if strings.Contains(l, one) && strings.Contains(l, other) {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines[max(0, len(lines)-20):]
}

// add and remove keep the routes that are originated.
func (b *base) add(routes []Route) {
	b.remove(routes)
	b.cfg.Routes = append(b.cfg.Routes, routes...)
}

func (b *base) remove(routes []Route) {
	b.cfg.Routes = slices.DeleteFunc(b.cfg.Routes, func(r Route) bool {
		return slices.ContainsFunc(routes, func(o Route) bool { return o.Prefix == r.Prefix && o.PathID == r.PathID })
	})
}

func (b *base) addRules(rules []Rule) {
	b.removeRules(rules)
	b.cfg.Rules = append(b.cfg.Rules, rules...)
}

func (b *base) removeRules(rules []Rule) {
	b.cfg.Rules = slices.DeleteFunc(b.cfg.Rules, func(r Rule) bool {
		return slices.ContainsFunc(rules, func(o Rule) bool { return o.Family == r.Family && o.RD == r.RD && o.Match() == r.Match() })
	})
}

// WaitState waits until a session has a state.
func WaitState(t testing.TB, r Router, neighbor netip.Addr, want string) {
	t.Helper()
	Until(t, Patience, fmt.Sprintf("%s: session with %s is %s", r.Kind(), neighbor, want), func() error {
		s, err := r.State(neighbor)
		if err == nil && s != want {
			err = fmt.Errorf("it is %s", s)
		}
		return err
	})
}

// WaitRoutes waits until a router holds just these routes.
func WaitRoutes(t testing.TB, r Router, family string, want []Route, masks ...Mask) {
	t.Helper()
	Until(t, Patience, fmt.Sprintf("%s has the %s routes", r.Kind(), family), func() error {
		got, err := r.Routes(family)
		if err != nil {
			return err
		}
		return Diff(got, want, masks...)
	})
}
