package session

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
)

// needMD5 skips where the kernel has no TCP MD5, and says so.
func needMD5(t *testing.T) {
	t.Helper()
	l, err := listen(config.Listen{Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.l.Close()
	if err := l.setKeys(secrets{peerKey{rng: netip.MustParsePrefix("127.99.0.0/24")}: "probe"}); err != nil {
		t.Skipf("MD5 is not tested: %v", err)
	}
}

// md5 gives a peer a key; "" gives none.
func md5(t *testing.T, key string) func(*config.Peer) {
	return func(p *config.Peer) {
		if key != "" {
			p.MD5File = keyFile(t, key)
		}
	}
}

func TestMD5(t *testing.T) {
	needMD5(t)
	for _, c := range []struct {
		name, a, b string
		up         bool
	}{
		{"right", "secret", "secret", true},
		{"wrong", "secret", "other", false},
		{"only one has one", "secret", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
			a.apply(peerTo(n.b, b.port, 65002, n.a, md5(t, c.a)))
			b.apply(peerTo(n.a, a.port, 65001, n.b, md5(t, c.b)))
			if c.up {
				a.up(n.b)
				b.up(n.a)
				if !a.status(n.b).Transport.MD5 {
					t.Error("status does not say that MD5 is on")
				}
				return
			}
			time.Sleep(1500 * time.Millisecond) // SYNs are dropped: nothing else can be waited for
			if s := a.status(n.b); s.State > fsm.OpenSent {
				t.Errorf("state %s with keys that differ", s.State)
			}
		})
	}
}

func TestMD5OfRanges(t *testing.T) {
	needMD5(t)
	t.Run("a range", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
		p := peerTo(netip.Addr{}, 0, 65002, netip.Addr{}, md5(t, "range key"))
		p.Prefix = netip.PrefixFrom(n.a, 24).Masked()
		a.apply(p)
		b.apply(peerTo(n.a, a.port, 65001, n.b, md5(t, "range key"), func(p *config.Peer) { p.Mode = config.ModeActive }))
		b.up(n.a)
		if s := a.up(n.b); !s.Range.IsValid() {
			t.Error("not dynamic")
		}
	})
	t.Run("IPv4 on a listener of both families", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a, b := newStation(t, 65001, netip.IPv6Unspecified(), nil), newStation(t, 65002, n.b, nil)
		p := rangeOf(n, 65002, 10)
		p.MD5File = keyFile(t, "range key")
		a.apply(p)
		b.apply(peerTo(n.a, a.port, 65001, n.b, md5(t, "range key"), func(p *config.Peer) { p.Mode = config.ModeActive }))
		b.up(n.a)
		a.up(n.b)
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		six := netip.IPv6Loopback()
		a, b := newStation(t, 65001, six, nil), newStation(t, 65002, six, nil)
		hops := func(p *config.Peer) { p.TTLSecurity = 1 }
		a.apply(peerTo(six, 0, 65002, six, md5(t, "key"), hops))
		b.apply(peerTo(six, a.port, 65001, six, md5(t, "key"), hops))
		if s := a.up(six); !s.Local.Addr().Is6() {
			t.Errorf("local address %v", s.Local)
		}
	})
	t.Run("a new key resets the session, on a live listener", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, md5(t, "one")))
		b.apply(peerTo(n.a, a.port, 65001, n.b, md5(t, "one")))
		s := a.up(n.b)
		c := a.apply(peerTo(n.b, 0, 65002, n.a, md5(t, "two")))
		if len(c.Peers) != 1 || c.Peers[0].Kind != Reset {
			t.Fatalf("changes %+v", c)
		}
		<-s.Done()
		b.apply(peerTo(n.a, a.port, 65001, n.b, md5(t, "two")))
		if a.up(n.b) == s {
			t.Error("the session is the old one")
		}
	})
}

func TestMD5FilesAreChecked(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	for name, key := range map[string]string{"empty": "", "two lines": "a\nb", "too long": strings.Repeat("x", 81)} {
		s := a.set
		s.Peers = []config.Peer{peerTo(n.b, 0, 65002, n.a, func(p *config.Peer) { p.MD5File = keyFile(t, key) })}
		if _, err := a.Apply(s); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if len(a.Peers()) != 0 {
		t.Error("a refused configuration left a peer")
	}
}

func TestTTLSecurity(t *testing.T) {
	hops := func(n uint8) func(*config.Peer) { return func(p *config.Peer) { p.TTLSecurity = n } }
	t.Run("both ends", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, hops(1)))
		b.apply(peerTo(n.a, a.port, 65001, n.b, hops(1)))
		a.up(n.b)
		b.up(n.a)
	})
	t.Run("a peer that is too far is refused", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, hops(1)))
		b.apply(peerTo(n.a, a.port, 65001, n.b)) // sends with a TTL of 1
		st := b.wait(n.a, "a failure", func(s Status) bool { return strings.Contains(s.Reason, "connection failed") })
		if st.State == fsm.Established || a.status(n.b).State > fsm.Active {
			t.Errorf("state %s: %s", st.State, st.Reason)
		}
	})
	t.Run("a peer that answers from too far is not heard", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		lc := net.ListenConfig{}
		l, err := lc.Listen(t.Context(), "tcp", netip.AddrPortFrom(n.b, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a.apply(peerTo(n.b, l.Addr().(*net.TCPAddr).AddrPort().Port(), 65002, n.a, hops(1)))
		time.Sleep(500 * time.Millisecond) // the SYN-ACK has a TTL of 64 and is dropped
		if s := a.status(n.b); s.State > fsm.Connect {
			t.Errorf("state %s", s.State)
		}
	})
}

func TestListenErrorsChangeNothing(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	s := a.set
	s.Listen = append(s.Listen[:1:1], config.Listen{Network: "tcp", Address: netip.AddrPortFrom(n.a, a.port).String()})
	s.Peers = nil
	if _, err := a.Apply(s); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("error %v", err)
	}
	if len(a.Peers()) != 1 || len(a.Addrs()) != 1 {
		t.Errorf("%d peers, %d listeners", len(a.Peers()), len(a.Addrs()))
	}
}
