package api

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// packetReader reads packets as JSON objects; good ones cost no allocation.
type packetReader struct {
	p    flowspec.Packet // of the last read
	json jsonReader
	// Names whose meaning depends on the family, which a later field may tell.
	icmpType, icmpCode []byte
}

// packetFields are the names of a packet's fields.
var packetFields = []string{
	"src", "dst", "protocol", "src_port", "dst_port", "icmp_type", "icmp_code", "tcp_flags", "length", "dscp", "fragment", "flow_label",
}

// read reads one object. wrong says why it is no packet.
func (r *packetReader) read(b []byte) (wrong string) {
	r.p = flowspec.Packet{Has: flowspec.HasFragment} // no field: no fragment
	r.icmpType, r.icmpCode = r.icmpType[:0], r.icmpCode[:0]
	j := &r.json
	j.reset(b)
	first := true
	for ok := j.open('{', `a packet such as {"dst":"192.0.2.1","protocol":"udp","dst_port":53}`); ok && j.more('}', &first); {
		if wrong = r.field(j.key()); wrong != "" {
			return wrong
		}
	}
	if !j.end() {
		return fmt.Sprintf("octet %d: %s", j.wrongAt, j.wrong)
	}
	return r.finish()
}

// field reads the value of one field. A broken text is no reason here: the
// reader knows of it.
func (r *packetReader) field(name []byte) (wrong string) {
	j, p := &r.json, &r.p
	if j.wrong != "" || j.peek() == 'n' && isPacketField(name) && j.null() {
		return ""
	}
	has := p.Has
	switch string(name) {
	case "src":
		p.Src, wrong = j.packetAddr("src")
	case "dst":
		p.Dst, wrong = j.packetAddr("dst")
	case "protocol":
		p.Protocol, wrong = j.packetProtocol()
		p.Has |= flowspec.HasProtocol
	case "src_port":
		p.SrcPort, wrong = packetNumber[uint16](j, "src_port", 65535)
		p.Has |= flowspec.HasSrcPort
	case "dst_port":
		p.DstPort, wrong = packetNumber[uint16](j, "dst_port", 65535)
		p.Has |= flowspec.HasDstPort
	case "icmp_type":
		if s, ok := j.text(); ok {
			r.icmpType = append(r.icmpType, s...)
			return ""
		}
		p.ICMPType, wrong = packetNumber[uint8](j, "icmp_type", 255)
		p.Has |= flowspec.HasICMPType
	case "icmp_code":
		if s, ok := j.text(); ok {
			r.icmpCode = append(r.icmpCode, s...)
			return ""
		}
		p.ICMPCode, wrong = packetNumber[uint8](j, "icmp_code", 255)
		p.Has |= flowspec.HasICMPCode
	case "tcp_flags":
		p.TCPFlags, wrong = packetBits[uint16](j, "tcp_flags", flowspec.TypeTCPFlags, 1<<12-1)
		p.Has |= flowspec.HasTCPFlags
	case "length":
		p.Length, wrong = packetNumber[uint32](j, "length", 65575)
		p.Has |= flowspec.HasLength
	case "dscp":
		if s, ok := j.text(); ok {
			p.DSCP, wrong = named[uint8](wire.IPv4FlowSpec, "dscp", flowspec.TypeDSCP, s, 63)
		} else {
			p.DSCP, wrong = packetNumber[uint8](j, "dscp", 63)
		}
		p.Has |= flowspec.HasDSCP
	case "fragment":
		p.Fragment, wrong = packetBits[flowspec.FragmentBits](j, "fragment", flowspec.TypeFragment, 15)
	case "flow_label":
		p.FlowLabel, wrong = packetNumber[uint32](j, "flow_label", 1<<20-1)
		p.Has |= flowspec.HasFlowLabel
	default:
		return unknownPacketField(name)
	}
	if j.wrong != "" {
		p.Has = has
		return ""
	}
	return wrong
}

// finish checks what fields say together.
func (r *packetReader) finish() (wrong string) {
	p := &r.p
	src, dst := p.Src.IsValid(), p.Dst.IsValid()
	switch {
	case !src && !dst:
		return "dst is missing: a packet has an address at least, which says of which family it is"
	case src && dst && p.Src.Is4() != p.Dst.Is4():
		return fmt.Sprintf("src %s and dst %s are of two families", p.Src, p.Dst)
	case p.Has&flowspec.HasProtocol == 0 && (p.Has&behindIP != 0 || len(r.icmpType)+len(r.icmpCode) > 0):
		return "protocol is missing: it says whether the packet has ports (tcp, udp), TCP flags or an ICMP type"
	}
	f := packetFamily(p)
	if len(r.icmpType) > 0 {
		if p.ICMPType, wrong = named[uint8](f, "icmp_type", flowspec.TypeICMPType, r.icmpType, 255); wrong != "" {
			return wrong
		}
		p.Has |= flowspec.HasICMPType
	}
	if len(r.icmpCode) > 0 {
		if p.ICMPCode, wrong = named[uint8](f, "icmp_code", flowspec.TypeICMPCode, r.icmpCode, 255); wrong != "" {
			return wrong
		}
		p.Has |= flowspec.HasICMPCode
	}
	if f == wire.IPv4FlowSpec && p.Has&flowspec.HasFlowLabel != 0 {
		return "flow_label is of IPv6 packets alone"
	}
	return ""
}

// behindIP are the fields that the protocol gives a meaning.
const behindIP = flowspec.HasSrcPort | flowspec.HasDstPort | flowspec.HasICMPType | flowspec.HasICMPCode | flowspec.HasTCPFlags

// packetFamily is the family of the rules for a packet without a route
// distinguisher.
func packetFamily(p *flowspec.Packet) wire.Family {
	a := p.Dst
	if !a.IsValid() {
		a = p.Src
	}
	if a.Is4() {
		return wire.IPv4FlowSpec
	}
	return wire.IPv6FlowSpec
}

func isPacketField(name []byte) bool {
	for _, f := range packetFields {
		if string(name) == f {
			return true
		}
	}
	return false
}

func unknownPacketField(name []byte) string {
	best, at := 3, ""
	for _, f := range packetFields {
		if d := editDistance(shown(name), f); d < best {
			best, at = d, f
		}
	}
	if at != "" {
		return fmt.Sprintf("%q is no field of a packet: did you mean %s?", shown(name), at)
	}
	return fmt.Sprintf("%q is no field of a packet: %s", shown(name), strings.Join(packetFields, ", "))
}

// named reads a number in quotes, or a name of a component's values.
func named[T ~uint8 | ~uint16](f wire.Family, field string, t flowspec.Type, text []byte, most uint64) (T, string) {
	v, err := flowspec.ParseValue(flowspec.Is6(f), t, string(text))
	switch {
	case err != nil:
		return 0, field + ": " + err.Error()
	case v > most:
		return 0, fmt.Sprintf("%s: %d is over %d", field, v, most)
	}
	return T(v), ""
}

// packetNumber reads a number, which may stand in quotes.
func packetNumber[T ~uint8 | ~uint16 | ~uint32](j *jsonReader, field string, most uint64) (T, string) {
	n, ok := j.number(most)
	if ok {
		return T(n), ""
	}
	s, ok := j.text()
	if !ok {
		s = j.raw()
	} else if n, ok := decimal(s, most); ok {
		return T(n), ""
	}
	return 0, fmt.Sprintf("%s: %q is no number from 0 to %d", field, shown(s), most)
}

func decimal(s []byte, most uint64) (n uint64, ok bool) {
	for _, c := range s {
		if n = n*10 + uint64(c-'0'); c < '0' || c > '9' || n > most {
			return 0, false
		}
	}
	return n, len(s) > 0
}

func (r *jsonReader) packetAddr(field string) (netip.Addr, string) {
	s, ok := r.text()
	if !ok {
		return netip.Addr{}, fmt.Sprintf("%s: %q is no address in quotes", field, shown(r.raw()))
	}
	a, wrong := parseAddr(s)
	if wrong != "" {
		return a, fmt.Sprintf("%s: %q %s", field, shown(s), wrong)
	}
	return a, ""
}

func (r *jsonReader) packetProtocol() (uint8, string) {
	if r.peek() != '"' {
		return packetNumber[uint8](r, "protocol", 255)
	}
	s, _ := r.text()
	switch string(s) {
	case "tcp":
		return 6, ""
	case "udp":
		return 17, ""
	case "icmp":
		return 1, ""
	}
	return named[uint8](wire.IPv4FlowSpec, "protocol", flowspec.TypeProtocol, s, 255)
}

// packetBits reads a number, a name, names joined by one of | + , & and space,
// or a list of names.
func packetBits[T ~uint8 | ~uint16](j *jsonReader, field string, t flowspec.Type, most uint64) (sum T, wrong string) {
	switch j.peek() {
	case '"':
		s, _ := j.text()
		return namedBits[T](field, t, s, most)
	case '[':
		j.at++
		for first := true; j.more(']', &first); {
			s, ok := j.text()
			if !ok {
				return 0, fmt.Sprintf("%s: %q is no name in quotes", field, shown(j.raw()))
			}
			n, wrong := namedBits[T](field, t, s, most)
			if wrong != "" {
				return 0, wrong
			}
			sum |= n
		}
		return sum, ""
	}
	return packetNumber[T](j, field, most)
}

func namedBits[T ~uint8 | ~uint16](field string, t flowspec.Type, text []byte, most uint64) (sum T, wrong string) {
	for len(text) > 0 {
		word := text
		if i := bytes.IndexAny(text, "|+,& "); i >= 0 {
			word, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		switch {
		case len(word) == 0, t == flowspec.TypeFragment && string(word) == "not-a-fragment":
		case t == flowspec.TypeTCPFlags && string(word) == "syn":
			sum |= 1 << 1
		case t == flowspec.TypeTCPFlags && string(word) == "ack":
			sum |= 1 << 4
		default:
			n, wrong := named[T](wire.IPv4FlowSpec, field, t, word, most)
			if wrong != "" {
				return 0, wrong
			}
			sum |= n
		}
	}
	return sum, ""
}
