package origin

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"

	"ribd/wire"
)

func hexText(s string) string { return hex.EncodeToString([]byte(s)) }

// A record of the journal is what one group changed: an octet with the version
// of its form, then items. An item is an octet with its kind, then varints and
// strings with their length before them.
const recordVersion = 1

const (
	itemAnnounce = 'A' // key, value
	itemWithdraw = 'W' // key
	itemAnswer   = 'I' // of an Idempotency-Key
)

// Flags of a key and a value.
const (
	flagPathID    = 1 << 0
	flagRaw       = 1 << 1
	flagSameAttrs = 1 << 2 // as of the announcement before in the record
	flagSamePeers = 1 << 3
	flagLabels    = 1 << 4
	flagExpires   = 1 << 5
)

// recordWriter writes the items of a record.
type recordWriter struct {
	b         []byte
	attrsAt   int // of the last announcement: where its attributes are, and the octets
	attrsLen  int
	peers     string
	announced bool
}

type recordMark struct {
	n                 int
	attrsAt, attrsLen int
	peers             string
	announced         bool
}

func (w *recordWriter) len() int      { return len(w.b) }
func (w *recordWriter) bytes() []byte { return w.b }

func (w *recordWriter) reset() {
	b := w.b[:0]
	if cap(b) > 8<<20 {
		b = nil
	}
	*w = recordWriter{b: b}
}

func (w *recordWriter) mark() recordMark {
	return recordMark{len(w.b), w.attrsAt, w.attrsLen, w.peers, w.announced}
}

// cut takes back what was written since a mark.
func (w *recordWriter) cut(m recordMark) {
	*w = recordWriter{b: w.b[:m.n], attrsAt: m.attrsAt, attrsLen: m.attrsLen, peers: m.peers, announced: m.announced}
}

func (w *recordWriter) start(kind byte) {
	if len(w.b) == 0 {
		w.b = append(w.b, recordVersion)
	}
	w.b = append(w.b, kind)
}

func (w *recordWriter) uvarint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }

func (w *recordWriter) string(s string) {
	w.uvarint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *recordWriter) key(e *entry, flags byte) {
	if e.hasPathID {
		flags |= flagPathID
	}
	if e.t.form == wire.FormRaw {
		flags |= flagRaw
	}
	w.b = append(w.b, flags)
	w.uvarint(uint64(e.t.family))
	w.uvarint(e.t.rd)
	if e.hasPathID {
		w.uvarint(uint64(e.pathID))
	}
	if e.t.form == wire.FormRaw {
		w.string(e.nlri)
		return
	}
	w.b = append(w.b, e.n)
	a := e.key.Addr(e.t.v4).AsSlice()
	w.b = append(w.b, a[:(int(e.n)+7)/8]...)
}

func (w *recordWriter) withdraw(e *entry) {
	w.start(itemWithdraw)
	w.key(e, 0)
}

// announce writes what an entry is now; attrs is its set.
func (w *recordWriter) announce(e *entry, attrs []byte) {
	v := &e.val
	flags := byte(0)
	if w.announced && string(w.b[w.attrsAt:w.attrsAt+w.attrsLen]) == string(attrs) {
		flags |= flagSameAttrs
	}
	if w.announced && w.peers == v.src.name {
		flags |= flagSamePeers
	}
	if v.labels != "" {
		flags |= flagLabels
	}
	if v.expires != 0 {
		flags |= flagExpires
	}
	w.start(itemAnnounce)
	w.key(e, flags)
	w.uvarint(uint64(v.created))
	w.uvarint(uint64(v.renewed))
	if v.expires != 0 {
		w.uvarint(uint64(v.expires))
	}
	if v.labels != "" {
		w.string(v.labels)
	}
	if flags&flagSamePeers == 0 {
		w.string(v.src.name)
		w.peers = v.src.name
	}
	if flags&flagSameAttrs == 0 {
		w.uvarint(uint64(len(attrs)))
		w.attrsAt, w.attrsLen = len(w.b), len(attrs)
		w.b = append(w.b, attrs...)
	}
	w.announced = true
}

func (w *recordWriter) answer(key string, a *answer) {
	w.start(itemAnswer)
	w.string(key)
	w.uvarint(a.hash)
	w.uvarint(uint64(a.at))
	w.string(string(a.body))
}

// errRecord is what a record can't be read with, though its sum is right.
var errRecord = errors.New("a record of the journal can't be read: it is of another ribd, or damaged")

// item is one item of a record. What is no number is borrowed.
type item struct {
	kind                      byte
	key                       Key
	created, renewed, expires int64
	labels, attrs             []byte
	peers                     string

	name string // of an answer
	hash uint64
	at   int64
	body []byte
}

// recordReader reads the items of a record.
type recordReader struct {
	b    []byte
	item item
	err  error
}

func newRecordReader(b []byte) *recordReader {
	r := &recordReader{b: b}
	if r.octet() != recordVersion {
		r.err = errRecord
	}
	return r
}

func (r *recordReader) octet() (v byte) {
	if b := r.take(1); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (r *recordReader) take(n uint64) (b []byte) {
	if r.err != nil || n > uint64(len(r.b)) {
		r.err = errRecord
		return nil
	}
	b, r.b = r.b[:n:n], r.b[n:]
	return b
}

func (r *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = errRecord
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *recordReader) string() []byte { return r.take(r.uvarint()) }

// next reads the next item; false: there is none, or err is set.
func (r *recordReader) next() bool {
	if r.err != nil || len(r.b) == 0 {
		return false
	}
	it := &r.item
	it.kind = r.octet()
	switch it.kind {
	case itemAnnounce:
		r.announce(r.key())
	case itemWithdraw:
		r.key()
	case itemAnswer:
		it.name = string(r.string())
		it.hash, it.at = r.uvarint(), int64(r.uvarint())
		it.body = r.string()
	default:
		r.err = errRecord
	}
	return r.err == nil
}

func (r *recordReader) key() (flags byte) {
	k := &r.item.key
	flags = r.octet()
	*k = Key{Family: wire.Family(r.uvarint()), RD: r.uvarint()}
	if flags&flagPathID != 0 {
		k.PathID, k.HasPathID = uint32(r.uvarint()), true
	}
	if flags&flagRaw != 0 {
		k.NLRI = string(r.string())
		return flags
	}
	n := r.octet()
	var a [16]byte
	size := 16
	if k.Family.Is4() {
		size = 4
	}
	b := r.take((uint64(n) + 7) / 8)
	if len(b) > size || int(n) > size*8 {
		r.err = errRecord
		return flags
	}
	copy(a[:], b)
	addr, _ := netip.AddrFromSlice(a[:size])
	k.Prefix = netip.PrefixFrom(addr, int(n))
	return flags
}

func (r *recordReader) announce(flags byte) {
	it := &r.item
	it.created, it.renewed, it.expires = int64(r.uvarint()), int64(r.uvarint()), 0
	if flags&flagExpires != 0 {
		it.expires = int64(r.uvarint())
	}
	it.labels = nil
	if flags&flagLabels != 0 {
		it.labels = r.string()
	}
	if flags&flagSamePeers == 0 {
		it.peers = strings.Clone(string(r.string()))
	}
	if flags&flagSameAttrs == 0 {
		it.attrs = r.string()
	}
}
