package shard

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

// BenchmarkChurn is 5,000 small batches a second, of five neighbouring prefixes
// each, in a full table, with a follower: how long from Flush until the follower
// has a change, and what a batch costs of CPU time, follower and clock included;
// then the same while another peer announces its whole table over and over.
func BenchmarkChurn(b *testing.B) {
	for _, flood := range []bool{false, true} {
		name := "alone"
		if flood {
			name = "beside=table"
		}
		b.Run(name, func(b *testing.B) { benchmarkChurn(b, flood) })
	}
}

func benchmarkChurn(b *testing.B, flood bool) {
	prefixes := realPrefixes(b, true)
	r, nums := loaded(b, Options{FeedSize: 1 << 20}, 2, prefixes, rib.TableIPv4Unicast)
	rnd := rand.New(rand.NewPCG(1, 2))
	var ids []rib.AttrID
	for i := range 1000 {
		id, _ := r.Attrs().Intern(attrSpec{med: -1, pref: -1, path: []uint32{64500, uint32(i), 5}}.canonical())
		ids = append(ids, id)
	}
	ctx, cancel := context.WithCancel(context.Background())
	fl := r.Follow("")
	fl.Snapshot().Close()
	var sent [1 << 10]atomic.Int64 // by Path.Received
	took := make([]time.Duration, 0, 1<<16)
	ended := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		buf := make([]Change, 64)
		last := uint32(0)
		for {
			n, ok := fl.Next(buf)
			if !ok {
				fl.Snapshot().Close()
				continue
			}
			if n == 0 && fl.Wait(ctx) != nil {
				return
			}
			for i := range buf[:n] {
				if x := buf[i].Path.Received; x != last && buf[i].Path.Peer == nums[0] {
					last = x
					took = append(took, time.Since(start)-time.Duration(sent[x&(1<<10-1)].Load()))
				}
			}
		}
	}()
	var stop atomic.Bool
	var wg sync.WaitGroup
	if flood {
		wg.Go(func() { announceOverAndOver(r, nums[1], prefixes, &stop) })
	}
	f := r.NewFan()
	f.Express()
	defer f.Close()
	b.ResetTimer()
	c0 := cpuTime()
	next := time.Now()
	for i := uint32(1); b.Loop(); i++ {
		next = next.Add(200 * time.Microsecond)
		if d := time.Until(next); d > 0 {
			time.Sleep(d)
		}
		p := rib.Path{Peer: nums[0], Attrs: ids[i%uint32(len(ids))], Received: i}
		at := rnd.IntN(len(prefixes) - 5)
		for _, x := range prefixes[at : at+5] {
			k, n := trie.PrefixKey(x)
			f.Announce(rib.TableIPv4Unicast, k, n, &p)
		}
		sent[i&(1<<10-1)].Store(int64(time.Since(start)))
		f.Flush()
	}
	used := cpuTime() - c0
	stop.Store(true)
	wg.Wait()
	r.Sync()
	cancel()
	<-ended
	fl.Close()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
	b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(b.N), "cpu-us/batch")
}

// announceOverAndOver is a peer that sends its whole table until stop.
func announceOverAndOver(r *RIB, peer rib.PeerNum, prefixes []netip.Prefix, stop *atomic.Bool) {
	ms := messages(1, prefixes)
	f := r.NewFan()
	defer f.Close()
	for i := uint32(1 << 30); !stop.Load(); i++ {
		p := rib.Path{Peer: peer, Received: i}
		for j := range ms {
			p.Attrs, _ = r.Attrs().Intern(ms[j].attrs)
			for x, k := range ms[j].keys {
				f.Announce(rib.TableIPv4Unicast, k, ms[j].lens[x], &p)
			}
			if f.Len() >= 4096 {
				f.Flush()
			}
		}
	}
}
