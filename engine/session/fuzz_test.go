package session

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"ribd/wire"
)

// FuzzConnection has a peer say anything, before a session (the first octet is
// even) or in one. Whatever it says, the connection is over once it has closed
// it, nothing of it is left, and the next one is taken.
func FuzzConnection(f *testing.F) {
	seeds := [][]byte{
		nil, header(19, 4), header(18, 1), update(65002, 0, 30), endOfRIB(),
		wire.AppendOpen(nil, openOf(65002, 2, graceful(60, true))),
		append(wire.AppendOpen(nil, openOf(65002, 2)), wire.AppendKeepalive(nil)...),
		wire.AppendNotification(nil, wire.Notification{Code: 6, Subcode: 2, Data: wire.ShutdownData("bye")}),
		wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: wire.IPv4Unicast, Subtype: 1}),
		append(update(65002, 0, 30), header(4096, 2)...),
	}
	for _, s := range seeds {
		f.Add(append([]byte{0}, s...))
		f.Add(append([]byte{1}, s...))
	}
	st := newStation(f, 65001, netip.MustParseAddr("127.79.0.1"), nil)
	p := peerTo(farAddr, 0, 65002, netip.Addr{})
	p.GracefulRestart.Enabled = false
	st.apply(p)
	far, err := st.find(farAddr.String())
	if err != nil {
		f.Fatal(err)
	}
	gone := func(t *testing.T) {
		eventually(t, "the connection is over", func() bool {
			far.mu.Lock()
			defer far.mu.Unlock()
			return len(far.conns) == 0
		})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		st.Enable(farAddr.String()) // out of what the last one has led to
		here, there := net.Pipe()
		there.SetDeadline(time.Now().Add(patience))
		st.take(far, &plainLink{conn: here})
		go io.Copy(io.Discard, there)
		if data[0]&1 == 1 {
			there.Write(wire.AppendOpen(nil, openOf(65002, 2)))
			there.Write(wire.AppendKeepalive(nil))
		}
		there.Write(data[1:])
		there.Close()
		gone(t)
		if s := far.established(); s != nil {
			t.Error("a session without a connection")
		}
		st.rib.Settle()
		if n := st.paths(); n != 0 {
			t.Errorf("%d paths are left", n)
		}
	})
}
