package fuzz

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
)

// update is an UPDATE with its header.
func update(withdrawn, attrs, nlri []byte) []byte {
	b := bytes.Repeat([]byte{0xff}, 16)
	b = append(b, 0, 0, byte(wire.MsgUpdate))
	b = binary.BigEndian.AppendUint16(b, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// someAttrs are attributes of most types, in canonical form.
func someAttrs() []byte {
	var a []byte
	for _, x := range []struct {
		flags byte
		t     wire.AttrType
		hex   string
	}{
		{0x40, wire.AttrOrigin, "00"},
		{0x40, wire.AttrASPath, "02020000fde90001117001020000000500000006"},
		{0x40, wire.AttrNextHop, "c0000201"},
		{0x80, wire.AttrMED, "00000001"},
		{0x40, wire.AttrLocalPref, "00000064"},
		{0x40, wire.AttrAtomicAggregate, ""},
		{0xc0, wire.AttrAggregator, "0000fde9c0000201"},
		{0xc0, wire.AttrCommunities, "fde90001ffffff01"},
		{0x80, wire.AttrOriginatorID, "c0000209"},
		{0x80, wire.AttrClusterList, "c0000208c0000207"},
		{0xc0, wire.AttrExtCommunities, "0002fde900000001"},
		{0xc0, wire.AttrLargeCommunities, "0000fde90000000100000002"},
		{0xc0, wire.AttrOTC, "0000fde9"},
		{0xe0, 99, "00ff"},
	} {
		v, _ := hex.DecodeString(x.hex)
		a = wire.AppendAttr(a, x.flags, x.t, v)
	}
	return a
}

// seedBodies are bodies of UPDATEs to start from: some made here, and those of
// the shared test data where it lies beside the module.
func seedBodies() [][]byte {
	attrs := someAttrs()
	reach, _ := hex.DecodeString("800e1a0002011020010db800000000000000000000000100" + "20" + "20010db8")
	unreach, _ := hex.DecodeString("800f08000201" + "20" + "20010db9")
	vpn, _ := hex.DecodeString("800e1f000180" + "0c0000000000000000c000020100" + "68" + "000101" + "0000fde900000001" + "0a00")
	bodies := [][]byte{
		update(nil, attrs, []byte{24, 10, 0, 1, 8, 11})[wire.HeaderLen:],
		update([]byte{8, 12}, append(slices.Clone(reach), attrs...), []byte{8, 10})[wire.HeaderLen:],
		update(nil, append(slices.Clone(vpn), attrs...), nil)[wire.HeaderLen:],
		update(nil, unreach, nil)[wire.HeaderLen:],
		update(nil, nil, nil)[wire.HeaderLen:],
	}
	dir := os.Getenv("RIBD_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(dir, "messages", "exabgp-messages.tsv"))
	if err != nil {
		return bodies
	}
	for line := range strings.Lines(string(b)) {
		if cols := strings.Split(line, "\t"); len(cols) > 1 {
			if m, err := hex.DecodeString(cols[1]); err == nil && len(m) > wire.HeaderLen && m[18] == 2 {
				bodies = append(bodies, m[wire.HeaderLen:])
			}
		}
	}
	return bodies
}

// checkPlace holds an error to its promise.
func checkPlace(t *testing.T, err *wire.Error, n int) {
	t.Helper()
	if err == nil {
		return
	}
	inside := 0 <= err.Start && err.Start <= err.Off && err.Off < err.End && err.End <= n
	if empty := n == 0 && err.Off == 0 && err.End == 0; !inside && !empty {
		t.Fatalf("%v: octet %d is not in field %d to %d of %d octets", err, err.Off, err.Start, err.End, n)
	}
	if err.Action == wire.ActionNone || err.Field == "" || err.Reason == "" || err.RFC == "" || err.Code == 0 {
		t.Fatalf("incomplete: %+v", *err)
	}
}

// FuzzUpdate: an error points inside the message and inside its field; and
// gobgp's parser agrees on the routes and attributes of every message that
// either accepts, but for the differences listed in agreed.
func FuzzUpdate(f *testing.F) {
	for _, b := range seedBodies() {
		for mode := range byte(4) {
			f.Add(b, mode)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, mode byte) {
		if len(body) > wire.MaxMessageLen-wire.HeaderLen {
			return
		}
		s := wire.Session{AS4: true, External: mode&1 != 0}
		opt := &bgp.MarshallingOption{AddPath: map[bgp.RouteFamily]bgp.BGPAddPathMode{}}
		if mode&2 != 0 {
			s.AddPath = wire.AllFamilies()
			for rf := range bgp.AddressFamilyNameMap {
				opt.AddPath[rf] = bgp.BGP_ADD_PATH_BOTH
			}
		}
		var u wire.Update
		err := u.ParseBody(body, &s)
		checkPlace(t, err, len(body))
		d := &difference{body: body, u: &u, err: err}
		var g *bgp.BGPUpdate
		g, d.gobgp = oracle(body, opt, s.External)
		switch {
		case d.gobgp == nil && err == nil:
			if d.text = compare(&u, g); d.text != "" && !d.agreed() {
				t.Fatalf("%s\nbody %x mode %d", d.text, body, mode)
			}
		case d.gobgp == nil && err.Action > wire.AttributeDiscard, d.gobgp != nil && err == nil:
			if !d.agreed() {
				t.Fatalf("wire: %v\ngobgp: %v\nbody %x mode %d", err, d.gobgp, body, mode)
			}
		}
	})
}

// oracle parses and validates with gobgp.
func oracle(body []byte, opt *bgp.MarshallingOption, external bool) (g *bgp.BGPUpdate, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gobgp panics: %v", r)
		}
	}()
	m, err := bgp.ParseBGPBody(&bgp.BGPHeader{Type: bgp.BGP_MSG_UPDATE, Len: uint16(len(body) + wire.HeaderLen)}, body, opt)
	if err != nil {
		return nil, err
	}
	g = m.Body.(*bgp.BGPUpdate)
	families := map[bgp.RouteFamily]bgp.BGPAddPathMode{}
	for rf := range bgp.AddressFamilyNameMap {
		families[rf] = bgp.BGP_ADD_PATH_NONE
	}
	_, err = bgp.ValidateUpdateMsg(g, families, external, false, true)
	return g, err
}

// compare returns how the two readings of a message differ, or "".
func compare(u *wire.Update, g *bgp.BGPUpdate) string {
	if got, want := walk4(u.Withdrawn4()), texts(g.WithdrawnRoutes); !slices.Equal(got, want) {
		return fmt.Sprintf("withdrawn: wire %v, gobgp %v", got, want)
	}
	if got, want := walk4(u.NLRI4()), texts(g.NLRI); !slices.Equal(got, want) {
		return fmt.Sprintf("NLRI: wire %v, gobgp %v", got, want)
	}
	ours := map[wire.AttrType][]byte{}
	for w := wire.WalkAttributes(u.Attributes(nil)); w.Next(); {
		ours[w.Type()] = w.Value()
	}
	for _, a := range g.PathAttributes {
		switch p := a.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			m, _ := u.Reach()
			if diff := compareMP(m, p.Value, append(slices.Clone(p.Nexthop), p.LinkLocalNexthop...)); diff != "" {
				return diff
			}
			continue
		case *bgp.PathAttributeMpUnreachNLRI:
			m, _ := u.Unreach()
			if diff := compareMP(m, p.Value, nil); diff != "" {
				return diff
			}
			continue
		}
		t := wire.AttrType(a.GetType())
		theirs, err := a.Serialize()
		if err != nil {
			continue
		}
		w := wire.WalkAttributes(theirs)
		w.Next()
		got, ok := ours[t]
		delete(ours, t)
		if !ok && (a.GetFlags()&bgp.BGP_ATTR_FLAG_TRANSITIVE != 0 || t.Known()) {
			return fmt.Sprintf("%v is not in wire's attributes", t)
		}
		if ok && !bytes.Equal(got, w.Value()) {
			return fmt.Sprintf("%v: wire %x, gobgp %x", t, got, w.Value())
		}
	}
	for t, v := range ours {
		return fmt.Sprintf("%v %x is not in gobgp's attributes", t, v)
	}
	return ""
}

func compareMP(m wire.MP, theirs []bgp.AddrPrefixInterface, hop []byte) string {
	var got, want []string
	switch m.Family.Form() {
	case wire.FormPrefix:
		if m.Family.Is4() {
			got = walk4(m.NLRI4())
		} else {
			for w := m.NLRI6(); w.Next(); {
				got = append(got, route(w.Prefix(), w.PathID()))
			}
		}
	case wire.FormRaw:
		return ""
	default:
		for w := m.Labelled(); w.Next(); {
			got = append(got, route(w.Prefix(), w.PathID()))
		}
	}
	for _, p := range theirs {
		want = append(want, text(p))
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("%v: wire %v, gobgp %v", m.Family, got, want)
	}
	if len(hop) > 0 && !bytes.Equal(m.NextHop, hop) {
		return fmt.Sprintf("%v: next hop: wire %x, gobgp %x", m.Family, m.NextHop, hop)
	}
	return ""
}

func route(p netip.Prefix, id uint32) string { return fmt.Sprintf("%v id %d", p, id) }

func walk4(w wire.NLRI4) (s []string) {
	for w.Next() {
		s = append(s, route(w.Prefix(), w.PathID()))
	}
	return s
}

func texts[P bgp.AddrPrefixInterface](ps []P) (s []string) {
	for _, p := range ps {
		s = append(s, text(p))
	}
	return s
}

// text is gobgp's prefix in the form of route, without labels and
// distinguisher.
func text(p bgp.AddrPrefixInterface) string {
	var ip []byte
	bits, id := 0, p.PathIdentifier()
	switch x := p.(type) {
	case *bgp.IPAddrPrefix:
		ip, bits = x.Prefix.To4(), int(x.Length)
	case *bgp.IPv6AddrPrefix:
		ip, bits = x.Prefix, int(x.Length)
	case *bgp.LabeledIPAddrPrefix:
		ip, bits = x.Prefix.To4(), int(x.Length)-8*x.Labels.Len()
	case *bgp.LabeledIPv6AddrPrefix:
		ip, bits = x.Prefix, int(x.Length)-8*x.Labels.Len()
	case *bgp.LabeledVPNIPAddrPrefix:
		ip, bits = x.Prefix.To4(), int(x.Length)-8*x.Labels.Len()-64
	case *bgp.LabeledVPNIPv6AddrPrefix:
		ip, bits = x.Prefix, int(x.Length)-8*x.Labels.Len()-64
	default:
		return p.String()
	}
	a, _ := netip.AddrFromSlice(ip)
	return route(netip.PrefixFrom(a, bits), id)
}
