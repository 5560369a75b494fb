package trie

import (
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/internal/invariants"
)

// TestViewReadersBesideAWriter has readers that pin, and readers that hold a
// version, walk views while the writer goes on. Each batch gives every prefix
// that it leaves the number of the batch, so a view that is torn shows.
func TestViewReadersBesideAWriter(t *testing.T) {
	r := newRig(t, 32, 1<<22)
	type root struct{ ref, version uint32 }
	var current atomic.Pointer[root]
	publish := func() {
		current.Store(&root{r.tree.Root(), r.version})
		r.publish()
	}
	list := make([]prefix, 300)
	for i := range list {
		list[i] = r.random()
		r.set(list[i], 1)
	}
	publish()
	var stop atomic.Bool
	var walks atomic.Int64
	var wg sync.WaitGroup
	for kind := range 4 {
		wg.Go(func() {
			pin := r.domain.NewPin()
			defer pin.Close()
			for !stop.Load() {
				pin.Enter()
				at := current.Load()
				if kind%2 == 1 {
					r.holds.Hold(at.version)
					pin.Exit()
				}
				for c := NewView(r.arena, at.ref, 32).Cursor(); c.Next(); {
					if c.Value() != at.version {
						t.Errorf("version %d has %v/%d = %d", at.version, c.Key(), c.Len(), c.Value())
						stop.Store(true)
						break
					}
				}
				if kind%2 == 1 {
					r.holds.Release(at.version)
				} else {
					pin.Exit()
				}
				walks.Add(1)
				runtime.Gosched()
			}
		})
	}
	for batch := 0; !stop.Load() && (batch < 300 || walks.Load() < 50); batch++ {
		r.begin()
		for i, p := range list {
			if (i+batch)%7 == 0 {
				r.delete(p)
			} else {
				r.set(p, r.version)
			}
		}
		publish()
		runtime.Gosched()
	}
	stop.Store(true)
	wg.Wait()
	r.heap.Reclaim()
	if s := r.heap.Stats(); s.HeldWords != 0 {
		t.Errorf("words are held by nobody: %+v", s)
	}
}

// TestHotFunctionsInline asks the compiler.
func TestHotFunctionsInline(t *testing.T) {
	if testing.Short() || invariants.Enabled {
		t.Skip("compiles the package")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Skipf("no compiler here: %v", err)
	}
	for _, name := range []string{
		"can inline stepRun", "can inline maps", "can inline rank", "can inline (*Handles).Load", "can inline (*Handles).Len",
		"inlining call to stepRun", "inlining call to slab.(*Table).Load", "inlining call to slab.(*Arena).Load64",
	} {
		if !strings.Contains(string(out), name) {
			t.Errorf("the compiler does not say %q", name)
		}
	}
}
