package session

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"ribd/engine/config"
)

// setting is one key of a peer as far as a change is concerned. live keys are
// taken over by a running session.
type setting struct {
	key  string
	live bool
	get  func(*config.Peer) any
}

var settings = []setting{
	{"name", true, func(p *config.Peer) any { return p.Name }},
	{"description", true, func(p *config.Peer) any { return p.Description }},
	{"group", true, func(p *config.Peer) any { return p.Group }},
	{"max_peers", true, func(p *config.Peer) any { return p.MaxPeers }},
	{"as", false, func(p *config.Peer) any { return p.AS }},
	{"local_as", false, func(p *config.Peer) any { return p.LocalAS }},
	{"local_address", false, func(p *config.Peer) any { return p.LocalAddress }},
	{"port", false, func(p *config.Peer) any { return p.Port }},
	{"mode", true, func(p *config.Peer) any { return p.Mode }},
	{"hold_time", false, func(p *config.Peer) any { return p.HoldTime }},
	{"send_hold_time", true, func(p *config.Peer) any { return p.SendHoldTime }},
	{"connect_retry", true, func(p *config.Peer) any { return p.ConnectRetry }},
	{"delay_open", true, func(p *config.Peer) any { return p.DelayOpen }},
	{"advertisement_interval", false, func(p *config.Peer) any { return p.AdvertisementInterval }},
	{"families", false, func(p *config.Peer) any { return sortedFamilies(p) }},
	{"add_path", false, func(p *config.Peer) any { return p.AddPath }},
	{"extended_messages", false, func(p *config.Peer) any { return p.ExtendedMessages }},
	{"extended_next_hop", false, func(p *config.Peer) any { return p.ExtendedNextHop }},
	{"graceful_restart", false, func(p *config.Peer) any { return p.GracefulRestart }},
	{"local_role", false, func(p *config.Peer) any { return p.LocalRole }},
	{"role_strict", false, func(p *config.Peer) any { return p.RoleStrict }},
	{"md5_file", false, func(p *config.Peer) any { return p.MD5File }},
	{"ttl_security", false, func(p *config.Peer) any { return p.TTLSecurity }},
	{"multihop", false, func(p *config.Peer) any { return p.Multihop }},
	{"max_prefixes", true, func(p *config.Peer) any { return p.MaxPrefixes }},
	{"enforce_first_as", true, func(p *config.Peer) any { return p.EnforceFirstAS }},
	{"allow_own_as", true, func(p *config.Peer) any { return p.AllowOwnAS }},
	{"remove_private_as", false, func(p *config.Peer) any { return p.RemovePrivateAS }},
	{"next_hop", false, func(p *config.Peer) any { return p.NextHop }},
	{"route_server_client", false, func(p *config.Peer) any { return p.RouteServer }},
	{"route_reflector_client", false, func(p *config.Peer) any { return p.RouteReflector }},
	{"reject_as_sets", true, func(p *config.Peer) any { return p.RejectASSets }},
	{"flowspec_validation", true, func(p *config.Peer) any { return p.FlowSpec }},
	{"flowspec_redirect", false, func(p *config.Peer) any { return p.FlowSpecRedirect }},
	{"import", true, func(p *config.Peer) any { return p.Import }},
	{"export", true, func(p *config.Peer) any { return p.Export }},
}

// sortedFamilies is families without their order, which means nothing.
func sortedFamilies(p *config.Peer) any {
	fs := slices.Clone(p.Families)
	slices.Sort(fs)
	return fs
}

// differ names the keys in which two configurations of a peer differ, and says
// whether a session survives them.
func differ(a, b *config.Peer) (keys []string, live bool) {
	live = true
	for i := range settings {
		s := &settings[i]
		x, y := s.get(a), s.get(b)
		if reflect.DeepEqual(x, y) || bothEmpty(x, y) {
			continue
		}
		keys = append(keys, s.key)
		live = live && s.live
	}
	return keys, live
}

// bothEmpty says that x and y are maps or lists without an item.
func bothEmpty(x, y any) bool {
	a, b := reflect.ValueOf(x), reflect.ValueOf(y)
	switch a.Kind() {
	case reflect.Map, reflect.Slice:
		return a.Len() == 0 && b.Len() == 0
	}
	return false
}

// peerKey is what identifies a configured peer: its address, or the range.
type peerKey struct {
	addr netip.Addr
	rng  netip.Prefix
}

func keyOf(p *config.Peer) peerKey {
	if p.Address.IsValid() {
		return peerKey{addr: p.Address.Unmap()}
	}
	return peerKey{rng: p.Prefix.Masked()}
}

func (k peerKey) String() string {
	if k.addr.IsValid() {
		return k.addr.String()
	}
	return k.rng.String()
}

func (k peerKey) compare(o peerKey) int {
	return cmp.Or(k.addr.Compare(o.addr), k.rng.Addr().Compare(o.rng.Addr()), cmp.Compare(k.rng.Bits(), o.rng.Bits()))
}

// secrets are the MD5 keys of the peers that have one.
type secrets map[peerKey]string

// plan compares two settings. A change of the router's own AS number or
// identifier resets every peer that it concerns.
func plan(old, new *Settings, oldKeys, newKeys secrets) Changes {
	var c Changes
	c.Listen = !sameListen(old, new)
	before := byKey(old)
	after := byKey(new)
	for k, p := range after {
		was, ok := before[k]
		if !ok {
			c.Peers = append(c.Peers, Change{Peer: k.String(), Name: p.Name, Kind: Added})
			continue
		}
		keys, live := differ(was, p)
		if oldKeys[k] != newKeys[k] && !slices.Contains(keys, "md5_file") {
			keys, live = append(keys, "md5_file"), false
		}
		if old.AS != new.AS && cmp.Or(was.LocalAS.AS, old.AS) != cmp.Or(p.LocalAS.AS, new.AS) ||
			old.AS != new.AS && (p.LocalAS.AS != 0 && !p.LocalAS.ReplaceAS) {
			keys, live = append(keys, "as (of this router)"), false
		}
		if old.RouterID != new.RouterID {
			keys, live = append(keys, "router_id"), false
		}
		if len(keys) == 0 {
			continue
		}
		kind := Reset
		if live {
			kind = Live
		}
		c.Peers = append(c.Peers, Change{Peer: k.String(), Name: p.Name, Kind: kind, Keys: keys})
	}
	for k, p := range before {
		if _, ok := after[k]; !ok {
			c.Peers = append(c.Peers, Change{Peer: k.String(), Name: p.Name, Kind: Removed})
		}
	}
	order := map[string]peerKey{}
	for _, m := range []map[peerKey]*config.Peer{before, after} {
		for k := range m {
			order[k.String()] = k
		}
	}
	slices.SortFunc(c.Peers, func(a, b Change) int { return order[a.Peer].compare(order[b.Peer]) })
	return c
}

// byKey returns the peers that run under s: none without an AS number.
func byKey(s *Settings) map[peerKey]*config.Peer {
	m := map[peerKey]*config.Peer{}
	if s.AS == 0 {
		return m
	}
	for i := range s.Peers {
		m[keyOf(&s.Peers[i])] = &s.Peers[i]
	}
	return m
}

func listenSet(s *Settings) map[string]bool {
	m := map[string]bool{}
	if s.AS != 0 {
		for _, l := range s.Listen {
			m[l.String()] = true
		}
	}
	return m
}

func sameListen(a, b *Settings) bool { return maps.Equal(listenSet(a), listenSet(b)) }
