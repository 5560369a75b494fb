package shard

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"ribd/internal/tablegen"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// line is what the sessions of a few peers bring: their whole tables, as ranges
// of flat arrays, so that Go's collector has nothing to look at.
type line struct{ feeds []lineFeed }

type lineFeed struct {
	attrs []byte
	keys  []uint32
	lens  []uint8
	sets  []lineSet
	ids   []rib.AttrID // of sets, where they are interned beforehand
}

// lineSet is one UPDATE: it ends at these places.
type lineSet struct{ attrs, keys, octets uint32 }

// newLine draws the tables of peers over the real prefixes.
func newLine(b *testing.B, peers int) *line {
	prefixes := realPrefixes(b, true)
	t, err := tablegen.New(tablegen.Options{Prefixes: prefixes, IPv4: -1, Peers: peers})
	if err != nil {
		b.Fatal(err)
	}
	l := &line{feeds: make([]lineFeed, peers)}
	s := wire.Session{AS4: true, External: true}
	var u wire.Update
	scratch := make([]byte, 0, 4096)
	for i := range l.feeds {
		f := &l.feeds[i]
		octets := uint32(0)
		for messages, _ := t.Transfer(i); len(messages) > 0; {
			n := int(binary.BigEndian.Uint16(messages[16:]))
			if err := u.Parse(messages[:n], &s); err != nil {
				b.Fatal(err)
			}
			messages = messages[n:]
			f.attrs = append(f.attrs, u.Attributes(scratch)...)
			for w := u.NLRI4(); w.Next(); {
				f.keys, f.lens = append(f.keys, w.Addr()), append(f.lens, w.Len())
			}
			octets += uint32(n)
			f.sets = append(f.sets, lineSet{uint32(len(f.attrs)), uint32(len(f.keys)), octets})
		}
	}
	return l
}

func (l *line) routes() (n int) {
	for i := range l.feeds {
		n += len(l.feeds[i].keys)
	}
	return n
}

// intern gives all sets their ids beforehand.
func (l *line) intern(r *RIB) {
	for i := range l.feeds {
		f := &l.feeds[i]
		f.ids = make([]rib.AttrID, len(f.sets))
		at := uint32(0)
		for x, s := range f.sets {
			f.ids[x], _ = r.Attrs().Intern(f.attrs[at:s.attrs])
			at = s.attrs
		}
	}
}

// run gives all tables through Fans, one a peer, each in its goroutine, flushed
// as a session that reads 256 KiB at a time would, and returns when all is
// published. withdraw takes the routes away.
func (l *line) run(r *RIB, nums []rib.PeerNum, received uint32, withdraw bool) {
	var wg sync.WaitGroup
	for i := range l.feeds {
		wg.Go(func() { l.feeds[i].run(r, nums[i], received, withdraw) })
	}
	wg.Wait()
	r.Sync()
}

func (l *lineFeed) run(r *RIB, num rib.PeerNum, received uint32, withdraw bool) {
	f := r.NewFan()
	defer f.Close()
	p := rib.Path{Peer: num, Received: received}
	var at lineSet
	flushed := uint32(0)
	for x, s := range l.sets {
		switch {
		case withdraw:
		case l.ids != nil:
			p.Attrs = l.ids[x]
		default:
			p.Attrs, _ = r.Attrs().Intern(l.attrs[at.attrs:s.attrs])
		}
		for j := at.keys; j < s.keys; j++ {
			if withdraw {
				f.Withdraw(rib.TableIPv4Unicast, trie.Key4(l.keys[j]), l.lens[j], num, 0, false)
			} else {
				f.Announce(rib.TableIPv4Unicast, trie.Key4(l.keys[j]), l.lens[j], &p)
			}
		}
		if s.octets-flushed >= 256<<10 {
			f.Flush()
			flushed = s.octets
		}
		at = s
	}
}

// BenchmarkLine is the way from a Fan to what readers see, of whole tables: into
// an empty RIB, with the sets interned beforehand (fresh) and not (intern), the
// same routes again at another time, their withdrawal, and the end of their
// peers. CPU time is the process's.
func BenchmarkLine(b *testing.B) {
	for _, peers := range []int{1, 4} {
		var l *line
		for _, what := range []string{"fresh", "intern", "again", "withdraw", "drop"} {
			b.Run(fmt.Sprintf("peers=%d/%s", peers, what), func(b *testing.B) {
				if l == nil {
					l = newLine(b, peers)
				}
				var took, used, size []float64
				n := float64(l.routes())
				for b.Loop() {
					b.StopTimer()
					for i := range l.feeds {
						l.feeds[i].ids = nil
					}
					runtime.GC()
					before := resident(b)
					r, err := Open(Options{})
					if err != nil {
						b.Fatal(err)
					}
					nums := addPeers(b, r, peers)
					if what != "intern" {
						l.intern(r)
					}
					if what == "again" || what == "withdraw" || what == "drop" {
						l.run(r, nums, 1, false)
					}
					b.StartTimer()
					t0, c0 := time.Now(), cpuTime()
					if what == "drop" {
						for _, n := range nums {
							r.DropPeer(n)
						}
						r.Settle()
					} else {
						l.run(r, nums, 2, what == "withdraw")
					}
					b.StopTimer()
					took, used = append(took, time.Since(t0).Seconds()), append(used, (cpuTime()-c0).Seconds())
					size = append(size, float64(resident(b)-before)/n)
					r.Close()
					b.StartTimer()
				}
				b.ReportMetric(n/median(took)/1e6, "M/s")
				b.ReportMetric(median(used)/n*1e6, "cpu-s/M")
				if what == "intern" {
					b.ReportMetric(median(size), "B/path")
				}
			})
		}
	}
}
