package api

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"ribd/trie"
	"ribd/wire"
)

// position is a place in a list of routes, in terms that outlive any view: the
// table by what it holds, and the prefix by its key.
type position struct {
	family wire.Family
	rd     uint64
	key    trie.Key
	len    uint8
	after  bool   // past the prefix; else at it
	skip   uint16 // rows of the prefix that were given
}

// A cursor is a position, a mark of the question that it belongs to, and a
// checksum, in base64url. It is no secret: the checksum finds damage, and
// decode checks whatever a forger could set.
const (
	cursorVersion = 1
	cursorBytes   = 1 + 4 + 8 + 16 + 1 + 1 + 2 + 8
)

func (p *position) encode(question uint64) string {
	var b [cursorBytes]byte
	b[0] = cursorVersion
	binary.BigEndian.PutUint32(b[1:], uint32(p.family))
	binary.BigEndian.PutUint64(b[5:], p.rd)
	binary.BigEndian.PutUint64(b[13:], p.key.Hi)
	binary.BigEndian.PutUint64(b[21:], p.key.Lo)
	b[29] = p.len
	if p.after {
		b[30] = 1
	}
	binary.BigEndian.PutUint16(b[31:], p.skip)
	binary.BigEndian.PutUint64(b[33:], xxhash.Sum64(b[:33])^question)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (p *position) decode(v []byte, question uint64) *problem {
	var b [cursorBytes]byte
	broken := bad("cursor", "%q is no cursor: give back the next of a page as it came", shown(v))
	if base64.RawURLEncoding.DecodedLen(len(v)) != cursorBytes {
		return broken
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], v); err != nil || n != cursorBytes || b[0] != cursorVersion || b[30] > 1 || b[29] > 128 {
		return broken
	}
	if xxhash.Sum64(b[:33])^question != binary.BigEndian.Uint64(b[33:]) {
		return bad("cursor", "is damaged, or belongs to another question: a cursor goes on with the same parameters, but for limit and fields")
	}
	p.family = wire.Family(binary.BigEndian.Uint32(b[1:]))
	p.rd = binary.BigEndian.Uint64(b[5:])
	p.key = trie.Key{Hi: binary.BigEndian.Uint64(b[13:]), Lo: binary.BigEndian.Uint64(b[21:])}
	p.len, p.after = b[29], b[30] == 1
	p.skip = binary.BigEndian.Uint16(b[31:])
	return nil
}

// question is a hash of the parameters that a cursor depends on.
func (q *query) question() uint64 {
	var d xxhash.Digest
	d.Reset()
	for p := range numParams {
		if !q.has(p) || p == pLimit || p == pCursor || p == pFields {
			continue
		}
		_ = q.each(p, func(v []byte) *problem {
			_, _ = d.Write([]byte{byte(p) + 1})
			_, _ = d.Write(v)
			_, _ = d.Write([]byte{0})
			return nil
		})
	}
	return d.Sum64()
}
