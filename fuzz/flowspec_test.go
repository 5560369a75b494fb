package fuzz

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

var flowFamilies = []wire.Family{wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN}

// flowSeeds are rules as text, one of each kind of component, operator and
// length field.
var flowSeeds = []string{
	"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048",
	"destination 192.0.2.1/32 source 0.0.0.0/0 port !=0&<70000/4|>1/8|true:5|false:5/2",
	"source 192.0.2.0/24 icmp-type =8|=0 icmp-code 0 packet-length >=468&<=490 dscp =46",
	"protocol =tcp tcp-flags =syn&!ack|!=fin+psh|0xf02/2 fragment is-fragment+last-fragment&!dont-fragment",
	"port 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121",
	"destination 2001:db8::/32 source ::1234:5678:9a00:0/104 offset 65 protocol =icmpv6 icmp-type =128 flow-label =5/1",
	"destination ::ffff:192.0.2.0/120 source ::192.0.2.0/125 offset 3",
	"ipv6-flowspec fragment =first-fragment",
	"rd 65000:1 destination 192.0.2.0/25",
	"rd 192.0.2.1:5 destination 2001:db8::1/128",
	"ipv6-flowspec-vpn rd 65536L:1 dscp 1",
}

// flowSeed returns the octets of flowSeeds, by family.
func flowSeed(t testing.TB) (fs []wire.Family, nlri [][]byte) {
	t.Helper()
	for _, s := range flowSeeds {
		r, _, err := flowspec.ParseText(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.AppendNLRI(nil)
		if err != nil {
			t.Fatal(err)
		}
		fs, nlri = append(fs, r.Family), append(nlri, b)
	}
	return fs, nlri
}

// FuzzFlowSpec: octets are malformed, with an error that points into them, or a
// rule; its canonical octets are their own canonical form and mean the same as
// the rule and as its text, and what gobgp reads from them.
func FuzzFlowSpec(f *testing.F) {
	fs, nlri := flowSeed(f)
	for i := range fs {
		for which, fam := range flowFamilies {
			if fam == fs[i] {
				f.Add(nlri[i], byte(which))
			}
		}
	}
	f.Add([]byte{0xf0, 3, 3, 0x89, 6}, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, which byte) {
		fam := flowFamilies[int(which)%len(flowFamilies)]
		came := bytes.Clone(b)
		c, err := flowspec.Canonical(nil, fam, b)
		if !bytes.Equal(came, b) {
			t.Fatalf("%x was changed to %x", came, b)
		}
		if err != nil {
			framed := len(b) != 0 && (b[0] < 0xf0 && 1+int(b[0]) == len(b) || len(b) > 1 && b[0] >= 0xf0 && 2+int(b[0]&15)<<8+int(b[1]) == len(b))
			if want := wire.TreatAsWithdraw; err.Action != want && framed || err.RFC == "" ||
				err.Off < err.Start || err.Off >= err.End || err.End > max(1, len(b)) {
				t.Fatalf("%v %x: %+v", fam, b, *err)
			}
			if _, e := flowspec.Parse(fam, b); e == nil {
				t.Fatalf("%v %x: malformed, and a rule", fam, b)
			}
			return
		}
		if again, err := flowspec.Canonical(nil, fam, c); err != nil || !bytes.Equal(again, c) {
			t.Fatalf("%v %x: canonical %x, and then %x, %v", fam, b, c, again, err)
		}
		checkFlowRule(t, fam, c)
		checkFlowGoBGP(t, fam, c)
	})
}

// checkFlowRule holds canonical octets to their rule and text.
func checkFlowRule(t *testing.T, fam wire.Family, c []byte) {
	t.Helper()
	r, err := flowspec.Parse(fam, c)
	if err != nil {
		t.Fatalf("%v %x: %v", fam, c, err)
	}
	if out, err := r.AppendNLRI(nil); err != nil || !bytes.Equal(out, c) {
		t.Fatalf("%v %x: %q is written as %x, %v", fam, c, r.String(), out, err)
	}
	back, _, err := flowspec.ParseText(r.String())
	if err != nil {
		t.Fatalf("%v %x: %q: %v", fam, c, r.String(), err)
	}
	if out, err := back.AppendNLRI(nil); err != nil || !bytes.Equal(out, c) || back.Family != fam {
		t.Fatalf("%v %x: %q reads as %v %x, %v", fam, c, r.String(), back.Family, out, err)
	}
	if flowspec.RD(fam, c) != r.RD || string(flowspec.NLRIText(nil, fam, c)) != r.String() {
		t.Fatalf("%v %x: rd %x, %q", fam, c, flowspec.RD(fam, c), flowspec.NLRIText(nil, fam, c))
	}
	if p, off, ok := flowspec.Destination(fam, c); ok && (p != p.Masked() || int(off) > p.Bits()) {
		t.Fatalf("%v %x: destination %v offset %d", fam, c, p, off)
	}
	if n := flowspec.Compare(fam, c, c); n != 0 {
		t.Fatalf("%v %x against itself: %d", fam, c, n)
	}
}

// FuzzFlowOrder: the order of two rules is one, and equal are only equal
// octets.
func FuzzFlowOrder(f *testing.F) {
	_, nlri := flowSeed(f)
	for i := range nlri {
		f.Add(nlri[i], nlri[0], byte(0))
		f.Add(nlri[i], nlri[5], byte(1))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, which byte) {
		fam := flowFamilies[int(which)%len(flowFamilies)]
		x, err1 := flowspec.Canonical(nil, fam, a)
		y, err2 := flowspec.Canonical(nil, fam, b)
		if err1 != nil || err2 != nil {
			return
		}
		n, m := flowspec.Compare(fam, x, y), flowspec.Compare(fam, y, x)
		if (n < 0) != (m > 0) || (n == 0) != (m == 0) || (n == 0) != bytes.Equal(x, y) {
			t.Fatalf("%v: %x against %x: %d, the other way %d", fam, x, y, n, m)
		}
	})
}

// FuzzFlowText: text is refused with words, or a rule and actions that are
// written as text that reads back the same.
func FuzzFlowText(f *testing.F) {
	for i, s := range flowSeeds {
		then := []string{"", " then discard", " then rate-limit 0.5 sample continue redirect 65000:1 mark ef",
			" then redirect ip:2001:db8::1 copy community 0x800d000000000001", " then rate-limit-packets 1e9 redirect [2001:db8::1]:5 terminal"}
		f.Add(s + then[i%len(then)])
	}
	f.Add("destination 0.0.0.0 then redirect ::")
	f.Fuzz(func(t *testing.T, s string) {
		r, a, err := flowspec.ParseText(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "flowspec: ") || len(err.Error()) < 15 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		nlri, err := r.AppendNLRI(nil)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		text := flowspec.Text(&r, &a)
		back, actions, err := flowspec.ParseText(text)
		if err != nil {
			t.Fatalf("%q is written %q: %v", s, text, err)
		}
		again, err := back.AppendNLRI(nil)
		if err != nil || !bytes.Equal(again, nlri) || actions.String() != a.String() {
			t.Fatalf("%q: %x then %q\n%q: %x then %q, %v", s, nlri, a.String(), text, again, actions.String(), err)
		}
		checkFlowActions(t, s, &a)
	})
}

// checkFlowActions: actions that are written into attributes are read from them
// again, in both forms of a redirect.
func checkFlowActions(t *testing.T, s string, a *flowspec.Actions) {
	t.Helper()
	for _, form := range []flowspec.RedirectForm{flowspec.RedirectCommunity, flowspec.RedirectNextHop} {
		var e wire.AttrEditor
		e.Start(nil)
		if err := a.Apply(&e, form); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		attrs := e.Append(nil)
		if err := flowspec.CheckActions(attrs); err != nil && len(a.Unknown) == 0 {
			t.Fatalf("%q: %x: %v", s, attrs, err)
		}
		if back := flowspec.ActionsOf(attrs); len(a.Unknown) == 0 && back.String() != a.String() {
			t.Fatalf("%q: %q is read as %q from %x", s, a.String(), back.String(), attrs)
		}
	}
}

// FuzzFlowActions: whatever the communities are, reading them fails nowhere, and
// writing what was read leaves each of them there, without the bits that RFC 8955
// wants encoded as 0, which say nothing.
func FuzzFlowActions(f *testing.F) {
	for _, s := range []string{"8006000049989680800700000000000380081234567890ab8009000000000020", "010cc000020100010800000000000001", "800c00007fc00000"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{}, []byte{192, 0, 2, 1})
		f.Add(b, append([]byte{0, 0x0d}, b...), []byte{})
	}
	// A redirect to the next hop, which is IPv6, beside one to a route target.
	f.Add([]byte("\x08\x00000000\x80\x08000000"), []byte{}, bytes.Repeat([]byte{'0'}, 16))
	f.Add([]byte("\x08\x00000000\x08\x00000000"), []byte{}, []byte("0000"))
	// Two of a kind, with such bits.
	f.Add([]byte("\x80\a000000\x80\a000000"), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, ext, ext6, hop []byte) {
		var attrs []byte
		if len(hop) != 0 && len(hop) < 256 {
			attrs = wire.AppendAttr(attrs, 0x40, wire.AttrNextHop, hop)
		}
		ext, ext6 = ext[:min(len(ext)/8*8, 800)], ext6[:min(len(ext6)/20*20, 800)]
		if len(ext) != 0 {
			attrs = wire.AppendAttr(attrs, 0xc0, wire.AttrExtCommunities, ext)
		}
		if len(ext6) != 0 {
			attrs = wire.AppendAttr(attrs, 0xc0, wire.AttrIPv6ExtCommunities, ext6)
		}
		a := flowspec.ActionsOf(attrs)
		if err := flowspec.CheckActions(attrs); err != nil && (err.Off < err.Start || err.Off >= err.End || err.End > len(attrs)) {
			t.Fatalf("%x: %+v", attrs, *err)
		}
		var e wire.AttrEditor
		e.Start(attrs)
		if err := a.Apply(&e, flowspec.RedirectCommunity); err != nil {
			t.Fatalf("%x: %v", attrs, err)
		}
		out := e.Append(nil)
		clean := bytes.Clone(attrs)
		flowspec.CleanActions(clean)
		want, back := flowspec.ActionsOf(clean), flowspec.ActionsOf(out)
		if back.String() != want.String() {
			t.Fatalf("%x: %q\nbecomes %x: %q", attrs, a.String(), out, back.String())
		}
		// What is cleared says nothing: but for what is no action, all reads the same.
		if a.Unknown, want.Unknown = nil, nil; a.String() != want.String() {
			t.Fatalf("%x: %q\ncleared reads as %q", attrs, a.String(), want.String())
		}
	})
}

// Octets at random near those of rules: more than the seeds of FuzzFlowSpec,
// where there is no time to fuzz.
func TestFlowSpecNearRules(t *testing.T) {
	fs, nlri := flowSeed(t)
	r := rand.New(rand.NewPCG(8955, 8956))
	sound := 0
	for range 40000 {
		i := r.IntN(len(fs))
		b := bytes.Clone(nlri[i])
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		c, err := flowspec.Canonical(nil, fs[i], b)
		if err != nil {
			continue
		}
		sound++
		checkFlowRule(t, fs[i], c)
		checkFlowGoBGP(t, fs[i], c)
	}
	if sound < 5000 {
		t.Errorf("only %d were sound", sound)
	}
}
