package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// sessions are those of the API's tests, which do nothing but note what was
// asked.
type sessions struct {
	mu    sync.Mutex
	list  []apiv1.Peer
	asked []string
	fail  error
}

func (s *sessions) List(match func(string, netip.Addr) bool) (out []apiv1.Peer) {
	for _, p := range s.list {
		if a, err := netip.ParseAddr(*p.Address); err == nil && (match == nil || match(p.ID, a)) {
			out = append(out, p)
		}
	}
	return out
}

func (s *sessions) note(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
	return s.fail
}

func (s *sessions) Add(config []byte) (apiv1.Peer, error) {
	addr := "192.0.2.30"
	return apiv1.Peer{ID: "00000000000000aa", Address: &addr, Source: "bgp", Type: "external", State: "idle"}, s.note("add %s", bytes.TrimSpace(config))
}
func (s *sessions) Delete(id, message string) error        { return s.note("delete %s %q", id, message) }
func (s *sessions) Enable(id string) error                 { return s.note("enable %s", id) }
func (s *sessions) Disable(id, message string) error       { return s.note("disable %s %q", id, message) }
func (s *sessions) Reset(id, message string) error         { return s.note("reset %s %q", id, message) }
func (s *sessions) Refresh(id string, f wire.Family) error { return s.note("refresh %s %s", id, f) }

// sent is the Adj-RIB-Out of one peer: the best paths, with ids.
type sent struct{ r *shard.RIB }

func (s sent) Err() error { return nil }

func (s sent) Paths(t rib.TableID, k trie.Key, n uint8, dst []api.Advertised) []api.Advertised {
	v := s.r.View()
	defer v.Close()
	for _, p := range v.Paths(v.Get(t, k, n), nil) {
		if p.Best {
			dst = append(dst, api.Advertised{Attrs: p.Attrs, PathID: 17, HasPathID: true, From: p.Peer})
		}
	}
	return dst
}

// withSessions serves the sessions of the API's tests and a few routes.
func withSessions(t *testing.T, change ...func(*api.Options)) (url string, s *sessions) {
	t.Helper()
	b, err := os.ReadFile("../../engine/api/testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	s = &sessions{}
	if err := json.Unmarshal(b, &s.list); err != nil {
		t.Fatal(err)
	}
	r, err := shard.Open(shard.Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	fan := r.NewFan()
	n, err := r.AddPeer(rib.PeerInfo{ID: "1111111111111111", Source: rib.SourceMRT, Collector: "rrc00", Addr: netip.MustParseAddr("192.0.2.200"), AS: 65000})
	if err != nil {
		t.Fatal(err)
	}
	attrs := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{0})
	attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrASPath, []byte{2, 2, 0, 0, 0xfc, 0, 0, 0, 0xfd, 0xe9})
	attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrNextHop, []byte{192, 0, 2, 254})
	id, _ := r.Attrs().Intern(attrs)
	for i := range 4 {
		k, l := trie.PrefixKey(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16))
		fan.Announce(rib.TableIPv4Unicast, k, l, &rib.Path{Peer: n, Attrs: id, Received: 1})
	}
	fan.Flush()
	r.Sync()
	o := api.Options{RIB: r, Peers: s, AdjOut: func(id string) api.AdjOut {
		if id == s.list[0].ID {
			return sent{r}
		}
		return nil
	}}
	for _, c := range change {
		c(&o)
	}
	server, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
		fan.Close()
		r.Close()
	})
	return "http://" + l.Addr().String(), s
}

// askAt is ask at the time that the sessions were recorded.
func askAt(t *testing.T, server, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := func() time.Time { return time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC) }
	code = runAt(ctx, append([]string{"--server", server}, args...), strings.NewReader(stdin), &o, &e, now)
	return code, o.String(), e.String()
}

func TestPagesOfSessions(t *testing.T) {
	url, _ := withSessions(t)
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"sessions", []string{"peers"}},
		{"sessions-down", []string{"peers", "--down"}},
		{"peer-established", []string{"peer", "192.0.2.1"}},
		{"peer-reflector", []string{"peer", "192.0.2.9"}},
		{"peer-limit", []string{"peer", "198.51.100.7"}},
		{"peer-disabled", []string{"peer", "203.0.113.3"}},
		{"peer-dynamic", []string{"peer", "127.0.2.17"}},
		{"peer-stale", []string{"peer", "2001:db8:3::1", "--history", "1"}},
		{"advertised", []string{"advertised", "192.0.2.1"}},
	} {
		code, out, errs := askAt(t, url, "", c.args...)
		if code != 0 || errs != "" {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
		golden.Compare(t, c.golden+".golden", []byte(out))
	}
	if _, out, _ := askAt(t, url, "", "peers", "192.0.2.200"); !strings.Contains(out, "LOADED for ") || !strings.Contains(out, "collector  rrc00\n") || strings.Contains(out, "MESSAGES") {
		t.Errorf("a loaded peer:\n%s", out)
	}
	code, out, _ := askAt(t, url, "", "peers", "--names")
	if code != 0 || out != "127.0.2.17\n192.0.2.1\ntransit-a\n192.0.2.9\nrr1\n192.0.2.200\n198.51.100.7\ncust-initech\n203.0.113.3\nix-rs1\n2001:db8:3::1\ntransit-b\n" {
		t.Errorf("names: %d %q", code, out)
	}
	code, out, errs := askAt(t, url, "", "advertised", "198.51.100.7")
	if code != 0 || !strings.Contains(errs, "session is down (active, NOTIFICATION sent") {
		t.Errorf("what a session that is down is sent: %d %s %s", code, out, errs)
	}
	if code, out, _ = askAt(t, url, "", "advertised", "192.0.2.1", "10.2.0.0/15", "--match", "longer", "--count"); code != 0 || out != "2 prefixes, 2 paths\n" {
		t.Errorf("count: %d %s", code, out)
	}
	if code, out, _ = askAt(t, url, "", "advertised", "192.0.2.1", "10.2.0.0/15", "--match", "longer", "--json"); code != 0 || strings.Count(out, `"path_id":17`) != 2 {
		t.Errorf("JSON: %d %s", code, out)
	}
	for _, args := range [][]string{{"peer", "192.0.2.1", "--json"}, {"peers", "--json"}} {
		if code, out, _ := askAt(t, url, "", args...); code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

func TestCommandsForSessions(t *testing.T) {
	url, s := withSessions(t)
	for _, c := range []struct {
		args  string
		asked string
		says  string
	}{
		{"enable 192.0.2.9", "enable 8f00c2d1e4b7a650", "192.0.2.9 is enabled"},
		{"disable 192.0.2.9 --message=bye", `disable 8f00c2d1e4b7a650 "bye"`, "192.0.2.9 is disabled"},
		{"reset 8f00c2d1e4b7a650 --message=bye", `reset 8f00c2d1e4b7a650 "bye"`, "8f00c2d1e4b7a650 is reset"},
		{"refresh 2001:db8:3::1 --family=ipv6-unicast", "refresh c4d8e9f00a1b2c3d ipv6-unicast", "is asked for its routes again"},
		{"delete-peer 203.0.113.3", `delete b3e97d20416f8ca5 ""`, "203.0.113.3 is deleted"},
		{"add-peer address=192.0.2.30 as=65030 families=[ipv4-unicast,ipv6-unicast] ttl_security={hops:1}", `add {"address": "192.0.2.30", "as": 65030, "families": ["ipv4-unicast", "ipv6-unicast"], "ttl_security": {"hops": 1}}`, "192.0.2.30 is added"},
	} {
		s.asked = nil
		code, out, errs := askAt(t, url, "", strings.Fields(c.args)...)
		if code != 0 || !strings.Contains(out, c.says) || !slices.Equal(s.asked, []string{c.asked}) {
			t.Errorf("%s: exit code %d, asked %q\n%s%s", c.args, code, s.asked, out, errs)
		}
	}
	s.asked = nil
	code, _, errs := askAt(t, url, "address: 192.0.2.30\nas: 65030\nimport: accept-all # for now\n", "add-peer", "-f", "-", "as=65031")
	if want := `add {"address": "192.0.2.30", "as": 65031, "import": "accept-all"}`; code != 0 || s.asked[0] != want {
		t.Errorf("from standard input: %d %s %q", code, errs, s.asked)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"add-peer", 2, "what peer?"}, {"add-peer address", 2, "KEY=VALUE"}, {"add-peer -f nowhere", 1, "--file"}, {"advertised 192.0.2.1 --peer=x", 2, "first argument"},
		{"reload", 1, "not in this build"}, {"enable 192.0.2.250", 1, "no peer"}, {"enable 192.0.2.200", 1, "no session"},
	} {
		if code, _, errs := askAt(t, url, "", strings.Fields(c.args)...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %d %s", c.args, code, errs)
		}
	}
	s.fail = &api.Refused{Detail: "the peer has 2 problems", Problems: []apiv1.ConfigProblem{{File: "body", Line: 1, Column: 9, Text: "as: 0 is no AS number"}, {File: "body", Text: "no address"}}}
	code, _, errs = askAt(t, url, "", "add-peer", "as=0")
	if want := "body:1:9: as: 0 is no AS number\nbody: no address\nribctl: the configuration has problems: nothing is changed\n"; code != 1 || errs != want {
		t.Errorf("got %d %s", code, errs)
	}
}

func TestConfigDiffAndReload(t *testing.T) {
	text := func(s string) *string { return &s }
	diff := apiv1.ConfigDiff{File: "/etc/ribd/ribd.yaml", Changes: []apiv1.ConfigChange{
		{Section: "policies", Name: text("transit-in"), Change: "changed", Effect: "live", Peers: []string{"192.0.2.1", "2001:db8:3::1"}},
		{Section: "peers", Name: text("192.0.2.1"), Change: "changed", Effect: "reset", Peers: []string{"192.0.2.1"}, Keys: []apiv1.ConfigKey{
			{Key: "hold_time", Old: text("90s"), New: text("30s")}, {Key: "ttl_security", New: text("{hops: 1}")}, {Key: "md5_file", Old: text("transit-a.key")}}},
		{Section: "peers", Name: text("198.51.100.9"), Change: "added", Effect: "live", Peers: []string{"198.51.100.9"}},
		{Section: "peers", Name: text("203.0.113.3"), Change: "removed", Effect: "reset", Peers: []string{"203.0.113.3"}},
		{Section: "shards", Change: "changed", Effect: "restart", Keys: []apiv1.ConfigKey{{Key: "shards", Old: text("2"), New: text("4")}}},
	}}
	var fail error
	url, _ := withSessions(t, func(o *api.Options) {
		o.ConfigDiff = func(context.Context) (apiv1.ConfigDiff, error) { return diff, fail }
		o.Reload = func(context.Context) (apiv1.Reload, error) { return apiv1.Reload{ConfigDiff: diff}, fail }
	})
	for _, c := range []struct{ golden, args string }{{"config-diff", "config diff"}, {"reload", "reload"}} {
		code, out, errs := askAt(t, url, "", strings.Fields(c.args)...)
		if code != 0 || errs != "" {
			t.Errorf("%s: %d %s", c.args, code, errs)
		}
		golden.Compare(t, c.golden+".golden", []byte(out))
	}
	diff.Changes = nil
	for args, want := range map[string]string{"config diff": "/etc/ribd/ribd.yaml is what runs\n", "reload": "/etc/ribd/ribd.yaml is as it was: nothing changed\n"} {
		if code, out, _ := askAt(t, url, "", strings.Fields(args)...); code != 0 || out != want {
			t.Errorf("%s: %d %s", args, code, out)
		}
	}
	fail = &api.Refused{Detail: "/etc/ribd/ribd.yaml has an error: nothing was changed", Problems: []apiv1.ConfigProblem{{File: "/etc/ribd/ribd.yaml", Line: 7, Column: 3, Text: `no key "peer": did you mean "peers"?`}}}
	for _, args := range []string{"config diff", "reload"} {
		code, out, errs := askAt(t, url, "", strings.Fields(args)...)
		if code != 1 || out != "" || !strings.HasPrefix(errs, "/etc/ribd/ribd.yaml:7:3: no key") || !strings.HasSuffix(errs, "nothing is changed\n") {
			t.Errorf("%s: %d %s %s", args, code, out, errs)
		}
	}
}

func TestCapabilitiesStandSideBySide(t *testing.T) {
	var caps []apiv1.Capability
	err := json.Unmarshal([]byte(`[
		{"code":64,"name":"graceful-restart","sent":{"time":120,"families":[{"family":"ipv4-unicast","forwarding":true}]},"received":{"time":30,"families":{"ipv4-unicast":{"forwarding":false,"stale_time":5}}},"negotiated":null},
		{"code":69,"name":"add-path","sent":{"ipv4-unicast":"both"},"received":null,"negotiated":{}},
		{"code":5,"name":"x\u001b[2J","sent":7,"received":[1,2],"negotiated":true}]`), &caps)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range caps {
		for _, r := range capabilityRows(&caps[i]) {
			got = append(got, strings.Join(r, "|"))
		}
	}
	want := []string{
		"graceful-restart|64|||-", "  ipv4-unicast||forwarding|not forwarding, stale time 5|-", "  time||120|30|-",
		"add-path|69||-|yes", "  ipv4-unicast||both|-|-",
		"x?[2J|5|7||yes", "  1||-|yes|-", "  2||-|yes|-",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestHexDumpsMarkTheFault(t *testing.T) {
	text := strings.Repeat("00", 20)
	if got := hexDump(text, 18); len(got) != 2 || got[1] != "0010  00 00[00]00" {
		t.Errorf("got %q", got)
	}
	long := hexDump(strings.Repeat("00", 4096), 3000)
	if n := len(long); n != maxDump/16+1 || !strings.Contains(strings.Join(long, "\n"), "[00]") || !strings.HasSuffix(long[n-1], "more") {
		t.Errorf("a long one: %d rows, %q", n, long[n-1])
	}
	if got := hexDump("zz", 0); got != nil {
		t.Errorf("no hex: %q", got)
	}
}
