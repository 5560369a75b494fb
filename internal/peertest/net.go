//go:build linux

package peertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Net is a switch that belongs to one test: every Host is a namespace of its
// own with one link to it.
type Net struct {
	t     testing.TB
	hub   *space
	hosts int
}

// NewNet makes a switch that lives as long as the test.
func NewNet(t testing.TB) *Net {
	t.Helper()
	n := &Net{t: t}
	var err error
	if n.hub, err = newSpace(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.hub.close)
	n.ip(n.hub, "link add sw type bridge\nlink set sw up\n")
	return n
}

// Host is one machine on a switch: 10.200.0.N and fd00:200::N.
type Host struct {
	V4, V6 netip.Addr
	net    *Net
	space  *space
	port   string
}

// Host adds a machine.
func (n *Net) Host() *Host {
	n.t.Helper()
	s, err := newSpace()
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(s.close)
	n.hosts++
	h := &Host{
		V4:  netip.AddrFrom4([4]byte{10, 200, 0, byte(n.hosts)}),
		V6:  netip.MustParseAddr(fmt.Sprintf("fd00:200::%x", n.hosts)),
		net: n, space: s, port: fmt.Sprintf("p%d", n.hosts),
	}
	n.ip(n.hub, fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %[1]s master sw\nlink set %[1]s up\n", h.port, s.path()))
	// Without link-local addresses: they come a moment after the link, and FRR
	// without zebra takes no next hop that has one.
	n.ip(s, fmt.Sprintf("link set lo up\nlink set eth0 addrgenmode none\naddr add %s/24 dev eth0\naddr add %s/64 dev eth0 nodad\nlink set eth0 up\n", h.V4, h.V6))
	return h
}

// Addr returns the machine's address of the family that like is of.
func (h *Host) Addr(like netip.Addr) netip.Addr {
	if like.Is4() {
		return h.V4
	}
	return h.V6
}

// AddAddr gives the machine one more address.
func (h *Host) AddAddr(p netip.Prefix) {
	h.net.t.Helper()
	more := ""
	if p.Addr().Is6() {
		more = " nodad"
	}
	h.net.ip(h.space, fmt.Sprintf("addr add %s dev eth0%s\n", p, more))
}

// Pull pulls the machine's cable: nothing gets through, and no end is told.
// Plug puts it back.
func (h *Host) Pull() {
	h.net.t.Helper()
	h.net.ip(h.net.hub, fmt.Sprintf("link set %s nomaster\n", h.port))
}

// Plug puts the cable back.
func (h *Host) Plug() {
	h.net.t.Helper()
	h.net.ip(h.net.hub, fmt.Sprintf("link set %s master sw\n", h.port))
}

// Sysctl sets a setting of the machine's network: "ipv4/tcp_wmem".
func (h *Host) Sysctl(name, value string) {
	h.net.t.Helper()
	err := h.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
	if err != nil {
		h.net.t.Fatal(err)
	}
}

// Count returns a counter of the machine's TCP by its name in
// /proc/net/netstat: "TCPMD5Failure", "TCPMinTTLDrop".
func (h *Host) Count(name string) int {
	h.net.t.Helper()
	out, err := h.Run("cat", "/proc/net/netstat")
	if err != nil {
		h.net.t.Fatal(err)
	}
	var names []string
	for l := range strings.Lines(string(out)) {
		f := strings.Fields(l)
		if i := slices.Index(names, name); i >= 0 && i < len(f) {
			n, _ := strconv.Atoi(f[i])
			return n
		}
		names = f
	}
	h.net.t.Fatalf("the kernel has no counter %s", name)
	return 0
}

// Do runs f on a thread in the machine's namespace: the sockets that it makes
// are the machine's. f starts no goroutine that makes one.
func (h *Host) Do(f func() error) error { return h.space.do(f) }

// Dial connects from the machine.
func (h *Host) Dial(ctx context.Context, d net.Dialer, to netip.AddrPort) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	return conn, err
}

// Listen listens on the machine.
func (h *Host) Listen(lc net.ListenConfig, at netip.AddrPort) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = lc.Listen(context.Background(), "tcp", at.String())
		return err
	})
	return l, err
}

// Run runs a command on the machine to its end, for no longer than Patience,
// and returns what it prints.
func (h *Host) Run(name string, args ...string) ([]byte, error) {
	return h.space.run(nil, name, args...)
}

func (s *space) run(stdin []byte, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	cmd.WaitDelay = time.Second
	if err := s.do(cmd.Start); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, errs.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

// ip runs lines of iproute2 in a namespace.
func (n *Net) ip(s *space, lines string) {
	n.t.Helper()
	if _, err := s.run([]byte(lines), "ip", "-batch", "-"); err != nil {
		n.t.Fatal(err)
	}
}
