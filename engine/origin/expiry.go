package origin

import "time"

// expiry is the entries that end by themselves, the next one first: a heap that
// knows where each is.
type expiry []*entry

func (h expiry) less(i, j int) bool { return h[i].due < h[j].due }

func (h expiry) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = int32(i), int32(j)
}

func (h *expiry) add(e *entry) {
	e.heap = int32(len(*h))
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

func (h *expiry) remove(e *entry) {
	i, last := int(e.heap), len(*h)-1
	if i != last {
		h.swap(i, last)
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	if i != last && !h.down(i) {
		h.up(i)
	}
	e.heap = -1
}

func (h expiry) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h expiry) down(i int) (moved bool) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return moved
		}
		h.swap(i, least)
		i, moved = least, true
	}
}

// expire is called by the timer: what is due goes.
func (m *Manager) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.armed = 0
	if m.closed {
		return
	}
	m.look()
	for n := 0; len(m.expiry) > 0 && m.expiry[0].due <= m.steady; n++ {
		e := m.expiry[0]
		m.put(e, e.val, false)
		m.stats.Expired++
		m.hasEnded(e)
		m.show(e)
		if n == slice { // who announces does not wait until all of them are gone
			m.breathe()
			if m.closed {
				return
			}
			m.look()
			n = 0
		}
	}
	m.fan.Flush()
	m.arm()
}

// arm sets the timer for what is due first.
func (m *Manager) arm() {
	if len(m.expiry) == 0 {
		return
	}
	due := m.expiry[0].due
	if m.armed != 0 && m.armed <= due {
		return
	}
	m.armed = max(due, 1)
	m.timer.Reset(time.Duration(due) - time.Since(m.epoch))
}

// maxEnded bounds the routes whose end could not be written yet.
const maxEnded = 1 << 20

// hasEnded notes that a route's end is to be written.
func (m *Manager) hasEnded(e *entry) {
	if m.o.Journal != nil && len(m.ended) < maxEnded {
		m.ended = append(m.ended, e)
	}
}

// keepEnds writes into the journal what has ended by itself: the time alone would
// bring it back where a restart finds a clock that was set back, or that has not
// been set yet.
func (m *Manager) keepEnds() {
	m.alone(func() {
		m.mu.Lock()
		list := m.ended
		m.ended = nil
		var w recordWriter
		for i, e := range list {
			if i%slice == slice-1 {
				m.mu.Unlock()
				m.mu.Lock()
			}
			k := e.keyOf()
			if now := m.find(&k); now == nil || !now.live { // it has not come again
				w.withdraw(e)
			}
		}
		m.mu.Unlock()
		if w.len() == 0 || m.o.Journal.Append(w.bytes(), false) == nil {
			return
		}
		m.mu.Lock() // the next time
		m.ended = append(list, m.ended...)
		m.mu.Unlock()
	})
}
