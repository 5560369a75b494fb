package api

import (
	"fmt"
	"sync"
	"testing"

	"ribd/shard/rib"
)

func TestCacheIsBoundedAndNeverTrustsAnOldID(t *testing.T) {
	b := newTable(t)
	attrs := b.r.Attrs()
	c := newAttrCache(1 << 20)
	var ids []rib.AttrID
	for i := range 5000 {
		id, ok := attrs.Intern(attrSpec{path: fmt.Sprintf("65001 %d", i+1), med: i}.canonical())
		if !ok {
			t.Fatal("no room")
		}
		ids = append(ids, id)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				id := ids[(i*7+w*1001)%len(ids)]
				canonical, _ := attrs.Bytes(id)
				if p := c.get(id, attrs, 1000); p == nil {
					p = makeAttrPart(id, canonical)
					p.check(attrs, 1000)
					c.put(p)
				} else if p.id != id || string(p.canonical) != string(canonical) {
					t.Errorf("id %d answers another set", id)
				}
			}
		})
	}
	wg.Wait()
	var sum int64
	n := 0
	for i := range c.slots {
		if p := c.slots[i].Load(); p != nil {
			sum += p.cost()
			n++
		}
	}
	if sum != c.size.Load() || sum > 1<<20 || n < 500 {
		t.Errorf("%d entries of %d octets, %d are counted", n, sum, c.size.Load())
	}
	// An entry whose id has come to stand for another set is dropped once its trust
	// is over.
	canonical, _ := attrs.Bytes(ids[0])
	p := makeAttrPart(ids[0], append([]byte(nil), canonical[:len(canonical)-4]...))
	p.checked.Store(1000)
	c.put(p)
	if c.get(ids[0], attrs, 1000+idTrust-1) != p {
		t.Error("trust ended early")
	}
	if got := c.get(ids[0], attrs, 1000+idTrust); got != nil {
		t.Error("an old entry is trusted")
	}
}
