package mrt

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how a file is packed. It is found by content, not by name.
type Compression uint8

// The compressions that are read. Files of several members or streams are
// read to the end of the last.
const (
	Plain Compression = iota
	Gzip
	Bzip2
	Zstd
)

// String names the compression as the API does.
func (c Compression) String() string {
	names := [...]string{"plain", "gzip", "bzip2", "zstd"}
	if int(c) < len(names) {
		return names[c]
	}
	return "compression(" + strconv.Itoa(int(c)) + ")"
}

// magic is what files of known formats begin with; those without a reader are
// refused by name.
var magic = []struct {
	prefix string
	format Compression
	refuse string
}{
	{"\x1f\x8b", Gzip, ""},
	{"BZh", Bzip2, ""},
	{"\x28\xb5\x2f\xfd", Zstd, ""},
	{"\xfd7zXZ\x00", 0, "xz"},
	{"\x04\x22\x4d\x18", 0, "lz4"},
	{"PK\x03\x04", 0, "zip"},
}

// zstdSkippable reports whether b begins with a skippable frame of zstd
// (RFC 8878 section 3.1.2).
func zstdSkippable(b []byte) bool {
	return len(b) >= 4 && b[0]&0xf0 == 0x50 && bytes.Equal(b[1:4], []byte{0x2a, 0x4d, 0x18})
}

// zstdWindow bounds the memory that a frame may ask for: that of zstd --long.
const zstdWindow = 1 << 27

// unpack looks at what r begins with and returns a reader of the unpacked file.
// stop gives back what the reader holds.
func unpack(r *bufio.Reader) (out io.Reader, c Compression, stop func(), err error) {
	stop = func() {}
	head, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, Plain, stop, err
	}
	c = Plain
	for _, m := range magic {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			if m.refuse != "" {
				return nil, Plain, stop, fmt.Errorf("compressed with %s: gzip, bzip2, zstd and plain files are read", m.refuse)
			}
			c = m.format
		}
	}
	if zstdSkippable(head) {
		c = Zstd
	}
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, c, stop, fmt.Errorf("gzip: %w", err)
		}
		return z, c, stop, nil
	case Bzip2:
		return bzip2.NewReader(r), c, stop, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, c, stop, fmt.Errorf("zstd: %w", err)
		}
		return z, c, z.Close, nil
	}
	return r, c, stop, nil
}
