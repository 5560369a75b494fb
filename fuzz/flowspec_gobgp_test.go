package fuzz

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// What gobgp v3.37 reads otherwise, so that it is not asked:
//   - an NLRI of 240 octets and more: it takes the nibble that marks the long
//     length field for a part of the length (RFC 8955 4.1);
//   - an IPv6 prefix with an offset: it takes the pattern for the first bits of
//     the address, and its length for that of them (RFC 8956 3.1);
//   - the order of IPv6 rules: of two prefixes it compares no bit where the
//     shorter one has under 64 (RFC 8956 4), and of VPN rules the octets (the
//     length field first), not the components (RFC 8955 8);
//   - a route distinguisher of a type over 2 loses its octets (RFC 4364 4.2).

// gobgpRule is what gobgp reads from octets; nil where the list above says that
// it cannot.
func gobgpRule(fam wire.Family, c []byte) (*bgp.FlowSpecNLRI, error) {
	if c[0] >= 0xf0 || flowspec.RD(fam, c)>>48 > 2 {
		return nil, nil
	}
	for _, get := range []func(wire.Family, []byte) (netip.Prefix, uint8, bool){flowspec.Destination, flowspec.Source} {
		if _, off, ok := get(fam, c); ok && off != 0 {
			return nil, nil
		}
	}
	switch fam {
	case wire.IPv4FlowSpec:
		n := bgp.NewFlowSpecIPv4Unicast(nil)
		return &n.FlowSpecNLRI, n.DecodeFromBytes(c)
	case wire.IPv6FlowSpec:
		n := bgp.NewFlowSpecIPv6Unicast(nil)
		return &n.FlowSpecNLRI, n.DecodeFromBytes(c)
	case wire.IPv4FlowSpecVPN:
		n := bgp.NewFlowSpecIPv4VPN(nil, nil)
		return &n.FlowSpecNLRI, n.DecodeFromBytes(c)
	}
	n := bgp.NewFlowSpecIPv6VPN(nil, nil)
	return &n.FlowSpecNLRI, n.DecodeFromBytes(c)
}

// checkFlowGoBGP: gobgp sees the same components in canonical octets, and writes
// the same octets.
func checkFlowGoBGP(t *testing.T, fam wire.Family, c []byte) {
	t.Helper()
	n, err := gobgpRule(fam, c)
	if n == nil {
		return
	}
	if err != nil {
		t.Fatalf("%v %x: gobgp: %v", fam, c, err)
	}
	r, _ := flowspec.Parse(fam, c)
	if len(n.Value) != len(r.Components) {
		t.Fatalf("%v %x: %q, gobgp has %d components", fam, c, r.String(), len(n.Value))
	}
	for i, v := range n.Value {
		k := &r.Components[i]
		if flowspec.Type(v.Type()) != k.Type {
			t.Fatalf("%v %x: %q, gobgp has a %v", fam, c, r.String(), v.Type())
		}
		var got string
		switch v := v.(type) {
		case *bgp.FlowSpecComponent:
			var ops []flowspec.Op
			for _, it := range v.Items {
				ops = append(ops, flowspec.Op{And: it.Op&0x40 != 0, Kind: flowspec.Kind(it.Op & 7), Value: it.Value})
			}
			for j := range k.Ops {
				k.Ops[j].Len = 0
			}
			got = fmt.Sprint(ops)
		case *bgp.FlowSpecDestinationPrefix:
			got = v.Prefix.String()
		case *bgp.FlowSpecSourcePrefix:
			got = v.Prefix.String()
		case *bgp.FlowSpecDestinationPrefix6:
			got = v.Prefix.String()
		case *bgp.FlowSpecSourcePrefix6:
			got = v.Prefix.String()
		}
		want := fmt.Sprint(k.Ops)
		if k.Type.IsPrefix() {
			want = k.Prefix.String()
			if p, err := netip.ParsePrefix(got); err == nil { // Go's net prints mapped addresses its way
				got = p.String()
			}
			if k.Prefix.Addr().Is4In6() {
				got = want
			}
		}
		if got != want {
			t.Fatalf("%v %x: %v is %s, gobgp says %s", fam, c, k.Type, want, got)
		}
	}
	if out, err := n.Serialize(); err != nil || !bytes.Equal(out, c) {
		t.Fatalf("%v %x: gobgp writes %x, %v", fam, c, out, err)
	}
}

// gobgpWords are the names of components in gobgp's text.
var gobgpWords = map[flowspec.Type]string{
	flowspec.TypeDestination: "destination", flowspec.TypeSource: "source", flowspec.TypeProtocol: "protocol", flowspec.TypePort: "port",
	flowspec.TypeDestinationPort: "destination-port", flowspec.TypeSourcePort: "source-port", flowspec.TypeICMPType: "icmp-type",
	flowspec.TypeICMPCode: "icmp-code", flowspec.TypePacketLength: "packet-length", flowspec.TypeDSCP: "dscp", flowspec.TypeFlowLabel: "label",
}

// The octets of rules are those that gobgp makes of the same rule in its text,
// and their order is gobgp's.
func TestFlowSpecOfGoBGP(t *testing.T) {
	texts := []string{
		"destination 203.0.113.0/24 protocol =udp destination-port =53",
		"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048",
		"destination 203.0.113.0/25 protocol =udp destination-port =53|>=1024&<=2048",
		"destination 203.0.112.0/23 source 192.0.2.0/24",
		"destination 0.0.0.0/0 port =19|=53|=123|=11211",
		"source 198.51.100.7/32 packet-length >=468&<=490|>1400",
		"protocol =icmp icmp-type =8 icmp-code =0",
		"protocol =tcp|=udp dscp =46|=10 source-port !=80",
		"destination-port <1024",
		"destination-port =65535",
		"protocol =tcp",
	}
	rules := make([]*bgp.FlowSpecIPv4Unicast, len(texts))
	octets := make([][]byte, len(texts))
	for i, s := range texts {
		r, _, err := flowspec.ParseText(s)
		if err != nil {
			t.Fatal(err)
		}
		if octets[i], err = r.AppendNLRI(nil); err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, c := range r.Components {
			words = append(words, gobgpWords[c.Type])
			if c.Type.IsPrefix() {
				words = append(words, c.Prefix.String())
				continue
			}
			for _, o := range c.Ops {
				op := map[flowspec.Kind]string{1: "==", 2: ">", 3: ">=", 4: "<", 5: "<=", 6: "!="}[o.Kind]
				if o.And {
					op = "&" + op
				}
				words = append(words, fmt.Sprint(op, o.Value))
			}
		}
		cs, err := bgp.ParseFlowSpecComponents(bgp.RF_FS_IPv4_UC, strings.Join(words, " "))
		if err != nil {
			t.Fatalf("%q: gobgp: %v", strings.Join(words, " "), err)
		}
		rules[i] = bgp.NewFlowSpecIPv4Unicast(cs)
		if b, err := rules[i].Serialize(); err != nil || !bytes.Equal(b, octets[i]) {
			t.Errorf("%q: %x, gobgp makes %x, %v", s, octets[i], b, err)
		}
	}
	for i := range texts {
		for j := range texts {
			n, err := bgp.CompareFlowSpecNLRI(&rules[i].FlowSpecNLRI, &rules[j].FlowSpecNLRI)
			if err != nil {
				t.Fatal(err)
			}
			// gobgp's is positive where the first has precedence.
			if got := flowspec.Compare(wire.IPv4FlowSpec, octets[i], octets[j]); (got < 0) != (n > 0) || (got > 0) != (n < 0) {
				t.Errorf("%q against %q: %d, gobgp says %d", texts[i], texts[j], got, n)
			}
		}
	}
}
