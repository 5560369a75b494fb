package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/wire"
)

// speaking starts an engine on a configuration with sessions, on ports of its
// own. The returned function writes the file anew.
func speaking(t *testing.T, src string, change func(*Options)) (*Engine, *client, func(src string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ribd.yaml")
	write := func(src string) {
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(src)
	read := func() (*config.Config, error) {
		c, err := config.Load(path)
		if err == nil {
			c.HTTP.Listen = []config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}}
			c.BGP.Listen = []config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}}
		}
		return c, err
	}
	c, err := read()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: c, Reread: read, ReadyAfter: time.Millisecond}
	if change != nil {
		change(&o)
	}
	e, cl := start(t, o)
	for _, a := range e.BGPAddrs() {
		engines.Store(a.String(), e)
		t.Cleanup(func() { engines.Delete(a.String()) })
	}
	return e, cl, write
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// routes asks for routes.
func (c *client) routes(query string) (r apiv1.Routes) {
	c.t.Helper()
	c.get("/api/v1/routes"+query, &r)
	return r
}

// established waits until a peer's session is: a player is told so a moment
// before its KEEPALIVE is taken in.
func (c *client) established(id string) {
	c.t.Helper()
	eventually(c.t, id+" is established", func() bool { return c.peer(id).State == "established" })
}

func (c *client) peer(id string) (p apiv1.Peer) {
	c.t.Helper()
	c.get("/api/v1/peers/"+id, &p)
	return p
}

const twoPeers = `
as: 64512
router_id: 192.0.2.254
peers:
  - {address: 127.9.1.1, as: 65001, mode: passive, name: one, import: accept-all, export: reject-all}
  - {address: 127.9.1.2, as: 65002, mode: passive, name: two, import: accept-all, export: accept-all}
`

func TestARouteGoesFromPeerToPeer(t *testing.T) {
	e, c, _ := speaking(t, twoPeers, nil)
	to := e.BGPAddrs()[0].String()
	one := play(t, to, playerOptions{from: ip("127.9.1.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.9.1.2"), as: 65002})
	one.announce(0, []uint32{65001, 65100}, nil, "203.0.113.0/24", "198.51.100.0/24")
	one.announce(0, []uint32{65001, 64512}, nil, "192.0.2.0/24") // a loop
	one.end()
	two.expect("the routes", "198.51.100.0/24", "203.0.113.0/24")
	path, _ := two.attr("203.0.113.0/24", wire.AttrASPath)
	if got := string(wire.AppendASPath(nil, path)); got != "64512 65001 65100" {
		t.Errorf("AS path %s", got)
	}
	if hop, _ := two.attr("203.0.113.0/24", wire.AttrNextHop); fmt.Sprint(hop) != "[127 0 0 1]" {
		t.Errorf("next hop %v", hop)
	}
	if r := c.one("?prefix=192.0.2.0/24&filtered=any"); !r.Filtered || r.FilterReason == nil || *r.FilterReason != "as-loop" {
		t.Errorf("the loop: %+v", r)
	}
	eventually(t, "End-of-RIB is seen", func() bool {
		f := c.peer("127.9.1.1").Families[0]
		return f.EndOfRIB != nil && f.EndOfRIB.Received != nil && f.EndOfRIB.Sent != nil
	})
	p := c.peer("127.9.1.1")
	if p.State != "established" || p.Families[0].Received != 3 || p.Families[0].Filtered != 1 || p.Families[0].Best != 2 || p.Messages.Received.Update < 3 {
		t.Errorf("peer one: %+v", p)
	}
	if adv := c.peer("127.9.1.2").Families[0].Advertised; adv != 2 {
		t.Errorf("advertised %d", adv)
	}
	sent := c.routes("?table=adj-out&peer=127.9.1.2").Routes
	if len(sent) != 2 || sent[0].Prefix == nil || *sent[0].Prefix != "198.51.100.0/24" || sent[0].ASPath != "64512 65001 65100" {
		t.Errorf("adj-out: %+v", sent)
	}
	one.withdraw(0, "198.51.100.0/24")
	two.expect("one is withdrawn", "203.0.113.0/24")
	one.close()
	two.expect("the peer is gone")
}

func TestAReloadTouchesOnlyWhatHasChanged(t *testing.T) {
	src := `
as: 64512
router_id: 192.0.2.254
peers:
  - {address: 127.9.2.1, as: 65001, mode: passive, import: in, export: reject-all}
  - {address: 127.9.2.2, as: 65002, mode: passive, import: accept-all, export: out}
  - {address: 127.9.2.3, as: 65003, mode: passive, import: accept-all, export: accept-all}
  - {address: 127.9.2.4, as: 65004, mode: passive, hold_time: 90s}
policies:
  in: [{then: accept}]
  out: [{if: 'from.asn == 65001', then: accept}]
`
	e, c, write := speaking(t, src, nil)
	to := e.BGPAddrs()[0].String()
	players := map[int]*player{}
	for i := 1; i <= 4; i++ {
		players[i] = play(t, to, playerOptions{from: ip(fmt.Sprintf("127.9.2.%d", i)), as: 65000 + uint32(i)})
	}
	players[1].announce(0, []uint32{65001}, nil, "203.0.113.0/24", "198.51.100.0/25")
	players[2].expect("both", "198.51.100.0/25", "203.0.113.0/24")
	players[3].expect("both", "198.51.100.0/25", "203.0.113.0/24")

	write(strings.Replace(src, "{address: 127.9.2.3", "{adress: 127.9.2.3", 1))
	if _, err := e.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "peers[2] wants address") {
		t.Errorf("a bad file: %v", err)
	}
	write(strings.Replace(src, "'from.asn == 65001'", "'from.asn == \"x\"'", 1))
	status, body := c.ask("POST", "/api/v1/reload", "application/json", nil)
	if status != 422 || !strings.Contains(string(body), "ribd.yaml") {
		t.Errorf("a bad condition: %d %s", status, body)
	}

	changed := strings.NewReplacer(
		"in: [{then: accept}]", "in: [{if: 'prefix.length > 24', then: reject}, {then: {accept: true, set: {local_pref: 77}}}]",
		"hold_time: 90s", "hold_time: 60s",
		"  - {address: 127.9.2.3", "  - {address: 127.9.2.9, as: 65009}\n  - {address: 127.9.2.3",
	).Replace(src)
	write(changed)
	var d apiv1.ConfigDiff
	c.get("/api/v1/config/diff", &d)
	effects := map[string]string{}
	for _, ch := range d.Changes {
		effects[ch.Section+" "+nameOf(ch)] = ch.Change + " " + ch.Effect
	}
	want := map[string]string{"policies in": "changed live", "peers 127.9.2.4": "changed reset", "peers 127.9.2.9": "added live"}
	for k, v := range want {
		if effects[k] != v {
			t.Errorf("diff of %s: got %q, want %q (%v)", k, effects[k], v, effects)
		}
	}
	if players[4].over() {
		t.Error("a diff has ended a session")
	}
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	players[2].expect("the longer one is refused now", "203.0.113.0/24")
	players[3].expect("the longer one is refused now", "203.0.113.0/24")
	eventually(t, "the peer whose hold time changed is reset", players[4].over)
	for i := 1; i <= 3; i++ {
		if players[i].over() {
			t.Errorf("player %d: its session has ended", i)
		}
	}
	eventually(t, "after policy: local-pref 77", func() bool {
		r := c.routes("?prefix=203.0.113.0/24").Routes
		return len(r) == 1 && r[0].LocalPref != nil && *r[0].LocalPref == 77
	})
	r := c.routes("?prefix=203.0.113.0/24&policy=pre").Routes
	if len(r) != 1 || r[0].LocalPref != nil {
		t.Errorf("before policy: %+v", r)
	}
	if r = c.routes("?prefix=198.51.100.0/25&filtered=true").Routes; len(r) != 1 || *r[0].FilterReason != "policy" {
		t.Errorf("refused: %+v", r)
	}
	if p := c.peer("127.9.2.9"); p.State == "established" || !p.Enabled {
		t.Errorf("the new peer: %+v", p)
	}

	write(strings.Replace(changed, "'from.asn == 65001'", "'from.asn == 65555'", 1))
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	players[2].expect("nothing passes its export now")
	players[3].expect("its export is as it was", "203.0.113.0/24")

	write(src[:strings.Index(src, "  - {address: 127.9.2.3")] + src[strings.Index(src, "policies:"):])
	if _, err := e.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a peer that is taken out of the file", players[3].over)
	if n := players[3].notifications(); len(n) != 1 || n[0].Code != wire.CodeCease || n[0].Subcode != 3 {
		t.Errorf("it is told %v, want cease, peer de-configured", n)
	}
	if status, _ := c.ask("GET", "/api/v1/peers/127.9.2.3", "", nil); status != 404 {
		t.Errorf("it is still listed: %d", status)
	}
}

func TestPeersOfTheAPISurviveARestart(t *testing.T) {
	dir := t.TempDir()
	src := "as: 64512\nrouter_id: 192.0.2.254\npersist: {dir: " + dir + "}\ngroups: {g: {import: accept-all, export: accept-all}}\n"
	var id string
	for round := range 2 {
		ok := t.Run(fmt.Sprint("start ", round+1), func(t *testing.T) {
			e, c, _ := speaking(t, src, nil)
			if round == 0 {
				status, b := c.ask("POST", "/api/v1/peers", "application/json", strings.NewReader(`{"address":"127.9.3.1","as":65001,"group":"g","mode":"passive","name":"api one"}`))
				var p apiv1.Peer
				if err := json.Unmarshal(b, &p); status/100 != 2 || err != nil {
					t.Fatalf("add: %d %s", status, b)
				}
				id = p.ID
				for body, want := range map[string]int{
					`{"address":"127.9.3.1","as":65001}`: 409, `{"address":"127.9.3.2"}`: 422, `{"address":"127.9.3.2","as":1,"group":"x"}`: 422, `{`: 400,
				} {
					if status, b := c.ask("POST", "/api/v1/peers", "application/json", strings.NewReader(body)); status != want {
						t.Errorf("%s: %d %s, want %d", body, status, b, want)
					}
				}
			}
			p := c.peer("127.9.3.1")
			if p.ID != id || p.Name == nil || *p.Name != "api one" || p.ConfiguredBy == nil || *p.ConfiguredBy != "api" {
				t.Errorf("got %+v", p)
			}
			one := play(t, e.BGPAddrs()[0].String(), playerOptions{from: ip("127.9.3.1"), as: 65001})
			one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
			eventually(t, "its route", func() bool { return len(c.routes("").Routes) == 1 })
			if _, err := e.Reload(context.Background()); err != nil {
				t.Errorf("reload: %v", err)
			}
			if one.over() {
				t.Error("a reload ends the session of a peer of the API")
			}
			if round == 1 {
				if status, b := c.ask("DELETE", "/api/v1/peers/"+id, "", nil); status/100 != 2 {
					t.Errorf("delete: %d %s", status, b)
				}
				eventually(t, "the session ends", one.over)
				if status, _ := c.ask("GET", "/api/v1/peers/127.9.3.1", "", nil); status != 404 {
					t.Errorf("still listed: %d", status)
				}
			}
		})
		if !ok {
			return
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "peers.json")); err != nil || strings.Contains(string(b), "127.9.3.1") {
		t.Errorf("kept after its deletion: %s %v", b, err)
	}
}

func TestShutdownTakesRoutesBackWhereThatIsConfigured(t *testing.T) {
	e, _, _ := speaking(t, "shutdown: withdraw\n"+strings.ReplaceAll(twoPeers, "127.9.1.", "127.9.4."), nil)
	to := e.BGPAddrs()[0].String()
	one := play(t, to, playerOptions{from: ip("127.9.4.1"), as: 65001})
	two := play(t, to, playerOptions{from: ip("127.9.4.2"), as: 65002})
	one.announce(0, []uint32{65001}, nil, "203.0.113.0/24")
	two.expect("the route", "203.0.113.0/24")
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "the session ends", two.over)
	if got := two.holds(); len(got) != 0 {
		t.Errorf("it was left with %v", got)
	}
	if n := two.notifications(); len(n) != 1 || n[0].Code != wire.CodeCease || n[0].Subcode != 2 {
		t.Errorf("got %v, want cease, administrative shutdown", n)
	}
}

func TestReadinessWaitsForThePeersForAWhile(t *testing.T) {
	e, c, _ := speaking(t, strings.ReplaceAll(twoPeers, "127.9.1.", "127.9.5."), func(o *Options) { o.ReadyAfter = time.Hour })
	to := e.BGPAddrs()[0].String()
	one := play(t, to, playerOptions{from: ip("127.9.5.1"), as: 65001})
	one.end()
	two := play(t, to, playerOptions{from: ip("127.9.5.2"), as: 65002})
	if status, b := c.ask("GET", "/readyz", "", nil); status != 503 || !strings.Contains(string(b), "End-of-RIB") {
		t.Errorf("before: %d %s", status, b)
	}
	two.end()
	eventually(t, "ready", func() bool { status, _ := c.ask("GET", "/readyz", "", nil); return status == 200 })

	_, c, _ = speaking(t, strings.ReplaceAll(twoPeers, "127.9.1.", "127.9.6."), func(o *Options) { o.ReadyAfter = 10 * time.Millisecond })
	eventually(t, "ready without peers", func() bool { status, _ := c.ask("GET", "/readyz", "", nil); return status == 200 })
}

func TestWithoutAnASNothingSpeaksBGP(t *testing.T) {
	e, _, _ := speaking(t, "{}", nil)
	if a := e.BGPAddrs(); len(a) != 0 {
		t.Errorf("listens on %v", a)
	}
	if _, err := e.Reload(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestPoliciesAreCompiledBeforeAnythingStarts(t *testing.T) {
	c := conf(t, "as: 64512\nrouter_id: 192.0.2.254\npolicies:\n  in:\n    - if: 'med > \"x\"'\n      then: accept\n")
	_, err := Start(Options{Config: c})
	if err == nil || !strings.Contains(err.Error(), "ribd.yaml:5:") {
		t.Errorf("got %v", err)
	}
}
