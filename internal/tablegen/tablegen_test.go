package tablegen

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"github.com/osrg/gobgp/v3/pkg/packet/mrt"
)

func newTable(t testing.TB, o Options) *Table {
	t.Helper()
	tb, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func rib(t testing.TB, tb *Table) ([]byte, Counts) {
	t.Helper()
	var b bytes.Buffer
	c, err := tb.WriteRIB(&b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), c
}

// records splits MRT octets with the reader of gobgp.
func records(t testing.TB, data []byte) (out []*mrt.MRTMessage) {
	t.Helper()
	for len(data) > 0 {
		h := &mrt.MRTHeader{}
		if err := h.DecodeFromBytes(data); err != nil {
			t.Fatal(err)
		}
		m, err := mrt.ParseMRTBody(h, data[12:12+h.Len])
		if err != nil {
			t.Fatalf("record %d: %v", len(out), err)
		}
		out = append(out, m)
		data = data[12+h.Len:]
	}
	return out
}

func TestGobgpReadsTheTable(t *testing.T) {
	for _, addPath := range []int{0, 4} {
		tb := newTable(t, Options{IPv4: 2000, IPv6: 500, Peers: 5, Partial: 1, AddPath: addPath, Seed: 3})
		data, counts := rib(t, tb)
		rs := records(t, data)
		if len(rs) != counts.Records {
			t.Fatalf("got %d records, counted %d", len(rs), counts.Records)
		}
		if index, ok := rs[0].Body.(*mrt.PeerIndexTable); !ok || len(index.Peers) != 5 {
			t.Fatalf("first record: %v", rs[0].Body)
		}
		var got []netip.Prefix
		paths := 0
		for _, r := range rs[1:] {
			body := r.Body.(*mrt.Rib)
			got = append(got, netip.MustParsePrefix(body.Prefix.String()))
			paths += len(body.Entries)
			for _, e := range body.Entries {
				types := make([]int, 0, 12)
				for _, a := range e.PathAttributes {
					types = append(types, int(a.GetType()))
				}
				if !slices.IsSorted(types) || len(slices.Compact(types)) != len(e.PathAttributes) {
					t.Fatalf("%v: attributes %v are not in ascending order", body.Prefix, types)
				}
			}
		}
		if paths != counts.Paths {
			t.Errorf("got %d paths, counted %d", paths, counts.Paths)
		}
		if !slices.Equal(got, tb.Prefixes()) {
			t.Error("the dump holds other prefixes than the table")
		}
	}
}

// The update file goes on from the table: what it withdraws was there.
func TestUpdatesGoOnFromTheTable(t *testing.T) {
	for _, addPath := range []int{0, 2} {
		tb := newTable(t, Options{IPv4: 3000, IPv6: 800, Peers: 4, AddPath: addPath, Seed: 5})
		type route struct {
			peer   string
			prefix string
		}
		held := map[route]bool{}
		for i, p := range tb.Prefixes() {
			for j, peer := range tb.Peers() {
				if tb.sees(i, j) {
					held[route{peer.Addr.String(), p.String()}] = true
				}
			}
		}
		var b bytes.Buffer
		counts, err := tb.WriteUpdates(&b, 3000)
		if err != nil {
			t.Fatal(err)
		}
		announced, withdrawn := 0, 0
		for _, r := range updateRecords(t, b.Bytes(), addPath > 0) {
			for _, p := range r.withdrawn {
				withdrawn++
				if k := (route{r.peer, p}); !held[k] {
					t.Fatalf("%v is withdrawn and was not there", k)
				} else {
					held[k] = false
				}
			}
			for _, p := range r.announced {
				announced++
				held[route{r.peer, p}] = true
			}
		}
		if announced != counts.Announced || withdrawn != counts.Withdrawn || withdrawn == 0 || counts.Messages != 3000 {
			t.Errorf("read %d announced, %d withdrawn; counted %+v", announced, withdrawn, counts)
		}
	}
}

type updateRecord struct {
	peer                 string
	announced, withdrawn []string
}

// updateRecords reads BGP4MP_ET messages with gobgp's parser of UPDATE.
func updateRecords(t *testing.T, data []byte, addPath bool) (out []updateRecord) {
	t.Helper()
	var options []*bgp.MarshallingOption
	if addPath {
		options = append(options, &bgp.MarshallingOption{AddPath: map[bgp.RouteFamily]bgp.BGPAddPathMode{
			bgp.RF_IPv4_UC: bgp.BGP_ADD_PATH_BOTH, bgp.RF_IPv6_UC: bgp.BGP_ADD_PATH_BOTH}})
	}
	for len(data) > 0 {
		n := 12 + binary.BigEndian.Uint32(data[8:])
		body := data[16:n]
		size := 4
		if binary.BigEndian.Uint16(body[10:]) == 2 {
			size = 16
		}
		peer, _ := netip.AddrFromSlice(body[12 : 12+size])
		m, err := bgp.ParseBGPMessage(body[12+2*size:], options...)
		if err != nil {
			t.Fatal(err)
		}
		u := m.Body.(*bgp.BGPUpdate)
		r := updateRecord{peer: peer.String()}
		for _, p := range u.NLRI {
			r.announced = append(r.announced, p.String())
		}
		for _, p := range u.WithdrawnRoutes {
			r.withdrawn = append(r.withdrawn, p.String())
		}
		for _, a := range u.PathAttributes {
			switch a := a.(type) {
			case *bgp.PathAttributeMpReachNLRI:
				for _, p := range a.Value {
					r.announced = append(r.announced, p.String())
				}
			case *bgp.PathAttributeMpUnreachNLRI:
				for _, p := range a.Value {
					r.withdrawn = append(r.withdrawn, p.String())
				}
			}
		}
		out = append(out, r)
		data = data[n:]
	}
	return out
}

// The figures of a real table: 5 to 6 prefixes share a set of attributes, a path
// has 4.2 AS numbers or so, and 60% of the routes carry communities.
func TestTheTableIsLikeARealOne(t *testing.T) {
	tb := newTable(t, Options{IPv4: 300_000, Peers: 2, Seed: 1})
	_, counts := rib(t, tb)
	routes, numbers, communities := 0, 0, 0
	for i := range tb.Prefixes() {
		a := tb.attrs(tb.policy[i], 0)
		routes++
		numbers += int(a[8])
		for b := a; len(b) > 0; b = b[3+int(b[2]):] {
			if b[1] == attrCommunity {
				communities++
			}
		}
	}
	between := func(what string, got, low, high float64) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %.2f, want %.1f to %.1f", what, got, low, high)
		}
	}
	between("AS numbers a path", float64(numbers)/float64(routes), 3.8, 4.6)
	between("routes a set of attributes", float64(counts.Paths)/float64(counts.Sets), 5, 6)
	between("percent with communities", 100*float64(communities)/float64(routes), 54, 66)
}

// No path goes up or across after it went across or down.
func TestPathsAreValleyFree(t *testing.T) {
	g := newGraph(5000, 3, nil, 9)
	is := func(list []int32, x int32) bool { return contains(list, x) }
	for start := tier1; start < tier1+3; start++ {
		r := g.paths(start, false, 9)
		for node := range int32(g.transit) {
			state, ok := r.best(node)
			if !ok {
				t.Fatalf("node %d is not reached", node)
			}
			var nodes []int32
			for s := state; s >= 0; s = r.from[s] {
				nodes = append(nodes, s/2)
			}
			slices.Reverse(nodes)
			down := false
			for i := 1; i < len(nodes); i++ {
				a, b := nodes[i-1], nodes[i]
				switch {
				case is(g.customers[a], b):
					down = true
				case down || !is(g.providers[a], b) && !is(g.peers[a], b):
					t.Fatalf("path %v of node %d has a valley at %d", nodes, node, i)
				case is(g.peers[a], b):
					down = true
				}
			}
		}
	}
}

func TestSyntheticPrefixesArePublicAndDistinct(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		ps := Synthetic(v6, 50_000, 4)
		if len(ps) != 50_000 || !slices.IsSortedFunc(ps, comparePrefixes) {
			t.Fatalf("%d prefixes, or not sorted", len(ps))
		}
		nested := 0
		for i, p := range ps {
			if p != p.Masked() || reserved(p) || p.Addr().Is6() != v6 || i > 0 && ps[i-1] == p {
				t.Fatalf("%v is not a public prefix in its own form", p)
			}
			if i > 0 && ps[i-1].Contains(p.Addr()) {
				nested++
			}
		}
		if nested < 1000 {
			t.Errorf("v6 %v: only %d prefixes lie in the one before", v6, nested)
		}
	}
}

func TestReadPrefixes(t *testing.T) {
	got, err := ReadPrefixes(strings.NewReader("# list\r\n10.0.0.0/8\r\n\n2001:db8::/32\n1.0.0.0/24\n10.0.0.0/8\n"))
	want := []netip.Prefix{netip.MustParsePrefix("1.0.0.0/24"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"10.0.0.1/8", "10.0.0.0", "10.0.0.0/33"} {
		if _, err := ReadPrefixes(strings.NewReader("1.0.0.0/24\n" + bad + "\n")); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%s: error %v does not name line 2", bad, err)
		}
	}
}

func TestKeptPrefixesStayWithTheirOrigin(t *testing.T) {
	list := append(Synthetic(false, 5000, 1), Synthetic(true, 500, 1)...)
	keep := []Keep{{list[17], 65550}, {list[3000], 0}, {list[5100], 65551}}
	tb := newTable(t, Options{Prefixes: list, IPv4: 100, IPv6: 20, Keep: keep, Seed: 2})
	if len(tb.Prefixes()) != 120 {
		t.Fatalf("got %d prefixes", len(tb.Prefixes()))
	}
	for _, k := range keep {
		i := slices.Index(tb.Prefixes(), k.Prefix)
		if i < 0 {
			t.Errorf("%v is not in the table", k.Prefix)
			continue
		}
		if as := tb.g.asn[tb.policies[tb.policy[i]].node]; k.Origin != 0 && as != k.Origin {
			t.Errorf("%v comes from AS%d, want AS%d", k.Prefix, as, k.Origin)
		}
	}
}

func TestOptionsThatCannotBeMet(t *testing.T) {
	list := Synthetic(false, 100, 1)
	for _, o := range []Options{{Peers: 1001}, {Peers: -1}, {Partial: 4}, {AddPath: 256}, {Prefixes: list, IPv4: 101}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v made a table", o)
		}
	}
}

// A transfer announces each prefix that the peer sees, once.
func TestTransferIsTheWholeTable(t *testing.T) {
	tb := newTable(t, Options{IPv4: 4000, IPv6: 1000, Peers: 2, Seed: 6})
	messages, routes := tb.Transfer(1)
	seen := map[string]bool{}
	for len(messages) > 0 {
		n := int(binary.BigEndian.Uint16(messages[16:]))
		m, err := bgp.ParseBGPMessage(messages[:n])
		if err != nil {
			t.Fatal(err)
		}
		u := m.Body.(*bgp.BGPUpdate)
		for _, p := range u.NLRI {
			seen[p.String()] = true
		}
		for _, a := range u.PathAttributes {
			if a, ok := a.(*bgp.PathAttributeMpReachNLRI); ok {
				for _, p := range a.Value {
					seen[p.String()] = true
				}
			}
		}
		messages = messages[n:]
	}
	want := 0
	for i, p := range tb.Prefixes() {
		if tb.sees(i, 1) {
			want++
			if !seen[p.String()] {
				t.Fatalf("%v is missing", p)
			}
		}
	}
	if routes != want || len(seen) != want {
		t.Errorf("%d routes counted, %d different; want %d", routes, len(seen), want)
	}
}

func BenchmarkWriteRIB(b *testing.B) {
	tb := newTable(b, Options{IPv4: 100_000, IPv6: 20_000, Peers: 4, Seed: 1})
	for b.Loop() {
		if _, err := tb.WriteRIB(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
