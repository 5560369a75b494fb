package flowspec

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"strings"
	"testing"

	"ribd/wire"
)

// ext makes attributes with a next hop, extended communities and those of IPv6.
func ext(t *testing.T, hop, communities, communities6 string) []byte {
	t.Helper()
	b := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{0})
	if hop != "" {
		b = wire.AppendAttr(b, 0x40, wire.AttrNextHop, netip.MustParseAddr(hop).AsSlice())
	}
	if communities != "" {
		b = wire.AppendAttr(b, 0xc0, wire.AttrExtCommunities, unhex(t, communities))
	}
	if communities6 != "" {
		b = wire.AppendAttr(b, 0xc0, wire.AttrIPv6ExtCommunities, unhex(t, communities6))
	}
	return b
}

func TestActionsAreRead(t *testing.T) {
	const addr6 = "20010db8000000000000000000000001"
	for _, c := range []struct{ name, hop, ext, ext6, want string }{
		{"none", "", "", "", ""},
		{"a route target is none", "", "0002fde800000001", "", ""},
		{"discard", "", "8006fde800000000", "", "rate-limit 0"},
		{"rate", "", "80060000 49989680", "", "rate-limit 1250000"},
		{"negative rate is 0 (RFC 8955 7.1)", "", "80060000 c9989680", "", "rate-limit 0"},
		{"negative zero is 0", "", "80060000 80000000", "", "rate-limit 0"},
		{"packets", "", "800c0000 447a0000", "", "rate-limit-packets 1000"},
		{"the T bit goes on (RFC 8955 7.3)", "", "8007000000000001", "", "continue"},
		{"sample", "", "8007000000000002", "", "sample"},
		{"neither", "", "8007000000000000", "", "terminal"},
		{"other bits are ignored", "", "8007ffffffffffff", "", "sample continue"},
		{"redirect, 2-octet AS", "", "8008fde800000001", "", "redirect rt:65000:1"},
		{"redirect, address", "", "8108c00002010005", "", "redirect rt:192.0.2.1:5"},
		{"redirect, 4-octet AS", "", "8208000100000005", "", "redirect rt:65536L:5"},
		{"redirect, IPv6 (RFC 8956 6.1)", "", "", "000d" + addr6 + "0005", "redirect rt:[2001:db8::1]:5"},
		{"to IPv4", "", "010cc000020100 00", "", "redirect ip:192.0.2.1"},
		{"copy to IPv4", "", "010cc000020100 01", "", "redirect ip:192.0.2.1 copy"},
		{"to IPv6", "", "", "000c" + addr6 + "0000", "redirect ip:2001:db8::1"},
		{"copy to IPv6", "", "", "000c" + addr6 + "0001", "redirect ip:2001:db8::1 copy"},
		{"to the next hop", "192.0.2.7", "0800000000000000", "", "redirect ip:192.0.2.7"},
		{"copy to the next hop", "2001:db8::7", "0800000000000001", "", "redirect ip:2001:db8::7 copy"},
		{"to no next hop", "", "0800000000000000", "", "community 0x0800000000000000"},
		{"to next hop 0", "0.0.0.0", "0800000000000000", "", "community 0x0800000000000000"},
		{"to IPv4 0", "", "010c000000000001 8008fde800000001", "", "redirect rt:65000:1 community 0x010c000000000001"},
		{"to IPv6 0", "", "", "000c" + strings.Repeat("00", 18), "community 0x000c" + strings.Repeat("00", 18)},
		{"mark", "", "800900000000002e", "", "mark 46"},
		{"mark, other bits", "", "8009ffffffffffee", "", "mark 46"},
		{"unknown is kept", "", "800d000102030405 47020001020304ff 8084000000000001", "", "community 0x800d000102030405 community 0x47020001020304ff"},
		{"the first of a kind counts", "", "80060000 00000000 80060000 49989680 8008fde800000001 010cc00002010000", "",
			"rate-limit 0 redirect ip:192.0.2.1 community 0x8006000049989680 community 0x8008fde800000001"},
		{"of route targets the first counts", "", "8208000100000005 8008fde800000001", "000d" + addr6 + "0005",
			"redirect rt:65536L:5 community 0x8008fde800000001 community 0x000d20010db80000000000000000000000010005"},
		{"an address counts in either form, in either attribute", "192.0.2.7", "8008fde800000001 010cc00002010000 0800000000000000", "000c" + addr6 + "0000",
			"redirect ip:2001:db8::1 community 0x8008fde800000001 community 0x010cc00002010000 community 0x0800000000000000"},
		{"a type of the other attribute is none", "", "000cc00002010000 8008fde800000001", "0800" + addr6 + "0000", "redirect rt:65000:1"},
	} {
		attrs := ext(t, c.hop, c.ext, c.ext6)
		a := ActionsOf(attrs)
		if got := a.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if a.Empty() != (c.want == "") || GoesOn(attrs) != a.GoOn || a.Terminal() == a.GoOn {
			t.Errorf("%s: empty %v, goes on %v", c.name, a.Empty(), GoesOn(attrs))
		}
		if err := CheckActions(attrs); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" {
			back, err := ParseActions(c.want)
			if err != nil || back.String() != c.want {
				t.Errorf("%s: %q reads back as %q, %v", c.name, c.want, back.String(), err)
			}
		}
	}
}

func TestRatesThatAreNoNumbers(t *testing.T) {
	for _, c := range []string{"7fc00000", "ffc00001", "7f800000", "ff800000"} {
		for _, kind := range []string{"8006", "800c"} {
			attrs := ext(t, "", "0002fde800000001"+kind+"0000"+c, "")
			err := CheckActions(attrs)
			if err == nil || err.Action != wire.TreatAsWithdraw || !strings.HasPrefix(err.RFC, "RFC 8955") {
				t.Errorf("%s %s: %v", kind, c, err)
				continue
			}
			if got := hex.EncodeToString(attrs[err.Off : err.Off+4]); got != c || err.Off < err.Start || err.Off >= err.End || err.End > len(attrs) {
				t.Errorf("%s %s: octet %d of [%d, %d) is %s", kind, c, err.Off, err.Start, err.End, got)
			}
			if a := ActionsOf(attrs); a.Filters() || len(a.Unknown) != 1 {
				t.Errorf("%s %s: read as %q", kind, c, a.String())
			}
		}
	}
}

// Both forms of a redirect to an address, and what is in the way of them.
func TestActionsAreWritten(t *testing.T) {
	const rt, rt6 = "0002fde800000001", "0002" + "20010db8000000000000000000000009" + "0001"
	for _, c := range []struct {
		name, text string
		form       RedirectForm
		old        []byte
		want       []byte
	}{
		{"in place of others", "mark 46", RedirectCommunity, ext(t, "", "8006000000000000"+rt, ""), ext(t, "", rt+"800900000000002e", "")},
		{"none", "accept", RedirectCommunity, ext(t, "", "8006000000000000", ""), ext(t, "", "", "")},
		{"none, of IPv6", "accept", RedirectCommunity, ext(t, "", rt, rt6+"000d20010db80000000000000000000000010005"), ext(t, "", rt, rt6)},
		{"all", "rate-limit 1250000 rate-limit-packets 1000 sample continue redirect 65000:1 mark 46", RedirectCommunity, ext(t, "", "", ""),
			ext(t, "", "8006000049989680 800c0000447a0000 8007000000000003 8008fde800000001 800900000000002e", "")},
		{"to IPv4", "redirect 192.0.2.1 copy", RedirectCommunity, ext(t, "", "", ""), ext(t, "", "010cc00002010001", "")},
		{"to IPv4, by next hop", "redirect 192.0.2.1 copy", RedirectNextHop, ext(t, "", "", ""), ext(t, "192.0.2.1", "0800000000000001", "")},
		{"to IPv6", "redirect 2001:db8::1", RedirectCommunity, ext(t, "", "", ""), ext(t, "", "", "000c20010db80000000000000000000000010000")},
		{"to IPv6, by next hop", "redirect 2001:db8::1", RedirectNextHop, ext(t, "", rt, ""), ext(t, "2001:db8::1", rt+"0800000000000000", "")},
		{"from one form", "redirect 192.0.2.1", RedirectCommunity, ext(t, "192.0.2.1", "0800000000000000", ""), ext(t, "", "010cc00002010000", "")},
		{"to the other", "redirect 192.0.2.1", RedirectNextHop, ext(t, "", "010cc00002010000", ""), ext(t, "192.0.2.1", "0800000000000000", "")},
		{"the target goes with its redirect", "discard", RedirectNextHop, ext(t, "192.0.2.1", "0800000000000000", ""), ext(t, "", "8006000000000000", "")},
		{"any other next hop stays", "discard", RedirectCommunity, ext(t, "192.0.2.1", "", ""), ext(t, "192.0.2.1", "8006000000000000", "")},
		{"to a route target of IPv6", "redirect [2001:db8::1]:5", RedirectNextHop, ext(t, "", "", rt6), ext(t, "", "", rt6+"000d20010db80000000000000000000000010005")},
		{"to a mapped address", "redirect ip:::ffff:192.0.2.1", RedirectCommunity, ext(t, "", "", ""), ext(t, "", "", "000c00000000000000000000ffffc00002010000")},
		{"unknown", "community 0x800d000102030405", RedirectCommunity, ext(t, "", "", ""), ext(t, "", "800d000102030405", "")},
	} {
		a, err := ParseActions(c.text)
		if err != nil {
			t.Fatal(err)
		}
		var e wire.AttrEditor
		e.Start(c.old)
		if err := a.Apply(&e, c.form); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := e.Append(nil)
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x\nwant %x", c.name, got, c.want)
		}
		if back := ActionsOf(got); back.String() != a.String() {
			t.Errorf("%s: %q reads back as %q", c.name, a.String(), back.String())
		}
		e.Start(got)
		if err := a.Apply(&e, c.form); err != nil || !bytes.Equal(e.Append(nil), got) {
			t.Errorf("%s: not the same a second time: %x, %v", c.name, e.Append(nil), err)
		}
	}
}

// What RFC 8955 wants encoded as 0 is so, also where somebody gave octets, and means
// what it did.
func TestActionsAreEncodedWithoutWhatIsIgnored(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a negative rate (7.1)", "80060001c9989680", "8006000100000000"},
		{"negative packets (7.2)", "800cfde8bf800000", "800cfde800000000"},
		{"bits of traffic-action (7.3)", "8007ffffffffffff", "8007000000000003"},
		{"bits of traffic-marking (7.5)", "8009ffffffffffff", "800900000000003f"},
		{"others stay", "0002ffffffffffff 800dffffffffffff 8006000049989680", "0002ffffffffffff 800dffffffffffff 8006000049989680"},
	} {
		attrs := ext(t, "", c.in, "")
		before := ActionsOf(attrs)
		CleanActions(attrs)
		if after := ActionsOf(attrs); !bytes.Equal(attrs, ext(t, "", c.want, "")) || after.String() != before.String() {
			t.Errorf("%s: %x, %q, was %q", c.name, attrs, after.String(), before.String())
		}
		a := Actions{Unknown: [][]byte{unhex(t, c.in)[:8]}}
		var e wire.AttrEditor
		e.Start(ext(t, "", "", ""))
		if err := a.Apply(&e, RedirectCommunity); err != nil || !bytes.Equal(e.Append(nil), ext(t, "", c.want[:16], "")) {
			t.Errorf("%s: written as %x, %v", c.name, e.Append(nil), err)
		}
	}
}

func TestActionsThatCannotBeWritten(t *testing.T) {
	nan, minus, dscp := float32(math.NaN()), float32(-1), uint8(64)
	for _, a := range []Actions{
		{RateBytes: &nan}, {RatePackets: &minus}, {MarkDSCP: &dscp}, {Redirect: &Redirect{Kind: RedirectIP}},
		{Redirect: &Redirect{Kind: RedirectIP, Addr: netip.MustParseAddr("fe80::1%eth0")}},
		{Redirect: &Redirect{RT: []byte{1, 2, 3}}}, {Redirect: &Redirect{RT: []byte{0, 3, 0, 0, 0, 0, 0, 0}}},
		{Unknown: [][]byte{{1}}},
	} {
		attrs := ext(t, "", "0002fde800000001", "")
		var e wire.AttrEditor
		e.Start(attrs)
		if err := a.Apply(&e, RedirectCommunity); err == nil || e.Changed() {
			t.Errorf("%+v: %v, changed %v", a, err, e.Changed())
		}
	}
}

// Of rules that match the same packet the earlier one's actions count, and
// others are added (RFC 8955 7.3, 7.7).
func TestMergeOfActions(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{"rate-limit 1000 continue", "rate-limit 0", "rate-limit 1000 terminal"},
		{"mark 46 continue", "discard sample", "rate-limit 0 sample mark 46"},
		{"rate-limit 5 continue", "rate-limit-packets 7 continue", "rate-limit 5 rate-limit-packets 7 continue"},
		{"redirect 65000:1 continue", "redirect 192.0.2.1 mark 10", "terminal redirect rt:65000:1 mark 10"},
		{"continue community 0x800d000000000001", "community 0x800d000000000002", "terminal community 0x800d000000000001 community 0x800d000000000002"},
	} {
		a, err := ParseActions(c.first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseActions(c.second)
		if err != nil {
			t.Fatal(err)
		}
		a.Merge(&b)
		if got := a.String(); got != c.want {
			t.Errorf("%q and %q: %q, want %q", c.first, c.second, got, c.want)
		}
	}
}
