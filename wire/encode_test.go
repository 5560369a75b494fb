package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// split cuts messages apart and holds each to its header.
func split(t *testing.T, b []byte, s *Session) [][]byte {
	t.Helper()
	var msgs [][]byte
	for len(b) > 0 {
		_, n, err := ParseHeader(b, s)
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, b[:n])
		b = b[n:]
	}
	return msgs
}

// TestPacking: every route comes out again, in order, with its attributes, in
// as few messages as hold them, at most one kind of NLRI in each, the
// multiprotocol attribute first.
func TestPacking(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for _, extended := range []bool{false, true} {
		for _, as4 := range []bool{false, true} {
			for _, addPath := range []bool{false, true} {
				for _, f := range []Family{IPv4Unicast, IPv6Unicast, IPv4Multicast, IPv4VPN, IPv6LabelledUnicast, L2VPNEVPN} {
					for _, mp4 := range []bool{false, true} {
						s := Session{AS4: as4, Extended: extended}
						o := SendOptions{AS4: as4, Extended: extended, MP4: mp4}
						if addPath {
							s.AddPath, o.AddPath = AllFamilies(), AllFamilies()
						}
						name := fmt.Sprintf("seed %d, %v, AS4 %v, extended %v, Add-Path %v, MP %v", seed, f, as4, extended, addPath, mp4)
						checkPacking(t, r, name, f, s, o)
					}
				}
			}
		}
	}
}

func checkPacking(t *testing.T, r *rand.Rand, name string, f Family, s Session, o SendOptions) {
	t.Helper()
	var attrs []byte
	for attrs == nil || len(attrs) > 2000 { // longer ones may not fit, with an AS4_PATH beside
		m := route(r)
		if f.AFI() != afiIPv4 {
			m[AttrNextHop] = hop6
		}
		attrs = canonicalOf(m)
	}
	e := NewEncoder(o)
	if err := e.Announce(f, attrs); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	n := 3000
	want := make([]string, n)
	for i := range want {
		want[i] = addRoute(t, e, r, f, s.AddPath.Has(f), false)
	}
	var got []string
	var u Update
	msgs := split(t, e.Flush(), &s)
	for i, msg := range msgs {
		if err := parse(t, &u, msg, &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i < len(msgs)-1 && s.maxLen()-len(msg) > maxPrefixLen {
			t.Errorf("%s: message %d of %d has room for more: %d octets", name, i, len(msgs), len(msg))
		}
		got = append(got, routes(&u)...)
		a := u.Attributes(nil)
		if !u.HasNLRI4() {
			a = u.ReachAttributes(nil)
			if AttrType(msg[HeaderLen+5]) != AttrMPReach {
				t.Errorf("%s: the first attribute is %v", name, AttrType(msg[HeaderLen+5]))
			}
		}
		if !bytes.Equal(a, attrs) {
			t.Fatalf("%s:\ngot  %x\nwant %x", name, a, attrs)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d routes, want %d", name, len(got), len(want))
	}
	e.Reset()
	e.Withdraw(f)
	for i := range want {
		want[i] = addRoute(t, e, r, f, s.AddPath.Has(f), true)
	}
	got = nil
	for _, msg := range split(t, e.Flush(), &s) {
		if err := parse(t, &u, msg, &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got = append(got, routes(&u)...)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d withdrawals, want %d", name, len(got), len(want))
	}
}

// addRoute adds a random route and returns its text.
func addRoute(t *testing.T, e *Encoder, r *rand.Rand, f Family, addPath, withdraw bool) string {
	id := r.Uint32()
	text := ""
	if addPath {
		text = fmt.Sprintf(" id %d", id)
	}
	n := uint8(r.IntN(129))
	hi, lo := r.Uint64(), r.Uint64()
	if f.Is4() {
		n, lo = n/4, 0
		hi &^= 1<<32 - 1
	}
	hi, lo = mask128(hi, lo, n)
	switch f.Form() {
	case FormPrefix:
		if f.Is4() {
			e.Route4(uint32(hi>>32), n, id)
			return prefix4(uint32(hi>>32), n).String() + text
		}
		e.Route6(hi, lo, n, id)
		return prefix6(hi, lo, n).String() + text
	case FormRaw:
		nlri := []byte{2, 5, 1, 2, 3, 4, byte(n)}
		if !e.RouteRaw(nlri, id) {
			t.Fatal("no room")
		}
		return fmt.Sprintf("%x", nlri) + text
	}
	n = min(n, 100)
	hi, lo = mask128(hi, lo, n)
	labels := []byte{1, 2, 0x30, 4, 5, 0x61}
	rd := uint64(0)
	if f.Form() == FormVPN {
		rd = r.Uint64()
	}
	if !e.RouteLabelled(rd, labels, hi, lo, n, id) {
		t.Fatal("no room")
	}
	if withdraw { // whatever was given (RFC 8277 2.4)
		labels = withdrawnLabel
	}
	if f.Is4() {
		return fmt.Sprintf("%x %x %v", rd, labels, prefix4(uint32(hi>>32), n)) + text
	}
	return fmt.Sprintf("%x %x %v", rd, labels, prefix6(hi, lo, n)) + text
}

// routes returns the texts of the routes of a message, whichever kind it has.
func routes(u *Update) (s []string) {
	id := func(has bool, id uint32) string {
		if has {
			return fmt.Sprintf(" id %d", id)
		}
		return ""
	}
	for _, w := range []NLRI4{u.NLRI4(), u.Withdrawn4()} {
		for w.Next() {
			s = append(s, w.Prefix().String()+id(w.HasPathID(), w.PathID()))
		}
	}
	m, ok := u.Reach()
	if !ok {
		if m, ok = u.Unreach(); !ok {
			return s
		}
	}
	switch m.Family.Form() {
	case FormPrefix:
		if m.Family.Is4() {
			for w := m.NLRI4(); w.Next(); {
				s = append(s, w.Prefix().String()+id(w.HasPathID(), w.PathID()))
			}
			return s
		}
		for w := m.NLRI6(); w.Next(); {
			s = append(s, w.Prefix().String()+id(w.HasPathID(), w.PathID()))
		}
	case FormRaw:
		for w := m.Raw(); w.Next(); {
			s = append(s, fmt.Sprintf("%x", w.Bytes())+id(w.HasPathID(), w.PathID()))
		}
	default:
		for w := m.Labelled(); w.Next(); {
			s = append(s, fmt.Sprintf("%x %x %v", w.RD(), w.Labels(), w.Prefix())+id(w.HasPathID(), w.PathID()))
		}
	}
	return s
}

// TestEncodeSame: a packed message decodes and encodes to the same octets.
func TestEncodeSame(t *testing.T) {
	for _, msg := range [][]byte{typical4(50), typical6(50)} {
		var u Update
		if err := parse(t, &u, msg, &session4); err != nil {
			t.Fatal(err)
		}
		e := NewEncoder(SendOptions{AS4: true})
		f, attrs := IPv4Unicast, u.Attributes(nil)
		if m, ok := u.Reach(); ok {
			f, attrs = m.Family, u.ReachAttributes(nil)
		}
		if err := e.Announce(f, attrs); err != nil {
			t.Fatal(err)
		}
		for w := u.NLRI4(); w.Next(); {
			e.Route4(w.Addr(), w.Len(), 0)
		}
		if m, ok := u.Reach(); ok {
			for w := m.NLRI6(); w.Next(); {
				e.Route6(w.Hi(), w.Lo(), w.Len(), 0)
			}
		}
		if got := e.Flush(); !bytes.Equal(got, msg) {
			t.Errorf("got %x\nwant %x", got, msg)
		}
	}
}

func TestWithoutANextHopNoneIsSent(t *testing.T) {
	attrs := join(AppendAttr(nil, FlagTransitive, AttrOrigin, []byte{OriginIGP}), AppendAttr(nil, FlagTransitive, AttrASPath, nil),
		AppendAttr(nil, optTransitive, AttrExtCommunities, make([]byte, 8)))
	for _, f := range []Family{IPv4FlowSpec, IPv6FlowSpecVPN} {
		e := NewEncoder(SendOptions{AS4: true})
		if err := e.Announce(f, attrs); err != nil {
			t.Fatal(err)
		}
		e.RouteRaw([]byte{3, 3, 0x81, 17}, 0)
		var u Update
		if err := parse(t, &u, e.Flush(), &Session{AS4: true}); err != nil {
			t.Fatal(err)
		}
		if m, ok := u.Reach(); !ok || len(m.NextHop) != 0 || !bytes.Equal(u.ReachAttributes(nil), attrs) {
			t.Errorf("%s: next hop %x, attributes %x, want none and %x", f, m.NextHop, u.ReachAttributes(nil), attrs)
		}
	}
}

// Two NLRI of a family whose framing is not known would read as one; others share
// a message.
func TestNLRIOfUnknownFramingHaveAMessageEach(t *testing.T) {
	routes := [][]byte{{2, 1, 0xaa}, {5, 2, 0xbb, 0xcc}} // type and length, as those of EVPN
	for f, messages := range map[Family]int{MakeFamily(0x3030, 0x30): 2, L2VPNEVPN: 1} {
		for _, announce := range []bool{false, true} {
			e := NewEncoder(SendOptions{AS4: true})
			e.Withdraw(f)
			if announce {
				if err := e.Announce(f, AppendAttr(nil, FlagTransitive, AttrOrigin, []byte{OriginIGP})); err != nil {
					t.Fatal(err)
				}
			}
			for _, nlri := range routes {
				if !e.RouteRaw(nlri, 0) {
					t.Fatalf("%s: it does not fit", f)
				}
			}
			msgs := split(t, e.Flush(), &Session{AS4: true})
			if len(msgs) != messages {
				t.Errorf("%s: %d messages, want %d", f, len(msgs), messages)
			}
			var got [][]byte
			for _, msg := range msgs {
				var u Update
				u.Parse(msg, &Session{AS4: true}) // without AS_PATH an announcement is to be withdrawn: it is there all the same
				m, _ := u.Unreach()
				if announce {
					m, _ = u.Reach()
				}
				for w := m.Raw(); w.Next(); {
					got = append(got, bytes.Clone(w.Bytes()))
				}
			}
			if !slices.EqualFunc(got, routes, bytes.Equal) {
				t.Errorf("%s: %x come back, want %x", f, got, routes)
			}
		}
	}
}

func TestEncoderRefusesWhatDoesNotFit(t *testing.T) {
	long := join(mandatory, AppendAttr(nil, 0xc0, AttrCommunities, make([]byte, 4040)))
	e := NewEncoder(SendOptions{AS4: true})
	if err := e.Announce(IPv4Unicast, long); err != ErrTooLong {
		t.Errorf("got %v, want %v", err, ErrTooLong)
	}
	if b := e.Flush(); len(b) != 0 {
		t.Errorf("%d octets were sent", len(b))
	}
	if err := NewEncoder(SendOptions{AS4: true, Extended: true}).Announce(IPv4Unicast, long); err != nil {
		t.Error(err)
	}
	e.Withdraw(L2VPNEVPN)
	if e.RouteRaw(make([]byte, 4090), 0) {
		t.Error("a raw NLRI of 4090 octets was taken")
	}
	if err := e.Announce(IPv6VPN, AppendAttr(nil, FlagTransitive, AttrNextHop, make([]byte, 16))); err != nil {
		t.Error(err)
	}
	if e.RouteLabelled(1, make([]byte, 12), 0, 0, 128, 0) {
		t.Error("a route of 288 bits was taken")
	}
}

func TestAppendEndOfRIB(t *testing.T) {
	for _, f := range []Family{IPv4Unicast, IPv6Unicast, L2VPNEVPN, LS} {
		var u Update
		if err := parse(t, &u, AppendEndOfRIB(nil, f), &external); err != nil {
			t.Fatal(err)
		}
		if got, ok := u.EndOfRIB(); !ok || got != f {
			t.Errorf("got %v %v, want %v", got, ok, f)
		}
	}
}

func TestOpen(t *testing.T) {
	receive, send := NewFamilySet(IPv4Unicast, IPv6Unicast), NewFamilySet(IPv6Unicast, IPv4VPN)
	o := Open{AS: 400000, HoldTime: 90, ID: 0xc0000201, Capabilities: []Capability{
		MultiprotocolCapability(IPv4Unicast), MultiprotocolCapability(LS), AS4Capability(400000), AddPathCapability(receive, send)}}
	msg := AppendOpen(nil, &o)
	if as := binary.BigEndian.Uint16(msg[20:]); as != ASTrans {
		t.Errorf("AS in the header: %d", as)
	}
	got, err := ParseOpen(msg)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(o) {
		t.Fatalf("got %v (%v), want %v", got, err, o)
	}
	if fs := got.Families(); !fs.Has(IPv4Unicast) || !fs.Has(LS) || fs.Has(IPv6Unicast) {
		t.Errorf("families: %v", fs.Families())
	}
	gr, gs := got.AddPath()
	if fmt.Sprint(gr.Families(), gs.Families()) != fmt.Sprint(receive.Families(), send.Families()) {
		t.Errorf("Add-Path: %v %v", gr.Families(), gs.Families())
	}
	for range 40 { // RFC 9072
		o.Capabilities = append(o.Capabilities, Capability{200, []byte{1, 2, 3, 4, 5, 6, 7}})
	}
	msg = AppendOpen(nil, &o)
	if got, err = ParseOpen(msg); err != nil || fmt.Sprint(got) != fmt.Sprint(o) {
		t.Errorf("extended: got %v (%v), want %v", got, err, o)
	}
	for n := range len(msg) {
		short := slices.Clone(msg[:n])
		if n >= 18 {
			short[16], short[17] = byte(n>>8), byte(n)
		}
		_, err := ParseOpen(short)
		if err == nil {
			t.Errorf("an OPEN cut to %d octets passed", n)
		}
		checkError(t, err, n)
	}
}
