package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/wire"
)

// flowPeers is what peers of these tests have besides.
const flowPeers = ", families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec, ipv6-flowspec, ipv4-flowspec-vpn, ipv6-flowspec-vpn], flowspec_validation: off"

// wide lets rules for wide prefixes be originated.
const wide = "guards: {min_length: {ipv4: 8, ipv6: 16}}\n"

var flowFamilies = []wire.Family{v4u, v6u, wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN}

// TestFlowSpecCapturesReadAsTheyAre plays the captures of data/pcap. What is
// expected was read out of their octets by hand.
func TestFlowSpecCapturesReadAsTheyAre(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.32.1, as: 65010"+flowPeers, "address: 127.21.32.2, as: 64512"+flowPeers)
	for _, x := range []struct {
		file, from string
		as         uint32
		want       []string
	}{
		{"BGP_flowspec_redirect.cap.s0a.bin", "127.21.32.1", 65010, []string{
			"destination 3001:4:b::10/128 source 3001:1:a::10/128 then redirect rt:6:302",
			"destination 3001:99:b::10/128 source 3001:99:a::10/128 then redirect rt:6:302"}},
		{"BGP_flowspec_redirect.cap.s0b.bin", "127.21.32.1", 65010, nil},
		{"BGP_flowspec_v4.cap.s0a.bin", "127.21.32.2", 64512, []string{
			"destination 192.168.0.1/32 source 10.0.0.9/32 protocol =udp|=tcp port =80|=8080 destination-port >8080&<8088|=3128 source-port >1024 then rate-limit 0"}},
	} {
		b, err := os.ReadFile(golden.Data(t, "pcap", "streams", x.file))
		if err != nil {
			t.Fatal(err)
		}
		p := again(t, to, playerOptions{from: ip(x.from), as: x.as, families: flowFamilies})
		for len(b) >= wire.HeaderLen {
			n := int(binary.BigEndian.Uint16(b[16:]))
			if wire.MessageType(b[18]) == wire.MsgUpdate {
				p.send(b[:n])
			}
			b = b[n:]
		}
		p.end()
		c.wantTexts(x.file, "?peer="+x.from, x.want...)
		if e := c.peer(x.from).Errors; e.TreatAsWithdraw+e.AttributeDiscard+e.FamilyDisabled != 0 {
			t.Errorf("%s: errors %+v", x.file, e)
		}
		p.close()
		eventually(t, "it is over", func() bool { return c.peer(x.from).State != "established" })
	}
}

// The order by hand, from RFC 8955 section 5.1: a lower component type first,
// of prefixes the more specific one if they overlap and else the lower one, of
// others the lower octets, and the longer ones where one begins the other.
func TestRulesAreListedInTheOrderOfRFC8955(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.33.1, as: 65001"+flowPeers, "address: 127.21.33.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.33.1"), as: 65001, families: flowFamilies})
	want := []string{
		"destination 192.0.2.0/24",
		"destination 203.0.113.7/32 protocol =udp",
		"destination 203.0.113.0/25",
		"destination 203.0.113.0/24 source 192.0.2.0/24",
		"destination 203.0.113.0/24 source 192.0.2.0/23",
		"destination 203.0.113.0/24 protocol =tcp|=udp",
		"destination 203.0.113.0/24 protocol =tcp",
		"destination 203.0.113.0/24 protocol =udp destination-port =53",
		"destination 203.0.113.0/24 protocol =udp",
		"destination 203.0.113.0/24 port =80",
		"destination 203.0.113.0/24",
		"destination 203.0.114.0/24",
		"destination 0.0.0.0/0",
		"source 192.0.2.0/24",
		"protocol =udp",
		"destination-port =53",
	}
	// Hex by hand, in another order than the list's.
	hex := []string{
		"05 0118c00002", "09 0120cb007107 038111", "06 0119cb007100", "0a 0118cb0071 0218c00002", "0a 0118cb0071 0217c00002", "0a 0118cb0071 03 0106 8111",
		"08 0118cb0071 038106", "0b 0118cb0071 038111 058135", "08 0118cb0071 038111", "08 0118cb0071 048150", "05 0118cb0071", "05 0118cb0072",
		"02 0100", "05 0218c00002", "03 038111", "03 058135",
	}
	for _, i := range []int{5, 0, 15, 9, 3, 11, 8, 1, 14, 12, 7, 2, 13, 4, 10, 6} {
		one.flow(wire.IPv4FlowSpec, hex[i], []uint32{65001}, nil, discard)
	}
	for i := range want {
		want[i] += " then rate-limit 0"
	}
	c.wantTexts("all", "", want...)
	for i, r := range c.rules("") {
		if r.Order != i+1 || strings.ReplaceAll(hex[i], " ", "") != r.NLRI {
			t.Errorf("place %d: order %d, octets %s, want %s", i+1, r.Order, r.NLRI, hex[i])
		}
	}
	// Pages go on where the last one ended.
	var paged []string
	cursor := ""
	for {
		var l struct {
			Rules []ruleRow
			Next  *string
		}
		c.get("/api/v1/flowspec?limit=3"+cursor, &l)
		for _, r := range l.Rules {
			paged = append(paged, r.Text)
		}
		if l.Next == nil {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(*l.Next)
	}
	if !slices.Equal(paged, want) {
		t.Errorf("in pages: %q", paged)
	}
	status, b := c.ask("GET", "/api/v1/flowspec?family=ipv4-flowspec", "", nil)
	if status != 200 || strings.Count(string(b), `"order":`) != len(want) {
		t.Errorf("of one family: %d %s", status, b)
	}
	// Filters: an overlapping destination, a source of routes.
	for query, n := range map[string]int{
		"?destination=203.0.113.0/24": 14, "?destination=203.0.114.9": 5, "?destination=10.0.0.0/8": 4, "?source=bgp": 16, "?source=local": 0,
		"?peer=127.21.33.1": 16, "?peer=127.21.33.2": 0, "?family=ipv6-flowspec": 0, "?valid=true": 16, "?valid=false": 0,
	} {
		if got := c.rules(query); len(got) != n {
			t.Errorf("%s: %d rules, want %d: %v", query, len(got), n, c.texts(query))
		}
	}
	r := c.rules("?destination=203.0.113.7/32")[0]
	var alone ruleRow
	c.get("/api/v1/flowspec/"+r.ID, &alone)
	if alone.Text != r.Text || alone.ID != r.ID || len(r.ID) != 16 {
		t.Errorf("by its id: %+v", alone)
	}
	if status, _ := c.ask("GET", "/api/v1/flowspec/0123456789abcdef", "", nil); status != 404 {
		t.Errorf("an id of nothing: %d", status)
	}
}

// actionCase is a rule's action in all its forms: what stands on the wire, what
// ribd shows, and what people write.
type actionCase struct {
	ext    []uint64
	attr25 string // IPv6 extended communities, 20 octets each
	hop    string // next hop, of the older form of redirect to IP
	shown  string // ruleActions in a line
	text   string // behind "then"
}

var actionCases = []actionCase{
	{ext: nil, shown: "", text: "accept"},
	{ext: []uint64{discard}, shown: "rate-bytes=0", text: "rate-limit 0"},
	{ext: []uint64{0x8006_0000_4998_9680}, shown: "rate-bytes=1.25e+06", text: "rate-limit 1250000"},
	{ext: []uint64{0x800c_0000_42c8_0000}, shown: "rate-packets=100"},
	{ext: []uint64{0x8007_0000_0000_0001}, shown: "go-on"},
	{ext: []uint64{0x8007_0000_0000_0002}, shown: "sample"},
	{ext: []uint64{0x8007_0000_0000_0003}, shown: "sample go-on"},
	{ext: []uint64{0x8008_fde8_0000_0064}, shown: "redirect=rt:65000:100", text: "redirect rt:65000:100"},
	{ext: []uint64{0x8108_c000_0201_0007}, shown: "redirect=rt:192.0.2.1:7", text: "redirect rt:192.0.2.1:7"},
	{ext: []uint64{0x8208_0001_0002_0003}, shown: "redirect=rt:65538L:3", text: "redirect rt:65538L:3"},
	{ext: []uint64{0x8009_0000_0000_002e}, shown: "mark=46", text: "mark 46"},
	{ext: []uint64{0x010c_c000_0209_0000}, shown: "redirect=ip:192.0.2.9"},
	{ext: []uint64{0x010c_c000_0209_0001}, shown: "redirect=ip:192.0.2.9 copy"},
	{ext: []uint64{0x0800_0000_0000_0000}, hop: "192.0.2.9", shown: "redirect=ip:192.0.2.9"},
	{ext: []uint64{0x0800_0000_0000_0001}, hop: "2001:db8::9", shown: "redirect=ip:2001:db8::9 copy"},
	{attr25: "000c 20010db8000000000000000000000009 0001", shown: "redirect=ip:2001:db8::9 copy"},
	{attr25: "000d 20010db8000000000000000000000009 0007", shown: "redirect=rt:[2001:db8::9]:7"},
	{ext: []uint64{0x80aa_0000_0000_0007}, shown: "unknown=0x80aa000000000007"},
	{ext: []uint64{0x0702_0000_04d2_400a, discard}, shown: "rate-bytes=0 unknown=0x0702000004d2400a"},
	{ext: []uint64{0x8006_0000_4998_9680, 0x8009_0000_0000_000a, 0x8007_0000_0000_0003}, shown: "rate-bytes=1.25e+06 mark=10 sample go-on"},
	// RFC 8955 7.1: negative rates are 0.
	{ext: []uint64{0x8006_0000_c2c8_0000}, shown: "rate-bytes=0"},
	{ext: []uint64{0x800c_0000_8000_0000}, shown: "rate-packets=0"},
}

func TestEveryActionIsReadShownAndPassedOn(t *testing.T) {
	t.Parallel()
	c, to := hub(t, wide, "address: 127.21.34.1, as: 65001"+flowPeers, "address: 127.21.34.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.34.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.34.2"), as: 65002, families: flowFamilies})
	for i, x := range actionCases {
		f, raw := wire.IPv4FlowSpec, fmt.Sprintf("090120cb0071%02x038111", i)
		if x.attr25 != "" {
			f, raw = wire.IPv6FlowSpec, fmt.Sprintf("0a01200020010d%02x038111", i)
		}
		key := f.String() + " " + raw
		attrs := flowAttrs([]uint32{65001}, x.ext...)
		if x.attr25 != "" || x.hop != "" {
			attrs = attributes([]uint32{65001}, optional(x.hop), func(e *wire.AttrEditor) {
				e.AddExtCommunities(x.ext)
				if x.attr25 != "" {
					e.Set(wire.AttrIPv6ExtCommunities, unhex(x.attr25))
				}
			})
		}
		one.tell(f, attrs, nlri{raw: unhex(raw)})
		two.expect("the rule", key)
		r := c.rule("?peer=127.21.34.1&family=" + f.String())
		if got := r.Actions.String(); got != x.shown {
			t.Errorf("%x %s: actions %q, want %q", x.ext, x.attr25, got, x.shown)
		}
		if _, then, _ := strings.Cut(r.Text, " then "); x.text != "" && then != x.text {
			t.Errorf("%x: text %q, want %q", x.ext, then, x.text)
		}
		v, _ := two.attr(key, wire.AttrExtCommunities)
		var want []byte
		for _, e := range x.ext {
			want = binary.BigEndian.AppendUint64(want, e)
		}
		if got := sortedChunks(v, 8); got != sortedChunks(want, 8) {
			t.Errorf("%x: passed on with %s", x.ext, got)
		}
		if v, _ := two.attr(key, wire.AttrIPv6ExtCommunities); fmt.Sprintf("%x", v) != strings.ReplaceAll(x.attr25, " ", "") {
			t.Errorf("%s: passed on with %x", x.attr25, v)
		}
		if got := two.text(key, wire.AttrNextHop); x.hop != "" && got != x.hop || x.hop == "" && got != "-" {
			t.Errorf("%x: next hop %s, came with %s", x.ext, got, x.hop)
		}

		// The text that is shown makes the same rule, octet for octet.
		post := c.post("/api/v1/flowspec", `{"text":`+quoted(r.Text)+`,"family":"`+f.String()+`","peers":["127.21.34.2"]}`)
		var mine ruleRow
		c.get("/api/v1/flowspec/"+post.ID, &mine)
		if mine.NLRI != raw || mine.Text != r.Text || mine.Actions.String() != r.Actions.String() || mine.Source != "local" {
			t.Errorf("from its text: %+v, want %+v", mine, r)
		}
		// And so do the JSON of match and actions.
		match, actions := mustJSON(r.Match), mustJSON(rawActions(t, c, r.ID))
		again := c.post("/api/v1/flowspec", `{"family":"`+f.String()+`","match":`+match+`,"actions":`+actions+`,"peers":["127.21.34.2"]}`)
		if again.ID != post.ID {
			t.Errorf("from match and actions %s %s: rule %s, from text %q: %s", match, actions, again.ID, r.Text, post.ID)
		}
		var from ruleRow
		c.get("/api/v1/flowspec/"+again.ID, &from)
		if from.Actions.String() != r.Actions.String() || !maps.Equal(from.components(), r.components()) {
			t.Errorf("from match and actions: %+v, want %+v", from, r)
		}
		c.change("DELETE", "/api/v1/flowspec/"+post.ID, "", nil)
		one.takeBack(f, nlri{raw: unhex(raw)})
		two.expect("it is gone")
		c.wantTexts("it is gone", "?family="+f.String())
		if t.Failed() {
			return
		}
	}
}

// rawActions are a rule's actions as the API writes them.
func rawActions(t *testing.T, c *client, id string) json.RawMessage {
	t.Helper()
	var r struct{ Actions json.RawMessage }
	c.get("/api/v1/flowspec/"+id, &r)
	return r.Actions
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func quoted(s string) string { return mustJSON(s) }

func sortedChunks(v []byte, n int) string {
	var l []string
	for ; len(v) >= n; v = v[n:] {
		l = append(l, fmt.Sprintf("%x", v[:n]))
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

// longRule is a rule whose NLRI has about so many octets behind its length.
func longRule(octets int) string {
	body := "0118cb0071 038111 06"
	n := 1 + 4 + 3 + 1
	for i := 0; n+3 < octets; i++ {
		last := 0
		if n+6 >= octets {
			last = 0x80
		}
		body += fmt.Sprintf("%02x%04x", 0x11|last, 1024+i)
		n += 3
	}
	b := unhex(body)
	if len(b) < 240 {
		return fmt.Sprintf("%02x%x", len(b), b)
	}
	return fmt.Sprintf("%04x%x", 0xf000|len(b), b)
}

func TestLongRulesGoBothWaysAndVeryLongOnesInExtendedMessages(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.35.1, as: 65001, extended_messages: true"+flowPeers, "address: 127.21.35.2, as: 65002, extended_messages: true"+flowPeers,
		"address: 127.21.35.3, as: 65003, extended_messages: false"+flowPeers)
	o := func(i int) playerOptions {
		return playerOptions{from: ip(fmt.Sprintf("127.21.35.%d", i)), as: uint32(65000 + i), extended: i < 3, families: flowFamilies}
	}
	one, two, three := play(t, to, o(1)), play(t, to, o(2)), play(t, to, o(3))
	var all, short []string
	for _, n := range []int{200, 236, 240, 241, 250, 1000, 3900, 4060, 4095} {
		raw := longRule(n)
		key := "ipv4-flowspec " + raw
		one.flow(wire.IPv4FlowSpec, raw, []uint32{65001}, nil, discard)
		all = append(all, key)
		if n < 4000 {
			short = append(short, key)
		}
		two.expect(fmt.Sprintf("%d octets", n), all...)
	}
	three.expect("what fits into 4,096 octets", short...)
	if a, b := two.longestMessage(), three.longestMessage(); a <= 4096 || b > 4096 {
		t.Errorf("longest messages %d, %d", a, b)
	}
	eventually(t, "all are shown", func() bool { return len(c.rules("?peer=127.21.35.1")) == len(all) })
	rows := c.rules("?peer=127.21.35.1")
	// Originated from their texts, they are the same octets; who can't be sent
	// one is told.
	one.close()
	for _, p := range []*player{two, three} {
		p.expect("gone")
		p.inStep()
	}
	for _, r := range rows {
		a := c.post("/api/v1/flowspec", `{"text":`+quoted(r.Text)+`}`)
		states := a.states()
		if states["127.21.35.2"] != "sent" {
			t.Errorf("%d octets: %v", len(r.NLRI)/2, states)
		}
		want := "sent"
		if len(r.NLRI)/2 > 4000 {
			want = "refused: too long"
		}
		if got := states["127.21.35.3"]; got != want && !(want != "sent" && strings.HasPrefix(got, "refused")) {
			t.Errorf("%d octets to a peer without extended messages: %s, want %s", len(r.NLRI)/2, got, want)
		}
	}
	two.expect("all from their texts", all...)
	three.expect("what fits", short...)
}

func TestRulesHavePathsOfTheirOwn(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.36.1, as: 65001, add_path: {receive: true}"+flowPeers, "address: 127.21.36.2, as: 65002, add_path: {send: all}"+flowPeers,
		"address: 127.21.36.3, as: 65003"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.36.1"), as: 65001, sendIDs: true, families: flowFamilies})
	all := play(t, to, playerOptions{from: ip("127.21.36.2"), as: 65002, takeIDs: true, families: flowFamilies})
	plain := play(t, to, playerOptions{from: ip("127.21.36.3"), as: 65003, families: flowFamilies})
	raw := unhex("090120cb007107038111")
	for i, path := range [][]uint32{{65001, 1, 2}, {65001}, {65001, 1}} {
		one.tell(wire.IPv4FlowSpec, flowAttrs(path, 0x8009_0000_0000_0000|uint64(i)), nlri{raw: raw, id: uint32(i)})
	}
	eventually(t, "all three", func() bool { return len(all.holds()) == 3 })
	eventually(t, "the best", func() bool { return plain.text(fmt.Sprintf("ipv4-flowspec %x", raw), wire.AttrASPath) == "64512 65001" })
	plain.expect("the best alone", fmt.Sprintf("ipv4-flowspec %x", raw))
	eventually(t, "three rules", func() bool { return len(c.rules("?peer=127.21.36.1")) == 3 })
	rows := c.rules("?peer=127.21.36.1")
	got, ids := map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		if r.PathID == nil {
			t.Fatalf("without an id: %+v", r)
		}
		got[fmt.Sprintf("%d %s %s %t %d", *r.PathID, r.ASPath, r.Actions, r.Best, r.Order)] = true
		ids[r.ID] = true
	}
	want := map[string]bool{"0 65001 1 2 mark=0 false 1": true, "1 65001 mark=1 true 1": true, "2 65001 1 mark=2 false 1": true}
	if !maps.Equal(got, want) || len(ids) != 3 {
		t.Errorf("shown: %v (ids %v), want %v", got, ids, want)
	}
	one.takeBack(wire.IPv4FlowSpec, nlri{raw: raw, id: 1})
	eventually(t, "the next best", func() bool {
		return plain.text(fmt.Sprintf("ipv4-flowspec %x", raw), wire.AttrASPath) == "64512 65001 1" && len(all.holds()) == 2
	})
	// The local one has a path id of its own, too.
	a := c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 protocol =udp then mark 63","path_id":7}`)
	b := c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 protocol =udp then mark 62"}`)
	if a.ID == b.ID {
		t.Errorf("one id for two paths: %s", a.ID)
	}
	eventually(t, "four paths", func() bool { return len(all.holds()) == 4 })
	c.change("DELETE", "/api/v1/flowspec/"+a.ID, "", nil)
	eventually(t, "three paths", func() bool { return len(all.holds()) == 3 })
	if l := c.rules("?source=local"); len(l) != 1 || l[0].ID != b.ID || l[0].PathID != nil {
		t.Errorf("local: %+v", l)
	}
}

func TestRulesOfVPNsAreOfTheirDistinguisher(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.37.1, as: 65001"+flowPeers, "address: 127.21.37.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.37.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.37.2"), as: 65002, families: flowFamilies})
	one.flow(wire.IPv4FlowSpecVPN, "0d 0000fde900000001 0118cb0071", []uint32{65001}, nil, discard, 0x0002fde900000001)
	one.flow(wire.IPv4FlowSpecVPN, "0d 0000fde900000002 0118cb0071", []uint32{65001}, nil, redirect, 0x0002fde900000002)
	one.flow(wire.IPv6FlowSpecVPN, "0f 0000fde900000001 01200020010db8", []uint32{65001}, nil, discard)
	one.flow(wire.IPv4FlowSpec, "05 0118cb0071", []uint32{65001}, nil, 0x8009_0000_0000_0001)
	two.expect("all", "ipv4-flowspec 050118cb0071", "ipv4-flowspec-vpn 0d0000fde9000000010118cb0071", "ipv4-flowspec-vpn 0d0000fde9000000020118cb0071",
		"ipv6-flowspec-vpn 0f0000fde90000000101200020010db8")
	c.wantTexts("one VPN", "?family=ipv4-flowspec-vpn&rd=65001:1", "rd 65001:1 destination 203.0.113.0/24 then rate-limit 0")
	r := c.rule("?family=ipv4-flowspec-vpn&rd=65001:2")
	if r.RD == nil || *r.RD != "65001:2" || r.Actions.String() != "redirect=rt:65000:100" {
		t.Errorf("shown: %+v", r)
	}
	for rd, want := range map[string]string{"&rd=65001:1": "rate-bytes=0", "&rd=65001:2": "redirect=rt:65000:100", "": "mark=1"} {
		m := c.match(strings.Replace(rd, "&", "?", 1), `{"dst":"203.0.113.9","src":"192.0.2.1","protocol":17}`)
		if m.Action == nil || m.Action.String() != want {
			t.Errorf("match%s: %+v, want %s", rd, m, want)
		}
	}
	a := c.post("/api/v1/flowspec", `{"text":"rd 65001:3 destination 203.0.113.0/24 then rate-limit 0","family":"ipv4-flowspec-vpn"}`)
	eventually(t, "the local one", func() bool { return slices.Contains(two.holds(), "ipv4-flowspec-vpn 0d0000fde9000000030118cb0071") })
	b := c.post("/api/v1/flowspec", `{"family":"ipv4-flowspec-vpn","rd":"65001:3","match":{"destination":"203.0.113.0/24"},"actions":{"rate_limit_bytes":0}}`)
	if a.ID != b.ID {
		t.Errorf("text and JSON: %s, %s", a.ID, b.ID)
	}
}

func TestAdjOutShowsTheRulesThatAreSent(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "policies:\n  few: [{if: 'family == \"ipv4-flowspec\" && \"64512:1\" in communities', then: accept}]\n",
		"address: 127.21.38.1, as: 65001"+flowPeers, "address: 127.21.38.2, as: 65002, export: few"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.38.1"), as: 65001, families: flowFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.38.2"), as: 65002, families: flowFamilies})
	one.flow(wire.IPv4FlowSpec, "05 0118cb0071", []uint32{65001}, func(e *wire.AttrEditor) { e.AddCommunities([]uint32{64512<<16 | 1}) }, discard)
	one.flow(wire.IPv4FlowSpec, "05 0118cb0072", []uint32{65001}, nil, discard)
	two.expect("what the policy names", "ipv4-flowspec 050118cb0071")
	var rows []string
	for _, r := range c.routes("?table=adj-out&family=ipv4-flowspec&peer=127.21.38.2").Routes {
		rows = append(rows, *r.NLRI+" "+r.ASPath)
		if r.NLRIText == nil || !strings.HasPrefix(*r.NLRIText, "destination 203.0.113.0/24") {
			t.Errorf("its text: %+v", r)
		}
	}
	if !slices.Equal(rows, []string{"050118cb0071 64512 65001"}) {
		t.Errorf("adj-out: %v", rows)
	}
	if n := family1(c, "127.21.38.2", "ipv4-flowspec").Advertised; n != 1 {
		t.Errorf("advertised %d", n)
	}
}
