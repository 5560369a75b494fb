package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ribd/wire"
)

// pathsOf are the AS paths that a player with Add-Path holds for a prefix, by
// path id.
func (p *player) pathsOf(prefix string) map[string]string {
	m := map[string]string{}
	for _, key := range p.holds() {
		if at, id, ok := strings.Cut(key, " "); ok && at == prefix {
			m[p.text(key, wire.AttrASPath)] = id
		}
	}
	return m
}

func TestAddPathSendsAllOrTheBestFewWithStableIDs(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.32.1, as: 65001, add_path: {receive: true}", "address: 127.20.32.2, as: 65002",
		"address: 127.20.32.3, as: 65003, add_path: {send: all}", "address: 127.20.32.4, as: 65004, add_path: {send: {ipv4-unicast: best-2}}",
		"address: 127.20.32.5, as: 65005")
	const prefix = "203.0.113.0/24"
	o := func(i int) playerOptions {
		return playerOptions{from: ip(fmt.Sprintf("127.20.32.%d", i)), as: uint32(65000 + i), families: []wire.Family{wire.IPv4Unicast},
			sendIDs: i == 1, takeIDs: i == 3 || i == 4}
	}
	one, two, all, few, plain := play(t, to, o(1)), play(t, to, o(2)), play(t, to, o(3)), play(t, to, o(4)), play(t, to, o(5))
	holds := func(what string, p *player, paths ...string) map[string]string {
		t.Helper()
		var got map[string]string
		eventually(t, what, func() bool {
			got = p.pathsOf(prefix)
			for _, path := range paths {
				if got["64512 "+path] == "" {
					return false
				}
			}
			return len(got) == len(paths) && len(p.holds()) == len(paths)
		})
		return got
	}
	one.announce(11, []uint32{65001, 1, 2, 3}, nil, prefix)
	one.announce(12, []uint32{65001, 1, 2}, nil, prefix)
	one.announce(0, []uint32{65001, 1}, nil, prefix) // 0 is an id as any other
	two.announce(0, []uint32{65002}, nil, prefix)
	first := holds("all paths", all, "65001 1 2 3", "65001 1 2", "65001 1", "65002")
	holds("the best two", few, "65001 1", "65002")
	eventually(t, "without Add-Path: the best one", func() bool { return plain.text(prefix, wire.AttrASPath) == "64512 65002" })
	plain.expect("the best one", prefix)
	ids := []string{}
	for _, id := range first {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 4 {
		t.Errorf("ids %v", first)
	}

	// What the API says: path_id as it came, and as it goes out.
	in := map[string]string{}
	for _, r := range c.routes("?prefix=" + prefix).Routes {
		id := "none"
		if r.PathID != nil {
			id = fmt.Sprint(*r.PathID)
		}
		in[r.ASPath] = id
	}
	if want := map[string]string{"65001 1 2 3": "11", "65001 1 2": "12", "65001 1": "0", "65002": "none"}; fmt.Sprint(in) != fmt.Sprint(want) {
		t.Errorf("stored: %v, want %v", in, want)
	}
	for _, r := range c.routes("?table=adj-out&peer=127.20.32.3").Routes {
		if r.PathID == nil || fmt.Sprint(*r.PathID) != first[r.ASPath] {
			t.Errorf("adj-out: %s with id %v, sent with %s", r.ASPath, r.PathID, first[r.ASPath])
		}
	}

	// One changes, one goes: the others keep their ids.
	one.announce(12, []uint32{65001, 9, 9}, nil, prefix)
	one.withdraw(11, prefix)
	second := holds("a change and a withdrawal", all, "65001 9 9", "65001 1", "65002")
	if second["64512 65001 9 9"] != first["64512 65001 1 2"] || second["64512 65001 1"] != first["64512 65001 1"] || second["64512 65002"] != first["64512 65002"] {
		t.Errorf("ids were %v, are %v", first, second)
	}
	two.withdraw(0, prefix)
	holds("the best has gone", all, "65001 9 9", "65001 1")
	holds("the best has gone", few, "65001 9 9", "65001 1")
	eventually(t, "without Add-Path: the next", func() bool { return plain.text(prefix, wire.AttrASPath) == "64512 65001 1" })
	one.close()
	holds("the peer has gone", all)
	holds("the peer has gone", few)
	plain.expect("the peer has gone")
	f := c.peer("127.20.32.3").Families[0]
	if f.AddPath == nil || f.AddPath.Receive || !f.AddPath.Send {
		t.Errorf("negotiated: %+v", f.AddPath)
	}
}

func TestAddPathBothWaysPassesEveryPathOn(t *testing.T) {
	t.Parallel()
	c, to := hub(t, "", "address: 127.20.33.1, as: 64512, add_path: {receive: true, send: all}, route_reflector_client: true",
		"address: 127.20.33.2, as: 64512, add_path: {receive: true, send: all}, route_reflector_client: true")
	o := playerOptions{from: ip("127.20.33.1"), as: 64512, addPath: true}
	one := play(t, to, o)
	o.from = ip("127.20.33.2")
	two := play(t, to, o)
	pref := func(n uint32) func(*wire.AttrEditor) {
		return func(e *wire.AttrEditor) { e.SetUint32(wire.AttrLocalPref, n) }
	}
	for i := range uint32(5) {
		one.announce(i, []uint32{65100 + i}, pref(100), "203.0.113.0/24")
		two.announce(i, []uint32{65200 + i}, pref(100), "203.0.113.0/24")
	}
	eventually(t, "each has the other's five", func() bool {
		return len(one.pathsOf("203.0.113.0/24")) == 5 && len(two.pathsOf("203.0.113.0/24")) == 5
	})
	for path := range one.pathsOf("203.0.113.0/24") {
		if !strings.HasPrefix(path, "652") {
			t.Errorf("its own path comes back: %s", path)
		}
	}
	if p := c.peer("127.20.33.1").Families[0]; p.Received != 5 || p.Prefixes != 1 || p.Advertised != 5 {
		t.Errorf("counts: %+v", p)
	}
	if r := c.routes("?prefix=203.0.113.0/24&path_id=3").Routes; len(r) != 2 {
		t.Errorf("path_id=3: %+v", r)
	}
}
