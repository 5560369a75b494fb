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

// member is a peer of the model: what kind it is, and its session.
type member struct {
	from             string
	as               uint32
	internal, server bool // internal; a client of the route server
	ids              bool // is sent all paths
	p                *player
}

// TestWhatEveryPeerIsSentFollowsFromTheTable has peers of all kinds announce,
// withdraw, come and go and ask again, while policies change, all at random.
// Whenever it is quiet each must hold what follows from the table as the API
// shows it, by rules that are written down here once more.
func TestWhatEveryPeerIsSentFollowsFromTheTable(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := rand.New(rand.NewPCG(seed, 4))
	src := hubConfig(`policies:
  import: [{if: 'as_path.contains(107)', then: reject}, {then: accept}]
  export: [{if: '"64512:1" in communities', then: reject}, {then: accept}]
`, "address: 127.20.130.1, as: 65001, import: import, export: export", "address: 127.20.130.2, as: 65002, export: export",
		"address: 127.20.130.3, as: 64512", "address: 127.20.130.4, as: 64512",
		"address: 127.20.130.5, as: 65005, route_server_client: true, export: export", "address: 127.20.130.6, as: 65006, route_server_client: true",
		"address: 127.20.130.7, as: 65007, add_path: {send: all}, export: export")
	e, c, write := speaking(t, src, nil)
	members := []*member{{as: 65001}, {as: 65002}, {as: 64512, internal: true}, {as: 64512, internal: true}, {as: 65005, server: true}, {as: 65006, server: true}, {as: 65007, ids: true}}
	connect := func(m *member) {
		m.p = again(t, e.BGPAddrs()[0].String(), playerOptions{from: ip(m.from), as: m.as, takeIDs: m.ids, more: restarting(false, 60, v4u)})
		m.p.end()
	}
	for i, m := range members {
		m.from = fmt.Sprintf("127.20.130.%d", i+1)
		connect(m)
	}
	rounds, steps := 12, 25
	if testing.Short() {
		rounds = 4
	}
	policy := 0
	for round := range rounds {
		for range steps {
			m := members[w.IntN(len(members))]
			prefix := fmt.Sprintf("10.%d.0.0/16", w.IntN(8))
			switch n := w.IntN(40); {
			case n < 22:
				var path []uint32
				if !m.internal {
					path = append(path, m.as)
				}
				for range w.IntN(4) {
					path = append(path, 100+uint32(w.IntN(9)))
				}
				m.p.announce(0, path, func(e *wire.AttrEditor) {
					if m.internal {
						e.SetUint32(wire.AttrLocalPref, 90+uint32(w.IntN(3))*10)
					}
					if w.IntN(4) == 0 {
						e.AddCommunities([]uint32{[]uint32{64512<<16 | 1, 0xffffff01, 0xffffff02}[w.IntN(3)]})
					}
				}, prefix)
			case n < 35:
				m.p.withdraw(0, prefix)
			case n < 37:
				m.p.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: v4u}))
			case n < 38:
				m.p.close() // its routes are kept until it has come back
				connect(m)
			case n < 39:
				m.p.send(wire.AppendNotification(nil, wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminReset}))
				eventually(t, "the session ends", m.p.over)
				m.p.close()
				connect(m)
			default:
				policy++
				write(strings.NewReplacer("contains(107)", fmt.Sprintf("contains(%d)", 100+policy%9), "64512:1", fmt.Sprintf("64512:%d", policy%2)).Replace(src))
				if _, err := e.Reload(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, m := range members {
			m.p.isRead(c)
		}
		for _, m := range members {
			m.settles(t, c, fmt.Sprintf("seed %d, round %d", seed, round), members, fmt.Sprintf("64512:%d", map[bool]int{true: 1, false: policy % 2}[policy == 0]))
		}
	}
}

// settles waits until a member holds what it should, and the API says so.
func (m *member) settles(t *testing.T, c *client, when string, members []*member, hidden string) {
	t.Helper()
	var want, got, shown map[string]string
	var sent, counted int
	for end := time.Now().Add(waitLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		want, got = m.wants(c, members, hidden), m.has()
		shown, sent = m.shown(c)
		counted = int(c.peer(m.from).Families[0].Advertised)
		if maps.Equal(got, want) && maps.Equal(shown, want) && counted == sent {
			return
		}
	}
	t.Fatalf("%s: %s\nholds %v\nwants %v\nadj-out %v, of %d counted as %d\nsays  %v", when, m.from, got, want, shown, sent, counted, m.p.spoken(0))
}

// shown is what the API says that it is sent.
func (m *member) shown(c *client) (paths map[string]string, n int) {
	byPrefix := map[string][]string{}
	routes := c.routes("?family=ipv4-unicast&limit=10000&table=adj-out&peer=" + m.from).Routes
	for _, r := range routes {
		byPrefix[*r.Prefix] = append(byPrefix[*r.Prefix], r.ASPath)
	}
	return sorted(byPrefix), len(routes)
}

// has are the AS paths that it holds, by prefix; several, sorted, with Add-Path.
func (m *member) has() map[string]string {
	paths := map[string][]string{}
	for _, key := range m.p.holds() {
		prefix, _, _ := strings.Cut(key, " ")
		paths[prefix] = append(paths[prefix], m.p.text(key, wire.AttrASPath))
	}
	return sorted(paths)
}

func sorted(paths map[string][]string) map[string]string {
	out := map[string]string{}
	for prefix, s := range paths {
		slices.Sort(s)
		out[prefix] = strings.Join(s, ", ")
	}
	return out
}

// wants is what follows from the table.
func (m *member) wants(c *client, members []*member, hidden string) map[string]string {
	byAddr := map[string]*member{}
	for _, o := range members {
		byAddr[o.from] = o
	}
	paths := map[string][]string{}
	decided := map[string]bool{}
	for _, r := range c.routes("?family=ipv4-unicast&limit=10000").Routes { // best first
		prefix, from := *r.Prefix, byAddr[*r.Peer]
		if decided[prefix] {
			continue
		}
		if !m.ids && !m.server {
			decided[prefix] = true // the best path or none
		}
		exports := m.from == "127.20.130.1" || m.from == "127.20.130.2" || m.from == "127.20.130.5" || m.from == "127.20.130.7"
		switch {
		case from == m, m.internal && from.internal,
			exports && slices.Contains(r.Communities, hidden),
			slices.Contains(r.Communities, "65535:65282") && !m.server,
			slices.Contains(r.Communities, "65535:65281") && !m.internal && !m.server:
			continue
		}
		decided[prefix] = !m.ids
		path := r.ASPath
		if !m.internal && !m.server {
			path = strings.TrimSuffix("64512 "+path, " ")
		}
		paths[prefix] = append(paths[prefix], path)
	}
	return sorted(paths)
}
