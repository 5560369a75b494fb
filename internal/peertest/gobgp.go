//go:build linux

package peertest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// gobgp is GoBGP, version 3 or 4. Routes come and go by its command line.
type gobgp struct{ base }

func newGoBGP(b base) *gobgp {
	d := &gobgp{base: b}
	// MPTCP, Go's default for listeners, has neither MD5 nor a TTL.
	d.proc = NewProc(b.t, b.host, string(b.kind), b.dir, []string{"GODEBUG=multipathtcp=0"},
		program(b.kind, 0), "-f", filepath.Join(b.dir, "gobgp.toml"), "-p", "-l", "info", "--pprof-disable", "--api-hosts", "unix://"+d.socket())
	return d
}

func (d *gobgp) socket() string { return filepath.Join(d.dir, "ctl") }

func (d *gobgp) Start(restart bool) {
	d.t.Helper()
	d.file("gobgp.toml", d.conf())
	if restart {
		d.proc.argv = append(d.proc.argv, "-r")
		defer func() { d.proc.argv = d.proc.argv[:len(d.proc.argv)-1] }()
	}
	os.Remove(d.socket()) // a killed one leaves it
	d.proc.Start()
	d.ready(func() error {
		// It answers before it has read its configuration, with AS 0, and takes no
		// routes then.
		out, err := d.ctl("global")
		if as := fmt.Sprintf("AS:%d\n", d.cfg.AS); err == nil && !strings.Contains(strings.ReplaceAll(string(out), " ", ""), as) {
			err = fmt.Errorf("gobgp: it is not configured yet: %s", out)
		}
		return err
	})
	if err := d.announce(d.cfg.Routes); err != nil {
		d.t.Fatal(err)
	}
}

func (d *gobgp) Stop() { d.proc.Stop() }

// ctl runs the command line, again where it could not connect within the second
// that version 3 gives itself: it has asked for nothing then.
func (d *gobgp) ctl(args ...string) (out []byte, err error) {
	Wait(Patience, func() error {
		out, err = d.host.Run(program(d.kind, 1), append([]string{"--target", "unix://" + d.socket()}, args...)...)
		if err != nil && strings.Contains(err.Error(), "context deadline exceeded") && d.proc.Running() {
			return err
		}
		return nil
	})
	return out, err
}

func (d *gobgp) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[global.config]\nas = %d\nrouter-id = %q\nport = 179\nlocal-address-list = [%q, %q]\n", d.cfg.AS, d.cfg.ID, d.host.V4, d.host.V6)
	for i := range d.cfg.Neighbors {
		n := &d.cfg.Neighbors[i]
		fmt.Fprintf(&b, "[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = %d\nauth-password = %q\n", n.Address, n.AS, n.MD5)
		fmt.Fprintf(&b, "[neighbors.transport.config]\nlocal-address = %q\npassive-mode = %v\n", d.host.Addr(n.Address), n.Passive)
		fmt.Fprintf(&b, "[neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1\nhold-time = %d\n", int(d.cfg.Hold.Seconds()))
		if n.TTL {
			b.WriteString("[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n")
		}
		if n.RouteServerClient {
			b.WriteString("[neighbors.route-server.config]\nroute-server-client = true\n")
		}
		if n.ReflectorClient {
			fmt.Fprintf(&b, "[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = %q\n", d.cfg.ID)
		}
		if d.cfg.Restart > 0 {
			fmt.Fprintf(&b, "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = %d\nnotification-enabled = true\n", int(d.cfg.Restart.Seconds()))
		}
		for _, f := range n.families() {
			fmt.Fprintf(&b, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = %q\n", gobgpFamily(f))
			if d.cfg.Restart > 0 {
				b.WriteString("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n")
			}
			b.WriteString("[neighbors.afi-safis.add-paths.config]\n")
			fmt.Fprintf(&b, "receive = %v\n", n.AddPathReceive)
			if n.AddPathSend {
				b.WriteString("send-max = 8\n")
			}
		}
	}
	return b.String()
}

// gobgpFamily returns the name of a family in GoBGP's configuration.
func gobgpFamily(f string) string {
	switch f {
	case "ipv4-labelled-unicast", "ipv6-labelled-unicast":
		return f
	case "ipv4-vpn", "ipv6-vpn":
		return "l3vpn-" + f[:4] + "-unicast"
	case "ipv4-flowspec-vpn", "ipv6-flowspec-vpn":
		return "l3vpn-" + f[:4] + "-flowspec"
	}
	return f
}

// gobgpFlags maps a family to the command line's -a.
var gobgpFlags = map[string]string{
	"ipv4-unicast": "ipv4", "ipv6-unicast": "ipv6", "ipv4-vpn": "vpnv4", "ipv6-vpn": "vpnv6",
	"ipv4-flowspec": "ipv4-flowspec", "ipv6-flowspec": "ipv6-flowspec", "ipv4-flowspec-vpn": "ipv4-l3vpn-flowspec", "ipv6-flowspec-vpn": "ipv6-l3vpn-flowspec",
	"l2vpn-evpn":            "evpn",
	"ipv4-labelled-unicast": "ipv4-mpls", "ipv6-labelled-unicast": "ipv6-mpls",
}

// Families is what GoBGP has beyond a Router: routes of any family.
type Families interface {
	RIB(verb, family string, words ...string) error
	Keys(family string) ([]string, error)
}

// RIB adds, or with "del" removes, a route of any family in GoBGP's own words.
func (d *gobgp) RIB(verb, family string, words ...string) error {
	_, err := d.ctl(append([]string{"global", "rib", verb, "-a", gobgpFlags[family]}, words...)...)
	return err
}

// Keys returns the NLRI of a family that it holds, its own and others', as it
// writes them.
func (d *gobgp) Keys(family string) (keys []string, err error) {
	out, err := d.ctl("global", "rib", "-a", gobgpFlags[family], "-j")
	if err != nil {
		return nil, err
	}
	var table map[string]json.RawMessage
	if len(out) > 0 && out[0] == '{' {
		if err := json.Unmarshal(out, &table); err != nil {
			return nil, fmt.Errorf("gobgp: %w: %s", err, out)
		}
	}
	for k := range table {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys, nil
}

func (d *gobgp) announce(routes []Route) error {
	for _, r := range routes {
		words := []string{r.Prefix.String(), "origin", r.Origin}
		add := func(name, value string) {
			if value != "" {
				words = append(words, name, value)
			}
		}
		if r.PathID != 0 {
			add("identifier", strconv.FormatUint(uint64(r.PathID), 10))
		}
		add("aspath", r.ASPath)
		if r.MED != nil {
			add("med", fmt.Sprint(*r.MED))
		}
		if r.LocalPref != nil {
			add("local-pref", fmt.Sprint(*r.LocalPref))
		}
		add("community", strings.Join(r.Communities, ","))
		add("large-community", strings.Join(r.LargeCommunities, ","))
		if r.AtomicAggregate {
			words = append(words, "atomic-aggregate")
		}
		if r.Aggregator != "" {
			words = append(words, "aggregator", strings.Replace(r.Aggregator, " ", ":", 1))
		}
		for _, c := range r.ExtCommunities {
			kind, value, _ := strings.Cut(c, ":")
			words = append(words, kind, value)
		}
		if err := d.RIB("add", r.Family(), words...); err != nil {
			return err
		}
	}
	return nil
}

func (d *gobgp) Announce(routes ...Route) error {
	d.add(routes)
	return d.announce(routes)
}

func (d *gobgp) Withdraw(routes ...Route) error {
	d.remove(routes)
	for _, r := range routes {
		words := []string{r.Prefix.String()}
		if r.PathID != 0 {
			words = append(words, "identifier", strconv.FormatUint(uint64(r.PathID), 10))
		}
		if err := d.RIB("del", r.Family(), words...); err != nil {
			return err
		}
	}
	return nil
}

// gobgpNeighbor is what `neighbor -j` says, of either version.
type gobgpNeighbor struct {
	State struct {
		SessionState  json.RawMessage `json:"session_state"`
		SessionState4 json.RawMessage `json:"sessionState"`
		Message       string          `json:"disconnect_message"`
		Reason        json.RawMessage `json:"disconnect_reason"`
	} `json:"state"`
}

// gobgpStates are the numbers of the API's states.
var gobgpStates = []string{"unknown", "idle", "connect", "active", "opensent", "openconfirm", "established"}

func (d *gobgp) State(neighbor netip.Addr) (string, error) {
	out, err := d.ctl("neighbor", neighbor.String(), "-j")
	if err != nil {
		return "", err
	}
	var n gobgpNeighbor
	if err := json.Unmarshal(out, &n); err != nil {
		return "", fmt.Errorf("gobgp: %w: %s", err, out)
	}
	raw := n.State.SessionState
	if raw == nil {
		raw = n.State.SessionState4
	}
	if i, err := strconv.Atoi(string(raw)); err == nil && i < len(gobgpStates) {
		return gobgpStates[i], nil
	}
	return strings.ToLower(strings.TrimPrefix(strings.Trim(string(raw), `"`), "SESSION_STATE_")), nil
}

func (d *gobgp) LastError(neighbor netip.Addr) (string, error) {
	// What the other end said is in the log alone.
	var lines []string
	for _, what := range []string{"notification", "communicat", "Peer Down"} {
		lines = append(lines, d.logged(neighbor.String(), what)...)
	}
	return strings.Join(lines, "\n"), nil
}

func (d *gobgp) Refresh(neighbor netip.Addr) error {
	_, err := d.ctl("neighbor", neighbor.String(), "softresetin")
	return err
}

func (d *gobgp) Disable(neighbor netip.Addr, message string) error {
	args := []string{"neighbor", neighbor.String(), "shutdown"}
	if message != "" {
		args = append(args, "--reason", message)
	}
	_, err := d.ctl(args...)
	return err
}

func (d *gobgp) Enable(neighbor netip.Addr) error {
	_, err := d.ctl("neighbor", neighbor.String(), "enable")
	return err
}

// gobgpPath is a path of `global rib -j`, of either version.
type gobgpPath struct {
	NLRI struct {
		Prefix string `json:"prefix"`
	} `json:"nlri"`
	Attrs      []gobgpAttr `json:"attrs"`
	Stale      bool        `json:"stale"`
	RemoteID   uint32      `json:"RemoteID"`
	NeighborIP string      `json:"neighbor-ip"`  // version 3
	PeerAddr   string      `json:"peer-address"` // version 4
}

// from is the neighbour that the path was learned from.
func (p *gobgpPath) from() string {
	if p.NeighborIP != "" {
		return p.NeighborIP
	}
	return p.PeerAddr
}

type gobgpAttr struct {
	Type        int             `json:"type"`
	Value       json.RawMessage `json:"value"`
	NextHop     string          `json:"nexthop"`
	Metric      uint32          `json:"metric"`
	ASPaths     []gobgpSegment  `json:"as_paths"`
	AS          uint32          `json:"as"`
	Address     string          `json:"address"`
	Communities []uint32        `json:"communities"`
}

type gobgpSegment struct {
	Type int      `json:"segment_type"`
	ASNs []uint32 `json:"asns"`
}

func (d *gobgp) Routes(family string) ([]Route, error) {
	out, err := d.ctl("global", "rib", "-a", gobgpFlags[family], "-j")
	if err != nil {
		return nil, err
	}
	var table map[string][]gobgpPath
	if err := json.Unmarshal(out, &table); err != nil {
		if strings.Contains(string(out), "not in table") || len(out) == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("gobgp: %w: %s", err, out)
	}
	var routes []Route
	for key, paths := range table {
		for _, p := range paths {
			peer, err := netip.ParseAddr(p.from())
			if err != nil || peer.IsUnspecified() {
				continue // of its own
			}
			r := Route{PathID: p.RemoteID, Stale: p.Stale, Peer: peer}
			if r.Prefix, err = netip.ParsePrefix(key); err != nil {
				return nil, err
			}
			for _, a := range p.Attrs {
				if err := a.into(&r); err != nil {
					return nil, fmt.Errorf("gobgp: %s: attribute %d: %w", key, a.Type, err)
				}
			}
			routes = append(routes, r)
		}
	}
	return routes, nil
}

func (a *gobgpAttr) into(r *Route) (err error) {
	num := func() uint32 {
		var n uint32
		err = json.Unmarshal(a.Value, &n)
		return n
	}
	switch a.Type {
	case 1:
		r.Origin = []string{"igp", "egp", "incomplete", "?"}[min(num(), 3)]
	case 2:
		r.ASPath = gobgpPathText(a.ASPaths)
	case 3, 14:
		r.NextHop, err = netip.ParseAddr(a.NextHop)
	case 4:
		r.MED = new(a.Metric)
	case 5:
		r.LocalPref = new(num())
	case 6:
		r.AtomicAggregate = true
	case 7:
		r.Aggregator = fmt.Sprintf("%d %s", a.AS, a.Address)
	case 8:
		for _, c := range a.Communities {
			r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
		}
	case 16:
		r.ExtCommunities, err = gobgpExt(a.Value)
	case 32:
		var l []struct{ ASN, LocalData1, LocalData2 uint32 }
		err = json.Unmarshal(a.Value, &l)
		for _, c := range l {
			r.LargeCommunities = append(r.LargeCommunities, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
		}
	}
	return err
}

func gobgpPathText(segments []gobgpSegment) string {
	var out []string
	for _, s := range segments {
		var as []string
		for _, a := range s.ASNs {
			as = append(as, strconv.FormatUint(uint64(a), 10))
		}
		switch s.Type {
		case 1:
			out = append(out, "{"+strings.Join(as, ",")+"}")
		case 3:
			out = append(out, "("+strings.Join(as, " ")+")")
		default:
			out = append(out, strings.Join(as, " "))
		}
	}
	return strings.Join(out, " ")
}

// gobgpExt reads extended communities: objects with type, subtype and value,
// where type 0, 1 and 2 print as "65001:1".
func gobgpExt(v json.RawMessage) (out []string, err error) {
	var l []struct {
		Type    int             `json:"type"`
		Subtype int             `json:"subtype"`
		Value   json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(v, &l); err != nil {
		return nil, err
	}
	for _, c := range l {
		name := map[int]string{2: "rt", 3: "ro"}[c.Subtype]
		text := strings.Trim(string(c.Value), `"`)
		if name == "" || c.Type > 2 {
			out = append(out, fmt.Sprintf("0x%02x%02x:%s", c.Type, c.Subtype, text))
			continue
		}
		if c.Type == 2 {
			text = gobgpAS4(text)
		}
		out = append(out, name+":"+text)
	}
	return out, nil
}

// gobgpAS4 turns "1.2:3", a 4-octet AS number in dots, into "65538L:3".
func gobgpAS4(text string) string {
	as, local, _ := strings.Cut(text, ":")
	hi, lo, dotted := strings.Cut(as, ".")
	if !dotted {
		return as + "L:" + local
	}
	h, _ := strconv.ParseUint(hi, 10, 16)
	l, _ := strconv.ParseUint(lo, 10, 16)
	n := binary.BigEndian.Uint32([]byte{byte(h >> 8), byte(h), byte(l >> 8), byte(l)})
	return fmt.Sprintf("%dL:%s", n, local)
}
