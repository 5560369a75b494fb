package ribd_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd"
	"ribd/internal/golden"
	"ribd/wire"
)

// messages returns the messages of a file of shared/data/messages, by name.
func messages(t *testing.T, file string) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile(golden.Data(t, "messages", file))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for line := range strings.Lines(string(b)) {
		cols := strings.Split(line, "\t")
		msg, err := hex.DecodeString(strings.ReplaceAll(cols[1], " ", ""))
		if strings.HasPrefix(line, "#") || err != nil || len(msg) < 19 || msg[0] != 0xff || msg[18] != 2 {
			continue
		}
		all[cols[0]] = msg
	}
	return all
}

// What real messages say is encoded into messages that say the same.
func TestUpdatesOfExaBGPRoundTrip(t *testing.T) {
	seen := 0
	for _, file := range []string{"exabgp-messages.tsv", "flowspec-rules-a.tsv"} {
		for name, msg := range messages(t, file) {
			if name == "encoding/extended-nexthop#2" { // an IPv4 next hop of an IPv6 route: RFC 2545 section 3 has none
				continue
			}
			for _, o := range []ribd.MessageOptions{{Extended: true}, {Extended: true, TwoOctetAS: true}} {
				us, err := ribd.DecodeUpdates(msg, o)
				if err != nil {
					continue
				}
				for _, u := range us {
					if u.Malformed == nil && u.EndOfRIB == 0 && len(u.Announce)+len(u.Withdraw) != 0 {
						seen++
						checkUpdate(t, name, u, o)
					}
				}
			}
		}
	}
	if seen < 850 {
		t.Errorf("only %d updates", seen)
	}
}

// checkUpdate: an update is encoded into messages that say the same.
func checkUpdate(t *testing.T, name string, u ribd.Update, o ribd.MessageOptions) {
	t.Helper()
	b, err := u.Encode(o)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	back, err := ribd.DecodeUpdates(b, o)
	if err != nil {
		t.Errorf("%s: %x: %v", name, b, err)
		return
	}
	var got ribd.Update
	for _, v := range back {
		if v.Malformed != nil {
			t.Errorf("%s: %x: %v", name, b, v.Malformed)
		}
		got.Withdraw = append(got.Withdraw, v.Withdraw...)
		if len(v.Announce) != 0 {
			if got.Announce != nil && !reflect.DeepEqual(got.Attributes, v.Attributes) {
				t.Errorf("%s: messages with %+v and %+v", name, got.Attributes, v.Attributes)
			}
			got.Announce, got.Attributes = append(got.Announce, v.Announce...), v.Attributes
		}
	}
	if !reflect.DeepEqual(got, u) {
		t.Errorf("%s: %+v\nbecomes %+v", name, u, got)
	}
}

// anUpdate makes an update of one or two families.
func anUpdate(r *rand.Rand, addPath bool) ribd.Update {
	addr4 := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	}
	addr6 := func() netip.Addr {
		a := [16]byte{0x20, 1}
		binary.BigEndian.PutUint64(a[2:], r.Uint64())
		return netip.AddrFrom16(a)
	}
	number := func() *uint32 {
		if r.IntN(2) == 0 {
			return nil
		}
		n := r.Uint32()
		return &n
	}
	f := []ribd.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4VPN, wire.IPv6VPN, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast}[r.IntN(6)]
	route := func(withdrawn bool) ribd.NLRI {
		a := addr4()
		if !f.Is4() {
			a = addr6()
		}
		n := ribd.NLRI{Family: f, Prefix: netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked()}
		if f.Form() == wire.FormVPN {
			n.RD = uint64(r.Uint32())<<16 | 1
		}
		if f.Form() != wire.FormPrefix && !withdrawn {
			n.Labels = []uint32{r.Uint32N(1<<20-1) + 1}
		}
		if addPath {
			n.PathID = r.Uint32()
		}
		return n
	}
	var u ribd.Update
	for range r.IntN(4) {
		u.Withdraw = append(u.Withdraw, route(true))
	}
	for range 1 + r.IntN(2000) {
		u.Announce = append(u.Announce, route(false))
	}
	a := &u.Attributes
	a.Origin = ribd.Origin(r.IntN(3))
	for range r.IntN(3) {
		s := ribd.Segment{Type: ribd.ASSequence, AS: []uint32{r.Uint32() | 1, 65001}}
		if r.IntN(3) == 0 {
			s.Type = ribd.ASSet
		}
		a.ASPath = append(a.ASPath, s)
	}
	if a.NextHop = addr4(); !f.Is4() {
		a.NextHop = addr6()
	}
	a.MED, a.LocalPref, a.OnlyToCustomer, a.AtomicAggregate = number(), number(), number(), r.IntN(2) == 0
	for range r.IntN(3) {
		a.Communities = append(a.Communities, ribd.Community(r.Uint32()))
		a.LargeCommunities = append(a.LargeCommunities, ribd.LargeCommunity{Global: r.Uint32(), Local1: r.Uint32()})
		a.ExtCommunities = append(a.ExtCommunities, ribd.ExtCommunity(0x0002_0000_0000_0000|uint64(r.Uint32())))
		a.ClusterList = append(a.ClusterList, addr4())
	}
	if r.IntN(2) == 0 {
		a.Aggregator = &ribd.Aggregator{AS: r.Uint32() | 1, Addr: addr4()}
		a.OriginatorID = addr4()
		a.Others = []ribd.Attribute{{Type: 99, Flags: 0xc0, Value: []byte{1, 2, 3}}}
	}
	return u
}

// Updates at random are encoded into messages that say the same, and that
// gobgp reads as many routes from.
func TestUpdatesRoundTrip(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 150 {
		o := ribd.MessageOptions{TwoOctetAS: i%3 == 0, Extended: i%4 == 0}
		addPath := i%5 == 0
		if addPath {
			o.AddPath = []ribd.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4VPN, wire.IPv6VPN, wire.IPv4LabelledUnicast, wire.IPv6LabelledUnicast}
		}
		u := anUpdate(r, addPath)
		checkUpdate(t, fmt.Sprint("random ", i), u, o)
		if !addPath && !o.Extended && !o.TwoOctetAS {
			checkGoBGP(t, &u, o)
		}
		if t.Failed() {
			return
		}
	}
}

// checkGoBGP: gobgp reads the routes, and the attributes of each message, as
// they were given.
func checkGoBGP(t *testing.T, u *ribd.Update, o ribd.MessageOptions) {
	t.Helper()
	b, err := u.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	var announced, withdrawn []string
	for len(b) != 0 {
		n := int(binary.BigEndian.Uint16(b[16:]))
		if n > 4096 {
			t.Fatalf("a message of %d octets", n)
		}
		m, err := bgp.ParseBGPMessage(b[:n])
		if err != nil {
			t.Fatalf("%x: %v", b[:n], err)
		}
		b = b[n:]
		body := m.Body.(*bgp.BGPUpdate)
		for _, p := range body.NLRI {
			announced = append(announced, p.String())
		}
		for _, p := range body.WithdrawnRoutes {
			withdrawn = append(withdrawn, p.String())
		}
		for _, a := range body.PathAttributes {
			switch a := a.(type) {
			case *bgp.PathAttributeMpReachNLRI:
				for _, p := range a.Value {
					announced = append(announced, prefixOf(p))
				}
				if a.Nexthop.String() != u.Attributes.NextHop.String() {
					t.Errorf("next hop %v, want %v", a.Nexthop, u.Attributes.NextHop)
				}
			case *bgp.PathAttributeMpUnreachNLRI:
				for _, p := range a.Value {
					withdrawn = append(withdrawn, prefixOf(p))
				}
			case *bgp.PathAttributeNextHop:
				if a.Value.String() != u.Attributes.NextHop.String() {
					t.Errorf("next hop %v, want %v", a.Value, u.Attributes.NextHop)
				}
			case *bgp.PathAttributeMultiExitDisc:
				if u.Attributes.MED == nil || *u.Attributes.MED != a.Value {
					t.Errorf("MED %d, want %v", a.Value, u.Attributes.MED)
				}
			case *bgp.PathAttributeOrigin:
				if a.Value != uint8(u.Attributes.Origin) {
					t.Errorf("origin %d, want %v", a.Value, u.Attributes.Origin)
				}
			}
		}
	}
	for _, c := range []struct {
		got  []string
		want []ribd.NLRI
	}{{announced, u.Announce}, {withdrawn, u.Withdraw}} {
		if len(c.got) != len(c.want) {
			t.Fatalf("%d routes, want %d", len(c.got), len(c.want))
		}
		for i, n := range c.want {
			if c.got[i] != n.Prefix.String() {
				t.Fatalf("%s, want %v", c.got[i], n.Prefix)
			}
		}
	}
}

// prefixOf returns gobgp's text of a prefix without labels and distinguisher.
func prefixOf(p bgp.AddrPrefixInterface) string {
	switch p := p.(type) {
	case *bgp.LabeledVPNIPAddrPrefix:
		return p.IPPrefix()
	case *bgp.LabeledVPNIPv6AddrPrefix:
		return p.IPPrefix()
	case *bgp.LabeledIPAddrPrefix:
		return fmt.Sprintf("%v/%d", p.Prefix, p.IPPrefixLen())
	case *bgp.LabeledIPv6AddrPrefix:
		return fmt.Sprintf("%v/%d", p.Prefix, p.IPPrefixLen())
	}
	return p.String()
}

func TestEndOfRIBRoundTrip(t *testing.T) {
	for _, f := range []ribd.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4FlowSpec} {
		u := ribd.Update{EndOfRIB: f}
		b, err := u.Encode(ribd.MessageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if us, err := ribd.DecodeUpdates(b, ribd.MessageOptions{}); err != nil || len(us) != 1 || us[0].EndOfRIB != f {
			t.Errorf("%v: %+v, %v", f, us, err)
		}
	}
}

// A message with IPv4 routes in both places is two updates.
func TestMixedMessageIsTwoUpdates(t *testing.T) {
	body := []byte{0, 0, 0, 0}
	body = wire.AppendAttr(body, 0x40, wire.AttrOrigin, []byte{0})
	body = wire.AppendAttr(body, 0x40, wire.AttrASPath, nil)
	body = wire.AppendAttr(body, 0x40, wire.AttrNextHop, []byte{192, 0, 2, 1})
	reach := append([]byte{0, 2, 1, 16}, netip.MustParseAddr("2001:db8::1").AsSlice()...)
	body = wire.AppendAttr(body, 0x80, wire.AttrMPReach, append(reach, 0, 32, 0x20, 1, 0xd, 0xb8))
	binary.BigEndian.PutUint16(body[2:], uint16(len(body)-4))
	body = append(body, 8, 10)
	msg := append(bytes.Repeat([]byte{0xff}, 16), 0, byte(19+len(body)), 2)
	us, err := ribd.DecodeUpdates(append(msg, body...), ribd.MessageOptions{})
	if err != nil || len(us) != 2 {
		t.Fatalf("%+v, %v", us, err)
	}
	for i, want := range []string{"10.0.0.0/8 by 192.0.2.1", "2001:db8::/32 by 2001:db8::1"} {
		if got := fmt.Sprintf("%v by %v", us[i].Announce[0].Prefix, us[i].Attributes.NextHop); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(4271, 1))
	for range 200 {
		a := anUpdate(r, false).Attributes
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ribd.DecodeAttributes(b); err != nil || !reflect.DeepEqual(back, a) {
			t.Fatalf("%+v\nbecomes %+v, %v", a, back, err)
		}
	}
	long := ribd.Attributes{ASPath: ribd.ASPath{{Type: ribd.ASSequence, AS: slices.Repeat([]uint32{65001}, 300)}}}
	b, err := long.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ribd.DecodeAttributes(b); err != nil || len(back.ASPath) != 2 || len(back.ASPath[0].AS) != 255 || len(back.ASPath[1].AS) != 45 {
		t.Errorf("%+v, %v", back.ASPath, err)
	}
	if _, err := ribd.DecodeAttributes([]byte{0x40, 1, 1, 9}); err == nil || !strings.Contains(err.Error(), "ORIGIN at octet 3") {
		t.Errorf("a bad ORIGIN: %v", err)
	}
}

// What cannot be written is named.
func TestEncodeErrors(t *testing.T) {
	p4, p6 := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	hop := netip.MustParseAddr("192.0.2.1")
	with := func(n ribd.NLRI, change func(*ribd.Attributes)) ribd.Update {
		u := ribd.Update{Announce: []ribd.NLRI{n}, Attributes: ribd.Attributes{NextHop: hop}}
		if change != nil {
			change(&u.Attributes)
		}
		return u
	}
	for _, c := range []struct {
		u    ribd.Update
		want string
	}{
		{ribd.Update{}, "without a route"},
		{ribd.Update{EndOfRIB: wire.IPv4Unicast, Withdraw: []ribd.NLRI{{Prefix: p4}}}, "End-of-RIB"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.NextHop = netip.Addr{} }), "need a next hop (RFC 4271 5.1.3)"},
		{with(ribd.NLRI{Prefix: p6}, nil), "need an IPv6 next hop"},
		{with(ribd.NLRI{Family: wire.IPv4Unicast}, nil), "without a prefix"},
		{with(ribd.NLRI{Family: wire.IPv4Unicast, Prefix: p6}, nil), "is not of ipv4-unicast"},
		{with(ribd.NLRI{Prefix: netip.MustParsePrefix("192.0.2.1/24")}, nil), "meant is 192.0.2.0/24"},
		{with(ribd.NLRI{Prefix: p4, RD: 1}, nil), "no route distinguisher"},
		{with(ribd.NLRI{Prefix: p4, Labels: []uint32{1}}, nil), "no labels"},
		{with(ribd.NLRI{Prefix: p4, Raw: []byte{1}}, nil), "no Raw"},
		{with(ribd.NLRI{Family: wire.IPv4VPN, Prefix: p4, Labels: []uint32{1 << 20}}, nil), "over 1048575"},
		{with(ribd.NLRI{Family: wire.IPv4VPN, Prefix: p4, Labels: make([]uint32, 8)}, nil), "too many labels"},
		{with(ribd.NLRI{Family: wire.IPv4FlowSpec}, nil), "without Raw"},
		{with(ribd.NLRI{Family: wire.IPv4FlowSpec, Prefix: p4, Raw: []byte{1}}, nil), "Raw alone"},
		{with(ribd.NLRI{Family: wire.IPv4FlowSpec, Raw: []byte{3, 0, 0x81, 6}}, nil), "unknown component type"},
		{with(ribd.NLRI{Family: wire.L2VPNEVPN, Raw: []byte{1, 9, 0}}, nil), "not one NLRI"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.Origin = 3 }), "ORIGIN"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.ASPath = ribd.ASPath{{Type: 9, AS: []uint32{1}}} }), "segment of type 9"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.ASPath = ribd.ASPath{{Type: ribd.ASSet}} }), "without an AS"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.ASPath = ribd.ASPath{{Type: ribd.ASSet, AS: []uint32{0}}} }), "RFC 7607"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) {
			a.ASPath = ribd.ASPath{{Type: ribd.ASSet, AS: slices.Repeat([]uint32{1}, 256)}}
		}), "a set of 256"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.Aggregator = &ribd.Aggregator{Addr: hop} }), "AGGREGATOR"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.OriginatorID = p6.Addr() }), "ORIGINATOR_ID"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.ClusterList = []netip.Addr{p6.Addr()} }), "CLUSTER_LIST"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.NextHopLinkLocal = p6.Addr() }), "both are IPv6"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.Others = []ribd.Attribute{{Type: 5}} }), "a field of its own"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.Others = []ribd.Attribute{{Type: 14}} }), "none of the attributes"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) { a.Others = []ribd.Attribute{{Type: 99}, {Type: 99}} }), "there twice"},
		{with(ribd.NLRI{Prefix: p4}, func(a *ribd.Attributes) {
			a.Others = []ribd.Attribute{{Type: 99, Flags: 0xc0, Value: make([]byte, 4090)}}
		}), "no room"},
	} {
		if b, err := c.u.Encode(ribd.MessageOptions{}); err == nil || !strings.HasPrefix(err.Error(), "ribd: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %x, %v, want %q", c.u, b, err, c.want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	good, err := (&ribd.Update{Withdraw: []ribd.NLRI{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}}).Encode(ribd.MessageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[21] = 33 // the length of the prefix
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{good[:20], "it has 27 octets, 20 are there"},
		{good[:10], "octet 0"},
		{append(bytes.Clone(good), good[:18]...), "message at octet 27"},
		{append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, 16)...), "message at octet 27"},
		{wire.AppendKeepalive(nil), "not an UPDATE, but of type 4"},
		{append(bytes.Clone(good), bad...), "message at octet 27"},
	} {
		us, err := ribd.DecodeUpdates(c.b, ribd.MessageOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%x: %+v, %v, want %q", c.b, us, err, c.want)
		}
		if len(c.b) > len(good) && len(us) != 1 {
			t.Errorf("%x: %d updates before the error", c.b, len(us))
		}
	}
}

// A malformed rule takes its message away, and says which octet it was.
func TestMalformedRuleIsTreatedAsWithdraw(t *testing.T) {
	r, err := ribd.ParseFlowRule("destination 192.0.2.0/24 protocol =tcp then discard")
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.NLRI()
	if err != nil {
		t.Fatal(err)
	}
	u := ribd.Update{Announce: []ribd.NLRI{n}}
	if err := u.Attributes.SetFlowActions(&r.Actions, ribd.RedirectCommunity); err != nil {
		t.Fatal(err)
	}
	b, err := u.Encode(ribd.MessageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, n.Raw) + 6
	b[at] = 77 // the type of the second component
	us, err := ribd.DecodeUpdates(b, ribd.MessageOptions{})
	if err != nil || len(us) != 1 || us[0].Malformed == nil || us[0].Malformed.Off != at || len(us[0].Withdraw) != 1 || us[0].Announce != nil {
		t.Fatalf("octet %d: %+v, %v", at, us, err)
	}
	b[at] = 3
	copy(b[bytes.Index(b, []byte{0x80, 6})+4:], []byte{0x7f, 0xc0, 0, 0})
	us, err = ribd.DecodeUpdates(b, ribd.MessageOptions{})
	if err != nil || us[0].Malformed == nil || !strings.Contains(us[0].Malformed.Reason, "rate") || len(us[0].Withdraw) != 1 {
		t.Fatalf("a rate that is no number: %+v, %v", us, err)
	}
}
