package engine

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"ribd/engine/api/apiv1"
	"ribd/internal/golden"
	"ribd/wire"
)

// exaReading is what ExaBGP reads in a message.
type exaReading struct {
	Type     string
	Neighbor struct {
		Message struct {
			Update struct {
				Attribute map[string]json.RawMessage
				Announce  map[string]map[string][]map[string]json.RawMessage
				Withdraw  map[string][]map[string]json.RawMessage
			}
		}
	}
}

// exaLine is a line of data/messages.
type exaLine struct {
	name, command string
	message       []byte
	reading       *exaReading
}

func exaLines(t *testing.T, file string) (out []exaLine) {
	t.Helper()
	f, err := os.Open(golden.Data(t, "messages", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		cols := strings.Split(sc.Text(), "\t")
		if strings.HasPrefix(cols[0], "#") {
			continue
		}
		x := exaLine{name: cols[0], message: unhex(cols[1]), command: cols[2]}
		if x.message[0] != 0xff { // a few are bodies of UPDATEs
			body := x.message
			x.message = append(rawUpdate(nil, nil)[:wire.HeaderLen], body...)
			binary.BigEndian.PutUint16(x.message[16:], uint16(len(x.message)))
		}
		if cols[3] != "" {
			x.reading = &exaReading{}
			if err := json.Unmarshal([]byte(cols[3]), x.reading); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
		}
		out = append(out, x)
	}
	return out
}

// exaNames are ExaBGP's names of components as fields of match, and the names
// of values that the two have differently.
var (
	exaNames     = map[string]string{"next-header": "protocol", "traffic-class": "dscp"}
	exaValues    = strings.NewReplacer("push", "psh", "urgent", "urg")
	exaProtocols = strings.NewReplacer("=41 ", "=ipv6", "=4 ", "=ipv4", "=58 ", "=icmpv6", " ", "")
)

// exaMatch is a rule of ExaBGP's as ribd's match has it.
func exaMatch(t *testing.T, nlri map[string]json.RawMessage) map[string]string {
	t.Helper()
	m := map[string]string{}
	for name, raw := range nlri {
		if name == "string" || name == "rd" || name == "path-information" {
			continue
		}
		var ops []string
		if err := json.Unmarshal(raw, &ops); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "-ipv4"), "-ipv6")
		if n := exaNames[name]; n != "" {
			name = n
		}
		name = strings.ReplaceAll(name, "-", "_")
		value := exaValues.Replace(strings.Join(ops, "|"))
		if value == "=128" && name == "icmp_type" {
			value = "=echo-request" // of ICMPv6, whose names ExaBGP has not
		}
		if name == "protocol" {
			value = exaProtocols.Replace(value + " ")
		}
		if parts := strings.Split(value, "/"); len(parts) == 3 {
			// 2001:db8::/64/32: the offset is behind the length.
			value = parts[0] + "/" + parts[1]
			if parts[2] != "0" {
				m[name+"_offset"] = parts[2]
			}
		}
		m[name] = value
	}
	return m
}

// exaExt are the extended communities of a message, as numbers and as texts.
func exaExt(t *testing.T, r *exaReading) (values []uint64, texts []string) {
	t.Helper()
	var l []struct {
		Value  uint64
		String string
	}
	if raw := r.Neighbor.Message.Update.Attribute["extended-community"]; raw != nil {
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range l {
		values, texts = append(values, e.Value), append(texts, e.String)
	}
	return values, texts
}

// exaActions are ExaBGP's texts of actions as ruleActions writes its line;
// hop is the next hop, where the older form of redirect has its address.
func exaActions(texts []string, values []uint64, hop string) string {
	a := ruleActions{Terminal: true}
	num := func(s string) *float64 { n, _ := strconv.ParseFloat(s, 64); return &n }
	for i, s := range texts {
		kind, value, _ := strings.Cut(s, ":")
		switch {
		case kind == "rate-limit":
			a.RateBytes = num(value)
		case kind == "redirect":
			a.Redirect = &ruleRedirect{Type: "rt", Value: value}
		case strings.HasPrefix(s, "redirect-to-nexthop-ietf "):
			a.Redirect = &ruleRedirect{Type: "ip", Value: strings.TrimPrefix(s, "redirect-to-nexthop-ietf ")}
		case s == "redirect-to-nexthop":
			a.Redirect = &ruleRedirect{Type: "ip", Value: hop}
		case strings.HasPrefix(s, "mark "):
			n, _ := strconv.Atoi(strings.TrimPrefix(s, "mark "))
			a.MarkDSCP = &n
		case strings.HasPrefix(s, "action "):
			// ExaBGP's "terminal" is the bit, which says to go on (RFC 8955 7.3).
			a.Sample, a.Terminal = strings.Contains(s, "sample"), !strings.Contains(s, "terminal")
		case kind == "interface-set":
			a.Unknown = append(a.Unknown, fmt.Sprintf("0x%016x", values[i]))
		}
	}
	return a.String()
}

// numberOctets are the octets that a value was written with where that is not
// the fewest, which ribd's text keeps and ExaBGP's loses.
var numberOctets = regexp.MustCompile(`/[1248]\b`)

// rawsOf are the NLRI of a message's Flow Spec family.
func rawsOf(t *testing.T, x *exaLine, s *wire.Session) (f wire.Family, announced, withdrawn []nlri) {
	t.Helper()
	var u wire.Update
	if err := u.Parse(slices.Clone(x.message), s); err != nil {
		t.Fatalf("%s: %v", x.name, err)
	}
	take := func(m wire.MP) (out []nlri) {
		f = m.Family
		if f.Form() != wire.FormRaw {
			return nil
		}
		for w := m.Raw(); w.Next(); {
			out = append(out, nlri{raw: slices.Clone(w.Bytes()), id: w.PathID()})
		}
		return out
	}
	if m, ok := u.Unreach(); ok {
		withdrawn = take(m)
	}
	if m, ok := u.Reach(); ok {
		announced = take(m)
	}
	return f, announced, withdrawn
}

// TestEveryFlowSpecMessageReadsAsExaBGPReadsIt has ExaBGP's 400 messages of
// Flow Spec sent over a session, and asks for the rules.
func TestEveryFlowSpecMessageReadsAsExaBGPReadsIt(t *testing.T) {
	t.Parallel()
	flowSpec := func(x exaLine) bool {
		return x.reading != nil && strings.Contains(fmt.Sprint(slices.Collect(maps.Keys(x.reading.Neighbor.Message.Update.Announce)), slices.Collect(maps.Keys(x.reading.Neighbor.Message.Update.Withdraw))), "flow")
	}
	lines := append(exaLines(t, "flowspec-rules-a.tsv"), exaLines(t, "exabgp-messages.tsv")...)
	lines = slices.DeleteFunc(lines, func(x exaLine) bool { return !flowSpec(x) || exaDifferences[x.name].rfc != "" })
	if testing.Short() {
		lines = append(lines[:60], lines[400:]...)
	}
	const all = "families: [ipv4-flowspec, ipv6-flowspec, ipv4-flowspec-vpn, ipv6-flowspec-vpn], flowspec_validation: off"
	fs := []wire.Family{wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN}
	c, to := hub(t, "", "address: 127.21.30.1, as: 64512, "+all, "address: 127.21.30.2, as: 64512, route_reflector_client: true, "+all)
	one := play(t, to, playerOptions{from: ip("127.21.30.1"), as: 64512, families: fs})
	two := play(t, to, playerOptions{from: ip("127.21.30.2"), as: 64512, families: fs})
	announced, withdrawn := 0, 0
	for _, x := range lines {
		f, add, del := rawsOf(t, &x, &one.parse)
		keys := func(l []nlri) (out []string) {
			for _, n := range l {
				out = append(out, fmt.Sprintf("%s %x", f, n.raw))
			}
			return out
		}
		if len(del) > 0 {
			one.tell(f, attributes(nil, ip("127.21.30.1"), nil), del...)
			two.expect(x.name+": what is to be withdrawn", keys(del)...)
		}
		one.send(x.message)
		two.expect(x.name, keys(add)...)
		readsAsExaBGP(t, c, two, &x, f, add)
		announced, withdrawn = announced+len(add), withdrawn+len(del)
		if len(add) > 0 {
			one.takeBack(f, add...)
			two.expect(x.name + ": taken back")
		}
		if t.Failed() {
			t.Fatalf("%s: %s", x.name, x.command)
		}
	}
	// The counts of EXPECTED.tsv and of exabgp-messages.tsv.
	if !testing.Short() && (announced != 328+136+17 || withdrawn != 59+21+1) {
		t.Errorf("%d rules announced, %d withdrawn", announced, withdrawn)
	}
}

// readsAsExaBGP holds the rules of one message to ExaBGP's reading.
func readsAsExaBGP(t *testing.T, c *client, two *player, x *exaLine, f wire.Family, add []nlri) {
	t.Helper()
	rows := map[string]ruleRow{}
	eventually(t, fmt.Sprintf("%s: %d rules are shown", x.name, len(add)), func() bool {
		clear(rows)
		for _, r := range c.rules("?filtered=any&family=" + f.String()) {
			rows[r.NLRI] = r
		}
		return len(rows) == len(add)
	})
	values, texts := exaExt(t, x.reading)
	i := 0
	for _, hops := range x.reading.Neighbor.Message.Update.Announce {
		for hop, list := range hops {
			for _, want := range list {
				r, ok := rows[fmt.Sprintf("%x", add[i].raw)]
				i++
				if !ok {
					t.Errorf("%s: no row has the octets %x", x.name, add[i-1].raw)
					continue
				}
				got := r.components()
				for k, v := range got {
					if !strings.HasPrefix(k, "destination") && !strings.HasPrefix(k, "source") || strings.HasSuffix(k, "_port") {
						got[k] = numberOctets.ReplaceAllString(v, "")
					}
				}
				if want := exaMatch(t, want); !maps.Equal(got, want) {
					t.Errorf("%s: match %v, ExaBGP reads %v", x.name, got, want)
				}
				if got, want := r.Actions.String(), exaActions(texts, values, hop); got != want {
					t.Errorf("%s: actions %q, ExaBGP reads %q", x.name, got, want)
				}
				key := f.String() + " " + r.NLRI
				v, _ := two.attr(key, wire.AttrExtCommunities)
				var sent []uint64
				for ; len(v) >= 8; v = v[8:] {
					sent = append(sent, binary.BigEndian.Uint64(v))
				}
				sorted := slices.Sorted(slices.Values(values))
				if slices.Sort(sent); !slices.Equal(sent, sorted) {
					t.Errorf("%s: passed on with %x, came with %x", x.name, sent, sorted)
				}
			}
		}
	}
}

// exaFamilies are ExaBGP's names of families.
var exaFamilies = map[string]wire.Family{
	"ipv4 unicast": wire.IPv4Unicast, "ipv6 unicast": wire.IPv6Unicast, "ipv4 mpls-vpn": wire.IPv4VPN, "ipv6 mpls-vpn": wire.IPv6VPN,
	"ipv4 nlri-mpls": wire.IPv4LabelledUnicast, "ipv4 flow": wire.IPv4FlowSpec, "ipv6 flow": wire.IPv6FlowSpec, "ipv4 flow-vpn": wire.IPv4FlowSpecVPN,
	"bgp-ls bgp-ls": wire.LS, "l2vpn vpls": wire.MakeFamily(25, 65), "ipv4 mcast-vpn": wire.MakeFamily(1, 5), "ipv6 mcast-vpn": wire.MakeFamily(2, 5),
	"ipv4 mup": wire.MakeFamily(1, 85), "ipv6 mup": wire.MakeFamily(2, 85), "ipv4 sr-policy": wire.MakeFamily(1, 73), "ipv6 sr-policy": wire.MakeFamily(2, 73),
}

// exaDifferences are the messages that ribd treats in another way than ExaBGP:
// as malformed, by the section that is named in the error.
var exaDifferences = map[string]struct{ rfc, why string }{
	"encoding/conf-generic-attribute#2": {"RFC 4271 6.3", "the flags 0x60 are those of a well-known attribute, and 0x99 is none"},
	"encoding/conf-flow#7": {"RFC 895", "RFC 8956 3.1: the pattern of 128 bits with offset 120 is 8 bits, 1 octet; ExaBGP 6 writes all 16, " +
		"so that component 0 follows (ExaBGP 5.0.15, with which the interop tests run, writes 1)"},
}

// TestEveryMessageOfExaBGPReadsAsItReadsIt has all other messages sent, each
// over a session with what its own had negotiated.
func TestEveryMessageOfExaBGPReadsAsItReadsIt(t *testing.T) {
	t.Parallel()
	var fs []wire.Family
	var names []string
	for _, f := range exaFamilies {
		fs, names = append(fs, f), append(names, f.String())
	}
	sort.Strings(names)
	families := "flowspec_validation: off, families: [" + strings.Join(names, ", ") + "]"
	var peers []string
	for i := range 4 {
		peers = append(peers, fmt.Sprintf("address: 127.21.31.%d, as: 64512, extended_messages: true, %s, add_path: {receive: %t}", i+1, families, i&1 != 0))
	}
	c, to := hub(t, "", peers...)
	connect := func(i int) *player {
		p := again(t, to, playerOptions{from: ip(fmt.Sprintf("127.21.31.%d", i+1)), as: 64512, families: fs, sendIDs: i&1 != 0, as2: i&2 != 0})
		c.established(fmt.Sprintf("127.21.31.%d", i+1))
		return p
	}
	players := map[int]*player{}
	for i := range 4 {
		players[i] = connect(i)
	}
	taken := 0
	for _, x := range exaLines(t, "exabgp-messages.tsv") {
		typ := wire.MessageType(x.message[18])
		if typ != wire.MsgUpdate {
			continue
		}
		if d, ok := exaDifferences[x.name]; ok {
			// It is told what is wrong, where and by which section.
			players[0].send(x.message)
			eventually(t, x.name+" is refused: "+d.why, func() bool {
				q := c.peer("127.21.31.1")
				if q.Errors.Last != nil && strings.Contains(fmt.Sprintf("%+v", *q.Errors.Last), d.rfc) {
					return true
				}
				return q.LastNotification != nil && q.LastNotification.Sent != nil && strings.Contains(fmt.Sprintf("%+v", q.History), d.rfc)
			})
			players[0].close()
			players[0] = connect(0)
			continue
		}
		// The first way in which it is sound.
		way := -1
		for i := range 4 {
			var u wire.Update
			s := wire.Session{AS4: i&2 == 0, Extended: true, Families: wire.AllFamilies()}
			if i&1 != 0 {
				s.AddPath = wire.AllFamilies()
			}
			if x.reading != nil && strings.Contains(x.command, "path-information") && i&1 == 0 {
				continue
			}
			if err := u.Parse(slices.Clone(x.message), &s); err == nil {
				way = i
				break
			}
		}
		if way < 0 {
			t.Errorf("%s: sound in no way: %x", x.name, x.message)
			continue
		}
		p := players[way]
		addr := fmt.Sprintf("127.21.31.%d", way+1)
		before := c.peer(addr)
		errors := *before.Errors
		p.send(x.message)
		eventually(t, x.name+" is read", func() bool {
			q := c.peer(addr)
			return q.Messages.Received.Update > before.Messages.Received.Update || q.State != "established"
		})
		if q := c.peer(addr); q.Errors.TreatAsWithdraw != errors.TreatAsWithdraw || q.Errors.AttributeDiscard != errors.AttributeDiscard ||
			q.Errors.FamilyDisabled != errors.FamilyDisabled || q.State != "established" {
			t.Errorf("%s: %s, errors %+v", x.name, q.State, q.Errors)
		}
		if x.reading != nil {
			rowsAsExaBGP(t, c, addr, &x)
			taken++
		}
		// The next line's message finds nothing there.
		p.send(withdrawalOf(x.message))
		eventually(t, "nothing is left", func() bool {
			var n struct{ Paths int }
			c.get("/api/v1/routes/count?filtered=any&peer="+addr, &n)
			return n.Paths == 0 && c.peer(addr).Messages.Received.Update >= before.Messages.Received.Update+2
		})
		if t.Failed() {
			t.Fatalf("%s: %s", x.name, x.command)
		}
	}
	if taken < 100 {
		t.Errorf("only %d messages with ExaBGP's reading", taken)
	}
}

// withdrawalOf takes back what a message announces, its NLRI octet for octet.
func withdrawalOf(msg []byte) []byte {
	withdrawn := int(binary.BigEndian.Uint16(msg[19:]))
	attrs := msg[21+withdrawn:]
	n := int(binary.BigEndian.Uint16(attrs))
	plain := attrs[2+n:]
	var mp []byte
	for a := attrs[2 : 2+n]; len(a) >= 4; {
		size, head := int(a[2]), 3
		if a[0]&0x10 != 0 {
			size, head = int(binary.BigEndian.Uint16(a[2:])), 4
		}
		if v := a[head : head+size]; wire.AttrType(a[1]) == wire.AttrMPReach {
			value := append(slices.Clone(v[:3]), v[5+int(v[3]):]...)
			mp = append(mp, 0x90, byte(wire.AttrMPUnreach), byte(len(value)>>8), byte(len(value)))
			mp = append(mp, value...)
		}
		a = a[head+size:]
	}
	b := append([]byte(nil), msg[:19]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(plain)))
	b = append(b, plain...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(mp)))
	b = append(b, mp...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// rowsAsExaBGP holds the routes of one message to ExaBGP's reading.
func rowsAsExaBGP(t *testing.T, c *client, addr string, x *exaLine) {
	t.Helper()
	u := &x.reading.Neighbor.Message.Update
	for name, hops := range u.Announce {
		f, ok := exaFamilies[name]
		if !ok {
			t.Fatalf("%s: no family %q", x.name, name)
		}
		var want []string
		for hop, list := range hops {
			for _, n := range list {
				want = append(want, exaRow(t, f, hop, n))
			}
		}
		var got []string
		var rows []apiv1.Route
		eventually(t, x.name+": its routes", func() bool {
			rows = c.routes("?filtered=any&limit=1000&family=" + f.String() + "&peer=" + addr).Routes
			return len(rows) == len(want)
		})
		for _, r := range rows {
			s := "-"
			if r.Prefix != nil && f.Form() != wire.FormRaw {
				s = *r.Prefix
			}
			if r.RD != nil {
				s += " rd " + *r.RD
			}
			if len(r.Labels) > 0 {
				s += fmt.Sprint(" labels ", r.Labels)
			}
			if r.PathID != nil {
				s += fmt.Sprint(" id ", *r.PathID)
			}
			if f.Form() != wire.FormRaw && r.NextHop != nil {
				s += " via " + strings.TrimPrefix(*r.NextHop, "::ffff:")
			}
			got = append(got, s)
			exaAttributes(t, x, r.Origin, r.ASPath, r.MED, r.LocalPref, r.Communities, r.LargeCommunities, r.OriginatorID, r.ClusterList)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s\ngot  %q\nwant %q", x.name, f, got, want)
		}
	}
}

// exaRow is one NLRI of ExaBGP's in a line; of families without prefixes there
// is no more than that it is there.
func exaRow(t *testing.T, f wire.Family, hop string, n map[string]json.RawMessage) string {
	t.Helper()
	str := func(k string) (s string) {
		json.Unmarshal(n[k], &s)
		return s
	}
	if f.Form() == wire.FormRaw {
		return "-"
	}
	s := str("nlri")
	if rd := str("rd"); rd != "" {
		s += " rd " + rd
	}
	var labels [][]uint32
	json.Unmarshal(n["label"], &labels)
	if len(labels) > 0 {
		var l []uint32
		for _, x := range labels {
			l = append(l, x[0])
		}
		s += fmt.Sprint(" labels ", l)
	}
	if id := str("path-information"); id != "" {
		b := ip(id).As4()
		s += fmt.Sprint(" id ", binary.BigEndian.Uint32(b[:]))
	}
	if hop != "no-nexthop" {
		s += " via " + strings.TrimPrefix(hop, "::ffff:")
	}
	return s
}

func exaAttributes(t *testing.T, x *exaLine, origin *string, path string, med, pref *uint32, communities, large []string, originator *string, clusters []string) {
	t.Helper()
	attrs := x.reading.Neighbor.Message.Update.Attribute
	check := func(name string, got any) {
		t.Helper()
		raw, ok := attrs[name]
		if !ok {
			return
		}
		var want any
		switch name {
		case "as-path":
			var segments map[string]struct{ Value []uint32 }
			json.Unmarshal(raw, &segments)
			var s []string
			for i := range len(segments) {
				for _, as := range segments[strconv.Itoa(i)].Value {
					s = append(s, fmt.Sprint(as))
				}
			}
			want = strings.Join(s, " ")
		case "community", "large-community":
			var l [][]uint32
			json.Unmarshal(raw, &l)
			s := []string{}
			for _, v := range l {
				s = append(s, strings.ReplaceAll(strings.Trim(fmt.Sprint(v), "[]"), " ", ":"))
			}
			want = s
		default:
			json.Unmarshal(raw, &want)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %s is %v, ExaBGP reads %v", x.name, name, got, want)
		}
	}
	num := func(v *uint32) any {
		if v == nil {
			return nil
		}
		return float64(*v)
	}
	str := func(s *string) any {
		if s == nil {
			return nil
		}
		return *s
	}
	check("origin", str(origin))
	check("as-path", path)
	check("med", num(med))
	check("local-preference", num(pref))
	check("community", communities)
	check("large-community", large)
	check("originator-id", str(originator))
	check("cluster-list", clusters)
}
