package origin

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ribd/wire"
)

// model is what a Manager ought to have, kept the slow and obvious way.
type model struct {
	guards Guards
	routes map[Key]modelRoute
	clock  int
}

type modelRoute struct {
	Route
	at int // when its key came
}

func (m *model) guarded(r *Route) bool {
	v, _ := wire.FindAttr(r.Attrs, wire.AttrCommunities)
	for ; len(v) >= 4; v = v[4:] {
		if string(v[:4]) == "\xff\xff\x02\x9a" {
			return true
		}
	}
	return r.NLRI != "" && r.Attrs != nil && hasDiscard(r.Attrs)
}

func hasDiscard(attrs []byte) bool {
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	return len(v) == 8 && v[0] == 0x80 && v[1] == 6
}

// room says whether the guards' numbers leave room for a guarded route.
func (m *model) room(r *Route, without Key, before int) bool {
	all, each := 0, map[string]int{}
	shared := 0
	for k, o := range m.routes {
		if k == without || !m.guarded(&o.Route) || o.Held != nil || o.at >= before {
			continue
		}
		all++
		if len(o.Peers) == 0 {
			shared++
		}
		for _, p := range o.Peers {
			each[p]++
		}
	}
	if m.guards.MaxRules > 0 && all >= m.guards.MaxRules {
		return false
	}
	if m.guards.MaxRulesPerPeer == 0 {
		return true
	}
	who := r.Peers
	if len(who) == 0 {
		if shared >= m.guards.MaxRulesPerPeer {
			return false
		}
		who = slices.Collect(maps.Keys(each))
	}
	for _, p := range who {
		if shared+each[p] >= m.guards.MaxRulesPerPeer {
			return false
		}
	}
	return true
}

const never = 1 << 60

func (m *model) announce(r Route) bool {
	old, had := m.routes[r.Key]
	if m.guarded(&r) && !m.room(&r, r.Key, never) {
		return false
	}
	at := old.at
	if !had {
		m.clock++
		at = m.clock
	}
	r.Held = nil
	m.routes[r.Key] = modelRoute{r, at}
	return true
}

// setGuards judges again in the order in which the keys came.
func (m *model) setGuards(g Guards) {
	m.guards = g
	list := slices.Collect(maps.Values(m.routes))
	slices.SortFunc(list, func(a, b modelRoute) int { return a.at - b.at })
	for _, r := range list {
		r.Held = nil
		m.routes[r.Key] = r
	}
	for _, r := range list {
		if m.guarded(&r.Route) && !m.room(&r.Route, r.Key, r.at) {
			r.Held = &GuardError{}
			m.routes[r.Key] = r
		}
	}
}

func (m *model) check(t *testing.T, what string, r *rig) {
	t.Helper()
	got := r.list(Filter{})
	if len(got) != len(m.routes) {
		t.Fatalf("%s: %d routes, want %d", what, len(got), len(m.routes))
	}
	for i, g := range got {
		if i > 0 && got[i-1].Compare(&g.Key) >= 0 {
			t.Fatalf("%s: the list is out of order at %d", what, i)
		}
		w, ok := m.routes[g.Key]
		switch {
		case !ok:
			t.Fatalf("%s: %v is there", what, g.Key)
		case string(g.Attrs) != string(w.Attrs), !slices.Equal(g.Peers, w.Peers), string(g.Labels) != string(w.Labels), g.Expires.IsZero() != (w.TTL == 0):
			t.Fatalf("%s: %v is %+v, want %+v", what, g.Key, g, w)
		case (g.Held == nil) != (w.Held == nil):
			t.Fatalf("%s: %v: held %v, want %v", what, g.Key, g.Held, w.Held)
		case r.shows(w.Route) != (w.Held == nil):
			t.Fatalf("%s: %v is in the RIB: %v", what, g.Key, w.Held != nil)
		}
	}
	var n int64
	for _, p := range r.rib.Peers() {
		for _, c := range p.Counts {
			n += c.Paths
		}
	}
	if held := r.Stats().Held; int(n) != len(got)-held {
		t.Fatalf("%s: %d paths in the RIB, want %d", what, n, len(got)-held)
	}
}

func TestManagerAnswersToAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		rnd := rand.New(rand.NewPCG(seed, uint64(round)))
		t.Logf("seed %d, %d", seed, round)
		g := Guards{MaxRules: 15, MaxRulesPerPeer: 8}
		m := &model{guards: g, routes: map[Key]modelRoute{}}
		j := &memory{}
		r := newRig(t, Options{Journal: j, Guards: g})
		draw := func() Route {
			opts := []func(*Route){}
			if rnd.IntN(3) == 0 {
				opts = append(opts, pathID(rnd.Uint32N(2)))
			}
			switch rnd.IntN(4) {
			case 0:
				opts = append(opts, peers("a"))
			case 1:
				opts = append(opts, peers("a", "b"))
			}
			if rnd.IntN(3) == 0 {
				opts = append(opts, ttl(time.Hour))
			}
			switch rnd.IntN(4) {
			case 0:
				act := []string{"discard", "mark 5", "sample"}[rnd.IntN(3)]
				return rule(fmt.Sprintf("destination 10.0.%d.0/24 then %s", rnd.IntN(8), act), opts...)
			case 1:
				w := route(fmt.Sprintf("2001:db8:%x::/48", rnd.IntN(8)), opts...)
				w.Family, w.RD, w.Labels = wire.IPv6VPN, uint64(rnd.IntN(2)), []byte{0, byte(rnd.IntN(2)), 1}
				return w
			}
			if rnd.IntN(2) == 0 {
				opts = append(opts, with(blackhole, rnd.Uint32N(3)))
			} else {
				opts = append(opts, with(rnd.Uint32N(3)))
			}
			return route(fmt.Sprintf("10.0.%d.0/24", rnd.IntN(8)), opts...)
		}
		for step := range 150 {
			var routes []Route
			for range 1 + rnd.IntN(6) {
				routes = append(routes, draw())
			}
			if rnd.IntN(6) == 0 {
				j.set(errors.New("disk"), false)
			}
			switch op := rnd.IntN(20); {
			case op < 6: // line by line
				res, err := r.Announce(routes, EachAlone)
				if errors.Is(err, ErrNotKept) && j.fail != nil {
					break
				}
				for i, w := range routes {
					if ok := m.announce(w); ok != (res[i].Err == nil) {
						t.Fatalf("step %d: route %d: %v, the model says %v", step, i, res[i].Err, ok)
					}
				}
			case op < 12:
				before := maps.Clone(m.routes)
				ok := true
				for _, w := range routes {
					ok = ok && m.announce(w)
				}
				_, err := r.Announce(routes, AllOrNothing)
				if !ok || errors.Is(err, ErrNotKept) && j.fail != nil {
					m.routes = before
				}
				if ok && err != nil && j.fail == nil || !ok && err == nil {
					t.Fatalf("step %d: %v, the model says %v", step, err, ok)
				}
			case op < 17:
				var keys []Key
				for _, w := range routes {
					keys = append(keys, w.Key)
				}
				found, err := r.Withdraw(keys)
				if err != nil && j.fail != nil {
					break
				}
				for i, k := range keys {
					if _, ok := m.routes[k]; ok != found[i] {
						t.Fatalf("step %d: found %v, the model says %v", step, found[i], ok)
					}
					delete(m.routes, k)
				}
			case op < 18:
				if _, err := r.Check(routes, EachAlone); err != nil {
					t.Fatal(err)
				}
			case op < 19:
				g := Guards{MaxRules: rnd.IntN(20), MaxRulesPerPeer: rnd.IntN(10)}
				r.SetGuards(g)
				m.setGuards(g)
			default:
				j.set(nil, true)
				r.compact()
			}
			j.set(nil, false)
			m.check(t, fmt.Sprint("step ", step), r)
			if rnd.IntN(10) == 0 {
				again := newRig(t, Options{Journal: &memory{recs: j.recs}, Guards: m.guards})
				judged := &model{guards: m.guards, routes: maps.Clone(m.routes), clock: m.clock}
				judged.setGuards(m.guards) // a restart judges everything again
				judged.check(t, fmt.Sprint("after a restart at step ", step), again)
				again.end()
			}
		}
		r.end()
	}
}
