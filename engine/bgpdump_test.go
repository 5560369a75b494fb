package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/internal/invariants"
)

// TestRoutesEqualBGPDump loads each recording into a running engine and holds
// every path that HTTP answers, attribute by attribute, against what bgpdump
// prints for the same file. A table dump is compared as it is; updates are
// replayed over bgpdump's own lines first.
func TestRoutesEqualBGPDump(t *testing.T) {
	bgpdump, err := exec.LookPath("bgpdump")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("bgpdump is required in CI: make peers installs it")
		}
		t.Skip("bgpdump is not installed")
	}
	for _, tc := range []struct {
		files []string
		// differ is how many paths differ, because of what is written beside it.
		differ int
	}{
		{files: []string{"bgpkit-local-updates.bz2"}},
		{files: []string{"bview.64k_stream_overflow.gz"}},
		// Two entries have no attributes at all. bgpdump prints INCOMPLETE and
		// 255.255.255.255 for ORIGIN and NEXT_HOP that are not there.
		{files: []string{"bview.ipv4_unicast_add_path.gz"}, differ: 2},
		// The same, for three entries of BIRD's own static routes.
		{files: []string{"mrtparse-bird-mrtdump_rib"}, differ: 3},
		{files: []string{"mrtparse-bird6-mrtdump_bgp"}},
		// From before RFC 8050: the session negotiated Add-Path (its OPENs are in
		// the file), but the messages have the plain subtypes. ribd reads the path
		// ids; bgpdump takes their octets for prefixes 0.0.0.0/0, /1 and /2.
		{files: []string{"mrtparse-bird_bgp"}, differ: 10},
		// An 8-octet AGGREGATOR (0000fde8 c0a8000f) beside 2-octet AS_PATHs:
		// bgpdump reads 2 + 4 octets of it and prints AS 0 and 253.232.192.168.
		{files: []string{"mrtparse-openbgpd_rib_table"}, differ: 1},
		{files: []string{"mrtparse-openbgpd_rib_table-v2"}},
		{files: []string{"mrtparse-quagga_bgp"}},
		{files: []string{"pch-updates.et-header.2015.gz"}},
		{files: []string{"ris-bview.20020722.2337.gz"}},
		// In MRT type 5 bgpdump prints the peer's address in place of a withdrawn
		// prefix, so that these paths, which were withdrawn, stay in its table. The
		// record at octet 486990 has 000e 108540 108559 14caec80 17caec90 0000: it
		// withdraws 133.64.0.0/16 and three more, bgpdump prints 192.65.184.1/16.
		{files: []string{"ris-rrc00.updates.19991214.1621.gz"}, differ: 278},
		// Two broken record boundaries: bgpdump stops at the first, ribd finds the
		// next sound record behind each.
		{files: []string{"ris-rrc00.updates.20000325.0345.gz"}, differ: 1512},
		{files: []string{"ris-rrc06.updates.1427846400.gz"}},
		{files: []string{"ris-rrc15.updates.20100227.1610.gz"}},
		{files: []string{"ris-updates.20020722.2238.gz"}},
		{files: []string{"ris-updates.20071015.1505.gz"}},
		{files: []string{"ris-updates.20160811.1600.gz"}},
		{files: []string{"rv-rib.20080501.0644_firstMB.bz2"}},
		{files: []string{"rv-rib.20140523.0600_firstMB.bz2"}},
		{files: []string{"synth-addpath-a.rib.gz", "synth-addpath-a.updates.gz"}},
		{files: []string{"synth-small-a.rib.gz", "synth-small-a.updates.gz"}},
		{files: []string{"updates.long_withdrawal.gz"}},
	} {
		t.Run(strings.Join(tc.files, "+"), func(t *testing.T) {
			want := map[string]string{}
			var loads []Load
			for _, f := range tc.files {
				path := golden.Data(t, "mrt", f)
				if info, err := os.Stat(path); err == nil && info.Size() > 400<<10 && invariants.Enabled {
					t.Skip("large, and this build checks itself: the plain build compares it")
				}
				loads = append(loads, Load{File: path, Collector: "c"})
				replay(t, bgpdump, path, want)
			}
			_, c := start(t, Options{Loads: loads})
			c.ready()
			got := answered(t, c)
			var differ []string
			for _, key := range unionKeys(got, want) {
				if got[key] != want[key] {
					differ = append(differ, fmt.Sprintf("%s\nribd:    %q\nbgpdump: %q", key, got[key], want[key]))
				}
			}
			if len(differ) != tc.differ {
				t.Errorf("%d of %d paths differ, want %d:\n%s", len(differ), len(want), tc.differ,
					strings.Join(differ[:min(len(differ), 5)], "\n"))
			}
		})
	}
}

// replay applies the lines that bgpdump prints for a file to a table of
// peer|as|prefix|path id to the attributes as bgpdump prints them.
func replay(t *testing.T, bgpdump, path string, table map[string]string) {
	t.Helper()
	cmd := exec.Command(bgpdump, "-m", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "|")
		if len(f) < 6 {
			continue
		}
		peer := canonicalAddr(f[3]) + "|" + f[4]
		if f[2] == "STATE" {
			if f[5] == "6" {
				for key := range table {
					if strings.HasPrefix(key, peer+"|") {
						delete(table, key)
					}
				}
			}
			continue
		}
		key := peer + "|" + canonicalPrefix(f[5]) + "|"
		rest := f[6:]
		if strings.HasSuffix(f[0], "_AP") {
			key += rest[0]
			rest = rest[1:]
		}
		if f[2] == "W" {
			delete(table, key)
			continue
		}
		// as path, origin, next hop, local-pref, med, communities, AG or NAG, aggregator
		rest[2] = canonicalAddr(rest[2])
		if f[0] == "BGP" && (rest[5] == "AG" || rest[5] == "NAG") {
			rest = slices.Insert(rest, 5, "") // no communities: bgpdump leaves their field out in this type
		}
		rest[5] = namedCommunities.Replace(rest[5])
		table[key] = strings.TrimSuffix(strings.Join(rest, "|"), "|")
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Logf("bgpdump %s: %v", path, err) // truncated files end so
	}
}

// namedCommunities are those that bgpdump prints by name.
var namedCommunities = strings.NewReplacer("no-export-subconfed", "65535:65283", "no-export", "65535:65281", "no-advertise", "65535:65282")

// answered asks the server for every path of the IPv4 and IPv6 families and
// gives them in the form of replay.
func answered(t *testing.T, c *client) map[string]string {
	t.Helper()
	table := map[string]string{}
	for _, family := range []string{"ipv4-unicast", "ipv6-unicast", "ipv4-multicast", "ipv6-multicast"} {
		req, err := http.NewRequest("GET", c.base+"/api/v1/routes?filtered=any&family="+family, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			body, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s: %s %s", family, resp.Status, body)
		}
		// Reading it is not to wait for understanding it: who reads nothing for half a
		// minute is hung up on.
		kept, err := os.Create(filepath.Join(t.TempDir(), family))
		if err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		if _, err := io.Copy(kept, resp.Body); err != nil {
			t.Fatalf("%s: %v", family, err)
		}
		if _, err := kept.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bufio.NewReaderSize(kept, 1<<20))
		for {
			var r routeRow
			if err := dec.Decode(&r); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if r.Error != nil {
				t.Fatalf("%s: %v", family, r.Error)
			}
			key := fmt.Sprintf("%s|%d|%s|", r.Peer, r.PeerASN, r.Prefix)
			if r.PathID != nil {
				key += fmt.Sprint(*r.PathID)
			}
			if was, twice := table[key]; twice {
				t.Errorf("%s answered twice: %s", key, was)
			}
			table[key] = r.bgpdumpFields()
		}
		resp.Body.Close()
	}
	return table
}

type routeRow struct {
	Error           any
	Prefix          string
	Peer            string
	PeerASN         uint32   `json:"peer_asn"`
	PathID          *uint32  `json:"path_id"`
	ASPath          string   `json:"as_path"`
	Origin          *string  `json:"origin"`
	NextHop         *string  `json:"next_hop"`
	LocalPref       *uint32  `json:"local_pref"`
	MED             *uint32  `json:"med"`
	Communities     []string `json:"communities"`
	AtomicAggregate bool     `json:"atomic_aggregate"`
	Aggregator      *string  `json:"aggregator"`
}

func (r *routeRow) bgpdumpFields() string {
	origin, hop, ag := "", "", "NAG"
	if r.Origin != nil {
		origin = strings.ToUpper(*r.Origin)
	}
	if r.NextHop != nil {
		hop = *r.NextHop
	}
	if r.AtomicAggregate {
		ag = "AG"
	}
	number := func(n *uint32) uint32 {
		if n == nil {
			return 0
		}
		return *n
	}
	aggregator := ""
	if r.Aggregator != nil {
		aggregator = *r.Aggregator
	}
	return fmt.Sprintf("%s|%s|%s|%d|%d|%s|%s|%s", r.ASPath, origin, hop, number(r.LocalPref), number(r.MED),
		strings.Join(r.Communities, " "), ag, aggregator)
}

func canonicalAddr(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	return a.String()
}

func canonicalPrefix(s string) string {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return s
	}
	return p.Masked().String()
}

func unionKeys(a, b map[string]string) []string {
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}
