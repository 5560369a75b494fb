package api

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

type outKey struct {
	t rib.TableID
	k trie.Key
	n uint8
}

// fakeOut is the Adj-RIB-Out of peers by id, as a plain map.
type fakeOut struct {
	r     *shard.RIB
	peers map[string]map[outKey][]Advertised
	ended atomic.Bool
}

func (f *fakeOut) of(id string) AdjOut {
	if m, ok := f.peers[id]; ok {
		return &fakeTable{f, m}
	}
	return nil
}

type fakeTable struct {
	f *fakeOut
	m map[outKey][]Advertised
}

func (o *fakeTable) Paths(t rib.TableID, k trie.Key, n uint8, dst []Advertised) []Advertised {
	return append(dst, o.m[outKey{t, k, n}]...)
}

func (o *fakeTable) Err() error {
	if o.f.ended.Load() {
		return errors.New("hold timer expired")
	}
	return nil
}

// everything sends a peer all the best paths as they are.
func (f *fakeOut) everything(id string) {
	f.peers[id] = map[outKey][]Advertised{}
	v := f.r.View()
	defer v.Close()
	for _, t := range v.Tables() {
		w := v.Walk(t, shard.WalkRange{})
		for w.Next() {
			for _, p := range w.Paths(nil) {
				if p.Best {
					k := outKey{t, w.Key(), w.Len()}
					f.peers[id][k] = []Advertised{{Attrs: p.Attrs, From: p.Peer, FromPathID: p.PathID, FromHasPathID: p.HasPathID}}
				}
			}
		}
		w.Close()
	}
}

// sentRoute is one row of the model.
type sentRoute struct {
	prefix  netip.Prefix
	path    string
	pathID  int64 // -1: none
	from    string
	rank    int
	best    bool
	comms   bool
	preHops int
}

func (r sentRoute) String() string {
	return fmt.Sprintf("%s %q #%d from %s rank %d", r.prefix, r.path, r.pathID, r.from, r.rank)
}

// randomOut fills a RIB with paths of 3 peers over n prefixes, and sends a part
// of them on, prepended, with ids of the wire.
func randomOut(t testing.TB, seed uint64, n int) (*Server, []sentRoute) {
	b := newTable(t)
	rng := rand.New(rand.NewPCG(seed, 4))
	nums := []rib.PeerNum{b.peer("10.0.0.1", 65001, ""), b.peer("10.0.0.2", 65002, ""), b.peer("10.0.0.3", 65003, "")}
	type key struct {
		prefix netip.Prefix
		peer   int
	}
	type source struct {
		path  string
		comms []uint32
	}
	sources := map[key]source{}
	prefixes := map[netip.Prefix]bool{}
	for len(prefixes) < n {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(8)), byte(rng.IntN(4)), byte(rng.IntN(256))})
		bits := 4 + rng.IntN(29)
		if rng.IntN(6) == 0 {
			a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(rng.IntN(4)), byte(rng.IntN(256))})
			bits = 20 + rng.IntN(40)
		}
		p, _ := a.Prefix(bits)
		if prefixes[p] {
			continue
		}
		prefixes[p] = true
		for i, num := range nums {
			if rng.IntN(3) == 0 {
				continue
			}
			s := source{path: fmt.Sprintf("%d %d", 65001+i, 100+rng.IntN(5))}
			if rng.IntN(3) == 0 {
				s.comms = []uint32{65001<<16 | 7}
			}
			sources[key{p, i}] = s
			b.add(p.String(), num, attrSpec{path: s.path, next: "192.0.2.1", med: -1, comms: s.comms})
		}
	}
	b.sync()
	s, err := New(Options{RIB: b.r, Peers: realistic(t)})
	if err != nil {
		t.Fatal(err)
	}
	out := &fakeOut{r: b.r, peers: map[string]map[outKey][]Advertised{transitA: {}}}
	s.opts.AdjOut = out.of
	var model []sentRoute
	v := b.r.View()
	defer v.Close()
	for _, table := range []rib.TableID{rib.TableIPv4Unicast, rib.TableIPv6Unicast} {
		w := v.Walk(table, shard.WalkRange{})
		for w.Next() {
			k := outKey{table, w.Key(), w.Len()}
			p := b.r.Prefix(table, w.Key(), w.Len())
			for _, path := range w.Paths(nil) {
				if rng.IntN(4) == 0 {
					continue
				}
				i := slices.Index(nums, path.Peer)
				src := sources[key{p, i}]
				r := sentRoute{prefix: p, path: "64512 " + src.path, pathID: rng.Int64N(5) - 1, from: fmt.Sprintf("10.0.0.%d", i+1), rank: int(path.Rank), best: path.Best, comms: src.comms != nil, preHops: 2}
				id, _ := b.r.Attrs().Intern(attrSpec{path: r.path, next: "192.0.2.254", med: -1, comms: src.comms}.canonical())
				a := Advertised{Attrs: id, From: path.Peer}
				if r.pathID >= 0 {
					a.PathID, a.HasPathID = uint32(r.pathID), true
				}
				// In any order: the list is by rank.
				out.peers[transitA][k] = append([]Advertised{a}, out.peers[transitA][k]...)
				model = append(model, r)
			}
		}
		w.Close()
	}
	slices.SortStableFunc(model, func(a, b sentRoute) int {
		return cmp.Or(cmp.Compare(a.prefix.Addr().BitLen(), b.prefix.Addr().BitLen()), a.prefix.Addr().Compare(b.prefix.Addr()),
			cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(a.rank, b.rank))
	})
	return s, model
}

func shownRoutes(rs []apiv1.Route) (out []string) {
	for _, r := range rs {
		id := int64(-1)
		if r.PathID != nil {
			id = int64(*r.PathID)
		}
		out = append(out, sentRoute{prefix: netip.MustParsePrefix(*r.Prefix), path: r.ASPath, pathID: id, from: *r.Peer, rank: r.Rank}.String())
	}
	return out
}

func TestWhatIsSentTakesEveryFilter(t *testing.T) {
	under := func(p string) func(sentRoute) bool {
		u := netip.MustParsePrefix(p)
		return func(r sentRoute) bool {
			return r.prefix.Addr().Is4() == u.Addr().Is4() && r.prefix.Bits() >= u.Bits() && u.Contains(r.prefix.Addr())
		}
	}
	for _, n := range []int{40, 9000} {
		s, model := randomOut(t, uint64(n), n)
		fields := ""
		if n > 1000 { // whole rows of so many take minutes on a slow machine
			fields = "&fields=prefix,path_id,peer,rank,as_path"
		}
		for _, c := range []struct {
			q    string
			keep func(sentRoute) bool
		}{
			{"", func(sentRoute) bool { return true }},
			{"&family=ipv6-unicast", func(r sentRoute) bool { return r.prefix.Addr().Is6() }},
			{"&prefix=10.3.0.0/16&match=longer", under("10.3.0.0/16")},
			{"&prefix=10.3.0.0/16&match=longer&min_length=28", func(r sentRoute) bool { return under("10.3.0.0/16")(r) && r.prefix.Bits() >= 28 }},
			{"&prefix=10.3.1.64/26&match=shorter", func(r sentRoute) bool {
				return r.prefix.Addr().Is4() && r.prefix.Bits() <= 26 && r.prefix.Contains(netip.MustParseAddr("10.3.1.64"))
			}},
			{"&path_id=none", func(r sentRoute) bool { return r.pathID < 0 }},
			{"&path_id=3", func(r sentRoute) bool { return r.pathID == 3 }},
			{"&peer_asn=65002", func(r sentRoute) bool { return r.from == "10.0.0.2" }},
			{"&best=true", func(r sentRoute) bool { return r.best }},
			{"&as_path=%5E64512+65001_", func(r sentRoute) bool { return strings.HasPrefix(r.path, "64512 65001 ") }},
			{"&as_path_length=3", func(sentRoute) bool { return true }},
			{"&as_path_length=2", func(sentRoute) bool { return false }},
			{"&as_path_length=2&policy=pre", func(sentRoute) bool { return true }},
			{"&neighbor_asn=64512&origin_asn=103", func(r sentRoute) bool { return strings.HasSuffix(r.path, " 103") }},
			{"&neighbor_asn=65003&policy=pre", func(r sentRoute) bool { return r.from == "10.0.0.3" }},
			{"&community=65001:7", func(r sentRoute) bool { return r.comms }},
			{"&next_hop=192.0.2.254", func(sentRoute) bool { return true }},
			{"&source=mrt", func(sentRoute) bool { return true }},
			{"&stale=true", func(sentRoute) bool { return false }},
			{"&filtered=true", func(sentRoute) bool { return false }},
			{"&filtered=any", func(sentRoute) bool { return true }},
			{"&received_before=2026-01-01T00:00:00Z", func(sentRoute) bool { return false }},
		} {
			var want []string
			prefixes := map[netip.Prefix]bool{}
			for _, r := range model {
				if c.keep(r) {
					if strings.Contains(c.q, "pre") && strings.Contains(c.q, "policy") {
						r.path = strings.TrimPrefix(r.path, "64512 ")
					}
					want = append(want, r.String())
					prefixes[r.prefix] = true
				}
			}
			uri := "/api/v1/routes?table=adj-out&peer=" + transitA + c.q
			_, body, _ := s.do("GET", uri+fields, "", "Accept", typeNDJSON)
			got := shownRoutes(lines[apiv1.Route](t, body))
			sameRows(t, fmt.Sprintf("%d %s, lines", n, c.q), got, want)
			limit := fmt.Sprintf("&limit=%d", 7+n/8)
			got = nil
			for cursor := ""; ; {
				var page apiv1.Routes
				s.get(t, 200, uri+fields+limit+cursor, &page)
				got = append(got, shownRoutes(page.Routes)...)
				if page.Next == nil {
					break
				}
				cursor = "&cursor=" + *page.Next
			}
			sameRows(t, fmt.Sprintf("%d %s, pages", n, c.q), got, want)
			var count apiv1.Count
			s.get(t, 200, strings.Replace(uri, "routes?", "routes/count?", 1), &count)
			if int(count.Paths) != len(want) || int(count.Prefixes) != len(prefixes) {
				t.Errorf("%d %s: counted %+v, want %d and %d", n, c.q, count, len(prefixes), len(want))
			}
		}
	}
}

// sameRows compares; what has one rank in one prefix may be in any order.
func sameRows(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d rows, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: row %d: got %s, want %s", what, i, got[i], want[i])
			return
		}
	}
}

func TestTheLongestMatchOfWhatIsSent(t *testing.T) {
	s, model := randomOut(t, 11, 400)
	for range 200 {
		a := netip.AddrFrom4([4]byte{10, byte(rand.IntN(8)), byte(rand.IntN(4)), byte(rand.IntN(256))})
		best := netip.Prefix{}
		for _, r := range model {
			if r.from == "10.0.0.2" && r.prefix.Contains(a) && (!best.IsValid() || r.prefix.Bits() > best.Bits()) {
				best = r.prefix
			}
		}
		var got apiv1.Routes
		s.get(t, 200, "/api/v1/routes?table=adj-out&match=longest&peer_asn=65002&prefix="+a.String()+"&peer="+transitA, &got)
		switch {
		case !best.IsValid() && len(got.Routes) > 0, best.IsValid() && (len(got.Routes) != 1 || *got.Routes[0].Prefix != best.String()):
			t.Fatalf("%s: got %+v, want %s", a, got.Routes, best)
		}
	}
}

func TestWhatIsSentEndsWithTheSession(t *testing.T) {
	b, s, _ := withSessions(t)
	out := &fakeOut{r: b.r, peers: map[string]map[outKey][]Advertised{}}
	s.opts.AdjOut = out.of
	out.everything(transitA)
	var r apiv1.Routes
	s.get(t, 200, "/api/v1/routes?table=adj-out&peer=198.51.100.7", &r) // it is down
	if len(r.Routes) != 0 || r.Next != nil {
		t.Errorf("a session that is down is sent %+v", r)
	}
	// A path that has gone from the RIB meanwhile.
	k, n := trie.PrefixKey(netip.MustParsePrefix("10.1.0.0/16"))
	at := outKey{rib.TableIPv4Unicast, k, n}
	out.peers[transitA][at][0].From = b.peers["192.0.2.1|rrc00"]
	s.get(t, 200, "/api/v1/routes?table=adj-out&prefix=10.1.0.0/16&peer="+transitA, &r)
	if len(r.Routes) != 1 || r.Routes[0].Best || r.Routes[0].Rank != 2 || *r.Routes[0].Peer != "192.0.2.1" {
		t.Errorf("got %+v", r.Routes)
	}
	out.ended.Store(true)
	for _, uri := range []string{"/api/v1/routes?table=adj-out&peer=" + transitA, "/api/v1/routes/count?table=adj-out&peer=" + transitA} {
		if code, body, _ := s.do("GET", uri, ""); code != 503 || !strings.Contains(body, "hold timer expired") {
			t.Errorf("%s: got %d %s", uri, code, body)
		}
	}
	_, body, _ := s.do("GET", "/api/v1/routes?table=adj-out&peer="+transitA, "", "Accept", typeNDJSON)
	if last := body[strings.LastIndexByte(strings.TrimSpace(body), '\n')+1:]; !strings.HasPrefix(last, `{"error":`) {
		t.Errorf("the last line is %s", last)
	}
}

func TestWhatIsSentOfRawFamilies(t *testing.T) {
	b, s, _ := withSessions(t)
	evpn, _ := b.r.Table(wire.L2VPNEVPN, 0)
	id, _ := b.r.Attrs().Intern(attrSpec{path: "65001", next: "192.0.2.1", med: -1}.canonical())
	rk, rn, _ := b.r.RawKey([]byte{3, 17, 0, 0, 0xfd, 0xe9, 0, 0, 0, 7, 0, 0, 0, 0, 32, 192, 0, 2, 1})
	b.fan.Announce(evpn, rk, rn, &rib.Path{Peer: b.peers["192.0.2.1|rrc00"], Attrs: id, Received: 1})
	b.sync()
	out := &fakeOut{r: b.r, peers: map[string]map[outKey][]Advertised{}}
	s.opts.AdjOut = out.of
	out.everything(transitA)
	var r apiv1.Routes
	s.get(t, 200, "/api/v1/routes?table=adj-out&family=l2vpn-evpn&peer="+transitA, &r)
	if len(r.Routes) != 1 || r.Routes[0].NLRI == nil || r.Routes[0].ASPath != "65001" {
		t.Errorf("got %+v", r.Routes)
	}
}

func BenchmarkWhatIsSentToOnePeer(b *testing.B) {
	s, model := randomOut(b, 1, 9000)
	b.ResetTimer()
	for b.Loop() {
		s.do("GET", "/api/v1/routes?table=adj-out&peer="+transitA, "", "Accept", typeNDJSON)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(model)), "ns/row")
}
