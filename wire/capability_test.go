package wire

import (
	"reflect"
	"strings"
	"testing"
)

func TestCapabilitiesReadAsTheyWereWritten(t *testing.T) {
	gr := GracefulRestart{Restarting: true, Notification: true, Time: 120,
		Families: []GracefulFamily{{IPv4Unicast, true}, {IPv6VPN, false}}}
	llgr := []LLGRFamily{{IPv4Unicast, true, 3600}, {IPv6Unicast, false, MaxStaleTime}}
	hops := NewFamilySet(IPv4Unicast, IPv4VPN)
	o := Open{AS: 4200000000, HoldTime: 90, ID: 0xc0000201, Capabilities: []Capability{
		MultiprotocolCapability(IPv4Unicast), MultiprotocolCapability(LS),
		RouteRefreshCapability(), EnhancedRefreshCapability(), ExtendedMessageCapability(),
		ExtendedNextHopCapability(hops), RoleCapability(RoleCustomer), GracefulRestartCapability(gr),
		AS4Capability(4200000000), AddPathCapability(NewFamilySet(IPv4Unicast), NewFamilySet(IPv4Unicast, IPv6Unicast)),
		LLGRCapability(llgr), HostnameCapability("rtr", "example.net"), {Code: 200, Value: []byte{1}},
	}}
	got, err := ParseOpen(AppendOpen(nil, &o))
	if err != nil {
		t.Fatal(err)
	}
	if got.AS != o.AS || got.HoldTime != 90 || got.ID != o.ID {
		t.Errorf("got %+v", got)
	}
	check := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	check("families", got.Families(), NewFamilySet(IPv4Unicast, LS))
	check("next hops", got.ExtendedNextHop(), hops)
	g, ok := got.GracefulRestart()
	check("graceful restart", g, gr)
	check("it is there", ok, true)
	check("LLGR", got.LLGR(), llgr)
	role, ok := got.Role()
	check("role", role, RoleCustomer)
	check("it is there", ok, true)
	as, ok := got.AS4()
	check("AS", as, uint32(4200000000))
	check("it is there", ok, true)
	receive, send := got.AddPath()
	check("receive", receive, NewFamilySet(IPv4Unicast))
	check("send", send, NewFamilySet(IPv4Unicast, IPv6Unicast))
	host, domain, ok := got.Hostname()
	check("host", host, "rtr")
	check("domain", domain, "example.net")
	check("it is there", ok, true)
	for _, c := range []CapabilityCode{CapRouteRefresh, CapEnhancedRefresh, CapExtendedMessage, 200} {
		check(c.String(), got.Has(c), true)
	}
	check("another", got.Has(CapBGPsec), false)
}

// TestSeveralCapabilitiesOfOneCode: RFC 5492 section 4, and what each RFC says.
func TestSeveralCapabilitiesOfOneCode(t *testing.T) {
	open := func(cs ...Capability) *Open { return &Open{Capabilities: cs} }
	o := open(GracefulRestartCapability(GracefulRestart{Time: 1}), GracefulRestartCapability(GracefulRestart{Time: 2}))
	if g, ok := o.GracefulRestart(); !ok || g.Time != 2 {
		t.Errorf("graceful restart: got %v, want the last (RFC 4724 section 3)", g)
	}
	o = open(LLGRCapability([]LLGRFamily{{IPv4Unicast, true, 5}}), LLGRCapability(nil))
	if l := o.LLGR(); l != nil {
		t.Errorf("LLGR: got %v, want the last (RFC 9494 section 3.1)", l)
	}
	o = open(RoleCapability(RolePeer), RoleCapability(RolePeer))
	if r, ok := o.Role(); !ok || r != RolePeer || o.RolesDiffer() {
		t.Errorf("equal roles: got %v %v", r, ok)
	}
	o = open(RoleCapability(RolePeer), RoleCapability(RoleRS))
	if r, ok := o.Role(); ok || !o.RolesDiffer() {
		t.Errorf("roles that differ: got %v (RFC 9234 section 4.2)", r)
	}
	v4 := NewFamilySet(IPv4Unicast)
	o = open(AddPathCapability(v4, FamilySet{}), AddPathCapability(FamilySet{}, v4), AddPathCapability(FamilySet{}, NewFamilySet(IPv6Unicast)))
	receive, send := o.AddPath()
	if !receive.Has(IPv4Unicast) || send.Has(IPv4Unicast) || !send.Has(IPv6Unicast) {
		t.Errorf("Add-Path: got %v and %v, want the first of each family", receive, send)
	}
}

func TestBrokenCapabilitiesDoNotCount(t *testing.T) {
	for _, c := range []struct {
		name string
		c    Capability
		ok   func(*Open) bool
	}{
		{"graceful restart of 1 octet", Capability{CapGracefulRestart, []byte{1}}, func(o *Open) bool { _, ok := o.GracefulRestart(); return ok }},
		{"AS of 2 octets", Capability{CapAS4, []byte{1, 2}}, func(o *Open) bool { _, ok := o.AS4(); return ok }},
		{"role of 2 octets", Capability{CapRole, []byte{1, 2}}, func(o *Open) bool { _, ok := o.Role(); return ok }},
		{"empty hostname", Capability{CapHostname, nil}, func(o *Open) bool { _, _, ok := o.Hostname(); return ok }},
		{"hostname that is cut", Capability{CapHostname, []byte{5, 'a'}}, func(o *Open) bool { _, _, ok := o.Hostname(); return ok }},
		{"version that is cut", Capability{CapSoftwareVersion, []byte{5, 'a'}}, func(o *Open) bool { _, ok := o.SoftwareVersion(); return ok }},
		{"LLGR that is cut", Capability{CapLLGR, []byte{0, 1, 1, 0, 0, 0}}, func(o *Open) bool { return o.LLGR() != nil }},
		{"next hop of IPv4", Capability{CapExtendedNextHop, []byte{0, 1, 0, 1, 0, 1}}, func(o *Open) bool { s := o.ExtendedNextHop(); return !s.Empty() }},
		{"SAFI over 255", Capability{CapExtendedNextHop, []byte{0, 1, 1, 1, 0, 2}}, func(o *Open) bool { s := o.ExtendedNextHop(); return !s.Empty() }},
		{"Add-Path mode 4", Capability{CapAddPath, []byte{0, 1, 1, 4}}, func(o *Open) bool { r, s := o.AddPath(); return !r.Empty() || !s.Empty() }},
	} {
		if c.ok(&Open{Capabilities: []Capability{c.c}}) {
			t.Errorf("%s counts", c.name)
		}
	}
	o := Open{Capabilities: []Capability{{CapGracefulRestart, []byte{0, 9, 0, 1, 1, 0, 0, 2}}}}
	if g, ok := o.GracefulRestart(); !ok || g.Time != 9 || len(g.Families) != 1 {
		t.Errorf("graceful restart with half a family: got %+v %v", g, ok)
	}
	o = Open{Capabilities: []Capability{{CapHostname, []byte{3, 'a', 0, 0xff}}}}
	if h, d, ok := o.Hostname(); !ok || h != "a\uFFFD" || d != "" {
		t.Errorf("hostname without domain, with control characters: got %q %q %v", h, d, ok)
	}
}

func TestTimesOverTheMostAreTheMost(t *testing.T) {
	o := Open{Capabilities: []Capability{
		GracefulRestartCapability(GracefulRestart{Time: 65535}), LLGRCapability([]LLGRFamily{{IPv4Unicast, false, 1 << 31}})}}
	if g, _ := o.GracefulRestart(); g.Time != MaxRestartTime || g.Restarting || g.Notification {
		t.Errorf("got %+v", g)
	}
	if l := o.LLGR(); l[0].StaleTime != MaxStaleTime {
		t.Errorf("got %+v", l)
	}
}

// TestRolesFit is the table of RFC 9234 section 4.2.
func TestRolesFit(t *testing.T) {
	pairs := map[Role]Role{RoleProvider: RoleCustomer, RoleCustomer: RoleProvider, RoleRS: RoleRSClient, RoleRSClient: RoleRS, RolePeer: RolePeer}
	for a := range Role(8) {
		for b := range Role(8) {
			want, known := pairs[a]
			if got := a.Fits(b); got != (known && want == b) {
				t.Errorf("%v fits %v: %v", a, b, got)
			}
		}
	}
}

func TestNamesOfCapabilities(t *testing.T) {
	seen := map[string]int{}
	for i := range 256 {
		n := CapabilityCode(i).String()
		seen[n]++
		if n != strings.ToLower(n) || strings.ContainsAny(n, " _") {
			t.Errorf("%d: %q", i, n)
		}
	}
	if seen["add-path"] != 1 || seen["unknown"] != 256-28+1 {
		t.Errorf("%v", seen)
	}
	if CapabilityCode(69).String() != "add-path" || CapabilityCode(200).String() != "unknown" {
		t.Error("not the names of the API")
	}
}

// TestLongOpens: more than 255 octets of capabilities (RFC 9072).
func TestLongOpens(t *testing.T) {
	for n := range 120 {
		o := Open{AS: 1, HoldTime: 90, ID: 1}
		for i := range n {
			o.Capabilities = append(o.Capabilities, MultiprotocolCapability(MakeFamily(uint16(i), 1)))
		}
		b := AppendOpen(nil, &o)
		if extended := len(b) > 29+255; extended && (b[28] != 255 || b[29] != 255) {
			t.Errorf("%d capabilities: not in the extended form", n)
		}
		got, err := ParseOpen(b)
		if err != nil || !reflect.DeepEqual(got, o) && n > 0 {
			t.Errorf("%d capabilities: %v, %+v", n, err, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a capability of 256 octets was written")
		}
	}()
	AppendOpen(nil, &Open{Capabilities: []Capability{{Code: 200, Value: make([]byte, 256)}}})
}

func TestHostnamesAreCutBetweenCharacters(t *testing.T) {
	o := Open{Capabilities: []Capability{HostnameCapability(strings.Repeat("ü", 40), strings.Repeat("a", 70))}}
	h, d, _ := o.Hostname()
	if h != strings.Repeat("ü", 32) || d != strings.Repeat("a", 64) {
		t.Errorf("got %q %q", h, d)
	}
}
