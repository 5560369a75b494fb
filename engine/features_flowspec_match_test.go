package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/wire"
)

// matched is an answer to a packet.
type matched struct {
	Rules     []string     `json:"rules"`
	Action    *ruleActions `json:"action"`
	DecidedBy *string      `json:"decided_by"`
	Shadowed  []string     `json:"shadowed"`
	Error     any          `json:"error"`
}

// match asks which rules match one packet.
func (c *client) match(query, packet string) (m matched) {
	c.t.Helper()
	c.change("POST", "/api/v1/flowspec/match"+query, packet, &m)
	return m
}

// optional is an address, the zero one of "".
func optional(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return ip(s)
}

func family1(c *client, peer, name string) (f apiv1.PeerFamily) {
	for _, f := range c.peer(peer).Families {
		if f.Family == name {
			return f
		}
	}
	return f
}

// TestPacketsAreMatchedAsRFC8955Says asks for packets that others get wrong.
// Each rule is alone in the table; the answers are by hand.
func TestPacketsAreMatchedAsRFC8955Says(t *testing.T) {
	t.Parallel()
	c, _ := hub(t, wide)
	for _, x := range []struct {
		rule, packet string
		want         bool
	}{
		{"destination 203.0.113.0/24", `{"dst":"203.0.113.9"}`, true},
		{"destination 203.0.113.0/24", `{"dst":"203.0.114.9"}`, false},
		{"destination 203.0.113.0/24 source 192.0.2.0/25", `{"dst":"203.0.113.9","src":"192.0.2.127"}`, true},
		{"destination 203.0.113.0/24 source 192.0.2.0/25", `{"dst":"203.0.113.9","src":"192.0.2.128"}`, false},
		{"destination 203.0.113.0/24 source 192.0.2.0/25", `{"dst":"203.0.113.9"}`, false},
		{"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048", `{"dst":"203.0.113.9","protocol":17,"dst_port":53}`, true},
		{"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048", `{"dst":"203.0.113.9","protocol":17,"dst_port":2048}`, true},
		{"destination 203.0.113.0/24 protocol =udp destination-port =53|>=1024&<=2048", `{"dst":"203.0.113.9","protocol":17,"dst_port":2049}`, false},
		{"destination 203.0.113.0/24 port =80", `{"dst":"203.0.113.9","protocol":6,"src_port":80,"dst_port":1}`, true},
		{"destination 203.0.113.0/24 port =80", `{"dst":"203.0.113.9","protocol":6,"src_port":1,"dst_port":80}`, true},
		// Ports are TCP's and UDP's, and are not in a fragment that isn't the first.
		{"destination 203.0.113.0/24 port =80", `{"dst":"203.0.113.9","protocol":47,"src_port":80,"dst_port":80}`, false},
		{"destination 203.0.113.0/24 destination-port !=80", `{"dst":"203.0.113.9","protocol":17,"dst_port":81,"fragment":"is-fragment"}`, false},
		{"destination 203.0.113.0/24 destination-port !=80", `{"dst":"203.0.113.9","protocol":17,"dst_port":81,"fragment":"first-fragment"}`, true},
		{"destination 203.0.113.0/24 destination-port !=80", `{"dst":"203.0.113.9","protocol":17}`, false},
		{"destination 203.0.113.0/24 source-port true:0", `{"dst":"203.0.113.9","protocol":17,"src_port":1}`, true},
		{"destination 203.0.113.0/24 source-port false:0", `{"dst":"203.0.113.9","protocol":17,"src_port":1}`, false},
		// =syn is "all of these bits are set": SYN+ACK has them too.
		{"destination 203.0.113.0/24 tcp-flags =syn", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"syn+ack"}`, true},
		{"destination 203.0.113.0/24 tcp-flags =syn&!ack", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"syn+ack"}`, false},
		{"destination 203.0.113.0/24 tcp-flags =syn&!ack", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"syn"}`, true},
		{"destination 203.0.113.0/24 tcp-flags =syn+ack", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"syn"}`, false},
		{"destination 203.0.113.0/24 tcp-flags syn+ack", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"ack"}`, true},
		{"destination 203.0.113.0/24 tcp-flags !=syn+ack", `{"dst":"203.0.113.9","protocol":6,"tcp_flags":"syn"}`, true},
		{"destination 203.0.113.0/24 tcp-flags =syn", `{"dst":"203.0.113.9","protocol":17,"tcp_flags":"syn"}`, false},
		{"destination 203.0.113.0/24 fragment =is-fragment", `{"dst":"203.0.113.9","fragment":"is-fragment"}`, true},
		{"destination 203.0.113.0/24 fragment !is-fragment", `{"dst":"203.0.113.9"}`, true},
		{"destination 203.0.113.0/24 icmp-type =8 icmp-code =0", `{"dst":"203.0.113.9","protocol":1,"icmp_type":8,"icmp_code":0}`, true},
		{"destination 203.0.113.0/24 icmp-type =8", `{"dst":"203.0.113.9","protocol":17,"icmp_type":8}`, false},
		{"destination 203.0.113.0/24 packet-length >=100&<=200|>1400", `{"dst":"203.0.113.9","length":1500}`, true},
		{"destination 203.0.113.0/24 packet-length >=100&<=200|>1400", `{"dst":"203.0.113.9","length":201}`, false},
		{"destination 203.0.113.0/24 dscp =46", `{"dst":"203.0.113.9","dscp":46}`, true},
		{"destination 203.0.113.0/24 protocol =tcp|=udp", `{"dst":"203.0.113.9","protocol":"udp"}`, true},
		{"destination 2001:db8::/32 flow-label =881030", `{"dst":"2001:db8::1","flow_label":881030}`, true},
		{"destination 2001:db8::/32 flow-label =881030", `{"dst":"2001:db8::1","flow_label":881031}`, false},
		{"destination 0:0:1234::/64 offset 32", `{"dst":"2001:db8:1234::1"}`, true},
		{"destination 0:0:1234::/64 offset 32", `{"dst":"2001:db8:1235::1"}`, false},
		{"destination 0:0:1234::/64 offset 32", `{"dst":"fd00:1:1234:0:ffff::1"}`, true},
		{"destination 2001:db8::/32 protocol =udp", `{"dst":"203.0.113.9","protocol":17}`, false},
	} {
		a := c.post("/api/v1/flowspec", `{"text":`+quoted(x.rule+" then rate-limit 0")+`}`)
		m := c.match("", x.packet)
		if got := len(m.Rules) == 1 && m.Rules[0] == a.ID; got != x.want {
			t.Errorf("%s, packet %s: %+v, want %t", x.rule, x.packet, m, x.want)
		}
		if x.want && (m.Action == nil || m.Action.String() != "rate-bytes=0" || m.DecidedBy == nil || *m.DecidedBy != a.ID || len(m.Shadowed) != 0) {
			t.Errorf("%s, packet %s: %+v", x.rule, x.packet, m)
		}
		if !x.want && m.DecidedBy != nil {
			t.Errorf("%s, packet %s: decided by %s", x.rule, x.packet, *m.DecidedBy)
		}
		c.change("DELETE", "/api/v1/flowspec/"+a.ID, "", nil)
	}
}

func TestRulesCombineUntilATerminalOneAndTheRestAreShadowed(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.40.1, as: 65001"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.40.1"), as: 65001, families: flowFamilies})
	// In the order of section 5.1; T set says to go on.
	one.flow(wire.IPv4FlowSpec, "090120cb007107038111", []uint32{65001}, nil, 0x8009_0000_0000_000a, 0x8007_0000_0000_0003)
	one.flow(wire.IPv4FlowSpec, "060119cb007100", []uint32{65001}, nil, 0x8009_0000_0000_0014, 0x8007_0000_0000_0001, redirect)
	one.flow(wire.IPv4FlowSpec, "050118cb0071", []uint32{65001}, nil, 0x8006_0000_4998_9680)
	one.flow(wire.IPv4FlowSpec, "050116cb0070", []uint32{65001}, nil, discard)
	one.flow(wire.IPv4FlowSpec, "03038111", []uint32{65001}, nil, discard)
	var ids []string
	eventually(t, "five rules", func() bool {
		ids = ids[:0]
		for _, r := range c.rules("") {
			ids = append(ids, r.ID)
		}
		return len(ids) == 5
	})
	m := c.match("", `{"src":"192.0.2.1","dst":"203.0.113.7","protocol":"udp","src_port":53,"dst_port":4444,"length":1400}`)
	if fmt.Sprint(m.Rules) != fmt.Sprint(ids) || fmt.Sprint(m.Shadowed) != fmt.Sprint(ids[3:]) {
		t.Errorf("rules %v, shadowed %v, want %v", m.Rules, m.Shadowed, ids)
	}
	if m.DecidedBy == nil || *m.DecidedBy != ids[2] {
		t.Errorf("decided by %v, want %s", m.DecidedBy, ids[2])
	}
	// The first rule that says so marks, and of the others each adds its own.
	if m.Action == nil || m.Action.String() != "rate-bytes=1.25e+06 redirect=rt:65000:100 mark=10 sample" {
		t.Errorf("action %v", m.Action)
	}
	// Batches: one answer a line, in order, a bad line in its place.
	status, b := c.ask("POST", "/api/v1/flowspec/match", "application/x-ndjson", strings.NewReader(
		`{"dst":"203.0.113.200","protocol":6}`+"\n"+`{"dst":"nowhere"}`+"\n"+`{"dst":"8.8.8.8","protocol":6}`+"\n"+`{"dst":"8.8.8.8","protocol":17}`+"\n"))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if status != 200 || len(lines) != 4 {
		t.Fatalf("batch: %d %s", status, b)
	}
	var got []string
	for _, l := range lines {
		var m matched
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprint(len(m.Rules), " ", m.Error != nil)
		if m.Action != nil {
			s += " " + m.Action.String()
		}
		got = append(got, s)
	}
	if fmt.Sprint(got) != "[2 false rate-bytes=1.25e+06 0 true 0 false 1 false rate-bytes=0]" {
		t.Errorf("batch: %q", got)
	}
	// A rule that can't ever match says which ones are before it.
	rows := c.rules("")
	for i, r := range rows {
		if r.Order != i+1 {
			t.Errorf("order %d at %d", r.Order, i)
		}
	}
	one.flow(wire.IPv4FlowSpec, "0a0117cb00700218c00002", []uint32{65001}, nil, discard)
	one.flow(wire.IPv4FlowSpec, "080116cb0070038106", []uint32{65001}, nil, redirect)
	eventually(t, "a rule behind another", func() bool { return len(c.rules("")) == 7 })
}
