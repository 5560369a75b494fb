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
	attrs   []byte
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
	b, _ = u.appendNLRI(b, u.members[u.first[number]:u.first[number+1]], peer, n)
	return b
}

// appendNLRI is nlri for a list of prefixes, and returns those that are left over.
func (u *updates) appendNLRI(b []byte, members []int32, peer int, n *int) (nlri []byte, rest []int32) {
	for j, i := range members {
		if len(b) > 3000 {
			return b, members[j:]
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
	return b, nil
}

func (u *updates) announce(number int32, peer int, gen uint64) error {
	nlri := u.nlri(nil, number, peer, &u.counts.Announced)
	if len(nlri) == 0 {
		return nil
	}
	u.attrs = u.t.appendAttrs(u.attrs[:0], number, peer, gen)
	return u.end(u.t.appendUpdate(u.begin(peer), u.attrs, nlri, u.t.policies[number].v6, peer))
}

func (u *updates) withdraw(number int32, peer int) error {
	nlri := u.nlri(nil, number, peer, &u.counts.Withdrawn)
	if len(nlri) == 0 {
		return nil
	}
	b, at := beginMessage(u.begin(peer))
	if u.t.policies[number].v6 {
		b = append(b, 0, 0)
		attr := appendAttr(nil, flagsOptional, attrMPUnreach, append([]byte{0, 2, 1}, nlri...))
		b = binary.BigEndian.AppendUint16(b, uint16(len(attr)))
		b = append(b, attr...)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(nlri)))
		b = append(append(b, nlri...), 0, 0)
	}
	return u.end(endMessage(b, at))
}

// beginMessage appends the header of an UPDATE; endMessage fills in its length.
func beginMessage(b []byte) (_ []byte, at int) {
	at = len(b)
	for range 16 {
		b = append(b, 0xff)
	}
	return append(b, 0, 0, 2), at
}

func endMessage(b []byte, at int) []byte {
	if len(b)-at > 4096 {
		panic(fmt.Sprintf("BUG: a message of %d octets", len(b)-at))
	}
	binary.BigEndian.PutUint16(b[at+16:], uint16(len(b)-at))
	return b
}

// appendUpdate appends an UPDATE that announces nlri with attributes as a table
// dump has them.
func (t *Table) appendUpdate(b, attrs, nlri []byte, v6 bool, peer int) []byte {
	b, at := beginMessage(b)
	b = append(b, 0, 0) // nothing withdrawn
	size := len(b)
	b = append(b, 0, 0)
	if v6 {
		reach := append([]byte{0, 2, 1, 16}, t.peers[peer].NextHop6.AsSlice()...)
		b = appendAttr(b, flagsOptional, attrMPReach, append(append(reach, 0), nlri...))
		b = appendWithout(b, attrs, attrMPReach)
		nlri = nil
	} else {
		b = append(b, attrs...)
	}
	binary.BigEndian.PutUint16(b[size:], uint16(len(b)-size-2))
	return endMessage(append(b, nlri...), at)
}

// Transfer returns the UPDATE messages, end to end, by which a peer gives its whole
// table when a session comes up: one for each set of attributes, and how many
// routes they announce.
func (t *Table) Transfer(peer int) (messages []byte, routes int) {
	u := &updates{t: t}
	u.index()
	var nlri []byte
	for number := range t.policies {
		members := u.members[u.first[number]:u.first[number+1]]
		for len(members) > 0 {
			nlri, members = u.appendNLRI(nlri[:0], members, peer, &routes)
			if len(nlri) > 0 {
				messages = t.appendUpdate(messages, t.attrs(int32(number), peer), nlri, t.policies[number].v6, peer)
			}
		}
	}
	return messages, routes
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

// begin starts a record, up to the BGP message.
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
	return append(b, local.AsSlice()...)
}

// end writes the record.
func (u *updates) end(b []byte) error {
	u.buf = b
	_, err := u.out.Write(finish(b))
	u.counts.Messages++
	return err
}
