package api

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// flowPosition is a place in the list of rules, in terms that outlive any
// snapshot: the table, the NLRI that was given last, and how many of its paths
// were.
type flowPosition struct {
	family wire.Family
	rd     uint64
	nlri   []byte // nil: the start of the table
	paths  uint16 // 65,535: all
}

const (
	flowCursorVersion = 2
	flowCursorHead    = 1 + 4 + 8 + 2
	allPaths          = 1<<16 - 1
)

// encode makes a cursor: the position, and a checksum that is mixed with a mark
// of the question.
func (p *flowPosition) encode(question uint64) string {
	b := make([]byte, flowCursorHead, flowCursorHead+len(p.nlri)+8)
	b[0] = flowCursorVersion
	binary.BigEndian.PutUint32(b[1:], uint32(p.family))
	binary.BigEndian.PutUint64(b[5:], p.rd)
	binary.BigEndian.PutUint16(b[13:], p.paths)
	b = append(b, p.nlri...)
	b = binary.BigEndian.AppendUint64(b, xxhash.Sum64(b)^question)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p *flowPosition) decode(v []byte, question uint64) *problem {
	broken := bad("cursor", "%q is no cursor: give back the next of a page as it came", shown(v))
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(v))
	if err != nil || len(b) < flowCursorHead+8 || b[0] != flowCursorVersion {
		return broken
	}
	end := len(b) - 8
	if xxhash.Sum64(b[:end])^question != binary.BigEndian.Uint64(b[end:]) {
		return bad("cursor", "is damaged, or belongs to another question: a cursor goes on with the same parameters, but for limit")
	}
	p.family = wire.Family(binary.BigEndian.Uint32(b[1:]))
	p.rd = binary.BigEndian.Uint64(b[5:])
	p.paths = binary.BigEndian.Uint16(b[13:])
	// The checksum is no secret: what a forger set has to be a rule all the same.
	if !flowspec.Is(p.family) {
		return broken
	}
	canonical, wrong := flowspec.Canonical(nil, p.family, b[flowCursorHead:end])
	if wrong != nil || string(canonical) != string(b[flowCursorHead:end]) {
		return broken
	}
	p.nlri = canonical
	return nil
}
