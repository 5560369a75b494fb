package origin

import (
	"fmt"
	"time"
)

// replay makes the entries what the journal says. What has ended since is left
// out, what the guards refuse now is held.
func (m *Manager) replay() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batch.begin()
	m.look()
	now := time.Now()
	err := m.o.Journal.Replay(func(rec []byte) error {
		r := newRecordReader(rec)
		for r.next() {
			if err := m.replayItem(&r.item, now); err != nil {
				return err
			}
		}
		m.batch.before, m.batch.beforeID = nil, 0 // rec is borrowed
		return r.err
	})
	if err != nil {
		return err
	}
	m.askOwn()
	var guarded []*entry
	list := m.order.list()
	for i, e := range list {
		switch {
		case !e.live:
			m.forget(e)
			continue
		case e.val.expires != 0 && e.val.expires <= now.UnixNano():
			m.put(e, e.val, false)
			m.stats.Expired++
			m.hasEnded(e)
			m.forget(e)
			continue
		}
		k := e.keyOf()
		if m.isGuarded(&k, e.val.attrs) {
			guarded = append(guarded, e)
			continue
		}
		m.show(e)
		if i%slice == slice-1 {
			m.fan.Flush()
		}
	}
	m.judge(guarded)
	m.fan.Flush()
	m.batch.end()
	return nil
}

func (m *Manager) replayItem(it *item, now time.Time) error {
	if it.kind == itemAnswer {
		m.answers.put(it.name, &answer{hash: it.hash, at: it.at, body: clone(it.body)}, now)
		return nil
	}
	k := it.key
	var err error
	if m.scratch, err = k.normalise(m.scratch); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	if it.kind == itemWithdraw {
		if e := m.find(&k); e != nil {
			m.put(e, e.val, false)
		}
		return nil
	}
	r := Route{Key: k, Labels: it.labels, Peers: splitPeers(it.peers)}
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	id, err := m.intern(it.attrs, &k)
	if err != nil {
		return err
	}
	t, err := m.tableOf(k.Family, k.RD)
	if err != nil {
		return err
	}
	src, err := m.sourceOf(r.Peers)
	if err != nil {
		return err
	}
	m.newest = max(m.newest, it.created)
	e := m.lookup(t, &k)
	if e == nil {
		if e, err = m.makeEntry(t, &k); err != nil {
			return err
		}
	}
	m.put(e, value{attrs: id, src: src, labels: string(it.labels), created: it.created, renewed: it.renewed, expires: it.expires}, true)
	return nil
}

// compact writes the journal anew where that gives room back.
func (m *Manager) compact() {
	j := m.o.Journal
	if j == nil || !j.Grown() {
		return
	}
	if err := j.Compact(m.snapshot); err != nil {
		m.log.Warn("the journal of what is originated can't be made smaller", "why", err)
	}
}

// snapshot puts everything as it is. It goes slice by slice, between groups: a
// change that comes meanwhile is in the journal behind it.
func (m *Manager) snapshot(put func(rec []byte) error) (err error) {
	var list []*entry
	m.alone(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		list = m.order.list()
	})
	var w recordWriter
	for len(list) > 0 && err == nil {
		n := min(len(list), slice)
		m.alone(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, e := range list[:n] {
				if attrs, ok := m.attrs.Bytes(e.val.attrs); ok && e.live {
					w.announce(e, attrs)
				}
			}
		})
		list = list[n:]
		if w.len() > 0 {
			err = put(w.bytes())
		}
		w.reset()
	}
	for _, a := range m.answers.all() {
		if err != nil {
			return err
		}
		w.answer(a.key, a.answer)
		err = put(w.bytes())
		w.reset()
	}
	return err
}

// CompactNow writes the journal anew, whether or not that gives room back.
func (m *Manager) CompactNow() error {
	if m.o.Journal == nil {
		return nil
	}
	return m.o.Journal.Compact(m.snapshot)
}
