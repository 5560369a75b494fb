package session

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

func TestPlanSaysWhatApplyDoes(t *testing.T) {
	n := loopback()
	base := func(change ...func(*config.Peer)) config.Peer { return peerTo(n.b, 0, 65002, n.a, change...) }
	set := func(ps ...config.Peer) Settings {
		return Settings{AS: 65001, RouterID: netip.MustParseAddr("10.0.0.1"), Peers: ps}
	}
	for _, c := range []struct {
		name     string
		old, new Settings
		kind     ChangeKind
		keys     []string
	}{
		{"new", set(), set(base()), Added, nil},
		{"gone", set(base()), set(), Removed, nil},
		{"AS", set(base()), set(base(func(p *config.Peer) { p.AS.Numbers = []uint32{1} })), Reset, []string{"as"}},
		{"families", set(base()), set(base(func(p *config.Peer) { p.Families = []wire.Family{wire.IPv6Unicast} })), Reset, []string{"families"}},
		{"policies", set(base()), set(base(func(p *config.Peer) { p.Import, p.Export = "a", "b" })), Live, []string{"import", "export"}},
		{"limit", set(base()), set(base(func(p *config.Peer) {
			p.MaxPrefixes = map[wire.Family]config.MaxPrefixes{wire.IPv4Unicast: {Limit: 1}}
		})), Live, []string{"max_prefixes"}},
		{"description and hold time", set(base()), set(base(func(p *config.Peer) { p.Description, p.HoldTime = "x", time.Minute })), Reset, []string{"description", "hold_time"}},
		{"own AS", set(base()), Settings{AS: 65009, RouterID: netip.MustParseAddr("10.0.0.1"), Peers: []config.Peer{base()}}, Reset, []string{"as (of this router)"}},
		{"identifier", set(base()), Settings{AS: 65001, RouterID: netip.MustParseAddr("10.0.0.2"), Peers: []config.Peer{base()}}, Reset, []string{"router_id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := plan(&c.old, &c.new, nil, nil)
			if len(got.Peers) != 1 || got.Peers[0].Kind != c.kind || !slices.Equal(got.Peers[0].Keys, c.keys) {
				t.Errorf("got %+v, want %v %v", got, c.kind, c.keys)
			}
			if !plan(&c.new, &c.new, nil, nil).Empty() {
				t.Error("the same settings differ")
			}
		})
	}
	two := set(base(func(p *config.Peer) { p.Families = []wire.Family{wire.IPv6Unicast, wire.IPv4Unicast} }))
	other := set(base(func(p *config.Peer) { p.Families = []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast} }))
	if !plan(&two, &other, nil, nil).Empty() {
		t.Error("the order of families is a change")
	}
}

// TestEveryKeyIsCompared sets one field after the other: none may be missed.
func TestEveryKeyIsCompared(t *testing.T) {
	var walk func(v reflect.Value, path string, base, changed *config.Peer)
	walk = func(v reflect.Value, path string, base, changed *config.Peer) {
		for i := range v.NumField() {
			f, name := v.Field(i), path+v.Type().Field(i).Name
			if name == "Address" || name == "Prefix" {
				continue // what identifies the peer
			}
			old := reflect.ValueOf(f.Interface())
			switch f.Kind() {
			case reflect.Struct:
				if f.Type() != reflect.TypeFor[netip.Addr]() {
					walk(f, name+".", base, changed)
					continue
				}
				f.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.200")))
			case reflect.Bool:
				f.SetBool(!f.Bool())
			case reflect.String:
				f.SetString("changed")
			case reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 7, 7))
			case reflect.Map:
				m := reflect.MakeMap(f.Type())
				m.SetMapIndex(reflect.New(f.Type().Key()).Elem(), reflect.New(f.Type().Elem()).Elem())
				f.Set(m)
			default:
				if f.CanInt() {
					f.SetInt(f.Int() + 1)
				} else {
					f.SetUint(f.Uint() + 1)
				}
			}
			if keys, _ := differ(base, changed); len(keys) != 1 {
				t.Errorf("%s: keys %v", name, keys)
			}
			f.Set(old)
		}
	}
	base := peerTo(netip.MustParseAddr("192.0.2.1"), 179, 65002, netip.Addr{})
	changed := base
	changed.PeerSettings.AS.Numbers = []uint32{65002}
	walk(reflect.ValueOf(&changed).Elem(), "", &base, &changed)
}

func TestApplyTouchesOnlyWhatChanged(t *testing.T) {
	n := loopback()
	c := n.b.Next()
	a := newStation(t, 65001, n.a, nil)
	b, d := peerTo(n.b, 0, 65002, n.a), peerTo(c, 0, 65003, n.a)
	a.apply(b, d)
	rb, rd := dialRaw(t, n.b, a), dialRaw(t, c, a)
	rb.shake(openOf(65002, 2))
	rd.shake(openOf(65003, 3))
	sb, sd := a.up(n.b), a.up(c)
	b.Description, d.HoldTime = "other", 30*time.Second
	got := a.apply(b, d)
	if len(got.Peers) != 2 || got.Peers[0].Kind != Live || got.Peers[1].Kind != Reset {
		t.Errorf("changes %+v", got)
	}
	rd.wantNotification(wire.CodeCease, wire.CeaseConfigChange)
	<-sd.Done()
	if a.up(n.b) != sb || sb.Config().Description != "other" || sb.Peer.Description == "other" {
		t.Error("the unchanged session was touched, or does not know what changed")
	}
	eventually(t, "a new session", func() bool {
		c, err := dialFrom(c, a)
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		r := &raw{t: t, c: c}
		c.Write(wire.AppendOpen(nil, openOf(65003, 3)))
		mt, m, err := r.read()
		if err != nil || mt != wire.MsgOpen {
			return false
		}
		if o, _ := wire.ParseOpen(m); o.HoldTime != 30 {
			t.Errorf("hold time %d", o.HoldTime)
		}
		r.write(wire.AppendKeepalive(nil))
		return true
	})
	a.up(c)
	a.apply(b)
	if _, err := a.Peer(c.String()); !errors.Is(err, ErrNoPeer) {
		t.Errorf("a peer that was removed: %v", err)
	}
	if !a.apply(b).Empty() {
		t.Error("applying the same again does something")
	}
}

func TestAdministration(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	name := n.b.String()
	for what, err := range map[string]error{
		"an unknown peer":      a.Reset("192.0.2.99", ""),
		"an unknown id":        a.Enable("0123456789abcdef"),
		"a refresh while down": a.Refresh(name, 0),
		"a long message":       a.Disable(name, strings.Repeat("x", 256)),
		"broken UTF-8":         a.Disable(name, "\xff"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2))
	s := a.up(n.b)
	if err := a.Refresh(name, 0); !errors.Is(err, ErrNoRefresh) {
		t.Errorf("a refresh that was not negotiated: %v", err)
	}
	if err := a.Reset(s.ID, "maintenance"); err != nil {
		t.Error(err)
	}
	if x := r.wantNotification(wire.CodeCease, wire.CeaseAdminReset); x.Text() != "maintenance" {
		t.Errorf("message %q", x.Text())
	}
	if st := a.wait(n.b, "down", func(s Status) bool { return s.State != fsm.Established }); st.Reason != "reset: maintenance" {
		t.Errorf("reason %q", st.Reason)
	}
}

func TestRouteRefresh(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2, wire.RouteRefreshCapability(), wire.EnhancedRefreshCapability()))
	a.up(n.b)
	a.Refresh(n.b.String(), wire.IPv4Unicast)
	m, err := wire.ParseRouteRefresh(r.want(wire.MsgRouteRefresh), &wire.Session{})
	if err != nil || m.Family != wire.IPv4Unicast || m.Subtype != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	refresh := func(f wire.Family, subtype uint8) []byte {
		return wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Subtype: subtype})
	}
	// What is not announced again between begin and end goes.
	r.write(update(65002, 0, 30))
	eventually(t, "30 paths", func() bool { a.rib.Settle(); return a.paths() == 30 })
	r.write(refresh(wire.IPv4Unicast, 1))
	r.write(update(65002, 0, 10))
	r.write(refresh(wire.IPv4Unicast, 2))
	eventually(t, "10 paths", func() bool { a.rib.Settle(); return a.paths() == 10 })
	r.write(refresh(wire.IPv6Unicast, 0)) // was not negotiated
	r.write(refresh(wire.IPv4Unicast, 0))
	eventually(t, "asked for", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.Equal(a.refr, []wire.Family{wire.IPv4Unicast})
	})
	long := wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 1, Data: []byte{0}})
	r.write(long)
	r.wantNotification(wire.CodeRouteRefresh, wire.SubInvalidRefreshLength)
}

type refuseAll struct{}

func (refuseAll) Set(_ wire.Family, _ rib.PeerNum, a rib.AttrID) (rib.Verdict, bool) {
	return rib.Verdict{Attrs: a, Filtered: rib.FilterPolicy}, true
}

func (refuseAll) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("not asked")
}

func TestReimport(t *testing.T) {
	n := loopback()
	var filter rib.Filter
	a := newStation(t, 65001, n.a, func(o *Options) { o.Hooks.Import = func(*Session) rib.Filter { return filter } })
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2))
	s := a.up(n.b)
	r.write(update(65002, 0, 10))
	filtered := func() (n int64) {
		a.rib.Settle()
		st, _ := a.rib.PeerStatus(s.Num)
		for _, c := range st.Counts {
			n += c.Filtered
		}
		return n
	}
	eventually(t, "10 paths", func() bool { return a.paths() == 10 })
	filter = refuseAll{}
	fs := a.Reimport()
	if len(fs) != 1 || fs[s.Num] == nil {
		t.Fatalf("filters %v", fs)
	}
	<-a.rib.Rejudge(fs)
	r.write(update(65002, 10, 15))
	eventually(t, "15 filtered", func() bool { return filtered() == 15 })
	if a.up(n.b) != s {
		t.Error("the session was touched")
	}
}

func TestADynamicNeighbourIsListedForAnHour(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := peerTo(netip.Addr{}, 0, 65002, netip.Addr{})
		p.Prefix = netip.PrefixFrom(farAddr, 24).Masked()
		b.apply(p)
		x, err := b.admit(farAddr)
		if err != nil {
			t.Fatal(err)
		}
		here := b.pipe(x)
		here.open(openOf(65002, 2))
		if st := b.status(farAddr); st.State != fsm.Established {
			t.Fatalf("state %s", st.State)
		}
		here.c.Close()
		time.Sleep(59 * time.Minute)
		if st := b.status(farAddr); st.Reason == "" || st.State > fsm.Active {
			t.Errorf("state %s, reason %q", st.State, st.Reason)
		}
		time.Sleep(2 * time.Minute)
		if len(b.Peers()) != 0 {
			t.Error("it is listed for longer")
		}
	})
}
