package policy

import (
	"strings"

	"ribd/engine/config"
)

// place says where in the file a condition's text lies: in quotes, folded, in a
// block or plain, with whatever escapes.
type place struct{ term *config.Term }

// at turns a line from 1 and a column from 0 of the condition's text, as CEL
// counts them, into a line and column of the file, both from 1.
func (p place) at(line, col int) (int, int) {
	if line < 1 || col < 0 { // nowhere in particular
		line, col = 1, 0
	}
	target, rest := 0, p.term.If
	for ; line > 1; line-- {
		before, after, ok := strings.Cut(rest, "\n")
		if !ok {
			break
		}
		target += len([]rune(before)) + 1
		rest = after
	}
	l, c := p.walk(target + col)
	return l, c
}

// scan is a position in the source of a scalar.
type scan struct {
	src       []rune
	i         int
	line, col int
}

// skip goes n runes on.
func (s *scan) skip(n int) {
	for ; n > 0 && s.i < len(s.src); n-- {
		if s.src[s.i] == '\n' {
			s.line++
			s.col = 0
		}
		s.col++
		s.i++
	}
}

func (s *scan) at(i int) rune {
	if s.i+i < len(s.src) {
		return s.src[s.i+i]
	}
	return 0
}

// blanks is the number of spaces and tabs from here on.
func (s *scan) blanks() (n int) {
	for s.at(n) == ' ' || s.at(n) == '\t' {
		n++
	}
	return n
}

// walk finds rune number target of the text in the source, by going along both.
// Where they part, or there is no source, it is the beginning.
func (p place) walk(target int) (line, col int) {
	s := &scan{src: []rune(p.term.IfSource), line: p.term.IfLine, col: p.term.IfCol}
	style := s.at(0)
	indent := 0
	switch style {
	case '\'', '"':
		s.skip(1)
	case '|', '>':
		for s.i < len(s.src) && s.at(0) != '\n' {
			s.skip(1)
		}
		for s.at(0) == '\n' {
			s.skip(1)
		}
		indent = s.blanks()
		s.skip(indent)
	}
	for i, v := range []rune(p.term.If) {
		for style == '"' && s.at(0) == '\\' && s.at(1) == '\n' { // a line's end that is not of the text
			s.skip(2)
			s.skip(s.blanks())
		}
		if i == target {
			return s.line, s.col
		}
		if !s.next(v, style, indent) {
			return p.term.IfLine, p.term.IfCol
		}
	}
	return s.line, s.col
}

// next goes past what the source has for one rune of the text.
func (s *scan) next(v, style rune, indent int) bool {
	c := s.at(0)
	switch {
	case style == '\'' && c == '\'' && s.at(1) == '\'':
		s.skip(2)
		return v == '\''
	case style == '"' && c == '\\':
		s.skip(escapeLen(s.at(1)))
		return true
	case style == '|' && c == '\n':
		s.skip(1)
		s.skip(min(indent, s.blanks()))
		return v == '\n'
	case style != '|' && s.at(s.blanks()) == '\n':
		return s.fold(v)
	case c == v:
		s.skip(1)
		return true
	}
	return false
}

// escapeLen is the length of an escape in double quotes, by its letter.
func escapeLen(c rune) int {
	switch c {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}

// fold goes past a line's end: one is a blank, more are line breaks, one less.
func (s *scan) fold(v rune) bool {
	s.skip(s.blanks() + 1)
	n := s.blanks()
	if s.at(n) == '\n' { // an empty line: this break is one
		s.skip(n)
		if v == '\n' {
			// The last break of a run is the one that follows without text.
			save := *s
			save.skip(1)
			if m := save.blanks(); save.at(m) != '\n' {
				s.skip(1)
				s.skip(s.blanks())
			}
			return true
		}
		return false
	}
	s.skip(n)
	return v == ' ' || v == '\n'
}
