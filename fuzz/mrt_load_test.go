package fuzz

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"ribd/engine/mrt"
	"ribd/shard"
	"ribd/shard/rib"
	wiremrt "ribd/wire/mrt"
)

// FuzzMRTLoad promises of any octets: loading them ends, damage lies within
// the file, and one worker and three leave the same table and the same counts.
func FuzzMRTLoad(f *testing.F) {
	f.Add(mrtLoadSeed(), uint16(0), byte(0))
	f.Add(mrtLoadSeed(), uint16(200), byte(0xff))
	f.Add([]byte("\x1f\x8b\x08\x00"), uint16(0), byte(0))
	quiet := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		b = bytes.Clone(b)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= flip
		}
		var first string
		for _, workers := range []int{1, 3} {
			r, err := shard.Open(shard.Options{Shards: 2})
			if err != nil {
				t.Fatal(err)
			}
			l := mrt.New(r, mrt.Options{Workers: workers, Log: quiet})
			st, _ := l.Load(context.Background(), mrt.Source{Name: "fuzz", Reader: bytes.NewReader(b), Size: int64(len(b))})
			for _, d := range st.Damage {
				if d.Offset < 0 || d.Offset >= st.Unpacked {
					t.Errorf("damage at %d of %d octets", d.Offset, st.Unpacked)
				}
			}
			r.Settle()
			got := fmt.Sprintf("%v %d records %d routes %d withdrawals %d skipped %d damaged %q\n%v", st.State, st.Records, st.Routes,
				st.Withdrawals, st.Skipped, st.Damaged, st.Truncated, mrtTable(r))
			l.Close()
			r.Close()
			if first == "" {
				first = got
			} else if got != first {
				t.Errorf("one worker leaves\n%s\nthree leave\n%s", first, got)
			}
		}
	})
}

// mrtTable prints every path.
func mrtTable(r *shard.RIB) (lines []string) {
	v := r.View()
	defer v.Close()
	var paths []rib.Path
	for _, table := range v.Tables() {
		w := v.Walk(table, shard.WalkRange{})
		for w.Next() {
			paths = w.Paths(paths[:0])
			for _, p := range paths {
				info, _ := r.Peer(p.Peer)
				attrs, _ := r.Attrs().Bytes(p.Attrs)
				f, rd, _ := r.TableInfo(table)
				lines = append(lines, fmt.Sprintf("%v %x %x/%d %v %v %d %d %x\n", f, rd, w.Key(), w.Len(), info.ID, p.HasPathID, p.PathID, p.Received, attrs))
			}
		}
		w.Close()
	}
	slices.Sort(lines)
	return lines
}

// mrtLoadSeed is a dump and updates in one file.
func mrtLoadSeed() []byte {
	var b []byte
	for _, s := range mrtSeeds() {
		at := len(b)
		b = wiremrt.Begin(b, 1_700_000_000, 0, s.ty, s.sub)
		if s.ty == wiremrt.TypeBGP4MPET {
			b = b[:at+wiremrt.HeaderLen] // the seed begins with its microseconds
		}
		b = append(b, s.body...)
		wiremrt.End(b[at:])
	}
	a4 := netip.MustParseAddr("192.0.2.1")
	attrs := []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 1}
	for i := range 4 {
		body := append([]byte{0, 0, 0, byte(len(attrs))}, attrs...)
		body = append(body, 16, 10, byte(i%2))
		msg := append(bytes.Repeat([]byte{255}, 16), 0, byte(19+len(body)), 2)
		m := wiremrt.Message{PeerAS: 65001, LocalAS: 1, Peer: a4, Local: a4, AS4: true, Data: append(msg, body...)}
		at := len(b)
		b = m.Append(wiremrt.Begin(b, 1_700_000_000+uint32(i), 0, wiremrt.TypeBGP4MP, m.Subtype()))
		wiremrt.End(b[at:])
	}
	return b
}
