package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// condition checks the text of a condition as far as that goes without its
// language: quotes and brackets close, and prefix_set names sets of the file.
func (d *decoder) condition(n ast.Node, path, text string) {
	sets, at, why := scanCondition(text)
	if why != "" {
		d.errorf(n, "%s: %s, at character %d of the condition", path, why, utf8.RuneCountInString(text[:at])+1)
		return
	}
	for _, name := range sets {
		if _, ok := d.cfg.PrefixSets[name]; ok {
			continue
		}
		known := keysOf(d.cfg.PrefixSets)
		if w := nearest(name, known); w != "" {
			d.errorf(n, "%s: no prefix set %q: did you mean %q?", path, name, w)
		} else {
			d.errorf(n, "%s: no prefix set %q in prefix_sets", path, name)
		}
	}
}

// scanCondition returns the names that prefix_set is asked for, or where the
// text breaks off and why.
func scanCondition(text string) (sets []string, at int, why string) {
	var open []int // offsets of brackets that are not closed yet
	if strings.TrimSpace(text) == "" {
		return nil, 0, "the condition is empty"
	}
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '(', '[', '{':
			open = append(open, i)
			i++
		case ')', ']', '}':
			if len(open) == 0 {
				return nil, i, fmt.Sprintf("%q closes nothing", c)
			}
			if o := text[open[len(open)-1]]; closing(o) != c {
				return nil, i, fmt.Sprintf("%q closes %q", c, o)
			}
			open = open[:len(open)-1]
			i++
		case '"', '\'':
			end, ok := quoted(text, i)
			if !ok {
				return nil, i, "a quote that never closes"
			}
			if before := strings.TrimRight(text[:i], " "); strings.HasSuffix(before, "prefix_set(") {
				sets = append(sets, strings.Trim(text[i:end], `"'`))
			}
			i = end
		case '/':
			if strings.HasPrefix(text[i:], "//") {
				return nil, i, "a condition has no comments"
			}
			i++
		default:
			i++
		}
	}
	if len(open) > 0 {
		i := open[len(open)-1]
		return nil, i, fmt.Sprintf("%q never closes", text[i])
	}
	return sets, 0, ""
}

func closing(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '[':
		return ']'
	}
	return '}'
}

// quoted returns the end of the string that starts at i: one or three quotes,
// with escapes unless r stands before it.
func quoted(text string, i int) (end int, ok bool) {
	quote := text[i : i+1]
	if strings.HasPrefix(text[i:], strings.Repeat(quote, 3)) {
		quote = text[i : i+3]
	}
	raw := i > 0 && (text[i-1] == 'r' || text[i-1] == 'R')
	for j := i + len(quote); j < len(text); j++ {
		if text[j] == '\\' && !raw {
			j++
			continue
		}
		if strings.HasPrefix(text[j:], quote) {
			return j + len(quote), true
		}
	}
	return 0, false
}
