package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// guardConfig is a configuration in which every guard can be hit.
const guardConfig = `guards:
  protected: [198.51.100.0/24, "2001:db8:ffff::/48"]
  min_length: {ipv4: 24, ipv6: 48}
  max_rules: {total: 4, per_peer: 3}
  max_ttl: 1h
  default_ttl: 10m
blackhole: {next_hop: {ipv4: 192.0.2.66, ipv6: "100::1"}, communities: ["64512:666", no-export]}
`

// entrance is a way in for a route or a rule: a request and how it says no.
type entrance struct {
	name, path string
	wrap       func(body string) string
	lines      bool
}

func plainBody(body string) string { return body }

// guardsOf sends a body by an entrance and returns the guard that refuses it,
// "" where none does.
func (c *client) guardsOf(e entrance, body string) (guard string) {
	c.t.Helper()
	contentType := "application/json"
	if e.lines {
		contentType = "application/x-ndjson"
	}
	status, b := c.ask("POST", "/api/v1/"+e.path, contentType, strings.NewReader(e.wrap(body)))
	if e.lines {
		if status/100 != 2 {
			return fmt.Sprintf("status %d %s", status, b)
		}
		var a struct {
			Error string
			Guard string
		}
		if err := json.Unmarshal(b, &a); err != nil {
			return string(b)
		}
		if a.Error == "" {
			return ""
		}
		if a.Guard == "" {
			return a.Error
		}
		return a.Guard
	}
	if status/100 == 2 {
		return ""
	}
	var r refusal
	if err := json.Unmarshal(b, &r); err != nil || status != 422 {
		return fmt.Sprintf("status %d %s", status, b)
	}
	return r.Guard
}

var pathEntrances = []entrance{
	{name: "a path", path: "paths", wrap: plainBody},
	{name: "a list", path: "paths", wrap: func(b string) string { return `[{"prefix":"10.0.0.0/8","next_hop":"192.0.2.1"},` + b + `]` }},
	{name: "a line", path: "paths", wrap: plainBody, lines: true},
	{name: "updates with send", path: "updates", wrap: func(b string) string { return `{"send":true,` + b[1:] }},
}

var ruleEntrances = []entrance{
	{name: "a rule", path: "flowspec", wrap: plainBody},
	{name: "a list of rules", path: "flowspec", wrap: func(b string) string { return "[" + b + "]" }},
	{name: "a line of rules", path: "flowspec", wrap: plainBody, lines: true},
}

func TestGuardsHoldAtEveryEntrance(t *testing.T) {
	t.Parallel()
	c, to := hub(t, guardConfig, "address: 127.21.70.1, as: 65001, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec, ipv6-flowspec]")
	one := play(t, to, playerOptions{from: ip("127.21.70.1"), as: 65001, families: flowFamilies[:4]}).settle()
	paths := []struct{ body, guard string }{
		{`{"prefix":"198.51.100.7/32","next_hop":"192.0.2.1","communities":["blackhole"]}`, "protected"},
		{`{"prefix":"198.51.0.0/16","next_hop":"192.0.2.1","communities":["65535:666"]}`, "min_length"},
		{`{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1","communities":["64512:666"]}`, "protected"},
		{`{"prefix":"198.51.100.0/25","next_hop":"192.0.2.66"}`, "protected"},
		{`{"prefix":"2001:db8:ffff::1/128","next_hop":"100::1"}`, "protected"},
		{`{"prefix":"0.0.0.0/0","next_hop":"192.0.2.1","communities":["blackhole"]}`, "default-route"},
		{`{"prefix":"::/0","next_hop":"2001:db8::1","communities":["blackhole"]}`, "default-route"},
		{`{"prefix":"203.0.112.0/23","next_hop":"192.0.2.1","communities":["blackhole"]}`, "min_length"},
		{`{"prefix":"2001:db8::/47","next_hop":"2001:db8::1","communities":["blackhole"]}`, "min_length"},
		{`{"prefix":"127.21.70.0/24","next_hop":"192.0.2.1","communities":["blackhole"]}`, "own-address"},
		{`{"prefix":"127.0.0.1/32","next_hop":"192.0.2.1","communities":["blackhole"]}`, "own-address"},
		{`{"prefix":"203.0.113.7/32","next_hop":"192.0.2.1","communities":["blackhole"],"ttl":"2h"}`, "max_ttl"},
	}
	for _, x := range paths {
		for _, e := range pathEntrances {
			if got := c.guardsOf(e, x.body); got != x.guard {
				t.Errorf("%s as %s: guard %q, want %q", x.body, e.name, got, x.guard)
			}
		}
	}
	rules := []struct{ text, match, actions, guard string }{
		{"destination 198.51.100.7/32 then rate-limit 0", `{"destination":"198.51.100.7/32"}`, `{"rate_limit_bytes":0}`, "protected"},
		{"destination 198.51.100.0/24 protocol =udp then redirect rt:65000:1", `{"destination":"198.51.100.0/24","protocol":"=udp"}`, `{"redirect":{"type":"rt","value":"65000:1"}}`, "protected"},
		{"protocol =udp then rate-limit 1250000", `{"protocol":"=udp"}`, `{"rate_limit_bytes":1250000}`, "no-destination"},
		{"destination 0.0.0.0/0 then rate-limit 0", `{"destination":"0.0.0.0/0"}`, `{"rate_limit_bytes":0}`, "default-route"},
		{"destination ::/0 then rate-limit 0", `{"destination":"::/0"}`, `{"rate_limit_bytes":0}`, "default-route"},
		{"destination 203.0.112.0/23 then rate-limit-packets 100", `{"destination":"203.0.112.0/23"}`, `{"rate_limit_packets":100}`, "min_length"},
		{"destination 127.21.70.1/32 then rate-limit 0", `{"destination":"127.21.70.1/32"}`, `{"rate_limit_bytes":0}`, "own-address"},
		{"destination 203.0.113.7/32 then redirect ip:198.51.100.7", `{"destination":"203.0.113.7/32"}`, `{"redirect":{"type":"ip","value":"192.0.2.9"}}`, "max_ttl"},
	}
	for _, x := range rules {
		ttl := `"ttl":"5m"`
		if x.guard == "max_ttl" {
			ttl = `"ttl":"25h"`
		}
		for _, body := range []string{`{` + ttl + `,"text":` + quoted(x.text) + `}`, `{` + ttl + `,"match":` + x.match + `,"actions":` + x.actions + `}`} {
			for _, e := range ruleEntrances {
				if got := c.guardsOf(e, body); got != x.guard {
					t.Errorf("%s as %s: guard %q, want %q", body, e.name, got, x.guard)
				}
			}
		}
	}
	// A rule as a path, by its octets.
	for body, guard := range map[string]string{
		`{"family":"ipv4-flowspec","nlri":"060120c6336407","ext_communities":["0x8006000000000000"]}`: "protected",
		`{"family":"ipv4-flowspec","nlri":"03038111","ext_communities":["0x8008fde800000064"]}`:       "no-destination",
	} {
		for _, e := range pathEntrances {
			if got := c.guardsOf(e, body); got != guard {
				t.Errorf("%s as %s: guard %q, want %q", body, e.name, got, guard)
			}
		}
	}
	one.expect("nothing of all this")
	if got := c.originates(""); len(got) != 0 {
		t.Errorf("originated: %v", got)
	}

	// What is no blackhole and does not filter is not guarded; what is, and is
	// let through, has a time.
	for _, body := range []string{
		`{"prefix":"198.51.100.0/24","next_hop":"192.0.2.1"}`, `{"prefix":"0.0.0.0/0","next_hop":"192.0.2.1"}`,
		`{"prefix":"10.0.0.0/8","next_hop":"192.0.2.1","communities":["no-export"],"ttl":"48h"}`,
	} {
		if got := c.guardsOf(pathEntrances[0], body); got != "" {
			t.Errorf("%s: %s", body, got)
		}
	}
	if got := c.guardsOf(ruleEntrances[0], `{"text":"destination 198.51.100.9/32 then mark 10","ttl":"48h"}`); got != "" {
		t.Errorf("a rule that only marks: %s", got)
	}
	if a := c.post("/api/v1/paths", `{"prefix":"203.0.113.1/32","next_hop":"192.0.2.1","communities":["blackhole"]}`); a.ExpiresAt == nil {
		t.Errorf("a blackhole without a time: %+v", a)
	}
	// Too many: three for a peer, four in all.
	for i, x := range []struct{ peers, guard string }{{`,"peers":["127.21.70.1"]`, ""}, {`,"peers":["127.21.70.1"]`, ""}, {`,"peers":["127.21.70.1"]`, "max_rules.per_peer"}} {
		body := fmt.Sprintf(`{"text":"destination 203.0.113.%d/32 then rate-limit 0"%s}`, 10+i, x.peers)
		if got := c.guardsOf(ruleEntrances[0], body); got != x.guard {
			t.Errorf("rule %d: guard %q, want %q", i+2, got, x.guard)
		}
	}
	if got := c.guardsOf(ruleEntrances[0], `{"text":"destination 203.0.113.10/32 then rate-limit 0","peers":["127.21.70.1"]}`); got != "" {
		t.Errorf("the same again is no more: %s", got)
	}
}

func TestGuardsHoldOverARestartAndAReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := hubConfig("persist: {dir: "+dir+"}\nguards: {protected: []}\n", "address: 127.21.71.1, as: 65001, families: [ipv4-unicast, ipv4-flowspec]")
	strictSrc := strings.Replace(src, "protected: []", "protected: [203.0.113.0/24]", 1)
	e, c, write := speaking(t, src, nil)
	o := playerOptions{from: ip("127.21.71.1"), as: 65001, families: []wire.Family{v4u, wire.IPv4FlowSpec}}
	one := play(t, e.BGPAddrs()[0].String(), o).settle()
	c.post("/api/v1/paths", `{"prefix":"203.0.113.7/32","next_hop":"192.0.2.1","communities":["blackhole"]}`)
	c.post("/api/v1/paths", `{"prefix":"198.51.100.7/32","next_hop":"192.0.2.1","communities":["blackhole"]}`)
	c.post("/api/v1/flowspec", `{"text":"destination 203.0.113.8/32 then rate-limit 0"}`)
	all := []string{"198.51.100.7/32", "203.0.113.7/32", "ipv4-flowspec 060120cb007108"}
	one.expect("all", slices.Clone(all)...)
	reload := func(src string) {
		t.Helper()
		write(src)
		if _, err := e.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	reload(strictSrc)
	one.expect("what the new guards let through", "198.51.100.7/32")
	if got := c.guardsOf(pathEntrances[0], `{"prefix":"203.0.113.9/32","next_hop":"192.0.2.1","communities":["blackhole"]}`); got != "protected" {
		t.Errorf("after the reload: guard %q", got)
	}
	reload(src)
	one.expect("the guard is gone", slices.Clone(all)...)

	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	one.close()
	e, c, write = speaking(t, strictSrc, nil)
	one = play(t, e.BGPAddrs()[0].String(), o).settle()
	one.expect("replayed under stricter guards", "198.51.100.7/32")
	if got := c.originates(""); len(got) < 2 {
		t.Errorf("what is held back is listed: %v", got)
	}
	reload(src)
	one.expect("and let go", slices.Clone(all)...)
}
