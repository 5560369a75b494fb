package main

import (
	"encoding/binary"
	"net/netip"

	"ribd/internal/tablegen"
	"ribd/wire"
)

// feed is what a peer sends: whole UPDATEs.
type feed struct {
	as       uint32
	from     netip.Addr
	longer   int // times that its AS path is longer than the table has it
	announce []byte
	withdraw []byte
	routes   int
	messages int
}

// feederAddr is the loopback address of feeder i: daemons take routes from them.
func feederAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(1 + i&0xff)})
}

// sinkAddr is that of sink i: daemons send them all that they have.
func sinkAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 2, byte(i >> 8), byte(1 + i&0xff)})
}

// reencode walks the messages of a transfer and writes their routes anew, with
// the next hop of who sends them, path ids where pathID is not 0, and without
// communities such as no-export, so that every route is for every sink.
func (s *feed) reencode(messages []byte, pathID uint32, addPath bool) error {
	o := wire.SendOptions{AS4: true}
	if addPath {
		o.AddPath = wire.NewFamilySet(wire.IPv4Unicast)
	}
	announce, withdraw := wire.NewEncoder(o), wire.NewEncoder(o)
	withdraw.Withdraw(wire.IPv4Unicast)
	hop := s.from.As4()
	session := wire.Session{AS4: true, External: true}
	var u wire.Update
	var edit wire.AttrEditor
	var attrs []byte
	scratch := make([]byte, 0, wire.MaxMessageLen)
	reserved, err := wire.ParseCommunity("65535:*")
	if err != nil {
		return err
	}
	wellKnown := []wire.CommunityMatch{reserved}
	for b := messages; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[16:]))
		if err := u.Parse(b[:n], &session); err != nil {
			return err
		}
		b = b[n:]
		edit.Start(u.Attributes(scratch[:0]))
		edit.RemoveCommunities(wellKnown)
		if s.longer > 0 {
			edit.Prepend(s.as, s.longer)
		}
		attrs = edit.Append(attrs[:0])
		if v, ok := wire.FindAttr(attrs, wire.AttrNextHop); ok {
			copy(v, hop[:])
		}
		if err := announce.Announce(wire.IPv4Unicast, attrs); err != nil {
			return err
		}
		for nlri := u.NLRI4(); nlri.Next(); {
			announce.Route4(nlri.Addr(), nlri.Len(), pathID)
			withdraw.Route4(nlri.Addr(), nlri.Len(), pathID)
			s.routes++
		}
	}
	s.announce = append(s.announce, announce.Flush()...)
	s.withdraw = append(s.withdraw, withdraw.Flush()...)
	return nil
}

// feeds are the tables of peers as feeders send them.
func feeds(t *tablegen.Table, n int) ([]feed, error) {
	out := make([]feed, n)
	for i := range out {
		var err error
		if out[i], err = oneFeed(t, i, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oneFeed is the table of peer i; longer makes every path of it worse.
func oneFeed(t *tablegen.Table, i, longer int) (feed, error) {
	s := feed{as: t.Peers()[i].AS, from: feederAddr(i), longer: longer}
	m, _ := t.Transfer(i)
	err := s.reencode(m, 0, false)
	s.messages = countMessages(s.announce)
	return s, err
}

// addPathFeed is the tables of n peers as paths of one feeder.
func addPathFeed(t *tablegen.Table, n int) (feed, error) {
	s := feed{as: t.Peers()[0].AS, from: feederAddr(0)}
	for i := range n {
		m, _ := t.Transfer(i)
		if err := s.reencode(m, uint32(i+1), true); err != nil {
			return s, err
		}
	}
	s.messages = countMessages(s.announce)
	return s, nil
}

func countMessages(b []byte) (n int) {
	for len(b) > 0 {
		b = b[binary.BigEndian.Uint16(b[16:]):]
		n++
	}
	return n
}
