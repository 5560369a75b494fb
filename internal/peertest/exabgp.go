//go:build linux

package peertest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// exaBGP is ExaBGP: it says what it is told and keeps no table. A script beside
// it hands it commands from a FIFO and keeps its messages, one JSON object a
// line, in a file; the routes are what these add up to. Each run has a script,
// a FIFO and a file of its own: the script is in a process group of its own and
// may end a moment after ExaBGP is killed.
type exaBGP struct {
	base
	commands *os.File
	runs     int
}

func newExaBGP(b base) *exaBGP {
	d := &exaBGP{base: b}
	d.proc = NewProc(b.t, b.host, "exabgp", b.dir, []string{
		"exabgp.daemon.user=root", "exabgp.tcp.port=179", fmt.Sprintf("exabgp.tcp.bind=%s %s", b.host.V4, b.host.V6),
		"exabgp.api.ack=false", "exabgp.api.cli=false", "exabgp.log.destination=stdout", "exabgp.log.level=INFO",
		"exabgp.reactor.speed=0.1", "PYTHONUNBUFFERED=1",
	}, program(ExaBGP, 0), "server", filepath.Join(b.dir, "exabgp.conf"))
	b.t.Cleanup(func() {
		if d.commands != nil {
			d.commands.Close()
		}
	})
	return d
}

func (d *exaBGP) own(name string) string {
	return filepath.Join(d.dir, fmt.Sprintf("%s.%d", name, d.runs))
}
func (d *exaBGP) fifo() string     { return d.own("commands") }
func (d *exaBGP) messages() string { return d.own("messages") }

func (d *exaBGP) Start(bool) {
	d.t.Helper()
	d.runs++
	d.file("exabgp.conf", d.conf())
	d.file(filepath.Base(d.own("script")), fmt.Sprintf("exec 3<&0\ncat <&3 >>%s &\nexec cat %s\n", d.messages(), d.fifo()))
	if d.commands != nil {
		d.commands.Close()
	}
	if err := syscall.Mkfifo(d.fifo(), 0o666); err != nil {
		d.t.Fatal(err)
	}
	var err error
	// For reading as well, so that opening waits for nobody.
	if d.commands, err = os.OpenFile(d.fifo(), os.O_RDWR, 0); err != nil {
		d.t.Fatal(err)
	}
	d.proc.Start()
	d.ready(func() error {
		_, err := os.Stat(d.messages())
		return err
	})
}

func (d *exaBGP) Stop() { d.proc.Stop() }

func (d *exaBGP) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "process script {\n  run /bin/sh %s;\n  encoder json;\n}\n", d.own("script"))
	for i := range d.cfg.Neighbors {
		n := &d.cfg.Neighbors[i]
		local := d.host.Addr(n.Address)
		fmt.Fprintf(&b, "neighbor %s {\n  router-id %s;\n  local-address %s;\n  local-as %d;\n  peer-as %d;\n  hold-time %d;\n  group-updates true;\n",
			n.Address, d.cfg.ID, local, d.cfg.AS, n.AS, int(d.cfg.Hold.Seconds()))
		if n.Passive {
			b.WriteString("  passive true;\n")
		}
		if n.MD5 != "" {
			fmt.Fprintf(&b, "  md5-password %q;\n", n.MD5)
		}
		if n.TTL {
			b.WriteString("  outgoing-ttl 255;\n  incoming-ttl 255;\n")
		}
		b.WriteString("  family {\n")
		for _, f := range n.families() {
			fmt.Fprintf(&b, "    %s;\n", exaFamily(f))
		}
		b.WriteString("  }\n  capability {\n    route-refresh enable;\n")
		if d.cfg.Restart > 0 {
			fmt.Fprintf(&b, "    graceful-restart %d;\n", int(d.cfg.Restart.Seconds()))
		}
		if ways := exaWays[[2]bool{n.AddPathSend, n.AddPathReceive}]; ways != "" {
			fmt.Fprintf(&b, "    add-path %s;\n", ways)
		}
		b.WriteString("  }\n  api {\n    processes [ script ];\n    neighbor-changes;\n    receive { parsed; update; refresh; notification; }\n  }\n  static {\n")
		for _, r := range d.cfg.Routes {
			if n.has(r.Family()) {
				fmt.Fprintf(&b, "    route %s;\n", d.words(r, n.Address))
			}
		}
		b.WriteString("  }\n}\n")
	}
	return b.String()
}

var exaWays = map[[2]bool]string{{true, true}: "send/receive", {true, false}: "send", {false, true}: "receive"}

// words returns a route in ExaBGP's words.
func (d *exaBGP) words(r Route, to netip.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s next-hop %s origin %s", r.Prefix, d.host.Addr(r.Prefix.Addr()), r.Origin)
	if _, n, err := d.neighbor(to); err == nil && n.AddPathSend {
		fmt.Fprintf(&b, " path-information %s", netip.AddrFrom4([4]byte{byte(r.PathID >> 24), byte(r.PathID >> 16), byte(r.PathID >> 8), byte(r.PathID)}))
	}
	path := strings.TrimSpace(r.ASPath)
	if _, n, err := d.neighbor(to); err == nil && n.AS != d.cfg.AS {
		path = strings.TrimSpace(fmt.Sprintf("%d %s", d.cfg.AS, path))
	}
	fmt.Fprintf(&b, " as-path [ %s ]", path)
	if r.MED != nil {
		fmt.Fprintf(&b, " med %d", *r.MED)
	}
	if r.LocalPref != nil {
		fmt.Fprintf(&b, " local-preference %d", *r.LocalPref)
	}
	list := func(name string, l []string) {
		if len(l) > 0 {
			fmt.Fprintf(&b, " %s [ %s ]", name, strings.Join(l, " "))
		}
	}
	list("community", r.Communities)
	list("large-community", r.LargeCommunities)
	var ext []string
	for _, c := range r.ExtCommunities {
		kind, value, _ := strings.Cut(c, ":")
		ext = append(ext, map[string]string{"rt": "target", "ro": "origin"}[kind]+":"+value)
	}
	list("extended-community", ext)
	if r.AtomicAggregate {
		b.WriteString(" atomic-aggregate")
	}
	if r.Aggregator != "" {
		fmt.Fprintf(&b, " aggregator ( %s )", strings.Replace(r.Aggregator, " ", ":", 1))
	}
	return b.String()
}

// Command hands ExaBGP a command.
func (d *exaBGP) Command(c string) error {
	_, err := fmt.Fprintln(d.commands, c)
	return err
}

func (d *exaBGP) each(verb string, routes []Route) error {
	for _, r := range routes {
		for i := range d.cfg.Neighbors {
			n := &d.cfg.Neighbors[i]
			if !n.has(r.Family()) {
				continue
			}
			if err := d.Command(fmt.Sprintf("neighbor %s %s route %s", n.Address, verb, d.words(r, n.Address))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *exaBGP) Announce(routes ...Route) error {
	d.add(routes)
	return d.each("announce", routes)
}

func (d *exaBGP) Withdraw(routes ...Route) error {
	d.remove(routes)
	return d.each("withdraw", routes)
}

func (d *exaBGP) Refresh(netip.Addr) error {
	return fmt.Errorf("exabgp asks for no refresh")
}

// Disable ends the session, without the text, which ExaBGP cannot send; it
// comes back by itself.
func (d *exaBGP) Disable(neighbor netip.Addr, message string) error {
	return d.Command(fmt.Sprintf("neighbor %s teardown 2", neighbor))
}

// Enable does nothing: see Disable.
func (d *exaBGP) Enable(netip.Addr) error { return nil }

// exaMessage is a line of ExaBGP's.
type exaMessage struct {
	Type     string `json:"type"`
	Neighbor struct {
		Address struct {
			Peer string `json:"peer"`
		} `json:"address"`
		State     string `json:"state"`
		Reason    string `json:"reason"`
		Direction string `json:"direction"`
		Message   struct {
			Update struct {
				Attribute exaAttributes                   `json:"attribute"`
				Announce  map[string]map[string][]exaNLRI `json:"announce"`
				Withdraw  map[string][]exaNLRI            `json:"withdraw"`
			} `json:"update"`
		} `json:"message"`
		Notification json.RawMessage `json:"notification"`
	} `json:"neighbor"`
}

type exaNLRI struct {
	NLRI   string `json:"nlri"`
	PathID string `json:"path-information"`
	raw    json.RawMessage
}

func (n *exaNLRI) UnmarshalJSON(b []byte) error {
	type plain exaNLRI
	n.raw = bytes.Clone(b)
	return json.Unmarshal(b, (*plain)(n))
}

type exaAttributes struct {
	Origin     string                `json:"origin"`
	ASPath     map[string]exaSegment `json:"as-path"`
	MED        *uint32               `json:"med"`
	LocalPref  *uint32               `json:"local-preference"`
	Atomic     bool                  `json:"atomic-aggregate"`
	Aggregator string                `json:"aggregator"`
	Community  [][2]uint32           `json:"community"`
	Large      [][3]uint32           `json:"large-community"`
	Ext        []exaExt              `json:"extended-community"`
}

type exaExt struct {
	Value  uint64 `json:"value"`
	String string `json:"string"`
}

type exaSegment struct {
	Element string   `json:"element"`
	Value   []uint32 `json:"value"`
}

// lines reads the messages of this run. A last line without its end is still
// being written.
func (d *exaBGP) lines() ([]exaMessage, error) {
	b, err := os.ReadFile(d.messages())
	if err != nil {
		return nil, err
	}
	var out []exaMessage
	for l := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		if l[0] != '{' {
			continue
		}
		var m exaMessage
		if err := json.Unmarshal(l, &m); err != nil {
			return out, fmt.Errorf("exabgp: %w: %s", err, l)
		}
		out = append(out, m)
	}
	return out, nil
}

func (d *exaBGP) State(neighbor netip.Addr) (string, error) {
	all, err := d.lines()
	state := "idle"
	for _, m := range all {
		if m.Type == "state" && m.Neighbor.Address.Peer == neighbor.String() {
			state = map[string]string{"up": "established", "down": "idle", "connected": "connect"}[m.Neighbor.State]
		}
	}
	return state, err
}

func (d *exaBGP) LastError(neighbor netip.Addr) (string, error) {
	all, err := d.lines()
	var last []string
	for _, m := range all {
		if m.Neighbor.Address.Peer != neighbor.String() {
			continue
		}
		if m.Type == "notification" {
			last = append(last, string(m.Neighbor.Notification))
		} else if m.Neighbor.State == "down" {
			last = append(last, m.Neighbor.Reason)
		}
	}
	return strings.Join(last[max(0, len(last)-20):], "; "), err
}

// exaKey is what a route is known by.
type exaKey struct {
	peer   string
	prefix netip.Prefix
	id     uint32
}

func (d *exaBGP) Routes(family string) ([]Route, error) {
	all, err := d.lines()
	if err != nil {
		return nil, err
	}
	name := exaFamily(family)
	table := map[exaKey]Route{}
	for i := range all {
		m := &all[i]
		peer := m.Neighbor.Address.Peer
		if m.Type == "state" && m.Neighbor.State == "down" {
			for k := range table {
				if k.peer == peer {
					delete(table, k)
				}
			}
		}
		if m.Type != "update" {
			continue
		}
		u := &m.Neighbor.Message.Update
		for _, n := range u.Withdraw[name] {
			k, err := n.key(peer)
			if err != nil {
				return nil, err
			}
			delete(table, k)
		}
		for hop, l := range u.Announce[name] {
			for _, n := range l {
				k, err := n.key(peer)
				if err != nil {
					return nil, err
				}
				r := u.Attribute.route()
				r.Prefix, r.PathID = k.prefix, k.id
				r.NextHop, _ = netip.ParseAddr(hop)
				r.Peer, _ = netip.ParseAddr(peer)
				table[k] = r
			}
		}
	}
	var out []Route
	for _, r := range table {
		out = append(out, r)
	}
	return out, nil
}

func (n *exaNLRI) key(peer string) (k exaKey, err error) {
	k.peer = peer
	if k.prefix, err = netip.ParsePrefix(n.NLRI); err != nil {
		return k, fmt.Errorf("exabgp: %w", err)
	}
	if n.PathID != "" {
		a, err := netip.ParseAddr(n.PathID)
		if err != nil {
			return k, fmt.Errorf("exabgp: %w", err)
		}
		b := a.As4()
		k.id = binary.BigEndian.Uint32(b[:])
	}
	return k, nil
}

func (a *exaAttributes) route() Route {
	r := Route{Origin: a.Origin, MED: a.MED, LocalPref: a.LocalPref, AtomicAggregate: a.Atomic}
	r.Aggregator = strings.Replace(a.Aggregator, ":", " ", 1)
	var path []string
	order := make([]int, 0, len(a.ASPath))
	for k := range a.ASPath {
		i, _ := strconv.Atoi(k)
		order = append(order, i)
	}
	slices.Sort(order)
	for _, i := range order {
		s := a.ASPath[strconv.Itoa(i)]
		var as []string
		for _, v := range s.Value {
			as = append(as, fmt.Sprint(v))
		}
		switch s.Element {
		case "as-set":
			path = append(path, "{"+strings.Join(as, ",")+"}")
		default:
			path = append(path, as...)
		}
	}
	r.ASPath = strings.Join(path, " ")
	for _, c := range a.Community {
		r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", c[0], c[1]))
	}
	for _, c := range a.Large {
		r.LargeCommunities = append(r.LargeCommunities, fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2]))
	}
	for _, e := range a.Ext {
		kind, value, _ := strings.Cut(e.String, ":")
		// "origin:65001:0.0.0.6" is 65001:6.
		if as, local, ok := strings.Cut(value, ":"); ok && strings.Contains(local, ".") {
			if a, err := netip.ParseAddr(local); err == nil {
				b := a.As4()
				value = fmt.Sprintf("%s:%d", as, binary.BigEndian.Uint32(b[:]))
			}
		}
		r.ExtCommunities = append(r.ExtCommunities, map[string]string{"target": "rt", "origin": "ro"}[kind]+":"+value)
	}
	return r
}
