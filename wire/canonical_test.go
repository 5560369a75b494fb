package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPathMerge has the cases of RFC 6793 section 4.2.3.
func TestPathMerge(t *testing.T) {
	const q, s, cq, cs = byte(SegSequence), byte(SegSet), byte(SegConfedSequence), byte(SegConfedSet)
	seg := func(size int, typ byte, ases ...uint32) []byte {
		b := []byte{typ, byte(len(ases))}
		for _, as := range ases {
			if size == 4 {
				b = binary.BigEndian.AppendUint32(b, as)
			} else {
				b = binary.BigEndian.AppendUint16(b, uint16(as))
			}
		}
		return b
	}
	two := func(typ byte, ases ...uint32) []byte { return seg(2, typ, ases...) }
	four := func(typ byte, ases ...uint32) []byte { return seg(4, typ, ases...) }
	for _, c := range []struct {
		name    string
		v, tail []byte
		want    string
	}{
		{"alone", two(q, 1, 2), nil, "1 2"},
		{"an old speaker prepended", two(q, 1, 23456, 23456), four(q, 70000, 80000), "1 70000 80000"},
		{"as long", two(q, 23456, 2), four(q, 70000, 2), "70000 2"},
		{"AS4_PATH is longer: ignored", two(q, 1, 2), four(q, 70000, 2, 3), "1 2"},
		{"set counts one", join(two(q, 1, 23456), two(s, 5, 6)), join(four(q, 70000), four(s, 5, 80000)), "1 70000 {5,80000}"},
		{"set prepended whole", join(two(s, 5, 6), two(q, 23456)), four(q, 70000), "{5,6} 70000"},
		{"leading confederation", join(two(cq, 9, 8), two(q, 23456)), four(q, 70000), "(9 8) 70000"},
		{"confederation after what is prepended", join(two(q, 1), two(cs, 9), two(q, 23456)), four(q, 70000), "1 [9] 70000"},
		{"confederation not adjacent", join(two(q, 1, 2), two(cq, 9), two(q, 23456)), four(q, 2, 70000), "1 2 70000"},
		{"confederation in AS4_PATH is left out", two(q, 1, 23456), join(four(cq, 9), four(q, 70000)), "1 70000"},
		{"segments stay apart", join(two(q, 1), two(q, 23456)), four(q, 70000), "1 70000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := appendMergedPath(nil, c.v, c.tail)
			if p, reason := checkSegments(got, 4, false, true); reason != "" {
				t.Fatalf("malformed at %d: %s: %x", p, reason, got)
			}
			if text := string(AppendASPath(nil, got)); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if c.tail != nil && pathLen(got, 4) != pathLen(c.v, 2) {
				t.Errorf("length %d, want %d", pathLen(got, 4), pathLen(c.v, 2))
			}
		})
	}
}

func TestAggregatorMerge(t *testing.T) {
	path := attr(0x40, AttrASPath, 2, 2, 0, 1, 0x5b, 0xa0)
	path4 := attr(0xc0, AttrAS4Path, path4(70000)...)
	agg := func(hi, lo byte) []byte { return attr(0xc0, AttrAggregator, hi, lo, 1, 2, 3, 4) }
	agg4 := attr(0xc0, AttrAS4Aggregator, 0, 1, 0x11, 0x70, 5, 6, 7, 8)
	for _, c := range []struct {
		name      string
		attrs     []byte
		path, agg string
	}{
		{"AS_TRANS: AS4_AGGREGATOR counts", join(path, agg(0x5b, 0xa0), path4, agg4), "1 70000", "70000 5.6.7.8"},
		{"not AS_TRANS: AS4_* are ignored", join(path, agg(0, 7), path4, agg4), "1 23456", "7 1.2.3.4"},
		{"no AS4_AGGREGATOR: AS4_PATH counts", join(path, agg(0, 7), path4), "1 70000", "7 1.2.3.4"},
		{"no AGGREGATOR", join(path, path4, agg4), "1 70000", ""},
		{"AS_TRANS, no AS4_AGGREGATOR", join(path, agg(0x5b, 0xa0)), "1 23456", "23456 1.2.3.4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Update
			if err := parse(t, &u, message(nil, join(origin, nextHop, c.attrs), prefix), &two); err != nil {
				t.Fatal(err)
			}
			got := u.Attributes(nil)
			v, _ := FindAttr(got, AttrASPath)
			a, _ := FindAttr(got, AttrAggregator)
			if p, g := string(AppendASPath(nil, v)), string(AppendAggregator(nil, a)); p != c.path || g != c.agg {
				t.Errorf("got %q, %q; want %q, %q", p, g, c.path, c.agg)
			}
			if _, ok := FindAttr(got, AttrAS4Path); ok {
				t.Error("AS4_PATH is kept")
			}
			if _, ok := FindAttr(got, AttrAS4Aggregator); ok {
				t.Error("AS4_AGGREGATOR is kept")
			}
		})
	}
}

// route is a random set of attributes in canonical form, attribute by attribute.
func route(r *rand.Rand) map[AttrType][]byte {
	octets := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	as := func() uint32 {
		if r.IntN(3) == 0 {
			return 65536 + r.Uint32N(1<<20)
		}
		return 1 + r.Uint32N(60000)
	}
	m := map[AttrType][]byte{AttrOrigin: {byte(r.IntN(3))}, AttrNextHop: octets(4), AttrASPath: nil}
	for range r.IntN(4) {
		n := 1 + r.IntN(5)
		if r.IntN(12) == 0 {
			n = 255
		}
		b := []byte{byte(SegSequence), byte(n)}
		if r.IntN(4) == 0 {
			b[0] = byte(SegSet)
		}
		for range n {
			b = binary.BigEndian.AppendUint32(b, as())
		}
		m[AttrASPath] = append(m[AttrASPath], b...)
	}
	add := func(t AttrType, v []byte) {
		if r.IntN(2) == 0 {
			m[t] = v
		}
	}
	add(AttrMED, octets(4))
	add(AttrLocalPref, octets(4))
	add(AttrAtomicAggregate, nil)
	add(AttrAggregator, append(binary.BigEndian.AppendUint32(nil, as()), octets(4)...))
	add(AttrCommunities, octets(4*(1+r.IntN(100))))
	add(AttrExtCommunities, octets(8*(1+r.IntN(10))))
	add(AttrLargeCommunities, octets(12*(1+r.IntN(60))))
	add(AttrOTC, octets(4))
	add(99, octets(r.IntN(300)))
	add(200, octets(r.IntN(3)))
	return m
}

func flagsOf(t AttrType) byte {
	if r := &attrTable[t]; r.known {
		return r.flags
	}
	return optTransitive
}

func canonicalOf(m map[AttrType][]byte) []byte {
	var b []byte
	for t := range 256 {
		if v, ok := m[AttrType(t)]; ok {
			b = AppendAttr(b, flagsOf(AttrType(t)), AttrType(t), v)
		}
	}
	return b
}

// shuffled writes the route as some speaker might: any order, long form where
// it is not needed, unused flag bits set.
func shuffled(r *rand.Rand, attrs []byte) []byte {
	var parts [][]byte
	for w := WalkAttributes(attrs); w.Next(); {
		flags := w.Flags() | byte(r.IntN(16))
		if r.IntN(2) == 0 || len(w.Value()) > 255 {
			flags |= FlagExtended
		}
		if flagsOf(w.Type()) != optTransitive && r.IntN(4) == 0 {
			flags |= FlagPartial
		}
		parts = append(parts, attr(flags, w.Type(), w.Value()...))
	}
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return join(parts...)
}

// TestCanonicalForm: whatever the session, the order and the length of the
// headers, one route has the same octets.
func TestCanonicalForm(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var u Update
	for i := range 3000 {
		m := route(r)
		want := canonicalOf(m)
		if msg := message(nil, want, prefix); i < 100 {
			if err := parse(t, &u, msg, &Session{AS4: true, Extended: true}); err != nil {
				t.Fatal(err)
			}
			if got := u.Attributes(nil); !u.scan.plain || &got[0] != &msg[HeaderLen+4] {
				t.Fatalf("seed %d: canonical attributes are not taken as they lie", seed)
			}
		}
		check := func(name string, got []byte, err *Error) {
			t.Helper()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("seed %d, %s (%v):\ngot  %x\nwant %x", seed, name, err, got, want)
			}
		}
		err := u.Parse(message(nil, shuffled(r, want), prefix), &Session{AS4: true, Extended: true})
		check("4-octet session", u.Attributes(nil), err)
		narrow := appendSent(nil, want, false, true)
		err = u.Parse(message(nil, shuffled(r, narrow), prefix), &Session{Extended: true})
		check("2-octet session", u.Attributes(nil), err)
		check("appended", u.AppendAttributes([]byte{1, 2})[2:], nil)
		got, err := AppendRIBAttributes(nil, shuffled(r, want), IPv4Unicast, RIBOptions{})
		check("TABLE_DUMP_V2", got, err)
		got, err = AppendRIBAttributes(nil, shuffled(r, narrow), IPv4Unicast, RIBOptions{AS2: true})
		check("TABLE_DUMP", got, err)

		m[AttrNextHop] = hop6
		want = canonicalOf(m)
		delete(m, AttrNextHop)
		rest := canonicalOf(m)
		reach := slices.Clone(reach6)
		err = u.Parse(message(nil, join(shuffled(r, rest), reach), nil), &Session{AS4: true, Extended: true})
		check("MP_REACH_NLRI", u.ReachAttributes(nil), err)
		got, err = AppendRIBAttributes(nil, join(shuffled(r, rest), reach), IPv6Unicast, RIBOptions{})
		check("TABLE_DUMP_V2, whole MP_REACH_NLRI", got, err)
		short := attr(0x80, AttrMPReach, append([]byte{16}, hop6...)...)
		got, err = AppendRIBAttributes(nil, join(short, shuffled(r, rest), nextHop), IPv6Unicast, RIBOptions{})
		check("TABLE_DUMP_V2, short MP_REACH_NLRI", got, err)
	}
}

func TestCanonicalKeepsPartial(t *testing.T) {
	a := join(mandatory, attr(0xe0, AttrCommunities, 1, 2, 3, 4), attr(0xe0, 99, 1))
	var u Update
	if err := parse(t, &u, message(nil, a, prefix), &external); err != nil || !bytes.Equal(u.Attributes(nil), a) {
		t.Errorf("got %x (%v), want %x", u.Attributes(nil), err, a)
	}
}

func TestLargeCommunitiesOnce(t *testing.T) {
	for _, n := range []int{2, 40, 400} {
		var once []byte
		for i := range n {
			once = binary.BigEndian.AppendUint32(once, uint32(n-i)) // descending
			once = append(once, 0, 0, 0, 1, 0, 0, 0, 2)
		}
		again := join(once, once[:12], once[12*(n-1):])
		var u Update
		s := Session{AS4: true, Extended: true}
		if err := parse(t, &u, message(nil, join(mandatory, AppendAttr(nil, 0xc0, AttrLargeCommunities, again)), prefix), &s); err != nil {
			t.Fatal(err)
		}
		if got, _ := FindAttr(u.Attributes(nil), AttrLargeCommunities); !bytes.Equal(got, once) {
			t.Errorf("%d: got %d octets, want %d", n, len(got), len(once))
		}
		if err := parse(t, &u, message(nil, join(mandatory, AppendAttr(nil, 0xc0, AttrLargeCommunities, once)), prefix), &s); err != nil || !u.scan.plain {
			t.Errorf("%d: distinct values are not canonical (%v)", n, err)
		}
	}
}

func TestManyAttributes(t *testing.T) {
	var parts [][]byte
	want := slices.Clone(mandatory)
	for i := 50; i < 256; i++ {
		if i == int(AttrSet) {
			continue
		}
		parts = append(parts, attr(0xc0, AttrType(i), byte(i)))
		want = append(want, attr(0xc0, AttrType(i), byte(i))...)
	}
	slices.Reverse(parts)
	var u Update
	if err := parse(t, &u, message(nil, join(join(parts...), mandatory), prefix), &external); err != nil {
		t.Fatal(err)
	}
	if got := u.Attributes(nil); !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
}

func TestRIBEntryErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		attrs []byte
		f     Family
		want  Action
		bytes []byte
	}{
		{"sound", mandatory, IPv4Unicast, ActionNone, mandatory},
		{"nothing at all", nil, IPv4Unicast, ActionNone, nil},
		{"withdraw", join(mandatory, attr(0x80, AttrMED, 1)), IPv4Unicast, TreatAsWithdraw, nil},
		{"discard", join(mandatory, attr(0x40, AttrAtomicAggregate, 1)), IPv4Unicast, AttributeDiscard, mandatory},
		{"6-octet AGGREGATOR", join(mandatory, attr(0xc0, AttrAggregator, 0, 7, 1, 2, 3, 4)), IPv4Unicast, ActionNone,
			join(mandatory, attr(0xc0, AttrAggregator, 0, 0, 0, 7, 1, 2, 3, 4))},
		{"MP_REACH_NLRI of no form", join(origin, asPath, attr(0x80, AttrMPReach, 9, 9, 9)), IPv6Unicast, TreatAsWithdraw, nil},
		{"MP_UNREACH_NLRI is left out", join(mandatory, unreach6), IPv4Unicast, ActionNone, mandatory},
		{"overrun", join(mandatory, []byte{0x80, 14, 99}), IPv6Unicast, TreatAsWithdraw, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := AppendRIBAttributes([]byte{7}, c.attrs, c.f, RIBOptions{})
			checkError(t, err, len(c.attrs))
			if actionOf(err) != c.want || !bytes.Equal(got, append([]byte{7}, c.bytes...)) {
				t.Errorf("got %x (%v), want 07%x (%v)", got, err, c.bytes, c.want)
			}
		})
	}
}

// TestNoAllocation: the good path allocates nothing.
func TestNoAllocation(t *testing.T) {
	var u Update
	scratch := make([]byte, 0, 4096)
	narrow := message(nil, twoOctetAttrs(), prefix)
	ext := Session{AS4: true, External: true, AddPath: NewFamilySet(IPv6VPN)}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"IPv4", func() { u.Parse(typ4, &session4); walkAll(&u, scratch) }},
		{"IPv6", func() { u.Parse(typ6, &session4); walkAll(&u, scratch) }},
		{"2-octet AS", func() { u.Parse(narrow, &two); u.Attributes(scratch) }},
		{"session without families", func() { u.Parse(typ6, &ext); walkAll(&u, scratch) }},
		{"table dump", func() { AppendRIBAttributes(scratch, mandatory, IPv4Unicast, RIBOptions{}) }},
		{"text", func() { AppendASPath(scratch, asPath[3:]); AppendExtCommunity(scratch, 0x0002fde900000001) }},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

var typ4, typ6 = typical4(100), typical6(100)
