package config

import (
	"strings"
	"testing"
)

// TestProblemsNamePlaceAndRemedy holds each complaint to its whole text: where
// it is, what is wrong and what would be right.
func TestProblemsNamePlaceAndRemedy(t *testing.T) {
	peer := "as: 64512\npeers:\n  - address: 192.0.2.1\n    as: 65001\n    "
	for _, c := range []struct{ name, src, want string }{
		{"unknown key, near", "memory_limt: 8GiB\n", `1:1: unknown key "memory_limt" at the top of the file: did you mean "memory_limit"?`},
		{"unknown key, nested", "http:\n  lisen: []\n", `2:3: unknown key "lisen" in http: did you mean "listen"?`},
		{"unknown key, in a list", "load:\n  - file: a\n    colector: b\n", `3:5: unknown key "colector" in load[0]: did you mean "collector"?`},
		{"key of another section", "secret_file: x\n", `1:1: unknown key "secret_file" at the top of the file: it is a key of http.tokens`},
		{"unknown key, far", "log: {colour: red}\n", `1:7: unknown key "colour" in log: the keys are level, format`},
		{"twice", "shards: 1\nlog: {}\nshards: 2\n", `3:1: shards stands twice: first at 1:1`},
		{"not YAML", "http: [\n", `1:7: not YAML: sequence end token ']' not found`},
		{"two documents", "shards: 1\n---\nshards: 2\n", `3:1: a second document: one file is one configuration`},
		{"no mapping", "- a\n", `1:1: the file is a mapping of keys, not a list`},
		{"list wanted", "http: {listen: 127.0.0.1:8080}\n", `1:16: http.listen is a list, not the text "127.0.0.1:8080": write [one, two], or a line with - for each`},
		{"mapping wanted", "http: 8080\n", `1:7: http is a mapping of keys, not the number 8080`},
		{"scalar wanted", "shards: [1]\n", `1:9: shards: a list is not a whole number from 0 to 256`},
		{"nothing", "shards:\n", `1:9: shards: nothing is not a whole number from 0 to 256`},
		{"number", "shards: many\n", `1:9: shards: many is not a whole number from 0 to 256`},
		{"range", "shards: 300\n", `1:9: shards: 300 is not a whole number from 0 to 256`},
		{"merge key", "log: &l {level: info}\nhttp:\n  <<: *l\n", `3:3: << is not read here: put what peers share into a group or into peer_defaults`},
		{"word", "log: {level: inof}\n", `1:14: log.level: "inof" is not debug, info, warn or error: did you mean "info"?`},
		{"size", "memory_limit: 8 gigs\n", `1:15: memory_limit: "8 gigs" is not a size such as 512MiB or 8GiB`},
		{"small", "memory_limit: 1MiB\n", `1:15: memory_limit: 1MiB is too little: at least 64MiB`},
		{"router id", "router_id: \"2001:db8::1\"\n", `1:12: router_id is four octets written as an IPv4 address, and not 0.0.0.0`},
		{"address", "router_id: 192.0.2\n", `1:12: router_id: "192.0.2" is not an IP address`},
		{"AS_TRANS", "as: 23456\n", `1:5: as: 23456 stands for AS numbers that do not fit 2 octets (RFC 6793) and is nobody's`},
		{"AS 0", "as: 0\n", `1:5: as: 0 is not a whole number from 1 to 4294967295`},
		{"host bits", "http: {allow: [192.0.2.1/24]}\n", `1:16: http.allow[0]: 192.0.2.1/24 has bits set past its length: 192.0.2.0/24 is the prefix`},
		{"no length", "http: {allow: [192.0.2.1]}\n", `1:16: http.allow[0]: "192.0.2.1" has no length: write it as 192.0.2.0/24 is`},
		{"listen", "http: {listen: [\"8080\"]}\n", `1:17: http.listen[0]: "8080" is not ADDRESS:PORT: write "127.0.0.1:8080", "[::1]:8080", ":8080" for all addresses, or "unix:PATH"`},
		{"bgp on a socket", "bgp: {listen: [\"unix:/x\"]}\n", `1:16: bgp.listen[0]: unix:/x: BGP listens on TCP only`},
		{"token", "http:\n  tokens:\n    - name: a\n      role: reader\n      secret_file: s\n", `4:13: http.tokens[0].role: "reader" is not read, announce or admin: did you mean "read"?`},
		{"token without role", "http: {tokens: [{name: a, secret_file: s}]}\n", `1:17: http.tokens[0] wants role: what it may do: read, announce or admin`},
		{"load without file", "load: [{collector: a}]\n", `1:8: load[0] wants file: the dump to load`},
		{"boolean", peer + "role_strict: yes\n", `5:18: peers[0].role_strict: "yes" is not true or false`},
		{"duration", peer + "hold_time: 90\n", `5:16: peers[0].hold_time: "90" is not a duration: write a number with its unit, such as 90s, 8m, 1h or 7d`},
		{"duration, too short", peer + "hold_time: 2s\n", `5:16: peers[0].hold_time is 0s (off) or at least 3s (RFC 4271)`},
		{"duration, too long", peer + "graceful_restart: {restart_time: 2h}\n", `5:38: peers[0].graceful_restart.restart_time: 2h is not between 0s and 1h8m15s`},
		{"family", peer + "families: [ipv4-unicat]\n", `5:16: peers[0].families[0]: "ipv4-unicat" is no family: did you mean "ipv4-unicast"?`},
		{"no family", peer + "families: []\n", `5:15: peers[0].families is empty: name at least one family`},
		{"add-path", peer + "add_path: {send: best}\n", `5:22: peers[0].add_path.send: "best" is not off, all or best-N such as best-4`},
		{"policy", peer + "import: acept-all\n", `5:13: peers[0].import: no policy "acept-all": did you mean "accept-all"?`},
		{"group", peer + "group: customers\n", `5:12: peers[0].group: no group "customers"`},
		{"no own as", "peers: [{address: 192.0.2.1, as: 65001}]\n", `1:1: peers want as at the top of the file: this router's own AS number`},
		{"no as", "as: 1\npeers: [{address: 192.0.2.1}]\n", `2:9: peers[0] wants as, the peer's AS number`},
		{"two peers of one address", "as: 1\npeers:\n  - {address: 192.0.2.1, as: 2}\n  - {address: 192.0.2.1, as: 3}\n", `4:15: peers[1].address: 192.0.2.1 is peers[0]'s already`},
		{"active range", "as: 1\npeers: [{prefix: 192.0.2.0/24, as: any, mode: active}]\n", `2:41: peers[0]: a range of peers is passive: ribd can't call addresses that it does not know`},
		{"limit", peer + "max_prefixes: {ipv4-unicast: {warn: 10, limit: 5}}\n", `5:41: peers[0].max_prefixes.ipv4-unicast.warn: 10 is over the limit, 5`},
		{"restart without time", peer + "max_prefixes: {ipv4-unicast: {limit: 5, action: restart}}\n", `5:34: peers[0].max_prefixes.ipv4-unicast wants restart_after: how long the session stays down, such as 15m`},
		{"reflector outside", peer + "route_reflector_client: true\n", `5:5: peers[0].route_reflector_client is for internal peers (RFC 4456)`},
		{"role inside", "as: 1\npeers: [{address: 192.0.2.1, as: 1, local_role: peer}]\n", `2:37: peers[0].local_role is for external peers (RFC 9234), and this one is of AS 1 too`},
		{"condition", "policies: {a: [{if: 'prefix.length > (24', then: accept}]}\n", `1:21: policies.a[0].if: '(' never closes, at character 17 of the condition`},
		{"condition's quote", "policies: {a: [{if: 'family == \"x', then: accept}]}\n", `1:21: policies.a[0].if: a quote that never closes, at character 11 of the condition`},
		{"prefix set", "prefix_sets: {bogons: []}\npolicies: {a: [{if: 'prefix in prefix_set(\"bogon\")', then: accept}]}\n", `2:21: policies.a[0].if: no prefix set "bogon": did you mean "bogons"?`},
		{"then", "policies: {a: [{then: acept}]}\n", `1:23: policies.a[0].then: "acept" is not next, accept or reject: did you mean "accept"?`},
		{"no then", "policies: {a: [{if: 'true'}]}\n", `1:16: policies.a[0] wants then: accept, reject, next, or a mapping of changes`},
		{"two verdicts", "policies: {a: [{then: {accept: true, next: true}}]}\n", `1:24: policies.a[0].then says next and accept at once`},
		{"pattern added", "policies: {a: [{then: {add_communities: [\"65001:*\"]}}]}\n", `1:42: policies.a[0].then.add_communities[0]: 65001:* names many communities: * is for removing`},
		{"community", "blackhole: {communities: [blckhole]}\n", `1:27: blackhole.communities[0]: "blckhole" is not a community such as 65001:100 or no-export`},
		{"prefix range", "prefix_sets: {a: [\"10.0.0.0/8{4,32}\"]}\n", `1:19: prefix_sets.a[0]: 10.0.0.0/8{4,32}: lengths go from 8 to 32, the lesser first`},
		{"guard's endless ttl", "guards: {default_ttl: 0s}\n", `1:23: guards.default_ttl: 0 is no end at all, and max_ttl is 24h: give both as 0`},
		{"redirect", "peer_defaults: {flowspec_redirect: nexthop}\n", `1:36: peer_defaults.flowspec_redirect: "nexthop" is not community or next-hop: did you mean "next-hop"?`},
		{"guard's ttl", "guards: {max_ttl: 1h, default_ttl: 2h}\n", `1:36: guards.default_ttl: 2h is longer than max_ttl, 1h`},
		{"next hop's family", "blackhole: {next_hop: {ipv4: \"100::1\"}}\n", `1:30: blackhole.next_hop.ipv4: 100::1 is not an IPv4 address`},
		{"alias", "log: *l\n", `1:6: no anchor &l in this file`},
	} {
		_, err := Parse("f.yaml", []byte(c.src))
		got := "no error"
		if err != nil {
			got = err.Error()
		}
		if want := "f.yaml:" + c.want; got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

func TestAllProblemsComeAtOnceAndInOrder(t *testing.T) {
	src := "http: {listen: [x]}\nshards: -1\nas: one\npeers: [{adress: 192.0.2.1, as: 65001}]\n"
	_, err := Parse("f.yaml", []byte(src))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{"f.yaml:1:17: http.listen[0]", "f.yaml:2:9: shards", "f.yaml:3:5: as", "f.yaml:4:9: peers[0] wants address", `f.yaml:4:10: unknown key "adress" in peers[0]: did you mean "address"?`} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d of\n%v\nwant %s", i, err, want)
		}
	}
}

func TestDistanceCountsSwapsAsOne(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"listen", "lisetn", 1}, {"listen", "listen", 0}, {"kitten", "sitting", 3}, {"ab", "ba", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

// FuzzParse promises that every problem lies inside the file, and that what is
// taken is within the bounds that the rest of ribd counts on.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "shards: 2\n", "http: {listen: [\"127.0.0.1:0\"], tokens: [{name: a, role: read, secret_file: b}]}\n",
		"as: 1\npeers:\n  - {address: 192.0.2.1, as: 2, hold_time: 9s}\n", "policies: {a: [{if: 'x(\"y\")', then: {set: {med: 1}}}]}\n",
		"a: &b [*b]\n", "load: [{file: x}]\nload: y\n", "prefix_sets: {a: [\"10.0.0.0/8{8,24}\"]}\n", "\t", "? a\n: b\n", "é: {ü: 1}\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("f.yaml", []byte(src))
		if err == nil {
			if c.Shards < 0 || c.Shards > 256 || c.MemoryLimit != 0 && c.MemoryLimit < minMemory {
				t.Fatalf("out of bounds: %+v", c)
			}
			for _, p := range c.Peers {
				if !p.Address.IsValid() && !p.Prefix.IsValid() {
					t.Fatalf("a peer without address: %+v", p)
				}
			}
			return
		}
		ps, ok := err.(Problems)
		if !ok || len(ps) == 0 {
			t.Fatalf("not Problems: %v", err)
		}
		lines := strings.Count(strings.ReplaceAll(src, "\r", "\n"), "\n") + 1
		for _, p := range ps {
			if p.Text == "" || p.Line < 0 || p.Line > lines {
				t.Fatalf("outside of %d lines: %v", lines, p)
			}
		}
	})
}
