//go:build linux

package peertest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// bird is BIRD 2. A change is a new configuration file.
type bird struct{ base }

func newBIRD(b base) *bird {
	d := &bird{base: b}
	d.proc = NewProc(b.t, b.host, "bird", b.dir, nil,
		program(BIRD, 0), "-f", "-c", filepath.Join(b.dir, "bird.conf"), "-s", d.socket())
	return d
}

func (d *bird) socket() string { return filepath.Join(d.dir, "ctl") }

func (d *bird) Start(restart bool) {
	d.t.Helper()
	d.file("bird.conf", d.conf())
	if restart {
		d.proc.argv = append(d.proc.argv, "-R")
		defer func() { d.proc.argv = d.proc.argv[:len(d.proc.argv)-1] }()
	}
	d.proc.Start()
	d.ready(func() error {
		_, err := d.ctl("show status")
		return err
	})
}

func (d *bird) Stop() { d.proc.Stop() }

func (d *bird) ctl(command string) (string, error) {
	out, err := d.host.Run(program(BIRD, 1), "-s", d.socket(), command)
	return string(out), err
}

// birdFamilies maps a family to its table and channel.
var birdFamilies = map[string]struct{ channel, table string }{
	"ipv4-unicast":  {"ipv4", "master4"},
	"ipv6-unicast":  {"ipv6", "master6"},
	"ipv4-flowspec": {"flow4", "rules4"},
	"ipv6-flowspec": {"flow6", "rules6"},
}

func (d *bird) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "log stderr all;\nrouter id %s;\ndebug protocols { states, events };\n", d.cfg.ID)
	if d.cfg.Restart > 0 {
		fmt.Fprintf(&b, "graceful restart wait 10;\n")
	}
	// MED goes to an external peer only where the filter sets it.
	b.WriteString("protocol device { }\nfilter sent { if source = RTS_STATIC && defined(bgp_med) then bgp_med = bgp_med; accept; }\n")
	d.statics(&b)
	birdRules(&b, d.cfg.Rules)
	for i := range d.cfg.Neighbors {
		n := &d.cfg.Neighbors[i]
		fmt.Fprintf(&b, "protocol bgp p%d {\n  local %s as %d;\n  neighbor %s as %d;\n", i, d.host.Addr(n.Address), d.cfg.AS, n.Address, n.AS)
		fmt.Fprintf(&b, "  hold time %d;\n  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n  error forget time 2;\n", int(d.cfg.Hold.Seconds()))
		if n.Passive {
			b.WriteString("  passive yes;\n")
		}
		if n.MD5 != "" {
			fmt.Fprintf(&b, "  password %q;\n", n.MD5)
		}
		if n.TTL {
			b.WriteString("  ttl security yes;\n")
		}
		if d.cfg.Restart > 0 {
			fmt.Fprintf(&b, "  graceful restart yes;\n  graceful restart time %d;\n", int(d.cfg.Restart.Seconds()))
		}
		if n.Role != "" {
			fmt.Fprintf(&b, "  local role %s;\n", strings.ReplaceAll(n.Role, "-", "_"))
		}
		if n.RouteServerClient {
			b.WriteString("  rs client;\n")
		}
		if n.ReflectorClient {
			b.WriteString("  rr client;\n")
		}
		for _, f := range n.families() {
			if strings.HasSuffix(f, "flowspec") {
				// Rules are looked at by tests, not used: their validity is not judged.
				fmt.Fprintf(&b, "  %s { table %s; import all; export all; validate off; };\n", birdFamilies[f].channel, birdFamilies[f].table)
				continue
			}
			ways := map[[2]bool]string{{true, true}: "on", {true, false}: "tx", {false, true}: "rx", {}: "off"}
			more := ""
			if n.ExtendedNextHop && !n.Address.Is4() && strings.HasPrefix(f, "ipv4") {
				more = " extended next hop yes;"
			}
			fmt.Fprintf(&b, "  %s {%s import all; export filter sent; add paths %s; next hop self ebgp; };\n",
				birdFamilies[f].channel, more, ways[[2]bool{n.AddPathSend, n.AddPathReceive}])
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// statics writes the routes: one protocol for each path id, since a static
// protocol has one route a prefix.
func (d *bird) statics(b *strings.Builder) {
	var ids []uint32
	for _, r := range d.cfg.Routes {
		if !slices.Contains(ids, r.PathID) {
			ids = append(ids, r.PathID)
		}
	}
	for _, id := range ids {
		for _, f := range []string{"ipv4-unicast", "ipv6-unicast"} {
			fmt.Fprintf(b, "protocol static s%d_%s {\n  %s;\n", id, birdFamilies[f].channel, birdFamilies[f].channel)
			for _, r := range d.cfg.Routes {
				if r.PathID == id && r.Family() == f {
					fmt.Fprintf(b, "  route %s blackhole { %s };\n", r.Prefix, birdAttrs(r))
				}
			}
			b.WriteString("}\n")
		}
	}
}

func birdAttrs(r Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bgp_origin = ORIGIN_%s; ", strings.ToUpper(r.Origin))
	path := strings.Fields(r.ASPath)
	slices.Reverse(path)
	for _, as := range path {
		fmt.Fprintf(&b, "bgp_path.prepend(%s); ", as)
	}
	if r.MED != nil {
		fmt.Fprintf(&b, "bgp_med = %d; ", *r.MED)
	}
	if r.LocalPref != nil {
		fmt.Fprintf(&b, "bgp_local_pref = %d; ", *r.LocalPref)
	}
	for _, c := range r.Communities {
		fmt.Fprintf(&b, "bgp_community.add((%s)); ", strings.ReplaceAll(c, ":", ","))
	}
	for _, c := range r.LargeCommunities {
		fmt.Fprintf(&b, "bgp_large_community.add((%s)); ", strings.ReplaceAll(c, ":", ","))
	}
	for _, c := range r.ExtCommunities {
		fmt.Fprintf(&b, "bgp_ext_community.add((%s)); ", strings.ReplaceAll(c, ":", ","))
	}
	return b.String()
}

// apply takes up a changed configuration without touching the sessions.
func (d *bird) apply() error {
	d.file("bird.conf", d.conf())
	out, err := d.ctl("configure")
	if err == nil && !strings.Contains(out, "econfigur") {
		err = fmt.Errorf("bird: configure: %s", out)
	}
	return err
}

func (d *bird) Announce(routes ...Route) error {
	d.add(routes)
	return d.apply()
}

func (d *bird) Withdraw(routes ...Route) error {
	d.remove(routes)
	return d.apply()
}

func (d *bird) protocol(n netip.Addr) (string, error) {
	i, _, err := d.neighbor(n)
	return fmt.Sprintf("p%d", i), err
}

var (
	birdState = regexp.MustCompile(`BGP state:\s+(\S+)`)
	birdError = regexp.MustCompile(`(?m)^\s+(?:Last error|Message):\s+(.*)$`)
)

func (d *bird) State(neighbor netip.Addr) (string, error) {
	out, err := d.show(neighbor)
	if err != nil {
		return "", err
	}
	m := birdState.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("bird: %s", out)
	}
	return strings.ToLower(m[1]), nil
}

func (d *bird) show(neighbor netip.Addr) (string, error) {
	p, err := d.protocol(neighbor)
	if err != nil {
		return "", err
	}
	return d.ctl("show protocols all " + p)
}

func (d *bird) LastError(neighbor netip.Addr) (string, error) {
	p, _ := d.protocol(neighbor)
	out, err := d.show(neighbor)
	lines := d.logged(" "+p+": ", "Received")
	for _, m := range birdError.FindAllStringSubmatch(out, -1) {
		lines = append(lines, m[1])
	}
	return strings.Join(lines, "; "), err
}

func (d *bird) Refresh(neighbor netip.Addr) error {
	p, err := d.protocol(neighbor)
	if err != nil {
		return err
	}
	_, err = d.ctl("reload in " + p)
	return err
}

func (d *bird) Disable(neighbor netip.Addr, message string) error {
	p, err := d.protocol(neighbor)
	if err != nil {
		return err
	}
	_, err = d.ctl(fmt.Sprintf("disable %s %q", p, message))
	return err
}

func (d *bird) Enable(neighbor netip.Addr) error {
	p, err := d.protocol(neighbor)
	if err != nil {
		return err
	}
	_, err = d.ctl("enable " + p)
	return err
}

var birdRoute = regexp.MustCompile(`^(\S*)\s+\S+(?: \S+)? \[p(\d+) [^\]]*\]`)

func (d *bird) Routes(family string) ([]Route, error) {
	out, err := d.ctl("show route all table " + birdFamilies[family].table + " where source = RTS_BGP")
	if err != nil {
		return nil, err
	}
	return d.parse(out)
}

func (d *bird) parse(out string) ([]Route, error) {
	var routes []Route
	var r *Route
	var prefix netip.Prefix
	for l := range strings.Lines(out) {
		l = strings.TrimRight(l, "\n")
		if m := birdRoute.FindStringSubmatch(l); m != nil {
			if m[1] != "" {
				var err error
				if prefix, err = netip.ParsePrefix(m[1]); err != nil {
					return nil, fmt.Errorf("bird: %q: %w", l, err)
				}
			}
			i, _ := strconv.Atoi(m[2])
			routes = append(routes, Route{Prefix: prefix, Peer: d.cfg.Neighbors[i].Address})
			r = &routes[len(routes)-1]
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(l), ":")
		if r == nil || !strings.HasPrefix(name, "BGP.") {
			continue
		}
		if err := birdAttr(r, name[4:], strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("bird: %q: %w", l, err)
		}
	}
	return routes, nil
}

func birdAttr(r *Route, name, v string) (err error) {
	switch name {
	case "origin":
		r.Origin = strings.ToLower(v)
	case "as_path":
		r.ASPath = birdSets(v)
	case "next_hop":
		// A link-local one may follow.
		v, _, _ = strings.Cut(v, " ")
		r.NextHop, err = netip.ParseAddr(v)
	case "med":
		r.MED, err = number(v)
	case "local_pref":
		r.LocalPref, err = number(v)
	case "atomic_aggr":
		r.AtomicAggregate = true
	case "aggregator":
		a, as, _ := strings.Cut(v, " AS")
		r.Aggregator = as + " " + a
	case "community":
		r.Communities = birdTuples(v)
	case "large_community":
		r.LargeCommunities = birdTuples(v)
	case "ext_community":
		r.ExtCommunities = birdTuples(v)
	}
	return err
}

// birdSets turns "1 {2 3}" into "1 {2,3}".
func birdSets(v string) string {
	var b strings.Builder
	in := false
	for _, c := range v {
		switch {
		case c == '{':
			in = true
		case c == '}':
			in = false
		case c == ' ' && in:
			c = ','
		}
		b.WriteRune(c)
	}
	return b.String()
}

var birdTuple = regexp.MustCompile(`\(([^)]*)\)`)

func birdTuples(v string) (out []string) {
	for _, m := range birdTuple.FindAllStringSubmatch(v, -1) {
		out = append(out, strings.ReplaceAll(strings.ReplaceAll(m[1], " ", ""), ",", ":"))
	}
	return out
}

func number(v string) (*uint32, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	return new(uint32(n)), err
}
