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
const waitLimit = time.Minute

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

	mu        sync.Mutex
	table     map[string][]byte // route (routeKey) -> canonical attributes
	labels    map[string][]byte // route -> its labels
	ends      []wire.Family
	notes     []wire.Notification
	refreshes []wire.RouteRefresh
	said      []string // messages in their order: "update", "end-of-rib", "refresh 1" and so on
	longest   int      // octets of the longest message
	families  int      // so many End-of-RIBs are to come
	keep      bool
	updates   []string // with keep: every UPDATE, in hex
	opened    wire.Open
	done      chan struct{}
}

// playerOptions are what a player's OPEN says.
type playerOptions struct {
	from     netip.Addr
	as       uint32
	id       uint32 // 0: from the address
	hold     uint16 // 0: 90, and it is kept
	families []wire.Family
	addPath  bool              // both ways; the next two are one way each
	sendIDs  bool              // path ids in what the player sends
	takeIDs  bool              // path ids in what it is sent
	as2      bool              // without 4-octet AS numbers
	bare     bool              // without any capability
	extended bool              // with extended messages
	keep     bool              // the UPDATEs that it is sent, octet for octet
	more     []wire.Capability // besides
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
		b := o.from.As16()
		o.id = binary.BigEndian.Uint32(b[12:])
	}
	keepsAlive := o.hold == 0
	if keepsAlive {
		o.hold = 90
	}
	p := &player{t: t, conn: conn, as: o.as, keep: o.keep, families: len(o.families), table: map[string][]byte{}, labels: map[string][]byte{}, done: make(chan struct{})}
	open := wire.AppendOpen(nil, &wire.Open{AS: o.as, HoldTime: o.hold, ID: o.id, Capabilities: p.capabilities(o)})
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
	if err == nil && keepsAlive {
		go p.keepAlive()
	}
	return p, err
}

// keepAlive sends KEEPALIVEs until the session is over: no test is to be too
// slow for the hold time.
func (p *player) keepAlive() {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.conn.Write(wire.AppendKeepalive(nil))
		case <-p.done:
			return
		}
	}
}

// capabilities are those of the OPEN; what they change in how messages are
// written is noted.
func (p *player) capabilities(o playerOptions) []wire.Capability {
	if o.bare {
		p.parse.Families = wire.NewFamilySet(wire.IPv4Unicast)
		return nil
	}
	set := wire.NewFamilySet(o.families...)
	caps := []wire.Capability{wire.RouteRefreshCapability()}
	for _, f := range o.families {
		caps = append(caps, wire.MultiprotocolCapability(f))
	}
	p.opts = wire.SendOptions{AS4: !o.as2, Extended: o.extended}
	p.parse = wire.Session{AS4: !o.as2, Extended: o.extended, Families: set}
	if !o.as2 {
		caps = append(caps, wire.AS4Capability(o.as))
	}
	if o.extended {
		caps = append(caps, wire.ExtendedMessageCapability())
	}
	if o.addPath || o.sendIDs {
		p.opts.AddPath = set
	}
	if o.addPath || o.takeIDs {
		p.parse.AddPath = set
	}
	if o.addPath || o.sendIDs || o.takeIDs {
		caps = append(caps, wire.AddPathCapability(p.parse.AddPath, p.opts.AddPath))
	}
	return append(caps, o.more...)
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
	p.longest = max(p.longest, len(msg))
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
		r, err := wire.ParseRouteRefresh(slices.Clone(msg), &p.parse)
		if err != nil {
			p.t.Errorf("ROUTE-REFRESH: %v", err)
		}
		p.refreshes = append(p.refreshes, r)
		p.said = append(p.said, fmt.Sprintf("refresh %d %s", r.Subtype, r.Family))
	case wire.MsgUpdate:
		if p.keep {
			p.updates = append(p.updates, fmt.Sprintf("%x", msg))
		}
		var u wire.Update
		if err := u.Parse(msg, &p.parse); err != nil {
			p.t.Errorf("UPDATE from ribd: %v: %x", err, msg)
			return
		}
		if f, ok := u.EndOfRIB(); ok {
			p.ends = append(p.ends, f)
			p.said = append(p.said, "end-of-rib "+f.String())
			return
		}
		p.said = append(p.said, "update")
		p.update(&u)
	}
}

func (p *player) update(u *wire.Update) {
	for w := u.Withdrawn4(); w.Next(); {
		delete(p.table, routeKey(wire.IPv4Unicast, 0, w.Prefix().String(), w.PathID(), w.HasPathID()))
	}
	if m, ok := u.Unreach(); ok {
		eachRoute(&m, func(key string, _ []byte) { delete(p.table, key) })
	}
	attrs := u.AppendAttributes(nil)
	for w := u.NLRI4(); w.Next(); {
		p.table[routeKey(wire.IPv4Unicast, 0, w.Prefix().String(), w.PathID(), w.HasPathID())] = attrs
	}
	if m, ok := u.Reach(); ok {
		attrs := u.AppendReachAttributes(nil)
		eachRoute(&m, func(key string, labels []byte) {
			p.table[key] = attrs
			p.labels[key] = slices.Clone(labels)
		})
	}
}

// routeKey is how a player names a route: "192.0.2.0/24", with Add-Path
// "192.0.2.0/24 7"; in other families than unicast their name stands before
// it, then the distinguisher of a VPN.
func routeKey(f wire.Family, rd uint64, route string, id uint32, has bool) string {
	switch {
	case f.Form() == wire.FormVPN:
		route = fmt.Sprintf("%s %s %s", f, wire.AppendRD(nil, rd), route)
	case f != wire.IPv4Unicast && f != wire.IPv6Unicast:
		route = f.String() + " " + route
	}
	if has {
		return fmt.Sprintf("%s %d", route, id)
	}
	return route
}

// eachRoute walks the routes of any family.
func eachRoute(m *wire.MP, take func(key string, labels []byte)) {
	f := m.Family
	switch {
	case f.Form() == wire.FormPrefix && f.Is4():
		for w := m.NLRI4(); w.Next(); {
			take(routeKey(f, 0, w.Prefix().String(), w.PathID(), w.HasPathID()), nil)
		}
	case f.Form() == wire.FormPrefix:
		for w := m.NLRI6(); w.Next(); {
			take(routeKey(f, 0, w.Prefix().String(), w.PathID(), w.HasPathID()), nil)
		}
	case f.Form() == wire.FormRaw:
		for w := m.Raw(); w.Next(); {
			take(routeKey(f, 0, fmt.Sprintf("%x", w.Bytes()), w.PathID(), w.HasPathID()), nil)
		}
	default:
		for w := m.Labelled(); w.Next(); {
			take(routeKey(f, w.RD(), w.Prefix().String(), w.PathID(), w.HasPathID()), w.Labels())
		}
	}
}

// announce sends IPv4 prefixes with an AS path and more attributes.
func (p *player) announce(pathID uint32, path []uint32, edit func(*wire.AttrEditor), prefixes ...string) {
	p.t.Helper()
	p.tell(wire.IPv4Unicast, attributes(path, p.local(), edit), nlris(pathID, prefixes)...)
}

// withdraw takes IPv4 prefixes back.
func (p *player) withdraw(pathID uint32, prefixes ...string) {
	p.t.Helper()
	p.takeBack(wire.IPv4Unicast, nlris(pathID, prefixes)...)
}

// local is the player's own address.
func (p *player) local() netip.Addr {
	return p.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// attributes are canonical ones: an AS path, a next hop where it is valid, and
// what edit makes of them.
func attributes(path []uint32, hop netip.Addr, edit func(*wire.AttrEditor)) []byte {
	value := []byte{byte(wire.SegSequence), byte(len(path))}
	for _, as := range path {
		value = binary.BigEndian.AppendUint32(value, as)
	}
	if len(path) == 0 {
		value = nil
	}
	attrs := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{wire.OriginIGP})
	attrs = wire.AppendAttr(attrs, wire.FlagTransitive, wire.AttrASPath, value)
	var e wire.AttrEditor
	e.Start(attrs)
	if hop.IsValid() {
		e.SetNextHop(hop, netip.Addr{})
	}
	if edit != nil {
		edit(&e)
	}
	return e.Append(nil)
}

// nlri is a route of any family: a prefix with what its family has besides, or
// raw octets.
type nlri struct {
	prefix string
	rd     uint64
	labels []byte // three octets each
	raw    []byte
	id     uint32
}

func nlris(pathID uint32, prefixes []string) []nlri {
	var rs []nlri
	for _, s := range prefixes {
		rs = append(rs, nlri{prefix: s, id: pathID})
	}
	return rs
}

// tell announces routes of any family.
func (p *player) tell(f wire.Family, attrs []byte, routes ...nlri) {
	p.t.Helper()
	enc := wire.NewEncoder(p.opts)
	if err := enc.Announce(f, attrs); err != nil {
		p.t.Fatal(err)
	}
	p.routes(enc, f, routes)
}

// takeBack withdraws routes of any family.
func (p *player) takeBack(f wire.Family, routes ...nlri) {
	p.t.Helper()
	enc := wire.NewEncoder(p.opts)
	enc.Withdraw(f)
	p.routes(enc, f, routes)
}

func (p *player) routes(enc *wire.Encoder, f wire.Family, routes []nlri) {
	p.t.Helper()
	for _, r := range routes {
		if f.Form() == wire.FormRaw {
			enc.RouteRaw(r.raw, r.id)
			continue
		}
		prefix := netip.MustParsePrefix(r.prefix)
		hi, lo, n := uint64(0), uint64(0), uint8(prefix.Bits())
		if prefix.Addr().Is4() {
			a := prefix.Addr().As4()
			hi = uint64(binary.BigEndian.Uint32(a[:])) << 32
		} else {
			a := prefix.Addr().As16()
			hi, lo = binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
		}
		switch {
		case f.Form() != wire.FormPrefix:
			enc.RouteLabelled(r.rd, r.labels, hi, lo, n, r.id)
		case f.Is4():
			enc.Route4(uint32(hi>>32), n, r.id)
		default:
			enc.Route6(hi, lo, n, r.id)
		}
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

// count is how many routes the player holds: it costs nothing, and holds does
// where there are many.
func (p *player) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.table)
}

// attr is an attribute of a route that the player holds.
func (p *player) attr(key string, a wire.AttrType) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return wire.FindAttr(p.table[key], a)
}

// text is what an attribute of a route says, "-" where there is none.
func (p *player) text(key string, a wire.AttrType) string {
	v, ok := p.attr(key, a)
	if !ok {
		return "-"
	}
	switch a {
	case wire.AttrASPath:
		return string(wire.AppendASPath(nil, v))
	case wire.AttrNextHop:
		global, link := wire.NextHopAddrs(v)
		if link.IsValid() {
			return global.String() + " " + link.String()
		}
		return global.String()
	case wire.AttrClusterList:
		return string(wire.AppendClusterList(nil, v))
	case wire.AttrOriginatorID:
		return netip.AddrFrom4([4]byte(v)).String()
	case wire.AttrCommunities:
		return texts(v, 4, func(dst, v []byte) []byte { return wire.AppendCommunity(dst, binary.BigEndian.Uint32(v)) })
	case wire.AttrLargeCommunities:
		return texts(v, 12, wire.AppendLargeCommunity)
	case wire.AttrExtCommunities:
		return texts(v, 8, func(dst, v []byte) []byte { return wire.AppendExtCommunity(dst, binary.BigEndian.Uint64(v)) })
	case wire.AttrMED, wire.AttrLocalPref, wire.AttrOTC:
		return fmt.Sprint(binary.BigEndian.Uint32(v))
	}
	return fmt.Sprintf("%x", v)
}

func texts(v []byte, n int, write func(dst, v []byte) []byte) string {
	var b []byte
	for ; len(v) >= n; v = v[n:] {
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = write(b, v[:n])
	}
	return string(b)
}

// longestMessage is how many octets the longest message so far had.
func (p *player) longestMessage() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.longest
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
