package fuzz

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// filterRow is what a naive filter needs of a row.
type filterRow struct {
	Prefix      netip.Prefix
	Peer        string
	PeerID      string  `json:"peer_id"`
	PeerASN     uint32  `json:"peer_asn"`
	Source      string  `json:"source"`
	PathID      *uint32 `json:"path_id"`
	Best        bool
	ASPath      string   `json:"as_path"`
	OriginASN   *uint32  `json:"origin_asn"`
	NeighborASN *uint32  `json:"neighbor_asn"`
	NextHop     string   `json:"next_hop"`
	Communities []string `json:"communities"`
}

// passes judges a row by one parameter, in the plainest way; ok is false for what
// the naive filter leaves alone.
func (r *filterRow) passes(name, v string) (yes, ok bool) {
	number := func(p *uint32) (bool, bool) {
		n, err := strconv.ParseUint(v, 10, 32)
		return p != nil && err == nil && uint32(n) == *p, err == nil
	}
	switch name {
	case "peer":
		return r.Peer == v || r.PeerID == v, r.Peer == v || r.PeerID == v || slices.Contains([]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, v)
	case "peer_asn":
		return number(&r.PeerASN)
	case "origin_asn":
		return number(r.OriginASN)
	case "neighbor_asn":
		return number(r.NeighborASN)
	case "source":
		return r.Source == v, slices.Contains([]string{"bgp", "mrt", "bmp", "local"}, v)
	case "path_id":
		if v == "none" {
			return r.PathID == nil, true
		}
		return number(r.PathID)
	case "best":
		return r.Best == (v == "true"), v == "true" || v == "false"
	case "community":
		return slices.Contains(r.Communities, v), regexp.MustCompile(`^(0|[1-9]\d{0,3}):(0|[1-9]\d{0,3})$`).MatchString(v)
	case "as_path":
		if strings.ContainsAny(v, `\[`) { // "_" is not a separator everywhere
			return false, false
		}
		re, err := regexp.Compile(strings.ReplaceAll(v, "_", `(?:^|$|[ ,{}()\[\]])`))
		return err == nil && re.MatchString(r.ASPath), err == nil
	case "min_length":
		n, err := strconv.ParseUint(v, 10, 7)
		return r.Prefix.Bits() >= int(n), err == nil
	case "max_length":
		n, err := strconv.ParseUint(v, 10, 7)
		return r.Prefix.Bits() <= int(n), err == nil
	}
	return false, false
}

// FuzzFilteredLookup promises of an address and filters: the answer is the longest
// prefix with a path that a naive filter lets pass, and just such paths; routes
// with the same filters are the rows that it lets pass, in the same order. What is
// refused names the parameter.
func FuzzFilteredLookup(f *testing.F) {
	s := newAPIServer(f)
	for _, seed := range []string{"", "peer=192.0.2.3", "origin_asn=65537", "as_path=_65538$", "as_path=^64497_", "path_id=0", "path_id=none&best=true",
		"max_length=15", "min_length=25&peer_asn=64496", "community=64496:1", "source=mrt&best=false", "as_path=(6449[67]|x)_&neighbor_asn=64497"} {
		for _, a := range []string{"10.1.2.3", "192.0.2.77", "2001:db8:1:2::3"} {
			f.Add(a, seed)
		}
	}
	var rows []filterRow
	f.Fuzz(func(t *testing.T, address, query string) {
		a, err := netip.ParseAddr(address)
		values, qerr := url.ParseQuery(query)
		if err != nil || a.Zone() != "" || qerr != nil || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' || r == ';' }) {
			return
		}
		a = a.Unmap()
		if rows == nil {
			status, body := s.ask(t, "GET", "/api/v1/routes?limit=100000", "", "", nil)
			var all struct{ Routes []filterRow }
			if err := json.Unmarshal(body, &all); status != 200 || err != nil {
				t.Fatalf("%d %v", status, err)
			}
			rows = all.Routes
		}
		keep := func(r *filterRow) (bool, bool) {
			for name, vs := range values {
				for _, v := range vs {
					yes, ok := r.passes(name, v)
					if !ok || len(vs) > 1 && name != "community" {
						return false, false
					}
					if !yes {
						return false, true
					}
				}
			}
			return true, true
		}
		status, body := s.ask(t, "GET", "/api/v1/lookup/"+a.String()+"?"+query, "", "", nil)
		if status != 200 {
			checkProblem(t, query, status, body)
			var p struct{ Param string }
			if err := json.Unmarshal(body, &p); err != nil || p.Param == "" {
				t.Fatalf("%s: no parameter is named: %s", query, body)
			}
			return
		}
		var passed []filterRow
		var longest netip.Prefix
		for i := range rows {
			yes, ok := keep(&rows[i])
			if !ok {
				return
			}
			if yes {
				passed = append(passed, rows[i])
				if p := rows[i].Prefix; p.Contains(a) && (!longest.IsValid() || p.Bits() > longest.Bits()) {
					longest = p
				}
			}
		}
		var got struct {
			Prefix *netip.Prefix
			Paths  []filterRow
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v: %s", query, err, body)
		}
		var want []string
		for _, r := range passed {
			if r.Prefix == longest {
				want = append(want, r.PeerID+" "+r.ASPath)
			}
		}
		var have []string
		for _, r := range got.Paths {
			have = append(have, r.PeerID+" "+r.ASPath)
		}
		if (got.Prefix != nil) != longest.IsValid() || got.Prefix != nil && *got.Prefix != longest || !slices.Equal(have, want) {
			t.Fatalf("%s ? %s: got %v %q, want %v %q", a, query, got.Prefix, have, longest, want)
		}
		if strings.ContainsAny(query, "%") {
			return
		}
		status, body = s.ask(t, "GET", "/api/v1/routes?limit=100000&"+query, "", "", nil)
		var list struct{ Routes []filterRow }
		if err := json.Unmarshal(body, &list); status != 200 || err != nil {
			t.Fatalf("routes?%s: %d %v: %s", query, status, err, body)
		}
		same := slices.EqualFunc(list.Routes, passed, func(a, b filterRow) bool { return a.Prefix == b.Prefix && a.PeerID == b.PeerID && a.ASPath == b.ASPath })
		if !same {
			t.Fatalf("routes?%s: %d rows, want %d", query, len(list.Routes), len(passed))
		}
	})
}
