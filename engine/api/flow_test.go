package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// flowTable is a table with the rules of it followed, and a place to originate
// some.
type flowTable struct {
	*table
	flow   *flow.Tables
	origin *origin.Manager
	s      *Server
}

func newFlowTable(t testing.TB, change ...func(*origin.Options)) *flowTable {
	t.Helper()
	b := &flowTable{table: newTable(t)}
	b.flow = flow.New(flow.Options{RIB: b.r, Filter: func(rib.PeerNum) rib.Filter { return nil }})
	t.Cleanup(b.flow.Close)
	o := origin.Options{RIB: b.r, AS: 64512, RouterID: 0xc00002fe, ID: flow.RuleID}
	for _, c := range change {
		c(&o)
	}
	var err error
	if b.origin, err = origin.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.origin.Close)
	if b.s, err = New(Options{RIB: b.r, Version: "test", Flow: b.flow, Announcing: Announcing{Origin: b.origin}}); err != nil {
		t.Fatal(err)
	}
	b.s.shownTime = patience
	return b
}

// live adds a peer with a session.
func (b *flowTable) live(addr string, as uint32) rib.PeerNum {
	b.t.Helper()
	a := netip.MustParseAddr(addr)
	n, err := b.r.AddPeer(rib.PeerInfo{ID: rib.PeerID(rib.SourceBGP, "", a, as), Source: rib.SourceBGP, Addr: a, AS: as, RouterID: as})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// rule announces one path of a rule in words.
func (b *flowTable) rule(text string, peer rib.PeerNum, s attrSpec, change ...func(*rib.Path)) []byte {
	b.t.Helper()
	r, a, err := flowspec.ParseText(text)
	if err != nil {
		b.t.Fatal(err)
	}
	nlri, err := r.AppendNLRI(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	var e wire.AttrEditor
	e.Start(s.canonical())
	if err := a.Apply(&e, flowspec.RedirectCommunity); err != nil {
		b.t.Fatal(err)
	}
	id, ok := b.r.Attrs().Intern(e.Append(nil))
	if !ok {
		b.t.Fatal("no room for attributes")
	}
	p := rib.Path{Peer: peer, Attrs: id, Received: 1767323045}
	for _, c := range change {
		c(&p)
	}
	t, ok := b.r.Table(r.Family, 0)
	if !ok {
		b.t.Fatal("no room for a table")
	}
	k, n, _ := b.r.RawKey(nlri)
	b.fan.Announce(t, k, n, &p)
	return nlri
}

// settle waits until the rules are listed.
func (b *flowTable) settle() {
	b.t.Helper()
	b.sync()
	ctx, stop := context.WithTimeout(b.t.Context(), patience)
	defer stop()
	if err := b.flow.Wait(ctx, b.r.Mark(nil)); err != nil {
		b.t.Fatal(err)
	}
}

// smallRules are rules of two peers, in an order that is not theirs.
func smallRules(t testing.TB, change ...func(*origin.Options)) *flowTable {
	b := newFlowTable(t, change...)
	a, c := b.live("192.0.2.1", 65001), b.live("192.0.2.2", 65002)
	spec := attrSpec{path: "65001", med: -1, comms: []uint32{65001<<16 | 100}}
	b.rule("protocol =icmp then rate-limit 1250000", a, spec)
	b.rule("destination 203.0.113.0/24 protocol =udp then rate-limit 0", a, spec)
	b.rule("destination 203.0.113.0/24 protocol =udp destination-port =53 then mark 10", a, spec)
	b.rule("destination 203.0.113.7/32 protocol =tcp tcp-flags =syn&!ack then sample continue", a, spec)
	b.rule("destination 203.0.113.7/32 protocol =tcp tcp-flags =syn&!ack then redirect rt:65001:5", c, attrSpec{path: "65002 65003", med: -1})
	b.rule("destination 203.0.113.0/25 then redirect ip:192.0.2.99 copy", c, attrSpec{path: "65002", med: -1}, func(p *rib.Path) { p.PathID, p.HasPathID = 0, true })
	b.rule("source 198.51.100.0/24 then rate-limit 1.5", c, attrSpec{path: "65002", med: -1}, func(p *rib.Path) { p.Filtered = rib.FilterNoDestination })
	b.rule("destination 198.51.100.0/24 then discard", c, attrSpec{path: "65002", med: -1}, func(p *rib.Path) { p.Filtered = rib.FilterPolicy })
	b.rule("destination 2001:db8::/32 flow-label =5 then discard", a, spec)
	b.rule("rd 65001:1 destination 203.0.113.0/24 then discard", a, spec)
	b.settle()
	return b
}

func texts(rules []apiv1.FlowRule) (list []string) {
	for i := range rules {
		list = append(list, rules[i].Text)
	}
	return list
}

func (b *flowTable) list(t testing.TB, query string) []apiv1.FlowRule {
	t.Helper()
	var out apiv1.FlowRules
	b.s.get(t, 200, "/api/v1/flowspec"+query, &out)
	return out.Rules
}

// usualRules is what a list without filters has of smallRules.
var usualRules = []string{
	"destination 203.0.113.7/32 protocol =tcp tcp-flags =syn&!ack then sample continue",
	"destination 203.0.113.7/32 protocol =tcp tcp-flags =syn&!ack then redirect rt:65001:5",
	"destination 203.0.113.0/25 then redirect ip:192.0.2.99 copy",
	"destination 203.0.113.0/24 protocol =udp destination-port =53 then mark 10",
	"destination 203.0.113.0/24 protocol =udp then rate-limit 0",
	"source 198.51.100.0/24 then rate-limit 1.5",
	"protocol =icmp then rate-limit 1250000",
	"rd 65001:1 destination 203.0.113.0/24 then rate-limit 0",
	"destination 2001:db8::/32 flow-label =5 then rate-limit 0",
}

func TestRulesAreListedInTheOrderOfTheRFC(t *testing.T) {
	b := smallRules(t)
	if got := texts(b.list(t, "")); !slices.Equal(got, usualRules) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(usualRules, "\n"))
	}
	code, body, _ := b.s.do("GET", "/api/v1/flowspec", "", "Accept", typeNDJSON)
	if got := texts(lines[apiv1.FlowRule](t, body)); code != 200 || !slices.Equal(got, usualRules) {
		t.Errorf("as NDJSON: %d\n%s", code, strings.Join(got, "\n"))
	}
	for i, want := range []int{2, 2, 3, 4, 5, 6, 7, 1, 1} { // 1 is the one that policy refused
		if got := b.list(t, "")[i]; got.Order != want {
			t.Errorf("%s: order %d, want %d", got.Text, got.Order, want)
		}
	}
}

func TestPagesOfRulesGoOnWhereTheyStopped(t *testing.T) {
	b := smallRules(t)
	for limit := 1; limit <= 10; limit++ {
		var got []string
		cursor := ""
		for range 20 {
			var out apiv1.FlowRules
			b.s.get(t, 200, fmt.Sprintf("/api/v1/flowspec?limit=%d%s", limit, cursor), &out)
			if len(out.Rules) > limit {
				t.Fatalf("limit %d: %d rules", limit, len(out.Rules))
			}
			got = append(got, texts(out.Rules)...)
			if out.Next == nil {
				break
			}
			cursor = "&cursor=" + *out.Next
		}
		if !slices.Equal(got, usualRules) {
			t.Errorf("limit %d: got\n%s", limit, strings.Join(got, "\n"))
		}
	}
	var out apiv1.FlowRules
	b.s.get(t, 200, "/api/v1/flowspec?limit=2", &out)
	for _, uri := range []string{"/api/v1/flowspec?peer=192.0.2.1&cursor=" + *out.Next, "/api/v1/flowspec?cursor=x", "/api/v1/flowspec?cursor=" + strings.ToUpper(*out.Next)} {
		var p apiv1.Problem
		if b.s.get(t, 400, uri, &p); p.Param != "cursor" {
			t.Errorf("%s: %v", uri, &p)
		}
	}
}

// TestPagesOfRulesOutliveTheRuleTheyStoppedAt changes the rules between pages:
// what stays is listed once, in order.
func TestPagesOfRulesOutliveTheRuleTheyStoppedAt(t *testing.T) {
	b := newFlowTable(t)
	ids := map[int]string{}
	add := func(i int) {
		_, body := b.post(fmt.Sprintf(`{"text":"destination 203.0.113.%d/32"}`, i))
		var a apiv1.FlowAnnounced
		strict(t, "POST", body, &a)
		ids[i] = a.ID
	}
	for i := range 40 {
		add(2 * i)
	}
	var got []string
	for cursor, page := "", 0; page < 100; page++ {
		var out apiv1.FlowRules
		b.s.get(t, 200, "/api/v1/flowspec?limit=3"+cursor, &out)
		got = append(got, texts(out.Rules)...)
		if out.Next == nil {
			break
		}
		cursor = "&cursor=" + *out.Next
		// The rule that the page ended with goes; of those behind one goes, one comes.
		b.s.do("DELETE", "/api/v1/flowspec/"+out.Rules[len(out.Rules)-1].ID, "")
		if page%4 == 0 && page < 8 {
			b.s.do("DELETE", "/api/v1/flowspec/"+ids[70-page], "")
			add(71 - page)
		}
	}
	if !slices.IsSortedFunc(got, func(x, y string) int { return int(lastOctet(t, x)) - int(lastOctet(t, y)) }) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	listed := map[string]bool{}
	for _, s := range got {
		listed[s] = true
	}
	for _, r := range b.list(t, "") { // what is there to the end
		if !listed[r.Text] {
			t.Errorf("%s is not listed", r.Text)
		}
	}
}

func lastOctet(t testing.TB, text string) byte {
	t.Helper()
	r, _, err := flowspec.ParseText(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Components[0].Prefix.Addr().As4()[3]
}

func TestRulesAreFiltered(t *testing.T) {
	b := smallRules(t)
	for _, c := range []struct {
		query string
		want  []int // of usualRules; 100: what policy refused
	}{
		{"?family=ipv6-flowspec", []int{8}},
		{"?family=ipv4-flowspec", []int{0, 1, 2, 3, 4, 5, 6}},
		{"?rd=65001:1", []int{7}},
		{"?family=ipv6-flowspec-vpn&rd=65001:1", nil},
		{"?rd=65001:2", nil},
		{"?peer=192.0.2.2", []int{1, 2, 5}},
		{"?destination=203.0.113.7", []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"?destination=203.0.113.200", []int{3, 4, 5, 6, 7}},
		{"?destination=203.0.113.0/26", []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"?destination=10.0.0.0/8", []int{5, 6}},
		{"?destination=2001:db8::1", []int{8}},
		{"?source=198.51.0.0/16&destination=10.0.0.0/8", []int{5, 6}},
		{"?source=192.0.2.1&family=ipv4-flowspec&destination=10.0.0.0/8", []int{6}},
		{"?source=bgp&family=ipv6-flowspec", []int{8}},
		{"?source=local", nil},
		{"?valid=false", []int{5}},
		{"?valid=true&family=ipv4-flowspec", []int{0, 1, 2, 3, 4, 6}},
		{"?filtered=true", []int{100, 5}},
		{"?filtered=false&family=ipv4-flowspec", []int{0, 1, 2, 3, 4, 6}},
		{"?filtered=any&family=ipv4-flowspec", []int{100, 0, 1, 2, 3, 4, 5, 6}},
		{"?filtered=true&valid=true", []int{100}},
	} {
		var want []string
		for _, i := range c.want {
			if i == 100 {
				want = append(want, "destination 198.51.100.0/24 then rate-limit 0")
			} else {
				want = append(want, usualRules[i])
			}
		}
		if got := texts(b.list(t, c.query)); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.query, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for query, param := range map[string]string{
		"?family=ipv4-unicast": "family", "?family=ipv4-flowspec&rd=65001:1": "rd", "?rd=x": "rd", "?peer=9.9.9.9": "peer", "?destination=x": "destination",
		"?destination=10.0.0.1/8": "destination", "?source=x": "source", "?valid=maybe": "valid", "?filtered=maybe": "filtered", "?best=true": "best", "?limit=0": "limit",
	} {
		code, body, _ := b.s.do("GET", "/api/v1/flowspec"+query, "")
		var p apiv1.Problem
		strict(t, query, body, &p)
		if want := map[bool]int{true: 404, false: 400}[param == "peer"]; code != want || p.Param != param {
			t.Errorf("%s: %d %v", query, code, &p)
		}
	}
}

func TestARuleHasEverythingThatItsPathHas(t *testing.T) {
	b := smallRules(t)
	rules := b.list(t, "?filtered=any")
	byText := map[string]apiv1.FlowRule{}
	for _, r := range rules {
		byText[r.Text] = r
		var one apiv1.FlowRule
		b.s.get(t, 200, "/api/v1/flowspec/"+r.ID, &one)
		if got, want := asJSON(t, one), asJSON(t, r); got != want {
			t.Errorf("%s alone is\n%s\nin the list\n%s", r.ID, got, want)
		}
		nlri, err := hex.DecodeString(r.NLRI)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.ParseFamily(r.Family)
		if err != nil {
			t.Fatal(err)
		}
		has, id := r.PathID != nil, uint32(0)
		if has {
			id = *r.PathID
		}
		if want := fmt.Sprintf("%016x", flow.RuleID(r.PeerID, f, has, id, nlri)); r.ID != want {
			t.Errorf("%s: id %s, want %s", r.Text, r.ID, want)
		}
		if _, err := flowspec.Parse(f, nlri); err != nil {
			t.Errorf("%s: %v", r.NLRI, err)
		}
	}
	udp := byText["destination 203.0.113.0/24 protocol =udp then rate-limit 0"]
	if *udp.Match.Destination != "203.0.113.0/24" || *udp.Match.Protocol != "=udp" || udp.Match.Source != nil || *udp.Actions.RateLimitBytes != 0 || !udp.Actions.Terminal ||
		*udp.Peer != "192.0.2.1" || udp.PeerASN != 65001 || udp.Source != "bgp" || udp.ASPath != "65001" || udp.Communities[0] != "65001:100" ||
		udp.ExtCommunities[0] != "0x8006000000000000" || !udp.Best || !udp.Valid || udp.InvalidReason != nil || udp.Filtered || udp.NextHop != nil ||
		udp.ReceivedAt.Unix() != 1767323045 || udp.ExpiresAt != nil || udp.PathID != nil || len(udp.ShadowedBy) != 0 {
		t.Errorf("got %s", asJSON(t, udp))
	}
	if dns := byText["destination 203.0.113.0/24 protocol =udp destination-port =53 then mark 10"]; *dns.Actions.MarkDSCP != 10 || dns.Order != 4 {
		t.Errorf("got %s", asJSON(t, dns))
	}
	if r := byText["destination 203.0.113.0/25 then redirect ip:192.0.2.99 copy"]; *r.Actions.Redirect != (apiv1.FlowRedirect{Type: "ip", Value: "192.0.2.99", Copy: true}) || *r.PathID != 0 {
		t.Errorf("got %s", asJSON(t, r))
	}
	if r := byText["source 198.51.100.0/24 then rate-limit 1.5"]; r.Valid || *r.InvalidReason != "no-destination" || !r.Filtered || r.Best || *r.FilterReason != "no-destination" {
		t.Errorf("got %s", asJSON(t, r))
	}
	if r := byText["destination 198.51.100.0/24 then rate-limit 0"]; !r.Valid || r.InvalidReason != nil || !r.Filtered || *r.FilterReason != "policy" {
		t.Errorf("got %s", asJSON(t, r))
	}
	vpn := byText["rd 65001:1 destination 203.0.113.0/24 then rate-limit 0"]
	if *vpn.RD != "65001:1" || vpn.Family != "ipv4-flowspec-vpn" {
		t.Errorf("got %s", asJSON(t, vpn))
	}
	var p apiv1.Problem
	if b.s.get(t, 404, "/api/v1/flowspec/0123456789abcdef", &p); p.Param != "id" {
		t.Errorf("got %v", &p)
	}
	b.s.get(t, 400, "/api/v1/flowspec/xyz", &p)
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRulesThatLeaveOthersNoPacketAreNamed(t *testing.T) {
	b := newFlowTable(t)
	a := b.live("192.0.2.1", 65001)
	spec := attrSpec{path: "65001", med: -1}
	b.rule("destination 203.0.113.7/32 then discard", a, spec)
	b.rule("destination 203.0.113.7/32 protocol =udp then discard", a, spec)
	b.rule("destination 203.0.113.0/24 then discard", a, spec)
	b.settle()
	rules := b.list(t, "")
	// One that is more specific stands in front.
	if len(rules) != 3 || rules[0].Text != "destination 203.0.113.7/32 protocol =udp then rate-limit 0" {
		t.Fatalf("got %v", texts(rules))
	}
	b.rule("destination 203.0.113.7/32 protocol =udp source-port =53|=123 then discard", a, spec)
	b.rule("destination 203.0.113.7/32 protocol =udp source-port =53 then mark 1", a, spec)
	b.settle()
	rules = b.list(t, "")
	for _, r := range rules {
		if strings.Contains(r.Text, "mark 1") != (len(r.ShadowedBy) > 0) {
			t.Errorf("%s: shadowed by %v", r.Text, r.ShadowedBy)
		}
	}
}

// BenchmarkFlowList lists 10,000 rules.
func BenchmarkFlowList(b *testing.B) {
	f := newFlowTable(b)
	benchRules(f, 10_000)
	for b.Loop() {
		code, body, _ := f.s.do("GET", "/api/v1/flowspec", "", "Accept", typeNDJSON)
		if code != 200 || strings.Count(body, "\n") != 10_000 {
			b.Fatal(code, len(body))
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func FuzzFlowCursor(f *testing.F) {
	p := flowPosition{family: wire.IPv4FlowSpec, nlri: []byte{5, 1, 24, 203, 0, 113}, paths: 3}
	f.Add([]byte(p.encode(7)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p flowPosition
		if p.decode(b, 7) != nil {
			return
		}
		// It is one that this made: nothing but a rule is gone on behind.
		if _, err := flowspec.Parse(p.family, p.nlri); err != nil || p.encode(7) != string(b) {
			t.Errorf("%q is taken for %+v", b, p)
		}
	})
}
