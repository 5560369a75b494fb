package wire

import "encoding/binary"

// AddCommunities adds the communities that are not there yet after those that
// are, and tells whether it added any.
func (e *AttrEditor) AddCommunities(cs []uint32) bool {
	return addEach(e, AttrCommunities, len(cs), func(i int) []byte {
		binary.BigEndian.PutUint32(e.one[:], cs[i])
		return e.one[:4]
	})
}

// RemoveCommunities removes the communities that fit one of the patterns, and
// the attribute where none is left. It tells whether it removed any.
func (e *AttrEditor) RemoveCommunities(ms []CommunityMatch) bool {
	return removeEach(e, AttrCommunities, 4, func(c []byte) bool {
		for i := range ms {
			if ms[i].Match(be32(c)) {
				return true
			}
		}
		return false
	})
}

// AddLargeCommunities is AddCommunities for large communities (RFC 8092).
func (e *AttrEditor) AddLargeCommunities(cs [][12]byte) bool {
	return addEach(e, AttrLargeCommunities, len(cs), func(i int) []byte { return cs[i][:] })
}

// RemoveLargeCommunities is RemoveCommunities for large communities.
func (e *AttrEditor) RemoveLargeCommunities(ms []LargeMatch) bool {
	return removeEach(e, AttrLargeCommunities, 12, func(c []byte) bool {
		for i := range ms {
			if ms[i].Match(c) {
				return true
			}
		}
		return false
	})
}

// AddExtCommunities is AddCommunities for extended communities (RFC 4360).
func (e *AttrEditor) AddExtCommunities(cs []uint64) bool {
	return addEach(e, AttrExtCommunities, len(cs), func(i int) []byte {
		binary.BigEndian.PutUint64(e.one[:], cs[i])
		return e.one[:]
	})
}

// RemoveExtCommunities is RemoveCommunities for extended communities.
func (e *AttrEditor) RemoveExtCommunities(ms []ExtMatch) bool {
	return removeEach(e, AttrExtCommunities, 8, func(c []byte) bool {
		for i := range ms {
			if ms[i].Match(binary.BigEndian.Uint64(c)) {
				return true
			}
		}
		return false
	})
}

// RemoveNonTransitiveExt removes the extended communities that are not
// transitive across ASes (RFC 4360 section 2: the bit 0x40 of the type), as is
// due towards an external peer, and tells whether there were any.
func (e *AttrEditor) RemoveNonTransitiveExt() bool {
	local := func(c []byte) bool { return c[0]&0x40 != 0 }
	a := removeEach(e, AttrExtCommunities, 8, local)
	b := removeEach(e, AttrIPv6ExtCommunities, 20, local)
	return a || b
}

// addEach adds those of n values of one length that the attribute does not
// hold yet. What get returns is valid until the next call.
func addEach(e *AttrEditor, t AttrType, n int, get func(int) []byte) bool {
	if n == 0 {
		return false
	}
	old, _ := e.Get(t)
	at := len(e.buf)
	e.buf = append(e.buf, old...)
	for i := range n {
		c := get(i)
		if holds(e.buf[at:], c) {
			continue
		}
		if len(e.buf)-at+len(c) > maxAttrLen {
			e.tooLong = true
			break
		}
		e.buf = append(e.buf, c...)
	}
	if len(e.buf)-at == len(old) {
		e.buf = e.buf[:at]
		return false
	}
	e.put(t, e.since(at))
	return true
}

// holds is true where one of the values of v, all as long as c, is c.
func holds(v, c []byte) bool {
	for ; len(v) >= len(c); v = v[len(c):] {
		if string(v[:len(c)]) == string(c) {
			return true
		}
	}
	return false
}

// removeEach removes the values of size octets for which drop is true.
func removeEach(e *AttrEditor, t AttrType, size int, drop func([]byte) bool) bool {
	old, ok := e.Get(t)
	if !ok {
		return false
	}
	at := len(e.buf)
	for v := old; len(v) >= size; v = v[size:] {
		if !drop(v[:size]) {
			e.buf = append(e.buf, v[:size]...)
		}
	}
	switch len(e.buf) - at {
	case len(old) - len(old)%size:
		e.buf = e.buf[:at]
		return false
	case 0:
		e.Remove(t)
		return true
	}
	e.put(t, e.since(at))
	return true
}
