package origin

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of the answers that are remembered.
const (
	answerAge   = 24 * time.Hour
	maxAnswers  = 100_000
	answerBytes = 64 << 20
	maxAnswer   = 4 << 20
	maxKey      = 255
)

// ErrAnswer is what Remember returns for a key or an answer that is too long.
var ErrAnswer = errors.New("an Idempotency-Key has up to 255 octets, and an answer that is remembered up to 4 MiB")

// answers is what was answered to requests that had an Idempotency-Key, for a
// day, the oldest forgotten first where it is too many.
type answers struct {
	mu    sync.Mutex
	byKey map[string]*answer
	queue []kept // in the order in which they came
	bytes int
}

type answer struct {
	hash uint64
	at   int64 // ns since 1970
	body []byte
}

type kept struct {
	key string
	*answer
}

func (a *answers) init() { a.byKey = map[string]*answer{} }

// put remembers an answer, and returns what it takes the place of.
func (a *answers) put(key string, v *answer, now time.Time) (old *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.UnixNano()-v.at >= int64(answerAge) {
		return nil
	}
	old = a.set(key, v)
	a.queue = append(a.queue, kept{key, v})
	a.trim(now)
	return old
}

// set makes v, nil for none, the answer of a key.
func (a *answers) set(key string, v *answer) (old *answer) {
	if old = a.byKey[key]; old != nil {
		a.bytes -= len(key) + len(old.body)
		delete(a.byKey, key)
	}
	if v != nil {
		a.byKey[key] = v
		a.bytes += len(key) + len(v.body)
	}
	return old
}

// restore takes an answer back that could not be kept.
func (a *answers) restore(key string, v, old *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKey[key] != v {
		return
	}
	a.set(key, nil)
	if old != nil {
		a.set(key, old)
		if k := (kept{key, old}); !slices.Contains(a.queue, k) {
			a.queue = slices.Insert(a.queue, 0, k)
		}
	}
}

// trim forgets what is too old, or too much.
func (a *answers) trim(now time.Time) {
	for len(a.queue) > 0 {
		k := a.queue[0]
		isOld := now.UnixNano()-k.at >= int64(answerAge)
		if replaced := a.byKey[k.key] != k.answer; !replaced {
			if !isOld && len(a.byKey) <= maxAnswers && a.bytes <= answerBytes {
				return
			}
			a.set(k.key, nil)
		}
		a.queue[0] = kept{}
		a.queue = a.queue[1:]
	}
}

func (a *answers) forget(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(now)
}

func (a *answers) all() (list []kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.queue {
		if a.byKey[k.key] == k.answer {
			list = append(list, k)
		}
	}
	return list
}

// Remember keeps the answer to a request with an Idempotency-Key for a day; hash
// is one of the request. Where there is a journal the answer is durable when it
// returns nil.
func (m *Manager) Remember(key string, hash uint64, body []byte) error {
	if key == "" || len(key) > maxKey || len(body) > maxAnswer {
		return ErrAnswer
	}
	now := time.Now()
	v := &answer{hash: hash, at: now.UnixNano(), body: clone(body)}
	// First here, then in the journal: so a snapshot that is made between has it.
	old := m.answers.put(key, v, now)
	if m.o.Journal == nil {
		return nil
	}
	var w recordWriter
	w.answer(key, v)
	if err := m.o.Journal.Append(w.bytes(), false); err != nil {
		m.answers.restore(key, v, old)
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// Recall returns what Remember was given for a key. A hash that is not that of
// the request says that the key was used for another one. body is not to be
// changed.
func (m *Manager) Recall(key string) (hash uint64, body []byte, ok bool) {
	a := &m.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.byKey[key]
	if v == nil || time.Now().UnixNano()-v.at >= int64(answerAge) {
		return 0, nil, false
	}
	return v.hash, v.body, true
}
