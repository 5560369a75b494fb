package flow

import (
	"net/netip"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// TestVerdicts goes through RFC 8955 section 6, RFC 8956 section 5 and RFC 9117
// section 4. A customer (AS 65001), another (65002), a route server (65100), and
// internal peers a and b.
func TestVerdicts(t *testing.T) {
	type route struct {
		from, prefix string
		set          set
	}
	const cust, other, server, a, b = "192.0.2.1", "192.0.2.2", "192.0.2.100", "10.0.0.1", "10.0.0.2"
	one, two := set{path: []uint32{65001}}, set{path: []uint32{65002}}
	for _, c := range []struct {
		name   string
		routes []route
		from   string
		dst    string
		set    set
		want   string
	}{
		{"the originator of the route", []route{{cust, "203.0.113.0/24", one}}, cust, "203.0.113.0/24", one, "valid"},
		{"the route is shorter", []route{{cust, "203.0.0.0/16", one}}, cust, "203.0.113.5/32", one, "valid"},
		{"there is no route", nil, cust, "203.0.113.0/24", one, "no-unicast-route"},
		{"only a longer one", []route{{cust, "203.0.113.0/25", one}}, cust, "203.0.113.0/24", one, "no-unicast-route"},
		{"there is no destination", []route{{cust, "0.0.0.0/0", one}}, cust, "", one, "no-destination"},
		{"the route is another's", []route{{other, "203.0.113.0/24", two}}, cust, "203.0.113.0/24", one, "originator"},
		{"the longest match counts", []route{{cust, "203.0.0.0/16", one}, {other, "203.0.113.0/24", two}}, cust, "203.0.113.0/24", one, "originator"},
		{"of shorter ones it does not matter", []route{{other, "203.0.0.0/16", two}, {cust, "203.0.113.0/24", one}}, cust, "203.0.113.0/24", one, "valid"},
		{"the best path counts", []route{{cust, "203.0.113.0/24", set{path: []uint32{65001, 1, 2}}}, {other, "203.0.113.0/24", two}}, cust, "203.0.113.0/24", one, "originator"},
		{"a worse one of another's does not", []route{{cust, "203.0.113.0/24", one}, {other, "203.0.113.0/24", set{path: []uint32{65002, 1, 2}}}}, cust, "203.0.113.0/24", one, "valid"},

		{"a longer one of another's", []route{{cust, "203.0.0.0/16", one}, {other, "203.0.113.0/24", two}}, cust, "203.0.0.0/16", one, "more-specific"},
		{"a longer one of ours", []route{{cust, "203.0.0.0/16", one}, {a, "203.0.113.0/24", set{}}}, cust, "203.0.0.0/16", one, "more-specific"},
		{"a longer one of the same AS", []route{{cust, "203.0.0.0/16", one}, {a, "203.0.113.0/24", one}}, cust, "203.0.0.0/16", one, "valid"},
		{"a longer one that lies beside it", []route{{cust, "203.0.0.0/16", one}, {other, "203.1.0.0/24", two}}, cust, "203.0.0.0/16", one, "valid"},
		{"what is not used of a longer one", []route{{cust, "203.0.0.0/16", one}, {cust, "203.0.113.0/24", one}, {other, "203.0.113.0/24", set{path: []uint32{65002, 1}}}}, cust, "203.0.0.0/16", one, "valid"},
		{"all of it, over many shards", []route{{cust, "0.0.0.0/0", one}, {other, "203.0.113.0/24", two}}, cust, "0.0.0.0/0", one, "more-specific"},

		{"RFC 9117 4.2: the first AS is that of the route, not the peer's", []route{{server, "203.0.113.0/24", one}}, server, "203.0.113.0/24", set{path: []uint32{65001, 7}}, "valid"},
		{"RFC 9117 4.2: it is another", []route{{server, "203.0.113.0/24", one}}, server, "203.0.113.0/24", two, "originator"},
		{"RFC 9117 4.2: there is none", []route{{server, "203.0.113.0/24", one}}, server, "203.0.113.0/24", set{}, "originator"},
		{"RFC 9117 4.2: it is in a set", []route{{server, "203.0.113.0/24", one}}, server, "203.0.113.0/24", set{asSet: []uint32{65001}}, "originator"},
		{"RFC 9117 4.2: it is not asked of internal peers", []route{{a, "203.0.113.0/24", one}}, a, "203.0.113.0/24", two, "valid"},

		{"RFC 9117 4.1: an internal peer, the path is empty", nil, a, "203.0.113.0/24", set{}, "valid"},
		{"RFC 9117 4.1: and others have the route", []route{{cust, "203.0.113.0/24", one}}, a, "203.0.0.0/16", set{}, "valid"},
		{"RFC 9117 4.1: and others have a longer one", []route{{cust, "203.0.0.0/16", one}, {other, "203.0.113.0/24", two}}, a, "203.0.0.0/16", set{}, "valid"},
		{"RFC 9117 4.1: the path is of the confederation", nil, a, "203.0.113.0/24", set{confed: []uint32{64512}}, "valid"},
		{"RFC 9117 4.1: and goes on", nil, a, "203.0.113.0/24", set{confed: []uint32{64512}, path: []uint32{65001}}, "no-unicast-route"},
		{"RFC 9117 4.1: a destination is wanted all the same", nil, a, "", set{}, "no-destination"},

		{"ORIGINATOR_ID is the originator", []route{{a, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.9"}}}, b, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.9"}, "valid"},
		{"another ORIGINATOR_ID from the same peer", []route{{a, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.9"}}}, a, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.8"}, "originator"},
		{"ORIGINATOR_ID of one alone", []route{{a, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.9"}}}, a, "203.0.113.0/24", one, "originator"},
		{"reflected, and heard of directly: it is an address", []route{{a, "203.0.113.0/24", one}}, b, "203.0.113.0/24", set{path: []uint32{65001}, originator: a}, "valid"},
		{"an external peer's ORIGINATOR_ID does not stand for its AS", []route{{a, "203.0.113.0/24", set{path: []uint32{65002}, originator: "10.9.9.9"}}}, cust, "203.0.113.0/24", set{path: []uint32{65001}, originator: "10.9.9.9"}, "originator"},
	} {
		for _, f := range []wire.Family{wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN} {
			l := newLab(t, shard.Options{Shards: 2})
			nums := map[string]rib.PeerNum{}
			for addr, as := range map[string]uint32{cust: 65001, other: 65002, server: 65100, a: 0, b: 0} {
				nums[addr] = l.peer(addr, as, Strict)
			}
			for _, r := range c.routes {
				l.announce(l.prefix(flowspec.Unicast(f), 7, as(f, r.prefix)), rib.Path{Peer: nums[r.from], Attrs: l.attrs(r.set)})
			}
			l.wait()
			at := l.at(f, rule(f, 7, as(f, c.dst), 53))
			want := c.want
			if n := nums[c.from]; f == wire.IPv4FlowSpecVPN && (n == nums[a] || n == nums[b]) {
				want = "valid" // another PE (RFC 8955 section 8)
			}
			why := l.announce(at, rib.Path{Peer: nums[c.from], Attrs: l.attrs(c.set)})
			if got := why.String(); got != want && !(got == "" && want == "valid") {
				t.Errorf("%s, %v: %q at once, want %s", c.name, f, got, want)
			}
			l.want(at, nums[c.from], want, c.name+", "+f.String())
			if s := l.fl.Stats(); s.Changes != 0 {
				t.Errorf("%s, %v: the verdict was changed %d times", c.name, f, s.Changes)
			}
		}
	}
}

// as returns a prefix in the address family of rules: of IPv6 as the first bits.
func as(f wire.Family, p string) string {
	if p == "" || !flowspec.Is6(f) {
		return p
	}
	q := netip.MustParsePrefix(p)
	var b [16]byte
	copy(b[:], q.Addr().AsSlice())
	return netip.PrefixFrom(netip.AddrFrom16(b), q.Bits()).String()
}

// TestAnOffsetIsNoDestination: RFC 8956 section 5 wants offset 0.
func TestAnOffsetIsNoDestination(t *testing.T) {
	for mode, want := range map[Validation]string{Strict: "no-destination", NoDestination: "valid", Off: "valid"} {
		l := newLab(t, shard.Options{Shards: 1})
		n := l.peer("192.0.2.1", 65001, mode)
		l.announce(l.prefix(wire.IPv6Unicast, 0, "::/0"), rib.Path{Peer: n, Attrs: l.attrs(set{path: []uint32{65001}})})
		nlri, err := flowspec.Canonical(nil, wire.IPv6FlowSpec, []byte{10, 1, 64, 32, 0, 0, 0, 1, 3, 0x81, 17})
		if err != nil {
			t.Fatal(err)
		}
		at := l.at(wire.IPv6FlowSpec, nlri)
		l.announce(at, rib.Path{Peer: n, Attrs: l.attrs(set{path: []uint32{65001}})})
		l.want(at, n, want, mode.String())
	}
}

// TestModes: what a peer's setting lets pass.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode Validation
		dst  string
		want string
	}{
		{Strict, "", "no-destination"}, {NoDestination, "", "valid"}, {Off, "", "valid"},
		{Strict, "203.0.113.0/24", "no-unicast-route"}, {NoDestination, "203.0.113.0/24", "no-unicast-route"}, {Off, "203.0.113.0/24", "valid"},
	} {
		l := newLab(t, shard.Options{Shards: 1})
		n := l.peer("192.0.2.1", 65001, c.mode)
		at := l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, c.dst, 53))
		l.announce(at, rib.Path{Peer: n, Attrs: l.attrs(set{path: []uint32{65001}})})
		l.want(at, n, c.want, c.mode.String()+" "+c.dst)
	}
}

// TestWhoseRoutesCount: recordings have no say, and nobody is us.
func TestWhoseRoutesCount(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n := l.peer("192.0.2.1", 65001, Strict)
	dump, local := l.source(rib.SourceMRT, "192.0.2.1"), l.source(rib.SourceLocal, "")
	one := l.attrs(set{path: []uint32{65001}})
	at := l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "203.0.113.0/24", 53))
	route := l.prefix(wire.IPv4Unicast, 0, "203.0.113.0/24")

	l.announce(route, rib.Path{Peer: dump, Attrs: one})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.128/25"), rib.Path{Peer: dump, Attrs: l.attrs(set{path: []uint32{65002}})})
	l.announce(at, rib.Path{Peer: n, Attrs: one})
	l.want(at, n, "no-unicast-route", "a recording has it alone")
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.0.0/16"), rib.Path{Peer: n, Attrs: one})
	l.want(at, n, "valid", "the peer has a shorter one")
	l.announce(route, rib.Path{Peer: local, Attrs: l.attrs(set{})})
	l.want(at, n, "originator", "it is originated here")
	l.withdraw(route, local)
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.128/25"), rib.Path{Peer: local, Attrs: l.attrs(set{})})
	l.want(at, n, "more-specific", "a part of it is originated here")

	// Rules of a recording or of our own are what they are.
	for _, who := range []rib.PeerNum{dump, local} {
		l.announce(at, rib.Path{Peer: who, Attrs: one})
		l.want(at, who, "valid", "not of a session")
	}
}

// refusing is policy that refuses what has a set.
type refusing rib.AttrID

func (r refusing) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	if id == rib.AttrID(r) {
		return rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}, true
	}
	return rib.Verdict{Attrs: id}, id%2 == 0
}

func (r refusing) Route(_ wire.Family, _ uint64, _ trie.Key, _ uint8, p *rib.Path) rib.Verdict {
	return rib.Verdict{Attrs: p.Attrs}
}

// TestPolicyComesFirst: what it refuses is not validated, also not when routes
// change.
func TestPolicyComesFirst(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 1})
	n := l.peer("192.0.2.1", 65001, Strict)
	bad, good := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65001, 1}})
	l.filters[n] = l.fl.Filter(refusing(bad), Strict)
	x, y := l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "203.0.113.0/24", 53)), l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "203.0.113.0/24", 54))
	l.announce(x, rib.Path{Peer: n, Attrs: bad})
	l.announce(y, rib.Path{Peer: n, Attrs: good})
	l.want(x, n, "policy", "refused")
	l.want(y, n, "no-unicast-route", "accepted")
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.0/24"), rib.Path{Peer: n, Attrs: good})
	l.want(x, n, "policy", "refused, with a route")
	l.want(y, n, "valid", "accepted, with a route")
}
