package rib

// A path in a block is a record of three words:
//
//	peer<<12 | flags
//	attributes id
//	seconds received
//
// and one more for each of these flags: Add-Path id, attributes before policy,
// label stack, in this order. The same records travel from a Fan to a shard.
const (
	recLast     = 1 << 0 // of its block or chunk
	recPathID   = 1 << 1
	recPre      = 1 << 2
	recLabels   = 1 << 3
	recStale    = 3 << 4 // Stale
	recFiltered = 1 << 6 // then the nibble is the FilterReason
	recMark     = 1 << 7 // generation of a refresh
	recNibble   = 15 << 8

	recStaleShift  = 4
	recNibbleShift = 8
	recPeerShift   = 12

	// What a path is, less what the table says of it: two records with these
	// bits and the words behind them equal are one path.
	recContent = 0xfffff<<recPeerShift | recPathID | recPre | recLabels | recStale | recFiltered

	// The nibble of the first path, where it is not filtered, is the Step that
	// decided; of the second it is these.
	nibbleManyOrigins = 1

	// recDirectory, as the peer of the first record of a block, says that the
	// block is a list of chunks.
	recDirectory = MaxPeers << recPeerShift

	recExtra   = recPathID | recPre | recLabels
	maxRecord  = 6
	minRecord  = 3
	headHandle = 1<<31 - 1
	headBirth  = 1 << 31
)

// recordLen is the length of a record in words by its three flags of extra
// words.
var recordLen = [8]uint32{3, 4, 4, 5, 4, 5, 5, 6}

func recordWords(w0 uint32) uint32 { return recordLen[w0>>1&7] }

// item is a record in the hands of its writer or of a reader that must decide
// again: its words, and what the decision process asks. It is a cache line, and
// has no pointer.
type item struct {
	w0       uint32 // without recLast and the nibble, but for a filter reason
	attrs    AttrID
	received uint32
	pathID   uint32
	pre      AttrID
	labels   uint32

	neighbor uint32
	med      uint32
	originAS uint32
	rest     uint32 // flags of the summary
	key      uint64
}

func (it *item) num() PeerNum   { return PeerNum(it.w0 >> recPeerShift) }
func (it *item) filtered() bool { return it.w0&recFiltered != 0 }

// same says whether the item is the path of that key.
func (it *item) same(peer PeerNum, hasPathID bool, pathID uint32) bool {
	return it.num() == peer && it.w0&recPathID != 0 == hasPathID && it.pathID == pathID
}

// read unpacks the record at the front of rec and returns its length.
func (it *item) read(rec []uint32) uint32 {
	w0 := rec[0]
	it.w0 = w0 &^ recLast
	if w0&recFiltered == 0 {
		it.w0 &^= recNibble
	}
	it.attrs, it.received = AttrID(rec[1]), rec[2]
	it.pathID, it.pre, it.labels = 0, 0, 0
	if w0&recExtra == 0 {
		return minRecord
	}
	n := uint32(minRecord)
	if w0&recPathID != 0 {
		it.pathID = rec[n]
		n++
	}
	if w0&recPre != 0 {
		it.pre = AttrID(rec[n])
		n++
	}
	if w0&recLabels != 0 {
		it.labels = rec[n]
		n++
	}
	return n
}

// write packs the item and the bits given into dst and returns its length.
func (it *item) write(dst []uint32, bits uint32) uint32 {
	dst[0], dst[1], dst[2] = it.w0|bits, uint32(it.attrs), it.received
	if it.w0&recExtra == 0 {
		return minRecord
	}
	n := uint32(minRecord)
	if it.w0&recPathID != 0 {
		dst[n] = it.pathID
		n++
	}
	if it.w0&recPre != 0 {
		dst[n] = uint32(it.pre)
		n++
	}
	if it.w0&recLabels != 0 {
		dst[n] = it.labels
		n++
	}
	return n
}

func (it *item) path(p *Path) {
	p.Peer, p.Attrs, p.PreAttrs = it.num(), it.attrs, it.pre
	p.PathID, p.HasPathID, p.Labels = it.pathID, it.w0&recPathID != 0, it.labels
	p.Received = it.received
	p.Stale = Stale(it.w0 & recStale >> recStaleShift)
	p.Filtered, p.Best, p.Reason = FilterNone, false, StepNone
	if it.filtered() {
		p.Filtered = FilterReason(it.w0 & recNibble >> recNibbleShift)
	}
}

// AppendRecord appends a path as the record that a block has of it, and says
// whether it is the last of its operation.
func AppendRecord(dst []uint32, p *Path, last bool) []uint32 {
	w0 := uint32(p.Peer)<<recPeerShift | uint32(p.Stale)<<recStaleShift&recStale
	if last {
		w0 |= recLast
	}
	if p.Filtered != FilterNone {
		w0 |= recFiltered | uint32(p.Filtered)<<recNibbleShift&recNibble
	}
	if p.HasPathID {
		w0 |= recPathID
	}
	if p.PreAttrs != 0 && p.PreAttrs != p.Attrs {
		w0 |= recPre
	}
	if p.Labels != 0 {
		w0 |= recLabels
	}
	dst = append(dst, w0, uint32(p.Attrs), p.Received)
	if w0&recExtra == 0 {
		return dst
	}
	if w0&recPathID != 0 {
		dst = append(dst, p.PathID)
	}
	if w0&recPre != 0 {
		dst = append(dst, uint32(p.PreAttrs))
	}
	if w0&recLabels != 0 {
		dst = append(dst, p.Labels)
	}
	return dst
}

// RecordPeer is the peer of the record at the front of rec.
func RecordPeer(rec []uint32) PeerNum { return PeerNum(rec[0] >> recPeerShift) }

// RecordLast says whether the record at the front of rec is the last of its
// operation.
func RecordLast(rec []uint32) bool { return rec[0]&recLast != 0 }

// RecordState says whether the path in a record is filtered, and stale.
func RecordState(rec []uint32) (filtered, stale bool) {
	return rec[0]&recFiltered != 0, rec[0]&recStale != 0
}

// SkipRecord returns the length of the record at the front of rec and whether
// it is the last of its operation.
func SkipRecord(rec []uint32) (n uint32, last bool) {
	return recordWords(rec[0]), rec[0]&recLast != 0
}

// ReadRecord unpacks the path in a record.
func ReadRecord(rec []uint32, p *Path) {
	var it item
	it.read(rec)
	it.path(p)
}
