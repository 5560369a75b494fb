package fuzz

import (
	"strings"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
)

// difference is a message that wire and gobgp read differently.
type difference struct {
	body  []byte
	u     *wire.Update
	err   *wire.Error // wire's
	gobgp error
	text  string // how the readings of a message that both accept differ
}

// agreed is true where the list says why.
func (d *difference) agreed() bool {
	for _, x := range differences {
		if x.is(d) {
			return true
		}
	}
	return false
}

// differences from gobgp v3.37, each with the rule that wire goes by.
var differences = []struct {
	rfc, why string
	is       func(*difference) bool
}{
	{"RFC 7607 2", "AS 0 in AS_PATH is malformed; gobgp lets it pass",
		func(d *difference) bool { return d.rule("RFC 7607") }},
	{"RFC 6793 4.1", "AS numbers have the size that was negotiated; gobgp guesses it, and takes 2 octets where 4 make no sense",
		func(d *difference) bool { return d.rule("RFC 7606 7.2") && d.narrow() }},
	{"RFC 7606 5.2", "treat-as-withdraw without a route to withdraw is a session reset; gobgp stays with treat-as-withdraw or accepts",
		func(d *difference) bool { return d.rule("5.2") }},
	{"RFC 7606 5.3", "gobgp reads withdrawn routes past the end of their field",
		func(d *difference) bool { return d.rule("RFC 7606 5.3") && d.err.Field == "Withdrawn Routes" }},
	{"RFC 7606 4", "gobgp reads an attribute past the end of the attributes",
		func(d *difference) bool { return d.rule("RFC 7606 4", "RFC 7606 3(j)") }},
	{"RFC 7606 3(c)", "only the Optional and Transitive bits are checked, Partial is ignored where it means nothing; gobgp refuses it",
		func(d *difference) bool { return d.says("partial bit") }},
	{"RFC 7606 3(c), 7.16, RFC 9234 5", "gobgp does not know these attributes, nor their flags and lengths",
		func(d *difference) bool {
			return d.rule("RFC 7606 3(c)", "RFC 7606 7.16", "RFC 9234 5") && d.unknownToGoBGP()
		}},
	{"RFC 4271 4.3", "the low four bits of the attribute flags are ignored; gobgp refuses them",
		func(d *difference) bool { return d.says("flags are invalid") && d.err == nil && d.lowBits() }},
	{"RFC 4360 2", "an extended community is kept as it came; gobgp decodes some, and clears the octets that their type does not use",
		func(d *difference) bool {
			return strings.HasPrefix(d.text, "EXTENDED_COMMUNITIES:") || d.extended()
		}},
	{"RFC 4271 6.3", "whether a next hop is a host address is for the policy of the session; gobgp refuses it",
		func(d *difference) bool { return d.says("invalid nexthop address") }},
	{"RFC 7606 5.4", "the insides of typed NLRI are not the parser's; families that gobgp does not know are kept",
		func(d *difference) bool { return d.raw() }},
	{"RFC 8277 2.2, 2.4", "a label stack without its end is one label, that of a withdrawal is one label; gobgp goes by the bottom-of-stack bit, and by the values 0 and 0x800000",
		func(d *difference) bool { return d.labelled() && (d.rule("RFC 7606 5.3") || d.oddStack()) }},
	{"RFC 5549", "the next hop of a VPN route may come without its distinguisher; gobgp refuses it",
		func(d *difference) bool { return d.labelled() && d.says("nexthop length is incorrect") }},
	{"RFC 4271 5", "the insides of attributes that the decision does not need are kept as they came; gobgp decodes them",
		func(d *difference) bool { return d.opaque() }},
	{"RFC 7606", "gobgp panics", func(d *difference) bool { return d.says("gobgp panics") }},
}

// rule is true where wire's error is by one of these rules.
func (d *difference) rule(rfcs ...string) bool {
	if d.err == nil {
		return false
	}
	for _, r := range rfcs {
		if strings.Contains(d.err.RFC, r) {
			return true
		}
	}
	return false
}

// says is true where gobgp's error holds the words.
func (d *difference) says(words string) bool {
	return d.gobgp != nil && strings.Contains(d.gobgp.Error(), words)
}

// attributes calls f with each attribute of the message, as it came.
func (d *difference) attributes(f func(*wire.Attributes)) {
	if len(d.body) < 4 {
		return
	}
	n := int(d.body[0])<<8 | int(d.body[1])
	if n > len(d.body)-4 {
		return
	}
	for w := wire.WalkAttributes(d.body[4+n:]); w.Next(); {
		f(&w)
	}
}

func (d *difference) lowBits() bool {
	found := false
	d.attributes(func(a *wire.Attributes) { found = found || a.Flags()&0x0f != 0 })
	return found
}

// extended is true where gobgp's error is that of an extended community of the
// message: of some types it knows no other subtypes.
func (d *difference) extended() bool {
	found := false
	d.attributes(func(a *wire.Attributes) {
		for v := a.Value(); a.Type() == wire.AttrExtCommunities && len(v) >= 8; v = v[8:] {
			_, err := bgp.ParseExtended(v[:8])
			found = found || err != nil && d.says(err.Error())
		}
	})
	return found
}

// narrow is true where AS_PATH is sound with 2-octet AS numbers, but for AS 0.
func (d *difference) narrow() bool {
	var u wire.Update
	err := u.ParseBody(d.body, &wire.Session{})
	return err == nil || err.Field != "AS_PATH" || strings.Contains(err.RFC, "RFC 7607")
}

func (d *difference) unknownToGoBGP() bool {
	for _, t := range []wire.AttrType{wire.AttrTrafficEngineering, wire.AttrPEDistinguisher, wire.AttrBGPsecPath, wire.AttrDomainPath,
		wire.AttrSFP, wire.AttrBFDDiscriminator, wire.AttrOTC, wire.AttrSet} {
		if d.err.Field == t.String() {
			return true
		}
	}
	return false
}

func (d *difference) family(want func(wire.Family) bool) bool {
	found := false
	d.attributes(func(a *wire.Attributes) {
		t, v := a.Type(), a.Value()
		if (t == wire.AttrMPReach || t == wire.AttrMPUnreach) && len(v) >= 3 {
			found = found || want(wire.MakeFamily(uint16(v[0])<<8|uint16(v[1]), v[2]))
		}
	})
	return found
}

func (d *difference) raw() bool {
	return d.family(func(f wire.Family) bool { return f.Form() == wire.FormRaw })
}

func (d *difference) labelled() bool {
	return d.family(func(f wire.Family) bool { return f.Form() == wire.FormLabelled || f.Form() == wire.FormVPN })
}

// oddStack is true where a stack is not one label with the bottom-of-stack bit,
// and a value that stands for nothing else.
func (d *difference) oddStack() bool {
	odd := false
	for _, mp := range []func() (wire.MP, bool){d.u.Reach, d.u.Unreach} {
		m, ok := mp()
		if f := m.Family.Form(); !ok || f != wire.FormLabelled && f != wire.FormVPN {
			continue
		}
		for w := m.Labelled(); w.Next(); {
			l := w.Labels()
			odd = odd || len(l) != 3 || l[2]&1 == 0
		}
	}
	return odd
}

func (d *difference) opaque() bool {
	found := false
	d.attributes(func(a *wire.Attributes) {
		switch a.Type() {
		case wire.AttrPMSITunnel, wire.AttrTunnelEncap, wire.AttrAIGP, wire.AttrLS, wire.AttrPrefixSID, wire.AttrIPv6ExtCommunities:
			found = true
		}
	})
	return found
}
