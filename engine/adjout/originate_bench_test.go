package adjout

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// percentiles reports p50, p99 and the most of durations, in microseconds.
func percentiles(b *testing.B, name string, lat []float64) {
	slices.Sort(lat)
	b.ReportMetric(lat[len(lat)/2], name+"-p50-us")
	b.ReportMetric(lat[len(lat)*99/100], name+"-p99-us")
	b.ReportMetric(lat[len(lat)-1], name+"-max-us")
}

// BenchmarkAnnounceOne originates one route of a set of its own after the other,
// 1,000 a second, with as many groups as given: from Fan.Flush to the octets at a
// Sender, and to the end of Told and Explain.
func BenchmarkAnnounceOne(b *testing.B) {
	for _, groups := range []int{1, 8} {
		b.Run(map[int]string{1: "1 group", 8: "8 groups"}[groups], func(b *testing.B) {
			w := newWorld(b, shard.Options{}, Options{})
			l := w.localSource(nil)
			w.fan.Express()
			var arrived atomic.Int64
			for i := range groups {
				c := newCounter()
				c.on = func([]byte) { arrived.Store(time.Now().UnixNano()) }
				t := (&testPeer{num: rib.PeerNum(100 + i)}).to()
				t.Families, t.AS = t.Families[:1], uint32(ourAS+i)
				mb := w.m.Join(t, c)
				defer mb.Leave()
				eventually(b, "in step", mb.InStep)
			}
			ctx := context.Background()
			var mark shard.Mark
			var verdicts []Verdict
			var sent, told []float64
			next := time.Now()
			b.ResetTimer()
			for i := range b.N {
				next = next.Add(time.Millisecond)
				time.Sleep(time.Until(next))
				a := spec(65001, uint32(i)+1)
				k := trie.Key4(uint32(i&0xffff) << 8)
				begin := time.Now()
				id, _ := w.rib.Attrs().Intern(a.canonical())
				w.fan.Announce(rib.TableIPv4Unicast, k, 24, &rib.Path{Peer: l.num, Attrs: id, Received: 1})
				w.fan.Flush()
				mark = w.rib.Mark(mark)
				if err := w.m.Told(ctx, mark); err != nil {
					b.Fatal(err)
				}
				verdicts = w.m.Explain(rib.TableIPv4Unicast, k, 24, l.num, 0, false, verdicts[:0])
				told = append(told, float64(time.Since(begin))/1e3)
				sent = append(sent, float64(arrived.Load()-begin.UnixNano())/1e3)
				if len(verdicts) != groups || verdicts[0].State != Sent {
					b.Fatal(verdicts)
				}
			}
			percentiles(b, "sent", sent)
			percentiles(b, "told", told)
		})
	}
}

// BenchmarkAnnounceMany originates routes with 16 to a set, in batches of 1,000
// each with its Told, and asks what became of every one.
func BenchmarkAnnounceMany(b *testing.B) {
	for _, rules := range []bool{false, true} {
		b.Run(map[bool]string{false: "routes", true: "rules"}[rules], func(b *testing.B) {
			w := newWorld(b, shard.Options{}, Options{})
			l := w.localSource(nil)
			w.fan.Express()
			var octets atomic.Int64
			c := newCounter()
			c.on = func(msgs []byte) { octets.Add(int64(len(msgs))) }
			t := (&testPeer{num: 100}).to()
			t.Families = []wire.Family{wire.IPv4Unicast, wire.IPv4FlowSpec}
			mb := w.m.Join(t, c)
			defer mb.Leave()
			eventually(b, "in step", mb.InStep)
			table := rib.TableIPv4Unicast
			if rules {
				table, _ = w.rib.Table(wire.IPv4FlowSpec, 0)
			}
			const total, batch = 100000, 1000
			keys, lens := make([]trie.Key, total), make([]uint8, total)
			rnd := rand.New(rand.NewPCG(1, 1))
			for i := range keys {
				keys[i], lens[i] = trie.Key4(uint32(i)<<8), 24
				if rules {
					nlri := []byte{11, 1, 32, 10, 0, 0, 0, 3, 0x81, 17, 5, 0x81, 53}
					binary.BigEndian.PutUint32(nlri[3:], rnd.Uint32())
					nlri[0] = byte(len(nlri) - 1)
					keys[i], lens[i], _ = w.rib.RawKey(nlri)
				}
			}
			var ids [total / 16]rib.AttrID
			for i := range ids {
				ids[i], _ = w.rib.Attrs().Intern(with(spec(65001, uint32(i)+1), func(a *attrSpec) {
					if rules {
						a.Hop = ""
					}
				}).canonical())
			}
			ctx := context.Background()
			var mark shard.Mark
			var verdicts []Verdict
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			begin := time.Now()
			for n := range b.N {
				for i := 0; i < total; i += batch {
					for j := i; j < i+batch; j++ {
						w.fan.Announce(table, keys[j], lens[j], &rib.Path{Peer: l.num, Attrs: ids[(j/16+n)%len(ids)], Received: 1})
					}
					w.fan.Flush()
					mark = w.rib.Mark(mark)
					if err := w.m.Told(ctx, mark); err != nil {
						b.Fatal(err)
					}
					for j := i; j < i+batch; j++ {
						verdicts = w.m.Explain(table, keys[j], lens[j], l.num, 0, false, verdicts[:0])
						if len(verdicts) != 1 || verdicts[0].State != Sent {
							b.Fatal(verdicts)
						}
					}
				}
			}
			b.ReportMetric(float64(b.N*total)/time.Since(begin).Seconds()/1e6, "Mroutes/s")
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N*total), "allocs/route")
			b.ReportMetric(float64(octets.Load())/float64(b.N*total), "octets/route")
		})
	}
}
