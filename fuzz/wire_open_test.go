package fuzz

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
)

// FuzzOpen: an OPEN that is read is written to one that reads the same; what is
// decoded of its capabilities is written to capabilities that decode the same; an
// error lies in the message, and its NOTIFICATION fits into one; gobgp's parser
// reads what is written.
func FuzzOpen(f *testing.F) {
	for _, o := range seedOpens() {
		f.Add(wire.AppendOpen(nil, &o)[wire.HeaderLen:])
	}
	f.Add([]byte{4, 0, 1, 0, 90, 1, 2, 3, 4, 255, 255, 0, 7, 2, 0, 4, 65, 0, 64, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > wire.MaxMessageLen-wire.HeaderLen {
			return
		}
		msg := frame(wire.MsgOpen, body)
		o, err := wire.ParseOpen(msg)
		if err != nil {
			if err.Off < 0 || err.Start > err.Off || err.Off >= err.End || err.End > len(msg) {
				t.Fatalf("the error lies outside of %d octets: %+v", len(msg), *err)
			}
			n := err.Notification(msg)
			if b := wire.AppendNotification(nil, n); len(b) != 21+len(n.Data) {
				t.Fatalf("%v does not fit into a message", n.String())
			}
			return
		}
		out := wire.AppendOpen(nil, &o)
		back, err := wire.ParseOpen(out)
		if err != nil || !reflect.DeepEqual(o, back) {
			t.Fatalf("%v: %+v is written to %x, which reads %+v", err, o, out, back)
		}
		capabilities(t, &o)
		for _, c := range o.Capabilities {
			gobgpAgrees(t, c)
		}
	})
}

// gobgpAgrees holds what is decoded of one capability to gobgp, which refuses
// some that ribd takes as far as they are sound (RFC 5492 asks for neither), and
// which reads one that says IPv4 next hops for an IPv6 one (RFC 8950 section 4).
func gobgpAgrees(t *testing.T, c wire.Capability) {
	t.Helper()
	theirs, err := bgp.DecodeCapability(append([]byte{byte(c.Code), byte(len(c.Value))}, c.Value...))
	if err != nil {
		return
	}
	o := &wire.Open{Capabilities: []wire.Capability{c}}
	family := func(afi uint16, safi uint8) wire.Family { return wire.MakeFamily(afi, safi) }
	var got, want any
	switch g := theirs.(type) {
	case *bgp.CapMultiProtocol:
		afi, safi := bgp.RouteFamilyToAfiSafi(g.CapValue)
		if len(c.Value) != 4 {
			return
		}
		got, want = o.Families(), wire.NewFamilySet(family(afi, safi))
	case *bgp.CapFourOctetASNumber:
		if len(c.Value) != 4 {
			return
		}
		as, _ := o.AS4()
		got, want = as, g.CapValue
	case *bgp.CapGracefulRestart:
		w := wire.GracefulRestart{Restarting: g.Flags&8 != 0, Notification: g.Flags&4 != 0, Time: g.Time}
		for _, f := range g.Tuples {
			w.Families = append(w.Families, wire.GracefulFamily{Family: family(f.AFI, f.SAFI), Forwarding: f.Flags&0x80 != 0})
		}
		gr, _ := o.GracefulRestart()
		got, want = gr, w
	case *bgp.CapLongLivedGracefulRestart:
		var w []wire.LLGRFamily
		for _, f := range g.Tuples {
			w = append(w, wire.LLGRFamily{Family: family(f.AFI, f.SAFI), Forwarding: f.Flags&0x80 != 0, StaleTime: f.RestartTime})
		}
		got, want = o.LLGR(), w
	case *bgp.CapExtendedNexthop:
		var w wire.FamilySet
		for _, f := range g.Tuples {
			if f.NexthopAFI == 2 && f.NLRISAFI < 256 {
				w = w.With(family(f.NLRIAFI, uint8(f.NLRISAFI)))
			}
		}
		got, want = o.ExtendedNextHop(), w
	case *bgp.CapAddPath:
		var seen, receive, send wire.FamilySet
		for _, f := range g.Tuples {
			afi, safi := bgp.RouteFamilyToAfiSafi(f.RouteFamily)
			k := family(afi, safi)
			if f.Mode < 1 || f.Mode > 3 || seen.Has(k) {
				continue
			}
			seen = seen.With(k)
			if f.Mode != bgp.BGP_ADD_PATH_SEND {
				receive = receive.With(k)
			}
			if f.Mode != bgp.BGP_ADD_PATH_RECEIVE {
				send = send.With(k)
			}
		}
		r, s := o.AddPath()
		got, want = []wire.FamilySet{r, s}, []wire.FamilySet{receive, send}
	case *bgp.CapFQDN:
		host, domain, _ := o.Hostname()
		if host != string(c.Value[1:1+int(c.Value[0])]) || domain == "" {
			return // cleaned of what is no text
		}
		got, want = host, g.HostName
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("capability %d of %x: got %+v, gobgp has %+v", c.Code, c.Value, got, want)
	}
}

// capabilities decodes and encodes what each getter reads.
func capabilities(t *testing.T, o *wire.Open) {
	t.Helper()
	var c []wire.Capability
	families := o.Families()
	for _, f := range families.Families() {
		c = append(c, wire.MultiprotocolCapability(f))
	}
	add := func(x wire.Capability) {
		if len(x.Value) <= 255 {
			c = append(c, x)
		}
	}
	g, graceful := o.GracefulRestart()
	if graceful {
		add(wire.GracefulRestartCapability(g))
	}
	add(wire.LLGRCapability(o.LLGR()))
	role, hasRole := o.Role()
	if hasRole {
		add(wire.RoleCapability(role))
	}
	host, domain, named := o.Hostname()
	if named && len(host) <= 64 && len(domain) <= 64 {
		add(wire.HostnameCapability(host, domain))
	} else {
		named = false
	}
	hops, room := o.ExtendedNextHop(), true
	if len(hops.Families()) <= 42 {
		add(wire.ExtendedNextHopCapability(hops))
	} else {
		room = false
	}
	receive, send := o.AddPath()
	paths := len(receive.Families())+len(send.Families()) <= 63
	if paths {
		add(wire.AddPathCapability(receive, send))
	}
	back := &wire.Open{Capabilities: c}
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %v, want %v of %+v", what, got, want, o.Capabilities)
		}
	}
	same("families", back.Families(), families)
	if got, ok := back.GracefulRestart(); graceful {
		same("graceful restart", got, g)
		same("graceful restart is there", ok, true)
	}
	same("LLGR", back.LLGR(), o.LLGR())
	if got, ok := back.Role(); hasRole {
		same("role", got, role)
		same("role is there", ok, true)
	}
	if h, d, ok := back.Hostname(); named {
		same("hostname", []string{h, d}, []string{host, domain})
		same("hostname is there", ok, true)
	}
	if room {
		same("next hops", back.ExtendedNextHop(), hops)
	}
	if r, s := back.AddPath(); paths {
		same("receive", r, receive)
		same("send", s, send)
	}
}

// FuzzNotification: whatever a NOTIFICATION holds, it reads as it was written
// and has a name.
func FuzzNotification(f *testing.F) {
	f.Add(byte(6), byte(2), wire.ShutdownData("maintenance"))
	f.Add(byte(6), byte(9), []byte{6, 2, 3, 'b', 'y', 'e'})
	f.Add(byte(6), byte(1), wire.MaxPrefixesData(wire.IPv4Unicast, 5))
	f.Add(byte(2), byte(7), []byte{1, 4, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, code, subcode byte, data []byte) {
		if len(data) > 4000 {
			return
		}
		n := wire.Notification{Code: code, Subcode: subcode, Data: data}
		msg := wire.AppendNotification(nil, n)
		back, err := wire.ParseNotification(msg, &wire.Session{})
		if err != nil || back.Code != code || back.Subcode != subcode || !bytes.Equal(back.Data, data) {
			t.Fatalf("%v: got %+v, want %+v", err, back, n)
		}
		if n.Name() == "" || n.String() == "" {
			t.Fatalf("%+v has no name", n)
		}
		for _, r := range n.String() + n.Text() {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%+v: %q", n, n.String())
			}
		}
		if inner, ok := n.Unwrap(); ok {
			if again := wire.HardReset(inner); !bytes.Equal(again.Data, data) || again.Subcode != subcode {
				t.Fatalf("%+v holds %+v", n, inner)
			}
		}
	})
}

// frame puts a header before a body.
func frame(typ wire.MessageType, body []byte) []byte {
	b := bytes.Repeat([]byte{0xff}, 16)
	n := wire.HeaderLen + len(body)
	return append(append(b, byte(n>>8), byte(n), byte(typ)), body...)
}

func seedOpens() []wire.Open {
	v4, v6 := wire.NewFamilySet(wire.IPv4Unicast), wire.NewFamilySet(wire.IPv6Unicast)
	all := []wire.Capability{
		wire.MultiprotocolCapability(wire.IPv4Unicast), wire.MultiprotocolCapability(wire.L2VPNEVPN), wire.RouteRefreshCapability(),
		wire.EnhancedRefreshCapability(), wire.ExtendedMessageCapability(), wire.ExtendedNextHopCapability(v4),
		wire.RoleCapability(wire.RolePeer), wire.AS4Capability(70000), wire.AddPathCapability(v4, v6),
		wire.GracefulRestartCapability(wire.GracefulRestart{Restarting: true, Time: 120,
			Families: []wire.GracefulFamily{{Family: wire.IPv4Unicast, Forwarding: true}}}),
		wire.LLGRCapability([]wire.LLGRFamily{{Family: wire.IPv4Unicast, StaleTime: 3600}}), wire.HostnameCapability("a", "b.example"),
		{Code: 200, Value: []byte{1, 2}},
	}
	seeds := []wire.Open{{AS: 65001, HoldTime: 90, ID: 1}, {AS: 70000, HoldTime: 0, ID: 1 << 31, Capabilities: all}}
	for _, c := range all {
		seeds = append(seeds, wire.Open{AS: 1, ID: 2, Capabilities: []wire.Capability{c, c}})
	}
	long := wire.Open{AS: 65001, HoldTime: 180, ID: 7}
	for i := range 60 {
		long.Capabilities = append(long.Capabilities, wire.MultiprotocolCapability(wire.MakeFamily(uint16(i+1), 1)))
	}
	return append(seeds, long)
}
