package api

import (
	"regexp"
	"strconv"
	"strings"

	"ribd/wire"
)

// pathExpr is an AS-path expression: RE2, unanchored, on the text of the path,
// where "_" matches the start, the end, a space, a comma or a bracket.
//
// Expressions of router style, numbers between ^ $ _ and wild cards, are
// matched on the numbers themselves. That is exact for paths that are plain
// sequences, nearly all; the others are judged by their text.
type pathExpr struct {
	re      *regexp.Regexp
	text    string // as re was compiled
	dfa     *dfa   // of one goroutine; nil: not made, or impossible
	simple  bool
	start   bool // the first element is the first of the path
	end     bool // the last one is the last
	pattern []asElem
}

// asElem is one element of a simple expression.
type asElem struct {
	as  uint32
	any bool // any one AS
	gap bool // one or more of any
}

const maxExpr = 1024

// separator is what "_" stands for.
const separator = `(?:^|$|[ ,{}()\[\]])`

func compilePathExpr(s string) (*pathExpr, error) {
	text := expandUnderscore(s)
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	e := &pathExpr{re: re, text: text}
	e.simple = e.parseSimple(s)
	return e, nil
}

// expandUnderscore writes out every "_" that is not escaped nor in a class.
func expandUnderscore(s string) string {
	if strings.IndexByte(s, '_') < 0 {
		return s
	}
	var b strings.Builder
	class := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if s[i+1] == 'Q' { // a literal run: to its \E or the end
				j := strings.Index(s[i:], `\E`)
				if j < 0 {
					j = len(s) - i
				} else {
					j += 2
				}
				b.WriteString(s[i : i+j])
				i += j - 1
				continue
			}
			b.WriteString(s[i : i+2])
			i++
		case class:
			class = c != ']'
			b.WriteByte(c)
			if c == '[' && i+1 < len(s) && s[i+1] == ':' { // [:digit:]
				if j := strings.Index(s[i:], ":]"); j > 0 {
					b.WriteString(s[i+1 : i+j+2])
					i += j + 1
				}
				class = true
			}
		case c == '[':
			class = true
			b.WriteByte(c)
			if i+1 < len(s) && s[i+1] == '^' {
				i++
				b.WriteByte('^')
			}
			if i+1 < len(s) && s[i+1] == ']' { // a bracket that comes first is itself
				i++
				b.WriteByte(']')
			}
		case c == '_':
			b.WriteString(separator)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// parseSimple reads the router style: ^ or _, then AS numbers or [0-9]+ with _ or
// a space between (or _.*_ for anything), then $ or _.
func (e *pathExpr) parseSimple(s string) bool {
	if s == "^$" {
		e.start, e.end = true, true
		return true
	}
	switch {
	case strings.HasPrefix(s, "^"):
		e.start = true
	case !strings.HasPrefix(s, "_"):
		return false
	}
	s = s[1:]
	for {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		switch {
		case digits > 0:
			n, err := strconv.ParseUint(s[:digits], 10, 32)
			if err != nil || s[0] == '0' && digits > 1 {
				return false
			}
			e.pattern = append(e.pattern, asElem{as: uint32(n)})
			s = s[digits:]
		case strings.HasPrefix(s, "[0-9]+"), strings.HasPrefix(s, `\d+`):
			e.pattern = append(e.pattern, asElem{any: true})
			s = strings.TrimPrefix(strings.TrimPrefix(s, "[0-9]+"), `\d+`)
		default:
			return false
		}
		switch {
		case s == "_":
			return true
		case s == "$":
			e.end = true
			return true
		case strings.HasPrefix(s, "_.*_"):
			e.pattern = append(e.pattern, asElem{gap: true})
			s = s[4:]
		case strings.HasPrefix(s, "_"), strings.HasPrefix(s, " "):
			s = s[1:]
		default:
			return false
		}
	}
}

// share answers a copy for one goroutine that will judge many paths.
func (e *pathExpr) share() *pathExpr {
	c := *e
	c.dfa = newDFA(e.text)
	return &c
}

// maxASes bounds the paths that are matched as numbers; longer ones are rare.
const maxASes = 256

// match judges one AS_PATH. text is scratch, and is returned for the next one.
func (e *pathExpr) match(v, text []byte) (bool, []byte) {
	if e.simple {
		var ases [maxASes]uint32
		if n, ok := sequence(v, &ases); ok {
			return e.matchNumbers(ases[:n]), text
		}
	}
	text = wire.AppendASPath(text[:0], v)
	if e.dfa != nil {
		if y, ok := e.dfa.match(text); ok {
			return y, text
		}
	}
	return e.re.Match(text), text
}

// sequence lists a path's AS numbers; ok is false where it is not made of plain
// sequences alone.
func sequence(v []byte, out *[maxASes]uint32) (n int, ok bool) {
	w := wire.WalkASPath(v)
	for w.Next() {
		if w.Type() != wire.SegSequence || n+w.Len() > maxASes || w.Len() == 0 {
			return 0, false
		}
		for i := range w.Len() {
			out[n] = w.AS(i)
			n++
		}
	}
	return n, true
}

func (e *pathExpr) matchNumbers(path []uint32) bool {
	if len(e.pattern) == 0 {
		return len(path) == 0
	}
	if e.start {
		return e.matchAt(path, e.pattern)
	}
	for i := range path {
		if e.matchAt(path[i:], e.pattern) {
			return true
		}
	}
	return false
}

// matchAt matches the elements from the first of path on.
func (e *pathExpr) matchAt(path []uint32, pattern []asElem) bool {
	for k, p := range pattern {
		if p.gap {
			for i := 1; i <= len(path); i++ {
				if e.matchAt(path[i:], pattern[k+1:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 || !p.any && path[0] != p.as {
			return false
		}
		path = path[1:]
	}
	return !e.end || len(path) == 0
}
