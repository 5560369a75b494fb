package flowspec

import (
	"encoding/hex"
	"strings"
	"testing"

	"ribd/wire"
)

// The texts read to these octets, and are written as the third column says
// ("": as they were read).
func TestTextReadsAndIsWritten(t *testing.T) {
	for _, c := range []struct {
		in     string
		family wire.Family
		nlri   string
		out    string
	}{
		{"destination 203.0.113.0/24 protocol =udp destination-port =53 >=1024&<=2048 then rate-limit 1250000",
			wire.IPv4FlowSpec, "11 0118cb0071 038111 050135 130400d50800",
			"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048 then rate-limit 1250000"},
		{"protocol 6|17 then accept", wire.IPv4FlowSpec, "05 0301068111", "protocol =tcp|=udp then accept"},
		{"protocol =tcp, =udp", wire.IPv4FlowSpec, "05 0301068111", "protocol =tcp|=udp then accept"},
		{"protocol [ =tcp =udp ]", wire.IPv4FlowSpec, "05 0301068111", "protocol =tcp|=udp then accept"},
		{"port 1024-2048", wire.IPv4FlowSpec, "07 04 130400 d50800", "port >=1024&<=2048 then accept"},
		{"tcp-flags =syn&!ack then discard", wire.IPv4FlowSpec, "05 09 0102 c210", "tcp-flags =syn&!ack then rate-limit 0"},
		{"tcp_flags !=syn+ack|0x10", wire.IPv4FlowSpec, "05 09 0312 8010", "tcp-flags !=syn+ack|ack then accept"},
		{"tcp-flags ae", wire.IPv4FlowSpec, "04 09 900100", "tcp-flags ae then accept"},
		{"fragment is-fragment+last-fragment", wire.IPv4FlowSpec, "03 0c 800a", "fragment is-fragment+last-fragment then accept"},
		{"fragment not-a-fragment", wire.IPv4FlowSpec, "03 0c 8206", "fragment !is-fragment+first-fragment then accept"},
		{"port =53/2", wire.IPv4FlowSpec, "04 04 910035", "port =53/2 then accept"},
		{"port =53/1", wire.IPv4FlowSpec, "03 04 8135", "port =53 then accept"},
		{"port =70000/4", wire.IPv4FlowSpec, "06 04 a100011170", "port =70000/4 then accept"},
		{"port false", wire.IPv4FlowSpec, "03 04 8000", "port false:0 then accept"},
		{"port true:53", wire.IPv4FlowSpec, "03 04 8735", "port true:53 then accept"},
		{"icmp-type =echo-request icmp-code 0 protocol icmp", wire.IPv4FlowSpec, "09 038101 078108 088100", "protocol =icmp icmp-type =echo-request icmp-code =0 then accept"},
		{"destination 2001:db8::/32 icmp-type echo-request", wire.IPv6FlowSpec, "0a 01200020010db8 078180", "destination 2001:db8::/32 icmp-type =echo-request then accept"},
		{"destination ::1234:5678:9a00:0/65-104", wire.IPv6FlowSpec, "08 016841 2468acf134", "destination ::1234:5678:9a00:0/104 offset 65 then accept"},
		{"destination ::1234:5678:9a00:0/104/65", wire.IPv6FlowSpec, "08 016841 2468acf134", "destination ::1234:5678:9a00:0/104 offset 65 then accept"},
		{"destination ::ffff:192.0.2.0/120", wire.IPv6FlowSpec, "12 017800 00000000000000000000ffffc00002", "destination ::ffff:192.0.2.0/120 then accept"},
		{"flow-label =5", wire.IPv6FlowSpec, "06 0d a100000005", "flow-label =5 then accept"},
		{"ipv6-flowspec protocol =tcp", wire.IPv6FlowSpec, "03 038106", "ipv6-flowspec protocol =tcp then accept"},
		{"rd 65000:1 destination 192.0.2.1 then discard", wire.IPv4FlowSpecVPN, "0e 0000fde800000001 0120c0000201", "rd 65000:1 destination 192.0.2.1/32 then rate-limit 0"},
		{"rd 192.0.2.1:7 source 2001:db8::/32", wire.IPv6FlowSpecVPN, "0f 0001c00002010007 02200020010db8", "rd 192.0.2.1:7 source 2001:db8::/32 then accept"},
		{"ipv6-flowspec-vpn rd 65536L:1 dscp ef", wire.IPv6FlowSpecVPN, "0b 0002000100000001 0b812e", "ipv6-flowspec-vpn rd 65536L:1 dscp =46 then accept"},
		{"destination 0.0.0.0/0", wire.IPv4FlowSpec, "02 0100", "destination 0.0.0.0/0 then accept"},
	} {
		r, a, err := ParseText(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		b, err := r.AppendNLRI(nil)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if got, want := hex.EncodeToString(b), strings.ReplaceAll(c.nlri, " ", ""); got != want || r.Family != c.family {
			t.Errorf("%q: %v %s, want %v %s", c.in, r.Family, got, c.family, want)
		}
		if got := Text(&r, &a); got != c.out {
			t.Errorf("%q is written %q, want %q", c.in, got, c.out)
		}
		back, err := Parse(r.Family, b)
		if err != nil || back.String() != r.String() {
			t.Errorf("%q reads back as %q, %v", c.in, back.String(), err)
		}
	}
}

// A wrong word is named, with what would be right.
func TestTextErrorsNameTheWord(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "a rule needs a component"},
		{"then discard", "a rule needs a component"},
		{"destinatoin 203.0.113.0/24", `no component is called "destinatoin"`},
		{"destination 203.0.113.1/24", "meant is 203.0.113.0/24"},
		{"destination 203.0.113.0/33", `the length "33" is not a number from 0 to 32`},
		{"destination", "destination: nothing behind it (such as 203.0.113.0/24)"},
		{"destination 203.0.113.0/24 offset 8", "IPv4 prefixes have no offset"},
		{"destination 2001:db8::/32 offset 32", "offset 32 is not under the length 32"},
		{"destination 2001:db8::/64 offset 16", "has bits before its offset 16"},
		{"destination 203.0.113.0/24 source 2001:db8::/32", "203.0.113.0/24 is not an IPv6 prefix"},
		{"destination 203.0.113.0/24 destination 203.0.113.0/24", "destination is there twice"},
		{"protocol =upd", `"upd" is neither a number nor one of icmp, igmp`},
		{"protocol =256", "256 is over 255"},
		{"destination-port =http", `"http" is not a number (such as =53`},
		{"destination-port =65536", "65536 is over 65535"},
		{"port =53&", "nothing behind '&'"},
		{"port &=53", "nothing before '&'"},
		{"port ~53", `"~53" is not a number`},
		{"port =<>53", `no such operator: "=<>"`},
		{"tcp-flags >syn", `no such operator: ">" (bits take`},
		{"destination 2001:db8::/32 fragment =dont-fragment", "IPv6 has no dont-fragment bit"},
		{"ipv4-flowspec flow-label =1", "flow-label: IPv4 has none"},
		{"ipv4-flowspec-vpn protocol =tcp", "needs a route distinguisher"},
		{"ipv4-flowspec rd 1:1 protocol =tcp", "meant is ipv4-flowspec-vpn"},
		{"rd x protocol =tcp", `rd: "x" is not a route distinguisher`},
		{"protocol =tcp then", "then: no action"},
		{"protocol =tcp then discrad", `no action is called "discrad"`},
		{"protocol =tcp then rate-limit", "rate-limit: nothing behind it"},
		{"protocol =tcp then rate-limit -1", `"-1" is not a number from 0 on`},
		{"protocol =tcp then rate-limit NaN", `"NaN" is not a number from 0 on`},
		{"protocol =tcp then rate-limit 1e39", `"1e39" is not a number from 0 on`},
		{"protocol =tcp then discard rate-limit 5", "a second limit of the kind"},
		{"protocol =tcp then redirect rt:65000", "is not a route target"},
		{"protocol =tcp then redirect 65000:1 copy", "only a redirect to an address can copy"},
		{"protocol =tcp then mark 64", "64 is over 63"},
		{"protocol =tcp then mark fe", `"fe" is neither a number nor one of default`},
		{"protocol =tcp then terminal continue", "terminal and continue at once"},
		{"protocol =tcp then accept discard", "accept beside an action"},
		{"protocol =tcp then community 0x0002fde800000001", "it belongs to the attributes"},
		{"protocol =tcp then community 0x800600007fc00000", "not a finite number"},
	} {
		if r, _, err := ParseText(c.in); err == nil {
			t.Errorf("%q was read as %q", c.in, r.String())
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.in, err, c.want)
		}
	}
}

func TestActionTextReadsBack(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"accept", ""},
		{"discard", "rate-limit 0"},
		{"drop", "rate-limit 0"},
		{"rate-limit 0.5 rate-limit-packets 1e6", "rate-limit 0.5 rate-limit-packets 1000000"},
		{"rate-limit 1e30", "rate-limit 1e+30"},
		{"sample continue", ""},
		{"sample", ""},
		{"terminal", ""},
		{"continue", ""},
		{"redirect 65000:1", "redirect rt:65000:1"},
		{"redirect rt:65536:1", "redirect rt:65536L:1"},
		{"redirect 192.0.2.1:5", "redirect rt:192.0.2.1:5"},
		{"redirect [2001:db8::1]:5", "redirect rt:[2001:db8::1]:5"},
		{"redirect 192.0.2.1", "redirect ip:192.0.2.1"},
		{"redirect ip:2001:db8::1 copy", ""},
		{"copy 192.0.2.1", "redirect ip:192.0.2.1 copy"},
		{"mark ef", "mark 46"},
		{"mark 10 community 0x800d000000000001", ""},
	} {
		a, err := ParseActions(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		want := c.out
		if want == "" && c.in != "accept" {
			want = c.in
		}
		if got := a.String(); got != want {
			t.Errorf("%q is written %q, want %q", c.in, got, want)
		}
	}
}
