package policy

import (
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// FuzzUpdate: whatever attributes a peer sends, filters give a verdict, the same
// the second time, whose set is in use; and a final one is that of each route.
func FuzzUpdate(f *testing.F) {
	for _, s := range []set{usual, bare, {path: []uint32{65001}, asSet: []uint32{1, 2}, otc: 7}, {path: []uint32{64512}, comm: []string{"graceful-shutdown"}}} {
		b := s.bytes(f)
		f.Add(append([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}, append(b, 24, 198, 51, 100)...))
	}
	text := condition(`as_path.exists(n, n / (n - 3356) > 1) || communities[1] == "65001:1" || as_path.matches("_(1|2){2}_") || prefix.length > 24`) +
		"    - {if: 'as_path.length > 2 && \"65001:*:*\" in large_communities || next_hop in \"10.0.0.0/8\"', then: {next: true, set: {med: 1, next_hop: 192.0.2.9}, prepend: {as: 64512, times: 64}, remove_communities: [\"*\"]}}\n" +
		"    - {if: '\"rt:*\" in ext_communities || size(communities) > 3 || med > 5', then: accept}\n"
	f.Fuzz(func(t *testing.T, body []byte) {
		var u wire.Update
		if u.ParseBody(body, &wire.Session{AS4: true, External: true}); u.Action() > wire.AttributeDiscard || !u.HasNLRI4() {
			return
		}
		a := newAttrs(t)
		id, ok := a.Intern(u.Attributes(nil))
		if !ok {
			return
		}
		s := compile(t, a, text)
		for role := config.RoleNone; role <= config.RolePeer; role++ {
			peer := external
			peer.Role = role
			for _, filter := range []rib.Filter{s.Import("p", peer, allChecks), s.Import(AcceptAll, peer, allChecks), s.Export("p", peer, nil)} {
				for w := u.NLRI4(); w.Next(); {
					p := rib.Path{Attrs: id}
					first := filter.Route(wire.IPv4Unicast, 0, trie.Key4(w.Addr()), w.Len(), &p)
					again := filter.Route(wire.IPv4Unicast, 0, trie.Key4(w.Addr()), w.Len(), &p)
					v, final := filter.Set(wire.IPv4Unicast, 0, id)
					if first != again || final && v != first || !a.Valid(first.Attrs) || first.Filtered != 0 && first.Attrs != id {
						t.Fatalf("first %+v, again %+v, for the set %+v (%v), arrived %d", first, again, v, final, id)
					}
				}
			}
		}
	})
}
