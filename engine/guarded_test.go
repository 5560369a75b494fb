package engine

import (
	"testing"

	"ribd/wire"
)

// TestNextHopsOfOnesOwnNetworkAreGuarded has two peers name next hops that are
// the address of no session.
func TestNextHopsOfOnesOwnNetworkAreGuarded(t *testing.T) {
	t.Parallel()
	c, to := hub(t, guardConfig, "address: 127.21.71.1, as: 65001", "address: 127.21.71.2, as: 64512")
	external := play(t, to, playerOptions{from: ip("127.21.71.1"), as: 65001}).settle()
	internal := play(t, to, playerOptions{from: ip("127.21.71.2"), as: 64512}).settle()
	external.tell(wire.IPv4Unicast, attributes([]uint32{65001}, ip("203.0.113.1"), nil), nlris(0, []string{"10.1.0.0/16"})...)
	internal.tell(wire.IPv4Unicast, attributes(nil, ip("203.0.113.2"), nil), nlris(0, []string{"10.2.0.0/16"})...)
	eventually(t, "both routes are there", func() bool { return len(c.routes("").Routes) == 2 })
	for host, want := range map[string]string{
		"203.0.113.1/32": "", // or any peer could keep any address from being protected
		"203.0.113.2/32": "own-address",
		"203.0.113.0/24": "own-address",
		"203.0.113.3/32": "",
	} {
		body := `{"prefix":"` + host + `","next_hop":"192.0.2.66","communities":["blackhole"]}`
		if got := c.guardsOf(pathEntrances[0], body); got != want {
			t.Errorf("%s: got guard %q, want %q", host, got, want)
		}
	}
}
