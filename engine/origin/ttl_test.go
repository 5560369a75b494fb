package origin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ribd/wire"
)

// lateness bounds how long after its time a route may be there still. Tests of it
// have a clock of their own, which stands while anything runs: how slow the
// machine is does not count, BenchmarkManyEnd measures that.
const lateness = 100 * time.Millisecond

// late says whether a route that was to end at a time was there for too long, or
// not long enough.
func late(first, end time.Time) bool { return first.Before(end) || first.After(end.Add(lateness)) }

// gone waits until a route is not in the RIB, and returns when it was seen last
// and first not.
func (r *rig) gone(w Route, until time.Time) (last, first time.Time) {
	r.t.Helper()
	for {
		now := time.Now()
		if len(r.inRIB(w.Key)) == 0 {
			return last, now
		}
		last = now
		if now.After(until) {
			r.t.Fatalf("%v is there still", w.Key)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func TestARouteEndsWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		begin := time.Now()
		short, long := route("10.0.0.0/8", ttl(150*time.Millisecond)), route("172.16.0.0/12", ttl(time.Hour))
		renewed := route("192.0.2.0/24", ttl(150*time.Millisecond))
		res := r.announce(short, long, renewed)
		time.Sleep(80 * time.Millisecond)
		renewal := r.announce(route("192.0.2.0/24", ttl(150*time.Millisecond)))
		last, first := r.gone(short, begin.Add(time.Second))
		if late(first, res[0].Expires) {
			t.Errorf("it ended between %v and %v, and was to end at %v", last.Sub(begin), first.Sub(begin), res[0].Expires.Sub(begin))
		}
		last, first = r.gone(renewed, begin.Add(time.Second))
		if late(first, renewal[0].Expires) {
			t.Errorf("the renewed one ended between %v and %v, and was to end at %v", last.Sub(begin), first.Sub(begin), renewal[0].Expires.Sub(begin))
		}
		if !r.shows(long) || len(r.list(Filter{})) != 1 {
			t.Errorf("listed: %v", r.list(Filter{}))
		}
		if s := r.Stats(); s.Expired != 2 {
			t.Errorf("%d have expired", s.Expired)
		}
	})
}

func TestTheTimeGoesOnWhileRibdIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		r := newRig(t, Options{Journal: j})
		a, b, c := route("10.0.0.0/8", ttl(50*time.Millisecond)), route("172.16.0.0/12", ttl(time.Second)), route("192.0.2.0/24", ttl(time.Hour))
		res := r.announce(a, b, c)
		r.Manager.Close()
		time.Sleep(100 * time.Millisecond)
		again := newRig(t, Options{Journal: &memory{recs: j.recs}})
		if again.shows(a) || !again.shows(b) || !again.shows(c) {
			t.Errorf("in the RIB: %v %v %v", again.shows(a), again.shows(b), again.shows(c))
		}
		if got, _ := again.Get(b.Key); !got.Expires.Equal(res[1].Expires) {
			t.Errorf("it ends at %v, and was to end at %v", got.Expires, res[1].Expires)
		}
		if _, first := again.gone(b, time.Now().Add(3*time.Second)); late(first, res[1].Expires) {
			t.Errorf("it ended %v late", first.Sub(res[1].Expires))
		}
		if s := again.Stats(); s.Expired != 2 || len(again.list(Filter{})) != 1 {
			t.Errorf("%d have expired", s.Expired)
		}
	})
}

// Who sets the wall clock does not move the end of what is here, whatever is
// judged or undone after it.
func TestASetClockMovesNoEnd(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j, Guards: usual()})
	w := route("192.0.2.7/32", with(blackhole), ttl(time.Hour))
	r.announce(w)
	due := func() int64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.find(&w.Key).due
	}
	was := due()
	r.alone(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.look()
		r.wall -= int64(time.Hour)
		r.judge(r.order.list())
	})
	if got := due(); got != was {
		t.Errorf("judged: it ends %v later", time.Duration(got-was))
	}
	r.mu.Lock()
	e := r.find(&w.Key)
	r.look()
	r.wall += int64(time.Hour)
	from := r.batch.mark()
	r.change(e, value{attrs: e.val.attrs, src: e.val.src, expires: e.val.expires + 1}, true)
	r.undoTo(from)
	r.batch.end()
	e.touched = false
	r.mu.Unlock()
	if got := due(); got != was {
		t.Errorf("undone: it ends %v later", time.Duration(got-was))
	}
}

// What has ended does not come back with a clock that a restart finds an hour
// behind: the journal says that it has ended, as far as ribd saw it.
func TestAClockBehindBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		r := newRig(t, Options{Journal: j})
		short, again, long := route("10.0.0.0/8", ttl(20*time.Millisecond)), route("192.0.2.0/24", ttl(20*time.Millisecond)), route("172.16.0.0/12", ttl(time.Hour))
		r.announce(short, again, long)
		j.set(errors.New("full"), false)
		time.Sleep(60 * time.Millisecond)
		r.keepEnds() // in vain
		j.set(nil, false)
		again.TTL = time.Hour
		r.announce(again)
		r.Manager.Close()
		ended := map[string]bool{}
		for _, rec := range j.recs {
			for x := newRecordReader(rec); x.next(); {
				ended[x.item.key.Prefix.String()] = x.item.kind == itemWithdraw
			}
		}
		if !ended["10.0.0.0/8"] || ended["192.0.2.0/24"] || ended["172.16.0.0/12"] {
			t.Errorf("ended: %v", ended)
		}
		// One that ended while ribd was down is written when it is found.
		down := &memory{recs: j.recs[:1]}
		newRig(t, Options{Journal: down}).Manager.Close()
		if last := newRecordReader(down.recs[len(down.recs)-1]); len(down.recs) != 2 || !last.next() || last.item.kind != itemWithdraw {
			t.Errorf("%d records", len(down.recs))
		}
	})
}

// A disk that hangs delays what waits for it, but not what ends.
func TestADiskThatHangsDelaysNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		r := newRig(t, Options{Journal: j})
		a := route("10.0.0.0/8", ttl(100*time.Millisecond))
		b := route("192.0.2.0/24", ttl(100*time.Millisecond))
		res := r.announce(a, b)
		hold := make(chan struct{})
		j.mu.Lock()
		j.hold = hold
		j.mu.Unlock()
		done := make(chan error)
		go func() {
			// One that ends while it is being replaced, too.
			_, err := r.Announce([]Route{route("172.16.0.0/12", ttl(50*time.Millisecond)), route("192.0.2.0/24", with(5))}, AllOrNothing)
			done <- err
		}()
		if _, first := r.gone(a, time.Now().Add(time.Second)); late(first, res[0].Expires) {
			t.Errorf("it ended %v late", first.Sub(res[0].Expires))
		}
		if len(r.inRIB(route("172.16.0.0/12").Key)) != 0 {
			t.Error("a route is in the RIB that is not on the disk")
		}
		time.Sleep(20 * time.Millisecond)
		close(hold)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if r.shows(route("172.16.0.0/12")) || !r.shows(route("192.0.2.0/24", with(5))) {
			t.Error("after the disk came back, the RIB has not what was announced and lasts")
		}
	})
}

func TestManyEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		n := 20_000
		if testing.Short() {
			n = 2000 // beside the race detector
		}
		all := many(n, 400*time.Millisecond)
		end := r.announce(all...)[n-1].Expires
		time.Sleep(time.Until(end) - time.Millisecond)
		if got := len(r.list(Filter{})); got != n {
			t.Errorf("%d are listed before their time, want %d", got, n)
		}
		for len(r.list(Filter{})) > 0 {
			if time.Now().After(end.Add(lateness)) {
				t.Fatalf("%d are listed %v after their time", len(r.list(Filter{})), time.Since(end))
			}
			time.Sleep(time.Millisecond)
		}
		if r.rib.Sync(); len(r.inRIB(all[0].Key))+len(r.inRIB(all[n-1].Key)) != 0 {
			t.Error("they are in the RIB")
		}
	})
}

func many(n int, life time.Duration) []Route {
	all := make([]Route, n)
	for i := range all {
		all[i] = route(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), ttl(life))
	}
	return all
}

// BenchmarkManyEnd has 20,000 routes end at once, and measures how late the last
// one does.
func BenchmarkManyEnd(b *testing.B) {
	r := newRig(b, Options{})
	all := many(20_000, 400*time.Millisecond)
	var worst time.Duration
	for b.Loop() {
		end := r.announce(all...)[len(all)-1].Expires
		time.Sleep(time.Until(end))
		for r.Stats().Routes[wire.IPv4Unicast] > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		worst = max(worst, time.Since(end))
	}
	b.ReportMetric(float64(worst)/1e6, "ms-late")
}

// Whoever announces is let in while many end.
func TestManyEndsLetOthersIn(t *testing.T) {
	const n = 40_000
	var r *rig
	var seen []int
	r = newRig(t, Options{breath: func() {
		if r != nil { // the routes have been announced
			seen = append(seen, r.Stats().Routes[wire.IPv4Unicast])
		}
	}})
	r.announce(many(n, time.Hour)...)
	seen = nil
	r.mu.Lock()
	r.look()
	for _, e := range r.Manager.expiry {
		e.due = r.steady
	}
	r.mu.Unlock()
	r.expire()
	if len(seen) < n/slice/2 || !slices.IsSortedFunc(seen, func(a, b int) int { return b - a }) || seen[0] == n || seen[len(seen)-1] == 0 {
		t.Errorf("nobody is let in until all are gone: %v", seen)
	}
	if left := r.Stats().Routes[wire.IPv4Unicast]; left != 0 {
		t.Errorf("%d are left", left)
	}
}

func TestExpiryIsAHeapThatKnowsWhereEachIs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h expiry
	var all []*entry
	for range 20_000 {
		switch {
		case len(all) == 0 || rnd.IntN(5) < 3:
			e := &entry{due: rnd.Int64N(1000), heap: -1}
			h.add(e)
			all = append(all, e)
		default:
			i := rnd.IntN(len(all))
			if rnd.IntN(2) == 0 {
				i = slices.Index(all, h[0])
			}
			h.remove(all[i])
			all = slices.Delete(all, i, i+1)
		}
		if len(h) != len(all) {
			t.Fatalf("%d in the heap, want %d", len(h), len(all))
		}
		least := int64(1000)
		for _, e := range all {
			least = min(least, e.due)
			if h[e.heap] != e {
				t.Fatal("an entry does not know its place")
			}
		}
		if len(h) > 0 && h[0].due != least {
			t.Fatalf("the first is %d, want %d", h[0].due, least)
		}
		if len(all) > 200 {
			for len(all) > 50 {
				h.remove(all[0])
				all = all[1:]
			}
		}
	}
}
