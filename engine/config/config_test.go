package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ribd/internal/golden"
	"ribd/wire"
)

// example is docs/config-example.yaml, which has every key.
func example(t *testing.T) *Config {
	t.Helper()
	c, err := Load(filepath.Join("..", "..", "docs", "config-example.yaml"))
	if err != nil {
		t.Fatalf("the example does not parse:\n%v", err)
	}
	return c
}

func TestExampleParsesIntoNativeValues(t *testing.T) {
	c := example(t)
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	dir := filepath.Dir(c.File)
	check("as", c.AS, uint32(64512))
	check("router_id", c.RouterID, netip.MustParseAddr("192.0.2.1"))
	check("memory_limit", c.MemoryLimit, uint64(8<<30))
	check("log.level", c.Log.Level, slog.LevelInfo)
	check("log.format", c.Log.Format, LogText)
	check("shutdown", c.Shutdown, ShutdownGraceful)
	check("listen", c.HTTP.Listen[0], Listen{"tcp", "127.0.0.1:8080"})
	check("listen on a socket", c.HTTP.Listen[1], Listen{"unix", "/run/ribd/http.sock"})
	check("token", c.HTTP.Tokens[0], Token{"detector", RoleAnnounce, filepath.Join(dir, "detector.token")})
	check("tls", *c.HTTP.TLS, TLS{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")})
	check("allow", c.HTTP.Allow[0], netip.MustParsePrefix("192.0.2.0/24"))
	check("loads", len(c.Load), 2)
	check("load", c.Load[1], Dump{filepath.Join(dir, "updates.mrt.gz"), "rrc00"})
	check("persist.dir", c.PersistDir, "/var/lib/ribd")
	check("peers", len(c.Peers), 2)

	p := c.Peers[0]
	check("address", p.Address, netip.MustParseAddr("127.0.1.1"))
	check("peer's as", p.AS.Numbers[0], uint32(65001))
	check("mode", p.Mode, ModeActive)
	check("families", len(p.Families), 4)
	check("add_path", p.AddPath.Send, AddPathSend(4))
	check("restart_time", p.GracefulRestart.RestartTime, 120*time.Second)
	check("llgr", p.GracefulRestart.LLGRStaleTime, time.Hour)
	check("local_role", p.LocalRole, RoleCustomer)
	check("ttl_security", p.TTLSecurity, uint8(1))
	check("max_prefixes", p.MaxPrefixes[wire.IPv4Unicast], MaxPrefixes{900000, 1200000, LimitShutdown, 0})
	check("next_hop", p.NextHop, NextHopSelf)
	check("hold_time from peer_defaults", p.HoldTime, 90*time.Second)

	r := c.Peers[1]
	check("range", r.Prefix, netip.MustParsePrefix("127.0.2.0/24"))
	check("range's ases", len(r.AS.Numbers), 2)
	check("role from the group", r.LocalRole, RoleProvider)
	check("limit from the group", r.MaxPrefixes[wire.IPv4Unicast].RestartAfter, 15*time.Minute)
	check("families from peer_defaults", len(r.Families), 2)

	in := c.Policies["transit-in"]
	check("a condition as written", strings.HasPrefix(in[0].IfSource, `'prefix.length > 24 || prefix in prefix_set("bogons")'`), true)
	check("terms", len(in), 5)
	check("reject", in[0].Verdict, Reject)
	check("next", in[1].Verdict, Next)
	check("local_pref", *in[1].Then.LocalPref, uint32(50))
	check("prepend", in[2].Then.PrependTimes, uint8(2))
	check("remove", in[2].Then.RemoveCommunities[0].String(), "65001:*")
	check("accept", in[2].Verdict, Accept)
	check("condition", in[3].If, `family == "ipv4-flowspec"`)
	check("prefix set", c.PrefixSets["bogons"][0], PrefixRange{netip.MustParsePrefix("10.0.0.0/8"), 8, 32})
	check("guards", c.Guards.MaxRulesPerPeer, 200)
	check("blackhole", c.Blackhole.NextHop6, netip.MustParseAddr("100::1"))
}

func TestExampleIsTheContract(t *testing.T) {
	contract, err := os.ReadFile(golden.Data(t, "..", "config-example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(filepath.Join("..", "..", "docs", "config-example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if string(contract) != string(ours) {
		t.Error("docs/config-example.yaml and the contract's config-example.yaml differ")
	}
}

func TestGuardsAndFlowSpecOfAFile(t *testing.T) {
	c, err := Parse("x.yaml", []byte("as: 64512\nguards: {max_ttl: 0s, default_ttl: 0s, max_rules: {total: 7}}\n"+
		"peers:\n  - {address: 192.0.2.1, as: 65001, flowspec_validation: no-destination, flowspec_redirect: next-hop}\n  - {address: 192.0.2.2, as: 65001}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if g, want := c.Guards, (Guards{MinLength4: 24, MinLength6: 48, MaxRules: 7}); !reflect.DeepEqual(g, want) {
		t.Errorf("guards: got %+v, want %+v", g, want)
	}
	if p := c.Peers[0]; p.FlowSpec != FlowSpecNoDestination || p.FlowSpecRedirect != FlowSpecRedirectNextHop {
		t.Errorf("got %v %v", p.FlowSpec, p.FlowSpecRedirect)
	}
	if p := c.Peers[1]; p.FlowSpec != FlowSpecStrict || p.FlowSpecRedirect != FlowSpecRedirectCommunity {
		t.Errorf("defaults: got %v %v", p.FlowSpec, p.FlowSpecRedirect)
	}
}

func TestFilesThatAreMissingAreListedWithTheirPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ribd.yaml")
	src := "load:\n  - {file: there.mrt}\n  - {file: gone.mrt, collector: rrc00}\n  - file: .\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "there.mrt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := path + ":3:12: load[1].file: no file " + filepath.Join(dir, "gone.mrt") + "\n" +
		path + ":4:11: load[2].file: " + dir + " is a folder, not a file"
	if got := c.Missing().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNoFileIsLoopbackWithAnEmptyTable(t *testing.T) {
	for _, src := range []string{"", "# nothing\n", "---\n", "http:\nload:\n"} {
		c, err := Parse("empty.yaml", []byte(src))
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		if c.HTTP.Listen[0].String() != "127.0.0.1:8080" || len(c.HTTP.Allow) != 2 || len(c.Load) != 0 || c.AS != 0 {
			t.Errorf("%q: got %+v", src, c.HTTP)
		}
	}
}

func TestAnchorsAreFollowed(t *testing.T) {
	src := "as: 64512\npeers:\n" +
		"  - {address: 192.0.2.1, as: 65001, families: &four [ipv4-unicast]}\n" +
		"  - {address: 192.0.2.2, as: 65001, families: *four}\n"
	c, err := Parse("x.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Peers[1].Families; len(got) != 1 || got[0] != wire.IPv4Unicast {
		t.Errorf("got %v", got)
	}
	for _, src := range []string{"load: &a [*a]\n", "http: &a\n  listen: *a\n", "log: *nowhere\n"} {
		if _, err := Parse("x.yaml", []byte(src)); err == nil {
			t.Errorf("%q is taken", src)
		}
	}
}

func TestAddPathForFamiliesByName(t *testing.T) {
	src := "as: 64512\npeers:\n  - address: 192.0.2.1\n    as: 65001\n" +
		"    add_path: {receive: false, send: {ipv4-unicast: all, ipv6-unicast: best-2}}\n"
	c, err := Parse("x.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	ap := c.Peers[0].AddPath
	if ap.Receive || ap.Send != 0 || ap.ByFamily[wire.IPv4Unicast].Send != AddPathAll || ap.ByFamily[wire.IPv6Unicast].Send != 2 {
		t.Errorf("got %+v", ap)
	}
}

func TestListenAddresses(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Listen
		ok   bool
	}{
		{"127.0.0.1:8080", Listen{"tcp", "127.0.0.1:8080"}, true},
		{"[::1]:0", Listen{"tcp", "[::1]:0"}, true},
		{":8080", Listen{"tcp", ":8080"}, true},
		{"localhost:80", Listen{"tcp", "localhost:80"}, true},
		{"unix:/run/x", Listen{"unix", "/run/x"}, true},
		{"unix:", Listen{}, false},
		{"127.0.0.1", Listen{}, false},
		{"127.0.0.1:http", Listen{}, false},
		{"127.0.0.1:70000", Listen{}, false},
		{"example.net:80", Listen{}, false},
		{"::1:8080", Listen{}, false},
	} {
		got, err := ParseListen(c.in)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %v, %v", c.in, got, err)
		}
	}
}

func TestSizesAndDurations(t *testing.T) {
	for in, want := range map[string]uint64{
		"1": 1, "8GiB": 8 << 30, "512 MiB": 512 << 20, "1.5GiB": 3 << 29, "2GB": 2e9, "10B": 10, "1kB": 1000,
	} {
		if got, ok := parseSize(in); !ok || got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "8 gigs", "1.5", "9000000TiB", "1e300GiB", "NaNGiB"} {
		if got, ok := parseSize(in); ok {
			t.Errorf("%q is taken as %d", in, got)
		}
	}
	if d, err := parseDuration("7d"); err != nil || d != 168*time.Hour {
		t.Errorf("7d: %v, %v", d, err)
	}
	if s := short(90 * time.Minute); s != "1h30m" {
		t.Errorf("90 minutes: %s", s)
	}
	if s := formatSize(minMemory); s != "64MiB" {
		t.Errorf("64 MiB: %s", s)
	}
}
