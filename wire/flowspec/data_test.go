package flowspec

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/wire"
)

// line is a message of shared/data/messages and what ExaBGP says of it.
type line struct {
	name, text string
	msg        []byte
	json       string
}

func lines(t *testing.T, file string) []line {
	t.Helper()
	f, err := os.Open(golden.Data(t, "messages", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	var all []line
	for sc.Scan() {
		cols := strings.Split(sc.Text(), "\t")
		if strings.HasPrefix(cols[0], "#") {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(cols[1], " ", ""))
		if err != nil || len(b) < wire.HeaderLen || b[0] != 0xff || b[18] != byte(wire.MsgUpdate) {
			continue
		}
		all = append(all, line{name: cols[0], msg: b, text: cols[2], json: cols[3]})
	}
	return all
}

// message is the Flow Spec part of an UPDATE.
type message struct {
	family   wire.Family
	withdraw bool
	nlri     [][]byte
	attrs    []byte
}

// readMessage returns what an UPDATE has of Flow Spec rules; ok is false for one
// without any.
func readMessage(t *testing.T, b []byte) (m message, ok bool) {
	t.Helper()
	var u wire.Update
	if err := u.Parse(b, &wire.Session{AS4: true, Extended: true}); err != nil {
		return m, false
	}
	mp, reach := u.Reach()
	if !reach {
		if mp, ok = u.Unreach(); !ok {
			return m, false
		}
	}
	if !Is(mp.Family) {
		return m, false
	}
	m.family, m.withdraw = mp.Family, !reach
	if reach {
		m.attrs = bytes.Clone(u.ReachAttributes(nil))
	}
	for w := mp.Raw(); w.Next(); {
		m.nlri = append(m.nlri, bytes.Clone(w.Bytes()))
	}
	return m, true
}

// exabgp is a rule as ExaBGP's JSON has it: lists of strings by component.
type exabgp map[string]json.RawMessage

// exabgpRules returns the rules and the texts of the extended communities.
func exabgpRules(t *testing.T, l line) (rules []exabgp, actions []string) {
	t.Helper()
	var doc struct {
		Neighbor struct {
			Message struct {
				Update struct {
					Attribute struct {
						Ext []struct {
							String string `json:"string"`
						} `json:"extended-community"`
					} `json:"attribute"`
					Announce map[string]map[string][]exabgp `json:"announce"`
					Withdraw map[string][]exabgp            `json:"withdraw"`
				} `json:"update"`
			} `json:"message"`
		} `json:"neighbor"`
	}
	if err := json.Unmarshal([]byte(l.json), &doc); err != nil {
		t.Fatalf("%s: %v", l.name, err)
	}
	u := &doc.Neighbor.Message.Update
	for _, hops := range u.Announce {
		for _, rs := range hops {
			rules = append(rules, rs...)
		}
	}
	for _, rs := range u.Withdraw {
		rules = append(rules, rs...)
	}
	for _, e := range u.Attribute.Ext {
		actions = append(actions, e.String)
	}
	return rules, actions
}

// checkOctets: an NLRI that came goes through rule and text and is the same.
func checkOctets(t *testing.T, name string, f wire.Family, nlri []byte) Rule {
	t.Helper()
	r, err := Parse(f, nlri)
	if err != nil {
		t.Errorf("%s: %x: %v", name, nlri, err)
		return r
	}
	canonical, _ := Canonical(nil, f, nlri)
	if b, err := r.AppendNLRI(nil); err != nil || !bytes.Equal(b, canonical) {
		t.Errorf("%s: %x is written %x, %v", name, canonical, b, err)
	}
	back, _, err := ParseText(r.String())
	if err != nil {
		t.Errorf("%s: %q: %v", name, r.String(), err)
		return r
	}
	if b, err := back.AppendNLRI(nil); err != nil || !bytes.Equal(b, canonical) || back.Family != f {
		t.Errorf("%s: %q reads as %v %x (%v), want %v %x", name, r.String(), back.Family, b, err, f, canonical)
	}
	return r
}

// checkExaBGP: ExaBGP sees the same components in the rule.
func checkExaBGP(t *testing.T, name string, r *Rule, e exabgp) {
	t.Helper()
	found := 0
	for key, raw := range e {
		switch key {
		case "string", "next-hop":
			continue
		case "rd":
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			if got := string(wire.AppendRD(nil, r.RD)); got != s {
				t.Errorf("%s: rd %s, ExaBGP says %s", name, got, s)
			}
			continue
		}
		var texts []string
		if err := json.Unmarshal(raw, &texts); err != nil {
			t.Fatalf("%s: %s: %v", name, key, err)
		}
		typ, err := ParseType(key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found++
		want, err := ParseComponent(r.Family, typ, strings.Join(texts, " "))
		if err != nil {
			t.Errorf("%s: %s %v: %v", name, key, texts, err)
			continue
		}
		got := r.Component(typ)
		if got == nil || got.Prefix != want.Prefix || got.Offset != want.Offset || !slices.EqualFunc(got.Ops, want.Ops, sameOp) {
			t.Errorf("%s: %v: %+v, ExaBGP says %v", name, typ, got, texts)
		}
	}
	if found != len(r.Components) {
		t.Errorf("%s: %q, ExaBGP says %v", name, r.String(), e)
	}
}

// sameOp compares all but the octets on the wire.
func sameOp(a, b Op) bool { return a.And == b.And && a.Kind == b.Kind && a.Value == b.Value }

// exabgpAction turns ExaBGP's text of an action into ours.
func exabgpAction(s string) string {
	name, value, _ := strings.Cut(strings.Replace(s, " ", ":", 1), ":")
	switch name {
	case "rate-limit":
		return "rate-limit " + value
	case "redirect":
		return "redirect rt:" + value
	case "mark":
		return "mark " + value
	case "action": // ExaBGP's "terminal" names the T bit, which means to go on (RFC 8955 7.3)
		return map[string]string{"sample": "sample", "terminal": "continue", "sample-terminal": "sample continue"}[value]
	case "redirect-to-nexthop-ietf":
		return "redirect ip:" + value
	}
	return s
}

// Every Flow Spec message of flowspec-rules-a.tsv: octets, text and rule are the
// same thing, what the third column commands is what the octets say, and
// ExaBGP's reading agrees.
func TestRulesOfExaBGP(t *testing.T) {
	rules, messages, long := 0, 0, 0
	for _, l := range lines(t, "flowspec-rules-a.tsv") {
		m, ok := readMessage(t, l.msg)
		if !ok {
			t.Errorf("%s: no Flow Spec message", l.name)
			continue
		}
		messages++
		command, then, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(l.text, "announce "), "withdraw "), " then ")
		texts := strings.Split(command, " ; ")
		exa, exaActions := exabgpRules(t, l)
		if len(texts) != len(m.nlri) || len(exa) != len(m.nlri) {
			t.Errorf("%s: %d rules, %d in the text, %d in JSON", l.name, len(m.nlri), len(texts), len(exa))
			continue
		}
		for i, nlri := range m.nlri {
			rules++
			if len(nlri) > 240 {
				long++
			}
			r := checkOctets(t, l.name, m.family, nlri)
			checkExaBGP(t, l.name, &r, exa[i])
			want, _, err := ParseText(texts[i])
			if err != nil {
				t.Errorf("%s: %q: %v", l.name, texts[i], err)
				continue
			}
			want.Family = m.family
			if b, err := want.AppendNLRI(nil); err != nil || !bytes.Equal(b, nlri) && !written(&want, &r) {
				t.Errorf("%s: %q is %x, %v, came as %x", l.name, texts[i], b, err, nlri)
			}
		}
		if !m.withdraw {
			checkActions(t, l, m.attrs, then, exaActions)
		}
	}
	if messages != 400 || rules != 544 || long != 5 {
		t.Errorf("%d messages, %d rules, %d long", messages, rules, long)
	}
}

// written is true where the octets that ExaBGP wrote for a command differ from
// ours in what means the same:
//   - one flag is asked for without the match bit, though commanded with it: any
//     of one bit is all of one bit (RFC 8955 4.2.1.2);
//   - a flow label is in as few octets as it needs; 4 are advised (RFC 8956 3.7).
func written(command, came *Rule) bool {
	return slices.EqualFunc(command.Components, came.Components, func(a, b Component) bool {
		return a.Type == b.Type && a.Prefix == b.Prefix && a.Offset == b.Offset && slices.EqualFunc(a.Ops, b.Ops, func(x, y Op) bool {
			if a.Type == TypeTCPFlags && x.Value&(x.Value-1) == 0 {
				x.Kind |= Match
				y.Kind |= Match
			}
			return sameOp(x, y) && (x.Len == y.Len || a.Type == TypeFlowLabel)
		})
	})
}

// checkActions: the actions are what the command and ExaBGP say, and go into
// attributes as they came out.
func checkActions(t *testing.T, l line, attrs []byte, then string, exa []string) {
	t.Helper()
	if err := CheckActions(attrs); err != nil {
		t.Errorf("%s: %v", l.name, err)
	}
	a := ActionsOf(attrs)
	var words []string
	for _, s := range exa {
		words = append(words, exabgpAction(s))
	}
	if got, want := a.String(), strings.Join(words, " "); got != want {
		t.Errorf("%s: %q, ExaBGP says %q", l.name, got, want)
	}
	then = strings.NewReplacer("action sample-terminal", "sample continue", "action terminal", "continue", "action sample", "sample",
		"redirect ", "redirect rt:").Replace(then)
	want, err := ParseActions(then)
	if err != nil {
		t.Errorf("%s: %q: %v", l.name, then, err)
		return
	}
	if a.String() != want.String() {
		t.Errorf("%s: %q, commanded %q", l.name, a.String(), then)
	}
	checkApply(t, l.name, attrs, &a)
}

// checkApply: the actions, written into the same attributes, leave them as they
// are but for their order.
func checkApply(t *testing.T, name string, attrs []byte, a *Actions) {
	t.Helper()
	form := RedirectCommunity
	if v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities); RedirectsToHop(v) {
		form = RedirectNextHop
	}
	var e wire.AttrEditor
	e.Start(attrs)
	if err := a.Apply(&e, form); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got := e.Append(nil)
	if !slices.Equal(sortedExt(got), sortedExt(attrs)) || len(got) != len(attrs) {
		t.Errorf("%s: %x\nbecomes %x", name, attrs, got)
	}
	if back := ActionsOf(got); back.String() != a.String() {
		t.Errorf("%s: %q becomes %q", name, a.String(), back.String())
	}
}

func sortedExt(attrs []byte) []string {
	var all []string
	v, _ := wire.FindAttr(attrs, wire.AttrExtCommunities)
	for c := range slices.Chunk(v, 8) {
		all = append(all, string(c))
	}
	v, _ = wire.FindAttr(attrs, wire.AttrIPv6ExtCommunities)
	for c := range slices.Chunk(v, 20) {
		all = append(all, string(c))
	}
	slices.Sort(all)
	return all
}

// exabgpDifferences are rules that ExaBGP writes, and that the RFCs read
// otherwise.
var exabgpDifferences = map[string]string{
	// An offset of 120 with all 16 octets behind it: RFC 8956 3.1 leaves out the
	// bits before the offset, so that one octet is left, and then comes a
	// component of type 0.
	"encoding/conf-flow#7": "RFC 8955 4.2",
}

// Every Flow Spec message of exabgp-messages.tsv.
func TestMessagesOfExaBGP(t *testing.T) {
	rules, readings := 0, 0
	for _, l := range lines(t, "exabgp-messages.tsv") {
		m, ok := readMessage(t, l.msg)
		if !ok || len(m.nlri) == 0 {
			if strings.Contains(l.text, "ipv4 flow destination") || strings.Contains(l.text, "ipv6 flow destination") {
				t.Errorf("%s: no Flow Spec message", l.name)
			}
			continue
		}
		if rfc := exabgpDifferences[l.name]; rfc != "" {
			if _, err := Canonical(nil, m.family, m.nlri[0]); err == nil || err.RFC != rfc || err.Action != wire.TreatAsWithdraw {
				t.Errorf("%s: %v, want a difference by %s", l.name, err, rfc)
			}
			rules++
			continue
		}
		var exa []exabgp
		var exaActions []string
		if l.json != "" {
			exa, exaActions = exabgpRules(t, l)
			readings++
		}
		for i, nlri := range m.nlri {
			rules++
			r := checkOctets(t, l.name, m.family, nlri)
			if len(exa) == len(m.nlri) {
				checkExaBGP(t, l.name, &r, exa[i])
			} else if exa != nil {
				t.Errorf("%s: %d rules, ExaBGP says %d", l.name, len(m.nlri), len(exa))
			}
		}
		if m.withdraw {
			continue
		}
		a := ActionsOf(m.attrs)
		checkApply(t, l.name, m.attrs, &a)
		for _, s := range exaActions {
			if name, _, _ := strings.Cut(s, ":"); name == "interface-set" || name == "origin" {
				continue // no action that ribd knows (kept in Unknown), and none at all
			}
			if want := exabgpAction(s); !strings.Contains(a.String(), want) {
				t.Errorf("%s: %q, ExaBGP says %q", l.name, a.String(), want)
			}
		}
	}
	if rules != 20 || readings != 18 {
		t.Errorf("%d rules, %d with a reading", rules, readings)
	}
}

// The next hop of a rule that is redirected to it, and the communities of
// api-flow-merge that only interface sets know.
func TestActionsOfExaBGP(t *testing.T) {
	want := map[string]string{
		"encoding/conf-flow#9":          "redirect ip:5.6.7.8",
		"encoding/conf-flow-redirect#4": "redirect ip:1.2.3.4",
		"encoding/conf-flow-redirect#2": "redirect rt:65500:12345",
		"encoding/conf-flow#11":         "redirect rt:258:33756718",
		"api/api-flow-merge#1":          "rate-limit 0 community 0x0702000000fe80fe community 0x4702caffee014001",
	}
	for _, l := range lines(t, "exabgp-messages.tsv") {
		if w := want[l.name]; w != "" {
			m, _ := readMessage(t, l.msg)
			a := ActionsOf(m.attrs)
			if a.String() != w {
				t.Errorf("%s: %q, want %q", l.name, a.String(), w)
			}
			delete(want, l.name)
		}
	}
	if len(want) != 0 {
		t.Errorf("not found: %v", want)
	}
}

// The rules of the captures, as Wireshark shows them.
func TestRulesOfCaptures(t *testing.T) {
	for _, c := range []struct {
		file string
		want []string
	}{
		{"BGP_flowspec_v4.cap", []string{
			"ipv4-flowspec: destination 192.168.0.1/32 source 10.0.0.9/32 protocol =udp|=tcp port =80|=8080 " +
				"destination-port >8080&<8088|=3128 source-port >1024 then rate-limit 0",
		}},
		{"BGP_flowspec_redirect.cap", []string{
			"ipv6-flowspec: destination 3001:99:b::10/128 source 3001:99:a::10/128 then redirect rt:6:302",
			"ipv6-flowspec: destination 3001:4:b::10/128 source 3001:1:a::10/128 then redirect rt:6:302",
		}},
	} {
		b, err := os.ReadFile(golden.Data(t, "pcap", c.file))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		marker := bytes.Repeat([]byte{0xff}, 16)
		for at := bytes.Index(b, marker); at >= 0; at = bytes.Index(b, marker) {
			b = b[at:]
			n := int(binary.BigEndian.Uint16(b[16:]))
			if m, ok := readMessage(t, b[:n]); ok {
				for _, nlri := range m.nlri {
					r, a := checkOctets(t, c.file, m.family, nlri), ActionsOf(m.attrs)
					got = append(got, fmt.Sprintf("%v: %s", m.family, Text(&r, &a)))
				}
			}
			b = b[n:]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.file, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
