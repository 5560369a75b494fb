package ingest

import (
	"runtime"
	"testing"

	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// BenchmarkParts takes the way of a whole table apart: what parsing, interning and
// fanning out cost alone, in nanoseconds of this thread a route.
func BenchmarkParts(b *testing.B) {
	table, err := tablegen.New(tablegen.Options{Prefixes: realPrefixes(b), IPv4: 901_899, Peers: 4, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	messages, total := table.Transfer(0)
	session := wire.Session{AS4: true, External: true}
	var u wire.Update
	var sets [][]byte
	split(messages, func(m []byte) {
		u.Parse(m, &session)
		sets = append(sets, u.AppendAttributes(nil))
	})
	per := func(b *testing.B, f func()) {
		used := 0.0
		for b.Loop() {
			before := threadSeconds(b)
			f()
			used += threadSeconds(b) - before
		}
		b.ReportMetric(used/float64(total)/float64(b.N)*1e9, "ns/route")
	}
	b.Run("parse", func(b *testing.B) {
		runtime.LockOSThread()
		per(b, func() {
			sum := uint32(0)
			split(messages, func(m []byte) {
				u.Parse(m, &session)
				sum += uint32(len(u.Attributes(nil)))
				for c := u.NLRI4(); c.Next(); {
					sum += c.Addr()
				}
			})
		})
	})
	b.Run("intern-new", func(b *testing.B) {
		runtime.LockOSThread()
		used := 0.0
		for b.Loop() {
			a := rib.NewAttrs(rib.AttrsOptions{})
			before := threadSeconds(b)
			for _, s := range sets {
				a.Intern(s)
			}
			used += threadSeconds(b) - before
			a.Close()
		}
		b.ReportMetric(used/float64(total)/float64(b.N)*1e9, "ns/route")
		b.ReportMetric(used/float64(len(sets))/float64(b.N)*1e9, "ns/set")
	})
	b.Run("intern-known", func(b *testing.B) {
		runtime.LockOSThread()
		a := rib.NewAttrs(rib.AttrsOptions{})
		defer a.Close()
		for _, s := range sets {
			a.Intern(s)
		}
		per(b, func() {
			for _, s := range sets {
				a.Intern(s)
			}
		})
	})
	b.Run("fan", func(b *testing.B) { fanOut(b, messages, per) })
}

// fanOut gives routes to shards that refuse them.
func fanOut(b *testing.B, messages []byte, per func(*testing.B, func())) {
	runtime.LockOSThread()
	r, num := open(b, shard.Options{QueueLen: 1 << 12})
	r.DropPeer(num)
	fan := r.NewFan()
	defer fan.Close()
	var u wire.Update
	session := wire.Session{AS4: true, External: true}
	per(b, func() {
		path := rib.Path{Peer: num, Attrs: 1 << 5, Received: 1}
		split(messages, func(m []byte) {
			u.Parse(m, &session)
			for c := u.NLRI4(); c.Next(); {
				fan.Announce(rib.TableIPv4Unicast, trie.Key4(c.Addr()), c.Len(), &path)
			}
		})
		fan.Flush()
	})
	r.Sync()
}
