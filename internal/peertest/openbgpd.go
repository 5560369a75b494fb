//go:build linux

package peertest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// openBGPD is OpenBGPD, portable. Routes of its own have an empty AS path.
// A change is a new configuration file.
type openBGPD struct{ base }

func newOpenBGPD(b base) *openBGPD {
	d := &openBGPD{base: b}
	// It locks itself into /run/openbgpd, which the machine has only while its own
	// service runs: a /run of the process's own has it.
	d.proc = NewProc(b.t, b.host, "openbgpd", b.dir, nil, "unshare", "-m", "sh", "-c",
		`mount -t tmpfs tmpfs /run && mkdir -p /run/openbgpd && exec "$0" "$@"`,
		program(OpenBGPD, 0), "-d", "-f", filepath.Join(b.dir, "bgpd.conf"))
	return d
}

func (d *openBGPD) socket() string { return filepath.Join(d.dir, "ctl") }

func (d *openBGPD) write() {
	d.t.Helper()
	// It takes no file that others may read.
	if err := os.Chmod(d.file("bgpd.conf", d.conf()), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *openBGPD) Start(bool) {
	d.t.Helper()
	d.write()
	d.proc.Start()
	d.ready(func() error {
		_, err := d.ctl("-j", "show", "summary")
		return err
	})
}

func (d *openBGPD) Stop() { d.proc.Stop() }

func (d *openBGPD) ctl(args ...string) ([]byte, error) {
	return d.host.Run(program(OpenBGPD, 1), append([]string{"-s", d.socket()}, args...)...)
}

func (d *openBGPD) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "AS %d\nrouter-id %s\nsocket %q\nfib-update no\nholdtime %d\nholdtime min 3\nlisten on %s\nlisten on %s\n",
		d.cfg.AS, d.cfg.ID, d.socket(), int(d.cfg.Hold.Seconds()), d.host.V4, d.host.V6)
	for _, r := range d.cfg.Routes {
		fmt.Fprintf(&b, "network %s set { origin %s", r.Prefix, r.Origin)
		if r.MED != nil {
			fmt.Fprintf(&b, " med %d", *r.MED)
		}
		if r.LocalPref != nil {
			fmt.Fprintf(&b, " localpref %d", *r.LocalPref)
		}
		for _, c := range r.Communities {
			fmt.Fprintf(&b, " community %s", c)
		}
		for _, c := range r.LargeCommunities {
			fmt.Fprintf(&b, " large-community %s", c)
		}
		for _, c := range r.ExtCommunities {
			fmt.Fprintf(&b, " ext-community %s", strings.Replace(c, ":", " ", 1))
		}
		b.WriteString(" }\n")
	}
	for i := range d.cfg.Neighbors {
		n := &d.cfg.Neighbors[i]
		fmt.Fprintf(&b, "neighbor %s {\n  remote-as %d\n  local-address %s\n", n.Address, n.AS, d.host.Addr(n.Address))
		for _, f := range []string{"IPv4 unicast", "IPv6 unicast", "IPv4 vpn", "IPv6 vpn"} {
			family := strings.ToLower(strings.Replace(f, " ", "-", 1))
			af, _, _ := strings.Cut(f, " ")
			switch {
			case n.has(family):
				fmt.Fprintf(&b, "  announce %s\n", f)
			case strings.HasSuffix(f, "unicast"):
				fmt.Fprintf(&b, "  announce %s none\n", af)
			}
		}
		if n.AddPathReceive {
			b.WriteString("  announce add-path recv yes\n")
		}
		if n.AddPathSend {
			b.WriteString("  announce add-path send all\n")
		}
		if n.Passive {
			b.WriteString("  passive\n")
		}
		if n.MD5 != "" {
			fmt.Fprintf(&b, "  tcp md5sig password %s\n", n.MD5)
		}
		if n.TTL {
			b.WriteString("  ttl-security yes\n")
		}
		if n.RouteServer {
			b.WriteString("  enforce neighbor-as no\n")
		}
		if n.Role != "" {
			fmt.Fprintf(&b, "  announce policy %s\n", n.Role)
		}
		if n.RouteServerClient {
			b.WriteString("  transparent-as yes\n")
		}
		if n.ReflectorClient {
			b.WriteString("  route-reflector\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("allow from any\nallow to any\n")
	return b.String()
}

func (d *openBGPD) apply() error {
	d.write()
	_, err := d.ctl("reload")
	return err
}

func (d *openBGPD) Announce(routes ...Route) error {
	d.add(routes)
	return d.apply()
}

func (d *openBGPD) Withdraw(routes ...Route) error {
	d.remove(routes)
	return d.apply()
}

type openBGPDNeighbor struct {
	State      string `json:"state"`
	LastError  string `json:"last_error"`
	LastReason string `json:"last_shutdown_reason"`
	Sent       string `json:"last_error_sent"`
	Received   string `json:"last_error_received"`
}

var openBGPDOctal = regexp.MustCompile(`\\[0-3][0-7]{2}`)

func (d *openBGPD) show(neighbor netip.Addr) (n openBGPDNeighbor, raw []byte, err error) {
	raw, err = d.ctl("-j", "show", "neighbor", neighbor.String())
	if err != nil {
		return n, raw, err
	}
	// It writes octets over 127 as "\303", which JSON does not know.
	raw = openBGPDOctal.ReplaceAllFunc(raw, func(b []byte) []byte {
		n, _ := strconv.ParseUint(string(b[1:]), 8, 8)
		return []byte{byte(n)}
	})
	var all struct{ Neighbors []openBGPDNeighbor }
	if err := json.Unmarshal(raw, &all); err != nil {
		return n, raw, fmt.Errorf("openbgpd: %w: %s", err, raw)
	}
	if len(all.Neighbors) != 1 {
		return n, raw, fmt.Errorf("openbgpd: %d neighbours: %s", len(all.Neighbors), raw)
	}
	return all.Neighbors[0], raw, nil
}

func (d *openBGPD) State(neighbor netip.Addr) (string, error) {
	n, _, err := d.show(neighbor)
	return strings.ToLower(n.State), err
}

func (d *openBGPD) LastError(neighbor netip.Addr) (string, error) {
	n, _, err := d.show(neighbor)
	return strings.Join(append([]string{n.LastError, n.LastReason, n.Sent, n.Received}, d.logged(neighbor.String(), "")...), "; "), err
}

func (d *openBGPD) Refresh(neighbor netip.Addr) error {
	_, err := d.ctl("neighbor", neighbor.String(), "refresh")
	return err
}

func (d *openBGPD) Disable(neighbor netip.Addr, message string) error {
	args := []string{"neighbor", neighbor.String(), "down"}
	if message != "" {
		args = append(args, message)
	}
	_, err := d.ctl(args...)
	return err
}

func (d *openBGPD) Enable(neighbor netip.Addr) error {
	_, err := d.ctl("neighbor", neighbor.String(), "up")
	return err
}

// openBGPDPath is an entry of `show rib detail`.
type openBGPDPath struct {
	Prefix   string `json:"prefix"`
	PathID   uint32 `json:"path_id"`
	ASPath   string `json:"aspath"`
	NextHop  string `json:"exit_nexthop"`
	Origin   string `json:"origin"`
	Metric   uint32 `json:"metric"`
	Pref     uint32 `json:"localpref"`
	Neighbor struct {
		Remote string `json:"remote_addr"`
	} `json:"neighbor"`
	Source     string   `json:"source"`
	Announced  bool     `json:"announced"`
	Comm       []string `json:"communities"`
	Large      []string `json:"large_communities"`
	Ext        []string `json:"extended_communities"`
	Attributes []struct {
		Type       string `json:"type"`
		AS         uint32 `json:"AS"`
		Address    string `json:"router_id"`
		Aggregator string `json:"aggregator"`
	} `json:"attributes"`
}

func (d *openBGPD) Routes(family string) ([]Route, error) {
	inet := map[string]string{"ipv4-unicast": "inet", "ipv6-unicast": "inet6"}[family]
	out, err := d.ctl("-j", "show", "rib", "detail", inet)
	if err != nil {
		return nil, err
	}
	var table struct {
		RIB []openBGPDPath `json:"rib"`
	}
	if err := json.Unmarshal(out, &table); err != nil {
		return nil, fmt.Errorf("openbgpd: %w: %s", err, out)
	}
	var routes []Route
	for i := range table.RIB {
		p := &table.RIB[i]
		peer, err := netip.ParseAddr(p.Neighbor.Remote)
		if err != nil || peer.IsUnspecified() {
			continue // of its own
		}
		r, err := p.route()
		if err != nil {
			return nil, fmt.Errorf("openbgpd: %w", err)
		}
		r.Peer = peer
		routes = append(routes, r)
	}
	return routes, nil
}

// openBGPDNames are the communities that it shows by name.
var openBGPDNames = map[string]string{
	"GRACEFUL_SHUTDOWN": "65535:0", "BLACKHOLE": "65535:666", "NO_EXPORT": "65535:65281",
	"NO_ADVERTISE": "65535:65282", "NO_EXPORT_SUBCONFED": "65535:65283", "NO_PEER": "65535:65284",
}

func (p *openBGPDPath) route() (r Route, err error) {
	if r.Prefix, err = netip.ParsePrefix(p.Prefix); err != nil {
		return r, err
	}
	r.NextHop, _ = netip.ParseAddr(p.NextHop)
	r.PathID, r.LocalPref = p.PathID, new(p.Pref)
	r.ASPath = strings.ReplaceAll(strings.ReplaceAll(p.ASPath, "{ ", "{"), " }", "}")
	r.Origin = map[string]string{"IGP": "igp", "EGP": "egp", "incomplete": "incomplete"}[p.Origin]
	// 0 and absent are one to it.
	if p.Metric != 0 {
		r.MED = new(p.Metric)
	}
	for _, c := range p.Comm {
		if n, ok := openBGPDNames[c]; ok {
			c = n
		}
		r.Communities = append(r.Communities, c)
	}
	r.LargeCommunities = p.Large
	for _, c := range p.Ext {
		c = strings.Replace(c, "soo ", "ro ", 1)
		r.ExtCommunities = append(r.ExtCommunities, strings.Replace(c, " ", ":", 1))
	}
	for _, a := range p.Attributes {
		switch {
		case strings.Contains(strings.ToLower(a.Type), "atomic"):
			r.AtomicAggregate = true
		case strings.Contains(strings.ToLower(a.Type), "aggregator"):
			r.Aggregator = fmt.Sprintf("%d %s", a.AS, a.Address)
		}
	}
	return r, nil
}
