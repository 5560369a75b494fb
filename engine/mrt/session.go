package mrt

import (
	"encoding/binary"
	"fmt"

	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/mrt"
)

// refresh is a generation of a peer's family that a dump began.
type refresh struct {
	peer  *peer
	num   rib.PeerNum
	table rib.TableID
}

// peerIndex takes a PEER_INDEX_TABLE in. Records before it keep the one that
// they had: it is attached to the segments that come.
func (f *framer) peerIndex(at int, r *mrt.Record) {
	var x mrt.PeerIndex
	if err := x.Parse(r); err != nil {
		f.index = &index{}
		f.broken(at, err)
		return
	}
	name := string(x.ViewName)
	if name != "" {
		f.j.n.note(fmt.Sprintf("view %q", name))
	}
	if f.dump && x.CollectorID == f.j.col.id && name == f.view && r.Time > f.viewTime {
		// The same table once more, later: another dump in one file. Tables of one
		// dump differ in their names, or in nothing at all.
		f.drain()
		f.sweep()
		clear(f.families)
		f.refreshes, f.lastFam = nil, 0
	}
	f.view, f.viewTime = name, r.Time
	f.begin(x.CollectorID)
	ix := &index{}
	seen := map[*peer]bool{}
	w := x.Peers()
	for w.Next() {
		k := w.Peer()
		p := f.j.meet(peerKey{k.Addr, k.AS}, k.BGPID, false)
		if p == nil {
			return // the load has failed
		}
		if seen[p] {
			ix.shared = true
		}
		seen[p] = true
		ix.peers = append(ix.peers, p)
	}
	f.index = ix
	if err := w.Err(); err != nil {
		f.broken(at, err)
	}
}

// begin notes that the file is a dump, of the collector with BGP identifier id
// (0: not known). A dump of another collector under the same empty name does
// not replace what the first brought.
func (f *framer) begin(id uint32) {
	c := f.j.col
	if f.dump && id == c.id {
		return
	}
	if c.dumped && c.name == "" && id != c.id {
		f.adds = true
		f.j.n.note("a dump of another collector: it adds to what is there; name collectors to have their dumps replaced")
	}
	f.dump, c.dumped, c.id = true, true, id
}

// family is called before the first record of a family in a dump: what the
// peers of the collector have had of it is swept at the end unless the dump
// names it again.
func (f *framer) family(at int, fam wire.Family) {
	if !f.dump {
		f.begin(0)
	}
	f.families[fam] = true
	table, ok := f.table(fam)
	if !ok || f.adds {
		return
	}
	f.cut(at)
	f.drain()
	for _, p := range f.j.col.all() {
		if p.dirty.Load() {
			n := rib.PeerNum(p.num.Load())
			f.j.l.rib.Refresh(n, table)
			f.refreshes = append(f.refreshes, refresh{p, n, table})
		}
	}
}

// table returns a table of a family, if there is one: it stands for all.
func (f *framer) table(fam wire.Family) (rib.TableID, bool) {
	r := f.j.l.rib
	if fam.Form() != wire.FormVPN {
		return r.FindTable(fam, 0)
	}
	for _, t := range r.Tables() {
		if g, _, _ := r.TableInfo(t); g == fam {
			return t, true
		}
	}
	return 0, false
}

// sweep ends the generations of a dump. One that was not sound removes nothing:
// what it did not name may have been in the part that was lost.
func (f *framer) sweep() {
	if len(f.refreshes) == 0 {
		return
	}
	n := &f.j.n
	if n.truncated != "" || n.damaged.Load() > 0 {
		n.note("the dump is not complete: routes that it does not name stay")
		return
	}
	for _, x := range f.refreshes {
		if !x.peer.gone.Load() && rib.PeerNum(x.peer.num.Load()) == x.num {
			f.j.l.rib.EndRefresh(x.num, x.table)
		}
	}
}

// state takes a STATE_CHANGE in: a session that leaves Established loses its
// routes. All states past Established are Quagga's, and lie on the way down.
func (f *framer) state(at int, r *mrt.Record) {
	var s mrt.StateChange
	if err := s.Parse(r); err != nil {
		f.broken(at, err)
		return
	}
	if s.Old == mrt.StateEstablished && s.New != mrt.StateEstablished {
		f.down(at, peerKey{s.Peer, s.PeerAS})
	}
}

// open looks for an OPEN that was received: a new session, whatever the
// collector wrote of the end of the one before.
func (f *framer) open(at int, r *mrt.Record) {
	var m mrt.Message
	if m.Parse(r) != nil || m.Type != mrt.Open || m.Sent {
		return // a worker counts the damage
	}
	as, ok := openAS(m.Body)
	if ok && as == m.LocalAS && as != m.PeerAS {
		return // the collector's own, from before there were _LOCAL subtypes
	}
	k := peerKey{m.Peer, m.PeerAS}
	if k.as == asTrans && ok {
		k.as = as
	}
	f.down(at, k)
}

// down drops the routes of a peer, after all that the file says before.
func (f *framer) down(at int, k peerKey) {
	f.cut(at)
	f.drain()
	for _, p := range f.j.col.at(k.addr, k.as) {
		had, err := f.j.col.down(p)
		if had {
			f.j.n.sessions.Add(1)
		}
		if err != nil {
			f.j.fail(fmt.Errorf("peer %v AS%d: %w", k.addr, k.as, err))
		}
	}
}

// openAS returns the AS number of an OPEN, given without its header: that of
// the 4-octet AS capability where it has one (RFC 6793 section 3, RFC 5492
// section 4, RFC 9072).
func openAS(b []byte) (as uint32, ok bool) {
	if len(b) < 10 {
		return 0, false
	}
	as = uint32(binary.BigEndian.Uint16(b[1:]))
	n, p, wide := int(b[9]), b[10:], 1
	if n == 255 && len(p) >= 3 && p[0] == 255 {
		n, p, wide = int(binary.BigEndian.Uint16(p[1:])), p[3:], 2
	}
	p = p[:min(n, len(p))]
	for len(p) > wide {
		size := int(p[1])
		if wide == 2 {
			size = int(binary.BigEndian.Uint16(p[1:]))
		}
		kind, v := p[0], p[1+wide:]
		if size > len(v) {
			break
		}
		p = v[size:]
		if kind != 2 {
			continue
		}
		for v = v[:size]; len(v) >= 2 && int(v[1]) <= len(v)-2; v = v[2+int(v[1]):] {
			if v[0] == 65 && v[1] == 4 {
				return binary.BigEndian.Uint32(v[2:]), true
			}
		}
	}
	return as, true
}
