package origin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAnswersAreRememberedForADay(t *testing.T) {
	j := &memory{}
	r := newRig(t, Options{Journal: j})
	if err := r.Remember("a", 7, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := r.Remember("b", 8, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Remember("a", 9, []byte("second")); err != nil {
		t.Fatal(err)
	}
	r.compact()
	j.set(nil, true)
	r.compact()
	for when, m := range map[string]*rig{"at once": r, "after a restart": newRig(t, Options{Journal: &memory{recs: j.recs}})} {
		if hash, body, ok := m.Recall("a"); !ok || hash != 9 || string(body) != "second" {
			t.Errorf("%s: got %d %q %v", when, hash, body, ok)
		}
		if hash, body, ok := m.Recall("b"); !ok || hash != 8 || len(body) != 0 {
			t.Errorf("%s: got %d %q %v", when, hash, body, ok)
		}
		if _, _, ok := m.Recall("c"); ok {
			t.Errorf("%s: what was never there is", when)
		}
		// A day later they are forgotten, also by a restart.
		m.answers.forget(time.Now().Add(answerAge + time.Second))
		if _, _, ok := m.Recall("a"); ok || m.answers.bytes != 0 || len(m.answers.byKey)+len(m.answers.queue) != 0 {
			t.Errorf("%s: a day later %d octets are kept", when, m.answers.bytes)
		}
	}
	for i := range j.recs {
		rd := newRecordReader(j.recs[i])
		for rd.next() {
			if rd.item.kind == itemAnswer {
				var a answers
				a.init()
				a.put(rd.item.name, &answer{at: rd.item.at}, time.Unix(0, rd.item.at).Add(answerAge))
				if len(a.byKey) != 0 {
					t.Error("an old answer is read")
				}
			}
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	body := make([]byte, maxAnswer)
	for i := range 3 * answerBytes / maxAnswer {
		if err := r.Remember(fmt.Sprint(i), 1, body); err != nil {
			t.Fatal(err)
		}
	}
	if r.answers.bytes > answerBytes || len(r.answers.byKey) != len(r.answers.queue) {
		t.Errorf("%d octets, %d and %d answers", r.answers.bytes, len(r.answers.byKey), len(r.answers.queue))
	}
	if _, _, ok := r.Recall("0"); ok {
		t.Error("the oldest is there")
	}
	if _, _, ok := r.Recall(fmt.Sprint(3*answerBytes/maxAnswer - 1)); !ok {
		t.Error("the last is not there")
	}
	for _, c := range []struct {
		key  string
		body []byte
	}{{"", nil}, {strings.Repeat("x", 256), nil}, {"x", make([]byte, maxAnswer+1)}} {
		if err := r.Remember(c.key, 1, c.body); !errors.Is(err, ErrAnswer) {
			t.Errorf("a key of %d and a body of %d octets: %v", len(c.key), len(c.body), err)
		}
	}
}
