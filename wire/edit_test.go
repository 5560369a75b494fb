package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// naive is a set of attributes as a slow, obvious editor has it.
type naive map[AttrType]naiveAttr

type naiveAttr struct {
	flags byte
	value []byte
}

func decodeNaive(b []byte) naive {
	n := naive{}
	for len(b) > 0 {
		size, head := int(b[2]), 3
		if b[0]&FlagExtended != 0 {
			size, head = int(b[2])<<8|int(b[3]), 4
		}
		n[AttrType(b[1])] = naiveAttr{b[0] &^ FlagExtended, slices.Clone(b[head : head+size])}
		b = b[head+size:]
	}
	return n
}

func (n naive) encode() []byte {
	var b []byte
	for t := 0; t < 256; t++ {
		a, ok := n[AttrType(t)]
		switch {
		case !ok:
		case len(a.value) > 255:
			b = append(b, a.flags|FlagExtended, byte(t), byte(len(a.value)>>8), byte(len(a.value)))
			b = append(b, a.value...)
		default:
			b = append(b, a.flags, byte(t), byte(len(a.value)))
			b = append(b, a.value...)
		}
	}
	return b
}

func (n naive) set(t AttrType, v []byte) {
	a, ok := n[t]
	if !ok {
		a.flags = map[AttrType]byte{AttrOrigin: 0x40, AttrASPath: 0x40, AttrNextHop: 0x40, AttrMED: 0x80,
			AttrLocalPref: 0x40, AttrOriginatorID: 0x80, AttrClusterList: 0x80}[t]
		if a.flags == 0 {
			a.flags = 0xc0
		}
	}
	a.value = v
	n[t] = a
}

// naiveSegment is a segment of an AS_PATH.
type naiveSegment struct {
	typ byte
	as  []uint32
}

func (n naive) path() (p []naiveSegment) {
	v := n[AttrASPath].value
	for len(v) > 0 {
		s := naiveSegment{typ: v[0]}
		for i := range int(v[1]) {
			s.as = append(s.as, binary.BigEndian.Uint32(v[2+4*i:]))
		}
		p, v = append(p, s), v[2+4*int(v[1]):]
	}
	return p
}

func (n naive) setPath(p []naiveSegment) {
	var v []byte
	for _, s := range p {
		v = append(v, s.typ, byte(len(s.as)))
		for _, as := range s.as {
			v = binary.BigEndian.AppendUint32(v, as)
		}
	}
	n.set(AttrASPath, v)
}

// prepend is RFC 4271 section 5.1.2, one AS number at a time.
func (n naive) prepend(as uint32) {
	p := n.path()
	if len(p) > 0 && p[0].typ == 2 && len(p[0].as) < 255 {
		p[0].as = append([]uint32{as}, p[0].as...)
	} else {
		p = append([]naiveSegment{{2, []uint32{as}}}, p...)
	}
	n.setPath(p)
}

func (n naive) filterPath(keep func(naiveSegment, uint32) bool) {
	var p []naiveSegment
	changed := false
	for _, s := range n.path() {
		all := len(s.as)
		s.as = slices.DeleteFunc(s.as, func(as uint32) bool { return !keep(s, as) })
		changed = changed || len(s.as) != all
		if len(s.as) > 0 {
			p = append(p, s)
		}
	}
	if changed {
		n.setPath(p)
	}
}

// add and remove edit an attribute that is a list of values of one size.
func (n naive) add(t AttrType, size int, c []byte) {
	v := n[t].value
	for i := 0; i < len(v); i += size {
		if bytes.Equal(v[i:i+size], c) {
			return
		}
	}
	n.set(t, append(slices.Clone(v), c...))
}

func (n naive) remove(t AttrType, size int, drop func([]byte) bool) {
	v, ok := n[t]
	if !ok {
		return
	}
	var left []byte
	for i := 0; i < len(v.value); i += size {
		if c := v.value[i : i+size]; !drop(c) {
			left = append(left, c...)
		}
	}
	if len(left) == 0 {
		delete(n, t)
		return
	}
	n.set(t, left)
}

// randomSet makes a canonical set.
func randomSet(r *rand.Rand) []byte {
	n := naive{}
	n.set(AttrOrigin, []byte{byte(r.IntN(3))})
	var p []naiveSegment
	for range r.IntN(4) {
		s := naiveSegment{typ: []byte{2, 2, 2, 1, 3, 4}[r.IntN(6)]}
		for range 1 + r.IntN([]int{3, 255}[r.IntN(2)]) {
			s.as = append(s.as, randomAS(r))
		}
		p = append(p, s)
	}
	n.setPath(p)
	list := func(t AttrType, size, most int) {
		v := make([]byte, size*(1+r.IntN(most)))
		for i := range v {
			v[i] = byte(r.IntN(3))
		}
		n.set(t, v)
	}
	for _, t := range []AttrType{AttrMED, AttrLocalPref, AttrOriginatorID, AttrOTC, AttrNextHop} {
		if r.IntN(2) == 0 {
			list(t, 4, 1)
		}
	}
	if r.IntN(2) == 0 {
		list(AttrCommunities, 4, 90)
	}
	if r.IntN(2) == 0 {
		list(AttrLargeCommunities, 12, 5)
	}
	if r.IntN(2) == 0 {
		list(AttrExtCommunities, 8, 5)
	}
	if r.IntN(3) == 0 {
		list(AttrIPv6ExtCommunities, 20, 2)
	}
	if r.IntN(3) == 0 {
		list(AttrClusterList, 4, 3)
	}
	if r.IntN(3) == 0 {
		list(99, 1, 9)
	}
	return n.encode()
}

func randomAS(r *rand.Rand) uint32 {
	return []uint32{1, 3356, 64511, 64512, 65000, 65534, 65535, 4199999999, 4200000000, 4294967294, 4294967295}[r.IntN(11)]
}

// step does one random edit on both.
func (n naive) step(r *rand.Rand, e *AttrEditor) string {
	c4, c8, c12 := r.Uint32N(3)<<16|r.Uint32N(3), uint64(r.Uint32N(3))<<48|uint64(r.Uint32N(3)), [12]byte{11: byte(r.IntN(3))}
	switch r.IntN(16) {
	case 0:
		as, times := randomAS(r), r.IntN([]int{4, 600}[r.IntN(2)])
		e.Prepend(as, times)
		for range times {
			n.prepend(as)
		}
		return fmt.Sprintf("Prepend(%d, %d)", as, times)
	case 1:
		old, with := randomAS(r), randomAS(r)
		e.ReplaceAS(old, with)
		p, found := n.path(), false
		for _, s := range p {
			for i := range s.as {
				if s.as[i] == old {
					s.as[i], found = with, true
				}
			}
		}
		if found {
			n.setPath(p)
		}
		return fmt.Sprintf("ReplaceAS(%d, %d)", old, with)
	case 2:
		e.RemovePrivateAS()
		n.filterPath(func(_ naiveSegment, as uint32) bool {
			return as < 64512 || as == 65535 || as > 65535 && as < 4200000000 || as == 4294967295
		})
		return "RemovePrivateAS"
	case 3:
		e.RemoveConfederation()
		n.filterPath(func(s naiveSegment, _ uint32) bool { return s.typ < 3 })
		return "RemoveConfederation"
	case 4:
		e.AddCommunities([]uint32{c4, 7, c4})
		n.add(AttrCommunities, 4, binary.BigEndian.AppendUint32(nil, c4))
		n.add(AttrCommunities, 4, []byte{0, 0, 0, 7})
		return "AddCommunities"
	case 5:
		m, _ := ParseCommunity(fmt.Sprintf("%d:*", c4>>16))
		e.RemoveCommunities([]CommunityMatch{Exact(7), m})
		n.remove(AttrCommunities, 4, func(b []byte) bool {
			c := binary.BigEndian.Uint32(b)
			return c == 7 || c>>16 == c4>>16
		})
		return "RemoveCommunities"
	case 6:
		e.AddLargeCommunities([][12]byte{c12})
		n.add(AttrLargeCommunities, 12, c12[:])
		return "AddLargeCommunities"
	case 7:
		m, _ := ParseLargeCommunity("*:*:1")
		e.RemoveLargeCommunities([]LargeMatch{m})
		n.remove(AttrLargeCommunities, 12, func(b []byte) bool { return be32(b[8:]) == 1 })
		return "RemoveLargeCommunities"
	case 8:
		e.AddExtCommunities([]uint64{c8})
		n.add(AttrExtCommunities, 8, binary.BigEndian.AppendUint64(nil, c8))
		return "AddExtCommunities"
	case 9:
		m, _ := ParseExtCommunity("0x0002*")
		e.RemoveExtCommunities([]ExtMatch{m})
		n.remove(AttrExtCommunities, 8, func(b []byte) bool { return b[0] == 0 && b[1] == 2 })
		return "RemoveExtCommunities"
	case 10:
		t := []AttrType{AttrMED, AttrLocalPref, AttrOTC, AttrOriginatorID, 200}[r.IntN(5)]
		e.SetUint32(t, c4)
		n.set(t, binary.BigEndian.AppendUint32(nil, c4))
		return "SetUint32 " + t.String()
	case 11:
		t := AttrType(r.IntN(40))
		e.Remove(t)
		delete(n, t)
		return "Remove " + t.String()
	case 12:
		e.PrependCluster(c4)
		n.set(AttrClusterList, append(binary.BigEndian.AppendUint32(nil, c4), n[AttrClusterList].value...))
		return "PrependCluster"
	case 13:
		hop := netip.MustParseAddr([]string{"192.0.2.1", "2001:db8::1"}[r.IntN(2)])
		e.SetNextHop(hop, netip.Addr{})
		n.set(AttrNextHop, hop.AsSlice())
		return "SetNextHop"
	case 14:
		e.MarkPartial()
		for t, a := range n {
			if !t.Known() {
				n[t] = naiveAttr{a.flags | FlagPartial, a.value}
			}
		}
		return "MarkPartial"
	}
	e.RemoveNonTransitive(func(t AttrType) bool { return t == AttrMED })
	for t, a := range n {
		if a.flags&0xc0 == 0x80 && t != AttrMED {
			delete(n, t)
		}
	}
	return "RemoveNonTransitive"
}

// TestAttrEditorAgreesWithANaiveOne edits random sets, and holds each step, the
// canonical form and the reuse of one editor to a slow, obvious one.
func TestAttrEditorAgreesWithANaiveOne(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	var e AttrEditor
	for range 500 {
		set := randomSet(r)
		before := slices.Clone(set)
		n := decodeNaive(set)
		e.Start(set)
		if got := e.Append(nil); !bytes.Equal(got, set) || e.Changed() {
			t.Fatalf("seed %d: Append after Start:\ngot  %x\nwant %x", seed, got, set)
		}
		var steps []string
		for range 1 + r.IntN(8) {
			steps = append(steps, n.step(r, &e))
			want := n.encode()
			if got := e.Append(nil); !bytes.Equal(got, want) {
				t.Fatalf("seed %d: %v of %x:\ngot  %x\nwant %x", seed, steps, set, got, want)
			}
		}
		if !bytes.Equal(set, before) {
			t.Fatalf("seed %d: %v changed what Start was given", seed, steps)
		}
		if got := n.encode(); !e.Changed() && !bytes.Equal(got, set) {
			t.Fatalf("seed %d: %v: Changed is false for\n%x\n%x", seed, steps, set, got)
		}
	}
}

func TestAttrEditorResultParsesAsItIs(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var e AttrEditor
	var u Update
	for range 300 {
		e.Start(mandatory)
		n := decodeNaive(mandatory)
		for range 6 {
			n.step(r, &e)
		}
		e.SetNextHop(netip.MustParseAddr("192.0.2.9"), netip.Addr{})
		e.Set(AttrOrigin, []byte{1})
		if !e.Has(AttrASPath) {
			e.Set(AttrASPath, nil)
		}
		got := e.Append(nil)
		if err := u.Parse(message(nil, got, prefix), &Session{AS4: true, Extended: true}); err != nil {
			t.Fatalf("%v: %x", err, got)
		}
		if back := u.Attributes(nil); !bytes.Equal(back, got) {
			t.Fatalf("not canonical:\ngot  %x\nback %x", got, back)
		}
	}
}

func TestPrependFillsSegmentsUpTo255(t *testing.T) {
	full := path4(make([]uint32, 254)...)
	for _, c := range []struct {
		name  string
		path  []byte
		times int
		want  []string // type and length of each segment
	}{
		{"empty path", nil, 1, []string{"2/1"}},
		{"empty path, many", nil, 600, []string{"2/90", "2/255", "2/255"}},
		{"empty path, a full segment", nil, 255, []string{"2/255"}},
		{"none", path4(1), 0, []string{"2/1"}},
		{"into the sequence", path4(1, 2), 3, []string{"2/5"}},
		{"one place left", full, 1, []string{"2/255"}},
		{"one place left for three", full, 3, []string{"2/2", "2/255"}},
		{"a set leads", []byte{1, 1, 0, 0, 0, 9}, 2, []string{"2/2", "1/1"}},
		{"a confederation leads", []byte{3, 1, 0, 0, 0, 9}, 1, []string{"2/1", "3/1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e AttrEditor
			e.Start(nil)
			e.Set(AttrASPath, c.path)
			e.Prepend(65001, c.times)
			v, _ := e.Get(AttrASPath)
			var got []string
			for w := WalkASPath(v); w.Next(); {
				got = append(got, fmt.Sprintf("%d/%d", w.Type(), w.Len()))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAttrEditorNextHops(t *testing.T) {
	four, six, local := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")
	var e AttrEditor
	for _, c := range []struct{ global, local netip.Addr }{{four, netip.Addr{}}, {six, netip.Addr{}}, {six, local}} {
		e.Start(mandatory)
		e.SetNextHop(c.global, c.local)
		if g, l := e.NextHop(); g != c.global || l != c.local {
			t.Errorf("got %v %v, want %v %v", g, l, c.global, c.local)
		}
	}
	e.Start(origin)
	if g, l := e.NextHop(); g.IsValid() || l.IsValid() {
		t.Errorf("got %v %v without NEXT_HOP", g, l)
	}
}

func TestAttrEditorStopsAt65535Octets(t *testing.T) {
	var e AttrEditor
	e.Start(nil)
	e.Set(AttrCommunities, make([]byte, 65528))
	e.AddCommunities([]uint32{7})
	if v, _ := e.Get(AttrCommunities); len(v) != 65532 || e.TooLong() {
		t.Fatalf("%d octets, too long: %v", len(v), e.TooLong())
	}
	if e.AddCommunities([]uint32{1 << 30}) || !e.TooLong() {
		t.Error("a community more was added")
	}
	e.Start(nil)
	e.Prepend(1, 16000)
	if e.TooLong() {
		t.Error("16,000 AS numbers are too long")
	}
	e.Prepend(1, 1000)
	if v, _ := e.Get(AttrASPath); ASPathLen(v) != 16000 || !e.TooLong() {
		t.Errorf("%d AS numbers, too long: %v", ASPathLen(v), e.TooLong())
	}
	e.Set(AttrTunnelEncap, make([]byte, 65536))
	if e.Has(AttrTunnelEncap) {
		t.Error("a value of 65,536 octets was set")
	}
	e.Append(nil) // does not panic
}

func TestAttrEditorRefusesWhatIsNeverCanonical(t *testing.T) {
	for _, typ := range []AttrType{AttrMPReach, AttrMPUnreach, AttrAS4Path, AttrAS4Aggregator} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was set", typ)
				}
			}()
			var e AttrEditor
			e.Start(mandatory)
			e.Set(typ, []byte{1})
		}()
	}
}

func TestRemoveNonTransitiveExt(t *testing.T) {
	var e AttrEditor
	e.Start(mandatory)
	e.AddExtCommunities([]uint64{0x0002<<48 | 1, 0x4300<<48 | 2, 0x0003<<48 | 3})
	if !e.RemoveNonTransitiveExt() || e.RemoveNonTransitiveExt() {
		t.Error("it does not tell whether there was one")
	}
	v, _ := e.Get(AttrExtCommunities)
	if want := unhex(t, "0002000000000001 0003000000000003"); !bytes.Equal(v, want) {
		t.Errorf("got %x, want %x", v, want)
	}
}

// TestAttrEditorAllocatesNothing: once its memory has grown.
func TestAttrEditorAllocatesNothing(t *testing.T) {
	set := decodeNaive(mandatory)
	set.set(AttrCommunities, []byte{0, 1, 0, 2, 0, 1, 0, 3})
	b := set.encode()
	all, _ := ParseCommunity("1:*")
	ms := []CommunityMatch{all}
	large := [][12]byte{{1}}
	hop := netip.MustParseAddr("192.0.2.1")
	var e AttrEditor
	out := make([]byte, 0, 4096)
	edit := func() {
		e.Start(b)
		e.Prepend(65001, 3)
		e.ReplaceAS(3356, 1)
		e.RemovePrivateAS()
		e.RemoveConfederation()
		e.RemoveCommunities(ms)
		e.AddCommunities([]uint32{1, 2, 3})
		e.AddLargeCommunities(large)
		e.AddExtCommunities([]uint64{5})
		e.SetUint32(AttrLocalPref, 100)
		e.SetUint32(AttrMED, 5)
		e.SetNextHop(hop, netip.Addr{})
		e.PrependCluster(9)
		e.RemoveNonTransitive(nil)
		e.MarkPartial()
		out = e.Append(out[:0])
	}
	edit()
	if n := testing.AllocsPerRun(100, edit); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAttrEditorExport(b *testing.B) {
	var e AttrEditor
	hop := netip.MustParseAddr("192.0.2.1")
	var out []byte
	for b.Loop() {
		e.Start(mandatory)
		e.Prepend(65001, 1)
		e.SetNextHop(hop, netip.Addr{})
		e.Remove(AttrMED)
		e.Remove(AttrLocalPref)
		out = e.Append(out[:0])
	}
	b.SetBytes(int64(len(out)))
}
