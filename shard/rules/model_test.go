package rules

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// truth is the obvious table: the rules in the order that flowspec.Compare
// gives, each of which is asked by itself.
type truth struct {
	family wire.Family
	rules  []trueRule
}

type trueRule struct {
	nlri []byte
	rule flowspec.Rule
	v    Value
}

func (t *truth) find(nlri []byte) (int, bool) {
	return slices.BinarySearchFunc(t.rules, nlri, func(r trueRule, n []byte) int { return flowspec.Compare(t.family, r.nlri, n) })
}

func (t *truth) set(tb testing.TB, nlri []byte, v Value) {
	r, err := flowspec.Parse(t.family, nlri)
	if err != nil {
		tb.Fatalf("%x: %v", nlri, err)
	}
	i, found := t.find(nlri)
	if found {
		t.rules[i].v = v
		return
	}
	t.rules = slices.Insert(t.rules, i, trueRule{slices.Clone(nlri), r, v})
}

func (t *truth) delete(nlri []byte) bool {
	i, found := t.find(nlri)
	if found {
		t.rules = slices.Delete(t.rules, i, i+1)
	}
	return found
}

func (t *truth) match(p *flowspec.Packet) (hits []Value, applied int) {
	ended := false
	for i := range t.rules {
		if r := &t.rules[i]; r.v.Active && r.rule.Match(p) {
			hits = append(hits, r.v)
			if !ended {
				applied++
			}
			ended = ended || r.v.Terminal
		}
	}
	return hits, applied
}

func (t *truth) clone() truth { return truth{t.family, slices.Clone(t.rules)} }

// maker makes random rules and packets that often meet.
type maker struct {
	*rand.Rand
	family wire.Family
	nets   []netip.Prefix
	spread int // how many different values fields have
}

func newMaker(f wire.Family, seed uint64, spread int) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, uint64(f))), family: f, spread: spread}
	for range 6 {
		m.nets = append(m.nets, m.prefix(m.anyAddr()))
	}
	return m
}

func (m *maker) anyAddr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], m.Uint64())
	binary.BigEndian.PutUint64(b[8:], m.Uint64())
	if flowspec.Is6(m.family) {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// addr is near one of the nets: its first bits, and few different others.
func (m *maker) addr() netip.Addr {
	p := m.nets[m.IntN(len(m.nets))]
	b := p.Addr().AsSlice()
	for range 2 {
		switch i := m.IntN(len(b)); m.IntN(8) {
		case 0:
			b[i] = byte(m.IntN(256))
		case 1:
			b[i] ^= 1 << m.IntN(8)
		case 2:
			b[len(b)-1] = byte(m.IntN(4))
		case 3:
			for k := range b[i:] {
				b[i+k] = 0xff
			}
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (m *maker) prefix(a netip.Addr) netip.Prefix {
	n := a.BitLen()
	switch m.IntN(4) {
	case 0:
		n = m.IntN(n + 1)
	case 1:
		n -= m.IntN(n/4 + 1)
	}
	return netip.PrefixFrom(a, n).Masked()
}

// word is a value of a field: one of few in its lower octet, and ends.
func (m *maker) word(most uint64) uint64 {
	switch m.IntN(12) {
	case 0:
		return most
	case 1:
		return 0
	case 2:
		return m.Uint64N(most + 1)
	}
	return m.Uint64N(uint64(m.spread)) % (most + 1)
}

var mosts = map[flowspec.Type]uint64{
	flowspec.TypeProtocol: 255, flowspec.TypePort: 65535, flowspec.TypeDestinationPort: 65535, flowspec.TypeSourcePort: 65535,
	flowspec.TypeICMPType: 255, flowspec.TypeICMPCode: 255, flowspec.TypeTCPFlags: 4095, flowspec.TypePacketLength: 70000,
	flowspec.TypeDSCP: 63, flowspec.TypeFragment: 15, flowspec.TypeFlowLabel: 0xfffff,
}

var protocols = []uint64{6, 17, 1, 58, 6, 17}

// nlri makes a rule, whose octets come from an encoder of this test's own.
func (m *maker) nlri(tb testing.TB) []byte {
	v6 := flowspec.Is6(m.family)
	var c []byte
	for t := flowspec.TypeDestination; t <= flowspec.TypeFlowLabel; t++ {
		odds := map[flowspec.Type]int{flowspec.TypeDestination: 80, flowspec.TypeSource: 25, flowspec.TypeProtocol: 50}[t]
		if odds == 0 {
			odds = 12
		}
		if m.IntN(100) >= odds || t == flowspec.TypeFlowLabel && !v6 {
			continue
		}
		c = append(c, byte(t))
		if t.IsPrefix() {
			c = m.appendPrefix(c, v6)
			continue
		}
		n := 1
		for m.IntN(3) == 0 {
			n++
		}
		for i := range n {
			v := m.word(mosts[t])
			if t == flowspec.TypeProtocol && m.IntN(4) != 0 {
				v = protocols[m.IntN(len(protocols))]
			}
			op := byte(m.IntN(8))
			if m.IntN(2) == 0 && !t.IsBitmask() {
				op = 1
			}
			if m.IntN(3) == 0 {
				op |= 0x40
			}
			if i == n-1 {
				op |= 0x80
			}
			switch {
			case v > 0xffff:
				c = binary.BigEndian.AppendUint32(append(c, op|0x20), uint32(v))
			case v > 0xff:
				c = binary.BigEndian.AppendUint16(append(c, op|0x10), uint16(v))
			default:
				c = append(c, op, byte(v))
			}
		}
	}
	if len(c) == 0 {
		return m.nlri(tb)
	}
	if flowspec.IsVPN(m.family) {
		c = append([]byte{0, 0, 0xfd, 0xe8, 0, 0, 0, 1}, c...)
	}
	if len(c) < 240 {
		c = append([]byte{byte(len(c))}, c...)
	} else {
		c = append([]byte{0xf0 | byte(len(c)>>8), byte(len(c))}, c...)
	}
	out, err := flowspec.Canonical(nil, m.family, c)
	if err != nil {
		tb.Fatalf("%x: %v", c, err)
	}
	return out
}

func (m *maker) appendPrefix(c []byte, v6 bool) []byte {
	p := m.prefix(m.addr())
	b := p.Addr().AsSlice()
	if !v6 {
		return append(append(c, byte(p.Bits())), b[:(p.Bits()+7)/8]...)
	}
	offset := 0
	if m.IntN(4) == 0 && p.Bits() > 0 {
		offset = m.IntN(min(p.Bits(), 70))
	}
	c = append(c, byte(p.Bits()), byte(offset))
	var pattern [16]byte
	for i := offset; i < p.Bits(); i++ {
		if b[i/8]&(0x80>>(i%8)) != 0 {
			pattern[(i-offset)/8] |= 0x80 >> ((i - offset) % 8)
		}
	}
	return append(c, pattern[:(p.Bits()-offset+7)/8]...)
}

// packet makes a packet, of which some fields may not be known.
func (m *maker) packet() (p flowspec.Packet) {
	p.Src, p.Dst = m.addr(), m.addr()
	p.Protocol = uint8(protocols[m.IntN(len(protocols))])
	if m.IntN(6) == 0 {
		p.Protocol = uint8(m.word(255))
	}
	p.SrcPort, p.DstPort = uint16(m.word(65535)), uint16(m.word(65535))
	p.ICMPType, p.ICMPCode = uint8(m.word(255)), uint8(m.word(255))
	p.TCPFlags, p.Length, p.DSCP = uint16(m.word(4095)), uint32(m.word(70000)), uint8(m.word(63))
	p.FlowLabel = uint32(m.word(0xfffff))
	if m.IntN(4) == 0 {
		p.Fragment = flowspec.FragmentBits(m.IntN(16))
	}
	p.Has = flowspec.HasAll
	if m.IntN(4) == 0 {
		p.Has = flowspec.Fields(m.Uint32()) & flowspec.HasAll
	}
	switch m.IntN(40) {
	case 0:
		p.Dst = netip.Addr{}
	case 1:
		p.Src = netip.Addr{}
	case 2:
		p.Src, p.Dst = netip.Addr{}, netip.Addr{}
	case 3:
		p.Dst = netip.MustParseAddr("::ffff:192.0.2.1")
	case 4:
		p.Src = netip.MustParseAddr("192.0.2.1")
	}
	return p
}

// families are the four.
var families = []wire.Family{wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpecVPN}

// wait returns when nothing is compiled beside the table any more.
func (t *Table) wait() {
	for {
		t.mu.Lock()
		done := !t.overlay.compiling
		t.mu.Unlock()
		if done {
			return
		}
		runtime.Gosched()
	}
}

// same fails where the rules answer otherwise than the truth.
func same(t *testing.T, r *Rules, want *truth, p *flowspec.Packet, m *Matches) {
	t.Helper()
	hits, applied := want.match(p)
	r.Match(p, m)
	if !slices.Equal(m.Hits, hits) || m.Applied != applied {
		t.Fatalf("packet %+v: got %v, %d apply; want %v, %d", *p, m.Hits, m.Applied, hits, applied)
	}
}

// TestTableIsTheNaiveOne changes tables at random, and holds each snapshot
// against the naive one as it was, then and later.
func TestTableIsTheNaiveOne(t *testing.T) {
	steps := 250
	if testing.Short() {
		steps = 60
	}
	for _, f := range families {
		for _, spread := range []int{4, 200} {
			t.Run(f.String(), func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d, spread %d", seed, spread)
				m := newMaker(f, seed, spread)
				type held struct {
					r    *Rules
					want truth
				}
				var snapshots []held
				tbl, want := NewTable(f), truth{family: f}
				var known [][]byte
				var id uint64
				var matches Matches
				hits := 0
				for step := range steps {
					n := 1
					switch m.IntN(20) {
					case 0:
						n = 300
					case 1, 2, 3:
						n = 40
					}
					for range n {
						if len(known) > 0 && m.IntN(3) == 0 {
							nlri := known[m.IntN(len(known))]
							if got, want := tbl.Delete(nlri), want.delete(nlri); got != want {
								t.Fatalf("delete %x: got %v, want %v", nlri, got, want)
							}
							continue
						}
						nlri := m.nlri(t)
						if len(known) > 0 && m.IntN(5) == 0 {
							nlri = known[m.IntN(len(known))]
						}
						known = append(known, nlri)
						id++
						v := Value{ID: id, Ref: m.Uint64(), Active: m.IntN(10) != 0, Terminal: m.IntN(3) != 0}
						tbl.Set(nlri, v)
						want.set(t, nlri, v)
					}
					if step%100 == 99 { // begin again with few
						for _, nlri := range known[:len(known)*9/10] {
							tbl.Delete(nlri)
							want.delete(nlri)
						}
						known = known[len(known)*9/10:]
					}
					r := tbl.Publish()
					for range 10 {
						p := m.packet()
						same(t, r, &want, &p, &matches)
						hits += len(matches.Hits)
					}
					if m.IntN(4) == 0 {
						tbl.wait()
						p := m.packet()
						same(t, r, &want, &p, &matches)
					}
					if m.IntN(20) == 0 && len(snapshots) < 20 {
						snapshots = append(snapshots, held{r, want.clone()})
					}
				}
				t.Logf("%d hits of %d packets", hits, steps*10)
				if hits < steps { // a seed of wide rules has ten times as many as one of narrow ones
					t.Errorf("%d hits are too few to show anything", hits)
				}
				for _, s := range snapshots {
					for range 20 {
						p := m.packet()
						same(t, s.r, &s.want, &p, &matches)
					}
					sameOrder(t, s.r, &s.want)
				}
			})
		}
	}
}

func sameOrder(t *testing.T, r *Rules, want *truth) {
	t.Helper()
	if r.Len() != len(want.rules) {
		t.Fatalf("%d rules, want %d", r.Len(), len(want.rules))
	}
	i := 0
	r.Walk(nil, func(nlri []byte, v Value, order int) bool {
		w := want.rules[i]
		if string(nlri) != string(w.nlri) || v != w.v || order != i+1 {
			t.Fatalf("place %d: got %x %v, order %d; want %x %v", i, nlri, v, order, w.nlri, w.v)
		}
		i++
		return true
	})
	if i != len(want.rules) {
		t.Fatalf("walked %d of %d", i, len(want.rules))
	}
}
