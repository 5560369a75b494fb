//go:build linux

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/internal/peertest"
	"ribd/wire"
)

// speaker is a peer that does what a test tells it, right or wrong: it opens a
// session, sends routes or any octets, keeps what it is sent, and stops reading
// when it is told to.
type speaker struct {
	t    testing.TB
	host *peertest.Host
	o    speakerOptions

	mu           sync.Mutex
	conn         net.Conn
	their        wire.Open
	sess         wire.Session
	send         wire.SendOptions
	table        map[speakerKey]peertest.Route
	withdrawn    map[netip.Prefix]int
	ends         map[wire.Family]int // End-of-RIBs
	refreshes    []wire.RouteRefresh
	updates      int
	routes       int // announced to us, in all
	notification *wire.Notification
	err          error
	resume       chan struct{} // not nil: reading is paused until it closes
	done         chan struct{}
}

type speakerKey struct {
	prefix netip.Prefix
	id     uint32
}

// speakerOptions is what a speaker says of itself. Zero values are an external
// peer with the families of the transport.
type speakerOptions struct {
	as            uint32
	id            netip.Addr // the host's IPv4 address unless set
	to            netip.Addr
	local         netip.Addr // the host's address unless set
	hold          uint16     // 90 unless set
	families      []wire.Family
	receive, send bool // Add-Path
	more          []wire.Capability
	quiet         bool // no keepalives after the first
	withoutTable  bool // what it is sent is counted, not kept
}

// newSpeaker makes a speaker, which does not connect yet.
func newSpeaker(t testing.TB, h *peertest.Host, o speakerOptions) *speaker {
	if o.as == 0 {
		o.as = speakerAS
	}
	if o.hold == 0 {
		o.hold = 90
	}
	if !o.id.IsValid() {
		o.id = h.V4
	}
	if !o.local.IsValid() {
		o.local = h.Addr(o.to)
	}
	if o.families == nil && o.to.Is4() {
		o.families = []wire.Family{wire.IPv4Unicast}
	} else if o.families == nil {
		o.families = []wire.Family{wire.IPv6Unicast}
	}
	s := &speaker{t: t, host: h, o: o}
	t.Cleanup(s.close)
	return s
}

// startSpeaker makes a speaker and waits until its session is established.
func startSpeaker(t testing.TB, h *peertest.Host, o speakerOptions) *speaker {
	t.Helper()
	s := newSpeaker(t, h, o)
	peertest.Until(t, peertestWait, "speaker: session with "+o.to.String(), s.connect)
	return s
}

// speakerStep is how long a speaker waits for a connection, and then for an
// answer, before it tries again.
const speakerStep = 20 * time.Second

// connect opens a session: it returns when both ends are established. Of an
// earlier one nothing is left then.
func (s *speaker) connect() error {
	s.close()
	ctx, cancel := context.WithTimeout(context.Background(), speakerStep)
	defer cancel()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.o.local.AsSlice()}}
	d.SetMultipathTCP(false)
	conn, err := s.host.Dial(ctx, d, netip.AddrPortFrom(s.o.to, 179))
	if err != nil {
		return err
	}
	if err := s.handshake(conn); err != nil {
		conn.Close()
		return err
	}
	return nil
}

func (s *speaker) open() *wire.Open {
	id := s.o.id.As4()
	o := &wire.Open{AS: s.o.as, HoldTime: s.o.hold, ID: binary.BigEndian.Uint32(id[:])}
	for _, f := range s.o.families {
		o.Capabilities = append(o.Capabilities, wire.MultiprotocolCapability(f))
	}
	o.Capabilities = append(o.Capabilities, wire.AS4Capability(s.o.as), wire.RouteRefreshCapability())
	var none, all wire.FamilySet
	all = wire.NewFamilySet(s.o.families...)
	pick := func(on bool) wire.FamilySet {
		if on {
			return all
		}
		return none
	}
	if s.o.receive || s.o.send {
		o.Capabilities = append(o.Capabilities, wire.AddPathCapability(pick(s.o.receive), pick(s.o.send)))
	}
	o.Capabilities = append(o.Capabilities, s.o.more...)
	return o
}

func (s *speaker) handshake(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(speakerStep))
	ours := s.open()
	if _, err := conn.Write(wire.AppendOpen(nil, ours)); err != nil {
		return err
	}
	buf := make([]byte, wire.MaxExtendedLen)
	var their wire.Open
	for opened := false; ; {
		kind, msg, err := readMessage(conn, buf, &wire.Session{})
		if err != nil {
			return err
		}
		switch kind {
		case wire.MsgOpen:
			var werr *wire.Error
			if their, werr = wire.ParseOpen(append([]byte(nil), msg...)); werr != nil {
				return werr
			}
			opened = true
			if _, err := conn.Write(wire.AppendKeepalive(nil)); err != nil {
				return err
			}
			continue
		case wire.MsgNotification:
			n, _ := wire.ParseNotification(msg, &wire.Session{})
			n.Data = append([]byte(nil), n.Data...)
			s.mu.Lock()
			s.notification = &n
			s.mu.Unlock()
			return errors.New("refused: " + n.String())
		}
		if kind == wire.MsgKeepalive && opened {
			break
		}
		return fmt.Errorf("%v out of its turn", kind)
	}
	conn.SetDeadline(time.Time{})
	s.run(conn, ours, their, buf)
	return nil
}

// run starts the goroutines of a session.
func (s *speaker) run(conn net.Conn, ours *wire.Open, their wire.Open, buf []byte) {
	families := wire.NewFamilySet(s.o.families...)
	_, theySend := their.AddPath()
	theyReceive, _ := their.AddPath()
	pick := func(on bool, fs wire.FamilySet) (out wire.FamilySet) {
		for _, f := range s.o.families {
			if on && fs.Has(f) {
				out = out.With(f)
			}
		}
		return out
	}
	extended := ours.Has(wire.CapExtendedMessage) && their.Has(wire.CapExtendedMessage)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.their, s.done = conn, their, make(chan struct{})
	s.table, s.withdrawn, s.ends = map[speakerKey]peertest.Route{}, map[netip.Prefix]int{}, map[wire.Family]int{}
	s.refreshes, s.updates, s.routes, s.notification, s.err = nil, 0, 0, nil, nil
	s.sess = wire.Session{AS4: their.Has(wire.CapAS4), Extended: extended, Families: families, AddPath: pick(s.o.receive, theySend)}
	s.send = wire.SendOptions{AS4: s.sess.AS4, Extended: extended, AddPath: pick(s.o.send, theyReceive)}
	done := s.done
	go s.read(conn, buf, done)
	if hold := min(s.o.hold, their.HoldTime); hold > 0 && !s.o.quiet {
		go func() {
			tick := time.NewTicker(time.Duration(hold) * time.Second / 3)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
					conn.Write(wire.AppendKeepalive(nil))
				}
			}
		}()
	}
}

// readMessage reads one message into buf.
func readMessage(r io.Reader, buf []byte, sess *wire.Session) (wire.MessageType, []byte, error) {
	if _, err := io.ReadFull(r, buf[:wire.HeaderLen]); err != nil {
		return 0, nil, err
	}
	kind, n, werr := wire.ParseHeader(buf[:wire.HeaderLen], sess)
	if werr != nil {
		return 0, nil, werr
	}
	_, err := io.ReadFull(r, buf[wire.HeaderLen:n])
	return kind, buf[:n], err
}

func (s *speaker) read(conn net.Conn, buf []byte, done chan struct{}) {
	defer close(done)
	defer conn.Close()
	var u wire.Update
	for {
		s.mu.Lock()
		resume := s.resume
		s.mu.Unlock()
		if resume != nil {
			<-resume
		}
		kind, msg, err := readMessage(conn, buf, &s.sess)
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.mu.Unlock()
			return
		}
		switch kind {
		case wire.MsgUpdate:
			s.update(&u, msg)
		case wire.MsgRouteRefresh:
			if r, err := wire.ParseRouteRefresh(msg, &s.sess); err == nil {
				r.Data = append([]byte(nil), r.Data...)
				s.refreshes = append(s.refreshes, r)
			}
		case wire.MsgNotification:
			if n, err := wire.ParseNotification(msg, &s.sess); err == nil {
				n.Data = append([]byte(nil), n.Data...)
				s.notification = &n
			}
		}
		s.mu.Unlock()
	}
}

// update takes an UPDATE in. What ribd sends has to be without fault.
func (s *speaker) update(u *wire.Update, msg []byte) {
	if err := u.Parse(msg, &s.sess); err != nil {
		s.t.Errorf("speaker: ribd sent %v: %x", err, msg)
		return
	}
	s.updates++
	if f, ok := u.EndOfRIB(); ok {
		s.ends[f]++
		return
	}
	gone := func(p netip.Prefix, id uint32) {
		delete(s.table, speakerKey{p, id})
		s.withdrawn[p]++
	}
	for w := u.Withdrawn4(); w.Next(); {
		gone(w.Prefix(), w.PathID())
	}
	if m, ok := u.Unreach(); ok {
		for w := m.NLRI4(); m.Family == wire.IPv4Unicast && w.Next(); {
			gone(w.Prefix(), w.PathID())
		}
		for w := m.NLRI6(); m.Family == wire.IPv6Unicast && w.Next(); {
			gone(w.Prefix(), w.PathID())
		}
	}
	here := func(p netip.Prefix, id uint32, r *peertest.Route) {
		s.routes++
		// FRR sends routes back to whom it has them from.
		if !s.o.withoutTable && !passed(r.ASPath, s.o.as) {
			c := *r
			c.Prefix, c.PathID = p, id
			s.table[speakerKey{p, id}] = c
		}
	}
	if u.HasNLRI4() {
		r := routeOf(u.AppendAttributes(nil))
		for w := u.NLRI4(); w.Next(); {
			here(w.Prefix(), w.PathID(), &r)
		}
	}
	if m, ok := u.Reach(); ok {
		r := routeOf(u.AppendReachAttributes(nil))
		for w := m.NLRI4(); m.Family == wire.IPv4Unicast && w.Next(); {
			here(w.Prefix(), w.PathID(), &r)
		}
		for w := m.NLRI6(); m.Family == wire.IPv6Unicast && w.Next(); {
			here(w.Prefix(), w.PathID(), &r)
		}
	}
}

// passed is true where an AS is in a path.
func passed(path string, as uint32) bool {
	return slices.Contains(strings.Fields(path), strconv.FormatUint(uint64(as), 10))
}

// got returns what the speaker was sent and not taken back.
func (s *speaker) got(f string) (out []peertest.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.table {
		if r.Family() == f {
			out = append(out, r)
		}
	}
	return out
}

// wantRoutes waits until the speaker holds just these routes.
func (s *speaker) wantRoutes(f string, want []peertest.Route, masks ...peertest.Mask) {
	s.t.Helper()
	peertest.Until(s.t, peertestWait, "speaker: the "+f+" routes", func() error { return peertest.Diff(s.got(f), want, masks...) })
}

// look runs f while nothing changes.
func (s *speaker) look(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// until waits until ok, which is run while nothing changes.
func (s *speaker) until(what string, ok func() bool) {
	s.t.Helper()
	peertest.Until(s.t, peertestWait, "speaker: "+what, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok() {
			return fmt.Errorf("updates %d, routes %d, ends %v, notification %v, error %v", s.updates, s.routes, s.ends, s.notification, s.err)
		}
		return nil
	})
}

// write sends octets as they are.
func (s *speaker) write(b []byte) {
	s.t.Helper()
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if _, err := conn.Write(b); err != nil {
		s.t.Errorf("speaker: %v", err)
	}
}

// announce sends routes, with the speaker as next hop where they have none.
func (s *speaker) announce(routes ...peertest.Route) {
	s.t.Helper()
	e := wire.NewEncoder(s.send)
	for _, r := range routes {
		if !r.NextHop.IsValid() {
			r.NextHop = s.host.Addr(r.Prefix.Addr())
		}
		if err := e.Announce(family4or6(r.Prefix), attributesOf(s.t, r)); err != nil {
			s.t.Fatal(err)
		}
		encodeRoute(e, r.Prefix, r.PathID)
	}
	s.write(e.Flush())
}

func (s *speaker) withdraw(routes ...peertest.Route) {
	s.t.Helper()
	e := wire.NewEncoder(s.send)
	for _, r := range routes {
		e.Withdraw(family4or6(r.Prefix))
		encodeRoute(e, r.Prefix, r.PathID)
	}
	s.write(e.Flush())
}

// end sends the End-of-RIB of the speaker's families.
func (s *speaker) end() {
	s.t.Helper()
	for _, f := range s.o.families {
		s.write(wire.AppendEndOfRIB(nil, f))
	}
}

// pause stops reading until resumed, after the message that is being read.
func (s *speaker) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume == nil {
		s.resume = make(chan struct{})
	}
}

func (s *speaker) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume != nil {
		close(s.resume)
		s.resume = nil
	}
}

// close ends the connection without a word, and waits for its goroutines.
func (s *speaker) close() {
	s.goOn()
	s.mu.Lock()
	conn, done := s.conn, s.done
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
		<-done
	}
}

func family4or6(p netip.Prefix) wire.Family {
	if p.Addr().Is4() {
		return wire.IPv4Unicast
	}
	return wire.IPv6Unicast
}

func encodeRoute(e *wire.Encoder, p netip.Prefix, id uint32) {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		e.Route4(binary.BigEndian.Uint32(a[:]), uint8(p.Bits()), id)
		return
	}
	a := p.Addr().As16()
	e.Route6(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), uint8(p.Bits()), id)
}

// attributesOf encodes a route's attributes in canonical form. Paths are
// sequences and sets.
func attributesOf(t testing.TB, r peertest.Route) []byte {
	t.Helper()
	var b []byte
	u32 := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrOrigin, []byte{map[string]byte{"igp": 0, "egp": 1, "incomplete": 2}[r.Origin]})
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrASPath, pathOf(t, r.ASPath))
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrNextHop, r.NextHop.AsSlice())
	if r.MED != nil {
		b = wire.AppendAttr(b, wire.FlagOptional, wire.AttrMED, u32(*r.MED))
	}
	if r.LocalPref != nil {
		b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrLocalPref, u32(*r.LocalPref))
	}
	if r.AtomicAggregate {
		b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrAtomicAggregate, nil)
	}
	opt := wire.FlagOptional | wire.FlagTransitive
	if as, id, ok := strings.Cut(r.Aggregator, " "); ok {
		b = wire.AppendAttr(b, opt, wire.AttrAggregator, append(u32(asNumber(t, as)), netip.MustParseAddr(id).AsSlice()...))
	}
	var v []byte
	for _, c := range r.Communities {
		m, err := wire.ParseCommunity(c)
		n, ok := m.Value()
		if err != nil || !ok {
			t.Fatalf("community %q: %v", c, err)
		}
		v = append(v, u32(n)...)
	}
	if v != nil {
		b = wire.AppendAttr(b, opt, wire.AttrCommunities, v)
	}
	v = nil
	for _, c := range r.ExtCommunities {
		m, err := wire.ParseExtCommunity(c)
		n, ok := m.Value()
		if err != nil || !ok {
			t.Fatalf("extended community %q: %v", c, err)
		}
		v = binary.BigEndian.AppendUint64(v, n)
	}
	if v != nil {
		b = wire.AppendAttr(b, opt, wire.AttrExtCommunities, v)
	}
	v = nil
	for _, c := range r.LargeCommunities {
		m, err := wire.ParseLargeCommunity(c)
		n, ok := m.Value()
		if err != nil || !ok {
			t.Fatalf("large community %q: %v", c, err)
		}
		v = append(v, n[:]...)
	}
	if v != nil {
		b = wire.AppendAttr(b, opt, wire.AttrLargeCommunities, v)
	}
	return b
}

func asNumber(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// pathOf encodes an AS path: "1 2 {3,4}".
func pathOf(t testing.TB, path string) (v []byte) {
	t.Helper()
	var seq []byte
	flush := func(kind wire.SegmentType, b []byte) {
		if len(b) > 0 {
			v = append(append(v, byte(kind), byte(len(b)/4)), b...)
		}
	}
	for _, w := range strings.Fields(path) {
		set, ok := strings.CutPrefix(w, "{")
		if !ok {
			seq = binary.BigEndian.AppendUint32(seq, asNumber(t, w))
			continue
		}
		flush(wire.SegSequence, seq)
		seq = nil
		var b []byte
		for _, as := range strings.Split(strings.TrimSuffix(set, "}"), ",") {
			b = binary.BigEndian.AppendUint32(b, asNumber(t, as))
		}
		flush(wire.SegSet, b)
	}
	flush(wire.SegSequence, seq)
	return v
}

// routeOf decodes canonical attributes.
func routeOf(attrs []byte) (r peertest.Route) {
	for a := wire.WalkAttributes(attrs); a.Next(); {
		v := a.Value()
		switch a.Type() {
		case wire.AttrOrigin:
			r.Origin = string(wire.AppendOrigin(nil, v[0]))
		case wire.AttrASPath:
			r.ASPath = string(wire.AppendASPath(nil, v))
		case wire.AttrNextHop:
			r.NextHop, _ = netip.AddrFromSlice(v[:min(len(v), 16)])
		case wire.AttrMED:
			r.MED = new(binary.BigEndian.Uint32(v))
		case wire.AttrLocalPref:
			r.LocalPref = new(binary.BigEndian.Uint32(v))
		case wire.AttrAtomicAggregate:
			r.AtomicAggregate = true
		case wire.AttrAggregator:
			r.Aggregator = string(wire.AppendAggregator(nil, v))
		case wire.AttrCommunities:
			for ; len(v) >= 4; v = v[4:] {
				r.Communities = append(r.Communities, string(wire.AppendCommunity(nil, binary.BigEndian.Uint32(v))))
			}
		case wire.AttrExtCommunities:
			for ; len(v) >= 8; v = v[8:] {
				r.ExtCommunities = append(r.ExtCommunities, string(wire.AppendExtCommunity(nil, binary.BigEndian.Uint64(v))))
			}
		case wire.AttrLargeCommunities:
			for ; len(v) >= 12; v = v[12:] {
				r.LargeCommunities = append(r.LargeCommunities, string(wire.AppendLargeCommunity(nil, v[:12])))
			}
		}
	}
	return r
}
