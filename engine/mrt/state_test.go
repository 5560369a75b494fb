package mrt

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// expected returns the rows of EXPECTED.tsv about a file or pair of files:
// figure to value.
func expected(t testing.TB, file string) map[string]string {
	t.Helper()
	f, err := os.Open(golden.Data(t, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if c := strings.Split(s.Text(), "\t"); len(c) >= 4 && c[0] == file {
			rows[c[1]] = c[2]
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no rows about %s", file)
	}
	return rows
}

// newRIB returns an empty RIB and a quiet loader for it.
func newRIB(t testing.TB, o Options) (*shard.RIB, *Loader) {
	t.Helper()
	return newShards(t, shard.Options{}, o)
}

func newShards(t testing.TB, so shard.Options, o Options) (*shard.RIB, *Loader) {
	t.Helper()
	r, err := shard.Open(so)
	if err != nil {
		t.Fatal(err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := New(r, o)
	t.Cleanup(func() {
		l.Close()
		r.Close()
	})
	return r, l
}

func load(t testing.TB, l *Loader, s Source) Status {
	t.Helper()
	st, err := l.Load(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// stateLines prints every path of the IP tables as final_state_sha256 has it.
func stateLines(r *shard.RIB) (lines []string, byPeer map[string]int, prefixes int) {
	byPeer = map[string]int{}
	v := r.View()
	defer v.Close()
	var paths []rib.Path
	for _, t := range []rib.TableID{rib.TableIPv4Unicast, rib.TableIPv6Unicast} {
		w := v.Walk(t, shard.WalkRange{})
		for w.Next() {
			prefixes++
			prefix := w.Match().Prefix()
			paths = w.Paths(paths[:0])
			for i := range paths {
				p := &paths[i]
				info, _ := r.Peer(p.Peer)
				peer := info.Addr.String() + "|" + strconv.FormatUint(uint64(info.AS), 10)
				byPeer[peer]++
				b := append([]byte(peer), '|')
				b = append(prefix.AppendTo(b), '|')
				if p.HasPathID {
					b = append(strconv.AppendUint(b, uint64(p.PathID), 10), '|')
				}
				canonical, _ := r.Attrs().Bytes(p.Attrs)
				b = append(appendFields(b, canonical), '\n')
				lines = append(lines, string(b))
			}
		}
		w.Close()
	}
	return lines, byPeer, prefixes
}

// appendFields appends attributes as bgpdump prints them.
func appendFields(b, canonical []byte) []byte {
	get := func(t wire.AttrType) []byte {
		if v, ok := wire.FindAttr(canonical, t); ok {
			return v
		}
		return nil
	}
	number := func(b []byte, t wire.AttrType) []byte {
		n := uint64(0)
		if v := get(t); len(v) == 4 {
			n = uint64(binary.BigEndian.Uint32(v))
		}
		return append(strconv.AppendUint(b, n, 10), '|')
	}
	b = append(wire.AppendASPath(b, get(wire.AttrASPath)), '|')
	b = append(b, [...]string{"IGP|", "EGP|", "INCOMPLETE|"}[get(wire.AttrOrigin)[0]]...)
	hop := get(wire.AttrNextHop)
	a, _ := netip.AddrFromSlice(hop[:min(len(hop), 16)])
	b = append(a.AppendTo(b), '|')
	b = number(number(b, wire.AttrLocalPref), wire.AttrMED)
	for i, v := 0, get(wire.AttrCommunities); i < len(v); i += 4 {
		if i > 0 {
			b = append(b, ' ')
		}
		switch c := binary.BigEndian.Uint32(v[i:]); c {
		case 0xffffff01:
			b = append(b, "no-export"...)
		case 0xffffff02:
			b = append(b, "no-advertise"...)
		case 0xffffff03:
			b = append(b, "local-AS"...)
		default:
			b = wire.AppendCommunity(b, c)
		}
	}
	ag := "|NAG|"
	if _, ok := wire.FindAttr(canonical, wire.AttrAtomicAggregate); ok {
		ag = "|AG|"
	}
	b = append(b, ag...)
	if v := get(wire.AttrAggregator); v != nil {
		b = wire.AppendAggregator(b, v)
	}
	return b
}

func TestADumpAndItsUpdatesLeaveWhatTheCollectorHeld(t *testing.T) {
	for _, name := range []string{"synth-small-a", "synth-addpath-a", "synth-full-a"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "synth-full-a" {
				t.Skip("large files")
			}
			r, l := newRIB(t, Options{})
			rows := expected(t, "mrt/"+name+".rib.gz+"+name+".updates.gz")
			for _, part := range []string{".rib.gz", ".updates.gz"} {
				st := load(t, l, File(golden.Data(t, "mrt", name+part), "rrc"))
				if st.Damaged+st.TreatedAsWithdrawn+st.AttributesDiscarded+st.Refused != 0 {
					t.Errorf("%s: %+v", part, st)
				}
			}
			lines, byPeer, prefixes := stateLines(r)
			slices.Sort(lines)
			h := sha256.New()
			for _, line := range lines {
				h.Write([]byte(line))
			}
			if got, want := hex.EncodeToString(h.Sum(nil)), rows["final_state_sha256"]; got != want {
				t.Errorf("state %s, want %s", got, want)
			}
			check := func(row string, got int) {
				if want := rows[row]; strconv.Itoa(got) != want {
					t.Errorf("%s: %d, want %s", row, got, want)
				}
			}
			check("final_routes", len(lines))
			check("final_unique_prefixes", prefixes)
			for peer, n := range byPeer {
				check("final_routes["+peer+"]", n)
			}
			// What the peers count is the same.
			for _, p := range r.Peers() {
				n := 0
				for _, c := range p.Counts {
					n += int(c.Paths)
				}
				if key := fmt.Sprintf("%s|%d", p.Info.Addr, p.Info.AS); n != byPeer[key] {
					t.Errorf("peer %s counts %d paths, a walk finds %d", key, n, byPeer[key])
				}
			}
		})
	}
}

// loaded is what the loader counts of the data files, where that is not the
// lines of bgpdump. Each difference is explained.
var loaded = map[string]struct {
	routes, withdrawals int64
	records             int64 // where bgpkit-parser counts others
	damaged             int64
	truncated           bool
	guessed             int64
	why                 string
}{
	"mrtparse-bird_bgp": {14, 0, 0, 0, false, 6,
		"path ids in records whose subtype says none; see wire/mrt"},
	"mrtparse-openbgpd_rib_table-v2": {33, 0, 24, 0, false, 0,
		"two VPNv4 routes in RIB_GENERIC records, 0001 80 ..., which bgpdump and bgpkit-parser pass over: 192.168.0.0/16 and 192.168.7.0/24 of 65010:15"},
	"mrtparse-quagga_bgp": {34, 0, 0, 0, false, 0,
		"8 VPNv4 routes of 172.16.0.1:11 and 172.16.0.2:14, announced twice, in MP_REACH_NLRI (0001 80 ...) that bgpdump and bgpkit-parser pass over"},
	"ris-rrc00.updates.20000325.0345.gz": {4660, 718, 2580, 2, false, 0,
		"read on after the two broken record boundaries; see wire/mrt"},
	"rv-rib.20080501.0644_firstMB.bz2": {139291, 0, 0, 0, true, 0, "ends early, all whole records are read"},
	"rv-rib.20140523.0600_firstMB.bz2": {270005, 0, 0, 0, true, 0, "ends early, all whole records are read"},
}

func TestEveryFileLoadsWithTheCountsOfOtherReaders(t *testing.T) {
	entries, err := os.ReadDir(golden.Data(t, "mrt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			if info, _ := e.Info(); testing.Short() && info.Size() > 5<<20 {
				t.Skip("large file")
			}
			r, l := newRIB(t, Options{})
			st := load(t, l, File(golden.Data(t, "mrt", e.Name()), ""))
			rows := expected(t, "mrt/"+e.Name())
			sum := func(suffixes ...string) (n int64) {
				for row, v := range rows {
					for _, s := range suffixes {
						if strings.HasPrefix(row, "lines[") && strings.HasSuffix(row, s) {
							k, _ := strconv.ParseInt(v, 10, 64)
							n += k
						}
					}
				}
				return n
			}
			want := loaded[e.Name()]
			if want.why == "" {
				want.routes, want.withdrawals = sum("|A]", "|B]"), sum("|W]")
			}
			if want.records == 0 {
				want.records, _ = strconv.ParseInt(rows["mrt_records"], 10, 64)
			}
			if st.Records != want.records || st.Routes != want.routes || st.Withdrawals != want.withdrawals ||
				st.Damaged != want.damaged || (st.Truncated != "") != want.truncated || st.PathIDsGuessed != want.guessed {
				t.Errorf("%d records, %d routes, %d withdrawals, %d damaged, truncated %q, %d guessed; want %+v",
					st.Records, st.Routes, st.Withdrawals, st.Damaged, st.Truncated, st.PathIDsGuessed, want)
			}
			if st.TreatedAsWithdrawn+st.AttributesDiscarded+st.Refused+st.Skipped != 0 {
				t.Errorf("%+v", st)
			}
			// A dump names each path once: all that was announced is there.
			if sum("|B]") > 0 && e.Name() != "mrtparse-bird-mrtdump_rib" { // that holds the same table twice
				if n := int64(len(allPaths(r))); n != want.routes {
					t.Errorf("%d paths in the table, want %d", n, want.routes)
				}
			}
			if st.Bytes != st.Total || st.State != Done || st.Left != 0 {
				t.Errorf("read %d of %d, %v", st.Bytes, st.Total, st.State)
			}
		})
	}
}

// route is a path of any table, for people.
type route struct {
	table, peer, prefix, attrs string
	id                         string
	received                   uint32
}

// allPaths returns every path of every table.
func allPaths(r *shard.RIB) []route {
	var out []route
	v := r.View()
	defer v.Close()
	var paths []rib.Path
	for _, t := range v.Tables() {
		f, rd, hasRD := r.TableInfo(t)
		w := v.Walk(t, shard.WalkRange{})
		for w.Next() {
			paths = w.Paths(paths[:0])
			for _, p := range paths {
				info, _ := r.Peer(p.Peer)
				x := route{table: f.String(), peer: fmt.Sprintf("%v AS%d", info.Addr, info.AS), received: p.Received,
					prefix: r.Prefix(t, w.Key(), w.Len()).String()}
				if hasRD {
					x.table += fmt.Sprintf(" %x", rd)
				}
				if p.HasPathID {
					x.id = strconv.FormatUint(uint64(p.PathID), 10)
				}
				if b, ok := r.Attrs().Bytes(p.Attrs); ok {
					if v, ok := wire.FindAttr(b, wire.AttrASPath); ok {
						x.attrs = string(wire.AppendASPath(nil, v))
					}
				}
				out = append(out, x)
			}
		}
		w.Close()
	}
	slices.SortFunc(out, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.peer, b.peer), cmp.Compare(a.id, b.id))
	})
	return out
}
