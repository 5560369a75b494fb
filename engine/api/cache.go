package api

import (
	"bytes"
	"sync/atomic"

	"ribd/shard/rib"
)

// attrCache keeps rendered attribute sets in bounded memory. It is filled when
// somebody asks, and emptied by clock: each entry that was used since the hand
// came by is spared once. Readers and writers take no lock.
//
// An id may come to stand for another set, but not within 10 minutes of the first
// one's end. So an entry that was compared with the set's canonical bytes, while
// the set was in use, is trusted for idTrust; then it is compared again.
type attrCache struct {
	slots []atomic.Pointer[attrPart] // sets of four
	mask  uint32
	limit int64
	size  atomic.Int64
	hand  atomic.Uint32
}

const cacheWays = 4

// idTrust, in seconds, is half of what ids rest at least (shard.Options,
// AttrIDGrace).
const idTrust = 300

// attrPart is one rendered set. It does not change, but for used.
type attrPart struct {
	id        rib.AttrID
	canonical []byte
	text      []byte           // the fields from origin to attrs_id, with commas between
	ends      [numAttrs]uint32 // where each field ends
	used      atomic.Bool
	checked   atomic.Uint32 // seconds since 1970; 0: trust it never
}

// cost is what an entry takes, with its headers.
func (p *attrPart) cost() int64 { return int64(len(p.text)+len(p.canonical)) + 256 }

func newAttrCache(limit int) *attrCache {
	n := uint32(1024)
	for int64(n)*512 < int64(limit) {
		n *= 2
	}
	return &attrCache{slots: make([]atomic.Pointer[attrPart], n), mask: n - 1, limit: int64(limit)}
}

func (c *attrCache) home(id rib.AttrID) uint32 {
	return uint32(id) * 0x9e3779b1 >> 3 & c.mask &^ (cacheWays - 1)
}

// get finds the part of an id, at a time in seconds since 1970.
func (c *attrCache) get(id rib.AttrID, attrs *rib.Attrs, now uint32) *attrPart {
	h := c.home(id)
	for i := range uint32(cacheWays) {
		p := c.slots[h+i].Load()
		if p == nil || p.id != id {
			continue
		}
		if now-p.checked.Load() >= idTrust {
			b, ok := attrs.Bytes(id)
			if !ok || !bytes.Equal(p.canonical, b) {
				c.drop(h+i, p)
				return nil
			}
			p.check(attrs, now)
		}
		if !p.used.Load() {
			p.used.Store(true)
		}
		return p
	}
	return nil
}

// check notes that the part is what its id stands for now.
func (p *attrPart) check(attrs *rib.Attrs, now uint32) {
	if attrs.Valid(p.id) {
		p.checked.Store(now)
	}
}

// wants reports whether a part that was missed should be kept. A full cache takes
// one in eight: where look-ups go everywhere, rendering is cheaper than keeping.
func (c *attrCache) wants() bool {
	return c.size.Load() < c.limit*7/8 || c.hand.Add(1)%8 == 0
}

func (c *attrCache) drop(slot uint32, p *attrPart) {
	if c.slots[slot].CompareAndSwap(p, nil) {
		c.size.Add(-p.cost())
	}
}

// put keeps a part, in place of an unused one of its set, and turns the hand
// until the whole is within its bound.
func (c *attrCache) put(p *attrPart) {
	if p.cost() > c.limit/8 {
		return
	}
	h := c.home(p.id)
	slot := h + c.hand.Add(1)%cacheWays
	for i := range uint32(cacheWays) {
		old := c.slots[h+i].Load()
		if old == nil || old.id == p.id || !old.used.Swap(false) {
			slot = h + i
			break
		}
	}
	if old := c.slots[slot].Swap(p); old != nil {
		c.size.Add(-old.cost())
	}
	for over := c.size.Add(p.cost()) > c.limit; over; over = c.size.Load() > c.limit {
		at := c.hand.Add(1) & c.mask
		if q := c.slots[at].Load(); q != nil && q != p && !q.used.Swap(false) {
			c.drop(at, q)
		}
	}
}

// makeAttrPart renders a set.
func makeAttrPart(id rib.AttrID, canonical []byte) *attrPart {
	var d decoded
	d.decode(id, canonical)
	p := &attrPart{id: id, canonical: bytes.Clone(canonical)}
	p.used.Store(true)
	text := make([]byte, 0, 640)
	for f := range field(numAttrs) {
		if f > 0 {
			text = append(text, ',')
		}
		text = d.appendField(text, firstAttr+f)
		p.ends[f] = uint32(len(text))
	}
	p.text = bytes.Clone(text)
	return p
}

// field answers one rendered field.
func (p *attrPart) field(f field) []byte {
	i := f - firstAttr
	start := uint32(0)
	if i > 0 {
		start = p.ends[i-1] + 1
	}
	return p.text[start:p.ends[i]]
}

// peerCache keeps the rendered fields of each peer, by number. A number may come
// to stand for another peer: the PeerInfo that an entry was made of is compared.
type peerCache struct {
	pages [rib.MaxPeers>>peerPage + 1]atomic.Pointer[[1 << peerPage]atomic.Pointer[peerPart]]
}

const peerPage = 8

type peerPart struct {
	info *rib.PeerInfo
	text []byte // from peer to source
	ends [4]uint32
}

func (c *peerCache) get(n rib.PeerNum, info *rib.PeerInfo) *peerPart {
	slot := &c.pages[n>>peerPage]
	page := slot.Load()
	if page == nil {
		page = new([1 << peerPage]atomic.Pointer[peerPart])
		if !slot.CompareAndSwap(nil, page) {
			page = slot.Load()
		}
	}
	at := &page[n&(1<<peerPage-1)]
	p := at.Load()
	if p == nil || p.info != info {
		p = makePeerPart(info)
		at.Store(p)
	}
	return p
}

func makePeerPart(info *rib.PeerInfo) *peerPart {
	p := &peerPart{info: info}
	b := append([]byte(nil), fieldKeys[fPeer]...)
	b = appendAddr(b, info.Addr)
	p.ends[0] = uint32(len(b))
	b = append(append(b, ','), fieldKeys[fPeerID]...)
	b = appendString(b, info.ID)
	p.ends[1] = uint32(len(b))
	b = append(append(b, ','), fieldKeys[fPeerASN]...)
	b = appendUint(b, info.AS)
	p.ends[2] = uint32(len(b))
	b = append(append(b, ','), fieldKeys[fSource]...)
	b = appendString(b, info.Source.String())
	p.ends[3] = uint32(len(b))
	p.text = b
	return p
}

func (p *peerPart) field(f field) []byte {
	start := uint32(0)
	if f > 0 {
		start = p.ends[f-1] + 1
	}
	return p.text[start:p.ends[f]]
}
