package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// RFC 4724 for rules: retained, marked, and swept.
func TestRulesOutliveARestartAndAreSweptAfterIt(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.65.1, as: 65001"+flowPeers, "address: 127.21.65.2, as: 65002"+flowPeers)
	o := playerOptions{from: ip("127.21.65.1"), as: 65001, families: flowFamilies, more: restarting(false, 60, wire.IPv4FlowSpec)}
	one := play(t, to, o)
	two := play(t, to, playerOptions{from: ip("127.21.65.2"), as: 65002, families: flowFamilies})
	one.flow(wire.IPv4FlowSpec, "06 0120cb007101", []uint32{65001}, nil, discard)
	one.flow(wire.IPv4FlowSpec, "06 0120cb007102", []uint32{65001}, nil, discard)
	one.flow(wire.IPv6FlowSpec, "07 01200020010db8", []uint32{65001}, nil, discard)
	two.expect("all", "ipv4-flowspec 060120cb007101", "ipv4-flowspec 060120cb007102", "ipv6-flowspec 0701200020010db8")
	one.close()
	two.expect("what is retained", "ipv4-flowspec 060120cb007101", "ipv4-flowspec 060120cb007102")
	eventually(t, "a stale rule still matches", func() bool { return len(c.match("", `{"dst":"203.0.113.1"}`).Rules) == 1 })
	var stale struct {
		Rules []struct{ Stale *string }
	}
	eventually(t, "it is shown as stale", func() bool {
		c.get("/api/v1/flowspec?destination=203.0.113.1/32", &stale)
		return len(stale.Rules) == 1 && stale.Rules[0].Stale != nil && *stale.Rules[0].Stale == "gr"
	})
	one = again(t, to, o)
	one.flow(wire.IPv4FlowSpec, "06 0120cb007102", []uint32{65001}, nil, discard)
	for _, f := range flowFamilies {
		one.send(wire.AppendEndOfRIB(nil, f))
	}
	two.expect("what came again", "ipv4-flowspec 060120cb007102")
	c.wantTexts("swept", "", "destination 203.0.113.2/32 then rate-limit 0")
}

func TestTheValidationSwitchIsTakenUpByAReload(t *testing.T) {
	t.Parallel()
	src := hubConfig("", "address: 127.21.66.1, as: 65001, flowspec_validation: strict"+strict, "address: 127.21.66.2, as: 65002"+strict)
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	one := play(t, to, playerOptions{from: ip("127.21.66.1"), as: 65001, families: strictFamilies})
	two := play(t, to, playerOptions{from: ip("127.21.66.2"), as: 65002, families: strictFamilies})
	one.flow(wire.IPv4FlowSpec, "06 0120cb007101", []uint32{65001}, nil, discard)
	one.flow(wire.IPv4FlowSpec, "03 038111", []uint32{65001}, nil, discard)
	c.validity("strict", "060120cb007101", "no-unicast-route")
	c.validity("strict", "03038111", "no-destination")
	for _, x := range []struct {
		mode string
		keys []string
		a, b string
	}{
		{"off", []string{"ipv4-flowspec 03038111", "ipv4-flowspec 060120cb007101"}, "", ""},
		{"no-destination", []string{"ipv4-flowspec 03038111"}, "no-unicast-route", ""},
		{"strict", nil, "no-unicast-route", "no-destination"},
		{"off", []string{"ipv4-flowspec 03038111", "ipv4-flowspec 060120cb007101"}, "", ""},
	} {
		write(strings.Replace(src, "flowspec_validation: strict", "flowspec_validation: "+x.mode, 1))
		if _, err := e.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		two.expect(x.mode, x.keys...)
		c.validity(x.mode, "060120cb007101", x.a)
		c.validity(x.mode, "03038111", x.b)
	}
	if one.over() || two.over() {
		t.Error("a session has ended")
	}
}

func TestALocalRuleGoesBeforeTheSameOneOfAPeer(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.21.67.1, as: 65001"+flowPeers, "address: 127.21.67.2, as: 65002"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.67.1"), as: 65001, families: flowFamilies}).settle()
	two := play(t, to, playerOptions{from: ip("127.21.67.2"), as: 65002, families: flowFamilies}).settle()
	const raw, key = "090120cb007107038111", "ipv4-flowspec 090120cb007107038111"
	one.flow(wire.IPv4FlowSpec, raw, []uint32{65001}, nil, redirect)
	two.expect("the peer's", key)
	a := c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 protocol =udp then rate-limit 0","ttl":"1h"}`)
	one.expect("the local one", key)
	eventually(t, "it takes over", func() bool { return two.text(key, wire.AttrExtCommunities) == "0x8006000000000000" })
	rows := c.rules("")
	if len(rows) != 2 || rows[0].Order != 1 || rows[1].Order != 1 || !rows[0].Best || rows[0].ID != a.ID || rows[0].Source != "local" || rows[1].Best || rows[0].ExpiresAt == nil {
		t.Errorf("both paths: %+v", rows)
	}
	if m := c.match("", `{"dst":"203.0.113.7","protocol":17}`); m.Action == nil || m.Action.String() != "rate-bytes=0" || fmt.Sprint(m.Rules) != "["+a.ID+"]" {
		t.Errorf("match: %+v", m)
	}
	// Its time, which is shorter now, ends, and the peer's is back.
	if b := c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.7/32 protocol =udp then rate-limit 0","ttl":"500ms"}`); b.ID != a.ID {
		t.Errorf("the same rule: %s, was %s", b.ID, a.ID)
	}
	eventually(t, "the peer's again", func() bool { return two.text(key, wire.AttrExtCommunities) == "0x8008fde800000064" })
	one.expect("its own is not sent back")
	eventually(t, "which matches", func() bool {
		m := c.match("", `{"dst":"203.0.113.7","protocol":17}`)
		return m.Action != nil && m.Action.String() == "redirect=rt:65000:100"
	})
	// A peer's rule is not for programs to delete.
	r := c.rule("")
	if status, b := c.ask("DELETE", "/api/v1/flowspec/"+r.ID, "", nil); status != 409 {
		t.Errorf("DELETE of a peer's rule: %d %s", status, b)
	}
}

func TestManyRulesAreMadeLineByLine(t *testing.T) {
	t.Parallel()
	n := 20_000
	if testing.Short() {
		n = 2000
	}
	c, to := hub(t, "guards: {max_rules: {total: 1000000, per_peer: 1000000}}\n", "address: 127.21.68.1, as: 65001"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.68.1"), as: 65001, families: flowFamilies}).settle()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"text":"destination 20.%d.%d.%d/32 protocol =udp source-port =%d then rate-limit 0"}`+"\n", i>>16&255, i>>8&255, i&255, 1+i%1000)
	}
	ids := map[string]bool{}
	for i, a := range c.lines("/api/v1/flowspec", b.String()) {
		if len(a.Error) > 0 || a.ID == "" {
			t.Fatalf("line %d: %+v", i, a)
		}
		ids[a.ID] = true
	}
	if len(ids) != n {
		t.Errorf("%d ids for %d rules", len(ids), n)
	}
	eventually(t, "all are sent", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return len(one.table) == n
	})
	// Batches of packets, each for one of them.
	var packets strings.Builder
	for i := range 2000 {
		i := i * n / 2000
		fmt.Fprintf(&packets, `{"src":"192.0.2.1","dst":"20.%d.%d.%d","protocol":17,"src_port":%d,"dst_port":9}`+"\n", i>>16&255, i>>8&255, i&255, 1+i%1000)
	}
	status, out := c.ask("POST", "/api/v1/flowspec/match", "application/x-ndjson", strings.NewReader(packets.String()))
	if lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")); status != 200 || len(lines) != 2000 {
		t.Fatalf("%d lines, status %d", len(lines), status)
	}
	if got := strings.Count(string(out), `"rate_limit_bytes":0`); got != 2000 {
		t.Errorf("%d of 2,000 packets are discarded", got)
	}
}

// TestRibctlAnnouncesAndFilters runs the commands of the issue.
func TestRibctlAnnouncesAndFilters(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds ribctl")
	}
	bin := filepath.Join(t.TempDir(), "ribctl")
	if out, err := exec.Command("go", "build", "-o", bin, "ribd/cmd/ribctl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, to := hub(t, "", "address: 127.21.69.1, as: 65001, name: edge"+flowPeers)
	one := play(t, to, playerOptions{from: ip("127.21.69.1"), as: 65001, families: flowFamilies}).settle()
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		out, err := exec.CommandContext(ctx, bin, append([]string{"--server", c.base}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ribctl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("announce", "203.0.113.0/24", "--next-hop", "192.0.2.1", "--community", "64512:7")
	one.expect("announced", "203.0.113.0/24")
	if out := run("paths"); !strings.Contains(out, "203.0.113.0/24") {
		t.Errorf("paths:\n%s", out)
	}
	if out := run("updates", "198.51.100.0/24", "--next-hop", "192.0.2.1"); !strings.Contains(strings.ToLower(out), strings.Repeat("ff", 16)) {
		t.Errorf("updates:\n%s", out)
	}
	run("withdraw", "203.0.113.0/24")
	one.expect("withdrawn")
	const rule = "destination 203.0.113.0/24 protocol =udp destination-port =53 >=1024&<=2048 then rate-limit 1250000"
	run("flowspec", "add", rule, "--ttl", "10m")
	const key = "ipv4-flowspec 110118cb0071038111050135130400d50800"
	one.expect("the rule", key)
	if got := one.text(key, wire.AttrExtCommunities); got != "0x8006000049989680" {
		t.Errorf("its action: %s", got)
	}
	if out := run("flowspec"); !strings.Contains(out, "203.0.113.0/24") {
		t.Errorf("flowspec:\n%s", out)
	}
	r := c.rule("")
	if out := run("flowspec", "show", r.ID); !strings.Contains(out, r.ID) {
		t.Errorf("flowspec show:\n%s", out)
	}
	if out := run("flowspec", "match", "--src", "192.0.2.1", "--dst", "203.0.113.9", "--protocol", "udp", "--dst-port", "53"); !strings.Contains(out, r.ID) {
		t.Errorf("flowspec match:\n%s", out)
	}
	run("flowspec", "delete", r.ID)
	one.expect("deleted")
	// From a file, one a line.
	file := filepath.Join(t.TempDir(), "routes")
	if err := os.WriteFile(file, []byte(`{"prefix":"10.1.0.0/16","next_hop":"192.0.2.1"}`+"\n"+`{"prefix":"10.2.0.0/16","next_hop":"192.0.2.1"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("announce", "--file", file)
	one.expect("from a file", "10.1.0.0/16", "10.2.0.0/16")
	if got := c.originates(""); !slices.Equal(got, []string{"10.1.0.0/16", "10.2.0.0/16"}) {
		t.Errorf("originated: %v", got)
	}
}
