package engine

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// announcer is a model of what programs announce: what is originated, by key,
// and who is to be sent it.
type announcer struct {
	routes map[string]modelRoute // "prefix id" or a rule's NLRI
}

type modelRoute struct {
	prefix, nlri string
	id           int // -1: null; a higher one has a longer path
	peers        []string
	med          int
	ends         time.Time
}

// sentTo are the keys, with the MED, that a peer is to hold.
func (a *announcer) sentTo(peer string, all bool) map[string]string {
	want := map[string]string{}
	best := map[string]modelRoute{}
	for _, r := range a.routes {
		at := r.prefix + r.nlri
		if b, ok := best[at]; !ok || r.id < b.id {
			best[at] = r
		}
	}
	for _, r := range a.routes {
		if len(r.peers) > 0 && !slices.Contains(r.peers, peer) {
			continue
		}
		if !all && best[r.prefix+r.nlri].id != r.id {
			continue // the best one is sent, or none
		}
		key := r.prefix
		if r.nlri != "" {
			key = "ipv4-flowspec " + r.nlri
		}
		want[fmt.Sprintf("%s med %d", key, r.med)] = ""
	}
	return want
}

// has are a player's routes in sentTo's words.
func (p *player) has() map[string]string {
	got := map[string]string{}
	for _, key := range p.holds() {
		med := p.text(key, wire.AttrMED)
		if i := strings.LastIndexByte(key, ' '); i >= 0 && p.parse.AddPath.Has(wire.IPv4Unicast) {
			key = key[:i]
		}
		got[key+" med "+med] = ""
	}
	return got
}

// TestWhatIsAnnouncedAtRandomIsWhatPeersHold has programs announce, withdraw and
// let end paths and rules by all entrances, for all or some peers, while peers
// come and go and ribd itself restarts. Whenever it is quiet each peer holds
// what a model says.
func TestWhatIsAnnouncedAtRandomIsWhatPeersHold(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := rand.New(rand.NewPCG(seed, 5))
	const families = ", families: [ipv4-unicast, ipv4-flowspec]"
	src := hubConfig("persist: {dir: "+t.TempDir()+"}\nguards: {max_rules: {total: 100000, per_peer: 100000}}\n", "address: 127.21.90.1, as: 65001"+families,
		"address: 127.21.90.2, as: 65002, add_path: {send: all}"+families, "address: 127.21.90.3, as: 64512"+families)
	e, c, _ := speaking(t, src, nil)
	addrs := []string{"127.21.90.1", "127.21.90.2", "127.21.90.3"}
	players := make([]*player, 3)
	connect := func(i int) {
		players[i] = again(t, e.BGPAddrs()[0].String(), playerOptions{from: ip(addrs[i]), as: []uint32{65001, 65002, 64512}[i], takeIDs: i == 1, families: []wire.Family{v4u, wire.IPv4FlowSpec}})
	}
	for i := range players {
		connect(i)
	}
	m := announcer{routes: map[string]modelRoute{}}
	random := func() (r modelRoute, body map[string]any) {
		r = modelRoute{id: w.IntN(3) - 1, med: w.IntN(1000)}
		body = map[string]any{"med": r.med}
		if w.IntN(3) == 0 {
			last := w.IntN(6)
			r.nlri = fmt.Sprintf("060120cb0071%02x", last)
			body["family"], body["nlri"], body["ext_communities"] = "ipv4-flowspec", r.nlri, []string{"0x8006000000000000"}
		} else {
			r.prefix = fmt.Sprintf("10.%d.0.0/16", w.IntN(6))
			body["prefix"], body["next_hop"] = r.prefix, "192.0.2.1"
		}
		body["as_path"] = strings.TrimSpace(strings.Repeat("64999 ", r.id+2))
		if r.id >= 0 {
			body["path_id"] = r.id
		}
		if w.IntN(3) == 0 {
			for _, a := range addrs {
				if w.IntN(2) == 0 {
					r.peers = append(r.peers, a)
				}
			}
			if len(r.peers) > 0 {
				body["peers"] = r.peers
			}
		}
		if w.IntN(5) == 0 {
			ttl := time.Duration(20+w.IntN(200)) * time.Millisecond
			r.ends, body["ttl"] = time.Now().Add(ttl), ttl.String()
		}
		return r, body
	}
	key := func(r modelRoute) string { return fmt.Sprint(r.prefix, r.nlri, " ", r.id) }
	add := func(r modelRoute) { m.routes[key(r)] = r }
	rounds, steps := 6, 50
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		for range steps {
			switch n := w.IntN(20); {
			case n < 8:
				r, body := random()
				c.change("POST", "/api/v1/paths", mustJSON(body), nil)
				add(r)
			case n < 12: // a list, or lines, where a key may come twice
				var bodies []string
				seen := map[string]bool{}
				for range 1 + w.IntN(8) {
					r, body := random()
					if n < 10 && seen[key(r)] {
						continue // a list has each key once
					}
					seen[key(r)] = true
					bodies = append(bodies, mustJSON(body))
					add(r)
				}
				if n < 10 {
					c.change("POST", "/api/v1/paths", "["+strings.Join(bodies, ",")+"]", nil)
					continue
				}
				for _, a := range c.lines("/api/v1/paths", strings.Join(bodies, "\n")+"\n") {
					if len(a.Error) > 0 {
						t.Fatalf("%s: %s", bodies, a.Error)
					}
				}
			case n < 17:
				if len(m.routes) == 0 {
					continue
				}
				keys := slices.Sorted(maps.Keys(m.routes))
				r := m.routes[keys[w.IntN(len(keys))]]
				body := map[string]any{}
				if r.nlri != "" {
					body["family"], body["nlri"] = "ipv4-flowspec", r.nlri
				} else {
					body["prefix"] = r.prefix
				}
				if r.id >= 0 {
					body["path_id"] = r.id
				}
				status, b := c.ask("DELETE", "/api/v1/paths", "application/json", strings.NewReader(mustJSON(body)))
				if status/100 != 2 && !(status == 404 && !r.ends.IsZero()) {
					t.Fatalf("DELETE %v: %d %s", body, status, b)
				}
				delete(m.routes, key(r))
			case n == 17:
				i := w.IntN(3)
				players[i].close()
				connect(i)
			case round%2 == 1 && n == 19 && w.IntN(3) == 0:
				ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
				if err := e.Shutdown(ctx); err != nil {
					t.Fatal(err)
				}
				cancel()
				e, c, _ = speaking(t, src, nil)
				for i := range players {
					players[i].close()
					connect(i)
				}
			}
		}
		quiet := time.Now()
		eventually(t, fmt.Sprintf("round %d of seed %d", round, seed), func() bool {
			maps.DeleteFunc(m.routes, func(_ string, r modelRoute) bool { return !r.ends.IsZero() && time.Now().After(r.ends) })
			for i, p := range players {
				got, want := p.has(), m.sentTo(addrs[i], i == 1)
				if !maps.Equal(got, want) {
					if time.Since(quiet) > waitLimit-time.Second {
						t.Fatalf("round %d: %s holds %v, want %v", round, addrs[i], slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
					}
					return false
				}
			}
			// One that has ended may have been hidden from them by a better one, and
			// more of them end meanwhile.
			if got := len(c.originates("?limit=1000")); got != len(m.routes) {
				if time.Since(quiet) > waitLimit-time.Second {
					t.Fatalf("round %d: %d are listed, want %d", round, got, len(m.routes))
				}
				return false
			}
			return true
		})
	}
}
