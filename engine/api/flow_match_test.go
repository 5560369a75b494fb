package api

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/wire"
	"ribd/wire/flowspec"
)

func (b *flowTable) match(packet string, query ...string) (v apiv1.FlowVerdict) {
	b.t.Helper()
	code, body, _ := b.s.do("POST", "/api/v1/flowspec/match"+strings.Join(query, ""), packet, "Content-Type", "application/json")
	if code != 200 {
		b.t.Fatalf("%s: %d %s", packet, code, body)
	}
	strict(b.t, packet, body, &v)
	return v
}

func TestAPacketIsToldWhichRulesItMatches(t *testing.T) {
	b := smallRules(t)
	id := map[string]string{}
	for _, r := range b.list(t, "") {
		id[r.Text] = r.ID
	}
	for _, c := range []struct {
		packet, query   string
		rules, shadowed []int // of usualRules
		action          string
	}{
		{`{"dst":"192.0.2.1"}`, "", nil, nil, "null"},
		{`{"dst":"203.0.113.200","protocol":"udp","dst_port":53}`, "", []int{3, 4}, []int{4}, "mark 10"},
		{`{"dst":"203.0.113.200","protocol":"udp","dst_port":54}`, "", []int{4}, nil, "rate-limit 0"},
		{`{"dst":"203.0.113.200","protocol":"udp"}`, "", []int{4}, nil, "rate-limit 0"},
		{`{"dst":"203.0.113.200","protocol":"udp","dst_port":53,"fragment":"is-fragment"}`, "", []int{4}, nil, "rate-limit 0"},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":"syn"}`, "", []int{0, 2}, nil, "sample redirect ip:192.0.2.99 copy"},
		{`{"dst":"203.0.113.7","protocol":"tcp","tcp_flags":"syn+ack"}`, "", []int{2}, nil, "redirect ip:192.0.2.99 copy"},
		{`{"dst":"203.0.113.7","protocol":"icmp"}`, "", []int{2, 6}, []int{6}, "redirect ip:192.0.2.99 copy"},
		{`{"dst":"10.0.0.1","src":"198.51.100.1","protocol":"icmp"}`, "", []int{6}, nil, "rate-limit 1250000"}, // the one of the source is not feasible
		{`{"dst":"198.51.100.1"}`, "", nil, nil, "null"},                                                       // policy refused it
		{`{"dst":"203.0.113.7"}`, "?rd=65001:1", []int{7}, nil, "rate-limit 0"},
		{`{"dst":"203.0.113.7"}`, "?rd=65001:2", nil, nil, "null"},
		{`{"dst":"2001:db8::1","flow_label":5}`, "", []int{8}, nil, "rate-limit 0"},
		{`{"dst":"2001:db8::1"}`, "", nil, nil, "null"},
	} {
		v := b.match(c.packet, c.query)
		ids := func(list []int) []string {
			out := []string{}
			for _, i := range list {
				out = append(out, id[usualRules[i]])
			}
			return out
		}
		if want := ids(c.rules); !slices.Equal(v.Rules, want) || !slices.Equal(v.Shadowed, ids(c.shadowed)) {
			t.Errorf("%s: rules %v, shadowed %v, want %v, %v", c.packet, v.Rules, v.Shadowed, want, ids(c.shadowed))
			continue
		}
		if (v.DecidedBy != nil) != (len(c.rules) > 0) || v.DecidedBy != nil && *v.DecidedBy != v.Rules[len(v.Rules)-len(v.Shadowed)-1] {
			t.Errorf("%s: decided by %s", c.packet, asJSON(t, v.DecidedBy))
		}
		if got := actionText(t, v.Action); got != c.action {
			t.Errorf("%s: %s, want %s", c.packet, got, c.action)
		}
	}
}

// actionText is the text of actions as an answer gives them.
func actionText(t testing.TB, a *apiv1.FlowActions) string {
	t.Helper()
	if a == nil {
		return "null"
	}
	in, p := readRule(t, `{"match":{"destination":"192.0.2.0/24"},"actions":`+asJSON(t, a)+`}`)
	if p != nil {
		t.Fatal(p)
	}
	got := flowspec.ActionsOf(in.attrs)
	return got.String()
}

// randomRules are rules in which random packets are often hit.
func randomRules(b *flowTable, rnd *rand.Rand, n int) {
	peers := []rib.PeerNum{b.live("192.0.2.1", 65001), b.live("192.0.2.2", 65002)}
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	for range n {
		var text []string
		add := func(s string) { text = append(text, s) }
		if rnd.IntN(8) > 0 {
			add(fmt.Sprintf("destination %s", netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.Uint32())}), 24+rnd.IntN(9)).Masked()))
		}
		if rnd.IntN(3) == 0 {
			add(fmt.Sprintf("source %s", netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(rnd.IntN(4)), byte(rnd.Uint32())}), 16+rnd.IntN(17)).Masked()))
		}
		switch rnd.IntN(4) {
		case 0:
			add("protocol =udp")
			add(pick("destination-port", "source-port", "port") + fmt.Sprintf(" =%d|>=%d&<=%d", rnd.IntN(64), rnd.IntN(64), rnd.IntN(64)))
		case 1:
			add("protocol =tcp")
			add("tcp-flags " + pick("=syn", "=syn&!ack", "rst", "!fin"))
		case 2:
			add("fragment " + pick("is-fragment", "!is-fragment", "first-fragment|last-fragment"))
		}
		if rnd.IntN(4) == 0 {
			add(fmt.Sprintf("packet-length >=%d", rnd.IntN(1500)))
		}
		if len(text) == 0 {
			add("dscp =5")
		}
		then := []string{pick("discard", "rate-limit 1000", "rate-limit-packets 5", "redirect rt:65001:1", "redirect ip:192.0.2.9", "mark 10", "accept")}
		if then[0] != "accept" && rnd.IntN(2) == 0 {
			then = append(then, "sample")
		}
		if then[0] != "accept" && rnd.IntN(2) == 0 {
			then = append(then, "continue")
		}
		b.rule(strings.Join(text, " ")+" then "+strings.Join(then, " "), peers[rnd.IntN(2)], attrSpec{path: "65001", med: -1}, func(p *rib.Path) {
			if rnd.IntN(10) == 0 {
				p.Filtered = rib.FilterNoUnicast
			}
		})
	}
	b.settle()
}

// randomHit is a packet that rules are likely to match.
func randomHit(rnd *rand.Rand) (p flowspec.Packet, text string) {
	p = flowspec.Packet{
		Src: netip.AddrFrom4([4]byte{198, 51, byte(rnd.IntN(4)), byte(rnd.Uint32())}), Dst: netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.Uint32())}),
		Protocol: []uint8{1, 6, 17}[rnd.IntN(3)], SrcPort: uint16(rnd.IntN(64)), DstPort: uint16(rnd.IntN(64)), TCPFlags: uint16(rnd.IntN(32)),
		Length: uint32(rnd.IntN(1600)), DSCP: uint8(rnd.IntN(8)), Fragment: []flowspec.FragmentBits{0, 0, 2, 4, 10}[rnd.IntN(5)],
		Has: flowspec.HasProtocol | flowspec.HasSrcPort | flowspec.HasDstPort | flowspec.HasTCPFlags | flowspec.HasLength | flowspec.HasDSCP | flowspec.HasFragment,
	}
	return p, fmt.Sprintf(`{"src":"%s","dst":"%s","protocol":%d,"src_port":%d,"dst_port":%d,"tcp_flags":%d,"length":%d,"dscp":%d,"fragment":%d}`,
		p.Src, p.Dst, p.Protocol, p.SrcPort, p.DstPort, p.TCPFlags, p.Length, p.DSCP, p.Fragment)
}

// packPacket writes what unpackPacket reads.
func packPacket(dst []byte, p *flowspec.Packet) []byte {
	a, c := p.Src.As16(), p.Dst.As16()
	dst = append(append(dst, a[:]...), c[:]...)
	for _, v := range []uint16{p.SrcPort, p.DstPort, uint16(p.Length), p.TCPFlags} {
		dst = binary.LittleEndian.AppendUint16(dst, v)
	}
	dst = append(dst, p.Protocol, p.DSCP, p.ICMPType, p.ICMPCode)
	known := uint32(0)
	for i, f := range []flowspec.Fields{flowspec.HasSrcPort, flowspec.HasICMPType, flowspec.HasTCPFlags, flowspec.HasLength, flowspec.HasDSCP, flowspec.HasFragment, flowspec.HasFlowLabel, flowspec.HasProtocol} {
		if p.Has&f != 0 {
			known |= 1 << i
		}
	}
	return binary.LittleEndian.AppendUint32(dst, p.FlowLabel|uint32(p.Fragment)<<20|known<<24)
}

// naiveVerdict walks all rules of a list, component by component.
func naiveVerdict(t testing.TB, list []apiv1.FlowRule, p *flowspec.Packet) (v apiv1.FlowVerdict, sum flowspec.Actions) {
	t.Helper()
	v.Rules, v.Shadowed = []string{}, []string{}
	ended := false
	for i := range list {
		r := &list[i]
		if !r.Best || r.Filtered {
			continue
		}
		rule, actions, err := flowspec.ParseText(r.Text)
		if err != nil {
			t.Fatal(err)
		}
		if !rule.Match(p) {
			continue
		}
		v.Rules = append(v.Rules, r.ID)
		switch {
		case ended:
			v.Shadowed = append(v.Shadowed, r.ID)
			continue
		case v.DecidedBy == nil:
			sum = actions
		default:
			sum.Merge(&actions)
		}
		v.DecidedBy = &r.ID
		ended = r.Actions.Terminal
	}
	return v, sum
}

func TestPacketsInAllFormsGetWhatANaiveWalkSays(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := newFlowTable(t)
	randomRules(b, rnd, 300)
	list := b.list(t, "?limit=100000")
	var texts []string
	var packed []byte
	var want []apiv1.FlowVerdict
	var sums []flowspec.Actions
	for range 500 {
		p, text := randomHit(rnd)
		texts = append(texts, text)
		packed = packPacket(packed, &p)
		v, sum := naiveVerdict(t, list, &p)
		want, sums = append(want, v), append(sums, sum)
	}
	_, body, _ := b.s.do("POST", "/api/v1/flowspec/match", strings.Join(texts, "\n"), "Content-Type", typeNDJSON)
	got := lines[apiv1.FlowVerdict](t, body)
	_, records, _ := b.s.do("POST", "/api/v1/flowspec/match", string(packed), "Content-Type", typeOctets)
	if len(got) != len(want) || len(records) != verdictSize*len(want) {
		t.Fatalf("%d answers, %d octets to %d packets", len(got), len(records), len(want))
	}
	hits := 0
	for i := range want {
		w, v, a := want[i], got[i], sums[i]
		if !slices.Equal(v.Rules, w.Rules) || !slices.Equal(v.Shadowed, w.Shadowed) || asJSON(t, v.DecidedBy) != asJSON(t, w.DecidedBy) {
			t.Fatalf("%s:\n got %s\nwant %s", texts[i], asJSON(t, v), asJSON(t, w))
		}
		if one := b.match(texts[i]); asJSON(t, one) != asJSON(t, v) {
			t.Fatalf("%s: alone %s, in a batch %s", texts[i], asJSON(t, one), asJSON(t, v))
		}
		r := []byte(records)[i*verdictSize:][:verdictSize]
		if len(w.Rules) == 0 {
			if v.Action != nil || strings.Trim(string(r), "\x00") != "" {
				t.Fatalf("%s: nothing matches, and the answer is %s, %x", texts[i], asJSON(t, v), r)
			}
			continue
		}
		hits++
		a.HasTrafficAction = false // JSON tells of its bits alone
		if got, want := actionText(t, v.Action), a.String(); got != want {
			t.Fatalf("%s: %s, want %s", texts[i], got, want)
		}
		checkVerdict(t, r, &w, &a)
	}
	if hits < 100 {
		t.Errorf("%d packets of %d hit a rule", hits, len(want))
	}
}

// checkVerdict compares a packed answer with the naive one.
func checkVerdict(t *testing.T, r []byte, w *apiv1.FlowVerdict, a *flowspec.Actions) {
	t.Helper()
	flags := r[20]
	rate := func(p *float32, at int, bit byte) {
		if (p != nil) != (flags&bit != 0) || p != nil && math.Float32frombits(binary.LittleEndian.Uint32(r[at:])) != *p {
			t.Fatalf("rate in %x, want %v", r, p)
		}
	}
	rate(a.RateBytes, 8, packedRateBytes)
	rate(a.RatePackets, 12, packedRatePackets)
	for bit, want := range map[byte]bool{
		packedRedirect: a.Redirect != nil, packedMark: a.MarkDSCP != nil, packedSample: a.Sample, packedTerminal: a.Terminal(), packedDiscard: a.Discards(), packedUnknown: len(a.Unknown) > 0,
	} {
		if flags&bit != 0 != want {
			t.Fatalf("flags %08b: bit %08b, want %v", flags, bit, want)
		}
	}
	if id := fmt.Sprintf("%016x", binary.LittleEndian.Uint64(r)); id != *w.DecidedBy {
		t.Fatalf("decided by %s, want %s", id, *w.DecidedBy)
	}
	if n, s := binary.LittleEndian.Uint16(r[16:]), binary.LittleEndian.Uint16(r[18:]); int(n) != len(w.Rules) || int(s) != len(w.Shadowed) {
		t.Fatalf("%d rules, %d shadowed, want %d, %d", n, s, len(w.Rules), len(w.Shadowed))
	}
	if a.MarkDSCP != nil && r[21] != *a.MarkDSCP {
		t.Fatalf("mark %d, want %d", r[21], *a.MarkDSCP)
	}
}

func TestPackedPacketsHoldEveryField(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		want := flowspec.Packet{
			SrcPort: uint16(rnd.Uint32()), DstPort: uint16(rnd.Uint32()), Length: uint32(uint16(rnd.Uint32())), TCPFlags: uint16(rnd.IntN(4096)),
			Protocol: uint8(rnd.Uint32()), DSCP: uint8(rnd.IntN(64)), ICMPType: uint8(rnd.Uint32()), ICMPCode: uint8(rnd.Uint32()),
			Fragment: flowspec.FragmentBits(rnd.IntN(16)), FlowLabel: rnd.Uint32N(1 << 20), Has: flowspec.HasAll,
		}
		a := func() netip.Addr {
			if rnd.IntN(2) == 0 {
				return netip.AddrFrom4([4]byte{byte(rnd.Uint32()), 2, 3, 4})
			}
			return netip.AddrFrom16([16]byte{0x20, 1, byte(rnd.Uint32())})
		}
		want.Src, want.Dst = a(), a()
		var got flowspec.Packet
		if unpackPacket(packPacket(nil, &want), &got); got != want {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	}
	var p flowspec.Packet
	if unpackPacket(make([]byte, packetSize), &p); p.Has != 0 || p.Src != netip.IPv6Unspecified() {
		t.Errorf("zeros: %+v", p)
	}
}

func TestWrongPacketsAndBodies(t *testing.T) {
	b := smallRules(t)
	for _, c := range []struct {
		body, content, uri string
		code               int
	}{
		{`{"dst":"x"}`, "application/json", "", 400},
		{``, "application/json", "", 400},
		{`{"dst":"192.0.2.1"}`, "text/plain", "", 415},
		{`{"dst":"192.0.2.1"}`, "application/json", "?rd=x", 400},
		{`{"dst":"192.0.2.1"}`, "application/json", "?family=ipv4-flowspec", 400},
		{strings.Repeat("x", packetSize+1), typeOctets, "", 400},
		{``, typeOctets, "", 200},
		{``, typeNDJSON, "", 200},
		{strings.Repeat("\xff", packetSize), typeOctets, "", 200},
	} {
		if code, body, _ := b.s.do("POST", "/api/v1/flowspec/match"+c.uri, c.body, "Content-Type", c.content); code != c.code {
			t.Errorf("%q as %s: %d %s", c.body, c.content, code, body)
		}
	}
	_, body, _ := b.s.do("POST", "/api/v1/flowspec/match", "{\"dst\":\"203.0.113.200\"}\n\nx\n{\"dst\":\"203.0.113.200\",\"protocol\":17}\n{\"dst\":\"192.0.2.1\",\"port\":1}", "Content-Type", typeNDJSON)
	got := strings.Split(strings.TrimSpace(body), "\n")
	if len(got) != 4 {
		t.Fatalf("got %s", body)
	}
	var v apiv1.FlowVerdict
	if strict(t, "line", got[2], &v); len(v.Rules) != 1 {
		t.Errorf("got %s", body)
	}
	for i, line := range map[int]int{1: 3, 3: 5} {
		var e apiv1.LineError
		if strict(t, "line", got[i], &e); e.Line != line || e.Status != 400 || i == 3 && !strings.Contains(e.Error, "dst_port") {
			t.Errorf("answer %d: %s", i, got[i])
		}
	}
	// A packet of two families matches nothing.
	p, _ := randomHit(rand.New(rand.NewPCG(1, 1)))
	p.Src = netip.MustParseAddr("2001:db8::1")
	if _, body, _ := b.s.do("POST", "/api/v1/flowspec/match", string(packPacket(nil, &p)), "Content-Type", typeOctets); strings.Trim(body, "\x00") != "" {
		t.Errorf("of two families: %x", body)
	}
}

func TestPacketsAreAnsweredWhileTheyAreRead(t *testing.T) {
	b := smallRules(t)
	s := b.table.serve(func(o *Options) { o.Flow = b.flow })
	for _, c := range []struct {
		content string
		send    string
		answer  int
	}{{typeNDJSON, `{"dst":"203.0.113.200","protocol":17}` + "\n", 0}, {typeOctets, strings.Repeat("\x00", packetSize), verdictSize}} {
		pr, pw := io.Pipe()
		req, err := http.NewRequest("POST", s.url+"/api/v1/flowspec/match", pr)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.content)
		go func() { _, _ = io.WriteString(pw, c.send) }()
		r, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(r.Body)
		for i := range 4 {
			if c.answer > 0 {
				_, err = io.ReadFull(in, make([]byte, c.answer))
			} else {
				_, err = in.ReadString('\n')
			}
			if err != nil {
				t.Fatalf("%s, answer %d: %v", c.content, i, err)
			}
			if i == 3 {
				_ = pw.Close()
			} else {
				_, _ = io.WriteString(pw, c.send)
			}
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("%s, after the end: %q %v", c.content, rest, err)
		}
		_ = r.Body.Close()
	}
}

func TestMatchesFollowTheRules(t *testing.T) {
	b := newFlowTable(t)
	const packet = `{"dst":"203.0.113.7"}`
	if v := b.match(packet); len(v.Rules) != 0 {
		t.Errorf("without rules: %s", asJSON(t, v))
	}
	for i := range 3 {
		b.post(fmt.Sprintf(`{"text":"destination 203.0.113.7/32 then mark %d"}`, i))
		if v := b.match(packet); len(v.Rules) != 1 || *v.Action.MarkDSCP != uint8(i) {
			t.Errorf("change %d: %s", i, asJSON(t, v))
		}
	}
	b.s.do("DELETE", "/api/v1/flowspec/"+b.list(t, "")[0].ID, "")
	if v := b.match(packet); len(v.Rules) != 0 {
		t.Errorf("after the end: %s", asJSON(t, v))
	}
}

func TestSteadyMatchAllocatesNothing(t *testing.T) {
	if raceOn {
		t.Skip("the race detector allocates")
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	b := newFlowTable(t)
	randomRules(b, rnd, 200)
	var c call
	c.s, c.ctx = b.s, new(fasthttp.RequestCtx)
	m, p := c.flowMatcher()
	if p != nil {
		t.Fatal(p)
	}
	var packets [][]byte
	var in, out []byte
	for range 64 {
		p, text := randomHit(rnd)
		packets = append(packets, []byte(text))
		in = packPacket(in, &p)
	}
	var dst []byte
	if n := testing.AllocsPerRun(100, func() {
		dst = dst[:0]
		for _, p := range packets {
			dst = m.line(dst, p, 1)
		}
		out = m.records(in, out)
	}); n > 0 {
		t.Errorf("%v allocations for %d packets", n, len(packets))
	}
}

// benchRules are rules as scrubbers make them: hosts under attack, by protocol
// and port.
func benchRules(b *flowTable, n int) {
	rnd := rand.New(rand.NewPCG(9, 10))
	peer := b.live("192.0.2.1", 65001)
	ports := []int{53, 123, 389, 1900, 11211, 19, 161, 27015}
	for i := range n {
		d := netip.AddrFrom4([4]byte{byte(20 + i%80), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
		b.rule(fmt.Sprintf("destination %s/32 protocol =udp source-port =%d then rate-limit 0", d, ports[rnd.IntN(len(ports))]), peer, attrSpec{path: "65001", med: -1})
	}
	b.settle()
}

// benchPackets are packets of which half hit a rule.
func benchPackets(b *flowTable, n int) (texts []string, packed []byte) {
	rnd := rand.New(rand.NewPCG(11, 12))
	var hosts []netip.Addr
	b.flow.Rules(wire.IPv4FlowSpec, 0).Walk(nil, func(nlri []byte, _ rules.Value, _ int) bool {
		p, _, _ := flowspec.Destination(wire.IPv4FlowSpec, nlri)
		hosts = append(hosts, p.Addr())
		return true
	})
	ports := []uint16{53, 123, 389, 1900, 11211, 19, 161, 27015}
	for i := range n {
		p := flowspec.Packet{
			Src: netip.AddrFrom4([4]byte{198, 51, 100, byte(rnd.Uint32())}), Dst: hosts[rnd.IntN(len(hosts))], Protocol: 17,
			SrcPort: ports[rnd.IntN(len(ports))], DstPort: uint16(rnd.Uint32()), Length: 500,
			Has: flowspec.HasProtocol | flowspec.HasSrcPort | flowspec.HasDstPort | flowspec.HasLength | flowspec.HasFragment,
		}
		if i%2 == 0 {
			p.Dst = netip.AddrFrom4([4]byte{byte(20 + i%80), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
		}
		texts = append(texts, fmt.Sprintf(`{"src":"%s","dst":"%s","protocol":"udp","src_port":%d,"dst_port":%d,"length":500}`, p.Src, p.Dst, p.SrcPort, p.DstPort))
		packed = packPacket(packed, &p)
	}
	return texts, packed
}

// BenchmarkFlowMatch asks about packets over HTTP in batches, with 10,000 rules.
func BenchmarkFlowMatch(b *testing.B) {
	f := newFlowTable(b)
	benchRules(f, 10_000)
	s := f.table.serve(func(o *Options) { o.Flow = f.flow })
	texts, packed := benchPackets(f, 4096)
	head := func(content string, n int) string {
		return fmt.Sprintf("POST /api/v1/flowspec/match HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", content, n)
	}
	b.Run("packed", func(b *testing.B) {
		b.ReportAllocs()
		in := packed[:1000*packetSize]
		askers(b, s.addr, append([]byte(head(typeOctets, len(in))), in...), 1000)
	})
	b.Run("lines", func(b *testing.B) {
		b.ReportAllocs()
		in := strings.Join(texts, "\n")
		request := []byte(head(typeNDJSON, len(in)) + in)
		for b.Loop() {
			b.StopTimer()
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			r, err := http.ReadResponse(bufio.NewReaderSize(c, 64<<10), nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				b.Fatal(err)
			}
			_ = c.Close()
		}
		b.ReportMetric(float64(len(texts))*float64(b.N)/b.Elapsed().Seconds(), "packets/s")
	})
}

// BenchmarkFlowMatchHandler is the same without HTTP: reading, matching, and
// putting the answer together, on one core.
func BenchmarkFlowMatchHandler(b *testing.B) {
	f := newFlowTable(b)
	benchRules(f, 10_000)
	texts, packed := benchPackets(f, 4096)
	var c call
	c.s, c.ctx = f.s, new(fasthttp.RequestCtx)
	m, p := c.flowMatcher()
	if p != nil {
		b.Fatal(p)
	}
	b.Run("packed", func(b *testing.B) {
		var out []byte
		for b.Loop() {
			out = m.records(packed, out)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(texts)), "ns/packet")
	})
	b.Run("lines", func(b *testing.B) {
		in := make([][]byte, len(texts))
		for i := range in {
			in[i] = []byte(texts[i])
		}
		var dst []byte
		for b.Loop() {
			dst = dst[:0]
			for _, p := range in {
				dst = m.line(dst, p, 1)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(texts)), "ns/packet")
	})
}
