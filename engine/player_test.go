package engine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ribd/wire"
)

// waitLimit is how long a test waits for what has to come; it is only reached
// by a failure.
const waitLimit = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(waitLimit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in %s", what, waitLimit)
		}
	}
}

// player is a BGP speaker that is played by a test, on package wire: it takes
// what it is sent into a table of prefixes, and sends what the test says.
type player struct {
	t     *testing.T
	conn  net.Conn
	as    uint32
	opts  wire.SendOptions
	parse wire.Session

	mu     sync.Mutex
	table  map[string][]byte // "prefix" or "prefix id" -> canonical attributes
	ends   []wire.Family
	notes  []wire.Notification
	others []wire.MessageType // ROUTE-REFRESH
	opened wire.Open
	done   chan struct{}
}

// playerOptions are what a player's OPEN says.
type playerOptions struct {
	from     netip.Addr
	as       uint32
	id       uint32 // 0: from the address
	hold     uint16 // 0: 90
	families []wire.Family
	addPath  bool
	more     []wire.Capability
}

// play opens a session to a ribd and waits until it is established.
func play(t *testing.T, to string, o playerOptions) *player {
	t.Helper()
	p, err := tryPlay(t, to, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryPlay(t *testing.T, to string, o playerOptions) (*player, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.from, 0)), Timeout: waitLimit}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	if len(o.families) == 0 {
		o.families = []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast}
	}
	if o.id == 0 {
		b := o.from.As4()
		o.id = binary.BigEndian.Uint32(b[:])
	}
	if o.hold == 0 {
		o.hold = 90
	}
	p := &player{t: t, conn: conn, as: o.as, table: map[string][]byte{}, done: make(chan struct{})}
	set := wire.NewFamilySet(o.families...)
	caps := []wire.Capability{{Code: wire.CapRouteRefresh}, wire.AS4Capability(o.as)}
	for _, f := range o.families {
		caps = append(caps, wire.MultiprotocolCapability(f))
	}
	p.opts = wire.SendOptions{AS4: true}
	p.parse = wire.Session{AS4: true, Families: set}
	if o.addPath {
		caps = append(caps, wire.AddPathCapability(set, set))
		p.opts.AddPath, p.parse.AddPath = set, set
	}
	caps = append(caps, o.more...)
	open := wire.AppendOpen(nil, &wire.Open{AS: o.as, HoldTime: o.hold, ID: o.id, Capabilities: caps})
	up := make(chan error, 1)
	go p.read(up)
	t.Cleanup(p.close)
	if _, err = conn.Write(wire.AppendKeepalive(open)); err != nil {
		return p, err
	}
	select {
	case err = <-up:
	case <-time.After(waitLimit):
		err = fmt.Errorf("%s: no session in %s", o.from, waitLimit)
	}
	return p, err
}

func (p *player) read(up chan<- error) {
	defer close(p.done)
	r := bufio.NewReaderSize(p.conn, 1<<16)
	established := false
	for {
		h, err := r.Peek(wire.HeaderLen)
		if err == nil {
			h, err = r.Peek(int(binary.BigEndian.Uint16(h[16:])))
		}
		if err != nil {
			up <- fmt.Errorf("the session ended: %w %v", err, p.notifications())
			return
		}
		p.take(h)
		if !established && wire.MessageType(h[18]) == wire.MsgKeepalive {
			established = true
			up <- nil
		}
		r.Discard(len(h))
		if established {
			up = make(chan error, 1)
		}
	}
}

// take takes one message in.
func (p *player) take(msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch wire.MessageType(msg[18]) {
	case wire.MsgOpen:
		o, err := wire.ParseOpen(slices.Clone(msg))
		if err != nil {
			p.t.Errorf("OPEN: %v", err)
		}
		p.opened = o
	case wire.MsgNotification:
		n, err := wire.ParseNotification(slices.Clone(msg), &p.parse)
		if err != nil {
			p.t.Errorf("NOTIFICATION: %v", err)
		}
		p.notes = append(p.notes, n)
	case wire.MsgRouteRefresh:
		p.others = append(p.others, wire.MsgRouteRefresh)
	case wire.MsgUpdate:
		var u wire.Update
		if err := u.Parse(msg, &p.parse); err != nil {
			p.t.Errorf("UPDATE from ribd: %v: %x", err, msg)
			return
		}
		if f, ok := u.EndOfRIB(); ok {
			p.ends = append(p.ends, f)
			return
		}
		p.update(&u)
	}
}

func (p *player) update(u *wire.Update) {
	key := func(prefix netip.Prefix, id uint32, has bool) string {
		if has {
			return fmt.Sprintf("%s %d", prefix, id)
		}
		return prefix.String()
	}
	for w := u.Withdrawn4(); w.Next(); {
		delete(p.table, key(w.Prefix(), w.PathID(), w.HasPathID()))
	}
	if m, ok := u.Unreach(); ok && m.Family == wire.IPv6Unicast {
		for w := m.NLRI6(); w.Next(); {
			delete(p.table, key(w.Prefix(), w.PathID(), w.HasPathID()))
		}
	}
	attrs := u.AppendAttributes(nil)
	for w := u.NLRI4(); w.Next(); {
		p.table[key(w.Prefix(), w.PathID(), w.HasPathID())] = attrs
	}
	if m, ok := u.Reach(); ok && m.Family == wire.IPv6Unicast {
		attrs := u.AppendReachAttributes(nil)
		for w := m.NLRI6(); w.Next(); {
			p.table[key(w.Prefix(), w.PathID(), w.HasPathID())] = attrs
		}
	}
}

// announce sends IPv4 prefixes with an AS path and more attributes.
func (p *player) announce(pathID uint32, path []uint32, edit func(*wire.AttrEditor), prefixes ...string) {
	p.t.Helper()
	value := []byte{byte(wire.SegSequence), byte(len(path))}
	for _, as := range path {
		value = binary.BigEndian.AppendUint32(value, as)
	}
	if len(path) == 0 {
		value = nil
	}
	hop := p.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().As4()
	attrs := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{wire.OriginIGP})
	attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrASPath, value)
	attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrNextHop, hop[:])
	if edit != nil {
		var e wire.AttrEditor
		e.Start(attrs)
		edit(&e)
		attrs = e.Append(nil)
	}
	enc := wire.NewEncoder(p.opts)
	if err := enc.Announce(wire.IPv4Unicast, attrs); err != nil {
		p.t.Fatal(err)
	}
	p.routes(enc, pathID, prefixes)
}

// withdraw takes IPv4 prefixes back.
func (p *player) withdraw(pathID uint32, prefixes ...string) {
	p.t.Helper()
	enc := wire.NewEncoder(p.opts)
	enc.Withdraw(wire.IPv4Unicast)
	p.routes(enc, pathID, prefixes)
}

func (p *player) routes(enc *wire.Encoder, pathID uint32, prefixes []string) {
	p.t.Helper()
	for _, s := range prefixes {
		prefix := netip.MustParsePrefix(s)
		a := prefix.Addr().As4()
		enc.Route4(binary.BigEndian.Uint32(a[:]), uint8(prefix.Bits()), pathID)
	}
	p.send(enc.Flush())
}

func (p *player) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// end sends End-of-RIB of both unicast families.
func (p *player) end() {
	p.t.Helper()
	p.send(wire.AppendEndOfRIB(wire.AppendEndOfRIB(nil, wire.IPv4Unicast), wire.IPv6Unicast))
}

// holds are the keys of the table, sorted.
func (p *player) holds() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := make([]string, 0, len(p.table))
	for k := range p.table {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// attr is an attribute of a route that the player holds.
func (p *player) attr(key string, a wire.AttrType) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return wire.FindAttr(p.table[key], a)
}

func (p *player) notifications() []wire.Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.notes)
}

// expect waits until the player holds just these.
func (p *player) expect(what string, keys ...string) {
	p.t.Helper()
	slices.Sort(keys)
	for end := time.Now().Add(waitLimit); ; time.Sleep(2 * time.Millisecond) {
		got := p.holds()
		if slices.Equal(got, keys) {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s: %s holds %v, want %v (%v)", what, p.conn.LocalAddr(), got, keys, p.notifications())
		}
	}
}

// over says whether the session has ended.
func (p *player) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *player) close() {
	p.conn.Close()
	<-p.done
}
