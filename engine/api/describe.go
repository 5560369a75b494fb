package api

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"ribd/engine/api/apiv1"
	"ribd/wire"
)

// maxDescribed bounds the lines of a description.
const maxDescribed = 64

// describeMessage says in lines what a BGP message holds, given as hex with its
// header. It is asked about messages that are malformed, so it goes on as far as
// it can and says where it can't.
func describeMessage(text string) []string {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) < 19 {
		return []string{}
	}
	length := int(binary.BigEndian.Uint16(b[16:]))
	out := []string{fmt.Sprintf("%s, %d octets", messageName(b[18]), length)}
	if len(b) < length {
		out[0] += fmt.Sprintf(", the first %d of them kept", len(b))
	}
	if b[18] != 2 {
		return out
	}
	return describeUpdate(out, b[19:min(len(b), max(length, 19))])
}

func messageName(t byte) string {
	switch t {
	case 1:
		return "OPEN"
	case 2:
		return "UPDATE"
	case 3:
		return "NOTIFICATION"
	case 4:
		return "KEEPALIVE"
	case 5:
		return "ROUTE-REFRESH"
	}
	return fmt.Sprintf("message of type %d", t)
}

// describeUpdate walks the three parts of an UPDATE (RFC 4271 4.3) by their own
// lengths.
func describeUpdate(out []string, b []byte) []string {
	if len(b) < 2 {
		return append(out, "cut off before the withdrawn routes' length")
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	line := fmt.Sprintf("withdrawn routes: %d octets", n)
	if n+2 > len(b) {
		return append(out, line+fmt.Sprintf(", which run over the end: %d are left", len(b)))
	}
	if n > 0 {
		line += ": " + shortHex(b[:n])
	}
	out = append(out, line)
	b = b[n:]
	n = int(binary.BigEndian.Uint16(b))
	b = b[2:]
	out = append(out, fmt.Sprintf("path attributes: %d octets", n))
	attrs := b
	over := n > len(b)
	if !over {
		attrs = b[:n]
	}
	out = describeAttrs(out, attrs)
	if over {
		return append(out, fmt.Sprintf("… which run over the end: %d are left", len(b)))
	}
	line = fmt.Sprintf("NLRI: %d octets", len(b)-n)
	if len(b) > n {
		line += ": " + shortHex(b[n:])
	}
	return append(out, line)
}

func describeAttrs(out []string, b []byte) []string {
	for len(b) > 0 && len(out) < maxDescribed {
		head, n := 3, 0
		if b[0]&0x10 != 0 {
			head = 4
		}
		if len(b) < head {
			return append(out, fmt.Sprintf("  cut off in an attribute's head: %x", b))
		}
		if n = int(b[2]); head == 4 {
			n = int(binary.BigEndian.Uint16(b[2:]))
		}
		line := fmt.Sprintf("  %s (%d) flags %s, %d octets", wire.AttrType(b[1]), b[1], attrFlags(b[0]), n)
		if head+n > len(b) {
			return append(out, line+fmt.Sprintf(": runs over the end, %d are left: %s", len(b)-head, shortHex(b[head:])))
		}
		v := b[head : head+n]
		if t := attrText(wire.AttrType(b[1]), v); t != "" {
			line += ": " + t
		} else if n > 0 {
			line += ": " + shortHex(v)
		}
		out = append(out, line)
		b = b[head+n:]
	}
	return out
}

func attrFlags(f byte) string {
	names := []string{"well-known", "non-transitive"}
	if f&0x80 != 0 {
		names[0] = "optional"
	}
	if f&0x40 != 0 {
		names[1] = "transitive"
	}
	if f&0x20 != 0 {
		names = append(names, "partial")
	}
	if f&0x10 != 0 {
		names = append(names, "extended-length")
	}
	if f&0x0f != 0 {
		names = append(names, fmt.Sprintf("unused 0x%x", f&0x0f))
	}
	return strings.Join(names, "+")
}

// attrText says what a value says, where its form is right.
func attrText(t wire.AttrType, v []byte) string {
	switch {
	case t == wire.AttrOrigin && len(v) == 1 && v[0] <= 2:
		return string(wire.AppendOrigin(nil, v[0]))
	case t == wire.AttrASPath && wholeASPath(v):
		return string(wire.AppendASPath(nil, v))
	case t == wire.AttrNextHop && len(v) == 4:
		return string(wire.AppendIPv4(nil, binary.BigEndian.Uint32(v)))
	case (t == wire.AttrMED || t == wire.AttrLocalPref) && len(v) == 4:
		return fmt.Sprint(binary.BigEndian.Uint32(v))
	case t == wire.AttrCommunities && len(v)%4 == 0 && len(v) <= 64:
		var s []string
		for ; len(v) > 0; v = v[4:] {
			s = append(s, string(wire.AppendCommunity(nil, binary.BigEndian.Uint32(v))))
		}
		return strings.Join(s, " ")
	case (t == wire.AttrMPReach || t == wire.AttrMPUnreach) && len(v) >= 3:
		f := wire.MakeFamily(binary.BigEndian.Uint16(v), v[2])
		return f.String() + ": " + shortHex(v[3:])
	}
	return ""
}

// wholeASPath says whether v is segments of 4-octet AS numbers.
func wholeASPath(v []byte) bool {
	for len(v) > 0 {
		if len(v) < 2 || v[0] < 1 || v[0] > 4 || v[1] == 0 || len(v) < 2+4*int(v[1]) {
			return false
		}
		v = v[2+4*int(v[1]):]
	}
	return true
}

func shortHex(b []byte) string {
	if len(b) > 32 {
		return hex.EncodeToString(b[:32]) + fmt.Sprintf("… %d more", len(b)-32)
	}
	return hex.EncodeToString(b)
}

// decodedNotification adds what the data of a NOTIFICATION say.
func decodedNotification(n *apiv1.Notification) *apiv1.Notification {
	if n == nil || n.Decoded != nil {
		return n
	}
	data, err := hex.DecodeString(n.Data)
	if err != nil || len(data) == 0 {
		return n
	}
	out := *n
	out.Decoded = text(notificationText(n.Code, n.Subcode, data))
	return &out
}

// notificationText says what the data of a NOTIFICATION say, "" where the
// message is all of it, or they follow no form.
func notificationText(code, subcode uint8, data []byte) string {
	const cease, maxPrefixes, hardReset = 6, 1, 9
	switch {
	case code == wire.CodeHeader && subcode == wire.SubBadLength && len(data) == 2:
		return fmt.Sprintf("length %d", binary.BigEndian.Uint16(data))
	case code == wire.CodeHeader && subcode == wire.SubBadType && len(data) == 1:
		return messageName(data[0])
	case code == wire.CodeOpen && subcode == wire.SubUnsupportedVersion && len(data) == 2:
		return fmt.Sprintf("version %d is the one that it speaks", binary.BigEndian.Uint16(data))
	case code == wire.CodeOpen && subcode == 7:
		return capabilityNames(data)
	case code == wire.CodeUpdate && subcode == wire.SubMissingWellKnown && len(data) == 1:
		return wire.AttrType(data[0]).String() + " is missing"
	case code == wire.CodeUpdate && (subcode == wire.SubMissingWellKnown || subcode == wire.SubInvalidNetwork || subcode == wire.SubMalformedAttributes):
		return "" // what is there is no attribute
	case code == wire.CodeUpdate:
		return strings.Join(trimmed(describeAttrs(nil, data)), "; ")
	case code == cease && subcode == maxPrefixes && len(data) >= 7:
		f := wire.MakeFamily(binary.BigEndian.Uint16(data), data[2])
		return fmt.Sprintf("%s: limit %d", f, binary.BigEndian.Uint32(data[3:]))
	case code == cease && subcode == hardReset && len(data) >= 2:
		inner := notificationText(data[0], data[1], data[2:])
		s := fmt.Sprintf("code %d, subcode %d", data[0], data[1])
		if inner != "" {
			s += ": " + inner
		}
		return s
	}
	return ""
}

// capabilityNames lists the capabilities that were missed (RFC 5492 section 5).
func capabilityNames(b []byte) string {
	var names []string
	for len(b) >= 2 {
		n := int(b[1])
		if 2+n > len(b) {
			break
		}
		name := fmt.Sprintf("%s (%d)", wire.CapabilityCode(b[0]), b[0])
		if wire.CapabilityCode(b[0]) == wire.CapMultiprotocol && n == 4 {
			name += " " + wire.MakeFamily(binary.BigEndian.Uint16(b[2:]), b[5]).String()
		} else if n > 0 {
			name += " " + shortHex(b[2:2+n])
		}
		names = append(names, name)
		b = b[2+n:]
	}
	return strings.Join(names, ", ")
}

func trimmed(list []string) []string {
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
