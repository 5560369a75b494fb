package tablegen

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
)

// UpdateCounts say what an update file holds.
type UpdateCounts struct {
	Messages, Announced, Withdrawn int
}

const collectorAS = 64512

// updates is the state of one update file: what each policy and peer last said.
type updates struct {
	t       *Table
	out     *bufio.Writer
	rng     source
	members []int32 // prefixes by policy
	first   []int32 // of each policy in members
	now     map[uint64]uint64
	down    []uint64 // policies and peers that are withdrawn, to come back
	micros  int64
	counts  UpdateCounts
	buf     []byte
}

// WriteUpdates writes messages of BGP4MP_ET that go on from the table: changed
// attributes, exact repeats, withdrawals that come back later, and path hunting
// before some of them. Add-Path tables get the Add-Path subtype.
func (t *Table) WriteUpdates(w io.Writer, messages int) (UpdateCounts, error) {
	if len(t.policies) == 0 {
		return UpdateCounts{}, fmt.Errorf("an empty table has no updates")
	}
	u := &updates{t: t, out: bufio.NewWriterSize(w, 1<<18), rng: newSource(t.o.Seed, 'u'),
		now: map[uint64]uint64{}, micros: t.o.Time.UnixMicro()}
	u.index()
	for u.counts.Messages < messages {
		if len(u.down) > 0 && u.rng.chance(30) {
			if err := u.comeBack(); err != nil {
				return u.counts, err
			}
			continue
		}
		number, peer := int32(u.rng.intN(len(t.policies))), u.rng.intN(len(t.peers))
		key := uint64(number)<<16 | uint64(peer)
		if _, ok := t.way(t.policies[number], peer, 0, 0); !ok || u.now[key] == withdrawn {
			continue
		}
		if err := u.event(number, peer, key, messages); err != nil {
			return u.counts, err
		}
	}
	return u.counts, u.out.Flush()
}

const withdrawn = ^uint64(0)

// index lists the prefixes of each policy.
func (u *updates) index() {
	t := u.t
	u.first = make([]int32, len(t.policies)+1)
	for _, p := range t.policy {
		u.first[p+1]++
	}
	for i := range t.policies {
		u.first[i+1] += u.first[i]
	}
	next := append([]int32(nil), u.first...)
	u.members = make([]int32, len(t.policy))
	for i, p := range t.policy {
		u.members[next[p]] = int32(i)
		next[p]++
	}
}

// event writes one thing that happens to a policy at a peer.
func (u *updates) event(number int32, peer int, key uint64, messages int) error {
	gen := u.now[key]
	change := func() uint64 { return 1 + u.rng.uint64()%1000*256 + u.rng.uint64()%4 }
	switch x := u.rng.intN(100); {
	case x < 15: // an exact repeat
		return u.announce(number, peer, gen)
	case x < 65:
		u.now[key] = change()
		return u.announce(number, peer, u.now[key])
	case x < 85: // path hunting
		for range 1 + u.rng.intN(3) {
			if u.counts.Messages+1 >= messages {
				break
			}
			if err := u.announce(number, peer, change()); err != nil {
				return err
			}
		}
	}
	u.now[key] = withdrawn
	u.down = append(u.down, key)
	return u.withdraw(number, peer)
}

// comeBack announces again what has been withdrawn for longest.
func (u *updates) comeBack() error {
	key := u.down[0]
	u.down = u.down[1:]
	delete(u.now, key)
	return u.announce(int32(key>>16), int(key&0xffff), 0)
}

// nlri appends the prefixes of a policy that the peer has given, as many as fit
// well into a message.
func (u *updates) nlri(b []byte, number int32, peer int, n *int) []byte {
	for _, i := range u.members[u.first[number]:u.first[number+1]] {
		if len(b) > 3000 {
			break
		}
		if !u.t.sees(int(i), peer) {
			continue
		}
		if u.t.o.AddPath > 0 {
			b = binary.BigEndian.AppendUint32(b, 1)
		}
		b = appendPrefix(b, u.t.prefixes[i])
		*n++
	}
	return b
}

func (u *updates) announce(number int32, peer int, gen uint64) error {
	attrs := u.t.appendAttrs(nil, number, peer, gen)
	nlri := u.nlri(nil, number, peer, &u.counts.Announced)
	if len(nlri) == 0 {
		return nil
	}
	b := u.begin(peer)
	b = append(b, 0, 0) // nothing withdrawn
	at := len(b)
	b = append(b, 0, 0)
	if u.t.policies[number].v6 {
		reach := append([]byte{0, 2, 1, 16}, u.t.peers[peer].NextHop6.AsSlice()...)
		reach = append(reach, 0)
		b = appendAttr(b, flagsOptional, attrMPReach, append(reach, nlri...))
		b = appendWithout(b, attrs, attrMPReach)
		nlri = nil
	} else {
		b = append(b, attrs...)
	}
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return u.end(append(b, nlri...))
}

func (u *updates) withdraw(number int32, peer int) error {
	nlri := u.nlri(nil, number, peer, &u.counts.Withdrawn)
	if len(nlri) == 0 {
		return nil
	}
	b := u.begin(peer)
	if u.t.policies[number].v6 {
		b = append(b, 0, 0)
		attr := appendAttr(nil, flagsOptional, 15, append([]byte{0, 2, 1}, nlri...))
		b = binary.BigEndian.AppendUint16(b, uint16(len(attr)))
		return u.end(append(b, attr...))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(nlri)))
	return u.end(append(append(b, nlri...), 0, 0))
}

// appendWithout appends attributes less those of one type.
func appendWithout(dst, attrs []byte, typ byte) []byte {
	for len(attrs) > 0 {
		n := 3 + int(attrs[2])
		if attrs[0]&0x10 != 0 {
			n = 4 + int(binary.BigEndian.Uint16(attrs[2:]))
		}
		if attrs[1] != typ {
			dst = append(dst, attrs[:n]...)
		}
		attrs = attrs[n:]
	}
	return dst
}

// begin starts a record up to and with the header of the BGP message.
func (u *updates) begin(peer int) []byte {
	u.micros += int64(u.rng.geometric(4000))
	p := u.t.peers[peer]
	sub := uint16(subMessageAS4)
	if u.t.o.AddPath > 0 {
		sub = subMessageAS4AddPath
	}
	b := appendHeader(u.buf[:0], uint32(u.micros/1e6), mrtBGP4MPET, sub)
	b = binary.BigEndian.AppendUint32(b, uint32(u.micros%1e6))
	b = binary.BigEndian.AppendUint32(b, p.AS)
	b = binary.BigEndian.AppendUint32(b, collectorAS)
	local, afi := netip.AddrFrom4([4]byte{192, 0, 2, 254}), byte(1)
	if p.Addr.Is6() {
		local, afi = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 0xfe}), 2
	}
	b = append(b, 0, 0, 0, afi)
	b = append(b, p.Addr.AsSlice()...)
	b = append(b, local.AsSlice()...)
	for range 16 {
		b = append(b, 0xff)
	}
	return append(b, 0, 0, 2) // length by end; UPDATE
}

// end fills in the lengths and writes the record.
func (u *updates) end(b []byte) error {
	u.buf = b
	at := 12 + 4 + 4 + 4 + 4 + 8 // to the BGP message of an IPv4 session
	if b[27] == 2 {
		at += 24
	}
	size := len(b) - at
	if size > 4096 {
		return fmt.Errorf("BUG: a message of %d octets", size)
	}
	binary.BigEndian.PutUint16(b[at+16:], uint16(size))
	_, err := u.out.Write(finish(b))
	u.counts.Messages++
	return err
}
