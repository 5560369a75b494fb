package mrt_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"hash"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/wire"
	"ribd/wire/mrt"
)

var linesDir = flag.String("lines", "", "a folder for what the comparison with bgpdump prints, to look at differences by hand")

// expected returns the rows of EXPECTED.tsv about a file: figure to value.
func expected(t testing.TB, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(golden.Data(t, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(b)) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(c) >= 4 && c[0] == "mrt/"+file {
			rows[c[1]] = c[2]
		}
	}
	return rows
}

// differences are the files whose lines are not those of bgpdump 1.6.2, each
// with the lines that we print more (+) or less (-) than it and why.
var differences = map[string]struct {
	lines  int    // ours
	sha256 string // of ours
	why    string
}{
	"mrtparse-bird_bgp": {26, "3e9b4cad7d5ef4ef01774490490946a38bc9b62aca8961d59f72452c7a054537",
		"The six UPDATEs of the peer carry path ids in records of subtype MESSAGE_AS4 (the file is older than RFC 8050). " +
			"00000002 18 ac1100 reads as 172.17.0.0/24 with id 2; bgpdump reads 0.0.0.0/0 three times, then 24.0.0.0/2, and stops at a length of 172. " +
			"So 14 routes, as bgpkit-parser counts, in the place of its 24."},
	"mrtparse-openbgpd_rib_table": {31, "6449b567330f38bac0c09213c385b01ae57e54b917b18585265fd85f64bcad5a",
		"The TABLE_DUMP record at 0 has an AGGREGATOR of 8 octets, c007 08 0000fde8 c0a8000f: AS 65000, 192.168.0.15. " +
			"bgpdump takes 2 octets for the AS number whatever the length, and prints 0 253.232.192.168."},
	"ris-rrc00.updates.20000325.0345.gz": {5685, "971764b06163dec4799bf36ca77372b9ae3b910de557d1f682c3097ccef550a1",
		"Two records were cut short when they were written, and the next header follows at once. At 188 stands 38dc3668 0005 0001 0000, " +
			"then the header 38dc3671 0005 0003 0000000a of the next: read as one header the length is 14556. At 4554 stand 14 octets of an " +
			"older record, cb2d1340..., before the header 38dc3681. bgpdump takes the 14556 octets for withdrawals (2,042 of them) and stops " +
			"at the second; bgpkit-parser stops at the first with 4 elements, mrtparse does not know the type. We drop the 10 and the 14 octets and read all " +
			"2,580 records: 4,660 routes, 718 withdrawals, 307 changes of state."},
}

// dumper prints what was decoded as `bgpdump -m` does.
type dumper struct {
	t     testing.TB
	out   *bufio.Writer
	sum   hash.Hash
	lines map[string]int // by type and kind
	rows  map[string]int // peer_lines[..] and records[..] as EXPECTED.tsv has them
	peers []mrt.Peer
	attrs map[wire.AttrType]int
	large int
	types map[mrt.MessageType]int

	buf     []byte
	scratch []byte
	update  wire.Update
}

func newDumper(t testing.TB, w io.Writer) *dumper {
	d := &dumper{t: t, sum: sha256.New(), lines: map[string]int{}, rows: map[string]int{}, attrs: map[wire.AttrType]int{}, types: map[mrt.MessageType]int{}}
	d.out = bufio.NewWriterSize(io.MultiWriter(d.sum, w), 1<<16)
	return d
}

// line ends a line that stands in buf.
func (d *dumper) line() {
	d.lines["all"]++
	d.buf = append(d.buf, '\n')
	d.out.Write(d.buf)
	d.buf = d.buf[:0]
}

// head begins a line: type, time, kind, peer and AS number.
func (d *dumper) head(tag string, r *mrt.Record, kind string, peer netip.Addr, as uint32) {
	b := append(d.buf[:0], tag...)
	b = append(b, '|')
	b = strconv.AppendUint(b, uint64(r.Time), 10)
	if r.Type == mrt.TypeBGP4MPET {
		b = append(b, '.')
		s := strconv.Itoa(1_000_000 + int(r.Micros))
		b = append(b, s[1:]...)
	}
	b = append(b, '|')
	b = append(b, kind...)
	b = append(b, '|')
	d.lines[tag+"|"+kind]++
	at := len(b)
	b = peer.AppendTo(b)
	b = append(b, '|')
	b = strconv.AppendUint(b, uint64(as), 10)
	d.rows["peer_lines["+string(b[at:])+"]"]++
	d.buf = append(b, '|')
}

func (d *dumper) prefix(hi, lo uint64, n uint8, v4 bool) {
	var a netip.Addr
	if v4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(hi>>32))
		a = netip.AddrFrom4(b)
	} else {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		a = netip.AddrFrom16(b)
	}
	d.buf = a.AppendTo(d.buf)
	d.buf = append(d.buf, '/')
	d.buf = strconv.AppendUint(d.buf, uint64(n), 10)
}

// attributes appends what stands behind the prefix of a route.
func (d *dumper) attributes(canonical []byte, communities bool) {
	b := d.buf
	get := func(t wire.AttrType) []byte {
		if v, ok := wire.FindAttr(canonical, t); ok {
			return v
		}
		return nil
	}
	number := func(t wire.AttrType) uint64 {
		if v := get(t); len(v) == 4 {
			return uint64(binary.BigEndian.Uint32(v))
		}
		return 0
	}
	b = wire.AppendASPath(append(b, '|'), get(wire.AttrASPath))
	b = append(b, '|')
	origin := "INCOMPLETE" // also what bgpdump prints where there is none
	if v := get(wire.AttrOrigin); len(v) == 1 {
		origin = [...]string{"IGP", "EGP", "INCOMPLETE"}[v[0]]
	}
	b = append(b, origin...)
	b = append(b, '|')
	switch hop := get(wire.AttrNextHop); len(hop) {
	case 4:
		b = netip.AddrFrom4([4]byte(hop)).AppendTo(b)
	case 16, 32:
		b = netip.AddrFrom16([16]byte(hop)).AppendTo(b)
	case 0:
		b = append(b, "255.255.255.255"...) // what bgpdump begins with
	}
	b = strconv.AppendUint(append(b, '|'), number(wire.AttrLocalPref), 10)
	b = strconv.AppendUint(append(b, '|'), number(wire.AttrMED), 10)
	if communities {
		b = append(b, '|')
	}
	// For the type BGP it prints no separator before communities.
	if v := get(wire.AttrCommunities); len(v) > 0 {
		for i := 0; i < len(v); i += 4 {
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
	}
	b = append(b, '|')
	if _, ok := wire.FindAttr(canonical, wire.AttrAtomicAggregate); ok {
		b = append(b, "AG|"...)
	} else {
		b = append(b, "NAG|"...)
	}
	if v := get(wire.AttrAggregator); len(v) == 8 {
		b = wire.AppendAggregator(b, v)
	}
	d.buf = append(b, '|')
}

// count counts the attributes of an entry or message, as mrtparse does.
func (d *dumper) count(raw []byte) {
	w := wire.WalkAttributes(raw)
	for w.Next() {
		d.attrs[w.Type()]++
		if w.Type() == wire.AttrLargeCommunities {
			d.large += len(w.Value()) / 12
		}
	}
}

func (d *dumper) record(r *mrt.Record) {
	name := mrt.SubtypeName(r.Type, r.Subtype)
	if r.Type == mrt.TypeTableDump {
		name = strings.TrimPrefix(name, "AFI_")
	}
	d.rows["records["+r.Type.String()+"/"+name+"]"]++
	switch r.Kind() {
	case mrt.KindPeerIndex:
		var x mrt.PeerIndex
		if err := x.Parse(r); err != nil {
			d.t.Fatal(err)
		}
		d.peers = d.peers[:0]
		for w := x.Peers(); w.Next(); {
			d.peers = append(d.peers, w.Peer())
		}
	case mrt.KindRIB:
		d.rib(r)
	case mrt.KindTableDump:
		var x mrt.TableDump
		if err := x.Parse(r); err != nil {
			d.t.Fatal(err)
		}
		d.count(x.Attrs)
		hi, lo, n := x.Key()
		d.route(r, "TABLE_DUMP", "B", x.Peer, x.PeerAS, x.Family, hi, lo, n, nil, d.canonical(x.Attrs, x.Family, true), true)
	case mrt.KindStateChange:
		var x mrt.StateChange
		if err := x.Parse(r); err != nil {
			d.t.Fatal(err)
		}
		d.head(tag(r, false), r, "STATE", x.Peer, x.PeerAS)
		d.buf = strconv.AppendUint(d.buf, uint64(x.Old), 10)
		d.buf = strconv.AppendUint(append(d.buf, '|'), uint64(x.New), 10)
		d.line()
	case mrt.KindMessage:
		var m mrt.Message
		if err := m.Parse(r); err != nil {
			d.t.Fatal(err)
		}
		d.types[m.Type]++
		if m.Type == mrt.Update {
			d.message(r, &m)
		}
	}
}

func (d *dumper) canonical(raw []byte, f wire.Family, as2 bool) []byte {
	b, err := wire.AppendRIBAttributes(d.scratch[:0], raw, f, wire.RIBOptions{AS2: as2})
	if err != nil {
		d.t.Errorf("attributes of a dump: %v", err)
	}
	d.scratch = b
	return b
}

func (d *dumper) rib(r *mrt.Record) {
	var x mrt.RIB
	if err := x.Parse(r); err != nil {
		d.t.Fatal(err)
	}
	generic := x.Family.Form() != wire.FormPrefix
	name := "TABLE_DUMP2"
	if x.Layout != mrt.LayoutPlain {
		name = "TABLE_DUMP2_AP"
	}
	for w := x.Entries(); w.Next(); {
		e := w.Entry()
		if generic {
			// bgpdump prints no line for families that it does not know, and mrtparse
			// does not count their attributes.
			d.lines["generic"]++
			continue
		}
		d.count(e.Attrs)
		p := d.peers[e.Peer]
		hi, lo, n := x.Key()
		var id *uint32
		if x.Layout != mrt.LayoutPlain {
			id = &e.PathID
		}
		d.route(r, name, "B", p.Addr, p.AS, x.Family, hi, lo, n, id, d.canonical(e.Attrs, x.Family, false), true)
	}
}

// route prints an announcement, or with canonical nil a withdrawal.
func (d *dumper) route(r *mrt.Record, name, kind string, peer netip.Addr, as uint32, f wire.Family, hi, lo uint64, n uint8, id *uint32, canonical []byte, communities bool) {
	d.head(name, r, kind, peer, as)
	if kind == "W" && r.Type == mrt.TypeBGP {
		// bgpdump prints the peer's address for the prefix: both stand in the one
		// buffer of inet_ntoa.
		d.buf = peer.AppendTo(d.buf)
		d.buf = strconv.AppendUint(append(d.buf, '/'), uint64(n), 10)
	} else {
		d.prefix(hi, lo, n, f.Is4())
	}
	if id != nil {
		d.buf = strconv.AppendUint(append(d.buf, '|'), uint64(*id), 10)
	}
	if kind != "W" {
		d.attributes(canonical, communities)
	}
	d.line()
}

func tag(r *mrt.Record, addPath bool) string {
	s := "BGP4MP"
	switch r.Type {
	case mrt.TypeBGP:
		return "BGP"
	case mrt.TypeBGP4MPET:
		s = "BGP4MP_ET"
	}
	if addPath {
		s += "_AP"
	}
	return s
}

func (d *dumper) message(r *mrt.Record, m *mrt.Message) {
	s := wire.Session{AS4: m.AS4, Extended: true, Recorded: true}
	if m.AddPath {
		s.AddPath = wire.AllFamilies()
	}
	u := &d.update
	parse := func() {
		if m.Data != nil {
			u.Parse(m.Data, &s)
		} else {
			u.ParseBody(m.Body, &s)
		}
	}
	parse()
	if !m.AddPath && mrt.LooksAddPath(u) {
		s.AddPath = wire.AllFamilies()
		parse()
	}
	if b := m.Body; len(b) >= 4 {
		if n := 2 + int(binary.BigEndian.Uint16(b)); len(b) >= n+2 {
			if k := n + 2 + int(binary.BigEndian.Uint16(b[n:])); k <= len(b) {
				d.count(b[n+2 : k])
			}
		}
	}
	if u.Err() != nil {
		d.t.Logf("message of %v at %d: %v", m.Peer, r.Time, u.Err())
	}
	name := tag(r, m.AddPath)
	show := func(kind string, f wire.Family, hi, lo uint64, n uint8, id uint32, has bool, attrs []byte) {
		var p *uint32
		if has {
			p = &id
		}
		d.route(r, name, kind, m.Peer, m.PeerAS, f, hi, lo, n, p, attrs, r.Type != mrt.TypeBGP)
	}
	multi := func(kind string, x wire.MP, attrs []byte) {
		switch {
		case x.Family == wire.IPv6Unicast || x.Family == wire.IPv6Multicast:
			for c := x.NLRI6(); c.Next(); {
				show(kind, x.Family, c.Hi(), c.Lo(), c.Len(), c.PathID(), c.HasPathID(), attrs)
			}
		case x.Family == wire.IPv4Unicast || x.Family == wire.IPv4Multicast:
			for c := x.NLRI4(); c.Next(); {
				show(kind, x.Family, uint64(c.Addr())<<32, 0, c.Len(), c.PathID(), c.HasPathID(), attrs)
			}
		}
	}
	for c := u.Withdrawn4(); c.Next(); {
		show("W", wire.IPv4Unicast, uint64(c.Addr())<<32, 0, c.Len(), c.PathID(), c.HasPathID(), nil)
	}
	if x, ok := u.Unreach(); ok {
		multi("W", x, nil)
	}
	if u.Action() > wire.AttributeDiscard {
		return
	}
	if u.HasNLRI4() {
		d.scratch = append(d.scratch[:0], u.Attributes(nil)...)
		for c := u.NLRI4(); c.Next(); {
			show("A", wire.IPv4Unicast, uint64(c.Addr())<<32, 0, c.Len(), c.PathID(), c.HasPathID(), d.scratch)
		}
	}
	if x, ok := u.Reach(); ok {
		multi("A", x, u.ReachAttributes(nil))
	}
}

func TestLinesAreThoseOfBgpdump(t *testing.T) {
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			if testing.Short() && f.records > 100000 {
				t.Skip("large file")
			}
			w := io.Discard
			if *linesDir != "" {
				file, err := os.Create(filepath.Join(*linesDir, f.name+".ours"))
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				w = file
			}
			d := newDumper(t, w)
			records(unpacked(t, f.name), func(off int, b []byte) { d.record(parse(t, b)) })
			d.out.Flush()
			got := hex.EncodeToString(d.sum.Sum(nil))
			rows := expected(t, f.name)
			if diff, ok := differences[f.name]; ok {
				if got != diff.sha256 || d.lines["all"] != diff.lines {
					t.Errorf("%d lines, sha256 %s; the written difference has %d, %s: %s", d.lines["all"], got, diff.lines, diff.sha256, diff.why)
				}
			} else if want := rows["sha256_of_bgpdump_m_output"]; got != want {
				t.Errorf("%d lines, sha256 %s, want %s lines, %s", d.lines["all"], got, rows["lines"], want)
			}
			_, differs := differences[f.name]
			checkRows(t, d, rows, !differs)
		})
	}
}

// checkRows compares with the other rows: what mrtparse counts, and where our
// lines are those of bgpdump, what is counted of those.
func checkRows(t *testing.T, d *dumper, rows map[string]string, lines bool) {
	names := map[string]wire.AttrType{
		"ORIGIN": wire.AttrOrigin, "AS_PATH": wire.AttrASPath, "NEXT_HOP": wire.AttrNextHop, "MULTI_EXIT_DISC": wire.AttrMED,
		"LOCAL_PREF": wire.AttrLocalPref, "ATOMIC_AGGREGATE": wire.AttrAtomicAggregate, "AGGREGATOR": wire.AttrAggregator,
		"COMMUNITY": wire.AttrCommunities, "ORIGINATOR_ID": wire.AttrOriginatorID, "CLUSTER_LIST": wire.AttrClusterList,
		"MP_REACH_NLRI": wire.AttrMPReach, "MP_UNREACH_NLRI": wire.AttrMPUnreach, "EXTENDED COMMUNITIES": wire.AttrExtCommunities,
		"LARGE_COMMUNITY": wire.AttrLargeCommunities, "Only to Customer": wire.AttrOTC, "ATTR_SET": wire.AttrSet,
	}
	messages := map[string]mrt.MessageType{"OPEN": mrt.Open, "UPDATE": mrt.Update, "NOTIFICATION": mrt.Notification,
		"KEEPALIVE": mrt.Keepalive, "ROUTE-REFRESH": mrt.RouteRefresh}
	var keys []string
	for k := range rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		kind, arg, _ := strings.Cut(strings.TrimSuffix(k, "]"), "[")
		var got int
		switch kind {
		case "path_attributes":
			a, ok := names[arg]
			if !ok {
				t.Errorf("no attribute for row %s", k)
			}
			got = d.attrs[a]
		case "large_community_values":
			got = d.large
		case "records":
			got = d.rows[k]
		case "peer_lines", "lines":
			if got = d.rows[k]; kind == "lines" {
				got = d.lines[arg]
			}
			if !lines || arg == "" {
				continue
			}
		case "bgp_messages":
			if t.Name() == "TestLinesAreThoseOfBgpdump/ris-updates.20020722.2238.gz" && arg == "OPEN" {
				// 13 records hold an OPEN: octet 18 of the message is 1. mrtparse counts
				// the 7 without capabilities; the 6 others (at 2708, 12986, 31250, 47426,
				// 55137, 66270) name capability 128, 02 02 80 00.
				continue
			}
			got = d.types[messages[arg]]
		default:
			continue
		}
		if want := rows[k]; strconv.Itoa(got) != want {
			t.Errorf("%s: %d, mrtparse counts %s", k, got, want)
		}
	}
}
