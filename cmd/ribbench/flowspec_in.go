package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"ribd/internal/benchkit"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// ruleFeed is a peer with Flow Spec rules, and with the routes that make them
// feasible.
type ruleFeed struct {
	feed           // the routes
	rules   []byte // UPDATEs
	count   int
	updates int
}

const (
	feederAS  = 65001
	ruleCount = 100_000
)

// rulesFeed makes UPDATEs of n rules in the order in which they were made up: the
// rules of a victim, a few of them, have the same actions and share an UPDATE.
// Rules of 240 octets and more are left out, since GoBGP 4 resets the session.
func (e *env) rulesFeed(n int) (*ruleFeed, error) {
	f := &ruleFeed{feed: feed{as: feederAS, from: feederAddr(0)}}
	set := e.ruleSet(n+n/20, false) // and those that name no destination
	attrs, err := ruleAttributes()
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 1))
	routes, rules := wire.NewEncoder(wire.SendOptions{AS4: true}), wire.NewEncoder(wire.SendOptions{AS4: true})
	hop := wire.AppendAttr(append([]byte(nil), attrs[0]...), 0x40, wire.AttrNextHop, f.from.AsSlice())
	if err := routes.Announce(wire.IPv4Unicast, hop); err != nil {
		return nil, err
	}
	seen := map[netip.Prefix]bool{}
	var last netip.Addr
	if e.Smoke {
		n /= 50
	}
	for _, rule := range set.Rules {
		if !rule.Net.IsValid() || len(rule.NLRI) > 240 || f.count == n {
			continue
		}
		if rule.Hit.Dst != last {
			last = rule.Hit.Dst
			if err := rules.Announce(wire.IPv4FlowSpec, attrs[1+r.IntN(len(attrs)-1)]); err != nil {
				return nil, err
			}
		}
		if !rules.RouteRaw(rule.NLRI, 0) {
			return nil, fmt.Errorf("a rule of %d octets does not fit", len(rule.NLRI))
		}
		f.count++
		if !seen[rule.Net] {
			seen[rule.Net] = true
			a := rule.Net.Addr().As4()
			routes.Route4(uint32(a[0])<<24|uint32(a[1])<<16|uint32(a[2])<<8|uint32(a[3]), uint8(rule.Net.Bits()), 0)
			f.routes++
		}
	}
	f.announce = routes.Flush()
	f.rules = rules.Flush()
	f.updates = countMessages(f.rules)
	return f, nil
}

// ruleAttributes are the attributes of a unicast route, but for the next hop, and
// then of rules: discard, limits, marks.
func ruleAttributes() (sets [][]byte, err error) {
	base := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{0})
	base = wire.AppendAttr(base, 0x40, wire.AttrASPath, []byte{2, 1, 0, 0, byte(feederAS >> 8), byte(feederAS & 0xff)})
	sets = [][]byte{base}
	for _, text := range []string{"rate-limit 0", "rate-limit 125000", "rate-limit 1250000", "mark 10", "discard", "rate-limit 625000"} {
		a, err := flowspec.ParseActions(text)
		if err != nil {
			return nil, err
		}
		var edit wire.AttrEditor
		edit.Start(base)
		if err := a.Apply(&edit, flowspec.RedirectCommunity); err != nil {
			return nil, err
		}
		sets = append(sets, edit.Append(nil))
	}
	return sets, nil
}

// ribdRules is ribd with sessions for rules, which are validated.
var ribdRules = &rival{
	name: "ribd",
	find: (*env).ribd,
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		return ribdCommand(program, dir, rulesConfig(to, "warn"))
	},
	count: func(d *daemon) (int, error) {
		text, err := d.metrics()
		if err != nil {
			return 0, err
		}
		return sumOf(activeRules, text)
	},
}

// rulesConfig is a configuration of ribd for the sessions of rules.
func rulesConfig(to netip.AddrPort, log string) string {
	return fmt.Sprintf(`as: %d
router_id: 192.0.2.254
bgp: {listen: ["%s"]}
http: {listen: ["127.0.0.1:0"]}
log: {level: %s}
peer_defaults: {families: [ipv4-unicast, ipv4-flowspec], hold_time: 240s, flowspec_validation: strict}
peers:
  - {prefix: 127.1.0.0/16, as: any, import: accept-all, export: reject-all}
`, ownAS, to, log)
}

var activeRules = regexp.MustCompile(`(?m)^ribd_flowspec_rules\{[^}]*state="active"[^}]*\} (\d+)`)

// birdRules is BIRD 2 with a channel for rules, which it validates, too.
var birdRules = &rival{
	name: "BIRD 2",
	find: inPath("bird", "/usr/sbin/bird"),
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		conf := fmt.Sprintf(`router id 192.0.2.254;
log "%[3]s/bird.log" all;
protocol device {}
ipv4 table master4 { trie yes; };
ipv4 table hops;
flow4 table rules;
protocol static { ipv4 { table hops; }; route 127.0.0.0/8 via "lo"; }
protocol bgp feeder {
  local %[1]s port %[2]d as %[4]d;
  neighbor %[5]s as %[6]d;
  strict bind;
  passive;
  hold time 240;
  multihop;
  ipv4 { import all; export none; igp table hops; };
  flow4 { table rules; import all; export none; base table master4; };
}
`, to.Addr(), to.Port(), dir, ownAS, feederAddr(0), feederAS)
		return birdCommand(program, dir, conf)
	},
	count: func(d *daemon) (int, error) {
		out, err := exec.Command("birdc", "-s", filepath.Join(d.dir, "bird.ctl"), "show", "protocols", "all", "feeder").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("birdc: %w\n%s", err, out)
		}
		n, seen := 0, birdRuleCount.FindSubmatch(out)
		if seen != nil {
			n, err = strconv.Atoi(string(seen[1]))
		}
		return n, err
	},
}

var birdRuleCount = regexp.MustCompile(`(?s)Channel flow4.*?Routes:\s+(\d+) imported`)

// gobgpRules is GoBGP 4, which does not validate rules.
var gobgpRules = &rival{
	name: "GoBGP 4",
	find: inPeers("gobgpd4"),
	start: func(_ *env, program string, to netip.AddrPort, dir string) (*exec.Cmd, error) {
		conf := fmt.Sprintf(`[global.config]
as = %[3]d
router-id = "192.0.2.254"
port = %[2]d
local-address-list = [%[1]q]
[[neighbors]]
[neighbors.config]
neighbor-address = %[4]q
peer-as = %[5]d
[neighbors.transport.config]
passive-mode = true
[neighbors.ebgp-multihop.config]
enabled = true
multihop-ttl = 64
[neighbors.timers.config]
hold-time = 240
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-unicast"
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-flowspec"
`, to.Addr(), to.Port(), ownAS, feederAddr(0), feederAS)
		file := filepath.Join(dir, "gobgp.toml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(program, "-f", file, "-l", "warn", "--pprof-disable", "--api-hosts", "unix://"+filepath.Join(dir, "ctl")), nil
	},
	count: func(d *daemon) (int, error) {
		cli := filepath.Join(filepath.Dir(d.cmd.Path), "gobgp4")
		out, err := exec.Command(cli, "--target", "unix://"+filepath.Join(d.dir, "ctl"), "global", "rib", "summary", "-a", "ipv4-flowspec").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("gobgp: %w\n%s", err, out)
		}
		return sumOf(gobgpCount, out)
	},
}

var gobgpCount = regexp.MustCompile(`Path: (\d+)`)

// metrics gets ribd's metrics from its socket.
func (d *daemon) metrics() ([]byte, error) {
	resp, err := d.get("/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// rulesTaken is what one daemon that takes rules shows.
type rulesTaken struct {
	seconds, cpu float64
	octets       float64 // resident, a rule
}

// rulesOnce starts a daemon, gives it the routes, then the rules. ok is false where
// it is not on this machine.
func (e *env) rulesOnce(r *rival, f *ruleFeed) (t rulesTaken, ok bool, err error) {
	d, err := e.launch(r)
	if err != nil || d == nil {
		return t, false, err
	}
	defer d.explain(&err)
	s, err := speak(f.from, d.to, f.as, false, nil, wire.IPv4FlowSpec)
	if err != nil {
		return t, false, err
	}
	defer s.close()
	if err = s.send(f.announce); err != nil {
		return t, false, err
	}
	time.Sleep(e.span(2 * time.Second)) // the routes are in
	base, err := d.resident()
	if err != nil {
		return t, false, err
	}
	cpu0, _ := d.cpu()
	start := time.Now()
	if err = s.send(f.rules); err != nil {
		return t, false, err
	}
	end, err := d.reach(func(n int) bool { return n >= f.count }, s)
	if err != nil {
		return t, false, err
	}
	time.Sleep(e.span(2 * time.Second))
	cpu, _ := d.cpu()
	rss, err := d.resident()
	used := max(cpu-cpu0, 10*time.Millisecond) // the clock's tick
	return rulesTaken{end.Sub(start).Seconds(), used.Seconds(), (rss - base) / float64(f.count)}, true, err
}

// takeRules measures 100,000 rules from one peer, until they are all validated and
// matched, beside BIRD 2 and GoBGP 4.
func (e *env) takeRules() error {
	e.note("taking %d rules in", ruleCount)
	f, err := e.rulesFeed(ruleCount)
	if err != nil {
		return err
	}
	rivals := []*rival{ribdRules, birdRules, gobgpRules}
	taken := make([][]rulesTaken, len(rivals))
	for run := range e.Runs {
		for i := range rivals {
			i = (i + run) % len(rivals)
			t, ok, err := e.rulesOnce(rivals[i], f)
			if err != nil {
				return err
			}
			if ok {
				taken[i] = append(taken[i], t)
			}
		}
	}
	for _, c := range []struct {
		name, unit string
		of         func(rulesTaken) float64
		goal       *benchkit.Goal
	}{
		{"", "s", func(t rulesTaken) float64 { return t.seconds }, benchkit.AtMost(0.5)},
		{", CPU seconds", "s", func(t rulesTaken) float64 { return t.cpu }, nil},
		{", resident bytes a rule", "B", func(t rulesTaken) float64 { return t.octets }, nil},
	} {
		e.takeRulesRows(fmt.Sprintf("take in %d rules from a peer%s", f.count, c.name), c.unit, f, rivals, taken, c.of, e.atFull(c.goal))
	}
	return nil
}

// takeRulesRows adds a figure beside each rival that is there.
func (e *env) takeRulesRows(name, unit string, f *ruleFeed, rivals []*rival, taken [][]rulesTaken, of func(rulesTaken) float64, goal *benchkit.Goal) {
	values := make([][]float64, len(rivals))
	for i := range taken {
		for _, t := range taken[i] {
			values[i] = append(values[i], of(t))
		}
	}
	alone := true
	for i, r := range rivals {
		if i == 0 || len(values[i]) == 0 {
			continue
		}
		alone = false
		row := benchkit.Paired(name+", beside "+r.name, unit, r.name, values[0], values[i], benchkit.LessIsBetter, goal)
		row.Note = fmt.Sprintf("%d UPDATEs; ribd until the last one can be matched, the others until it is in the table; ribd and BIRD validate them by %d routes, GoBGP does not", f.updates, f.routes)
		e.add(row)
	}
	if alone {
		e.add(benchkit.Single(name, unit, values[0], goal))
	}
}
