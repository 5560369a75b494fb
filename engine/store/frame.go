package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

// A file of the journal begins with fileMagic. Then come frames: frameMagic, the
// length of what it holds and a sum, 4 octets each, least significant first. The
// sum is CRC-32C over the frame's place in the file (8 octets), the length and
// what it holds. That is records, each with its length as a varint before it.
const (
	fileMagic  = "ribd journal 1\n\x00"
	frameMagic = "\xf5rj\x1a"
	frameHead  = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame leaves room for a frame's head.
func beginFrame(b []byte) []byte {
	b = append(b, frameMagic...)
	return append(b, make([]byte, frameHead-len(frameMagic))...)
}

// endFrame writes the head of the frame that b is, which goes to off.
func endFrame(b []byte, off int64) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHead))
	binary.LittleEndian.PutUint32(b[8:], frameSum(b[4:8], b[frameHead:], off))
}

func frameSum(length, payload []byte, off int64) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(off))
	sum := crc32.Update(0, castagnoli, place[:])
	sum = crc32.Update(sum, castagnoli, length)
	return crc32.Update(sum, castagnoli, payload)
}

// frameReader reads the frames of a file.
type frameReader struct {
	f    *os.File
	size int64
	off  int64 // of the next frame
	head [frameHead]byte
	buf  []byte
}

// next returns what the next frame holds, borrowed. ok is false at the end of
// what is whole: of the file, or of a frame that is not.
func (r *frameReader) next() (payload []byte, ok bool, err error) {
	if r.size-r.off < frameHead {
		return nil, false, nil
	}
	if _, err = r.f.ReadAt(r.head[:], r.off); err != nil {
		return nil, false, err
	}
	n := int64(binary.LittleEndian.Uint32(r.head[4:]))
	if string(r.head[:4]) != frameMagic || n > r.size-r.off-frameHead {
		return nil, false, nil
	}
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if _, err = r.f.ReadAt(r.buf, r.off+frameHead); err != nil && err != io.EOF {
		return nil, false, err
	}
	if frameSum(r.head[4:8], r.buf, r.off) != binary.LittleEndian.Uint32(r.head[8:]) {
		return nil, false, nil
	}
	r.off += frameHead + n
	return r.buf, true, nil
}

// behind returns the place of a whole frame behind the one that is not, -1 where
// there is none.
func (r *frameReader) behind() (int64, error) {
	rest := make([]byte, r.size-r.off)
	if _, err := r.f.ReadAt(rest, r.off); err != nil && err != io.EOF {
		return 0, err
	}
	for at := 1; ; at++ {
		i := bytes.Index(rest[min(at, len(rest)):], []byte(frameMagic))
		if i < 0 {
			return -1, nil
		}
		at += i
		b := rest[at:]
		if len(b) < frameHead {
			return -1, nil
		}
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if n > int64(len(b)-frameHead) {
			continue
		}
		if frameSum(b[4:8], b[frameHead:frameHead+n], r.off+int64(at)) == binary.LittleEndian.Uint32(b[8:]) {
			return r.off + int64(at), nil
		}
	}
}
