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
