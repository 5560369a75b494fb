package shard

import (
	"sync"
	"sync/atomic"
	"time"
)

// fanGuard counts the flushes of a Fan: odd while routes wait in it. A sweep of
// attribute sets waits until each Fan that held routes when it began has
// flushed, so that their sets are in blocks when it marks.
type fanGuard struct{ turn atomic.Uint64 }

func (g *fanGuard) begin() {
	if g.turn.Load()&1 == 0 {
		g.turn.Add(1)
	}
}

func (g *fanGuard) end() {
	if g.turn.Load()&1 == 1 {
		g.turn.Add(1)
	}
}

type fanSet struct {
	mu   sync.Mutex
	fans map[*fanGuard]struct{}
}

func (s *fanSet) add(g *fanGuard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fans == nil {
		s.fans = map[*fanGuard]struct{}{}
	}
	s.fans[g] = struct{}{}
}

func (s *fanSet) remove(g *fanGuard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fans, g)
}

// wait returns when every Fan that holds routes now has flushed, true, or when
// stop is closed or patience is over, false.
func (s *fanSet) wait(stop <-chan struct{}, patience time.Duration) bool {
	s.mu.Lock()
	turns := map[*fanGuard]uint64{}
	for g := range s.fans {
		if t := g.turn.Load(); t&1 == 1 {
			turns[g] = t
		}
	}
	s.mu.Unlock()
	for deadline := time.Now().Add(patience); len(turns) > 0; {
		for g, t := range turns {
			if g.turn.Load() != t {
				delete(turns, g)
			}
		}
		if len(turns) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-stop:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}
