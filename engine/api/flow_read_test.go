package api

import (
	"encoding/hex"
	"strings"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// readRule reads one object as POST flowspec does.
func readRule(t testing.TB, text string) (pathInput, *problem) {
	t.Helper()
	r := pathReader{rule: new(ruleReader)}
	r.begin(&call{}, takesAnnounce, false)
	return r.read([]byte(text))
}

func TestRulesAreReadByMatchTextAndOctets(t *testing.T) {
	for _, c := range []struct {
		name, json, text, nlri string
		family                 wire.Family
	}{
		{"match and actions", `{"match":{"destination":"203.0.113.0/24","protocol":"=udp","destination_port":"=53|>=1024&<=2048"},"actions":{"rate_limit_bytes":1250000}}`,
			"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048 then rate-limit 1250000", "", wire.IPv4FlowSpec},
		{"text", `{"text":"destination 203.0.113.0/24 then discard"}`, "destination 203.0.113.0/24 then rate-limit 0", "050118cb0071", wire.IPv4FlowSpec},
		{"bare numbers", `{"match":{"destination":"203.0.113.7","protocol":17}}`, "destination 203.0.113.7/32 protocol =udp then accept", "090120cb007107038111", wire.IPv4FlowSpec},
		{"octets", `{"family":"ipv4-flowspec","nlri":"050118cb0071","actions":{"mark_dscp":46}}`, "destination 203.0.113.0/24 then mark 46", "050118cb0071", wire.IPv4FlowSpec},
		{"octets that are not canonical", `{"family":"ipv4-flowspec","nlri":"f0050118cb0071"}`, "destination 203.0.113.0/24 then accept", "050118cb0071", wire.IPv4FlowSpec},
		{"IPv6 with an offset", `{"match":{"destination":"::1234:5678:9a00:0/104","destination_offset":64,"flow_label":"=5"},"actions":{"sample":true,"terminal":false}}`,
			"destination ::1234:5678:9a00:0/104 offset 64 flow-label =5 then sample continue", "", wire.IPv6FlowSpec},
		{"VPN by rd", `{"rd":"65001:7","match":{"source":"192.0.2.0/24"},"actions":{"redirect":{"type":"rt","value":"65001:9"}}}`,
			"rd 65001:7 source 192.0.2.0/24 then redirect rt:65001:9", "", wire.IPv4FlowSpecVPN},
		{"VPN by family", `{"family":"ipv6-flowspec-vpn","rd":"65001:7","match":{"protocol":"=tcp","tcp_flags":"=syn&!ack"},"actions":{"redirect":{"type":"ip","value":"2001:db8::9","copy":true}}}`,
			"ipv6-flowspec-vpn rd 65001:7 protocol =tcp tcp-flags =syn&!ack then redirect ip:2001:db8::9 copy", "", wire.IPv6FlowSpecVPN},
		{"no prefix", `{"match":{"protocol":"=icmp","icmp_type":"=echo-request"},"actions":{"rate_limit_packets":100.5,"rate_limit_packets_asn":65001}}`, "", "", wire.IPv4FlowSpec},
		{"an unknown action", `{"text":"destination 192.0.2.0/24","actions":{"unknown":["0x80ff010203040506"]}}`, "destination 192.0.2.0/24 then community 0x80ff010203040506", "", wire.IPv4FlowSpec},
		{"actions among the extended communities stay", `{"text":"destination 192.0.2.0/24","ext_communities":["0x8006000000000000","rt:65001:1"]}`, "destination 192.0.2.0/24 then rate-limit 0", "", wire.IPv4FlowSpec},
		{"what is to be 0 in them is", `{"text":"destination 192.0.2.0/24","ext_communities":["0x80060000c9989680","0x8009ffffffffffee"]}`, "destination 192.0.2.0/24 then rate-limit 0 mark 46", "", wire.IPv4FlowSpec},
		{"actions take their place", `{"text":"destination 192.0.2.0/24 then mark 1","ext_communities":["0x8006000000000000","rt:65001:1"]}`, "destination 192.0.2.0/24 then mark 1", "", wire.IPv4FlowSpec},
	} {
		in, p := readRule(t, c.json)
		if p != nil {
			t.Errorf("%s: %v", c.name, p)
			continue
		}
		if in.family != c.family {
			t.Errorf("%s: family %s, want %s", c.name, in.family, c.family)
		}
		rule, err := flowspec.Parse(in.family, in.nlri)
		if err != nil {
			t.Errorf("%s: %x: %v", c.name, in.nlri, err)
			continue
		}
		a := flowspec.ActionsOf(in.attrs)
		if got := flowspec.Text(&rule, &a); c.text != "" && got != c.text {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.text)
		}
		if got := hex.EncodeToString(in.nlri); c.nlri != "" && got != c.nlri {
			t.Errorf("%s: got %s, want %s", c.name, got, c.nlri)
		}
		// What an answer says of it is read as the same rule.
		var row []byte
		row = append(row, `{"match":`...)
		row = appendMatch(row, &rule)
		row = append(row, `,"actions":`...)
		row = appendActions(row, &a)
		row = append(row, `,"family":"`+in.family.String()+`","nlri":"`+hex.EncodeToString(in.nlri)+`","text":`...)
		row = appendString(row, flowspec.Text(&rule, &a))
		if flowspec.IsVPN(in.family) {
			row = append(row, `,"rd":"`...)
			row = append(wire.AppendRD(row, rule.RD), '"')
		}
		row = append(row, `,"id":"0000000000000000","order":1,"valid":true,"invalid_reason":null,"counters":null,"shadowed_by":[]}`...)
		again, p := readRule(t, string(row))
		if p != nil {
			t.Errorf("%s: its own row: %v\n%s", c.name, p, row)
			continue
		}
		b := flowspec.ActionsOf(again.attrs)
		if again.family != in.family || string(again.nlri) != string(in.nlri) || b.String() != a.String() {
			t.Errorf("%s: its own row is another rule: %x %s", c.name, again.nlri, b.String())
		}
	}
}

func TestWrongRulesNameTheFieldAndWhatIsRight(t *testing.T) {
	for _, c := range []struct{ json, param, says string }{
		{`{}`, "match", "is missing"},
		{`{"match":{}}`, "match", "component"},
		{`{"match":{"dest":"192.0.2.0/24"}}`, "match.dest", "no such field"},
		{`{"match":{"destinaton":"192.0.2.0/24"}}`, "match.destinaton", "did you mean destination?"},
		{`{"match":{"destination":"192.0.2.1/24"}}`, "", "192.0.2.0/24"},
		{`{"match":{"destination":17}}`, "match.destination", "a prefix"},
		{`{"match":{"protocol":"=upd"}}`, "match.protocol", "upd"},
		{`{"match":{"protocol":"=300"}}`, "match.protocol", "300"},
		{`{"match":{"destination":"192.0.2.0/24","destination_offset":4}}`, "", "offset"},
		{`{"match":{"destination":"192.0.2.0/24","source":"2001:db8::/32"}}`, "", "IPv"},
		{`{"match":{"destination":"192.0.2.0/24","flow_label":"=1"}}`, "", ""},
		{`{"match":{"destination":"2001:db8::/32","fragment":"=dont-fragment"}}`, "", "RFC 8956"},
		{`{"text":"destination"}`, "text", "destination"},
		{`{"text":17}`, "text", "wanted"},
		{`{"text":"destination 192.0.2.0/24","text":"x"}`, "text", "twice"},
		{`{"text":"destination 192.0.2.0/24 then explode"}`, "text", "explode"},
		{`{"text":"destination 192.0.2.0/24","match":{"destination":"192.0.2.0/25"}}`, "text", "another rule"},
		{`{"text":"destination 192.0.2.0/24","nlri":"050118cb0071"}`, "nlri", "another rule"},
		{`{"nlri":"050118cb0071"}`, "family", "is missing"},
		{`{"nlri":"050118cb0071","family":"ipv4-unicast"}`, "family", "no Flow Spec"},
		{`{"nlri":"060118cb0071","family":"ipv4-flowspec"}`, "nlri", ""},
		{`{"nlri":"020f00","family":"ipv4-flowspec"}`, "nlri", ""},
		{`{"family":"ipv6-flowspec","text":"destination 192.0.2.0/24"}`, "family", "ipv4-flowspec"},
		{`{"family":"ipv4-flowspec-vpn","text":"destination 192.0.2.0/24"}`, "rd", "is missing"},
		{`{"family":"ipv4-flowspec-vpn","match":{"destination":"192.0.2.0/24"}}`, "rd", "is missing"},
		{`{"family":"ipv4-flowspec","rd":"65001:1","match":{"destination":"192.0.2.0/24"}}`, "rd", "no route distinguishers"},
		{`{"rd":"65001:1","text":"rd 65001:2 destination 192.0.2.0/24"}`, "rd", "another"},
		{`{"prefix":"192.0.2.0/24","text":"destination 192.0.2.0/24"}`, "prefix", ""},
		{`{"text":"destination 192.0.2.0/24","actions":{"discard":true}}`, "actions.discard", "no such field"},
		{`{"text":"destination 192.0.2.0/24","actions":{"rate_limit_bytes":-1}}`, "actions.rate_limit_bytes", "under 0"},
		{`{"text":"destination 192.0.2.0/24","actions":{"rate_limit_bytes":1e39}}`, "actions.rate_limit_bytes", "is over"},
		{`{"text":"destination 192.0.2.0/24","actions":{"rate_limit_bytes":"0"}}`, "actions.rate_limit_bytes", "a number"},
		{`{"text":"destination 192.0.2.0/24","actions":{"mark_dscp":64}}`, "actions.mark_dscp", "63"},
		{`{"text":"destination 192.0.2.0/24","actions":{"sample":1}}`, "actions.sample", "true or false"},
		{`{"text":"destination 192.0.2.0/24","actions":{"redirect":{"type":"vrf","value":"x"}}}`, "actions.redirect.type", "neither rt nor ip"},
		{`{"text":"destination 192.0.2.0/24","actions":{"redirect":{"type":"rt","value":"x"}}}`, "actions.redirect.value", "65000:1"},
		{`{"text":"destination 192.0.2.0/24","actions":{"redirect":{"type":"rt","value":"65001:1","copy":true}}}`, "actions.redirect.copy", "ip"},
		{`{"text":"destination 192.0.2.0/24","actions":{"unknown":["8006"]}}`, "actions.unknown", "hex"},
		{`{"text":"destination 192.0.2.0/24","ext_communities":["0x800600007fc00000"]}`, "ext_communities", "RFC 8955"},
		{`{"text":"destination 192.0.2.0/24 then community 0x800600007fc00000"}`, "text", "not a finite number"},
		{`{"text":"destination 192.0.2.0/24","actions":{"unknown":["0x800c00007f800000"]}}`, "actions", "RFC 8955"},
		{`{"text":"destination 192.0.2.0/24","ttl":"0s"}`, "ttl", "over 0"},
		{`{"match":{"destination":"192.0.2.0/24"`, "body", "octet"},
		{`{"match":{"destination":"192.0.2.0/24"}} x`, "body", "follows"},
	} {
		in, p := readRule(t, c.json)
		if p == nil {
			t.Errorf("%s: read as %x", c.json, in.nlri)
			continue
		}
		if p.status != 400 || c.param != "" && p.param != c.param || !strings.Contains(p.detail, c.says) {
			t.Errorf("%s: %d %v", c.json, p.status, p)
		}
	}
}

func FuzzReadRule(f *testing.F) {
	for _, s := range []string{
		`{"match":{"destination":"203.0.113.0/24","protocol":"=udp","destination_port":"=53|>=1024&<=2048"},"actions":{"rate_limit_bytes":1250000}}`,
		`{"text":"rd 65001:1 destination 2001:db8::/32 offset 4 then redirect ip:192.0.2.1 copy","ttl":"5m","path_id":0}`,
		`{"family":"ipv6-flowspec","nlri":"0501180020010d","actions":{"unknown":["0x80ff010203040506"],"sample":true,"terminal":false}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := pathReader{rule: new(ruleReader)}
		r.begin(&call{s: &Server{}}, takesAnnounce&^inputs(inPeers), false) // whose names a server knows
		in, p := r.read(b)
		if p != nil {
			if p.status != 400 && p.status != 422 || p.detail == "" {
				t.Errorf("%q: %d %v", b, p.status, p)
			}
			return
		}
		// What is read is canonical, and its text says the same rule.
		rule, err := flowspec.Parse(in.family, in.nlri)
		if err != nil {
			t.Fatalf("%q: %x: %v", b, in.nlri, err)
		}
		a := flowspec.ActionsOf(in.attrs)
		again, p := readRule(t, string(append(appendString([]byte(`{"text":`), flowspec.Text(&rule, &a)), '}')))
		if p != nil || again.family != in.family || string(again.nlri) != string(in.nlri) {
			t.Errorf("%q is %x, its text %s: %x, %v", b, in.nlri, flowspec.Text(&rule, &a), again.nlri, p)
		}
	})
}
