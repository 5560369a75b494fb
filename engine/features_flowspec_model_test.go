package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// validityModel judges rules by RFC 8955 section 6 and RFC 9117 from the routes
// that the API shows, written down once more and slowly.
type validityModel struct {
	best map[netip.Prefix]modelPath // the best path of each prefix
}

type modelPath struct {
	originator string // ORIGINATOR_ID or the peer's address
	first      string // the leftmost AS, "" without one
}

func firstAS(path string) string {
	first, _, _ := strings.Cut(path, " ")
	return first
}

// judge is "" or why the rule is not feasible.
func (m *validityModel) judge(dst netip.Prefix, originator, path string, internal bool) string {
	if internal && path == "" {
		return ""
	}
	var match *modelPath
	longest := -1
	for p, b := range m.best {
		if p.Bits() <= dst.Bits() && p.Contains(dst.Addr()) && p.Bits() > longest {
			longest, match = p.Bits(), &b
		}
	}
	switch {
	case match == nil:
		return "no-unicast-route"
	case match.originator != originator, !internal && (firstAS(path) == "" || firstAS(path) != match.first):
		return "originator"
	}
	for p, b := range m.best {
		if p.Bits() > dst.Bits() && dst.Contains(p.Addr()) && b.first != match.first {
			return "more-specific"
		}
	}
	return ""
}

// TestValidityFollowsFromTheRoutesAtRandom has peers announce and withdraw
// routes and rules at random, and come and go. Whenever it is quiet each rule is
// as a model judges it, and peers hold just the feasible ones.
func TestValidityFollowsFromTheRoutesAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := rand.New(rand.NewPCG(seed, 6))
	more := strict + ", enforce_first_as: false"
	c, to := hub(t, "", "address: 127.21.110.1, as: 65001"+more, "address: 127.21.110.2, as: 65002"+more, "address: 127.21.110.3, as: 64512"+more,
		"address: 127.21.110.4, as: 64512"+more, "address: 127.21.110.9, as: 65009"+strict)
	ases := []uint32{65001, 65002, 64512, 64512}
	players := make([]*player, 4)
	connect := func(i int) {
		players[i] = again(t, to, playerOptions{from: ip(fmt.Sprintf("127.21.110.%d", i+1)), as: ases[i], families: strictFamilies})
	}
	for i := range players {
		connect(i)
	}
	sink := play(t, to, playerOptions{from: ip("127.21.110.9"), as: 65009, families: strictFamilies}).settle()
	prefixes := []string{"203.0.112.0/22", "203.0.113.0/24", "203.0.113.0/25", "203.0.113.128/25", "203.0.113.64/26", "203.0.114.0/24"}
	rules := []string{"050116cb0070", "050118cb0071", "060119cb007100", "060119cb007180", "060120cb007107", "050118cb0072", "090120cb007107038111"}
	destination := func(nlri string) netip.Prefix {
		b := unhex(nlri)
		var a [4]byte
		copy(a[:], b[3:3+(int(b[2])+7)/8])
		return netip.PrefixFrom(netip.AddrFrom4(a), int(b[2]))
	}
	edit := func(i int) func(e *wire.AttrEditor) {
		return func(e *wire.AttrEditor) {
			if ases[i] == 64512 {
				e.SetUint32(wire.AttrLocalPref, uint32(90+10*w.IntN(3)))
				if w.IntN(3) == 0 {
					e.Set(wire.AttrOriginatorID, []byte{192, 0, 2, byte(w.IntN(2))})
					e.Set(wire.AttrClusterList, []byte{192, 0, 2, 200})
				}
			}
		}
	}
	path := func(i int) (path []uint32) {
		if ases[i] != 64512 {
			path = append(path, ases[i])
			if w.IntN(8) == 0 {
				path[0] = 65001 + uint32(w.IntN(2))
			}
		}
		for range w.IntN(3) {
			path = append(path, 65001+uint32(w.IntN(3)))
		}
		return path
	}
	rounds, steps := 25, 25
	if testing.Short() {
		rounds = 6
	}
	seen := map[string]int{}
	// Until each verdict was there, too.
	for round := 0; round < rounds || len(seen) < 3 && round < 20*rounds; round++ {
		for range steps {
			i := w.IntN(4)
			p := players[i]
			switch n := w.IntN(40); {
			case n < 12:
				p.announce(0, path(i), edit(i), prefixes[w.IntN(len(prefixes))])
			case n < 24:
				p.withdraw(0, prefixes[w.IntN(len(prefixes))])
			case n < 34:
				p.flow(wire.IPv4FlowSpec, rules[w.IntN(len(rules))], path(i), edit(i), discard)
			case n < 39:
				p.takeBack(wire.IPv4FlowSpec, nlri{raw: unhex(rules[w.IntN(len(rules))])})
			case round%4 == 3:
				p.close()
				connect(i)
			}
		}
		for _, p := range players {
			p.isRead(c)
		}
		quiet := time.Now()
		eventually(t, "it is quiet", func() bool {
			m := validityModel{best: map[netip.Prefix]modelPath{}}
			for _, r := range c.routes("?best=true&family=ipv4-unicast&limit=1000").Routes {
				who := *r.Peer
				if r.OriginatorID != nil {
					who = *r.OriginatorID
				}
				m.best[netip.MustParsePrefix(*r.Prefix)] = modelPath{who, firstAS(r.ASPath)}
			}
			var wrong []string
			feasible := map[string]bool{}
			reasons := map[string]int{}
			var rows struct {
				Rules []struct {
					ruleRow
					OriginatorID *string `json:"originator_id"`
				}
			}
			c.get("/api/v1/flowspec?filtered=any&limit=1000", &rows)
			for _, r := range rows.Rules {
				who := *r.Peer
				if r.OriginatorID != nil {
					who = *r.OriginatorID
				}
				want := m.judge(destination(r.NLRI), who, r.ASPath, *r.Peer == "127.21.110.3" || *r.Peer == "127.21.110.4")
				got := ""
				if r.InvalidReason != nil {
					got = *r.InvalidReason
				}
				if got != want || r.Valid != (want == "") {
					wrong = append(wrong, fmt.Sprintf("%s of %s [%s]: %q, want %q", r.Text, *r.Peer, r.ASPath, got, want))
				}
				if want == "" {
					feasible["ipv4-flowspec "+r.NLRI] = true
				}
				reasons[want]++
			}
			held := map[string]bool{}
			for _, key := range sink.holds() {
				if strings.HasPrefix(key, "ipv4-flowspec ") {
					held[key] = true
				}
			}
			if len(wrong) == 0 && maps.Equal(held, feasible) {
				for k, n := range reasons {
					seen[k] += n
				}
				return true
			}
			if time.Since(quiet) > waitLimit-time.Second {
				t.Fatalf("round %d of seed %d: %s\nheld %v\nfeasible %v\nroutes %v", round, seed, strings.Join(wrong, "\n"), slices.Sorted(maps.Keys(held)), slices.Sorted(maps.Keys(feasible)), m.best)
			}
			return false
		})
	}
	t.Logf("judged: %v", seen)
	if len(seen) < 3 {
		t.Errorf("not every verdict was there: %v", seen)
	}
}
