package ribd_test

import (
	"fmt"
	"log"
	"net/netip"

	"ribd"
)

// An announcement, as the octets that a session sends.
func ExampleUpdate_Encode() {
	med := uint32(50)
	u := ribd.Update{
		Announce: []ribd.NLRI{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24")},
		},
		Attributes: ribd.Attributes{
			ASPath:      ribd.ASPath{{Type: ribd.ASSequence, AS: []uint32{64512, 65550}}},
			NextHop:     netip.MustParseAddr("203.0.113.1"),
			MED:         &med,
			Communities: []ribd.Community{64512<<16 | 100},
		},
	}
	b, err := u.Encode(ribd.MessageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x\n", b)
	// Output:
	// ffffffffffffffffffffffffffffffff004502000000264001010040020a02020000fc000001000e400304cb00710180040400000032c00804fc00006418c0000218c63364
}

// What a message says. Encode and DecodeUpdates are each other's inverse.
func ExampleDecodeUpdates() {
	u := ribd.Update{
		Withdraw: []ribd.NLRI{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), PathID: 3}},
		Announce: []ribd.NLRI{{Prefix: netip.MustParsePrefix("2001:db8::/32"), PathID: 4}},
		Attributes: ribd.Attributes{
			ASPath:  ribd.ASPath{{Type: ribd.ASSequence, AS: []uint32{64512}}},
			NextHop: netip.MustParseAddr("2001:db8::1"),
		},
	}
	o := ribd.MessageOptions{AddPath: []ribd.Family{ribd.IPv4Unicast, ribd.IPv6Unicast}}
	b, err := u.Encode(o)
	if err != nil {
		log.Fatal(err)
	}
	updates, err := ribd.DecodeUpdates(b, o)
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range updates {
		for _, n := range u.Withdraw {
			fmt.Println("withdraw", n.Prefix, n.PathID)
		}
		for _, n := range u.Announce {
			fmt.Println("announce", n.Prefix, n.PathID, "path", u.Attributes.ASPath, "next hop", u.Attributes.NextHop)
		}
	}
	// Output:
	// withdraw 192.0.2.0/24 3
	// announce 2001:db8::/32 4 path 64512 next hop 2001:db8::1
}

// A malformed attribute takes the routes of its message away (RFC 7606).
func ExampleDecodeUpdates_malformed() {
	u := ribd.Update{
		Announce:   []ribd.NLRI{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
		Attributes: ribd.Attributes{NextHop: netip.MustParseAddr("203.0.113.1")},
	}
	b, err := u.Encode(ribd.MessageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	b[26] = 7 // the value of ORIGIN
	updates, err := ribd.DecodeUpdates(b, ribd.MessageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(updates[0].Malformed)
	fmt.Println("withdraw", updates[0].Withdraw[0].Prefix)
	// Output:
	// wire: ORIGIN at octet 26: value is not 0, 1 or 2 (RFC 7606 7.1, treat-as-withdraw)
	// withdraw 192.0.2.0/24
}

// A Flow Spec rule from text to the message that announces it, and back.
func ExampleParseFlowRule() {
	r, err := ribd.ParseFlowRule("destination 203.0.113.0/24 protocol udp source-port 53 123 then rate-limit 1250000")
	if err != nil {
		log.Fatal(err)
	}
	n, err := r.NLRI()
	if err != nil {
		log.Fatal(err)
	}
	u := ribd.Update{Announce: []ribd.NLRI{n}}
	if err := u.Attributes.SetFlowActions(&r.Actions, ribd.RedirectCommunity); err != nil {
		log.Fatal(err)
	}
	b, err := u.Encode(ribd.MessageOptions{})
	if err != nil {
		log.Fatal(err)
	}

	updates, err := ribd.DecodeUpdates(b, ribd.MessageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	back, err := ribd.DecodeFlowRule(updates[0].Announce[0], updates[0].Attributes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(back)

	_, err = ribd.ParseFlowRule("destination 203.0.113.0/24 protocol upd then discard")
	fmt.Println(err)
	// Output:
	// destination 203.0.113.0/24 protocol =udp source-port =53|=123 then rate-limit 1250000
	// ribd: flowspec: protocol: "upd" is neither a number nor one of icmp, igmp, ipv4, tcp, egp, udp, dccp, ipv6, rsvp, gre, esp, ah, icmpv6, ospf, pim, vrrp, l2tp, sctp, udplite
}

// Which rules a packet matches, and what is done with it.
func ExampleMatcher_Match() {
	var rules []ribd.FlowRule
	for _, text := range []string{
		"destination 203.0.113.0/24 protocol =udp then rate-limit 1250000",
		"destination 203.0.113.7/32 then mark 10 continue",
		"source 198.51.100.0/24 then discard",
	} {
		r, err := ribd.ParseFlowRule(text)
		if err != nil {
			log.Fatal(err)
		}
		rules = append(rules, r)
	}
	m, err := ribd.NewMatcher(rules)
	if err != nil {
		log.Fatal(err)
	}
	packet := []byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 9, 203, 0, 113, 7, // IPv4: 198.51.100.9 to 203.0.113.7
		0, 53, 200, 0, 0, 8, 0, 0, // UDP: 53 to 51200
	}
	p, _ := ribd.PacketOf(packet)
	var found ribd.FlowMatch
	m.Match(&p, &found)
	for i, r := range found.Rules {
		fmt.Printf("%d. applies %v: %v\n", i+1, i < found.Applied, rules[r])
	}
	a := m.Actions(&found)
	fmt.Println("so:", a.String())
	// Output:
	// 1. applies true: destination 203.0.113.7/32 then continue mark 10
	// 2. applies true: destination 203.0.113.0/24 protocol =udp then rate-limit 1250000
	// 3. applies false: source 198.51.100.0/24 then rate-limit 0
	// so: rate-limit 1250000 terminal mark 10
}
