package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"ribd/wire"
)

const (
	maxHold    = 65535 * time.Second
	maxRestart = 4095 * time.Second     // 12 bits (RFC 4724 section 3)
	maxStale   = 16777215 * time.Second // 24 bits (RFC 9494 section 3)
)

// peers reads peer_defaults, groups and peers, in the order in which they
// build on each other.
func (d *decoder) peers(top table) {
	c := d.cfg
	if n, path, ok := top.at("peer_defaults"); ok {
		if t, ok := d.open(n, path, "settings"); ok {
			d.settings(t, &c.PeerDefaults)
		}
	}
	if n, path, ok := top.at("groups"); ok {
		if t, ok := d.openAny(n, path); ok {
			c.Groups = map[string]PeerSettings{}
			for _, name := range t.order {
				s := c.PeerDefaults
				if g, ok := d.open(t.keys[name].value, path+"."+name, "settings"); ok {
					d.settings(g, &s)
				}
				c.Groups[name] = s
			}
		}
	}
	taken := map[string]string{}
	top.items("peers", func(n ast.Node, path string) {
		if t, ok := d.open(n, path, "peer"); ok {
			d.peer(t, taken)
		}
	})
	if len(c.Peers) > 0 && c.AS == 0 && !top.has("as") {
		d.errorf(top.keys["peers"].key, "peers want as at the top of the file: this router's own AS number")
	}
}

// peer reads one peer. taken holds the names, addresses and ranges so far.
func (d *decoder) peer(t table, taken map[string]string) {
	p := Peer{PeerSettings: d.cfg.PeerDefaults}
	t.str("group", &p.Group)
	if p.Group != "" {
		g, ok := d.cfg.Groups[p.Group]
		if ok {
			p.PeerSettings = g
		} else {
			d.noSuch(t, "group", p.Group, "group", keysOf(d.cfg.Groups))
		}
	}
	t.addr("address", &p.Address)
	if n, path, ok := t.at("prefix"); ok {
		p.Prefix, _ = d.prefix(n, path)
	}
	switch {
	case t.has("address") && t.has("prefix"):
		d.errorf(t.keys["prefix"].key, "%s has an address and a prefix: one peer or a range of them", t.path)
	case !t.has("address") && !t.has("prefix"):
		d.errorf(t.node, "%s wants address, or prefix for a range of peers", t.path)
	}
	t.str("name", &p.Name)
	t.str("description", &p.Description)
	number(t, "max_peers", 1, 1<<20, &p.MaxPeers)
	d.settings(t, &p.PeerSettings)
	d.peerRules(t, &p)
	once := func(key, value string) {
		if value == "" || value == "invalid IP" || value == "invalid Prefix" {
			return
		}
		if first, twice := taken[key+value]; twice {
			d.errorf(t.keys[key].value, "%s.%s: %s is %s's already", t.path, key, value, first)
			return
		}
		taken[key+value] = t.path
	}
	once("address", p.Address.String())
	once("prefix", p.Prefix.String())
	once("name", p.Name)
	d.cfg.Peers = append(d.cfg.Peers, p)
}

// peerRules holds what the keys of a peer ask of each other.
func (d *decoder) peerRules(t table, p *Peer) {
	at := func(key string) ast.Node {
		if e, ok := t.keys[key]; ok {
			return e.key
		}
		return t.node
	}
	if t.has("max_peers") && !t.has("prefix") {
		d.errorf(at("max_peers"), "%s.max_peers is for a range of peers, one with prefix", t.path)
	}
	if t.has("prefix") && p.Mode == ModeActive {
		d.errorf(at("mode"), "%s: a range of peers is passive: ribd can't call addresses that it does not know", t.path)
	}
	if !p.AS.Any && len(p.AS.Numbers) == 0 && !t.has("as") {
		d.errorf(t.node, "%s wants as, the peer's AS number", t.path)
	}
	if t.has("address") && (p.AS.Any || len(p.AS.Numbers) > 1) {
		d.errorf(at("as"), "%s.as: one peer has one AS number; lists and any are for ranges", t.path)
	}
	if p.TTLSecurity > 0 && p.Multihop > 0 {
		d.errorf(at("multihop"), "%s: ttl_security and multihop exclude each other (RFC 5082)", t.path)
	}
	if p.LocalAddress.IsValid() && p.Address.IsValid() && p.LocalAddress.Is4() != p.Address.Is4() {
		d.errorf(at("local_address"), "%s.local_address: %s and the peer's %s are of two families", t.path, p.LocalAddress, p.Address)
	}
	if p.SendHoldTime > 0 && p.SendHoldTime <= p.HoldTime {
		d.errorf(at("send_hold_time"), "%s.send_hold_time: %s is not longer than hold_time, %s (RFC 9687)", t.path, short(p.SendHoldTime), short(p.HoldTime))
	}
	if p.RoleStrict && p.LocalRole == RoleNone {
		d.errorf(at("role_strict"), "%s.role_strict wants local_role", t.path)
	}
	if len(p.AS.Numbers) != 1 || d.cfg.AS == 0 {
		return
	}
	own := cmp.Or(p.LocalAS.AS, d.cfg.AS)
	internal := p.AS.Numbers[0] == own
	if internal && p.LocalRole != RoleNone {
		d.errorf(at("local_role"), "%s.local_role is for external peers (RFC 9234), and this one is of AS %d too", t.path, own)
	}
	if internal && p.RouteServer {
		d.errorf(at("route_server_client"), "%s.route_server_client is for external peers (RFC 7947)", t.path)
	}
	if !internal && p.RouteReflector {
		d.errorf(at("route_reflector_client"), "%s.route_reflector_client is for internal peers (RFC 4456)", t.path)
	}
}

// settings reads what a peer may inherit over what s holds already.
func (d *decoder) settings(t table, s *PeerSettings) {
	d.asSet(t, &s.AS)
	d.localAS(t, &s.LocalAS)
	t.addr("local_address", &s.LocalAddress)
	number(t, "port", 1, 65535, &s.Port)
	enum(t, "mode", modes, &s.Mode)
	if t.duration("hold_time", 0, maxHold, time.Second, &s.HoldTime) && s.HoldTime > 0 && s.HoldTime < 3*time.Second {
		d.errorf(t.keys["hold_time"].value, "%s.hold_time is 0s (off) or at least 3s (RFC 4271)", t.path)
	}
	t.duration("send_hold_time", 0, maxHold, time.Second, &s.SendHoldTime)
	t.duration("connect_retry", time.Second, time.Hour, time.Second, &s.ConnectRetry)
	t.duration("delay_open", 0, 10*time.Minute, time.Second, &s.DelayOpen)
	t.duration("advertisement_interval", 0, 10*time.Minute, time.Millisecond, &s.AdvertisementInterval)
	if t.has("families") {
		s.Families = d.families(t, "families")
	}
	d.addPath(t, &s.AddPath)
	t.boolean("extended_messages", &s.ExtendedMessages)
	t.boolean("extended_next_hop", &s.ExtendedNextHop)
	d.gracefulRestart(t, &s.GracefulRestart)
	enum(t, "local_role", sessionRoles, &s.LocalRole)
	t.boolean("role_strict", &s.RoleStrict)
	t.fileName("md5_file", &s.MD5File)
	if n, path, ok := t.at("ttl_security"); ok {
		if t, ok := d.open(n, path, "ttl"); ok {
			number(t, "hops", 1, 254, &s.TTLSecurity)
		}
	}
	d.multihop(t, &s.Multihop)
	d.maxPrefixes(t, s)
	t.boolean("enforce_first_as", &s.EnforceFirstAS)
	number(t, "allow_own_as", 0, 10, &s.AllowOwnAS)
	t.boolean("remove_private_as", &s.RemovePrivateAS)
	enum(t, "next_hop", nextHops, &s.NextHop)
	t.boolean("route_server_client", &s.RouteServer)
	t.boolean("route_reflector_client", &s.RouteReflector)
	t.boolean("reject_as_sets", &s.RejectASSets)
	enum(t, "flowspec_validation", flowSpecValidations, &s.FlowSpec)
	enum(t, "flowspec_redirect", flowSpecRedirects, &s.FlowSpecRedirect)
	d.policyName(t, "import", &s.Import)
	d.policyName(t, "export", &s.Export)
}

func (d *decoder) asSet(t table, dst *ASSet) {
	n, path, ok := t.at("as")
	if !ok {
		return
	}
	var set ASSet
	switch v := d.resolve(n).(type) {
	case *ast.SequenceNode:
		d.each(v, path, func(n ast.Node, path string) {
			if as, ok := d.asNumber(n, path); ok && !slices.Contains(set.Numbers, as) {
				set.Numbers = append(set.Numbers, as)
			}
		})
	case *ast.StringNode:
		if v.Value != "any" {
			d.errorf(v, "%s: %q is not an AS number, a list of them, or any", path, v.Value)
			return
		}
		set.Any = true
	default:
		if as, ok := d.asNumber(n, path); ok {
			set.Numbers = []uint32{as}
		}
	}
	*dst = set
}

func (d *decoder) localAS(t table, dst *LocalAS) {
	n, path, ok := t.at("local_as")
	if !ok {
		return
	}
	if t, ok := d.open(n, path, "local_as"); ok {
		if n, path, ok := t.at("as"); ok {
			dst.AS, _ = d.asNumber(n, path)
		}
		t.boolean("no_prepend", &dst.NoPrepend)
		t.boolean("replace_as", &dst.ReplaceAS)
		t.need("as", "the AS number that this peer sees us as")
	}
}

func (d *decoder) multihop(t table, dst *uint8) {
	n, path, ok := t.at("multihop")
	if !ok {
		return
	}
	switch v := d.resolve(n).(type) {
	case *ast.BoolNode:
		*dst = 0
		if v.Value {
			*dst = 255
		}
	case *ast.IntegerNode:
		if ttl, ok := d.number(v, path, 1, 255); ok {
			*dst = uint8(ttl)
		}
	default:
		d.errorf(n, "%s: %s is not true, false or a number of hops from 1 to 255", path, kind(v))
	}
}

// family reads the name of a family.
func (d *decoder) family(n ast.Node, path, name string) (wire.Family, bool) {
	f, err := wire.ParseFamily(name)
	if err != nil {
		if w := nearest(name, familyNames); w != "" {
			d.errorf(n, "%s: %q is no family: did you mean %q?", path, name, w)
		} else {
			d.errorf(n, "%s: %q is no family such as ipv4-unicast or ipv6-flowspec, nor afi-N-safi-M", path, name)
		}
	}
	return f, err == nil
}

var familyNames = []string{
	"ipv4-unicast", "ipv6-unicast", "ipv4-multicast", "ipv6-multicast", "ipv4-labelled-unicast", "ipv6-labelled-unicast",
	"ipv4-vpn", "ipv6-vpn", "ipv4-flowspec", "ipv6-flowspec", "ipv4-flowspec-vpn", "ipv6-flowspec-vpn", "l2vpn-evpn", "ls",
}

func (d *decoder) families(t table, key string) []wire.Family {
	var fs []wire.Family
	t.items(key, func(n ast.Node, path string) {
		s, ok := d.scalar(n, path, "a family such as ipv4-unicast")
		if !ok {
			return
		}
		f, ok := d.family(n, path, s)
		if !ok {
			return
		}
		if slices.Contains(fs, f) {
			d.errorf(n, "%s: %s stands twice", path, s)
			return
		}
		fs = append(fs, f)
	})
	if n, path, _ := t.at(key); len(fs) == 0 && n != nil {
		if seq, ok := d.resolve(n).(*ast.SequenceNode); ok && len(seq.Values) == 0 {
			d.errorf(n, "%s is empty: name at least one family", path)
		}
	}
	return fs
}

// byFamily calls f for each family that keys a mapping.
func (d *decoder) byFamily(n ast.Node, path string, f func(fam wire.Family, n ast.Node, path string)) {
	t, ok := d.openAny(n, path)
	if !ok {
		return
	}
	for _, name := range t.order {
		if fam, ok := d.family(t.keys[name].key, path, name); ok {
			f(fam, t.keys[name].value, path+"."+name)
		}
	}
}

// addPath reads receive and send, each one value for all families or one for
// each by name.
func (d *decoder) addPath(t table, dst *AddPath) {
	n, path, ok := t.at("add_path")
	if !ok {
		return
	}
	t, ok = d.open(n, path, "add_path")
	if !ok {
		return
	}
	var ap AddPath
	set := func(f wire.Family, change func(*FamilyAddPath)) {
		v, ok := ap.ByFamily[f]
		if !ok {
			v = FamilyAddPath{Receive: ap.Receive, Send: ap.Send}
		}
		change(&v)
		if ap.ByFamily == nil {
			ap.ByFamily = map[wire.Family]FamilyAddPath{}
		}
		ap.ByFamily[f] = v
	}
	receive, receivePath, _ := t.at("receive")
	send, sendPath, _ := t.at("send")
	receiveMap, sendMap := isMapping(d.resolve(receive)), isMapping(d.resolve(send))
	if receive != nil && !receiveMap {
		t.boolean("receive", &ap.Receive)
	}
	if send != nil && !sendMap {
		ap.Send, _ = d.addPathSend(send, sendPath)
	}
	if receiveMap {
		d.byFamily(receive, receivePath, func(f wire.Family, n ast.Node, path string) {
			b, ok := d.resolve(n).(*ast.BoolNode)
			if !ok {
				d.errorf(n, "%s: %s is not true or false", path, kind(d.resolve(n)))
				return
			}
			set(f, func(v *FamilyAddPath) { v.Receive = b.Value })
		})
	}
	if sendMap {
		d.byFamily(send, sendPath, func(f wire.Family, n ast.Node, path string) {
			if s, ok := d.addPathSend(n, path); ok {
				set(f, func(v *FamilyAddPath) { v.Send = s })
			}
		})
	}
	*dst = ap
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func (d *decoder) addPathSend(n ast.Node, path string) (AddPathSend, bool) {
	s, ok := d.scalar(n, path, "off, all or best-N")
	if !ok {
		return 0, false
	}
	switch s {
	case "off":
		return 0, true
	case "all":
		return AddPathAll, true
	}
	if digits, ok := strings.CutPrefix(s, "best-"); ok {
		if v, err := strconv.ParseUint(digits, 10, 16); err == nil && v >= 1 && AddPathSend(v) < AddPathAll {
			return AddPathSend(v), true
		}
	}
	d.errorf(n, "%s: %q is not off, all or best-N such as best-4", path, s)
	return 0, false
}

func (d *decoder) gracefulRestart(t table, dst *GracefulRestart) {
	n, path, ok := t.at("graceful_restart")
	if !ok {
		return
	}
	if b, ok := d.resolve(n).(*ast.BoolNode); ok {
		dst.Enabled = b.Value
		return
	}
	if t, ok := d.open(n, path, "restart"); ok {
		t.boolean("enabled", &dst.Enabled)
		t.duration("restart_time", 0, maxRestart, time.Second, &dst.RestartTime)
		t.boolean("helper_only", &dst.HelperOnly)
		t.boolean("notification", &dst.Notification)
		t.duration("llgr_stale_time", 0, maxStale, time.Second, &dst.LLGRStaleTime)
	}
}

func (d *decoder) maxPrefixes(t table, s *PeerSettings) {
	n, path, ok := t.at("max_prefixes")
	if !ok {
		return
	}
	s.MaxPrefixes = map[wire.Family]MaxPrefixes{}
	d.byFamily(n, path, func(f wire.Family, n ast.Node, path string) {
		t, ok := d.open(n, path, "limit")
		if !ok {
			return
		}
		var m MaxPrefixes
		number(t, "limit", 1, 1<<32-1, &m.Limit)
		warned := number(t, "warn", 1, 1<<32-1, &m.Warn)
		m.Action = LimitShutdown
		enum(t, "action", limitActions, &m.Action)
		t.duration("restart_after", time.Second, 30*24*time.Hour, time.Second, &m.RestartAfter)
		t.need("limit", "how many prefixes are too many")
		if warned && m.Limit > 0 && m.Warn > m.Limit {
			d.errorf(t.keys["warn"].value, "%s.warn: %d is over the limit, %d", path, m.Warn, m.Limit)
		}
		if m.Action == LimitRestart {
			t.need("restart_after", "how long the session stays down, such as 15m")
		} else if t.has("restart_after") {
			d.errorf(t.keys["restart_after"].key, "%s.restart_after goes with action: restart", path)
		}
		s.MaxPrefixes[f] = m
	})
}

// policyName reads the name of a policy that the file defines, or one of the
// two that are always there.
func (d *decoder) policyName(t table, key string, dst *string) {
	t.str(key, dst)
	if _, _, ok := t.at(key); !ok || *dst == "" || *dst == "accept-all" || *dst == "reject-all" {
		return
	}
	if _, ok := d.cfg.Policies[*dst]; !ok {
		d.noSuch(t, key, *dst, "policy", append(keysOf(d.cfg.Policies), "accept-all", "reject-all"))
	}
}

// noSuch says that a name is not defined, and which was meant.
func (d *decoder) noSuch(t table, key, name, what string, known []string) {
	hint := ""
	if w := nearest(name, known); w != "" {
		hint = ": did you mean " + strconv.Quote(w) + "?"
	} else if len(known) > 0 {
		hint = ": the file has " + strings.Join(known, ", ")
	}
	d.errorf(t.keys[key].value, "%s.%s: no %s %q%s", t.path, key, what, name, hint)
}

func keysOf[V any](m map[string]V) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
