package policy

import (
	"strings"
	"testing"

	"ribd/engine/config"
)

// complaints compiles a configuration and returns what is wrong, a line each.
func complaints(t *testing.T, text string) string {
	t.Helper()
	_, problems := Compile(parse(t, text), nil, nil)
	return problems.Error()
}

func TestComplaintsSayWhatWouldBeRight(t *testing.T) {
	for _, c := range []struct{ cond, want string }{
		{`prefix.lenght > 24`, "prefix has no lenght: it has address, family, length"},
		{`prefx.length > 24`, "there is no prefx.length: did you mean prefix.length?"},
		{`peer == 1`, "peer needs one of its fields: address, asn, description, group, name, role, route_reflector_client, route_server_client, router_id, type"},
		{`as_path.len == 1`, "as_path has no len: it has length, neighbor, origin"},
		{`prefix.length > "a"`, "> does not take (int, string)"},
		{`prefix.length`, "the condition is of type int: it has to be true or false"},
		{`dyn(true)`, "the condition is of type dyn: it has to be true or false"},
		{`as_path.contains("x")`, "as_path.contains does not take (list(int), string)"},
		{`as_path.contains()`, "as_path.contains takes one operand"},
		{`as_path.matches("(")`, "as_path.matches: \"(\" is not an expression in RE2's syntax, with _ for the start, the end, a space, a comma or a bracket: error parsing regexp: missing closing ): `(`"},
		{`"65001" in communities`, `"65001" is not a community such as 65001:100, 65001:* or no-export`},
		{`"65001:1" in large_communities`, `"65001:1" is not a large community such as 65001:1:2 or 65001:*:*`},
		{`"65001:1" in ext_communities`, `"65001:1" is not an extended community such as rt:65001:1 or rt:65001:*`},
		{`prefix in 5`, "in does not take (prefix, int)"},
		{`prefix in "10.0.0.1/8"`, "10.0.0.1/8 has host bits set: 10.0.0.0/8 is the prefix"},
		{`prefix in ["10.0.0.1/8"]`, "10.0.0.1/8 has host bits set: 10.0.0.0/8 is the prefix"},
		{`prefix == "foo"`, `"foo" is not a prefix such as 192.0.2.0/24`},
		{`prefix.contains("10.0.0.0/33")`, `"10.0.0.0/33" is not a prefix such as 192.0.2.0/24`},
		{`prefix in "::ffff:10.0.0.0/104"`, `::ffff:10.0.0.0/104 is IPv4 mapped into IPv6: write it as IPv4`},
		{`prefix in prefix_set(peer.name)`, "prefix_set takes the name of a set in quotes"},
		{`family == "ipv4"`, `"ipv4" is no family: ipv4-unicast, ipv6-flowspec, ... or afi-N-safi-M`},
		{`origin == "IGP"`, `origin is never "IGP": it is one of igp, egp, incomplete`},
		{`"x" == source`, `source is never "x": it is one of bgp, local, mrt, bmp`},
		{`peer.group != "custmers"`, `peer.group is never "custmers": it is one of customers, transits`},
		{`peer.role in ["rs", "x"]`, `peer.role is never "x": it is one of provider, rs, rs-client, customer, peer`},
		{`next_hop == "2001:DB8::1"`, `"2001:DB8::1" is written 2001:db8::1`},
		{`med = 5`, "unexpected =: it is written =="},
		{`med ==`, "the condition ends too early"},
		{`med == 5 and true`, "unexpected and: it is written &&"},
		{`foo(1)`, "there is no foo"},
		{`communities.exists(med, true)`, "med is a variable of conditions and can't stand for an element"},
		{`communities.exists(c, communities.exists(d, communities.exists(e, true)))`, "comprehension exceeds nesting limit"},
		{`google.protobuf.Int32Value{value: 1} == 1`, "a condition makes no messages: there is no google.protobuf.Int32Value"},
		{`has(peer.asn)`, "has() is of no use: every variable is there always; ask has_med or has_local_pref"},
	} {
		got := complaints(t, condition(c.cond))
		first, _, _ := strings.Cut(got, "\n")
		if _, text, _ := strings.Cut(first, "policies.p[0].if: "); text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.cond, text, c.want)
		}
	}
}

// TestComplaintsPointIntoTheFile puts ^ into conditions in every style of YAML:
// the complaint is of the character after it.
func TestComplaintsPointIntoTheFile(t *testing.T) {
	for name, text := range map[string]string{
		"double quotes":        "policies:\n  p:\n    - {if: \"true && ^foo\", then: accept}\n",
		"escapes":              "policies:\n  p:\n    - if: \"\\\"a\\\" == \\u0022a\\x22 && ^foo\"\n      then: accept\n",
		"single quotes":        "policies:\n  p:\n    - if: 'true && ^foo'\n      then: accept\n",
		"doubled quotes":       "policies:\n  p:\n    - if: '\"a\" == ''a'' && ^foo'\n      then: accept\n",
		"plain":                "policies:\n  p:\n    - if: true && ^foo\n      then: accept\n",
		"letters of any width": "policies:\n  p:\n    - if: '\"äöü€\" != \"\" && ^foo'\n      then: accept\n",
		"literal block":        "policies:\n  p:\n    - if: |\n        true &&\n          true &&\n        ^foo\n      then: accept\n",
		"blanks in a block":    "policies:\n  p:\n    - if: |\n        true &&   \n\n          ^foo\n      then: accept\n",
		"stripped block":       "policies:\n  p:\n    - if: |-\n        true && ^foo\n      then: accept\n",
		"folded block":         "policies:\n  p:\n    - if: >\n        true &&\n        true &&\n        ^foo\n      then: accept\n",
		"folded quotes":        "policies:\n  p:\n    - if: 'true &&\n        true && ^foo'\n      then: accept\n",
		"folded, empty lines":  "policies:\n  p:\n    - if: >\n        true &&\n\n        true &&\n\n\n        ^foo\n      then: accept\n",
		"quotes, empty lines":  "policies:\n  p:\n    - if: 'true &&  \n\n\n        ^foo'\n      then: accept\n",
		"an escaped line end":  "policies:\n  p:\n    - if: \"true && \\\n        ^foo\"\n      then: accept\n",
		"the second term":      "policies:\n  p:\n    - then: reject\n    - if: 'true && ^foo'\n      then: accept\n",
		"after a comment":      "# foo\npolicies:\n  p:\n    # foo\n    - if: '^foo' # foo\n      then: accept\n",
	} {
		before, _, _ := strings.Cut(text, "^")
		line := strings.Count(before, "\n") + 1
		col := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
		_, problems := Compile(parse(t, strings.Replace(text, "^", "", 1)), nil, nil)
		if len(problems) != 1 || problems[0].Line != line || problems[0].Col != col || problems[0].File != "test.yaml" {
			t.Errorf("%s: got %v, want it at %d:%d", name, problems, line, col)
		}
	}
}

func TestAllComplaintsAreMadeInTheOrderOfTheFile(t *testing.T) {
	got := complaints(t, "policies:\n  b:\n    - {if: 'foo', then: accept}\n    - {if: 'bar', then: accept}\n  a:\n    - {if: 'foo && bar', then: accept}\n")
	want := "test.yaml:3:13: policies.b[0].if: there is no foo\n" +
		"test.yaml:4:13: policies.b[1].if: there is no bar\n" +
		"test.yaml:6:13: policies.a[0].if: there is no foo\n" +
		"test.yaml:6:20: policies.a[0].if: there is no bar"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzCondition: whatever a condition says, compiling it ends with a Set or with
// complaints, and judging by it ends with one answer, the same in each way.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{
		`prefix.length > 24 || prefix in prefix_set("bogons")`, `"65001:*" in communities && med > 5`,
		`as_path.exists(a, a / (a - 65001) > 1)`, `[1, 2].map(x, x * 2).filter(x, x > 2) == [4]`, `{"a": med}["a"] == 10`,
		`as_path.matches("^" + string(peer.asn))`, "\"\\x00\" == '''a'''", `!(prefix == "10.0.0.0/8") ? true : 1 / med == 0`,
		`[[[[[[[[1]]]]]]]] == []`, `communities.map(c, communities.map(d, c + d)).size() > 1`, `prefix in [1]`, `type(prefix) == type(1)`,
		`timestamp("2020-01-01T00:00:00Z").getFullYear() == med`, `b"a" == bytes(origin)`, `communities + communities == []`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cond string) {
		a := newAttrs(t)
		cfg := &config.Config{File: "fuzz.yaml", Policies: map[string]config.Policy{"p": {{If: cond, IfLine: 1, IfCol: 1, IfSource: cond, Verdict: config.Accept}}},
			PrefixSets: parse(t, condition("true")).PrefixSets}
		s, problems := Compile(cfg, a, nil)
		if (s == nil) != (len(problems) > 0) {
			t.Fatalf("a set: %v, problems: %v", s != nil, problems)
		}
		if s == nil || cond == "" {
			return
		}
		_, terms := bothWays(t, a, cfg)
		tm := terms[0]
		ways(t, a, tm, usual, where{prefix: "10.0.0.0/24", pathID: 3})
		ways(t, a, tm, bare, where{prefix: "198.51.100.0/24"})
	})
}
