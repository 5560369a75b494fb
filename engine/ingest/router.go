package ingest

import (
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Router makes operations of a [shard.Fan] from the routes of UPDATEs: it knows
// in which table, and under which key, an NLRI of any family is stored. It
// belongs to the goroutine of its Fan.
type Router struct {
	RouteCounts

	rib        *shard.RIB
	attrs      *rib.Attrs
	fan        *shard.Fan
	scratch    []byte // of sets that prepare built
	short      bool   // scratch was too small
	hashes     []uint64
	before     []byte // the set before, nil: none
	beforeHash uint64
	flow       []byte // canonical octets of a Flow Spec NLRI
	judge      judge
	tables     [tableSlots]tableSlot
}

// RouteCounts counts routes; it only grows.
type RouteCounts struct {
	Announced uint64
	Withdrawn uint64 // whether or not they were there
	Treated   uint64 // announced with malformed attributes, and withdrawn (RFC 7606)
	Refused   uint64 // announced, but there is no room: withdrawn
}

// NewRouter makes a Router that writes to a Fan of r.
func NewRouter(r *shard.RIB, fan *shard.Fan) *Router {
	return &Router{rib: r, attrs: r.Attrs(), fan: fan, scratch: make([]byte, 0, 2<<10)}
}

const tableSlots = 64

// tableSlot remembers a table; tables are never given back.
type tableSlot struct {
	rd     uint64
	family wire.Family
	table  rib.TableID
	taken  bool // a family can be 0
}

func (w *Router) slot(f wire.Family, rd uint64) *tableSlot {
	h := (rd ^ uint64(f)) * 0x9e3779b97f4a7c15
	return &w.tables[h>>58%tableSlots]
}

// Table returns the table of a family and route distinguisher, which it
// registers at first use; false: there are too many.
func (w *Router) Table(f wire.Family, rd uint64) (rib.TableID, bool) {
	return w.table(f, rd, true)
}

func (w *Router) table(f wire.Family, rd uint64, register bool) (t rib.TableID, ok bool) {
	switch f {
	case wire.IPv4Unicast:
		return rib.TableIPv4Unicast, true
	case wire.IPv6Unicast:
		return rib.TableIPv6Unicast, true
	}
	s := w.slot(f, rd)
	if s.family == f && s.rd == rd && s.taken {
		return s.table, true
	}
	if register {
		t, ok = w.rib.Table(f, rd)
	} else {
		t, ok = w.rib.FindTable(f, rd)
	}
	if ok {
		*s = tableSlot{rd, f, t, true}
	}
	return t, ok
}

// Place is where the routes of one NLRI are stored.
type Place struct {
	Table rib.TableID
	Key   trie.Key
	Len   uint8
}

// Labelled returns the place and the labels' id of the route that c stands at,
// of a family whose form is FormLabelled or FormVPN; false: there is no room.
func (w *Router) Labelled(f wire.Family, c *wire.NLRILabelled) (at Place, labels uint32, ok bool) {
	if at, ok = w.labelled(f, c, true); ok {
		labels, ok = w.rib.InternLabels(c.Labels())
	}
	return at, labels, ok
}

func (w *Router) labelled(f wire.Family, c *wire.NLRILabelled, register bool) (at Place, ok bool) {
	rd := uint64(0)
	if c.HasRD() {
		rd = c.RD()
	}
	t, ok := w.table(f, rd, register)
	return Place{t, trie.Key{Hi: c.Hi(), Lo: c.Lo()}, c.Len()}, ok
}

// Raw returns the place of an NLRI of a family whose form is FormRaw; false:
// there is no room, or CheckRaw has an error for it.
func (w *Router) Raw(f wire.Family, nlri []byte) (Place, bool) {
	nlri, err := w.canonical(f, nlri)
	if err != nil {
		return Place{}, false
	}
	t, ok := w.Table(f, 0)
	if !ok {
		return Place{}, false
	}
	k, n, ok := w.rib.RawKey(nlri)
	return Place{t, k, n}, ok
}

// findRaw is Raw for a withdrawal, which registers nothing.
func (w *Router) findRaw(f wire.Family, nlri []byte) (Place, bool) {
	t, ok := w.table(f, 0, false)
	if !ok {
		return Place{}, false
	}
	nlri, err := w.canonical(f, nlri)
	if err != nil {
		return Place{}, false
	}
	k, n, ok := w.rib.FindRawKey(nlri)
	return Place{t, k, n}, ok
}

func key4(c *wire.NLRI4) trie.Key { return trie.Key{Hi: uint64(c.Addr()) << 32} }
func key6(c *wire.NLRI6) trie.Key { return trie.Key{Hi: c.Hi(), Lo: c.Lo()} }

// Withdraw takes the routes away that u withdraws.
func (w *Router) Withdraw(u *wire.Update, peer rib.PeerNum) {
	w.Withdrawn += w.withdraw4(rib.TableIPv4Unicast, u.Withdrawn4(), peer)
	if m, ok := u.Unreach(); ok {
		w.Withdrawn += w.withdrawMP(&m, peer)
	}
}

// Treat takes the routes away that u announces (RFC 7606, treat-as-withdraw).
func (w *Router) Treat(u *wire.Update, peer rib.PeerNum) {
	w.Treated += w.withdraw4(rib.TableIPv4Unicast, u.NLRI4(), peer)
	if m, ok := u.Reach(); ok {
		w.Treated += w.withdrawMP(&m, peer)
	}
}

func (w *Router) withdraw4(t rib.TableID, c wire.NLRI4, peer rib.PeerNum) (n uint64) {
	for ; c.Next(); n++ {
		w.fan.Withdraw(t, key4(&c), c.Len(), peer, c.PathID(), c.HasPathID())
	}
	return n
}

// withdrawMP takes what m names away and returns how many routes that is,
// whether or not they were there.
func (w *Router) withdrawMP(m *wire.MP, peer rib.PeerNum) (n uint64) {
	switch m.Family.Form() {
	case wire.FormPrefix:
		t, ok := w.table(m.Family, 0, false)
		if m.Family.Is4() {
			c := m.NLRI4()
			if ok {
				return w.withdraw4(t, c, peer)
			}
			for ; c.Next(); n++ {
			}
			return n
		}
		for c := m.NLRI6(); c.Next(); n++ {
			if ok {
				w.fan.Withdraw(t, key6(&c), c.Len(), peer, c.PathID(), c.HasPathID())
			}
		}
	case wire.FormRaw:
		for c := m.Raw(); c.Next(); n++ {
			if at, ok := w.findRaw(m.Family, c.Bytes()); ok {
				w.fan.Withdraw(at.Table, at.Key, at.Len, peer, c.PathID(), c.HasPathID())
			}
		}
	default:
		for c := m.Labelled(); c.Next(); n++ {
			if at, ok := w.labelled(m.Family, &c, false); ok {
				w.fan.Withdraw(at.Table, at.Key, at.Len, peer, c.PathID(), c.HasPathID())
			}
		}
	}
	return n
}

// CountRoutes counts the NLRI of u: as many operations as a Router makes of it,
// at most.
func CountRoutes(u *wire.Update) (n int) {
	for c := u.Withdrawn4(); c.Next(); n++ {
	}
	for c := u.NLRI4(); c.Next(); n++ {
	}
	if m, ok := u.Unreach(); ok {
		n += countMP(&m)
	}
	if m, ok := u.Reach(); ok {
		n += countMP(&m)
	}
	return n
}

func countMP(m *wire.MP) (n int) {
	switch form := m.Family.Form(); {
	case form == wire.FormRaw:
		for c := m.Raw(); c.Next(); n++ {
		}
	case form != wire.FormPrefix:
		for c := m.Labelled(); c.Next(); n++ {
		}
	case m.Family.Is4():
		for c := m.NLRI4(); c.Next(); n++ {
		}
	default:
		for c := m.NLRI6(); c.Next(); n++ {
		}
	}
	return n
}
