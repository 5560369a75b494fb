package api

import (
	"encoding/binary"
	"math"

	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/wire/flowspec"
)

// effect is what rules that apply together do, as answers say it.
type effect struct {
	text []byte // as JSON
	flags,
	dscp uint8
	bytes, packets float32
}

// The flags of a packed answer: which actions there are.
const (
	packedRateBytes = 1 << iota
	packedRatePackets
	packedRedirect
	packedMark
	packedSample
	packedTerminal
	packedUnknown
	packedDiscard
)

// effects keeps what was put together, by the attribute sets of the rules that
// apply, in order. Ids of sets rest for 10 minutes after their end, so what is
// younger than a minute can't be of another set.
type effects struct {
	attrs *rib.Attrs
	kept  map[string]*effect
	key   []byte
	since uint32 // seconds since 1970
}

const (
	maxEffects = 8192
	effectAge  = 60 // seconds
)

func (e *effects) begin(attrs *rib.Attrs, now uint32) {
	e.attrs = attrs
	if e.kept == nil || now-e.since > effectAge || len(e.kept) >= maxEffects {
		e.kept, e.since = map[string]*effect{}, now
	}
}

// of answers the effect of rules in order; there is one at least.
func (e *effects) of(applied []rules.Value) *effect {
	e.key = e.key[:0]
	for i := range applied {
		e.key = binary.LittleEndian.AppendUint32(e.key, uint32(applied[i].Ref))
	}
	if x := e.kept[string(e.key)]; x != nil {
		return x
	}
	var sum flowspec.Actions
	for i := range applied {
		canonical, _ := e.attrs.Bytes(rib.AttrID(applied[i].Ref))
		a := flowspec.ActionsOf(canonical)
		if i == 0 {
			sum = a
		} else {
			sum.Merge(&a)
		}
	}
	x := newEffect(&sum)
	if len(e.kept) < maxEffects {
		e.kept[string(e.key)] = x
	}
	return x
}

func newEffect(a *flowspec.Actions) *effect {
	x := &effect{text: appendActions(nil, a)}
	set := func(bit uint8, on bool) {
		if on {
			x.flags |= bit
		}
	}
	if a.RateBytes != nil {
		x.bytes = *a.RateBytes
	}
	if a.RatePackets != nil {
		x.packets = *a.RatePackets
	}
	if a.MarkDSCP != nil {
		x.dscp = *a.MarkDSCP
	}
	set(packedRateBytes, a.RateBytes != nil)
	set(packedRatePackets, a.RatePackets != nil)
	set(packedRedirect, a.Redirect != nil)
	set(packedMark, a.MarkDSCP != nil)
	set(packedSample, a.Sample)
	set(packedTerminal, a.Terminal())
	set(packedUnknown, len(a.Unknown) > 0)
	set(packedDiscard, a.RateBytes != nil && *a.RateBytes == 0 || a.RatePackets != nil && *a.RatePackets == 0)
	return x
}

// verdictSize is the length of a packed answer: see putVerdict.
const verdictSize = 24

// putVerdict writes the packed answer to one packet, little-endian: u64 id of
// the rule that decides (0: none matches) · f32 rate_limit_bytes · f32
// rate_limit_packets · u16 rules that match · u16 of those shadowed · u8 flags ·
// u8 mark_dscp · u16 0.
func putVerdict(b []byte, m *rules.Matches, e *effects) {
	_ = b[:verdictSize]
	if m.Applied == 0 {
		clear(b[:verdictSize])
		return
	}
	x := e.of(m.Hits[:m.Applied])
	binary.LittleEndian.PutUint64(b, m.Hits[m.Applied-1].ID)
	binary.LittleEndian.PutUint32(b[8:], math.Float32bits(x.bytes))
	binary.LittleEndian.PutUint32(b[12:], math.Float32bits(x.packets))
	binary.LittleEndian.PutUint16(b[16:], uint16(min(len(m.Hits), math.MaxUint16)))
	binary.LittleEndian.PutUint16(b[18:], uint16(min(len(m.Hits)-m.Applied, math.MaxUint16)))
	b[20], b[21], b[22], b[23] = x.flags, x.dscp, 0, 0
}

// appendVerdict appends the answer to one packet as a JSON object.
func appendVerdict(dst []byte, m *rules.Matches, e *effects) []byte {
	if len(m.Hits) == 0 {
		return append(dst, `{"rules":[],"action":null,"decided_by":null,"shadowed":[]}`...)
	}
	dst = append(dst, `{"rules":`...)
	dst = appendRuleIDs(dst, m.Hits)
	dst = append(dst, `,"action":`...)
	dst = append(dst, e.of(m.Hits[:m.Applied]).text...)
	dst = append(dst, `,"decided_by":`...)
	dst = appendRuleID(dst, m.Hits[m.Applied-1].ID)
	dst = append(dst, `,"shadowed":`...)
	return append(appendRuleIDs(dst, m.Hits[m.Applied:]), '}')
}

func appendRuleIDs(dst []byte, list []rules.Value) []byte {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRuleID(dst, list[i].ID)
	}
	return append(dst, ']')
}

// appendRuleID appends an id as 16 hex digits in quotes.
func appendRuleID(dst []byte, id uint64) []byte {
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[id>>shift&15])
	}
	return append(dst, '"')
}
