package policy

import (
	"net/netip"
	"strconv"

	"ribd/engine/config"
	"ribd/shard/rib"
)

// PeerFacts is what conditions know of a peer. It does not change once it was
// handed over: for other facts there is another one.
type PeerFacts struct {
	ID          string // of the API
	Name        string
	Address     netip.Addr
	Group       string
	Description string
	ASN         uint32
	RouterID    netip.Addr
	Internal    bool // an iBGP session
	// Role is ours towards the peer (RFC 9234), RoleNone where none was
	// agreed on. In conditions peer.role is the peer's.
	Role                 config.SessionRole
	RouteServerClient    bool
	RouteReflectorClient bool
	Source               rib.Source
}

// nobody stands for a peer of which nothing is known.
var nobody = &PeerFacts{}

// theirRole is the role of the other end.
func theirRole(ours config.SessionRole) config.SessionRole {
	switch ours {
	case config.RoleProvider:
		return config.RoleCustomer
	case config.RoleCustomer:
		return config.RoleProvider
	case config.RoleRS:
		return config.RoleRSClient
	case config.RoleRSClient:
		return config.RoleRS
	}
	return ours
}

// text is a field that is text.
func (p *PeerFacts) text(f peerField) string {
	switch f {
	case fieldName:
		return p.Name
	case fieldAddress:
		return addrText(p.Address)
	case fieldGroup:
		return p.Group
	case fieldDescription:
		return p.Description
	case fieldType:
		if p.Internal {
			return "internal"
		}
		return "external"
	case fieldRole:
		if p.Role == config.RoleNone {
			return ""
		}
		return theirRole(p.Role).String()
	case fieldRouterID:
		return addrText(p.RouterID)
	}
	panic("BUG: policy: field " + strconv.Itoa(int(f)) + " is no text")
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.WithZone("").String()
}

// flag is a field that is true or false.
func (p *PeerFacts) flag(f peerField) bool {
	if f == fieldRouteServerClient {
		return p.RouteServerClient
	}
	return p.RouteReflectorClient
}

// fieldSource is the bit of the variable source among the fields of from.
const fieldSource = 15

// appendFields appends the fields in a set of bits, so that equal octets mean
// equal fields.
func (p *PeerFacts) appendFields(dst []byte, fields uint16) []byte {
	for f := range numFields {
		if fields>>f&1 == 0 {
			continue
		}
		dst = append(dst, byte(f))
		switch f {
		case fieldASN:
			dst = strconv.AppendUint(dst, uint64(p.ASN), 10)
		case fieldRouteServerClient, fieldRouteReflectorClient:
			dst = strconv.AppendBool(dst, p.flag(f))
		default:
			dst = strconv.AppendQuote(dst, p.text(f))
		}
		dst = append(dst, ';')
	}
	if fields>>fieldSource&1 != 0 {
		dst = append(dst, fieldSource, byte(p.Source))
	}
	return dst
}
