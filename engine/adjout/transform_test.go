package adjout

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Sources of routes.
var (
	ext    = from{live: true, routerID: 0x0a000001}
	inte   = from{live: true, internal: true, routerID: 0x0a000002}
	client = from{live: true, internal: true, rrClient: true, routerID: 0x0a000003}
	local  = from{live: true, local: true}
)

func external(f func(t *Target)) Target {
	t := Target{
		AS: ourAS, RouterID: 0x01010101, NextHop4: netip.MustParseAddr("192.0.2.254"), NextHop6: netip.MustParseAddr("2001:db8::fe"),
		LLGR: true, Send: wire.SendOptions{AS4: true}, Families: []wire.Family{wire.IPv4Unicast},
	}
	if f != nil {
		f(&t)
	}
	t.normalise()
	return t
}

func internal(f func(t *Target)) Target {
	return external(func(t *Target) {
		t.Internal = true
		if f != nil {
			f(t)
		}
	})
}

func TestRulesOfExport(t *testing.T) {
	plain := spec(65001, 65002)
	sent := with(plain, func(a *attrSpec) { a.Path, a.Hop = []uint32{ourAS, 65001, 65002}, "192.0.2.254" })
	in := with(plain, func(a *attrSpec) { a.Pref = 100 })
	set := func(a attrSpec, f func(a *attrSpec)) *attrSpec { b := with(a, f); return &b }
	role := func(r wire.Role) Target {
		return external(func(t *Target) { t.Role, t.HasRole = r, true })
	}
	v6 := with(plain, func(a *attrSpec) { a.Hop = "2001:db8::1" })
	unknown := string(wire.AppendAttr(nil, 0xc0, 99, []byte{1}))
	unknownPartial := string(wire.AppendAttr(nil, 0xe0, 99, []byte{1}))
	ext4 := func(cs ...uint64) string {
		var v []byte
		for _, c := range cs {
			v = append(v, byte(c>>56), byte(c>>48), byte(c>>40), byte(c>>32), byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
		}
		return string(wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, v))
	}
	toHop := func(t *Target) { t.Redirect = flowspec.RedirectNextHop }
	aigp := string(wire.AppendAttr(nil, 0x80, wire.AttrAIGP, []byte{1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9}))
	for _, c := range []struct {
		name string
		to   Target
		from from
		f    wire.Family // 0: IPv4 unicast
		in   attrSpec
		want *attrSpec // nil: not sent
	}{
		{"external: AS prepended, next hop ours", external(nil), ext, 0, plain, &sent},
		{"external: LOCAL_PREF and MED stay here", external(nil), inte, 0, *set(plain, func(a *attrSpec) { a.Pref, a.MED = 200, 5 }), &sent},
		{"external: MED of what is originated here is sent", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.MED = 5 }),
			set(spec(ourAS), func(a *attrSpec) { a.MED = 5 })},
		{"originated here, external: unknown attributes are the originator's own", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Other = unknown }),
			set(spec(ourAS), func(a *attrSpec) { a.Other = unknown })},
		{"originated here, external: next hop as given", external(nil), local, 0, spec(), set(spec(ourAS), func(*attrSpec) {})},
		{"originated here, external: an unset next hop is ours", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Hop = "0.0.0.0" }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"originated here, external: no next hop is ours", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Hop = "" }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"originated here, IPv6: an unset next hop is ours", external(nil), local, wire.IPv6Unicast, *set(spec(), func(a *attrSpec) { a.Hop = "::" }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop = "2001:db8::fe" })},
		{"originated here, external: next hop self where configured", external(func(t *Target) { t.NextHop = NextHopSelf }), local, 0, spec(),
			set(spec(ourAS), func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"originated here, internal: next hop as given", internal(nil), local, 0, spec(), set(spec(), func(a *attrSpec) { a.Pref = 100 })},
		{"originated here, to a route server client: an unset next hop is ours", external(func(t *Target) { t.RSClient = true }), local, 0,
			*set(spec(), func(a *attrSpec) { a.Hop = "0.0.0.0" }), set(spec(), func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"originated here: an IPv6 next hop of an IPv4 route needs RFC 8950", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Hop = "2001:db8::1" }), nil},
		{"originated here: an IPv6 next hop of an IPv4 route with RFC 8950",
			external(func(t *Target) { t.ExtendedNextHop = t.ExtendedNextHop.With(wire.IPv4Unicast) }), local, 0,
			*set(spec(), func(a *attrSpec) { a.Hop = "2001:db8::1" }), set(spec(ourAS), func(a *attrSpec) { a.Hop = "2001:db8::1" })},
		{"originated here: an IPv4 next hop of an IPv6 route has no place", external(nil), local, wire.IPv6Unicast, spec(), nil},
		{"originated here, labelled: an unset next hop is ours", external(nil), local, wire.IPv4LabelledUnicast,
			*set(spec(), func(a *attrSpec) { a.Hop = "0.0.0.0" }), set(spec(ourAS), func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"originated here: NO_EXPORT is for its receivers", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }),
			set(spec(ourAS), func(a *attrSpec) { a.Communities = []uint32{communityNoExport} })},
		{"originated here: NO_EXPORT goes to internal peers", internal(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }),
			set(spec(), func(a *attrSpec) { a.Pref, a.Communities = 100, []uint32{communityNoExport} })},
		{"originated here: NO_ADVERTISE is for its receivers", internal(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Communities = []uint32{communityNoAdvertise} }),
			set(spec(), func(a *attrSpec) { a.Pref, a.Communities = 100, []uint32{communityNoAdvertise} })},
		{"originated here, external: LOCAL_PREF stays here", external(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Pref = 300 }), set(spec(ourAS), func(*attrSpec) {})},
		{"originated here, internal: LOCAL_PREF as given", internal(nil), local, 0, *set(spec(), func(a *attrSpec) { a.Pref = 300 }), set(spec(), func(a *attrSpec) { a.Pref = 300 })},
		{"external: reflection stays here", external(nil), client, 0, *set(plain, func(a *attrSpec) { a.Originator, a.Clusters = 7, []uint32{8} }), &sent},
		{"external: AIGP stays here", external(nil), inte, 0, *set(plain, func(a *attrSpec) { a.Other = aigp }), &sent},
		{"external: unknown transitive attributes get Partial", external(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Other = unknown }),
			set(sent, func(a *attrSpec) { a.Other = unknownPartial })},
		{"external: non-transitive extended communities stay here", external(nil), ext, 0,
			*set(plain, func(a *attrSpec) { a.Other = ext4(0x0002_fde9_0000_0001, 0x4004_fde9_0000_0001) }),
			set(sent, func(a *attrSpec) { a.Other = ext4(0x0002_fde9_0000_0001) })},
		{"external: local_as is seen, the router's behind it", external(func(t *Target) { t.AS, t.GlobalAS = 64999, ourAS }), ext, 0, plain,
			set(sent, func(a *attrSpec) { a.Path = []uint32{64999, ourAS, 65001, 65002} })},
		{"external: local_as with replace_as alone", external(func(t *Target) { t.AS, t.GlobalAS, t.ReplaceAS = 64999, ourAS, true }), ext, 0, plain,
			set(sent, func(a *attrSpec) { a.Path = []uint32{64999, 65001, 65002} })},
		{"external: private AS numbers removed", external(func(t *Target) { t.RemovePrivateAS = true }), ext, 0, spec(3356, 65001),
			set(sent, func(a *attrSpec) { a.Path = []uint32{ourAS, 3356} })},
		{"external: next hop unchanged", external(func(t *Target) { t.NextHop = NextHopUnchanged }), ext, 0, plain,
			set(sent, func(a *attrSpec) { a.Hop = "192.0.2.1" })},
		{"external: IPv6", external(nil), ext, wire.IPv6Unicast, v6, set(sent, func(a *attrSpec) { a.Hop = "2001:db8::fe" })},
		{"external: IPv6 without an IPv6 address is mapped", external(func(t *Target) { t.NextHop6 = netip.Addr{} }), ext, wire.IPv6Unicast, v6,
			set(sent, func(a *attrSpec) { a.Hop = "::ffff:192.0.2.254" })},
		{"external: IPv4 without an IPv4 address", external(func(t *Target) { t.NextHop4 = netip.Addr{} }), ext, 0, plain, nil},
		{"external: IPv4 with an IPv6 next hop (RFC 8950)", external(func(t *Target) {
			t.NextHop4, t.ExtendedNextHop = netip.Addr{}, wire.NewFamilySet(wire.IPv4Unicast)
		}), ext, 0, plain, set(sent, func(a *attrSpec) { a.Hop = "2001:db8::fe" })},
		{"external: an IPv6 next hop goes to who knows RFC 8950 alone", external(func(t *Target) { t.NextHop = NextHopUnchanged }), ext, 0, v6, &sent},

		{"internal: unchanged but LOCAL_PREF", internal(nil), ext, 0, plain, &in},
		{"internal: LOCAL_PREF and MED are sent", internal(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Pref, a.MED = 50, 3 }),
			set(plain, func(a *attrSpec) { a.Pref, a.MED = 50, 3 })},
		{"internal: next hop self", internal(func(t *Target) { t.NextHop = NextHopSelf }), ext, 0, plain, set(in, func(a *attrSpec) { a.Hop = "192.0.2.254" })},
		{"internal: AIGP is sent", internal(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Other = aigp }), set(in, func(a *attrSpec) { a.Other = aigp })},
		{"internal: a link-local next hop means nothing elsewhere", internal(nil), ext, wire.IPv6Unicast, *set(plain, func(a *attrSpec) { a.Hop = "fe80::1" }),
			set(in, func(a *attrSpec) { a.Hop = "2001:db8::fe" })},
		{"internal to internal is not reflected", internal(nil), inte, 0, plain, nil},
		{"reflector: client to others", internal(nil), client, 0, plain, set(in, func(a *attrSpec) { a.Originator, a.Clusters = 0x0a000003, []uint32{0x01010101} })},
		{"reflector: others to client", internal(func(t *Target) { t.RRClient, t.ClusterID = true, 9 }), inte, 0, plain,
			set(in, func(a *attrSpec) { a.Originator, a.Clusters = 0x0a000002, []uint32{9} })},
		{"reflector: ORIGINATOR_ID stays, CLUSTER_LIST grows", internal(func(t *Target) { t.RRClient = true }), client, 0,
			*set(plain, func(a *attrSpec) { a.Originator, a.Clusters = 5, []uint32{6} }),
			set(in, func(a *attrSpec) { a.Originator, a.Clusters = 5, []uint32{0x01010101, 6} })},
		{"reflector: external routes are not reflected ones", internal(func(t *Target) { t.RRClient = true }), ext, 0, plain, &in},

		{"route server: transparent", external(func(t *Target) { t.RSClient = true }), ext, 0, *set(plain, func(a *attrSpec) { a.MED = 4 }),
			set(plain, func(a *attrSpec) { a.MED = 4 })},
		{"route server: well-known communities are the clients'", external(func(t *Target) { t.RSClient = true }), ext, 0,
			*set(plain, func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }),
			set(plain, func(a *attrSpec) { a.Communities = []uint32{communityNoExport} })},

		{"NO_EXPORT stays in the AS", external(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }), nil},
		{"NO_EXPORT goes to internal peers", internal(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{communityNoExport} }),
			set(in, func(a *attrSpec) { a.Communities = []uint32{communityNoExport} })},
		{"NO_EXPORT_SUBCONFED stays in the AS", external(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{communityNoExportSub} }), nil},
		{"NO_ADVERTISE goes nowhere", internal(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{1, communityNoAdvertise} }), nil},
		{"LLGR_STALE goes to who knows it", external(nil), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{communityLLGRStale} }),
			set(sent, func(a *attrSpec) { a.Communities = []uint32{communityLLGRStale} })},
		{"LLGR_STALE to nobody else", external(func(t *Target) { t.LLGR = false }), ext, 0, *set(plain, func(a *attrSpec) { a.Communities = []uint32{communityLLGRStale} }), nil},

		{"OTC is set towards customers", role(wire.RoleProvider), ext, 0, plain, set(sent, func(a *attrSpec) { a.OTC = ourAS })},
		{"OTC is set towards peers", role(wire.RolePeer), ext, 0, plain, set(sent, func(a *attrSpec) { a.OTC = ourAS })},
		{"OTC is set towards clients of a route server", role(wire.RoleRS), ext, 0, plain, set(sent, func(a *attrSpec) { a.OTC = ourAS })},
		{"OTC is not set towards providers", role(wire.RoleCustomer), ext, 0, plain, &sent},
		{"OTC stays as it is towards customers", role(wire.RoleProvider), ext, 0, *set(plain, func(a *attrSpec) { a.OTC = 5 }), set(sent, func(a *attrSpec) { a.OTC = 5 })},
		{"OTC never goes to providers", role(wire.RoleCustomer), ext, 0, *set(plain, func(a *attrSpec) { a.OTC = 5 }), nil},
		{"OTC never goes to peers", role(wire.RolePeer), ext, 0, *set(plain, func(a *attrSpec) { a.OTC = 5 }), nil},
		{"OTC never goes to route servers", role(wire.RoleRSClient), ext, 0, *set(plain, func(a *attrSpec) { a.OTC = 5 }), nil},
		{"OTC is for unicast", role(wire.RoleCustomer), ext, wire.IPv4Multicast, *set(plain, func(a *attrSpec) { a.OTC = 5 }), set(sent, func(a *attrSpec) { a.OTC = 5 })},

		{"labelled: next hop unchanged", external(nil), ext, wire.IPv4LabelledUnicast, plain, set(sent, func(a *attrSpec) { a.Hop = "192.0.2.1" })},
		{"labelled: next hop self where configured", external(func(t *Target) { t.NextHop = NextHopSelf }), ext, wire.IPv4LabelledUnicast, plain, &sent},
		{"Flow Spec has no next hop", external(func(t *Target) { t.NextHop = NextHopSelf }), ext, wire.IPv4FlowSpec, *set(plain, func(a *attrSpec) { a.Hop = "" }),
			set(sent, func(a *attrSpec) { a.Hop = "" })},
		{"Flow Spec heard: a next hop that is a target stays, in its form", external(nil), ext, wire.IPv4FlowSpec, *set(plain, func(a *attrSpec) { a.Other = ext4(0x0800_0000_0000_0000) }),
			set(sent, func(a *attrSpec) { a.Hop, a.Other = "192.0.2.1", ext4(0x0800_0000_0000_0000) })},
		{"Flow Spec heard: the other form stays, too", external(toHop), ext, wire.IPv4FlowSpec,
			*set(plain, func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x010c_c000_0201_0000) }),
			set(sent, func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x010c_c000_0201_0000) })},
		{"Flow Spec originated here: redirect as a community", external(nil), local, wire.IPv4FlowSpec,
			*set(spec(), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x0002_fde9_0000_0001, 0x010c_c000_0207_0001) }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x0002_fde9_0000_0001, 0x010c_c000_0207_0001) })},
		{"Flow Spec originated here: redirect as a next hop", external(toHop), local, wire.IPv4FlowSpec,
			*set(spec(), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x0002_fde9_0000_0001, 0x010c_c000_0207_0001) }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop, a.Other = "192.0.2.7", ext4(0x0002_fde9_0000_0001, 0x0800_0000_0000_0001) })},
		{"Flow Spec originated here with a next hop: redirect as a community", external(nil), local, wire.IPv4FlowSpec,
			*set(spec(), func(a *attrSpec) { a.Hop, a.Other = "192.0.2.7", ext4(0x0800_0000_0000_0000) }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x010c_c000_0207_0000) })},
		{"Flow Spec originated here: other actions stay as they are", external(toHop), local, wire.IPv4FlowSpec,
			*set(spec(), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x8006_0000_0000_0000, 0x8007_0000_0000_0003) }),
			set(spec(ourAS), func(a *attrSpec) { a.Hop, a.Other = "", ext4(0x8006_0000_0000_0000, 0x8007_0000_0000_0003) })},
		{"who is no source is sent to nobody", external(nil), from{}, 0, plain, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			attrs := rib.NewAttrs(rib.AttrsOptions{})
			defer attrs.Close()
			f := c.f
			if f == 0 {
				f = wire.IPv4Unicast
			}
			r := newRules(&c.to, attrs)
			id, _ := attrs.Intern(c.in.canonical())
			w := r.allowed(f, c.from, id)
			if w == whyNot {
				id, w = r.transform(f, c.from, id, 0)
			}
			if w != whyNot {
				if c.want != nil {
					t.Fatalf("not sent, want %+v", *c.want)
				}
				return
			}
			b, _ := attrs.Bytes(id)
			if c.want == nil {
				t.Fatalf("sent as %+v, want nothing", parse(b))
			}
			if want := c.want.canonical(); !bytes.Equal(b, want) {
				t.Errorf("got  %+v\nwant %+v", parse(b), parse(want))
			}
		})
	}
}

func TestWhatPolicyChoseIsSent(t *testing.T) {
	attrs := rib.NewAttrs(rib.AttrsOptions{})
	defer attrs.Close()
	to := external(nil)
	r := newRules(&to, attrs)
	arrived, _ := attrs.Intern(with(spec(65001), func(a *attrSpec) { a.MED = 7 }).canonical())
	judged, _ := attrs.Intern(with(spec(65001), func(a *attrSpec) { a.MED, a.Hop = 9, "192.0.2.77" }).canonical())
	id, ok := r.transform(wire.IPv4Unicast, ext, judged, r.chose(arrived, judged))
	if ok != whyNot {
		t.Fatal("not sent")
	}
	b, _ := attrs.Bytes(id)
	if a := parse(b); a.MED != 9 || a.Hop != "192.0.2.77" || len(a.Path) != 2 {
		t.Errorf("got %+v, want MED 9 and next hop 192.0.2.77", a)
	}
}

func TestAttributesThatFitNoMessageAreNotSent(t *testing.T) {
	attrs := rib.NewAttrs(rib.AttrsOptions{})
	defer attrs.Close()
	long := spec(65001)
	for i := range uint32(1100) {
		long.Communities = append(long.Communities, i)
	}
	id, _ := attrs.Intern(long.canonical())
	for _, extended := range []bool{false, true} {
		to := external(func(t *Target) { t.Send.Extended = extended })
		if _, ok := newRules(&to, attrs).transform(wire.IPv4Unicast, ext, id, 0); (ok == whyNot) != extended {
			t.Errorf("extended messages %t: %v", extended, ok)
		}
	}
}

func TestKeysOfGroupsDifferInWhatChangesMessages(t *testing.T) {
	base := external(nil)
	seen := map[string]string{base.key(): "nothing"}
	for name, f := range map[string]func(t *Target){
		"internal": func(t *Target) { t.Internal = true }, "client": func(t *Target) { t.RRClient = true },
		"server": func(t *Target) { t.RSClient = true }, "role": func(t *Target) { t.HasRole, t.Role = true, wire.RolePeer },
		"AS": func(t *Target) { t.AS = 1 }, "replace": func(t *Target) { t.ReplaceAS = true },
		"next hop": func(t *Target) { t.NextHop = NextHopSelf }, "address": func(t *Target) { t.NextHop4 = netip.MustParseAddr("192.0.2.7") },
		"families": func(t *Target) { t.Families = []wire.Family{wire.IPv6Unicast} }, "AS4": func(t *Target) { t.Send.AS4 = false },
		"extended": func(t *Target) { t.Send.Extended = true }, "add-path": func(t *Target) { t.AddPath = map[wire.Family]int{wire.IPv4Unicast: 2} },
		"policy": func(t *Target) { t.Export = acceptAll }, "interval": func(t *Target) { t.Interval = 1 }, "llgr": func(t *Target) { t.LLGR = false },
		"cluster": func(t *Target) { t.ClusterID = 77 }, "private": func(t *Target) { t.RemovePrivateAS = true },
	} {
		k := external(f)
		if other, ok := seen[k.key()]; ok {
			t.Errorf("%s and %s make the same key: %s", name, other, k.key())
		}
		seen[k.key()] = name
	}
	a, b := external(nil), external(func(t *Target) { t.Num, t.Name, t.Overrun = 5, "x", func() {} })
	if a.key() != b.key() || strings.Contains(b.key(), "x") {
		t.Errorf("who a peer is must not be in the key: %s", b.key())
	}
}
