package policy

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"ribd/internal/tablegen"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// announced is one UPDATE of a table: its set and prefixes.
type announced struct {
	set  []byte
	id   rib.AttrID
	keys []trie.Key
	lens []uint8
}

// BenchmarkTable judges a whole table of one peer, as ingest asks: Set for each
// UPDATE, Route for each route where Set is not final. The figures are CPU time
// of the thread, so that what else runs here counts little.
func BenchmarkTable(b *testing.B) {
	table, err := tablegen.New(tablegen.Options{IPv4: 900_000, IPv6: 0, Peers: 1, Seed: 1})
	check(b, err)
	messages, total := table.Transfer(0)
	var updates []announced
	session := wire.Session{AS4: true, External: true}
	var u wire.Update
	for len(messages) > 0 {
		n := int(binary.BigEndian.Uint16(messages[16:]))
		if messages[18] == byte(wire.MsgUpdate) {
			if err := u.Parse(messages[:n], &session); err != nil {
				b.Fatal(err)
			}
			a := announced{set: u.AppendAttributes(nil)}
			for c := u.NLRI4(); c.Next(); {
				a.keys, a.lens = append(a.keys, trie.Key4(c.Addr())), append(a.lens, c.Len())
			}
			updates = append(updates, a)
		}
		messages = messages[n:]
	}
	checks := Checks{LocalAS: []uint32{64512}, RouterID: 1, ClusterID: 1, RejectASSets: true, Own: []netip.Addr{netip.MustParseAddr("192.0.2.254")}}
	for _, policy := range []string{AcceptAll, "attributes", "length", "prefixes", "mixed", "cel", "change"} {
		b.Run(policy, func(b *testing.B) {
			runtime.LockOSThread()
			a := newAttrs(b)
			for i := range updates {
				updates[i].id, _ = a.Intern(updates[i].set)
			}
			used, accepted := 0.0, 0
			for b.Loop() {
				b.StopTimer()
				f := compile(b, a, benchPolicy).Import(policy, external, checks)
				b.StartTimer()
				before := threadSeconds(b)
				accepted += judgeTable(f, updates)
				used += threadSeconds(b) - before
			}
			if accepted == 0 {
				b.Error("nothing is accepted")
			}
			b.ReportMetric(used/float64(b.N)/float64(total)*1e9, "cpu-ns/route")
			b.ReportMetric(used/float64(b.N)/float64(len(updates))*1e9, "cpu-ns/set")
		})
	}
}

func judgeTable(f rib.Filter, updates []announced) (accepted int) {
	var p rib.Path
	for i := range updates {
		up := &updates[i]
		v, final := f.Set(wire.IPv4Unicast, 1, up.id)
		if final {
			if v.Filtered == rib.FilterNone {
				accepted += len(up.keys)
			}
			continue
		}
		for j, k := range up.keys {
			p = rib.Path{Peer: 1, Attrs: up.id}
			if v := f.Route(wire.IPv4Unicast, 0, k, up.lens[j], &p); v.Filtered == rib.FilterNone {
				accepted++
			}
		}
	}
	return accepted
}

func threadSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_THREAD, &u))
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
