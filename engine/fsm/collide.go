package fsm

// KeepOutgoing is true where of two connections the one that we made stays: the
// one made by the end with the higher BGP identifier, and of equal ones by that
// with the higher AS number (RFC 4271 section 6.8, RFC 6286 section 2.3).
func KeepOutgoing(localID, localAS, peerID, peerAS uint32) bool {
	if localID != peerID {
		return localID > peerID
	}
	return localAS > peerAS
}

// Collide says which of two connections of a peer has to go, where out is the
// state of the one that we made (or are making) and in that of the one that
// came in. It is to be asked when a state became OpenConfirm or Established. An
// established session stays; a connection whose OPEN has not come is let be, so
// that neither end waits for what the other closed.
func Collide(out, in State, keepOutgoing bool) (dumpOut, dumpIn bool) {
	switch {
	case out == Established:
		return false, in == OpenConfirm || in == Established
	case in == Established:
		return out != Idle && out != OpenSent, false
	case out == OpenConfirm && in == OpenConfirm:
		return !keepOutgoing, keepOutgoing
	}
	return false, false
}

// Swap makes the second machine of a peer the first, and the first one the
// second. The counts of attempts and errors stay with the first.
func Swap(first, second Machine) (newFirst, newSecond Machine) {
	newFirst, newSecond = second, first
	newFirst.second, newSecond.second = false, true
	newFirst.waits = first.waits
	newFirst.damping, newFirst.retries, newFirst.counter = first.damping, first.retries, first.counter
	return newFirst, newSecond
}
