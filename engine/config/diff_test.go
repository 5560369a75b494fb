package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(src))
	if err != nil {
		t.Fatalf("%s\n%v", src, err)
	}
	return c
}

func TestDiffNamesWhatChangesAndNothingElse(t *testing.T) {
	before := `
as: 64512
log: {level: info}
policies:
  in: [{if: 'med > 5', then: reject}, {then: accept}]
peers:
  - {address: 192.0.2.1, as: 65001, import: in, families: [ipv4-unicast]}
  - {address: 192.0.2.2, as: 65002}
  - {prefix: 198.51.100.0/24, as: any, group: g}
groups: {g: &g {hold_time: 30s}}
`
	same := `
peers:
  - {address: 192.0.2.2, as: 65002}
  - {prefix: 198.51.100.0/24, group: g, as: any}
  - address: 192.0.2.1
    as: 65001
    families:
      - ipv4-unicast
    import: in
groups: {g: {hold_time: 30s}}
as: 64512
log:
  level: "info"
policies:
  in:
    - if: 'med > 5'
      then: reject
    - then: accept
`
	if d := parse(t, before).Diff(parse(t, same)); len(d) != 0 {
		t.Errorf("another order and form: got %v", d)
	}
	after := strings.NewReplacer("level: info", "level: debug", "med > 5", "med > 6", "[ipv4-unicast]", "[ipv4-unicast, ipv6-unicast]",
		"  - {address: 192.0.2.2, as: 65002}\n", "  - {address: 192.0.2.3, as: 65003}\n").Replace(before)
	var got []string
	for _, c := range parse(t, before).Diff(parse(t, after)) {
		got = append(got, c.Top()+" | "+c.String())
	}
	want := []string{
		"log | ~ log.level: info -> debug",
		"peers | ~ peers[192.0.2.1].families: [ipv4-unicast] -> [ipv4-unicast, ipv6-unicast]",
		"peers | - peers[192.0.2.2].address: 192.0.2.2",
		"peers | - peers[192.0.2.2].as: 65002",
		"peers | + peers[192.0.2.3].address: 192.0.2.3",
		"peers | + peers[192.0.2.3].as: 65003",
		"policies | ~ policies.in[1].if: med > 5 -> med > 6",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := Default().Diff(parse(t, "as: 1\n")); len(d) != 1 {
		t.Errorf("from nothing: got %v", d)
	}
}

func TestAliasesThatGrowWithoutEndAreBounded(t *testing.T) {
	src := "groups:\n  a: &a {hold_time: 30s}\n  b: &b {hold_time: *b}\n"
	if _, err := Parse("f.yaml", []byte(src)); err == nil {
		t.Error("an alias that names itself is taken")
	}
}

func TestOnePeerIsReadAsInTheFile(t *testing.T) {
	c := parse(t, `
as: 64512
peer_defaults: {hold_time: 33s}
groups: {customers: {import: in, local_role: provider}}
policies: {in: [{then: accept}]}
peers:
  - {address: 192.0.2.1, as: 65001, name: one}
`)
	p, err := c.ParsePeer("body", []byte(`{"address": "192.0.2.9", "as": 65009, "group": "customers", "export": "reject-all"}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Address.String() != "192.0.2.9" || p.HoldTime.Seconds() != 33 || p.Import != "in" || p.Export != "reject-all" || p.LocalRole != RoleProvider {
		t.Errorf("got %+v", p)
	}
	if len(c.Peers) != 1 {
		t.Error("the configuration has changed")
	}
	for body, want := range map[string]string{
		`{"address": "192.0.2.1", "as": 65001}`:                        "body:1:13: peer.address: 192.0.2.1 is one's already",
		`{"address": "192.0.2.3", "as": 65001, "name": "one"}`:         "one's already",
		`{"address": "192.0.2.3"}`:                                     "wants as",
		`{"as": 5}`:                                                    "wants address",
		`{"address": "192.0.2.3", "as": 5, "imprt": "x"}`:              `did you mean "import"`,
		`{"address": "192.0.2.3", "as": 5, "import": "out"}`:           `no policy "out"`,
		`{"address": "192.0.2.3", "as": 5, "md5_file": "/nowhere/at"}`: "no file",
		`[1]`:  "mapping of keys",
		``:     "one peer is wanted",
		`{"a"`: "not YAML",
	} {
		_, err := c.ParsePeer("body", []byte(body))
		var ps Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
	if _, err := Default().ParsePeer("body", []byte(`{"address": "192.0.2.3", "as": 5}`)); err == nil || !strings.Contains(err.Error(), "no as") {
		t.Errorf("without an AS: got %v", err)
	}
}
