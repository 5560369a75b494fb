package api

import (
	"math"
	"strconv"

	"ribd/wire/flowspec"
)

// flowField is a field of "match": a component, or of a prefix its offset.
type flowField struct {
	name   string
	typ    flowspec.Type
	offset bool
}

// flowFields are the fields of "match" in the order of answers.
var flowFields = [...]flowField{
	{"destination", flowspec.TypeDestination, false},
	{"destination_offset", flowspec.TypeDestination, true},
	{"source", flowspec.TypeSource, false},
	{"source_offset", flowspec.TypeSource, true},
	{"protocol", flowspec.TypeProtocol, false},
	{"port", flowspec.TypePort, false},
	{"destination_port", flowspec.TypeDestinationPort, false},
	{"source_port", flowspec.TypeSourcePort, false},
	{"icmp_type", flowspec.TypeICMPType, false},
	{"icmp_code", flowspec.TypeICMPCode, false},
	{"tcp_flags", flowspec.TypeTCPFlags, false},
	{"packet_length", flowspec.TypePacketLength, false},
	{"dscp", flowspec.TypeDSCP, false},
	{"fragment", flowspec.TypeFragment, false},
	{"flow_label", flowspec.TypeFlowLabel, false},
}

// appendMatch appends the components of a rule as the object "match".
func appendMatch(dst []byte, r *flowspec.Rule) []byte {
	dst = append(dst, '{')
	for i := range flowFields {
		f := &flowFields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, f.name...)
		dst = append(dst, '"', ':')
		c := r.Component(f.typ)
		switch {
		case c == nil || f.offset && c.Offset == 0:
			dst = append(dst, "null"...)
		case f.offset:
			dst = appendUint(dst, c.Offset)
		case f.typ.IsPrefix():
			dst = append(dst, '"')
			dst = append(c.Prefix.AppendTo(dst), '"')
		default:
			dst = append(dst, '"')
			dst = append(c.AppendText(dst, flowspec.Is6(r.Family)), '"')
		}
	}
	return append(dst, '}')
}

// appendActions appends actions as an object.
func appendActions(dst []byte, a *flowspec.Actions) []byte {
	dst = append(dst, `{"rate_limit_bytes":`...)
	dst = appendRate(dst, a.RateBytes)
	dst = append(dst, `,"rate_limit_bytes_asn":`...)
	dst = appendMaybe(dst, uint32(a.RateBytesAS), a.RateBytesAS != 0)
	dst = append(dst, `,"rate_limit_packets":`...)
	dst = appendRate(dst, a.RatePackets)
	dst = append(dst, `,"rate_limit_packets_asn":`...)
	dst = appendMaybe(dst, uint32(a.RatePacketsAS), a.RatePacketsAS != 0)
	dst = append(dst, `,"redirect":`...)
	dst = appendRedirect(dst, a.Redirect)
	dst = append(dst, `,"mark_dscp":`...)
	if a.MarkDSCP != nil {
		dst = appendUint(dst, *a.MarkDSCP)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"sample":`...)
	dst = appendBool(dst, a.Sample)
	dst = append(dst, `,"terminal":`...)
	dst = appendBool(dst, a.Terminal())
	dst = append(dst, `,"unknown":[`...)
	for _, u := range a.Unknown {
		dst = append(openItem(dst), `"0x`...)
		for _, c := range u {
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
		dst = append(dst, '"')
	}
	return append(dst, ']', '}')
}

// appendRate appends a rate of 4 octets with as few digits as name it.
func appendRate(dst []byte, r *float32) []byte {
	if r == nil || math.IsNaN(float64(*r)) || math.IsInf(float64(*r), 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, float64(*r), 'f', -1, 32)
}

func appendRedirect(dst []byte, r *flowspec.Redirect) []byte {
	if r == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, r.Kind.String()...)
	dst = append(dst, `","value":"`...)
	dst = append(dst, r.Value()...)
	dst = append(dst, `","copy":`...)
	return append(appendBool(dst, r.Copy), '}')
}
