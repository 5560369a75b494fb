//go:build linux

package peertest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// frr is FRR's bgpd, without zebra: nothing goes into a kernel, and every next
// hop counts as reachable. Routes come and go by vtysh.
type frr struct {
	base
	maps int
}

func newFRR(b base) *frr {
	d := &frr{base: b}
	d.proc = NewProc(b.t, b.host, "frr", b.dir, nil,
		program(FRR, 0), "-Z", "-S", "-f", filepath.Join(b.dir, "bgpd.conf"), "-i", filepath.Join(b.dir, "pid"),
		"--vty_socket", b.dir, "-P", "0", "--log", "stdout")
	return d
}

func (d *frr) Start(bool) {
	d.t.Helper()
	d.file("bgpd.conf", d.conf())
	d.proc.Start()
	d.ready(func() error {
		_, err := d.vty("show bgp summary json")
		return err
	})
}

func (d *frr) Stop() { d.proc.Stop() }

// vty runs commands one after the other.
func (d *frr) vty(commands ...string) ([]byte, error) {
	args := []string{"--vty_socket", d.dir, "-d", "bgpd"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := d.host.Run(program(FRR, 2), args...)
	if err == nil && strings.HasPrefix(string(out), "%") {
		err = fmt.Errorf("frr: %s: %s", strings.Join(commands, "; "), out)
	}
	return out, err
}

// frrFamily returns the name of a family in FRR's commands.
func frrFamily(f string) string { return strings.Replace(f, "-", " ", 1) }

func (d *frr) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname peer\nbgp no-rib\nrouter bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast\n bgp log-neighbor-changes\n coalesce-time 10\n timers bgp %d %d\n",
		d.cfg.AS, d.cfg.ID, max(1, int(d.cfg.Hold.Seconds())/3), int(d.cfg.Hold.Seconds()))
	if d.cfg.Restart > 0 {
		fmt.Fprintf(&b, " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time %d\n bgp graceful-restart select-defer-time 5\n", int(d.cfg.Restart.Seconds()))
	}
	for i := range d.cfg.Neighbors {
		n := &d.cfg.Neighbors[i]
		say := func(format string, args ...any) {
			fmt.Fprintf(&b, " neighbor %s %s\n", n.Address, fmt.Sprintf(format, args...))
		}
		say("remote-as %d", n.AS)
		say("update-source %s", d.host.Addr(n.Address))
		say("timers connect 1")
		say("disable-connected-check")
		if n.Passive {
			say("passive")
		}
		if n.MD5 != "" {
			say("password %s", n.MD5)
		}
		if n.TTL {
			say("ttl-security hops 1")
		}
		if n.Role != "" {
			say("local-role %s", strings.Replace(n.Role+" ", "rs ", "rs-server", 1))
		}
		if n.ExtendedNextHop {
			say("capability extended-nexthop")
		}
	}
	for _, f := range []string{"ipv4-unicast", "ipv6-unicast", "ipv4-multicast", "ipv6-multicast", "ipv4-labelled-unicast", "ipv6-labelled-unicast", "ipv4-vpn", "ipv6-vpn", "ipv4-flowspec", "ipv6-flowspec"} {
		fmt.Fprintf(&b, " address-family %s\n", strings.Replace(frrFamily(f), "labelled", "labeled", 1))
		for i := range d.cfg.Neighbors {
			n := &d.cfg.Neighbors[i]
			if !n.has(f) {
				continue
			}
			say := func(words string) { fmt.Fprintf(&b, "  neighbor %s %s\n", n.Address, words) }
			say("activate")
			if n.AddPathSend {
				say("addpath-tx-all-paths")
			}
			if !n.AddPathReceive {
				say("disable-addpath-rx")
			}
			if n.RouteServerClient {
				say("route-server-client")
			}
			if n.ReflectorClient {
				say("route-reflector-client")
			}
		}
		b.WriteString(" exit-address-family\n")
	}
	// Routes are there from the start, so that the End-of-RIB comes after them.
	b.WriteString(strings.Join(d.routes(d.cfg.Routes), "\n") + "\n")
	return b.String()
}

func (d *frr) announce(routes []Route) error {
	_, err := d.vty(append([]string{"configure terminal"}, d.routes(routes)...)...)
	return err
}

// routes returns the commands that originate routes. Each has a route map of
// its own, which sets its attributes.
func (d *frr) routes(routes []Route) (cmds []string) {
	for _, r := range routes {
		d.maps++
		name := fmt.Sprintf("route%d", d.maps)
		cmds = append(cmds, "route-map "+name+" permit 10", "set origin "+r.Origin)
		set := func(what, value string) {
			if value != "" {
				cmds = append(cmds, "set "+what+" "+value)
			}
		}
		set("as-path prepend", r.ASPath)
		if r.MED != nil {
			set("metric", fmt.Sprint(*r.MED))
		}
		if r.LocalPref != nil {
			set("local-preference", fmt.Sprint(*r.LocalPref))
		}
		set("community", strings.Join(r.Communities, " "))
		set("large-community", strings.Join(r.LargeCommunities, " "))
		for _, c := range r.ExtCommunities {
			kind, value, _ := strings.Cut(c, ":")
			set("extcommunity "+kind, value)
		}
		if r.AtomicAggregate {
			cmds = append(cmds, "set atomic-aggregate")
		}
		set("aggregator as", r.Aggregator)
		cmds = append(cmds, "exit", fmt.Sprintf("router bgp %d", d.cfg.AS), "address-family "+frrFamily(r.Family()),
			fmt.Sprintf("network %s route-map %s", r.Prefix, name), "exit", "exit")
	}
	return cmds
}

func (d *frr) Announce(routes ...Route) error {
	d.add(routes)
	return d.announce(routes)
}

func (d *frr) Withdraw(routes ...Route) error {
	d.remove(routes)
	cmds := []string{"configure terminal", fmt.Sprintf("router bgp %d", d.cfg.AS)}
	for _, r := range routes {
		cmds = append(cmds, "address-family "+frrFamily(r.Family()), fmt.Sprintf("no network %s", r.Prefix), "exit")
	}
	_, err := d.vty(cmds...)
	return err
}

// frrNeighbor is what `show bgp neighbors ADDRESS json` says.
type frrNeighbor struct {
	State     string `json:"bgpState"`
	DueTo     string `json:"lastResetDueTo"`
	Reason    string `json:"lastNotificationReason"`
	Message   string `json:"lastShutdownDescription"`
	ErrorCode string `json:"lastErrorCodeSubcode"`
}

func (d *frr) show(neighbor netip.Addr) (frrNeighbor, error) {
	out, err := d.vty("show bgp neighbors " + neighbor.String() + " json")
	if err != nil {
		return frrNeighbor{}, err
	}
	var all map[string]frrNeighbor
	if err := json.Unmarshal(out, &all); err != nil {
		return frrNeighbor{}, fmt.Errorf("frr: %w: %s", err, out)
	}
	return all[neighbor.String()], nil
}

func (d *frr) State(neighbor netip.Addr) (string, error) {
	n, err := d.show(neighbor)
	return strings.ToLower(n.State), err
}

func (d *frr) LastError(neighbor netip.Addr) (string, error) {
	n, err := d.show(neighbor)
	said := append([]string{n.DueTo, n.Reason, n.Message, n.ErrorCode}, d.logged(neighbor.String(), "NOTIFICATION: received")...)
	return strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), "; "), err
}

func (d *frr) Refresh(neighbor netip.Addr) error {
	_, err := d.vty("clear bgp * soft in")
	return err
}

func (d *frr) configure(commands ...string) error {
	_, err := d.vty(append([]string{"configure terminal", fmt.Sprintf("router bgp %d", d.cfg.AS)}, commands...)...)
	return err
}

func (d *frr) Disable(neighbor netip.Addr, message string) error {
	c := fmt.Sprintf("neighbor %s shutdown", neighbor)
	if message != "" {
		c += " message " + message
	}
	return d.configure(c)
}

func (d *frr) Enable(neighbor netip.Addr) error {
	return d.configure(fmt.Sprintf("no neighbor %s shutdown", neighbor))
}

// frrPath is a path of `show bgp FAMILY json detail`. The first entry of a
// prefix's list has its name alone.
type frrPath struct {
	ASPath *struct {
		Segments []struct {
			Type string   `json:"type"`
			List []uint32 `json:"list"`
		} `json:"segments"`
	} `json:"aspath"`
	Origin       string  `json:"origin"`
	Metric       *uint32 `json:"metric"`
	LocalPref    *uint32 `json:"locPrf"`
	Atomic       bool    `json:"atomicAggregate"`
	AggregatorAS uint32  `json:"aggregatorAs"`
	AggregatorID string  `json:"aggregatorId"`
	Local        bool    `json:"local"`
	Sourced      bool    `json:"sourced"`
	Stale        bool    `json:"stale"`
	RxID         uint32  `json:"addpathRxId"`
	Community    frrList `json:"community"`
	Large        frrList `json:"largeCommunity"`
	Ext          struct {
		Text string `json:"string"`
	} `json:"extendedCommunity"`
	NextHops []struct {
		IP    string `json:"ip"`
		Scope string `json:"scope"`
	} `json:"nexthops"`
	Peer struct {
		ID string `json:"peerId"`
	} `json:"peer"`
}

type frrList struct {
	List []string `json:"list"`
}

func (d *frr) Routes(family string) ([]Route, error) {
	out, err := d.vty("show bgp " + frrFamily(family) + " json detail")
	if err != nil {
		return nil, err
	}
	var table struct {
		Routes map[string][]frrPath `json:"routes"`
	}
	if err := json.Unmarshal(out, &table); err != nil {
		return nil, fmt.Errorf("frr: %w: %s", err, out)
	}
	var routes []Route
	for prefix, paths := range table.Routes {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return nil, err
		}
		for i := range paths {
			if paths[i].ASPath != nil && !paths[i].Local && !paths[i].Sourced {
				routes = append(routes, paths[i].route(p))
			}
		}
	}
	return routes, nil
}

func (p *frrPath) route(prefix netip.Prefix) Route {
	r := Route{
		Prefix: prefix, PathID: p.RxID, Origin: strings.ToLower(p.Origin), MED: p.Metric, LocalPref: p.LocalPref,
		Communities: frrCommunities(p.Community.List), LargeCommunities: p.Large.List, AtomicAggregate: p.Atomic, Stale: p.Stale,
	}
	var path []string
	for _, s := range p.ASPath.Segments {
		var as []string
		for _, a := range s.List {
			as = append(as, fmt.Sprint(a))
		}
		switch s.Type {
		case "as-set":
			path = append(path, "{"+strings.Join(as, ",")+"}")
		case "as-confed-sequence":
			path = append(path, "("+strings.Join(as, " ")+")")
		default:
			path = append(path, as...)
		}
	}
	r.ASPath = strings.Join(path, " ")
	if p.AggregatorID != "" {
		r.Aggregator = fmt.Sprintf("%d %s", p.AggregatorAS, p.AggregatorID)
	}
	for c := range strings.FieldsSeq(p.Ext.Text) {
		kind, value, _ := strings.Cut(c, ":")
		r.ExtCommunities = append(r.ExtCommunities, map[string]string{"RT": "rt", "SoO": "ro"}[kind]+":"+value)
	}
	for _, h := range p.NextHops {
		if h.Scope != "link-local" {
			r.NextHop, _ = netip.ParseAddr(h.IP)
		}
	}
	r.Peer, _ = netip.ParseAddr(p.Peer.ID)
	return r
}

// frrCommunities turns the well-known names into numbers.
func frrCommunities(l []string) []string {
	for i, c := range l {
		switch c {
		case "gracefulShutdown":
			l[i] = "65535:0"
		case "blackhole":
			l[i] = "65535:666"
		case "noExport":
			l[i] = "65535:65281"
		case "noAdvertise":
			l[i] = "65535:65282"
		}
	}
	return l
}
