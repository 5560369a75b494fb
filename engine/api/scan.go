package api

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// relation is how prefixes of an answer stand to the one that was asked for.
type relation uint8

const (
	exact relation = iota
	longest
	longer
	shorter
)

// question is what a list of routes asks for, but for the filters.
type question struct {
	prefix netip.Prefix // invalid: all
	rel    relation
	table  *tableRef // nil: every table that fits
	byRD   bool      // table nil: VPN tables with this route distinguisher
	rd     uint64
	family wire.Family // with anyRD: all tables of this family
	anyRD  bool
	// nothing is what a peer is sent whose session is down.
	nothing bool
}

// question reads prefix=, match=, family=, rd= and table=.
func (c *call) question() (q question, p *problem) {
	if v := c.q.get(pTable); v != nil {
		if string(v) != "adj-out" {
			return q, bad("table", "%q is no table: adj-out, or leave it out", shown(v))
		}
		if c.filter.out, p = c.adjOut(); p != nil {
			return q, p
		}
		q.nothing = c.filter.out == nil
	}
	f, rd, ok, p := c.family()
	if p != nil {
		return q, p
	}
	switch {
	case ok && takesRD(f) && !c.q.has(pRD):
		q.family, q.anyRD = f, true
	case ok:
		t := c.find(f, rd)
		q.table = &t
	case c.q.has(pRD):
		q.byRD, q.rd = true, rd
	}
	if v := c.q.get(pPrefix); v != nil {
		if q.prefix, p = parsePrefix(v); p != nil {
			return q, p
		}
		if ok && f.Form() == wire.FormRaw {
			return q, bad("prefix", "the routes of %s are no prefixes", f)
		}
		if ok && f.Is4() != q.prefix.Addr().Is4() {
			return q, bad("prefix", "%s is no prefix of the family %s", q.prefix, f)
		}
	}
	switch v := string(c.q.get(pMatch)); v {
	case "", "exact":
	case "longest":
		q.rel = longest
	case "longer":
		q.rel = longer
	case "shorter":
		q.rel = shorter
	default:
		return q, bad("match", "%q is none of exact, longest, longer and shorter", shown(v))
	}
	if c.q.has(pMatch) && !q.prefix.IsValid() {
		return q, bad("prefix", "is missing: match=%s needs one", shown(c.q.get(pMatch)))
	}
	return q, nil
}

// tables lists the tables of an answer in the order of answers: by family, then
// by route distinguisher.
func (q *question) tables(r *shard.RIB, all []rib.TableID) []tableRef {
	if q.nothing {
		return nil
	}
	if q.table != nil {
		if !q.table.known {
			return nil
		}
		return []tableRef{*q.table}
	}
	var list []tableRef
	for _, id := range all {
		t := tableOf(r, id)
		switch {
		case q.byRD && (!t.hasRD || t.rd != q.rd),
			q.anyRD && t.family != q.family,
			q.prefix.IsValid() && (t.form() == wire.FormRaw || t.family.Is4() != q.prefix.Addr().Is4()):
			continue
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b tableRef) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.rd, b.rd))
	})
	return list
}

// walks reports whether the answer is found by a walk, not by a few look-ups.
func (q *question) walks() bool { return !q.prefix.IsValid() || q.rel == longer }

// few lists the matches of a question that is no walk, shortest first.
func (q *question) few(v *shard.View, t *tableRef, f *filter, keep func(*rib.Path) bool, dst []shard.Match) []shard.Match {
	k, n := trie.PrefixKey(q.prefix)
	switch q.rel {
	case exact:
		if m := v.Get(t.id, k, n); m.OK() && f.lengthOK(m.Len) {
			dst = append(dst, m)
		}
	case longest:
		if f.out != nil { // keep can't tell of which prefix a path is
			var best shard.Match
			v.Covering(t.id, k, min(n, f.maxLen), func(m shard.Match) bool {
				if f.scratch = f.sent(v, m, f.scratch[:0]); countKept(f.scratch, f) > 0 {
					best = m
				}
				return true
			})
			if best.OK() && f.lengthOK(best.Len) {
				dst = append(dst, best)
			}
			return dst
		}
		if m, _ := v.MatchFunc(t.id, k, min(n, f.maxLen), keep, nil); m.OK() && f.lengthOK(m.Len) {
			dst = append(dst, m)
		}
	case shorter:
		v.Covering(t.id, k, n, func(m shard.Match) bool {
			if f.lengthOK(m.Len) {
				dst = append(dst, m)
			}
			return true
		})
	}
	return dst
}

// scanner renders the rows of an answer from where it stopped.
type scanner struct {
	listing
	q   question
	r   renderer
	pos position

	par rounds
}

func (s *scanner) cursor(mark uint64) string { return s.pos.encode(mark) }

func (s *scanner) place() func() {
	pos := s.pos
	return func() { s.pos = pos }
}

// next renders rows of one view until a limit, and leaves pos behind them.
func (s *scanner) next(v *shard.View, dst []byte, lim slice) ([]byte, error) {
	s.r.forget()
	s.r.now = uint32(time.Now().Unix())
	tables := s.q.tables(s.c.s.rib, v.Tables())
	for i := range tables {
		t := &tables[i]
		if s.open {
			if o := cmp.Or(cmp.Compare(t.family, s.pos.family), cmp.Compare(t.rd, s.pos.rd)); o < 0 {
				continue
			} else if o > 0 {
				s.open = false
			}
		}
		if !s.open {
			s.pos = position{family: t.family, rd: t.rd}
		}
		stop := false
		var err error
		if s.q.walks() {
			dst, stop, err = s.walk(v, t, dst, &lim)
		} else {
			dst, stop, err = s.few(v, t, dst, &lim)
		}
		if err != nil || stop {
			s.open = true
			return dst, err
		}
		s.open = false
	}
	s.done = true
	return dst, nil
}

// walk renders rows of one table in order, as long as much is found one prefix
// after the other, else in rounds.
func (s *scanner) walk(v *shard.View, t *tableRef, dst []byte, lim *slice) (_ []byte, stop bool, err error) {
	for {
		dst, stop, rounds, err := s.inOrder(v, t, dst, lim)
		if err != nil || stop || !rounds {
			return dst, stop, err
		}
		dst, stop, dense, err := s.inRounds(v, t, dst, lim)
		if err != nil || stop || !dense {
			return dst, stop, err
		}
	}
}

// inOrder walks all shards merged. rounds asks to go on in rounds.
func (s *scanner) inOrder(v *shard.View, t *tableRef, dst []byte, lim *slice) (_ []byte, stop, rounds bool, err error) {
	// pos is at the start of the table, or where the last walk of it ended.
	w := shard.WalkRange{From: s.pos.key, FromLen: s.pos.len, After: s.pos.after}
	if s.q.prefix.IsValid() {
		w.Under, w.UnderLen = trie.PrefixKey(s.q.prefix)
	}
	walk := v.Walk(t.id, w)
	defer walk.Close()
	f, found, since := &s.c.filter, 0, 0
	for n := 0; walk.Next(); n++ {
		if f.lengthOK(walk.Len()) || t.form() == wire.FormRaw {
			s.c.paths = f.pathsOf(walk, s.c.paths[:0])
			at := len(dst)
			if dst, stop = s.rowsOf(dst, t, walk.Match()); stop {
				return dst, true, false, nil
			}
			if len(dst) > at {
				found++
			}
		}
		s.pos.key, s.pos.len, s.pos.after, s.pos.skip = walk.Key(), walk.Len(), true, 0
		if s.over(&dst, n, lim) {
			return dst, true, false, nil
		}
		if since++; since == probe {
			if s.worth(v, t, found) {
				return dst, false, true, nil
			}
			found, since = 0, 0
		}
	}
	return dst, false, false, walk.Err()
}

// over reports whether the slice has reached a limit.
func (s *scanner) over(dst *[]byte, n int, lim *slice) bool {
	if len(*dst) >= lim.octets {
		if lim.spill == nil {
			return true
		}
		*dst = lim.spill(*dst)
	}
	if s.rows == 0 && lim.until.IsZero() {
		lim.until = time.Now().Add(lookAhead)
	}
	return n >= lim.prefixes || n&255 == 255 && !lim.until.IsZero() && time.Now().After(lim.until)
}

func (s *scanner) few(v *shard.View, t *tableRef, dst []byte, lim *slice) (_ []byte, stop bool, err error) {
	var ms [8]shard.Match
	for i, m := range s.q.few(v, t, &s.c.filter, s.c.keep, ms[:0]) {
		if s.open && (m.Len < s.pos.len || m.Len == s.pos.len && s.pos.after) {
			continue
		}
		s.c.paths = s.c.filter.pathsAt(v, m, s.c.paths[:0])
		if dst, stop = s.rowsOf(dst, t, m); stop {
			return dst, true, nil
		}
		s.pos.key, s.pos.len, s.pos.after, s.pos.skip = m.Key, m.Len, true, 0
		if s.over(&dst, i, lim) {
			return dst, true, nil
		}
	}
	return dst, false, v.Err()
}

// rowsOf renders the paths of one prefix that pass. It stops at the first row
// that is one too many, with pos at it.
func (s *scanner) rowsOf(dst []byte, t *tableRef, m shard.Match) ([]byte, bool) {
	skip := 0
	if s.open && !s.pos.after && s.pos.key == m.Key && s.pos.len == m.Len {
		skip = int(s.pos.skip)
	}
	row := 0
	for i := range s.c.paths {
		p := &s.c.paths[i]
		if !s.c.filter.keep(p) {
			continue
		}
		if row++; row <= skip {
			continue
		}
		if s.rows == 0 {
			s.pos.key, s.pos.len, s.pos.after, s.pos.skip = m.Key, m.Len, false, uint16(min(row-1, 65535))
			s.full = true
			return dst, true
		}
		if s.rows > 0 {
			s.rows--
		}
		dst = s.r.route(dst, t, m, p)
		if s.line {
			dst = append(dst, '\n')
		} else {
			dst = append(dst, ',')
		}
		s.c.s.metrics.Rows.Inc()
	}
	return dst, false
}
