package wire

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// CapabilityCode is a code of the IANA registry of capabilities.
type CapabilityCode uint8

// The capabilities that ribd knows.
const (
	CapMultiprotocol   CapabilityCode = 1  // RFC 4760
	CapRouteRefresh    CapabilityCode = 2  // RFC 2918
	CapORF             CapabilityCode = 3  // RFC 5291
	CapExtendedNextHop CapabilityCode = 5  // RFC 8950
	CapExtendedMessage CapabilityCode = 6  // RFC 8654
	CapBGPsec          CapabilityCode = 7  // RFC 8205
	CapMultipleLabels  CapabilityCode = 8  // RFC 8277
	CapRole            CapabilityCode = 9  // RFC 9234
	CapGracefulRestart CapabilityCode = 64 // RFC 4724
	CapAS4             CapabilityCode = 65 // RFC 6793
	CapAddPath         CapabilityCode = 69 // RFC 7911
	CapEnhancedRefresh CapabilityCode = 70 // RFC 7313
	CapLLGR            CapabilityCode = 71 // RFC 9494
	CapHostname        CapabilityCode = 73
	CapSoftwareVersion CapabilityCode = 75
	CapPathsLimit      CapabilityCode = 76
)

// capabilityNames has the names of the IANA registry of capability codes.
var capabilityNames = [256]string{
	CapMultiprotocol:   "multiprotocol",
	CapRouteRefresh:    "route-refresh",
	CapORF:             "outbound-route-filtering",
	4:                  "multiple-routes", // deprecated by RFC 8277
	CapExtendedNextHop: "extended-next-hop",
	CapExtendedMessage: "extended-message",
	CapBGPsec:          "bgpsec",
	CapMultipleLabels:  "multiple-labels",
	CapRole:            "role",
	CapGracefulRestart: "graceful-restart",
	CapAS4:             "4-octet-as",
	67:                 "dynamic-capability",
	68:                 "multisession",
	CapAddPath:         "add-path",
	CapEnhancedRefresh: "enhanced-route-refresh",
	CapLLGR:            "long-lived-graceful-restart",
	72:                 "routing-policy-distribution",
	CapHostname:        "hostname",
	74:                 "bfd",
	CapSoftwareVersion: "software-version",
	CapPathsLimit:      "paths-limit",
	128:                "route-refresh-prestandard", // 128 to 131, 184, 185: RFC 8810
	129:                "outbound-route-filtering-prestandard",
	130:                "outbound-route-filtering-prestandard",
	131:                "multisession-prestandard",
	184:                "hostname-prestandard",
	185:                "operational-message-prestandard",
}

// String returns the capability's name in the API, "unknown" for others.
func (c CapabilityCode) String() string {
	if n := capabilityNames[c]; n != "" {
		return n
	}
	return "unknown"
}

// Role is a speaker's part in the relation of two ASes (RFC 9234 section 4.1).
type Role uint8

// The roles.
const (
	RoleProvider Role = 0
	RoleRS       Role = 1
	RoleRSClient Role = 2
	RoleCustomer Role = 3
	RolePeer     Role = 4
)

// String returns the role as the configuration file writes it.
func (r Role) String() string {
	switch r {
	case RoleProvider:
		return "provider"
	case RoleRS:
		return "rs"
	case RoleRSClient:
		return "rs-client"
	case RoleCustomer:
		return "customer"
	case RolePeer:
		return "peer"
	}
	return "role-" + strconv.Itoa(int(r))
}

// Fits is true where the two ends of a session may have the roles r and other
// (RFC 9234 section 4.2).
func (r Role) Fits(other Role) bool {
	switch r {
	case RoleProvider:
		return other == RoleCustomer
	case RoleCustomer:
		return other == RoleProvider
	case RoleRS:
		return other == RoleRSClient
	case RoleRSClient:
		return other == RoleRS
	case RolePeer:
		return other == RolePeer
	}
	return false
}

// GracefulRestart is what the graceful restart capability says (RFC 4724
// section 3, RFC 8538 section 2).
type GracefulRestart struct {
	Restarting   bool   // R: the speaker has restarted
	Notification bool   // N: NOTIFICATIONs but for a Hard Reset keep the routes
	Time         uint16 // seconds until the speaker is back, at most 4095
	Families     []GracefulFamily
}

// GracefulFamily is a family of the graceful restart capability.
type GracefulFamily struct {
	Family     Family
	Forwarding bool // F: the forwarding state was kept over the restart
}

// LLGRFamily is a family of the long-lived graceful restart capability (RFC
// 9494 section 3.1).
type LLGRFamily struct {
	Family     Family
	Forwarding bool   // F: the forwarding state was kept over the restart
	StaleTime  uint32 // seconds, at most 1<<24 - 1
}

// The longest times that the two capabilities can name.
const (
	MaxRestartTime = 4095
	MaxStaleTime   = 1<<24 - 1
)

// MultiprotocolCapability announces a family.
func MultiprotocolCapability(f Family) Capability {
	return Capability{CapMultiprotocol, []byte{byte(f >> 16), byte(f >> 8), 0, byte(f)}}
}

// RouteRefreshCapability announces RFC 2918.
func RouteRefreshCapability() Capability { return Capability{Code: CapRouteRefresh} }

// EnhancedRefreshCapability announces RFC 7313.
func EnhancedRefreshCapability() Capability { return Capability{Code: CapEnhancedRefresh} }

// ExtendedMessageCapability announces RFC 8654.
func ExtendedMessageCapability() Capability { return Capability{Code: CapExtendedMessage} }

// ExtendedNextHopCapability announces that routes of the families given, all
// of IPv4, may have IPv6 next hops (RFC 8950 section 4).
func ExtendedNextHopCapability(fs FamilySet) Capability {
	var v []byte
	for _, f := range fs.Families() {
		v = append(v, byte(f>>16), byte(f>>8), 0, byte(f), 0, afiIPv6)
	}
	return Capability{CapExtendedNextHop, v}
}

// RoleCapability announces the speaker's own role.
func RoleCapability(r Role) Capability { return Capability{CapRole, []byte{byte(r)}} }

// GracefulRestartCapability announces graceful restart. A time over
// MaxRestartTime is written as that.
func GracefulRestartCapability(g GracefulRestart) Capability {
	n := min(g.Time, MaxRestartTime)
	if g.Restarting {
		n |= 0x8000
	}
	if g.Notification {
		n |= 0x4000
	}
	v := binary.BigEndian.AppendUint16(nil, n)
	for _, f := range g.Families {
		v = append(appendFamily(v, f.Family), forwarding(f.Forwarding))
	}
	return Capability{CapGracefulRestart, v}
}

// LLGRCapability announces long-lived graceful restart. It goes along with
// GracefulRestartCapability. A time over MaxStaleTime is written as that.
func LLGRCapability(fs []LLGRFamily) Capability {
	var v []byte
	for _, f := range fs {
		n := min(f.StaleTime, MaxStaleTime)
		v = append(appendFamily(v, f.Family), forwarding(f.Forwarding), byte(n>>16), byte(n>>8), byte(n))
	}
	return Capability{CapLLGR, v}
}

func forwarding(f bool) byte {
	if f {
		return 0x80
	}
	return 0
}

// AS4Capability announces 4-octet AS numbers, and the speaker's own.
func AS4Capability(as uint32) Capability {
	return Capability{CapAS4, binary.BigEndian.AppendUint32(nil, as)}
}

// AddPathCapability announces Add-Path for families that are received, sent or
// both, in the order of receive and then of send.
func AddPathCapability(receive, send FamilySet) Capability {
	fs := receive.Families()
	for _, f := range send.Families() {
		if !slices.Contains(fs, f) {
			fs = append(fs, f)
		}
	}
	var v []byte
	for _, f := range fs {
		mode := byte(0)
		if receive.Has(f) {
			mode |= 1
		}
		if send.Has(f) {
			mode |= 2
		}
		v = append(appendFamily(v, f), mode)
	}
	return Capability{CapAddPath, v}
}

// HostnameCapability announces the speaker's host and domain name, each cut at
// 64 octets (draft-walton-bgp-hostname-capability).
func HostnameCapability(host, domain string) Capability {
	host, domain = cutText(host, 64), cutText(domain, 64)
	v := append([]byte{byte(len(host))}, host...)
	v = append(append(v, byte(len(domain))), domain...)
	return Capability{CapHostname, v}
}

// last returns the value of the last capability of a code. It is the one that
// counts where several say different things, unless the capability's RFC has
// another rule (RFC 5492 section 4, RFC 4724 section 3, RFC 9494 section 3.1).
func (o *Open) last(code CapabilityCode) ([]byte, bool) {
	for i := len(o.Capabilities) - 1; i >= 0; i-- {
		if o.Capabilities[i].Code == code {
			return o.Capabilities[i].Value, true
		}
	}
	return nil, false
}

// Families returns the families that the multiprotocol capabilities name; IPv4
// unicast where there is none (RFC 4760 section 8).
func (o *Open) Families() FamilySet {
	var s FamilySet
	for _, c := range o.Capabilities {
		if c.Code == CapMultiprotocol && len(c.Value) == 4 {
			s = s.With(MakeFamily(binary.BigEndian.Uint16(c.Value), c.Value[3]))
		}
	}
	if s.Empty() {
		return NewFamilySet(IPv4Unicast)
	}
	return s
}

// AddPath returns the families that the speaker wants to receive and to send
// with path ids (RFC 7911 section 4): entries with another mode do not count,
// and of several for a family the first does.
func (o *Open) AddPath() (receive, send FamilySet) {
	var seen FamilySet
	for _, c := range o.Capabilities {
		if c.Code != CapAddPath {
			continue
		}
		for v := c.Value; len(v) >= 4; v = v[4:] {
			f, mode := family3(v), v[3]
			if mode == 0 || mode > 3 || seen.Has(f) {
				continue
			}
			seen = seen.With(f)
			if mode&1 != 0 {
				receive = receive.With(f)
			}
			if mode&2 != 0 {
				send = send.With(f)
			}
		}
	}
	return receive, send
}

// AS4 returns the AS number of the 4-octet AS capability, and whether it is
// there and sound.
func (o *Open) AS4() (uint32, bool) {
	v, ok := o.last(CapAS4)
	if !ok || len(v) != 4 {
		return 0, false
	}
	return be32(v), true
}

// GracefulRestart returns what the last graceful restart capability says, and
// whether there is one; a last family that is cut off does not count.
func (o *Open) GracefulRestart() (GracefulRestart, bool) {
	var g GracefulRestart
	v, ok := o.last(CapGracefulRestart)
	if !ok || len(v) < 2 {
		return g, false
	}
	n := binary.BigEndian.Uint16(v)
	g.Restarting, g.Notification, g.Time = n&0x8000 != 0, n&0x4000 != 0, n&MaxRestartTime
	for v = v[2:]; len(v) >= 4; v = v[4:] {
		g.Families = append(g.Families, GracefulFamily{family3(v), v[3]&0x80 != 0})
	}
	return g, true
}

// LLGR returns what the last long-lived graceful restart capability says. It
// means nothing without one of graceful restart (RFC 9494 section 3.1).
func (o *Open) LLGR() []LLGRFamily {
	v, _ := o.last(CapLLGR)
	var fs []LLGRFamily
	for ; len(v) >= 7; v = v[7:] {
		fs = append(fs, LLGRFamily{family3(v), v[3]&0x80 != 0, uint32(v[4])<<16 | uint32(v[5])<<8 | uint32(v[6])})
	}
	return fs
}

// Role returns the speaker's role. It is false where there is none, and where
// several capabilities differ: RolesDiffer tells the two apart.
func (o *Open) Role() (Role, bool) {
	v, ok := o.last(CapRole)
	if !ok || len(v) != 1 || o.RolesDiffer() {
		return 0, false
	}
	return Role(v[0]), true
}

// RolesDiffer is true where there is more than one role capability, and they
// say different things: a role mismatch (RFC 9234 section 4.2).
func (o *Open) RolesDiffer() bool {
	v, ok := o.last(CapRole)
	return ok && slices.ContainsFunc(o.Capabilities, func(c Capability) bool {
		return c.Code == CapRole && string(c.Value) != string(v)
	})
}

// ExtendedNextHop returns the families whose routes may have IPv6 next hops
// (RFC 8950 section 4).
func (o *Open) ExtendedNextHop() FamilySet {
	var s FamilySet
	for _, c := range o.Capabilities {
		if c.Code != CapExtendedNextHop {
			continue
		}
		for v := c.Value; len(v) >= 6; v = v[6:] {
			safi := binary.BigEndian.Uint16(v[2:])
			if safi <= 255 && binary.BigEndian.Uint16(v[4:]) == afiIPv6 {
				s = s.With(MakeFamily(binary.BigEndian.Uint16(v), uint8(safi)))
			}
		}
	}
	return s
}

// Hostname returns the speaker's host and domain name, as UTF-8 without
// control characters.
func (o *Open) Hostname() (host, domain string, ok bool) {
	v, ok := o.last(CapHostname)
	if !ok || len(v) == 0 || len(v) < 1+int(v[0]) {
		return "", "", false
	}
	host, v = cleanText(v[1:1+int(v[0])]), v[1+int(v[0]):]
	if len(v) > 0 && len(v) >= 1+int(v[0]) {
		domain = cleanText(v[1 : 1+int(v[0])])
	}
	return host, domain, true
}

// SoftwareVersion returns what the speaker says it runs
// (draft-abraitis-bgp-version-capability), as Hostname does.
func (o *Open) SoftwareVersion() (string, bool) {
	v, ok := o.last(CapSoftwareVersion)
	if !ok || len(v) == 0 || len(v) < 1+int(v[0]) {
		return "", false
	}
	return cleanText(v[1 : 1+int(v[0])]), true
}

// cutText cuts s at n octets, between characters.
func cutText(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// cleanText makes what a peer wrote fit for a line of text.
func cleanText(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "\uFFFD"))
}
