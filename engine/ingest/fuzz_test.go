package ingest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"ribd/wire"
)

// FuzzMessages promises of any sequence of messages, sessions, refreshes and
// restarts, however hostile: nothing panics, a message that resets the session
// leaves nothing behind, and the RIB holds what the model holds.
//
// The input is steps. A first octet below 0xc0 begins a message: that octet and
// the next are the length of its body, which follows; the header is put before
// it. Others are things that a session does, with an argument.
func FuzzMessages(f *testing.F) {
	w := &writer{Rand: rand.New(rand.NewPCG(9, 9))}
	for seed := range 12 {
		how := byte(seed * 11)
		s := wire.Session{AS4: how&1 != 0, External: how&2 != 0}
		if how&8 != 0 {
			s.AddPath = wire.AllFamilies()
		}
		in := []byte{how}
		for step := range 12 {
			if step%4 == 3 {
				in = append(in, 0xc0|byte(w.IntN(0x40)), byte(w.IntN(256)))
			}
			split(w.messages(&s), func(m []byte) {
				body := m[wire.HeaderLen:]
				in = append(binary.BigEndian.AppendUint16(in, uint16(len(body))), body...)
			})
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || len(in) > 4096 {
			return
		}
		p := newPair(t)
		p.session(in[0])
		var run []byte
		for in = in[1:]; len(in) >= 2; {
			if in[0] >= 0xc0 {
				p.stream(run)
				run = run[:0]
				p.do(in[0]&0x3f|in[0]&0x20<<2, in[1])
				in = in[2:]
				continue
			}
			n := min(int(binary.BigEndian.Uint16(in)), len(in)-2)
			msg := append(bytes.Repeat([]byte{255}, 16), 0, 0, byte(wire.MsgUpdate))
			msg = append(msg, in[2:2+n]...)
			binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
			run = append(run, msg...)
			in = in[2+n:]
		}
		p.stream(run)
		p.compare()
	})
}
