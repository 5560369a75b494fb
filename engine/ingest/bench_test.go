package ingest

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/wire"
)

const readChunk = 256 << 10

// threadSeconds is the time that this thread has spent on processors.
func threadSeconds(b *testing.B) float64 { return usage(b, syscall.RUSAGE_THREAD) }

func cpuSeconds(b *testing.B) float64 { return usage(b, syscall.RUSAGE_SELF) }

func usage(b *testing.B, who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkTransfer takes in the whole real table of 1 and of 4 peers. reader-ns is
// what the goroutines that read have used of a processor, a route: parse, intern,
// judge, fan. cpu-s/M is all goroutines for a million routes.
func BenchmarkTransfer(b *testing.B) {
	table, err := tablegen.New(tablegen.Options{Prefixes: realPrefixes(b), IPv4: 901_899, Peers: 4, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	for _, peers := range []int{1, 4} {
		var messages [][]byte
		total := 0
		for i := range peers {
			m, n := table.Transfer(i)
			messages, total = append(messages, m), total+n
		}
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			var reader, cpu float64
			var took time.Duration
			for b.Loop() {
				b.StopTimer()
				r, err := shard.Open(shard.Options{})
				if err != nil {
					b.Fatal(err)
				}
				var ps []*Peer
				for i := range peers {
					p := New(Options{RIB: r, Peer: addPeer(b, r, 65001+uint32(i))})
					p.Start(Session{Wire: wire.Session{AS4: true, External: true, Families: wire.NewFamilySet(wire.IPv4Unicast)}})
					ps = append(ps, p)
				}
				runtime.GC()
				before, begin := cpuSeconds(b), time.Now()
				b.StartTimer()
				var mu sync.Mutex
				var wg sync.WaitGroup
				for i, p := range ps {
					wg.Go(func() {
						runtime.LockOSThread()
						used := threadSeconds(b)
						feed(b, p, messages[i])
						used = threadSeconds(b) - used
						mu.Lock()
						reader += used
						mu.Unlock()
					})
				}
				wg.Wait()
				r.Sync()
				b.StopTimer()
				took += time.Since(begin)
				cpu += cpuSeconds(b) - before
				for _, p := range ps {
					p.Close()
				}
				r.Close()
				b.StartTimer()
			}
			all := float64(total) * float64(b.N)
			b.ReportMetric(all/took.Seconds()/1e6, "Mroutes/s")
			b.ReportMetric(reader/all*1e9, "reader-ns/route")
			b.ReportMetric(cpu/all*1e6, "cpu-s/M")
		})
	}
}

// feed gives a peer its messages as a session does: a read, then a Flush.
func feed(t testing.TB, p *Peer, m []byte) {
	for at, end := 0, 0; at < len(m); {
		end = min(end+readChunk, len(m))
		n, err := p.Updates(m[at:end], 1_767_225_600)
		if err != nil {
			t.Error(err)
			return
		}
		at += n
		p.Flush()
	}
}
