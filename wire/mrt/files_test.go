package mrt_test

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"testing"

	"ribd/internal/golden"
	"ribd/wire/mrt"
)

// unpacked returns the whole of a data file, decompressed; a truncated bzip2
// file yields what it holds.
func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(golden.Data(t, "mrt", name))
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(raw)
	switch {
	case bytes.HasPrefix(raw, []byte("\x1f\x8b")):
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	case bytes.HasPrefix(raw, []byte("BZh")):
		r = bzip2.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return b
}

// damage is what a walk over a file found beside good records.
type damage struct{ resyncs, skipped, cut int }

// records cuts data into records as a loader does, and calls f for each.
func records(data []byte, f func(off int, b []byte)) (d damage) {
	last := uint32(0)
	for at := 0; at < len(data); {
		h, ok := mrt.ParseHeader(data[at:])
		if ok && h.Plausible() && h.Size() <= len(data)-at {
			next, more := mrt.ParseHeader(data[at+h.Size():])
			if !more || next.Plausible() {
				f(at, data[at:at+h.Size()])
				last = h.Time
				at += h.Size()
				continue
			}
			// The record after this one is none. Either this one's length is
			// wrong, and records go on inside of it, or damage follows it.
			n, found := mrt.Resync(data[at+1:at+h.Size()+mrt.HeaderLen], last, false)
			if !found || at+1+n >= at+h.Size() {
				f(at, data[at:at+h.Size()])
				at += h.Size()
			}
		} else if ok && h.Plausible() && len(data)-at < 1<<20 {
			d.cut = len(data) - at
			return d
		}
		n, found := mrt.Resync(data[at+1:], last, true)
		d.resyncs++
		if !found {
			d.skipped += len(data) - at
			return d
		}
		d.skipped += 1 + n
		at += 1 + n
	}
	return d
}

// counts of the data files by kind: the records of EXPECTED.tsv (bgpkit,
// mrtparse) and, for RIB records, the entries of all of them.
var files = []struct {
	name    string
	records int
	kinds   map[mrt.Kind]int
	entries int
	damage  damage
}{
	{"bgpkit-local-updates.bz2", 85, map[mrt.Kind]int{mrt.KindMessage: 85}, 0, damage{}},
	{"bview.64k_stream_overflow.gz", 2, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 1}, 23, damage{}},
	{"bview.ipv4_unicast_add_path.gz", 32, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 31}, 62, damage{}},
	{"mrtparse-bird-mrtdump_rib", 14, map[mrt.Kind]int{mrt.KindPeerIndex: 2, mrt.KindRIB: 12}, 18, damage{}},
	{"mrtparse-bird6-mrtdump_bgp", 27, map[mrt.Kind]int{mrt.KindMessage: 15, mrt.KindStateChange: 12}, 0, damage{}},
	{"mrtparse-bird_bgp", 29, map[mrt.Kind]int{mrt.KindMessage: 17, mrt.KindStateChange: 12}, 0, damage{}},
	{"mrtparse-openbgpd_rib_table", 31, map[mrt.Kind]int{mrt.KindTableDump: 31}, 0, damage{}},
	{"mrtparse-openbgpd_rib_table-v2", 24, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 23}, 33, damage{}},
	{"mrtparse-quagga_bgp", 67, map[mrt.Kind]int{mrt.KindMessage: 47, mrt.KindStateChange: 20}, 0, damage{}},
	{"pch-updates.et-header.2015.gz", 89686, map[mrt.Kind]int{mrt.KindMessage: 89682, mrt.KindStateChange: 4}, 0, damage{}},
	{"ris-bview.20020722.2337.gz", 115521, map[mrt.Kind]int{mrt.KindTableDump: 115521}, 0, damage{}},
	{"ris-rrc00.updates.19991214.1621.gz", 18203, map[mrt.Kind]int{mrt.KindMessage: 18176, mrt.KindStateChange: 27}, 0, damage{}},
	{"ris-rrc00.updates.20000325.0345.gz", 2580, nil, 0, damage{resyncs: 2, skipped: 24}},
	{"ris-rrc06.updates.1427846400.gz", 795, map[mrt.Kind]int{mrt.KindMessage: 791, mrt.KindStateChange: 4}, 0, damage{}},
	{"ris-rrc15.updates.20100227.1610.gz", 1953, map[mrt.Kind]int{mrt.KindMessage: 1937, mrt.KindStateChange: 16}, 0, damage{}},
	{"ris-updates.20020722.2238.gz", 1121, map[mrt.Kind]int{mrt.KindMessage: 1028, mrt.KindStateChange: 93}, 0, damage{}},
	{"ris-updates.20071015.1505.gz", 4297, map[mrt.Kind]int{mrt.KindMessage: 4297}, 0, damage{}},
	{"ris-updates.20160811.1600.gz", 17406, map[mrt.Kind]int{mrt.KindMessage: 17384, mrt.KindStateChange: 22}, 0, damage{}},
	{"rv-rib.20080501.0644_firstMB.bz2", 139291, map[mrt.Kind]int{mrt.KindTableDump: 139291}, 0, damage{cut: 57}},
	{"rv-rib.20140523.0600_firstMB.bz2", 9073, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 9072}, 270005, damage{cut: 1267}},
	{"synth-addpath-a.rib.gz", 34959, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 34958}, 140887, damage{}},
	{"synth-addpath-a.updates.gz", 20000, map[mrt.Kind]int{mrt.KindMessage: 20000}, 0, damage{}},
	{"synth-small-a.rib.gz", 47160, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 47159}, 138000, damage{}},
	{"synth-small-a.updates.gz", 15017, map[mrt.Kind]int{mrt.KindMessage: 15007, mrt.KindStateChange: 10}, 0, damage{}},
	{"synth-full-a.rib.gz", 1236554, map[mrt.Kind]int{mrt.KindPeerIndex: 1, mrt.KindRIB: 1236553}, 3604674, damage{}},
	{"synth-full-a.updates.gz", 200011, map[mrt.Kind]int{mrt.KindMessage: 200001, mrt.KindStateChange: 10}, 0, damage{}},
	{"updates.long_withdrawal.gz", 1, map[mrt.Kind]int{mrt.KindMessage: 1}, 0, damage{}},
}

func TestEveryRecordOfEveryFileDecodesAndEncodesToTheSameOctets(t *testing.T) {
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			if testing.Short() && f.records > 200000 {
				t.Skip("large file")
			}
			kinds := map[mrt.Kind]int{}
			n, entries, bad := 0, 0, 0
			var buf []byte
			d := records(unpacked(t, f.name), func(off int, b []byte) {
				n++
				var r mrt.Record
				if err := r.Parse(b); err != nil {
					t.Fatalf("record at %d: %v", off, err)
				}
				kinds[r.Kind()]++
				var m int
				var err *mrt.Error
				buf, m, err = encodeAgain(buf[:0], &r)
				entries += m
				if err != nil {
					if bad++; bad < 5 {
						t.Errorf("record at %d (%v %s): %v", off, r.Type, mrt.SubtypeName(r.Type, r.Subtype), err)
					}
				} else if r.Kind() != mrt.KindOther && !bytes.Equal(buf, b) {
					t.Fatalf("record at %d:\n got %x\nwant %x", off, buf, b)
				}
			})
			if n != f.records || entries != f.entries || d != f.damage {
				t.Errorf("%d records, %d entries, damage %+v, want %d, %d, %+v", n, entries, d, f.records, f.entries, f.damage)
			}
			for k, want := range f.kinds {
				if kinds[k] != want {
					t.Errorf("kind %d: %d records, want %d", k, kinds[k], want)
				}
			}
		})
	}
}

// encodeAgain decodes a record and appends what it decoded; entries counts
// those of a RIB record.
func encodeAgain(dst []byte, r *mrt.Record) (out []byte, entries int, err *mrt.Error) {
	at := len(dst)
	dst = mrt.Begin(dst, r.Time, r.Micros, r.Type, r.Subtype)
	switch r.Kind() {
	case mrt.KindTableDump:
		var d mrt.TableDump
		if err = d.Parse(r); err == nil {
			dst = d.Append(dst)
		}
	case mrt.KindPeerIndex:
		var x mrt.PeerIndex
		if err = x.Parse(r); err == nil {
			dst = x.Append(dst)
			w := x.Peers()
			for w.Next() {
				p := w.Peer()
				dst = p.Append(dst)
			}
			err = w.Err()
		}
	case mrt.KindGeoPeers:
		var x mrt.GeoPeers
		if err = x.Parse(r); err == nil {
			dst = x.Append(dst)
			w := x.Peers()
			for w.Next() {
				p := w.Peer()
				dst = p.Append(dst)
			}
			err = w.Err()
		}
	case mrt.KindRIB:
		var x mrt.RIB
		if err = x.Parse(r); err == nil {
			dst = x.Append(dst, r.Subtype)
			w := x.Entries()
			for w.Next() {
				dst = w.Entry().Append(dst, x.Layout)
				entries++
			}
			err = w.Err()
		}
	case mrt.KindMessage:
		var m mrt.Message
		if err = m.Parse(r); err == nil {
			dst = m.Append(dst)
		}
	case mrt.KindStateChange:
		var s mrt.StateChange
		if err = s.Parse(r); err == nil {
			dst = s.Append(dst)
		}
	case mrt.KindEntry:
		var e mrt.OldEntry
		if err = e.Parse(r); err == nil {
			dst = e.Append(dst)
		}
	}
	mrt.End(dst[at:])
	return dst, entries, err
}
