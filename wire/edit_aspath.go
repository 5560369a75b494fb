package wire

import "encoding/binary"

// Prepend puts an AS number before AS_PATH, times times: into the sequence
// that leads, as far as it holds no more than 255, and else into a new one
// before it (RFC 4271 section 5.1.2).
func (e *AttrEditor) Prepend(as uint32, times int) {
	if times <= 0 {
		return
	}
	old, _ := e.Get(AttrASPath)
	lead := 0 // AS numbers in the sequence that leads
	if len(old) >= 2 && SegmentType(old[0]) == SegSequence {
		lead = int(old[1])
	}
	into := 0 // AS numbers that go into it
	if lead > 0 {
		into = min(times, 255-lead)
	}
	more := times - into
	if 4*times+2*((more+254)/255)+len(old) > maxAttrLen {
		e.tooLong = true
		return
	}
	at := len(e.buf)
	for n := more % 255; more > 0; n = 255 {
		if n == 0 {
			n = 255
		}
		e.buf = append(e.buf, byte(SegSequence), byte(n))
		e.repeatAS(as, n)
		more -= n
	}
	if into > 0 {
		e.buf = append(e.buf, byte(SegSequence), byte(lead+into))
		e.repeatAS(as, into)
		old = old[2:]
	}
	e.buf = append(e.buf, old...)
	e.put(AttrASPath, e.since(at))
}

func (e *AttrEditor) repeatAS(as uint32, n int) {
	for range n {
		e.buf = binary.BigEndian.AppendUint32(e.buf, as)
	}
}

// ReplaceAS puts an AS number in the place of another wherever it stands in
// AS_PATH, and tells whether it did anywhere.
func (e *AttrEditor) ReplaceAS(old, with uint32) bool {
	v, _ := e.Get(AttrASPath)
	if old == with || ASPathContains(v, old) == 0 {
		return false
	}
	at := len(e.buf)
	for w := WalkASPath(v); w.Next(); {
		e.buf = append(e.buf, byte(w.typ), byte(w.Len()))
		for i := range w.Len() {
			as := w.AS(i)
			if as == old {
				as = with
			}
			e.buf = binary.BigEndian.AppendUint32(e.buf, as)
		}
	}
	e.put(AttrASPath, e.since(at))
	return true
}

// PrivateAS is true for the AS numbers of RFC 6996.
func PrivateAS(as uint32) bool {
	return as >= 64512 && as <= 65534 || as >= 4200000000 && as <= 4294967294
}

// RemovePrivateAS takes the private AS numbers (RFC 6996) out of AS_PATH, and
// with them the segments that hold nothing else. It tells whether there were
// any.
func (e *AttrEditor) RemovePrivateAS() bool {
	return e.filterPath(func(_ SegmentType, as uint32) bool { return !PrivateAS(as) })
}

// RemoveConfederation takes the segments of a confederation out of AS_PATH, as
// is due towards any peer outside of it (RFC 5065 section 5.1). It tells whether
// there were any.
func (e *AttrEditor) RemoveConfederation() bool {
	return e.filterPath(func(t SegmentType, _ uint32) bool { return t != SegConfedSequence && t != SegConfedSet })
}

// filterPath keeps the AS numbers of AS_PATH for which keep is true.
func (e *AttrEditor) filterPath(keep func(SegmentType, uint32) bool) bool {
	v, _ := e.Get(AttrASPath)
	at, dropped := len(e.buf), false
	for w := WalkASPath(v); w.Next(); {
		head := len(e.buf)
		e.buf = append(e.buf, byte(w.typ), 0)
		for i := range w.Len() {
			as := w.AS(i)
			if !keep(w.typ, as) {
				dropped = true
				continue
			}
			e.buf = binary.BigEndian.AppendUint32(e.buf, as)
			e.buf[head+1]++
		}
		if e.buf[head+1] == 0 {
			e.buf = e.buf[:head]
		}
	}
	if !dropped {
		e.buf = e.buf[:at]
		return false
	}
	e.put(AttrASPath, e.since(at))
	return true
}
