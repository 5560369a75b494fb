package wire

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Family is an AFI/SAFI pair (RFC 4760 section 8): AFI<<8 | SAFI.
type Family uint32

// The families that ribd knows by name. Any other is carried by its number.
const (
	IPv4Unicast         Family = 1<<8 | 1
	IPv4Multicast       Family = 1<<8 | 2
	IPv4LabelledUnicast Family = 1<<8 | 4
	IPv4VPN             Family = 1<<8 | 128
	IPv4FlowSpec        Family = 1<<8 | 133
	IPv4FlowSpecVPN     Family = 1<<8 | 134
	IPv6Unicast         Family = 2<<8 | 1
	IPv6Multicast       Family = 2<<8 | 2
	IPv6LabelledUnicast Family = 2<<8 | 4
	IPv6VPN             Family = 2<<8 | 128
	IPv6FlowSpec        Family = 2<<8 | 133
	IPv6FlowSpecVPN     Family = 2<<8 | 134
	L2VPNEVPN           Family = 25<<8 | 70
	LS                  Family = 16388<<8 | 71
)

// Address family and subsequent address family numbers that the forms of
// NLRI depend on.
const (
	afiIPv4  = 1
	afiIPv6  = 2
	afiL2VPN = 25
	afiLS    = 16388

	safiUnicast      = 1
	safiMulticast    = 2
	safiLabelled     = 4
	safiMVPN         = 5
	safiVPLS         = 65
	safiEVPN         = 70
	safiLS           = 71
	safiLSVPN        = 72
	safiSRPolicy     = 73
	safiMUP          = 85
	safiVPN          = 128
	safiVPNMulticast = 129
	safiRTC          = 132
	safiFlowSpec     = 133
	safiFlowSpecVPN  = 134
)

// MakeFamily joins an address family and a subsequent address family.
func MakeFamily(afi uint16, safi uint8) Family { return Family(afi)<<8 | Family(safi) }

// AFI returns the address family number.
func (f Family) AFI() uint16 { return uint16(f >> 8) }

// SAFI returns the subsequent address family number.
func (f Family) SAFI() uint8 { return uint8(f) }

// Is4 is true where the family's prefixes are IPv4.
func (f Family) Is4() bool { return f.AFI() == afiIPv4 }

// Form says how the NLRI of a family are written, and so which cursor reads
// them.
type Form uint8

// The forms of NLRI.
const (
	FormRaw      Form = iota // anything else: NLRIRaw
	FormPrefix               // length and prefix (RFC 4271): NLRI4 or NLRI6
	FormLabelled             // labels and prefix (RFC 8277): NLRILabelled
	FormVPN                  // labels, route distinguisher and prefix (RFC 4364, 4659): NLRILabelled
)

// String names the form as its constant does, in lower case.
func (f Form) String() string {
	switch f {
	case FormRaw:
		return "raw"
	case FormPrefix:
		return "prefix"
	case FormLabelled:
		return "labelled"
	case FormVPN:
		return "vpn"
	}
	return "form-" + strconv.Itoa(int(f))
}

// Form returns how the family's NLRI are written.
func (f Family) Form() Form {
	if a := f.AFI(); a != afiIPv4 && a != afiIPv6 {
		return FormRaw
	}
	switch f.SAFI() {
	case safiUnicast, safiMulticast:
		return FormPrefix
	case safiLabelled:
		return FormLabelled
	case safiVPN:
		return FormVPN
	}
	return FormRaw
}

// familyNames is in the order of the bits of FamilySet.
var familyNames = []struct {
	f    Family
	name string
}{
	{IPv4Unicast, "ipv4-unicast"},
	{IPv4Multicast, "ipv4-multicast"},
	{IPv4LabelledUnicast, "ipv4-labelled-unicast"},
	{IPv4VPN, "ipv4-vpn"},
	{IPv4FlowSpec, "ipv4-flowspec"},
	{IPv4FlowSpecVPN, "ipv4-flowspec-vpn"},
	{IPv6Unicast, "ipv6-unicast"},
	{IPv6Multicast, "ipv6-multicast"},
	{IPv6LabelledUnicast, "ipv6-labelled-unicast"},
	{IPv6VPN, "ipv6-vpn"},
	{IPv6FlowSpec, "ipv6-flowspec"},
	{IPv6FlowSpecVPN, "ipv6-flowspec-vpn"},
	{L2VPNEVPN, "l2vpn-evpn"},
	{LS, "ls"},
}

// String returns the family's name in the API: "ipv4-unicast", ... or
// "afi-N-safi-M".
func (f Family) String() string {
	for i := range familyNames {
		if familyNames[i].f == f {
			return familyNames[i].name
		}
	}
	return fmt.Sprintf("afi-%d-safi-%d", f.AFI(), f.SAFI())
}

// ParseFamily reads what String writes.
func ParseFamily(s string) (Family, error) {
	for i := range familyNames {
		if familyNames[i].name == s {
			return familyNames[i].f, nil
		}
	}
	if rest, ok := strings.CutPrefix(s, "afi-"); ok {
		if a, b, ok := strings.Cut(rest, "-safi-"); ok {
			afi, err1 := strconv.ParseUint(a, 10, 16)
			safi, err2 := strconv.ParseUint(b, 10, 8)
			if err1 == nil && err2 == nil {
				return MakeFamily(uint16(afi), uint8(safi)), nil
			}
		}
	}
	return 0, fmt.Errorf("no such family: %q (such as ipv4-unicast, ipv6-vpn, l2vpn-evpn, afi-1-safi-5)", s)
}

// FamilySet is a set of families. The zero value is empty. It is a value: With
// returns a new set.
type FamilySet struct {
	bits uint64
	all  bool
	more []Family // sorted, those without a bit
}

// NewFamilySet returns the set of the families given.
func NewFamilySet(fs ...Family) FamilySet {
	var s FamilySet
	for _, f := range fs {
		s = s.With(f)
	}
	return s
}

// AllFamilies returns the set that holds every family.
func AllFamilies() FamilySet { return FamilySet{all: true} }

// bit returns the family's bit, or 0 for one that has none.
func (f Family) bit() uint64 {
	switch f {
	case IPv4Unicast:
		return 1 << 0
	case IPv6Unicast:
		return 1 << 6
	}
	for i := range familyNames {
		if familyNames[i].f == f {
			return 1 << i
		}
	}
	return 0
}

// Has is true where f is in the set.
func (s *FamilySet) Has(f Family) bool {
	if s.all {
		return true
	}
	if s.bits == 0 && s.more == nil {
		return false
	}
	if b := f.bit(); b != 0 {
		return s.bits&b != 0
	}
	return slices.Contains(s.more, f)
}

// With returns the set and f.
func (s FamilySet) With(f Family) FamilySet {
	if b := f.bit(); b != 0 {
		s.bits |= b
		return s
	}
	if i, found := slices.BinarySearch(s.more, f); !found {
		s.more = slices.Insert(slices.Clone(s.more), i, f)
	}
	return s
}

// Empty is true where the set holds no family.
func (s *FamilySet) Empty() bool { return !s.all && s.bits == 0 && s.more == nil }

// Families lists the set in the order of familyNames, then by number; of
// AllFamilies it lists those with a name.
func (s *FamilySet) Families() []Family {
	set := s.bits
	if s.all {
		set = 1<<len(familyNames) - 1
	}
	fs := make([]Family, 0, bits.OnesCount64(set)+len(s.more))
	for ; set != 0; set &= set - 1 {
		fs = append(fs, familyNames[bits.TrailingZeros64(set)].f)
	}
	return append(fs, s.more...)
}
