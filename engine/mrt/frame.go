package mrt

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ribd/wire"
	"ribd/wire/mrt"
)

// framer cuts the unpacked file into records and gives them to the workers. It
// is the load's own goroutine, and does in line what other records depend on.
type framer struct {
	j  *job
	in io.Reader

	buf   *buffer
	from  int    // of the segment's first octet in buf
	first int    // of the segment's first record in buf.starts
	limit int    // octets that the segment may have
	last  uint32 // time of the last good record, 0: none yet
	lost  bool   // damage: the next record has yet to be found
	end   error  // of in: io.EOF or what broke off
	found bool   // a record has been framed

	index *index
	sent  <-chan struct{} // of the segment given last

	carry []byte // of the record that the next buffer begins with

	dump      bool // a table dump: it has begun
	view      string
	viewTime  uint32
	adds      bool // a dump that does not replace what is there
	refreshes []refresh
	families  map[wire.Family]bool // that the dump holds
	lastFam   wire.Family          // of the RIB record before
}

func newFramer(j *job, in io.Reader) *framer {
	sent := make(chan struct{})
	close(sent)
	return &framer{j: j, in: in, sent: sent, families: map[wire.Family]bool{}}
}

// run frames until the end of the file, or until the load is cancelled.
func (f *framer) run(ctx context.Context) {
	var base int64
	want := bufferSize
	for {
		select {
		case f.buf = <-f.j.free:
		case <-ctx.Done():
			return
		}
		b := f.buf
		b.refs.Store(1)
		b.base = base
		if cap(b.b) < want {
			b.b = make([]byte, 0, want)
		}
		b.b = append(b.b[:0], f.carry...)
		if !f.fill(ctx, b, want) {
			f.j.release(b)
			return
		}
		f.j.n.unpacked.Add(int64(len(b.b) - len(f.carry)))
		f.from, f.first, f.limit = 0, 0, 0
		done := f.frame(ctx)
		f.cut(len(b.b))
		f.carry = append(f.carry[:0], b.b[done:]...)
		f.j.release(b)
		base += int64(done)
		if f.end != nil || ctx.Err() != nil {
			f.rest(base, f.carry)
			return
		}
		// A record that is longer than the buffer: the next grows until it fits.
		want = max(bufferSize, 2*len(f.carry))
		if h, ok := mrt.ParseHeader(f.carry); ok && h.Plausible() {
			want = min(want, h.Size()+bufferSize)
		}
	}
}

// fill reads until b holds size octets or the file ends. It is false when the
// load was cancelled.
func (f *framer) fill(ctx context.Context, b *buffer, size int) bool {
	for len(b.b) < size && f.end == nil {
		n, err := f.in.Read(b.b[len(b.b):size])
		b.b = b.b[:len(b.b)+n]
		f.end = err
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}

// frame finds the records of the buffer and returns where the first that is not
// whole begins. The last whole one stays too until the header after it can be
// seen: only that shows that its length was right.
func (f *framer) frame(ctx context.Context) int {
	b, at := f.buf.b, 0
	eof := f.end != nil
	for ctx.Err() == nil {
		if f.lost {
			n, ok := mrt.Resync(b[at:], f.last, eof)
			if at += n; !ok {
				return at
			}
			f.lost = false
		}
		h, ok := mrt.ParseHeader(b[at:])
		if !ok {
			return at
		}
		if !h.Plausible() {
			known, more := f.unknown(b[at:], eof)
			if more {
				return at
			}
			if known {
				f.j.n.records.Add(1)
				f.j.n.skipped.Add(1)
				f.j.n.note(fmt.Sprintf("%v %s is not known and was skipped", h.Type, mrt.SubtypeName(h.Type, h.Subtype)))
				f.cut(at)
				at += h.Size()
				continue
			}
			f.lose(at, fmt.Sprintf("no record header: type %d, subtype %d, length %d", uint16(h.Type), h.Subtype, h.Len))
			at++
			continue
		}
		end := at + h.Size()
		next, seen := mrt.ParseHeader(b[min(end, len(b)):])
		switch {
		case end > len(b):
			if !eof {
				return at
			}
			if n, ok := mrt.Resync(b[at+1:], f.last, true); ok {
				f.lose(at, fmt.Sprintf("length %d runs over records that follow", h.Len))
				at += 1 + n
				f.lost = false
				continue
			}
			return at
		case !seen && !eof:
			return at
		case seen && !next.Plausible():
			known, more := f.unknown(b[end:], eof)
			if more {
				return at
			}
			// Either the length of this record is wrong, and records go on inside
			// of it, or damage follows it.
			if n, ok := mrt.Resync(b[at+1:end+mrt.HeaderLen-1], f.last, false); ok && !known && at+1+n < end {
				f.lose(at, fmt.Sprintf("length %d runs over records that follow", h.Len))
				at += 1 + n
				f.lost = false
				continue
			}
		}
		f.record(at, end, h)
		at = end
	}
	return at
}

// maxUnknown bounds the records of types that are not known in a row.
const maxUnknown = 4

// unknown reports whether a header at the start of b that is not plausible may
// head a record of a type or subtype that is not known: a short one, and a few
// of them lead to a known one or to the end of the file. more says that the
// answer lies behind the buffer.
func (f *framer) unknown(b []byte, eof bool) (known, more bool) {
	for range maxUnknown {
		h, ok := mrt.ParseHeader(b)
		switch {
		case !ok:
			return eof && len(b) == 0, !eof
		case h.Plausible():
			return true, false
		case h.Len > bufferSize/8:
			return false, false
		case h.Size() > len(b):
			return false, !eof
		}
		b = b[h.Size():]
	}
	return false, false
}

// lose notes damage at an octet of the buffer; framing goes on behind it.
func (f *framer) lose(at int, reason string) {
	f.cut(at)
	f.lost = true
	f.j.damage(f.buf.base+int64(at), reason)
}

// record takes a whole record in.
func (f *framer) record(at, end int, h mrt.Header) {
	f.found = true
	f.last = h.Time
	f.j.n.records.Add(1)
	if f.first == len(f.buf.starts) {
		f.from = at
	}
	var r mrt.Record
	if err := r.Parse(f.buf.b[at:end]); err != nil {
		f.broken(at, err)
		return
	}
	limit := ribSegment
	switch r.Kind() {
	case mrt.KindPeerIndex:
		f.cut(at)
		f.peerIndex(at, &r)
		return
	case mrt.KindTableDump, mrt.KindRIB:
		if fam, ok := familyOf(&r); ok && fam != f.lastFam {
			f.lastFam = fam
			if !f.families[fam] {
				f.family(at, fam)
			}
		}
	case mrt.KindMessage:
		limit = messageSegment
		f.open(at, &r)
	case mrt.KindStateChange:
		f.state(at, &r)
		return
	}
	if f.first == len(f.buf.starts) {
		f.from, f.limit = at, limit
	}
	f.buf.starts = append(f.buf.starts, uint32(at))
	if end-f.from >= min(f.limit, limit) {
		f.cut(end)
	}
}

// familyOf returns the family of a record of a table without decoding it.
func familyOf(r *mrt.Record) (wire.Family, bool) {
	if r.Type == mrt.TypeTableDump {
		if r.Subtype == mrt.TableDumpIPv4 || r.Subtype == mrt.TableDumpIPv4AS4 {
			return wire.IPv4Unicast, true
		}
		return wire.IPv6Unicast, true
	}
	switch r.Subtype {
	case mrt.RIBIPv4Unicast, mrt.RIBIPv4UnicastAP:
		return wire.IPv4Unicast, true
	case mrt.RIBIPv6Unicast, mrt.RIBIPv6UnicastAP:
		return wire.IPv6Unicast, true
	case mrt.RIBIPv4Multicast, mrt.RIBIPv4MulticastAP:
		return wire.IPv4Multicast, true
	case mrt.RIBIPv6Multicast, mrt.RIBIPv6MulticastAP:
		return wire.IPv6Multicast, true
	}
	if b := r.Body; len(b) >= 7 {
		return wire.MakeFamily(uint16(b[4])<<8|uint16(b[5]), b[6]), true
	}
	return 0, false
}

// broken notes a record whose framing is sound and whose content is not.
func (f *framer) broken(at int, err *mrt.Error) {
	f.cut(at)
	f.j.damage(f.buf.base+int64(at), err.Error())
}

// cut gives what has been framed since the last cut to a worker, as a segment
// that ends before octet end of the buffer.
func (f *framer) cut(end int) {
	b := f.buf
	starts := b.starts[f.first:len(b.starts):len(b.starts)]
	f.first, f.from = len(b.starts), end
	if len(starts) == 0 {
		return
	}
	b.refs.Add(1)
	sent := make(chan struct{})
	f.j.work <- &segment{buf: b, starts: starts, index: f.index, before: f.sent, sent: sent}
	f.sent = sent
}

// drain waits until everything that was framed has been sent to the shards.
func (f *framer) drain() { <-f.sent }

// rest looks at what is left behind the last whole record.
func (f *framer) rest(off int64, left []byte) {
	switch {
	case f.end == nil || len(left) == 0:
	case f.lost:
		// The damage is counted; nothing was found behind it.
	case errors.Is(f.end, io.EOF):
		f.truncated(fmt.Sprintf("the last record, at offset %d, is cut off after %d octets", off, len(left)))
	default:
		f.truncated(fmt.Sprintf("the record at offset %d is cut off after %d octets", off, len(left)))
	}
}

func (f *framer) truncated(why string) {
	n := &f.j.n
	n.mu.Lock()
	if n.truncated != "" {
		why = n.truncated + "; " + why
	}
	n.truncated = why
	n.mu.Unlock()
}

// finish is the end of a load, after all workers: the sweep of a dump that was
// complete, or the reason why there is none.
func (f *framer) finish(ctx context.Context, file error) error {
	n := &f.j.n
	err := context.Cause(ctx)
	switch {
	case err != nil:
	case file != nil:
		err = file
	case f.end != nil && !errors.Is(f.end, io.EOF):
		f.truncated(fmt.Sprintf("the compressed file breaks off at octet %d: %v", n.bytes.Load(), f.end))
	}
	switch {
	case err != nil || f.found:
	case n.unpacked.Load() > 0:
		err = errors.New("no MRT record in the file")
	case n.truncated == "":
		err = errors.New("the file is empty")
	}
	if err == nil && f.j.strict && n.truncated != "" {
		err = fmt.Errorf("the file ends early: %s", n.truncated)
	}
	if err != nil {
		if f.j.strict {
			f.j.unmake()
		}
		return err
	}
	f.sweep()
	f.j.l.rib.Sync()
	return nil
}
