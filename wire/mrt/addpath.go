package mrt

import "ribd/wire"

// LooksAddPath reports whether an UPDATE of a subtype without path ids, which u
// has parsed so, seems to carry them nevertheless: collectors from before
// RFC 8050 wrote it so, and some do still. Read without, NLRI with path ids are
// malformed, or, since most ids are small, name the default route again and
// again: the octets of the id are zeros. No speaker sends one prefix twice in a
// message.
//
// The caller then parses the message again, with path ids, and takes that
// reading if it is faultless as far as NLRI go; so a sound message is never
// taken for what it is not.
func LooksAddPath(u *wire.Update) bool {
	if u.Action() >= wire.SessionReset {
		return true
	}
	c := u.NLRI4()
	if twoDefaults4(&c) {
		return true
	}
	if c = u.Withdrawn4(); twoDefaults4(&c) {
		return true
	}
	if m, ok := u.Reach(); ok && twoDefaults(&m) {
		return true
	}
	m, ok := u.Unreach()
	return ok && twoDefaults(&m)
}

func twoDefaults(m *wire.MP) bool {
	if len(m.NLRI) < 2 || m.NLRI[0] != 0 || m.Family.Form() != wire.FormPrefix {
		return false
	}
	if m.Family.Is4() {
		c := m.NLRI4()
		return twoDefaults4(&c)
	}
	c := m.NLRI6()
	for n := 0; c.Next(); {
		if c.Len() == 0 {
			if n++; n == 2 {
				return true
			}
		}
	}
	return false
}

// twoDefaults4 looks no further than the first prefix where that is not the
// default route: an id above 2^24 does not begin with a zero, but then the
// lengths that it seems to hold are wrong almost always.
func twoDefaults4(c *wire.NLRI4) bool {
	if !c.Next() || c.Len() != 0 {
		return false
	}
	for c.Next() {
		if c.Len() == 0 {
			return true
		}
	}
	return false
}
