package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// TestDamagedRulesLeaveWhatIsSound sends ExaBGP's messages with octets changed
// at random. Whatever comes of it, ribd goes on, its neighbour holds just the
// rules that are listed, and each one's text makes the same octets.
func TestDamagedRulesLeaveWhatIsSound(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := rand.New(rand.NewPCG(seed, 7))
	c, to := hub(t, "", "prefix: 127.21.123.0/24, as: 64512, max_peers: 250"+flowPeers, "address: 127.21.122.2, as: 64512, route_reflector_client: true"+flowPeers)
	o := playerOptions{as: 64512, families: flowFamilies}
	ends := -1
	connect := func() *player {
		ends++
		o.from = ip(fmt.Sprintf("127.21.123.%d", 1+ends%250))
		return again(t, to, o)
	}
	one := connect()
	two := play(t, to, playerOptions{from: ip("127.21.122.2"), as: 64512, families: flowFamilies})
	lines := exaLines(t, "flowspec-rules-a.tsv")
	n := 6000
	if testing.Short() {
		n = 900
	}
	damaged, compared := uint64(0), 0
	for i := range n {
		x := &lines[w.IntN(len(lines))]
		msg := slices.Clone(x.message)
		_, add, del := rawsOf(t, x, &one.parse)
		raw := append(add, del...)[0].raw
		from := bytes.LastIndex(msg, raw) + 1
		if i%300 == 0 {
			from = wire.HeaderLen // anything, most of which ends the session
		}
		for range w.IntN(3) {
			at := from + w.IntN(len(msg)-from)
			switch kind := w.IntN(3); {
			case kind == 0:
				msg[at] ^= 1 << w.IntN(8)
			case kind == 1:
				msg[at] = byte(w.UintN(256))
			case i%300 == 0:
				msg = slices.Delete(msg, at, at+1)
				binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
			}
		}
		one.conn.Write(msg) // it may be over by now
		if i%10 == 9 {
			// What came before is dealt with, or has ended the session.
			before := c.peer(o.from.String()).Messages.Received.RouteRefresh
			one.conn.Write(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: v6u}))
			eventually(t, "it has read all", func() bool {
				return one.over() || c.peer(o.from.String()).Messages.Received.RouteRefresh > before
			})
			if one.over() {
				one = connect()
			}
		}
		if i%300 != 299 {
			continue
		}
		quiet := time.Now()
		eventually(t, "both agree", func() bool {
			listed := map[string]bool{}
			rules := c.rules("?limit=100000")
			for _, r := range rules {
				listed[r.Family+" "+r.NLRI] = true
			}
			held := map[string]bool{}
			for _, k := range two.holds() {
				if k[:4] != "ipv4" && k[:4] != "ipv6" || !slices.ContainsFunc(flowFamilies[2:], func(f wire.Family) bool { return len(k) > len(f.String()) && k[:len(f.String())+1] == f.String()+" " }) {
					continue
				}
				held[k] = true
			}
			if !maps.Equal(listed, held) {
				if time.Since(quiet) > waitLimit-time.Second {
					t.Fatalf("seed %d: listed %d, held %d", seed, len(listed), len(held))
				}
				return false
			}
			for _, r := range rules {
				compared++
				rule, actions, err := flowspec.ParseText(r.Text)
				var nlri []byte
				if err == nil {
					rule.Family = familyOf(r.Family)
					nlri, err = rule.AppendNLRI(nil)
				}
				if err != nil || fmt.Sprintf("%x", nlri) != r.NLRI {
					t.Fatalf("seed %d: %q makes %x, %v, and not %s", seed, r.Text, nlri, err, r.NLRI)
				}
				if got := flowspec.Text(&rule, &actions); got != r.Text {
					t.Fatalf("seed %d: %q is written %q", seed, r.Text, got)
				}
			}
			return true
		})
	}
	for i := range min(ends+1, 250) {
		if e := c.peer(fmt.Sprintf("127.21.123.%d", i+1)).Errors; e != nil {
			damaged += e.TreatAsWithdraw
		}
	}
	t.Logf("%d sessions ended, %d messages treated as withdrawals, %d rules compared", ends, damaged, compared)
	if damaged == 0 || compared == 0 {
		t.Error("the noise did nothing")
	}
	if two.over() {
		t.Error("the other session has ended")
	}
}

func familyOf(name string) wire.Family {
	for _, f := range flowFamilies {
		if f.String() == name {
			return f
		}
	}
	panic(name)
}
