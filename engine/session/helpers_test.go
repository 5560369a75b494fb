package session

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/shard"
	"ribd/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// block gives each test loopback addresses of its own.
var block atomic.Uint32

type addrs struct{ a, b netip.Addr }

func loopback() addrs {
	n := block.Add(1)
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, byte(n), last}) }
	return addrs{at(1), at(2)}
}

// station is a Manager with its own tables.
type station struct {
	*Manager
	t    testing.TB
	rib  *shard.RIB
	set  Settings
	port uint16

	mu   sync.Mutex
	ups  int
	down int
	refr []wire.Family
}

func testLog(t testing.TB, who string) *slog.Logger {
	if os.Getenv("SESSION_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who, "test", t.Name())
}

func openRIB(t testing.TB) *shard.RIB {
	t.Helper()
	r, err := shard.Open(shard.Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newStation makes a Manager that listens on addr and has the peers given.
func newStation(t testing.TB, as uint32, addr netip.Addr, change func(*Options)) *station {
	t.Helper()
	r := openRIB(t)
	s := &station{t: t, rib: r}
	o := Options{RIB: r, Log: testLog(t, addr.String()), ConnectRetry: 2 * time.Second, Hooks: Hooks{
		Up:   func(*Session) { s.mu.Lock(); s.ups++; s.mu.Unlock() },
		Down: func(*Session) { s.mu.Lock(); s.down++; s.mu.Unlock() },
		Refresh: func(_ *Session, f wire.Family, _ bool) {
			s.mu.Lock()
			s.refr = append(s.refr, f)
			s.mu.Unlock()
		},
	}}
	if change != nil {
		change(&o)
	}
	s.Manager = New(o)
	s.set = Settings{AS: as, RouterID: netip.AddrFrom4([4]byte{10, 0, byte(as >> 8), byte(as)}), Listen: []config.Listen{{Network: "tcp", Address: netip.AddrPortFrom(addr, 0).String()}}}
	s.apply()
	s.port = s.Addrs()[0].(*net.TCPAddr).AddrPort().Port()
	t.Cleanup(s.close)
	return s
}

func (s *station) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	s.Shutdown(ctx, false)
	s.rib.Close()
}

func (s *station) apply(peers ...config.Peer) Changes {
	s.t.Helper()
	s.set.Peers = peers
	c, err := s.Apply(s.set)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *station) addr() netip.Addr { return s.Addrs()[0].(*net.TCPAddr).AddrPort().Addr() }

// peer is the configuration of a peer with the defaults.
func peerTo(addr netip.Addr, port uint16, as uint32, local netip.Addr, change ...func(*config.Peer)) config.Peer {
	p := config.Peer{Address: addr, PeerSettings: config.Default().PeerDefaults}
	p.ConnectRetry = 0 // the station's
	p.Port, p.AS, p.LocalAddress = port, config.ASSet{Numbers: []uint32{as}}, local
	if port == 0 {
		p.Port, p.Mode = 179, config.ModePassive
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

// patience bounds what tests wait for: a slow machine needs a hundred times as
// long as another.
const patience = 2 * time.Minute

// eventually waits until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *station) status(peer netip.Addr) Status {
	s.t.Helper()
	st, err := s.Peer(peer.String())
	if err != nil {
		s.t.Fatalf("peer %s: %v", peer, err)
	}
	return st
}

func (s *station) wait(peer netip.Addr, what string, ok func(Status) bool) Status {
	s.t.Helper()
	var last Status
	end := time.Now().Add(patience)
	for {
		var err error
		if last, err = s.Peer(peer.String()); err == nil && ok(last) {
			return last
		}
		if time.Now().After(end) {
			s.t.Fatalf("peer %s: %s: not in time; state %s, reason %q, history %s", peer, what, last.State, last.Reason, historyText(last))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func historyText(s Status) (out string) {
	for _, e := range s.History {
		out += fmt.Sprintf("\n  %s %s -> %s: %s", e.At.Format("05.000"), e.From, e.To, e.Reason)
	}
	return out
}

func (s *station) up(peer netip.Addr) *Session {
	s.t.Helper()
	return s.wait(peer, "established", func(x Status) bool { return x.State == fsm.Established && x.Session != nil }).Session
}

func (s *station) paths() int64 {
	var n int64
	for _, t := range s.rib.Stats().Tables {
		n += t.Paths
	}
	return n
}

// raw is a scripted peer over TCP.
type raw struct {
	t testing.TB
	c net.Conn
}

func dialFrom(from netip.Addr, to *station) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: patience}
	return d.Dial("tcp", netip.AddrPortFrom(to.addr(), to.port).String())
}

// listenAt listens as a peer that is called.
func listenAt(t testing.TB, addr netip.Addr) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func portOf(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }

// accept takes a call.
func accept(t testing.TB, l *net.TCPListener) net.Conn {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// slowToAnswer has the calls of a station answered when the channel is closed.
func slowToAnswer(s *station) (answered chan struct{}) {
	answered = make(chan struct{})
	s.dial = func(_ context.Context, p *peer, cfg *config.Peer, key string) (link, error) {
		c, err := dialTCP(context.Background(), p, cfg, key)
		<-answered
		return c, err
	}
	return answered
}

// dialRaw calls a station from addr.
func dialRaw(t testing.TB, from netip.Addr, to *station) *raw {
	t.Helper()
	c, err := dialFrom(from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, c: c}
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	r.c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.c.Write(b); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// read returns the next message.
func (r *raw) read() (wire.MessageType, []byte, error) {
	r.c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, wire.HeaderLen, 4096)
	if _, err := io.ReadFull(r.c, b); err != nil {
		return 0, nil, err
	}
	ext := wire.Session{Extended: true}
	t, n, err := wire.ParseHeader(b, &ext)
	if err != nil {
		return 0, nil, err
	}
	b = append(b, make([]byte, n-wire.HeaderLen)...)
	if _, err := io.ReadFull(r.c, b[wire.HeaderLen:]); err != nil {
		return 0, nil, err
	}
	return t, b, nil
}

// want reads until a message of type t comes.
func (r *raw) want(t wire.MessageType) []byte {
	r.t.Helper()
	for {
		got, b, err := r.read()
		if err != nil {
			r.t.Fatalf("waiting for %s: %v", t, err)
		}
		if got == t {
			return b
		}
		if got == wire.MsgNotification {
			n, _ := wire.ParseNotification(b, &wire.Session{})
			r.t.Fatalf("waiting for %s: got NOTIFICATION %s", t, n.String())
		}
	}
}

// wantNotification reads until a NOTIFICATION comes and holds it to its code.
func (r *raw) wantNotification(code, subcode uint8) wire.Notification {
	r.t.Helper()
	for {
		got, b, err := r.read()
		if err != nil {
			r.t.Fatalf("waiting for NOTIFICATION %d/%d: %v", code, subcode, err)
		}
		if got != wire.MsgNotification {
			continue
		}
		n, werr := wire.ParseNotification(b, &wire.Session{})
		if werr != nil {
			r.t.Fatal(werr)
		}
		if n.Code != code || n.Subcode != subcode {
			r.t.Fatalf("NOTIFICATION %s, want %d/%d; data %s", n.String(), code, subcode, hex.EncodeToString(n.Data))
		}
		return n
	}
}

func openOf(as uint32, id byte, caps ...wire.Capability) *wire.Open {
	return &wire.Open{AS: as, HoldTime: 90, ID: 192<<24 | uint32(id), Capabilities: append([]wire.Capability{wire.MultiprotocolCapability(wire.IPv4Unicast), wire.AS4Capability(as)}, caps...)}
}

// shake opens a session with the OPEN given.
func (r *raw) shake(o *wire.Open) {
	r.t.Helper()
	r.write(wire.AppendOpen(nil, o))
	r.want(wire.MsgOpen)
	r.want(wire.MsgKeepalive)
	r.write(wire.AppendKeepalive(nil))
}

// update is an UPDATE with IPv4 prefixes of 10.0.0.0/8, from to to.
func update(as uint32, from, to int) []byte {
	b := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0, 0, 0, 0}
	b = append(b, 0x40, 1, 1, 0)
	b = append(b, 0x40, 2, 6, 2, 1, byte(as>>24), byte(as>>16), byte(as>>8), byte(as))
	b = append(b, 0x40, 3, 4, 192, 0, 2, 1)
	b[22] = byte(len(b) - 23)
	for i := from; i < to; i++ {
		b = append(b, 24, 10, byte(i>>8), byte(i))
	}
	b[16], b[17] = byte(len(b)>>8), byte(len(b))
	return b
}

// endOfRIB is the marker of IPv4 unicast.
func endOfRIB() []byte {
	return []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 23, 2, 0, 0, 0, 0}
}

func keyFile(t testing.TB, key string) string {
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
