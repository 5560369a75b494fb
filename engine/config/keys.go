package config

import "slices"

// section is a mapping of the file: its name for people and its keys.
type section struct {
	name string
	keys []string
}

func (s section) has(key string) bool { return slices.Contains(s.keys, key) }

func (s section) words() []string { return s.keys }

// settingKeys are the keys that a peer may inherit.
var settingKeys = []string{
	"as", "local_as", "local_address", "port", "mode", "hold_time", "send_hold_time", "connect_retry", "delay_open",
	"advertisement_interval", "families", "add_path",
	"extended_messages", "extended_next_hop", "graceful_restart", "local_role", "role_strict", "md5_file",
	"ttl_security", "multihop", "max_prefixes", "enforce_first_as", "allow_own_as", "remove_private_as", "next_hop",
	"route_server_client", "route_reflector_client", "reject_as_sets", "flowspec_validation", "flowspec_redirect", "import", "export",
}

// sections holds the keys of every mapping, by a short name.
var sections = map[string]section{
	"": {"the top of the file", []string{
		"as", "router_id", "cluster_id", "shards", "memory_limit", "log", "shutdown", "http", "bgp", "load", "persist",
		"peer_defaults", "groups", "peers", "policies", "prefix_sets", "guards", "blackhole",
	}},
	"log":      {"log", []string{"level", "format"}},
	"http":     {"http", []string{"listen", "tokens", "tls", "allow"}},
	"token":    {"http.tokens", []string{"name", "role", "secret_file"}},
	"tls":      {"http.tls", []string{"cert", "key"}},
	"bgp":      {"bgp", []string{"listen"}},
	"load":     {"load", []string{"file", "collector"}},
	"persist":  {"persist", []string{"dir"}},
	"settings": {"peer_defaults and groups", settingKeys},
	"peer":     {"peers", append([]string{"address", "prefix", "name", "description", "group", "max_peers"}, settingKeys...)},
	"local_as": {"local_as", []string{"as", "no_prepend", "replace_as"}},
	"add_path": {"add_path", []string{"receive", "send"}},
	"restart":  {"graceful_restart", []string{"enabled", "restart_time", "helper_only", "notification", "llgr_stale_time"}},
	"ttl":      {"ttl_security", []string{"hops"}},
	"limit":    {"max_prefixes", []string{"warn", "limit", "action", "restart_after"}},
	"term":     {"a policy's term", []string{"if", "then"}},
	"then": {"then", []string{
		"accept", "reject", "next", "set", "prepend", "add_communities", "remove_communities",
		"add_large_communities", "remove_large_communities", "add_ext_communities", "remove_ext_communities",
	}},
	"set":       {"set", []string{"local_pref", "med", "next_hop"}},
	"prepend":   {"prepend", []string{"as", "times"}},
	"guards":    {"guards", []string{"protected", "min_length", "max_rules", "max_ttl", "default_ttl"}},
	"lengths":   {"guards.min_length", []string{"ipv4", "ipv6"}},
	"max_rules": {"guards.max_rules", []string{"total", "per_peer"}},
	"blackhole": {"blackhole", []string{"next_hop", "communities"}},
	"next_hops": {"blackhole.next_hop", []string{"ipv4", "ipv6"}},
}

// homes returns the sections that a key belongs to, in the order of their
// names.
func homes(key string) []string {
	var in []string
	for _, s := range sections {
		if s.has(key) {
			in = append(in, s.name)
		}
	}
	slices.Sort(in)
	return in
}
