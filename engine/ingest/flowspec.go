package ingest

import (
	"ribd/wire"
	"ribd/wire/flowspec"
)

// CheckFlow checks what is Flow Spec in a message: each NLRI, and the actions that
// belong to those that are announced (RFC 8955 sections 4, 7 and 10). The NLRI frame
// each other still, so that what the error asks for is that the message is treated
// as a withdrawal. Nothing is allocated where all is well, or nothing is Flow Spec.
func (w *Router) CheckFlow(u *wire.Update) *wire.Error {
	if m, ok := u.Unreach(); ok && flowspec.Is(m.Family) {
		if err := w.checkFlow(&m, "MP_UNREACH_NLRI"); err != nil {
			return err
		}
	}
	f, ok := u.ReachFamily()
	if !ok || !flowspec.Is(f) {
		return nil
	}
	m, _ := u.Reach()
	if err := w.checkFlow(&m, "MP_REACH_NLRI"); err != nil {
		return err
	}
	attrs, off := u.RawAttributes()
	err := flowspec.CheckActions(attrs)
	if err != nil {
		err.Off, err.Start, err.End = err.Off+off, err.Start+off, err.End+off
	}
	return err
}

// checkFlow returns the error of the first malformed NLRI of m.
func (w *Router) checkFlow(m *wire.MP, field string) *wire.Error {
	for c := m.Raw(); c.Next(); {
		if _, err := w.canonical(m.Family, c.Bytes()); err != nil {
			err.Off += c.Off()
			err.Start, err.End = m.Off, m.Off+len(m.NLRI)
			err.Field = field
			return err
		}
	}
	return nil
}

// canonical returns the octets by which an NLRI of a family whose form is FormRaw
// is known: for Flow Spec the canonical ones, so that a rule is one key however it
// is written. They are good until the next call.
func (w *Router) canonical(f wire.Family, nlri []byte) ([]byte, *wire.Error) {
	if !flowspec.Is(f) {
		return nlri, nil
	}
	b, err := flowspec.Canonical(w.flow[:0], f, nlri)
	w.flow = b[:0]
	return b, err
}

// CheckRaw returns the error of an NLRI of a family whose form is FormRaw, nil
// where nothing is known to be wrong with it. Offsets count from its first octet.
func (w *Router) CheckRaw(f wire.Family, nlri []byte) *wire.Error {
	_, err := w.canonical(f, nlri)
	return err
}
