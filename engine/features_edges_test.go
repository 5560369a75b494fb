package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"ribd/wire"
)

func TestPathIDsOutliveARestartAndARefresh(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.150.1, as: 65001", "address: 127.20.150.2, as: 65002", "address: 127.20.150.3, as: 65003, add_path: {send: all}")
	o := playerOptions{from: ip("127.20.150.1"), as: 65001, more: restarting(false, 60, v4u)}
	one := play(t, to, o)
	two := play(t, to, playerOptions{from: ip("127.20.150.2"), as: 65002})
	sink := play(t, to, playerOptions{from: ip("127.20.150.3"), as: 65003, takeIDs: true})
	const prefix = "203.0.113.0/24"
	one.announce(0, []uint32{65001}, nil, prefix)
	two.announce(0, []uint32{65002}, nil, prefix)
	eventually(t, "both", func() bool { return len(sink.pathsOf(prefix)) == 2 })
	before := sink.pathsOf(prefix)
	one.close()
	eventually(t, "stale", func() bool { return len(c.routes("?stale=gr").Routes) == 1 })
	one = again(t, to, o)
	one.announce(0, []uint32{65001}, nil, prefix)
	one.end()
	eventually(t, "fresh", func() bool { return len(c.routes("?stale=gr").Routes) == 0 })
	mark := len(sink.spoken(0))
	sink.send(wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: v4u}))
	eventually(t, "again", func() bool { return slices.Contains(sink.spoken(mark), "update") })
	eventually(t, "both, with the ids of before", func() bool { return maps.Equal(sink.pathsOf(prefix), before) })
}

func TestANeighbourOfAnyASMayBeInternal(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "prefix: 127.20.151.0/28, as: any")
	internal := play(t, to, playerOptions{from: ip("127.20.151.1"), as: 64512})
	also := play(t, to, playerOptions{from: ip("127.20.151.2"), as: 64512})
	external := play(t, to, playerOptions{from: ip("127.20.151.3"), as: 65003})
	internal.announce(0, nil, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 300) }, "203.0.113.0/24")
	external.announce(0, []uint32{65003}, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 500) }, "198.51.100.0/24")
	external.expect("the internal one's", "203.0.113.0/24")
	also.expect("the external one's alone", "198.51.100.0/24")
	if got := external.text("203.0.113.0/24", wire.AttrASPath) + ", " + external.text("203.0.113.0/24", wire.AttrLocalPref); got != "64512, -" {
		t.Errorf("out: %s", got)
	}
	// LOCAL_PREF of an external peer is discarded (RFC 7606 7.5).
	if got := also.text("198.51.100.0/24", wire.AttrLocalPref); got != "100" {
		t.Errorf("in: local-pref %s", got)
	}
	if r := c.one("?prefix=198.51.100.0/24"); r.LocalPref != nil {
		t.Errorf("shown: local-pref %d", *r.LocalPref)
	}
	for addr, want := range map[string]string{"127.20.151.1": "internal", "127.20.151.3": "external"} {
		if p := c.peer(addr); p.Type != want {
			t.Errorf("%s is %s", addr, p.Type)
		}
	}
}

// An UPDATE that ends what it begins: a prefix both withdrawn and announced is
// announced (RFC 4271 4.3), and one announced twice has the last attributes.
func TestTheLastWordCounts(t *testing.T) {
	t.Parallel()
	_, to := hub(t, "", "address: 127.20.152.1, as: 65001", "address: 127.20.152.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.152.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.152.2"), as: 65002})
	attrs, prefix := unhex("40 01 01 00  40 02 06 02 01 0000fde9  40 03 04 c6336401"), unhex("18 cb0071")
	msg := rawUpdate(attrs, prefix)
	both := append(append(append(append([]byte{}, msg[:19]...), 0, byte(len(prefix))), prefix...), msg[21:]...)
	both[17] += byte(len(prefix))
	one.send(both)
	two.expect("withdrawn and announced", "203.0.113.0/24")
	enc := wire.NewEncoder(one.opts)
	for i := range uint32(500) {
		if err := enc.Announce(v4u, attributes([]uint32{65001, 100 + i}, one.local(), nil)); err != nil {
			t.Fatal(err)
		}
		enc.Route4(0xcb007100, 24, 0)
		if i%3 == 0 {
			enc.Withdraw(v4u)
			enc.Route4(0xcb007100, 24, 0)
		}
	}
	one.send(enc.Flush()) // a storm of changes in one piece
	eventually(t, "the last of a storm", func() bool {
		return two.text("203.0.113.0/24", wire.AttrASPath) == fmt.Sprintf("64512 65001 %d", 100+499)
	})
}
