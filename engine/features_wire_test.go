package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"ribd/wire"
)

// manyCommunities is a set that is longer than 4,096 octets.
func manyCommunities(e *wire.AttrEditor) {
	var cs []uint32
	for i := range uint32(1500) {
		cs = append(cs, 65001<<16|i)
	}
	e.AddCommunities(cs)
}

func TestExtendedMessagesGoWhereTheyAreTaken(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.40.1, as: 65001, extended_messages: true", "address: 127.20.40.2, as: 65002, extended_messages: true",
		"address: 127.20.40.3, as: 65003, extended_messages: true", "address: 127.20.40.4, as: 65004, extended_messages: false")
	o := func(i int) playerOptions {
		return playerOptions{from: ip(fmt.Sprintf("127.20.40.%d", i)), as: uint32(65000 + i), extended: i <= 2}
	}
	one, two, three, four := play(t, to, o(1)), play(t, to, o(2)), play(t, to, o(3)), play(t, to, o(4))
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24", "198.51.100.0/24")
	for _, p := range []*player{two, three, four} {
		p.expect("short ones", "198.51.100.0/24", "203.0.113.0/24")
	}
	one.announce(0, []uint32{65001}, manyCommunities, "203.0.113.0/24", "192.0.2.0/24")
	two.expect("long ones", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
	// Who can't be told of what a route has become loses it (RFC 8654 4).
	three.expect("what fits", "198.51.100.0/24")
	four.expect("what fits", "198.51.100.0/24")
	if got, _ := two.attr("203.0.113.0/24", wire.AttrCommunities); len(got) != 6000 {
		t.Errorf("%d octets of communities arrive", len(got))
	}
	if a, b, c := two.longestMessage(), three.longestMessage(), four.longestMessage(); a <= 4096 || b > 4096 || c > 4096 {
		t.Errorf("longest messages: %d, %d, %d", a, b, c)
	}
	if r := c.one("?prefix=203.0.113.0/24"); len(r.Communities) != 1500 || !r.Best {
		t.Errorf("%d communities are shown, best %v", len(r.Communities), r.Best)
	}
	negotiated := map[string]any{}
	for i := 2; i <= 4; i++ {
		for _, k := range c.peer(o(i).from.String()).Capabilities {
			if k.Name == "extended-message" {
				negotiated[fmt.Sprint(i)] = k.Negotiated
			}
		}
	}
	if fmt.Sprint(negotiated) != "map[2:true 3:<nil>]" && fmt.Sprint(negotiated) != "map[2:true 3:false]" {
		t.Errorf("negotiated: %v", negotiated)
	}
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	three.expect("it fits again", "198.51.100.0/24", "203.0.113.0/24")

	// Longer than was agreed on: bad message length (RFC 4271 6.1).
	msg := append(rawUpdate(nil, nil), make([]byte, 5000)...)
	binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
	four.send(msg)
	eventually(t, "the session ends", four.over)
	if n := four.notifications(); len(n) != 1 || n[0].Code != wire.CodeHeader || n[0].Subcode != wire.SubBadLength {
		t.Errorf("got %v", n)
	}
}

func TestUnknownAttributesArePassedOnAsRFC4271Says(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.41.1, as: 65001", "address: 127.20.41.2, as: 65002", "address: 127.20.41.3, as: 64512")
	one := play(t, to, playerOptions{from: ip("127.20.41.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.41.2"), as: 65002})
	three := play(t, to, playerOptions{from: ip("127.20.41.3"), as: 64512})
	one.send(rawUpdate(unhex("40 01 01 00  40 02 06 02 01 0000fde9  40 03 04 c6336401  c0 63 02 00ff  80 64 01 aa"), unhex("18 cb0071")))
	for _, p := range []*player{two, three} {
		p.expect("the route", "203.0.113.0/24")
		var got []string
		p.mu.Lock()
		for w := wire.WalkAttributes(p.table["203.0.113.0/24"]); w.Next(); {
			if w.Type() > 50 {
				got = append(got, fmt.Sprintf("%02x %d %x", w.Flags(), w.Type(), w.Value()))
			}
		}
		p.mu.Unlock()
		if fmt.Sprint(got) != "[e0 99 00ff]" { // optional, transitive, partial
			t.Errorf("passed on: %v", got)
		}
	}
	u := c.one("?prefix=203.0.113.0/24").UnknownAttributes
	if len(u) != 1 || u[0].Type != 99 || u[0].Flags != 192 || u[0].Value != "00ff" {
		t.Errorf("shown: %+v", u)
	}
}

func TestMalformedUpdatesAreHandledByRFC7606AndShown(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.42.1, as: 65001", "address: 127.20.42.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.42.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.42.2"), as: 65002})
	const good = "40 02 06 02 01 0000fde9  40 03 04 c6336401 "
	nlri := unhex("18 cb0071")
	one.send(rawUpdate(unhex("40 01 01 00 "+good), nlri))
	two.expect("a sound one", "203.0.113.0/24")

	// An AGGREGATOR of 3 octets: attribute discard (7.7).
	one.send(rawUpdate(unhex("40 01 01 00 "+good+"c0 07 03 010203"), unhex("18 c63364")))
	two.expect("kept without the attribute", "198.51.100.0/24", "203.0.113.0/24")
	if r := c.one("?prefix=198.51.100.0/24"); r.Aggregator != nil {
		t.Errorf("aggregator %v", *r.Aggregator)
	}
	e := c.peer("127.20.42.1").Errors
	if e.AttributeDiscard != 1 || e.Last == nil || e.Last.Action != "attribute-discard" || e.Last.RFC == nil || *e.Last.RFC != "RFC 7606 7.7" {
		t.Errorf("errors: %+v, last %+v", e, e.Last)
	}

	// ORIGIN 9: treat as withdraw (7.1).
	bad := rawUpdate(unhex("40 01 01 09 "+good), nlri)
	one.send(bad)
	two.expect("what was in the malformed message is withdrawn", "198.51.100.0/24")
	e = c.peer("127.20.42.1").Errors
	if e.TreatAsWithdraw != 1 || e.Last == nil || e.Last.Action != "treat-as-withdraw" || e.Last.Data != hex.EncodeToString(bad) ||
		e.Last.Offset == nil || bad[*e.Last.Offset] != 9 || !strings.Contains(e.Last.Text, "ORIGIN") {
		t.Errorf("errors: %+v, last %+v", e, e.Last)
	}
	if len(e.Last.Decoded) == 0 {
		t.Error("the message is not decoded")
	}
	if one.over() {
		t.Fatal("the session has ended")
	}

	// A prefix of 33 bits: no route can be told from the next (5.3).
	one.send(rawUpdate(unhex("40 01 01 00 "+good), unhex("21 cb007100 80")))
	eventually(t, "the session is reset", one.over)
	if n := one.notifications(); len(n) != 1 || n[0].Code != wire.CodeUpdate || n[0].Subcode != wire.SubInvalidNetwork {
		t.Errorf("got %v", n)
	}
	two.expect("its routes have gone")
	eventually(t, "the page says so", func() bool {
		p := c.peer("127.20.42.1")
		return p.State != "established" && p.LastNotification.Sent != nil && p.LastNotification.Sent.Subcode == wire.SubInvalidNetwork &&
			p.Errors.Last.Action == "session-reset" && p.Errors.TreatAsWithdraw == 1 && p.Errors.AttributeDiscard == 1 && p.Flaps == 1
	})
}

func TestSeveralKindsOfNLRIInOneMessageAreAllTaken(t *testing.T) {
	t.Parallel()
	_, to := hub(t, "", "address: 127.20.43.1, as: 65001", "address: 127.20.43.2, as: 65002")
	one := play(t, to, playerOptions{from: ip("127.20.43.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.20.43.2"), as: 65002})
	one.announce(0, []uint32{65001}, nil, "192.0.2.0/24")
	one.tell(wire.IPv6Unicast, attributes([]uint32{65001}, ip("2001:db8::1"), nil), nlri{prefix: "2001:db8:f::/48"})
	two.expect("both", "192.0.2.0/24", "2001:db8:f::/48")
	msg := rawUpdate(unhex(`40 01 01 00  40 02 06 02 01 0000fde9  40 03 04 c6336401
		80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001
		80 0f 0a 0002 01 30 20010db8000f`), unhex("18 cb0071"))
	// Withdrawn Routes: 192.0.2.0/24.
	withdrawn := unhex("18 c00002")
	full := append(append(append([]byte{}, msg[:19]...), 0, byte(len(withdrawn))), withdrawn...)
	full = append(full, msg[21:]...)
	binary.BigEndian.PutUint16(full[16:], uint16(len(full)))
	one.send(full)
	two.expect("two gone, two there", "2001:db8:1::/48", "203.0.113.0/24")
}
