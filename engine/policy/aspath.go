package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"ribd/wire"
)

// pathExpr is an AS-path expression: RE2, unanchored, on the text of the path,
// where "_" matches the start, the end, a space, a comma or a bracket.
//
// What routers' filters are made of, numbers, (1|2) and [0-9]+ between ^ $ and _,
// is matched on the numbers themselves; that is exact for paths that are plain
// sequences, and the others are judged by text.
type pathExpr struct {
	re         *regexp.Regexp
	simple     bool
	start, end bool     // the first element is the first of the path, the last the last
	elements   []asElem // one after the other
}

// asElem is one of some AS numbers; none stand for any.
type asElem []uint32

func (e asElem) has(as uint32) bool {
	for _, n := range e {
		if n == as {
			return true
		}
	}
	return len(e) == 0
}

// separator is what "_" stands for.
const separator = `(?:^|$|[ ,{}()\[\]])`

func compilePathExpr(s string) (*pathExpr, error) {
	if len(s) > maxRegexp {
		return nil, fmt.Errorf("the expression is over %d octets long", maxRegexp)
	}
	re, err := regexp.Compile(expandUnderscore(s))
	if err != nil {
		return nil, fmt.Errorf("%q is not an expression in RE2's syntax, with _ for the start, the end, a space, a comma or a bracket: %w", s, err)
	}
	e := &pathExpr{re: re}
	e.simple = e.parseSimple(s)
	return e, nil
}

// expandUnderscore writes out every "_" that is not escaped nor in a class.
func expandUnderscore(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && strings.HasPrefix(s[i:], `\Q`): // a literal run: to its \E or the end
			n := len(s) - i
			if j := strings.Index(s[i:], `\E`); j >= 0 {
				n = j + 2
			}
			b.WriteString(s[i : i+n])
			i += n - 1
		case c == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case c == '[':
			n := classLen(s[i:])
			b.WriteString(s[i : i+n])
			i += n - 1
		case c == '_':
			b.WriteString(separator)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// classLen returns the length of the class in brackets that s starts with.
func classLen(s string) int {
	i := 1
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	if strings.HasPrefix(s[i:], "]") { // a bracket that comes first is itself
		i++
	}
	for ; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == ']':
			return i + 1
		case strings.HasPrefix(s[i:], "[:"): // [:digit:]
			if j := strings.Index(s[i:], ":]"); j > 0 {
				i += j + 1
			}
		}
	}
	return len(s)
}

// parseSimple reads ^ or _, elements with _ or a space between, $ or _.
func (e *pathExpr) parseSimple(s string) bool {
	if s == "^$" {
		e.start, e.end = true, true
		return true
	}
	if s == "" || s[0] != '^' && s[0] != '_' {
		return false
	}
	e.start = s[0] == '^'
	for s = s[1:]; ; s = s[1:] {
		var el asElem
		var ok bool
		if el, s, ok = parseElem(s); !ok {
			return false
		}
		e.elements = append(e.elements, el)
		switch {
		case s == "_":
			return true
		case s == "$":
			e.end = true
			return true
		case s == "" || s[0] != '_' && s[0] != ' ':
			return false
		}
	}
}

// parseElem reads a number, (1|2) or [0-9]+ off the front of s.
func parseElem(s string) (el asElem, rest string, ok bool) {
	for _, any := range []string{"[0-9]+", `\d+`} {
		if rest, ok := strings.CutPrefix(s, any); ok {
			return nil, rest, true
		}
	}
	list, rest, group := s, "", false
	if strings.HasPrefix(s, "(") {
		if list, rest, group = strings.Cut(s[1:], ")"); !group {
			return nil, s, false
		}
	} else {
		n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if n < 0 {
			n = len(s)
		}
		list, rest = s[:n], s[n:]
	}
	for _, text := range strings.Split(list, "|") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || text != strconv.FormatUint(n, 10) {
			return nil, s, false
		}
		el = append(el, uint32(n))
	}
	return el, rest, true
}

// match judges a canonical AS_PATH.
func (e *pathExpr) match(v []byte) bool {
	if e.simple {
		if found, ok := e.matchNumbers(v); ok {
			return found
		}
	}
	var scratch [256]byte
	return e.re.Match(wire.AppendASPath(scratch[:0], v))
}

// matchNumbers is match for a path of one sequence, nearly all; ok is false for
// others.
func (e *pathExpr) matchNumbers(v []byte) (found, ok bool) {
	w := wire.WalkASPath(v)
	if !w.Next() {
		return len(e.elements) == 0, true
	}
	if w.Type() != wire.SegSequence || w.Len() == 0 || len(v) != 2+4*w.Len() {
		return false, false
	}
	n := len(e.elements)
	if n == 0 || n > w.Len() {
		return false, true
	}
	first, last := 0, w.Len()-n
	if e.start {
		last = 0
	}
	if e.end {
		first = w.Len() - n
	}
	for at := first; at <= last; at++ {
		i := 0
		for i < n && e.elements[i].has(w.AS(at+i)) {
			i++
		}
		if i == n {
			return true, true
		}
	}
	return false, true
}

// pathExprs holds the expressions of conditions that make them at run time, as
// with the number of a peer. It is bounded: a full one starts again.
type pathExprs struct {
	mu sync.RWMutex
	m  map[string]*pathExpr
}

// maxPathExprs bounds pathExprs.
const maxPathExprs = 1024

func (es *pathExprs) get(s string) (*pathExpr, error) {
	es.mu.RLock()
	e := es.m[s]
	es.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	e, err := compilePathExpr(s)
	if err != nil {
		return nil, err
	}
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.m == nil || len(es.m) >= maxPathExprs {
		es.m = map[string]*pathExpr{}
	}
	es.m[s] = e
	return e, nil
}

// matches is as_path.matches.
func (es *pathExprs) matches(a, b ref.Val) ref.Val {
	l, ok := a.(*listVal)
	s, isText := b.(types.String)
	if !ok || !isText || l.kind != listASPath {
		return types.MaybeNoSuchOverloadErr(b)
	}
	e, err := es.get(string(s))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(e.match(l.octet))
}
