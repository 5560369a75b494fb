package adjout

import (
	"net/netip"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

func labels(ls ...uint32) (b []byte) {
	for i, l := range ls {
		v := l << 4
		if i == len(ls)-1 {
			v |= 1
		}
		b = append(b, byte(v>>16), byte(v>>8), byte(v))
	}
	return b
}

// TestEveryFamilyIsSentOn announces a route of each kind of family and takes it
// back.
func TestEveryFamilyIsSentOn(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2}, Options{})
	a, b := w.peer(1, false, false), w.peer(2, false, false)
	evpn := []byte{3, 17, 0, 1, 192, 0, 2, 1, 0, 1, 0, 0, 0, 0, 32, 192, 0, 2, 1}
	rule := []byte{5, 1, 24, 192, 0, 2}
	routes := []struct {
		f      wire.Family
		rd     uint64
		prefix string
		raw    []byte
		labels []byte
		hop    string // as it is sent
	}{
		{wire.IPv4Unicast, 0, "192.0.2.0/24", nil, nil, "192.0.2.254"},
		{wire.IPv6Unicast, 0, "2001:db8::/32", nil, nil, "2001:db8::fe"},
		{wire.IPv4Multicast, 0, "192.0.2.0/24", nil, nil, "192.0.2.254"},
		{wire.IPv6Multicast, 0, "2001:db8::/32", nil, nil, "2001:db8::fe"},
		{wire.IPv4LabelledUnicast, 0, "192.0.2.0/25", nil, labels(100, 200), "192.0.2.1"},
		{wire.IPv6LabelledUnicast, 0, "2001:db8::/33", nil, labels(100), "2001:db8::1"},
		{wire.IPv4VPN, 65001<<32 | 1, "192.0.2.0/24", nil, labels(7), "192.0.2.1"},
		{wire.IPv4VPN, 65001<<32 | 2, "192.0.2.0/24", nil, labels(8), "192.0.2.1"},
		{wire.IPv6VPN, 65001<<32 | 1, "2001:db8::/48", nil, labels(9), "2001:db8::1"},
		{wire.IPv4FlowSpec, 0, "", rule, nil, ""},
		{wire.IPv6FlowSpec, 0, "", []byte{7, 1, 32, 0, 0x20, 0x01, 0x0d, 0xb8}, nil, ""},
		{wire.IPv4FlowSpecVPN, 0, "", []byte{13, 0, 0, 253, 233, 0, 0, 0, 1, 1, 24, 192, 0, 2}, nil, ""},
		{wire.IPv6FlowSpecVPN, 0, "", []byte{15, 0, 0, 253, 233, 0, 0, 0, 1, 1, 32, 0, 0x20, 0x01, 0x0d, 0xb8}, nil, ""},
		{wire.L2VPNEVPN, 0, "", evpn, nil, "192.0.2.1"},
	}
	to := b.to()
	to.Families = nil
	for _, r := range routes {
		if r.f != wire.IPv4VPN || r.rd&1 == 1 {
			to.Families = append(to.Families, r.f)
		}
	}
	w.join(b, to)
	type key struct {
		t rib.TableID
		k trie.Key
		n uint8
	}
	at := make([]key, len(routes))
	for i, r := range routes {
		s := spec(65001)
		s.Hop = r.hop
		if r.prefix != "" && netip.MustParsePrefix(r.prefix).Addr().Is6() {
			s.Hop = "2001:db8::1"
		}
		id, _ := w.rib.Attrs().Intern(s.canonical())
		p := rib.Path{Peer: a.num, Attrs: id, Received: 1}
		p.Labels, _ = w.rib.InternLabels(r.labels)
		at[i].t, _ = w.rib.Table(r.f, r.rd)
		if r.raw != nil {
			at[i].k, at[i].n, _ = w.rib.RawKey(r.raw)
		} else {
			at[i].k, at[i].n = trie.PrefixKey(netip.MustParsePrefix(r.prefix))
		}
		w.fan.Announce(at[i].t, at[i].k, at[i].n, &p)
	}
	w.settle()
	for i, r := range routes {
		k := route{r.f, r.rd, r.prefix, 0}
		if r.raw != nil {
			k.nlri = string(r.raw)
		}
		got, ok := b.sink.held[k]
		if !ok {
			t.Errorf("%v %q did not arrive", r.f, k.nlri)
			continue
		}
		if s := parse([]byte(got)); s.Hop != r.hop || len(s.Path) != 2 || b.sink.labels[k] != string(r.labels) {
			t.Errorf("%v %s: got next hop %q, path %v, labels %x; want %q, %x", r.f, k.nlri, s.Hop, s.Path, b.sink.labels[k], r.hop, r.labels)
		}
		if p := b.member.Paths(at[i].t, at[i].k, at[i].n, nil); len(p) != 1 || p[0].From != a.num {
			t.Errorf("%v: Paths says %v", r.f, p)
		}
	}
	// A refresh of every family brings all again.
	before := b.sink.routes
	for _, f := range to.Families {
		b.member.Refresh(f, true)
	}
	w.settle()
	if n := b.sink.routes - before; n != len(routes) {
		t.Errorf("%d routes came with the refresh, want %d", n, len(routes))
	}
	for _, k := range at {
		w.fan.Withdraw(k.t, k.k, k.n, a.num, 0, false)
	}
	w.settle()
	if len(b.sink.held) > 0 || b.sink.spurious > 0 {
		t.Errorf("left: %v, %d withdrawals of what was not there", b.sink.held, b.sink.spurious)
	}
}

// TestRulesHaveNoNextHopButForARedirect sends rules of all four families on, also of
// VPNs (RFC 8955 8): a next hop goes with them where it is the target of a redirect,
// and no other (section 4).
func TestRulesHaveNoNextHopButForARedirect(t *testing.T) {
	rules := map[wire.Family][]byte{
		wire.IPv4FlowSpec: {5, 1, 24, 192, 0, 2}, wire.IPv6FlowSpec: {7, 1, 32, 0, 0x20, 0x01, 0x0d, 0xb8},
		wire.IPv4FlowSpecVPN: {13, 0, 0, 253, 233, 0, 0, 0, 1, 1, 24, 192, 0, 2},
		wire.IPv6FlowSpecVPN: {15, 0, 0, 253, 233, 0, 0, 0, 1, 1, 32, 0, 0x20, 0x01, 0x0d, 0xb8},
	}
	for _, hop := range []string{"", "192.0.2.77", "2001:db8::77"} {
		w := newWorld(t, shard.Options{Shards: 1}, Options{})
		from, to := w.peer(1, false, false), w.peer(2, false, false)
		target := to.to()
		target.Families, target.NextHop = nil, NextHopSelf
		for f := range rules {
			target.Families = append(target.Families, f)
		}
		w.join(to, target)
		for other, want := range map[string]string{redirectHop: hop, redirectTo: "", "": ""} {
			for f, nlri := range rules {
				a := with(spec(65001), func(a *attrSpec) { a.Hop, a.Other = hop, other })
				table, _ := w.rib.Table(f, 0)
				id, _ := w.rib.Attrs().Intern(a.canonical())
				k, n, _ := w.rib.RawKey(nlri)
				w.fan.Announce(table, k, n, &rib.Path{Peer: from.num, Attrs: id, Received: 1})
			}
			w.settle()
			for f, nlri := range rules {
				got, ok := to.sink.held[route{f, 0, string(nlri), 0}]
				if a := parse([]byte(got)); !ok || a.Hop != want || a.Other != other {
					t.Errorf("%v, next hop %q, %x: sent %t, as %+v", f, hop, other, ok, a)
				}
			}
		}
	}
}
