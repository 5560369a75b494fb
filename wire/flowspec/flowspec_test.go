package flowspec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// The examples of RFC 8955 section 4.3 and that of RFC 8956 section 3.8.
func TestExamplesOfTheRFCs(t *testing.T) {
	for _, c := range []struct {
		f          wire.Family
		nlri, text string
	}{
		{wire.IPv4FlowSpec, "0b 0118c00002 038106 048119", "destination 192.0.2.0/24 protocol =tcp port =25"},
		{wire.IPv4FlowSpec, "10 0118c00002 0208cb 04 0389 458b 911f90", "destination 192.0.2.0/24 source 203.0.0.0/8 port >=137&<=139|=8080"},
		{wire.IPv6FlowSpec, "12 01200020010db8 0268412468acf134 038106", "destination 2001:db8::/32 source ::1234:5678:9a00:0/104 offset 65 protocol =tcp"},
	} {
		if r := checkOctets(t, c.text, c.f, unhex(t, c.nlri)); r.String() != c.text {
			t.Errorf("%q, want %q", r.String(), c.text)
		}
	}
}

func TestCanonicalFormClearsWhatIsIgnored(t *testing.T) {
	for _, c := range []struct {
		name      string
		f         wire.Family
		in, want  string
		unchanged bool
	}{
		{name: "long length field", f: wire.IPv4FlowSpec, in: "f003 038106", want: "03 038106"},
		{name: "bits behind the prefix", f: wire.IPv4FlowSpec, in: "04 0109 c0ff", want: "04 0109 c080"},
		{name: "prefix of length 0", f: wire.IPv4FlowSpec, in: "02 0100", want: "02 0100"},
		{name: "AND of the first", f: wire.IPv4FlowSpec, in: "05 03 4106 c111", want: "05 03 0106 c111"},
		{name: "reserved bit of numbers", f: wire.IPv4FlowSpec, in: "03 03 8906", want: "03 03 8106"},
		{name: "reserved bits of bits", f: wire.IPv4FlowSpec, in: "03 09 8d02", want: "03 09 8102"},
		{name: "DSCP over 6 bits", f: wire.IPv4FlowSpec, in: "03 0b 81ee", want: "03 0b 812e"},
		{name: "fragment bits", f: wire.IPv4FlowSpec, in: "03 0c 81f3", want: "03 0c 8103"},
		{name: "fragment bits of IPv6", f: wire.IPv6FlowSpec, in: "03 0c 81f3", want: "03 0c 8102"},
		{name: "padding of IPv6", f: wire.IPv6FlowSpec, in: "08 016841 2468acf1ff", want: "08 016841 2468acf1fe"},
		{name: "octets of a value stay", f: wire.IPv4FlowSpec, in: "04 04 910035", want: "04 04 910035"},
		{name: "flags of two octets", f: wire.IPv4FlowSpec, in: "04 09 91f002", want: "04 09 91f002"},
		{name: "distinguisher", f: wire.IPv4FlowSpecVPN, in: "f00b 0000fde800000001 038106", want: "0b 0000fde800000001 038106"},
	} {
		in, want := unhex(t, c.in), unhex(t, c.want)
		got, err := Canonical([]byte("x"), c.f, in)
		if err != nil || !bytes.Equal(got, append([]byte("x"), want...)) {
			t.Errorf("%s: %x becomes %x, %v, want %x", c.name, in, got, err, want)
		}
	}
	long := []byte{0xf0, 241, byte(TypePort)} // 120 comparisons of two octets
	for range 119 {
		long = append(long, 0x01, 5)
	}
	long = append(long, 0x81, 5)
	if got, err := Canonical(nil, wire.IPv4FlowSpec, long); err != nil || !bytes.Equal(got, long) {
		t.Errorf("of 241 octets: %x becomes %x, %v", long, got, err)
	}
}

// What is malformed says where, by which rule, and that the message is to be
// taken as a withdrawal while it is framed.
func TestMalformedNLRI(t *testing.T) {
	const v4, v6, vpn = wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN
	for _, c := range []struct {
		f      wire.Family
		in     string
		off    int
		reason string
		action wire.Action
	}{
		{v4, "", 0, "past the end", wire.SessionReset},
		{v4, "04 038106", 0, "past the end", wire.SessionReset},
		{v4, "02 038106", 0, "past the end", wire.SessionReset},
		{v4, "f0", 0, "past the end", wire.SessionReset},
		{v4, "00", 0, "no component", wire.TreatAsWithdraw},
		{v4, "f000", 1, "no component", wire.TreatAsWithdraw},
		{vpn, "00", 0, "route distinguisher", wire.TreatAsWithdraw},
		{vpn, "07 00000000000000", 0, "route distinguisher", wire.TreatAsWithdraw},
		{vpn, "08 0000000000000000", 8, "no component", wire.TreatAsWithdraw},
		{v4, "03 008106", 1, "unknown component type", wire.TreatAsWithdraw},
		{v4, "03 0e8106", 1, "unknown component type", wire.TreatAsWithdraw},
		{v4, "06 0da100000001", 1, "unknown component type", wire.TreatAsWithdraw},
		{v6, "03 0e8106", 1, "unknown component type", wire.TreatAsWithdraw},
		{v4, "06 038106 038106", 4, "twice", wire.TreatAsWithdraw},
		{v4, "06 048106 038106", 4, "ascending", wire.TreatAsWithdraw},
		{v4, "01 01", 1, "prefix runs past", wire.TreatAsWithdraw},
		{v4, "03 0121ff", 2, "over 32", wire.TreatAsWithdraw},
		{v4, "03 0118c0", 3, "prefix runs past", wire.TreatAsWithdraw},
		{v6, "02 0120", 2, "prefix runs past", wire.TreatAsWithdraw},
		{v6, "03 018100", 2, "over 128", wire.TreatAsWithdraw},
		{v6, "03 012020", 3, "offset not under", wire.TreatAsWithdraw},
		{v6, "03 010001", 3, "offset not under", wire.TreatAsWithdraw},
		{v6, "04 01201820", 0, "", wire.ActionNone},
		{v4, "01 03", 1, "operators run past", wire.TreatAsWithdraw},
		{v4, "03 030106", 3, "operators run past", wire.TreatAsWithdraw},
		{v4, "02 0381", 2, "value runs past", wire.TreatAsWithdraw},
		{v4, "03 039106", 2, "value runs past", wire.TreatAsWithdraw},
		{v4, "04 0b91002e", 2, "too many octets", wire.TreatAsWithdraw},
		{v4, "04 0c910002", 2, "too many octets", wire.TreatAsWithdraw},
		{v4, "06 09a100000002", 2, "too many octets", wire.TreatAsWithdraw},
	} {
		in := unhex(t, c.in)
		got, err := Canonical([]byte("x"), c.f, in)
		if c.action == wire.ActionNone {
			if err != nil {
				t.Errorf("%x: %v", in, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%x: taken as %x", in, got)
			continue
		}
		if err.Off != c.off || !strings.Contains(err.Reason, c.reason) || err.Action != c.action || err.RFC == "" || string(got) != "x" {
			t.Errorf("%x: %+v, %q; want octet %d, %q, %v", in, *err, got, c.off, c.reason, c.action)
		}
		if err.Off < err.Start || err.Off >= err.End || err.End > max(len(in), 1) {
			t.Errorf("%x: octet %d of [%d, %d)", in, err.Off, err.Start, err.End)
		}
	}
}

// Rules at random are the same as octets and as text.
func TestRulesRoundTrip(t *testing.T) {
	r := source(t)
	for range 20000 {
		f := families[r.IntN(len(families))]
		rule := randomRule(r, f)
		b, err := rule.AppendNLRI(nil)
		if err != nil {
			t.Fatalf("%+v: %v", rule, err)
		}
		again, e := Canonical(nil, f, b)
		if e != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v: %x is not canonical: %x, %v", f, b, again, e)
		}
		back := checkOctets(t, "random", f, b)
		if back.String() != rule.String() {
			t.Fatalf("%q reads back as %q", rule.String(), back.String())
		}
		if got := RD(f, b); got != rule.RD {
			t.Fatalf("%q: rd %x", rule.String(), got)
		}
		for _, typ := range []Type{TypeDestination, TypeSource} {
			get := Destination
			if typ == TypeSource {
				get = Source
			}
			p, off, ok := get(f, b)
			c := rule.Component(typ)
			if ok != (c != nil) || ok && (p != c.Prefix || off != c.Offset) {
				t.Fatalf("%q: %v %v offset %d, %v", rule.String(), typ, p, off, ok)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// naiveCompare is the pseudo code of RFC 8955 section 5.1, with that of RFC 8956
// section 4 for prefixes, on rules that were taken apart: components as numbers
// and strings of bits.
func naiveCompare(a, b *Rule) int {
	if a.RD != b.RD {
		if a.RD < b.RD {
			return -1
		}
		return 1
	}
	for i := 0; i < len(a.Components) || i < len(b.Components); i++ {
		typ := func(r *Rule) int {
			if i < len(r.Components) {
				return int(r.Components[i].Type)
			}
			return 1 << 30
		}
		if typ(a) != typ(b) {
			if typ(a) < typ(b) {
				return -1
			}
			return 1
		}
		x, y := &a.Components[i], &b.Components[i]
		if x.Type.IsPrefix() {
			if x.Offset != y.Offset {
				if x.Offset < y.Offset {
					return -1
				}
				return 1
			}
			common := min(x.Prefix.Bits(), y.Prefix.Bits())
			if c := bitsOf(x.Prefix, common).Cmp(bitsOf(y.Prefix, common)); c != 0 {
				return c
			}
			if d := y.Prefix.Bits() - x.Prefix.Bits(); d != 0 {
				return sign(d)
			}
			continue
		}
		v6 := Is6(a.Family)
		p, _ := x.append(nil, v6)
		q, _ := y.append(nil, v6)
		common := min(len(p), len(q))
		if c := strings.Compare(string(p[:common]), string(q[:common])); c != 0 {
			return c
		}
		if len(p) != len(q) {
			return sign(len(q) - len(p))
		}
	}
	return 0
}

func bitsOf(p netip.Prefix, n int) *big.Int {
	v := new(big.Int).SetBytes(p.Addr().AsSlice())
	return v.Rsh(v, uint(p.Addr().BitLen()-n))
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// The order is that of the RFCs, and one: of three rules, too.
func TestOrderIsThatOfTheRFCs(t *testing.T) {
	r := source(t)
	for range 30000 {
		f := families[r.IntN(len(families))]
		rules := [3]Rule{randomRule(r, f), randomRule(r, f), randomRule(r, f)}
		if r.IntN(2) == 0 { // alike up to a point
			n := r.IntN(len(rules[0].Components) + 1)
			rules[1] = Rule{Family: f, RD: rules[0].RD, Components: slices.Clone(rules[0].Components[:n])}
			for _, c := range rules[2].Components {
				if n == 0 || c.Type > rules[0].Components[n-1].Type {
					rules[1].Components = append(rules[1].Components, c)
				}
			}
			if len(rules[1].Components) == 0 {
				continue
			}
		}
		var b [3][]byte
		for i := range rules {
			b[i], _ = rules[i].AppendNLRI(nil)
		}
		for i := range 3 {
			for j := range 3 {
				got, want := Compare(f, b[i], b[j]), naiveCompare(&rules[i], &rules[j])
				if sign(got) != want {
					t.Fatalf("%q against %q: %d, want %d", rules[i].String(), rules[j].String(), got, want)
				}
				if (got == 0) != bytes.Equal(b[i], b[j]) {
					t.Fatalf("%x and %x compare as %d", b[i], b[j], got)
				}
			}
		}
		if Compare(f, b[0], b[1]) < 0 && Compare(f, b[1], b[2]) < 0 && Compare(f, b[0], b[2]) >= 0 {
			t.Fatalf("%x, %x and %x go round", b[0], b[1], b[2])
		}
	}
}

// Cases of the order that the text of RFC 8955 section 5.1 and RFC 8956 section
// 4 names.
func TestOrderByHand(t *testing.T) {
	for _, c := range []struct{ first, second string }{
		{"destination 192.0.2.0/24 source 192.0.2.0/24", "destination 192.0.2.0/24"},          // more components
		{"destination 192.0.2.0/24", "source 192.0.2.0/24"},                                   // the lower type
		{"destination 192.0.2.0/25", "destination 192.0.2.0/24"},                              // the more specific
		{"destination 192.0.1.0/24", "destination 192.0.2.0/32"},                              // the lower address
		{"destination 10.0.0.0/8", "destination 0.0.0.0/0"},                                   // the least of all
		{"protocol =tcp", "protocol =udp"},                                                    // the lower octets
		{"protocol =tcp|=udp", "protocol =tcp"},                                               // the end-of-list bit counts
		{"destination 2001:db8::/32", "destination ::1:0:0:0:0/64 offset 32"},                 // the lower offset
		{"destination ::2:0:0:0:0/64 offset 32", "destination ::/62 offset 32 protocol =tcp"}, // then the longer
	} {
		a, _, err := ParseText(c.first)
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := ParseText(c.second)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := a.AppendNLRI(nil)
		y, _ := b.AppendNLRI(nil)
		if Compare(a.Family, x, y) >= 0 || Compare(a.Family, y, x) <= 0 {
			t.Errorf("%q does not come before %q", c.first, c.second)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range families {
		a, b := randomRule(r, f), randomRule(r, f)
		x, _ := a.AppendNLRI(nil)
		y, _ := b.AppendNLRI(nil)
		dst := make([]byte, 0, 4096)
		attrs := wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, []byte{0x80, 6, 0, 0, 0, 0, 0, 0, 0x80, 7, 0, 0, 0, 0, 0, 1})
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Canonical(dst, f, x); err != nil {
				t.Fatal(err)
			}
			Compare(f, x, y)
			Destination(f, x)
			Source(f, x)
			RD(f, x)
			if CheckActions(attrs) != nil || !GoesOn(attrs) {
				t.Fatal("actions")
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}

// What RFC 8955 4.2 and RFC 8956 3 say of writing: the order of components, no AND
// first, as few octets as a value needs, but 4 of a flow label.
func TestRulesAreWrittenAsAdvised(t *testing.T) {
	for _, c := range []struct {
		r    Rule
		want string
	}{
		{Rule{Family: wire.IPv4FlowSpec, Components: []Component{
			{Type: TypePort, Ops: []Op{{And: true, Kind: EQ, Value: 25}, {And: true, Kind: LT, Value: 8080}}}, {Type: TypeProtocol, Ops: []Op{{Kind: EQ, Value: 6}}},
		}}, "09 038106 040119d41f90"},
		{Rule{Family: wire.IPv4FlowSpec, Components: []Component{
			{Type: TypeTCPFlags, Ops: []Op{{And: true, Kind: Match, Value: 2}, {Value: 0x100}}}, {Type: TypeDSCP, Ops: []Op{{Kind: EQ, Value: 46}}},
		}}, "09 090102900100 0b812e"},
		{Rule{Family: wire.IPv6FlowSpec, Components: []Component{{Type: TypeFlowLabel, Ops: []Op{{Kind: EQ, Value: 5}}}}}, "06 0da100000005"},
	} {
		if b, err := c.r.AppendNLRI(nil); err != nil || !bytes.Equal(b, unhex(t, c.want)) {
			t.Errorf("%s: %x, %v, want %s", c.r.String(), b, err, c.want)
		}
	}
}

func TestRulesThatCannotBeWritten(t *testing.T) {
	p4, p6 := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	dst := func(p netip.Prefix, off uint8) []Component {
		return []Component{{Type: TypeDestination, Prefix: p, Offset: off}}
	}
	ops := func(t Type, ops ...Op) []Component { return []Component{{Type: t, Ops: ops}} }
	many := make([]Op, 2000)
	for i := range many {
		many[i] = Op{Kind: EQ, Value: 40000 + uint64(i)}
	}
	for _, c := range []struct {
		r    Rule
		want string
	}{
		{Rule{Family: wire.IPv4Unicast, Components: dst(p4, 0)}, "no family"},
		{Rule{Family: wire.IPv4FlowSpec}, "a component at least"},
		{Rule{Family: wire.IPv4FlowSpec, RD: 1, Components: dst(p4, 0)}, "no route distinguisher"},
		{Rule{Family: wire.IPv4FlowSpec, Components: dst(p6, 0)}, "not an IPv4 prefix"},
		{Rule{Family: wire.IPv6FlowSpec, Components: dst(p4, 0)}, "not an IPv6 prefix"},
		{Rule{Family: wire.IPv4FlowSpec, Components: dst(p4, 1)}, "no offset"},
		{Rule{Family: wire.IPv6FlowSpec, Components: dst(p6, 32)}, "not under the length"},
		{Rule{Family: wire.IPv6FlowSpec, Components: dst(p6, 8)}, "bits before its offset"},
		{Rule{Family: wire.IPv4FlowSpec, Components: dst(netip.Prefix{}, 0)}, "no prefix"},
		{Rule{Family: wire.IPv4FlowSpec, Components: dst(netip.MustParsePrefix("192.0.2.1/24"), 0)}, "meant is 192.0.2.0/24"},
		{Rule{Family: wire.IPv4FlowSpec, Components: append(dst(p4, 0), dst(p4, 0)...)}, "twice"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(0, Op{})}, "no such component"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(14, Op{})}, "no such component"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort)}, "nothing to compare"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort, Op{Kind: 8})}, "no such comparison"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeTCPFlags, Op{Kind: 4})}, "no such comparison"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort, Op{Len: 3})}, "1, 2, 4 or 8"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort, Op{Len: 1, Value: 256})}, "does not fit"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeDSCP, Op{Value: 64})}, "over 63"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeDSCP, Op{Value: 46, Len: 2})}, "more octets"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeTCPFlags, Op{Value: 2, Len: 4})}, "more octets"},
		{Rule{Family: wire.IPv6FlowSpec, Components: ops(TypeFragment, Op{Value: 2, Len: 2})}, "more octets"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeFragment, Op{Value: 16})}, "over 15"},
		{Rule{Family: wire.IPv6FlowSpec, Components: ops(TypeFragment, Op{Value: 1})}, "dont-fragment"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypeFlowLabel, Op{Value: 1})}, "IPv4 has none"},
		{Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort, many...)}, "may have 4095"},
	} {
		b, err := c.r.AppendNLRI([]byte("x"))
		if err == nil || !strings.Contains(err.Error(), c.want) || string(b) != "x" {
			t.Errorf("%+v: %x, %v, want %q", c.r, b, err, c.want)
		}
	}
	long := Rule{Family: wire.IPv4FlowSpec, Components: ops(TypePort, many[:1364]...)}
	b, err := long.AppendNLRI(nil)
	if err != nil || len(b) != 2+4093 || binary.BigEndian.Uint16(b) != 0xf000|4093 {
		t.Fatalf("%d octets, %v", len(b), err)
	}
	checkOctets(t, "long", wire.IPv4FlowSpec, b)
}
