//go:build unix

package store_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ribd/engine/origin"
	"ribd/engine/store"
	"ribd/shard"
	"ribd/wire"
)

// The journal below what is originated: engine/origin on a disk, in a process
// that is killed.

const childDir = "RIBD_STORE_TEST_ORIGIN"

// originating is a Manager on a folder.
type originating struct {
	*origin.Manager
	rib     *shard.RIB
	journal *store.Journal
	store   *store.Store
}

func originate(dir string) (o originating, err error) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.store, err = store.Open(dir); err != nil {
		return o, err
	}
	if o.journal, err = o.store.Journal(log); err != nil {
		return o, err
	}
	if o.rib, err = shard.Open(shard.Options{Shards: 1}); err != nil {
		return o, err
	}
	o.Manager, err = origin.New(origin.Options{RIB: o.rib, Log: log, Journal: o.journal})
	return o, err
}

func (o *originating) close() {
	o.Manager.Close()
	o.rib.Close()
	o.journal.Close()
	o.store.Close()
}

// version makes a route of a slot and tells its version by MED.
func version(slot int, v uint32) origin.Route {
	b := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{0})
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrASPath, nil)
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrNextHop, []byte{192, 0, 2, 1})
	b = wire.AppendAttr(b, wire.FlagOptional, wire.AttrMED, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(slot >> 8), byte(slot), 0}), 24)
	return origin.Route{Key: origin.Key{Family: wire.IPv4Unicast, Prefix: p}, Attrs: b, TTL: time.Hour}
}

func med(attrs []byte) (v uint32) {
	b, _ := wire.FindAttr(attrs, wire.AttrMED)
	for _, o := range b {
		v = v<<8 | uint32(o)
	}
	return v
}

const slots, writers = 400, 4

// TestOriginateForever is what the child of the next test does.
func TestOriginateForever(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("for the test of kills")
	}
	o, err := originate(dir)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	routes, _ := o.List(nil, origin.Filter{}, nil, 0)
	versions := map[netip.Prefix]uint32{}
	for _, r := range routes {
		versions[r.Prefix] = med(r.Attrs)
	}
	for w := range writers {
		go func() {
			rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(w)))
			last := map[int]uint32{}
			for s := w; s < slots; s += writers {
				last[s] = versions[version(s, 0).Prefix]
			}
			for {
				var list []origin.Route
				var say []byte
				for range 1 + rnd.IntN(20) {
					s := rnd.IntN(slots/writers)*writers + w
					last[s]++
					list = append(list, version(s, last[s]))
					say = fmt.Appendf(say, " %d=%d", s, last[s])
				}
				// A list is all or nothing; one that is refused is not said.
				if _, err := o.Announce(list, origin.AllOrNothing); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Printf("ok%s .\n", say)
				out.Unlock()
			}
		}()
	}
	for { // far more often than it would be needed
		time.Sleep(5 * time.Millisecond)
		if err := o.CompactNow(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

func TestARibdThatIsKilledHasLostNothingThatItAnswered(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rounds := 25
	if testing.Short() {
		rounds = 6
	}
	acked := map[int]uint32{}
	answers := 0
	for round := range rounds {
		child := exec.Command(self, "-test.run", "^TestOriginateForever$")
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		kill := sync.OnceFunc(func() {
			time.AfterFunc(time.Duration(30+rand.IntN(100))*time.Millisecond, func() { child.Process.Kill() })
		})
		if round%2 == 0 { // whatever it does then; the others have answered, however slow the machine is
			kill()
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			if len(words) > 0 && words[0] == "error" {
				child.Process.Kill()
				t.Fatalf("round %d: the child says %s", round, lines.Text())
			}
			if len(words) < 3 || words[0] != "ok" || words[len(words)-1] != "." {
				continue // cut by the kill
			}
			answers++
			kill()
			for _, w := range words[1 : len(words)-1] {
				s, v, _ := strings.Cut(w, "=")
				slot, err1 := strconv.Atoi(s)
				n, err2 := strconv.ParseUint(v, 10, 32)
				if err1 != nil || err2 != nil {
					t.Fatalf("round %d: the child says %s", round, lines.Text())
				}
				acked[slot] = max(acked[slot], uint32(n))
			}
		}
		child.Wait()
		o, err := originate(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for slot, v := range acked {
			r, ok := o.Get(version(slot, 0).Key)
			if !ok || med(r.Attrs) < v {
				t.Fatalf("round %d: slot %d has version %d (%v), and %d was answered", round, slot, med(r.Attrs), ok, v)
			}
			if left := time.Until(r.Expires); left > time.Hour || left < time.Hour-time.Minute*5 {
				t.Fatalf("round %d: slot %d ends in %v", round, slot, left)
			}
		}
		o.close()
	}
	if answers == 0 {
		t.Fatal("nothing was answered")
	}
	t.Logf("%d answers of %d processes that were killed", answers, rounds)
}

// BenchmarkOriginate announces new routes in batches, on a disk and without one.
func BenchmarkOriginate(b *testing.B) {
	for _, c := range []struct {
		batch int
		disk  bool
	}{{1, false}, {1000, false}, {1, true}, {1000, true}, {10_000, true}} {
		b.Run(fmt.Sprintf("batch-%d/disk-%v", c.batch, c.disk), func(b *testing.B) {
			o, err := originate(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer o.close()
			m := o.Manager
			if !c.disk {
				if m, err = origin.New(origin.Options{RIB: o.rib}); err != nil {
					b.Fatal(err)
				}
				defer m.Close()
			}
			b.ReportAllocs()
			routes := make([]origin.Route, 0, c.batch)
			for i := 0; b.Loop(); i++ {
				r := version(0, 1)
				r.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 0}), 24)
				routes = append(routes, r)
				if len(routes) == c.batch {
					if _, err := m.Announce(routes, origin.AllOrNothing); err != nil {
						b.Fatal(err)
					}
					routes = routes[:0]
				}
			}
		})
	}
}
