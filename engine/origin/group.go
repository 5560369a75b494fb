package origin

import (
	"errors"
	"fmt"
	"sync"

	"ribd/shard/rib"
)

// slice is how many routes are worked on before others get the lock.
const slice = 4096

type requestKind uint8

const (
	requestAnnounce requestKind = iota
	requestCheck
	requestWithdraw
	requestAlone // a function that runs while no group is in hand
)

// request is a call that waits for its turn.
type request struct {
	kind   requestKind
	mode   Mode
	routes []Route
	keys   []Key
	alone  func()

	results []Result
	found   []bool
	err     error
	turn    chan bool // of who waits: true says that it is the leader now, false that it is done
}

// Classes of requests: only those of one class are in a group.
const (
	classAnnounce = iota
	classWithdraw // the journal keeps room for it when there is none for others
	classAlone
)

func (r *request) class() int {
	switch r.kind {
	case requestWithdraw:
		return classWithdraw
	case requestAlone:
		return classAlone
	}
	return classAnnounce
}

// requests is the calls that wait. The first to come leads: it does the work of
// all that wait, then hands over to the first who came meanwhile.
type requests struct {
	mu      sync.Mutex
	waiting []*request
	leading bool
	group   []*request // the leader's
}

// do returns when the request is done.
func (m *Manager) do(r *request) {
	q := &m.requests
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	if q.leading {
		r.turn = make(chan bool, 1)
		q.mu.Unlock()
		if lead := <-r.turn; !lead {
			return
		}
		q.mu.Lock()
	}
	q.leading = true
	q.take()
	q.mu.Unlock()
	m.group(q.group)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range q.group {
		if o != r && o.turn != nil {
			o.turn <- false
		}
	}
	clear(q.group)
	if len(q.waiting) > 0 {
		q.waiting[0].turn <- true
		return
	}
	q.leading = false
}

// take makes the next group: those that wait up to one of another class.
func (q *requests) take() {
	n, class := 1, q.waiting[0].class()
	for class != classAlone && n < len(q.waiting) && q.waiting[n].class() == class {
		n++
	}
	q.group = append(q.group[:0], q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
}

// alone runs f while no group is in hand.
func (m *Manager) alone(f func()) { m.do(&request{kind: requestAlone, alone: f}) }

// batch is what a group has changed, so that it can be undone.
type batch struct {
	undo    []undo
	touched []*entry
	records recordWriter

	ownIs  []addr // asked once in a group
	hasOwn bool

	before   []byte // the attributes before, and their set
	beforeID rib.AttrID
}

// undo is what an entry was.
type undo struct {
	e    *entry
	val  value
	live bool
}

// mark is a place in a batch that undone goes back to.
type mark struct {
	undo int
	rec  recordMark
}

func (b *batch) mark() mark { return mark{len(b.undo), b.records.mark()} }

// group does what the requests ask: it checks, then writes the journal, then
// the RIB.
func (m *Manager) group(group []*request) {
	if group[0].kind == requestAlone {
		group[0].alone()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		for _, r := range group {
			r.err = ErrClosed
		}
		return
	}
	b := &m.batch
	b.begin()
	for _, r := range group {
		m.request(r)
	}
	if err := m.keep(group[0].kind == requestWithdraw); err != nil {
		m.undoTo(mark{})
		for _, r := range group {
			if r.kind != requestCheck && r.err == nil {
				// Also who wrote nothing: it may have found what is undone now.
				r.err, r.results, r.found = err, nil, nil
			}
		}
	}
	m.publish()
}

// keep writes the records of the group. The lock is given up meanwhile: what
// ends by itself must not wait for a disk.
func (m *Manager) keep(urgent bool) error {
	b := &m.batch
	if m.o.Journal == nil || b.records.len() == 0 {
		return nil
	}
	m.mu.Unlock()
	err := m.o.Journal.Append(b.records.bytes(), urgent)
	m.mu.Lock()
	m.look()
	if err != nil {
		m.stats.NotKept += uint64(len(b.undo))
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// publish puts what the group has changed into the RIB.
func (m *Manager) publish() {
	b := &m.batch
	for i, e := range b.touched {
		e.touched = false
		m.show(e)
		if i%slice == slice-1 {
			m.breathe()
		}
	}
	m.fan.Flush()
	b.end()
}

// breathe lets others have the lock.
func (m *Manager) breathe() {
	m.fan.Flush()
	m.mu.Unlock()
	m.mu.Lock()
}

func (b *batch) begin() {
	b.hasOwn, b.ownIs = false, nil
	b.before, b.beforeID = nil, 0
}

func (b *batch) end() {
	clear(b.undo)
	clear(b.touched)
	b.undo, b.touched = b.undo[:0], b.touched[:0]
	if cap(b.undo) > 16*slice {
		b.undo, b.touched = nil, nil
	}
	b.before = nil
	b.records.reset()
}

// change gives an entry of the group a value.
func (m *Manager) change(e *entry, v value, live bool) {
	b := &m.batch
	b.undo = append(b.undo, undo{e, e.val, e.live})
	if !e.touched {
		e.touched = true
		b.touched = append(b.touched, e)
	}
	m.put(e, v, live)
}

// undoTo takes back what the group did since a mark.
func (m *Manager) undoTo(to mark) {
	b := &m.batch
	for i := len(b.undo) - 1; i >= to.undo; i-- {
		u := &b.undo[i]
		m.put(u.e, u.val, u.live)
		*u = undo{}
	}
	b.undo = b.undo[:to.undo]
	b.records.cut(to.rec)
}

// request does one request of a group, as far as the entries.
func (m *Manager) request(r *request) {
	start := m.batch.mark()
	m.look()
	switch r.kind {
	case requestWithdraw:
		r.found = make([]bool, len(r.keys))
		for i := range r.keys {
			r.found[i] = m.withdraw(&r.keys[i])
			m.pause(i)
		}
	case requestAnnounce, requestCheck:
		r.results = make([]Result, len(r.routes))
		for i := range r.routes {
			err := m.announce(&r.routes[i], &r.results[i])
			if err == nil {
				m.pause(i)
				continue
			}
			var g *GuardError
			if errors.As(err, &g) && r.kind == requestAnnounce {
				m.stats.Refused[g.Guard]++
			}
			if r.mode == EachAlone {
				r.results[i].Err = err
				continue
			}
			r.results, r.err = nil, &RouteError{i, err}
			m.undoTo(start)
			return
		}
		if r.kind == requestCheck {
			m.undoTo(start)
		}
	}
}

// pause lets others have the lock now and then.
func (m *Manager) pause(i int) {
	if i%slice == slice-1 {
		m.mu.Unlock()
		m.mu.Lock()
		m.look()
	}
}

// withdraw takes a route away, as far as the entries.
func (m *Manager) withdraw(k *Key) (found bool) {
	key := *k
	var err error
	if m.scratch, err = key.normalise(m.scratch); err != nil {
		return false
	}
	e := m.find(&key)
	if e == nil || !e.live {
		return false
	}
	m.batch.records.withdraw(e)
	m.change(e, e.val, false)
	return true
}

// announce checks a route and makes it the value of its key, as far as the
// entries.
func (m *Manager) announce(r *Route, res *Result) (err error) {
	k := r.Key
	if m.scratch, err = k.normalise(m.scratch); err != nil {
		return err
	}
	if err = r.check(); err != nil {
		return err
	}
	id, err := m.intern(r.Attrs, &k)
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
	v := value{attrs: id, src: src, created: m.wall, renewed: m.wall}
	if v.guarded = m.isGuarded(&k, id); v.guarded {
		m.askOwn()
	}
	ttl := r.TTL
	if ttl == 0 && v.guarded {
		ttl = m.guards.DefaultTTL
	}
	if ttl > 0 {
		v.expires = v.renewed + int64(ttl)
	}
	e := m.lookup(t, &k)
	isNew := e == nil || !e.live
	same := false
	if !isNew {
		old := &e.val
		v.created = old.created
		same = old.attrs == id && old.src == src && sameString(old.labels, r.Labels) && old.held == nil
		if same {
			v.labels = old.labels
		}
	}
	if v.labels == "" && len(r.Labels) > 0 {
		v.labels = string(r.Labels)
	}
	if isNew {
		// Which of two came first is asked when there are too many.
		v.created = max(v.created, m.newest+1)
		m.newest = v.created
	}
	if v.guarded {
		if err := m.guard(&k, e, &v, ttl); err != nil {
			return err
		}
	}
	if e == nil {
		if e, err = m.makeEntry(t, &k); err != nil {
			return err
		}
	}
	*res = Result{
		Num: src.num, Table: t.id, Key: e.key, Len: e.n, AttrsID: id, ID: e.id,
		Expires: timeOf(v.expires), New: isNew, Changed: !same,
	}
	if same && v.expires == 0 && e.val.expires == 0 {
		return nil
	}
	m.change(e, v, true)
	m.batch.records.announce(e, r.Attrs)
	return nil
}

func sameString(a string, b []byte) bool { return a == string(b) }

// intern returns the set of attributes, checked where it is not one of those
// that are here.
func (m *Manager) intern(attrs []byte, k *Key) (rib.AttrID, error) {
	b := &m.batch
	if b.beforeID != 0 && string(b.before) == string(attrs) {
		return b.beforeID, nil
	}
	id := m.attrs.Find(attrs)
	if id == 0 || m.sets[id] == nil {
		if err := checkAttrs(attrs, k.Family); err != nil {
			return 0, err
		}
	}
	id, ok := m.attrs.Intern(attrs)
	if !ok {
		return 0, ErrFull
	}
	b.before, b.beforeID = attrs, id
	return id, nil
}
