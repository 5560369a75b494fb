package engine

import (
	"encoding/binary"
	"fmt"
	"testing"

	"ribd/wire"
)

// reasons are why routes are refused, by prefix.
func (c *client) reasons() map[string]string {
	c.t.Helper()
	m := map[string]string{}
	for _, r := range c.routes("?filtered=true").Routes {
		m[*r.Prefix] = *r.FilterReason
	}
	return m
}

// segments writes an AS_PATH.
func segments(list ...any) (v []byte) {
	for i := 0; i < len(list); i += 2 {
		as := list[i+1].([]uint32)
		v = append(v, byte(list[i].(wire.SegmentType)), byte(len(as)))
		for _, n := range as {
			v = binary.BigEndian.AppendUint32(v, n)
		}
	}
	return v
}

func withPath(v []byte) func(*wire.AttrEditor) {
	return func(e *wire.AttrEditor) { e.Set(wire.AttrASPath, v) }
}

func TestPrivateASNumbersAreRemovedWhereThatIsConfigured(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.10.1, as: 65001", "address: 127.20.10.2, as: 65002, remove_private_as: true", "address: 127.20.10.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.10.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.10.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.10.3"), as: 65003})
	one.announce(0, []uint32{65001, 3356, 65100, 4200000001, 15169}, nil, "203.0.113.0/24")
	one.announce(0, []uint32{65001}, nil, "198.51.100.0/24")
	two.expect("both", "198.51.100.0/24", "203.0.113.0/24")
	three.expect("both", "198.51.100.0/24", "203.0.113.0/24")
	if got := two.text("203.0.113.0/24", wire.AttrASPath); got != "64512 3356 15169" {
		t.Errorf("without private numbers: %s", got)
	}
	if got := two.text("198.51.100.0/24", wire.AttrASPath); got != "64512" {
		t.Errorf("without private numbers: %s", got)
	}
	if got := three.text("203.0.113.0/24", wire.AttrASPath); got != "64512 65001 3356 65100 4200000001 15169" {
		t.Errorf("with them: %s", got)
	}
	if r := c.routes("?table=adj-out&peer=127.20.10.2&prefix=203.0.113.0/24").Routes; len(r) != 1 || r[0].ASPath != "64512 3356 15169" {
		t.Errorf("adj-out: %+v", r)
	}
}

// RFC 7705 sections 3.1 to 3.3.
func TestALocalASIsSeenByItsPeerAlone(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.11.1, as: 65001, local_as: {as: 3000}", "address: 127.20.11.2, as: 65002, local_as: {as: 3000, replace_as: true}",
		"address: 127.20.11.3, as: 65003, local_as: {as: 3000, no_prepend: true}", "address: 127.20.11.4, as: 65004",
		"address: 127.20.11.5, as: 3000, local_as: {as: 3000}")
	players := map[int]*player{}
	for i := 1; i <= 5; i++ {
		as := uint32(65000 + i)
		if i == 5 {
			as = 3000
		}
		players[i] = play(t, to, playerOptions{from: ip(fmt.Sprintf("127.20.11.%d", i)), as: as})
		want := uint32(3000)
		if i == 4 {
			want = 64512
		}
		if got := players[i].opened.AS; got != want {
			t.Errorf("peer %d is called by AS %d, want %d", i, got, want)
		}
		if p := c.peer(fmt.Sprintf("127.20.11.%d", i)); p.Local.ASN != want || (p.Type == "internal") != (i == 5) {
			t.Errorf("peer %d: local %+v, %s", i, p.Local, p.Type)
		}
	}
	const of1, of3, of4, of5 = "192.0.2.0/28", "192.0.2.32/28", "192.0.2.48/28", "192.0.2.64/28"
	players[1].announce(0, []uint32{65001}, nil, of1)
	players[3].announce(0, []uint32{65003}, nil, of3)
	players[4].announce(0, []uint32{65004}, nil, of4)
	players[5].announce(0, nil, func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 100) }, of5)
	players[2].expect("all routes", of1, of3, of4, of5)
	players[4].expect("the others'", of1, of3, of5)
	players[1].expect("the others'", of3, of4, of5)
	players[5].expect("the others'", of1, of3, of4)
	for _, tt := range []struct {
		to          int
		route, want string
	}{
		{4, of1, "64512 3000 65001"}, // prepended as it came in (3.1)
		{4, of3, "64512 65003"},      // no_prepend (3.2)
		{1, of4, "3000 64512 65004"}, // and as it goes out
		{2, of4, "3000 65004"},       // replace_as (3.3)
		{4, of5, "64512"},            // an internal peer's is left alone
		{5, of4, "65004"},
	} {
		if got := players[tt.to].text(tt.route, wire.AttrASPath); got != tt.want {
			t.Errorf("%s to peer %d: AS path %s, want %s", tt.route, tt.to, got, tt.want)
		}
	}
	// Both of our numbers are loops.
	players[4].announce(0, []uint32{65004, 3000}, nil, "198.51.100.0/25")
	players[1].announce(0, []uint32{65001, 64512}, nil, "198.51.100.128/25")
	eventually(t, "a loop", func() bool { return c.reasons()["198.51.100.128/25"] == "as-loop" })
}

func TestChecksOfASPathsSayWhyARouteIsRefused(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.12.1, as: 65001, allow_own_as: 1", "address: 127.20.12.2, as: 65002, enforce_first_as: false, reject_as_sets: false",
		"address: 127.20.12.3, as: 65003")
	one := play(t, to, playerOptions{from: ip("127.20.12.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.12.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.12.3"), as: 65003})
	set := []uint32{65100, 65101}
	one.announce(0, []uint32{65001, 64512}, nil, "192.0.2.0/28")
	one.announce(0, []uint32{65001, 64512, 64512}, nil, "192.0.2.16/28")
	one.announce(0, []uint32{65009, 65001}, nil, "192.0.2.32/28")
	one.announce(0, nil, withPath(segments(wire.SegSequence, []uint32{65001}, wire.SegSet, set)), "192.0.2.48/28")
	one.announce(0, nil, nil, "192.0.2.64/28")
	two.announce(0, []uint32{65009, 65001}, nil, "198.51.100.0/28")
	two.announce(0, nil, withPath(segments(wire.SegSequence, []uint32{65002}, wire.SegSet, set)), "198.51.100.16/28")
	two.announce(0, []uint32{65002, 64512}, nil, "198.51.100.32/28")
	three.expect("what passes", "192.0.2.0/28", "198.51.100.0/28", "198.51.100.16/28")
	if got := three.text("198.51.100.16/28", wire.AttrASPath); got != "64512 65002 {65100,65101}" {
		t.Errorf("AS path %s", got)
	}
	want := map[string]string{
		"192.0.2.16/28": "as-loop", "192.0.2.32/28": "first-as", "192.0.2.48/28": "as-set", "192.0.2.64/28": "first-as", "198.51.100.32/28": "as-loop",
	}
	eventually(t, "all that is refused", func() bool { return len(c.reasons()) == len(want) })
	if got := c.reasons(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p := c.peer("127.20.12.1").Families[0]
	if p.Received != 5 || p.Accepted != 1 || p.Filtered != 4 {
		t.Errorf("counts: %+v", p)
	}
	if r := c.one("?prefix=198.51.100.16/28"); r.OriginASN != nil || r.ASPath != "65002 {65100,65101}" {
		t.Errorf("a path that ends in a set: %+v", r)
	}
}

// RFC 9774 is about AS_CONFED_SETs too; confederation segments are malformed
// from an external peer (RFC 5065 5), and read and shown from others.
func TestConfederationSegmentsAreReadAndShown(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.13.1, as: 65001", "address: 127.20.13.2, as: 64512", "address: 127.20.13.3, as: 64512, reject_as_sets: false",
		"address: 127.20.13.4, as: 65004")
	one := play(t, to, playerOptions{from: ip("127.20.13.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.13.2"), as: 64512})
	three := play(t, to, playerOptions{from: ip("127.20.13.3"), as: 64512})
	four := play(t, to, playerOptions{from: ip("127.20.13.4"), as: 65004})
	confed := segments(wire.SegConfedSequence, []uint32{65010, 65011}, wire.SegConfedSet, []uint32{65012, 65013}, wire.SegSequence, []uint32{3356})
	pref := func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, 100); e.Set(wire.AttrASPath, confed) }
	one.announce(0, nil, withPath(segments(wire.SegConfedSequence, []uint32{65001})), "192.0.2.0/28")
	two.announce(0, nil, pref, "192.0.2.16/28")
	three.announce(0, nil, pref, "192.0.2.32/28")
	four.expect("what is accepted", "192.0.2.32/28")
	if got := four.text("192.0.2.32/28", wire.AttrASPath); got != "64512 3356" {
		t.Errorf("out of the confederation goes %s", got)
	}
	r := c.one("?prefix=192.0.2.32/28")
	if r.ASPath != "(65010 65011) [65012,65013] 3356" || *r.OriginASN != 3356 {
		t.Errorf("shown as %+v", r)
	}
	eventually(t, "an AS_CONFED_SET is refused", func() bool { return c.reasons()["192.0.2.16/28"] == "as-set" })
	eventually(t, "an external peer's is malformed", func() bool { return c.peer("127.20.13.1").Errors.TreatAsWithdraw == 1 })
}

func TestTwoOctetPeersSpeakOfLongASNumbersByAS4Path(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.14.1, as: 65001", "address: 127.20.14.2, as: 65002")
	old := play(t, to, playerOptions{from: ip("127.20.14.1"), as: 65001, as2: true})
	two := play(t, to, playerOptions{from: ip("127.20.14.2"), as: 65002})
	if r := c.peer("127.20.14.1"); r.ASN != 65001 {
		t.Errorf("peer %+v", r)
	}
	// 65001 AS_TRANS 3356 with the real number in AS4_PATH (RFC 6793 4.2.3).
	old.send(rawUpdate(unhex(`40 01 01 00
		40 02 08 02 03 fde9 5ba0 0d1c
		40 03 04 c6336401
		c0 07 06 5ba0 c0000201
		c0 11 0a 02 02 fa56ea01 00000d1c
		c0 12 08 fa56ea01 c0000201`), unhex("18 cb0071")))
	two.expect("the route", "203.0.113.0/24")
	if got := two.text("203.0.113.0/24", wire.AttrASPath); got != "64512 65001 4200000001 3356" {
		t.Errorf("AS path %s", got)
	}
	r := c.one("?prefix=203.0.113.0/24")
	if r.ASPath != "65001 4200000001 3356" || r.Aggregator == nil || *r.Aggregator != "4200000001 192.0.2.1" {
		t.Errorf("shown as %s, aggregator %v", r.ASPath, r.Aggregator)
	}
	two.announce(0, []uint32{65002, 4200000001, 4200000002}, func(e *wire.AttrEditor) {
		e.Set(wire.AttrAggregator, unhex("fa56ea02 c0000202"))
	}, "198.51.100.0/24")
	old.expect("the other way", "198.51.100.0/24") // the player puts AS4_PATH together again
	if got := old.text("198.51.100.0/24", wire.AttrASPath); got != "64512 65002 4200000001 4200000002" {
		t.Errorf("AS path %s", got)
	}
	if got := old.text("198.51.100.0/24", wire.AttrAggregator); got != "fa56ea02c0000202" {
		t.Errorf("aggregator %s", got)
	}
}
