package rules

import (
	"math"

	"ribd/wire/flowspec"
)

// Needs of a rule: the fields without which a packet can't match it.
const (
	needSource uint16 = 1 << iota
	needProtocol
	needAnyPort
	needDestinationPort
	needSourcePort
	needICMPType
	needICMPCode
	needTCPFlags
	needLength
	needDSCP
	needFragment
	needFlowLabel
	needNever // no packet has it
)

// head is all of a rule but its destination, in one cache line. A range is its
// lowest number and how many more there are. ICMP type and code share the room
// of source and destination port: no packet has both.
type head struct {
	source     address
	id, ref    uint64
	need       uint16
	protocol   range8
	x          range16 // source port or ICMP type
	y          range16 // destination port or ICMP code
	port       range16 // either port
	length     range16
	flags      mask16
	dscp       range8
	fragment   uint8 // mask<<4 | value
	sourceBits uint8
	more       uint32 // terminalBit, and the place of further conditions; 0: there are none
}

// terminalBit of head.more is set for a rule that ends the evaluation.
const terminalBit = 1 << 31

type range8 struct{ lo, span uint8 }

type range16 struct{ lo, span uint16 }

type mask16 struct{ mask, value uint16 }

var (
	every8  = range8{0, math.MaxUint8}
	every16 = range16{0, math.MaxUint16}
)

func (r range8) has(v uint8) bool { return v-r.lo <= r.span }

func (r range16) has(v uint16) bool { return v-r.lo <= r.span }

// Further conditions of a rule are words: a word with the kind and the number
// of words behind it, those words, and so on; a word 0 ends them.
const (
	moreEnd = iota
	moreSpans
	moreBits
	moreSource
)

// compiler compiles rules. It keeps its memory.
type compiler struct {
	layout
	sets  setBuilder
	extra []uint64
}

// compile compiles a rule. The conditions that do not fit the head are appended to
// extra, whose first word is nobody's.
func (c *compiler) compile(e *entry, extra []uint64) (h head, _ []uint64) {
	h = head{protocol: every8, dscp: every8, x: every16, y: every16, port: every16, length: every16, id: e.value.ID, ref: e.value.Ref}
	c.extra = extra
	for b := c.components(e.nlri()); len(b) > 0; {
		t := flowspec.Type(b[0])
		if t.IsPrefix() {
			p, n := c.prefix(b[1:])
			if t == flowspec.TypeSource {
				c.addSource(&h, p)
			}
			b = b[1+n:]
			continue
		}
		n := 1 + operatorsLen(b[1:])
		if t.IsBitmask() {
			c.addBits(&h, t, b[1:n])
		} else {
			c.addNumbers(&h, t, b[1:n])
		}
		b = b[n:]
	}
	if len(c.extra) > len(extra) {
		h.more = uint32(len(extra))
		c.extra = append(c.extra, moreEnd)
	}
	if e.value.Terminal {
		h.more |= terminalBit
	}
	return h, c.extra
}

func (c *compiler) addSource(h *head, p prefix) {
	h.need |= needSource
	if p.offset == 0 {
		h.source, h.sourceBits = p.first, p.bits
		return
	}
	c.extra = append(c.extra, moreSource<<56|3, uint64(p.offset)<<8|uint64(p.bits), p.first.hi, p.first.lo)
}

// needs of the components that compare numbers or bits, by type.
var needs = [...]uint16{
	flowspec.TypeProtocol: needProtocol, flowspec.TypePort: needAnyPort, flowspec.TypeDestinationPort: needDestinationPort,
	flowspec.TypeSourcePort: needSourcePort, flowspec.TypeICMPType: needICMPType, flowspec.TypeICMPCode: needICMPCode,
	flowspec.TypeTCPFlags: needTCPFlags, flowspec.TypePacketLength: needLength, flowspec.TypeDSCP: needDSCP,
	flowspec.TypeFragment: needFragment, flowspec.TypeFlowLabel: needFlowLabel,
}

// most returns the greatest number that a packet can have in the field of t.
func most(t flowspec.Type) uint64 {
	switch t {
	case flowspec.TypeProtocol, flowspec.TypeICMPType, flowspec.TypeICMPCode:
		return math.MaxUint8
	case flowspec.TypeDSCP:
		return 0x3f
	case flowspec.TypePacketLength:
		return math.MaxUint32
	case flowspec.TypeFlowLabel:
		return 0xfffff
	}
	return math.MaxUint16
}

func (c *compiler) addNumbers(h *head, t flowspec.Type, list []byte) {
	if int(t) >= len(needs) {
		h.need |= needNever
		return
	}
	h.need |= needs[t]
	spans := c.sets.numbers(list, most(t))
	if len(spans) == 0 {
		h.need |= needNever
		return
	}
	lo, hi := spans[0].lo, spans[len(spans)-1].hi
	exact := len(spans) == 1
	switch t {
	case flowspec.TypeProtocol:
		h.protocol = range8{uint8(lo), uint8(hi - lo)}
	case flowspec.TypeDSCP:
		h.dscp = range8{uint8(lo), uint8(hi - lo)}
	case flowspec.TypePort:
		h.port = range16{uint16(lo), uint16(hi - lo)}
	case flowspec.TypeSourcePort, flowspec.TypeICMPType:
		h.x = range16{uint16(lo), uint16(hi - lo)}
	case flowspec.TypeDestinationPort, flowspec.TypeICMPCode:
		h.y = range16{uint16(lo), uint16(hi - lo)}
	case flowspec.TypePacketLength: // the head has 16 bits: 65535 there is that and more
		exact = exact && (hi < math.MaxUint16 || hi == most(t) && lo <= math.MaxUint16)
		lo, hi = min(lo, math.MaxUint16), min(hi, math.MaxUint16)
		h.length = range16{uint16(lo), uint16(hi - lo)}
	case flowspec.TypeFlowLabel:
		exact = false
	}
	if exact {
		return
	}
	c.extra = append(c.extra, moreSpans<<56|uint64(t)<<48|uint64(len(spans)))
	for _, s := range spans {
		c.extra = append(c.extra, s.lo<<32|s.hi)
	}
}

func (c *compiler) addBits(h *head, t flowspec.Type, list []byte) {
	h.need |= needs[t]
	mask, value, exact := maskOf(list)
	if t == flowspec.TypeFragment {
		mask, value = mask&15, value&15
		h.fragment = uint8(mask<<4 | value)
	} else {
		h.flags = mask16{mask, value}
	}
	if exact {
		return
	}
	at := len(c.extra)
	c.extra = append(c.extra, 0)
	for len(list) > 0 {
		var o operator
		o, list = nextOperator(list)
		c.extra = append(c.extra, uint64(o.bits)<<56|o.value&(1<<56-1))
	}
	c.extra[at] = moreBits<<56 | uint64(t)<<48 | uint64(len(c.extra)-at-1)
}
