package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// jsonReader reads one JSON text in place, value by value, as its caller knows
// what has to come: the way of encoding/json costs several times as much, and
// batches of routes are read with this. Strings that it returns alias the text,
// or a buffer that the next string with an escape takes. After the first error
// every method answers as at the end; wrong tells what it was.
type jsonReader struct {
	b       []byte
	at      int
	wrong   string // "" as long as all is well
	wrongAt int    // octet of the text, from 0
	scratch []byte
}

// maxDepth bounds how deep a value that is skipped may be nested.
const maxDepth = 64

// reset begins with another text.
func (r *jsonReader) reset(b []byte) { r.b, r.at, r.wrong, r.wrongAt = b, 0, "", 0 }

// fail notes the first error.
func (r *jsonReader) fail(format string, args ...any) bool {
	if r.wrong == "" {
		r.wrong, r.wrongAt = fmt.Sprintf(format, args...), r.at
		r.at = len(r.b)
	}
	return false
}

// problem is the error as an answer, nil where there was none.
func (r *jsonReader) problem() *problem {
	if r.wrong == "" {
		return nil
	}
	return bad("body", "octet %d: %s", r.wrongAt, r.wrong)
}

// peek answers the first octet of the next value or mark, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// open reads the mark that a value has to begin with, { or [.
func (r *jsonReader) open(mark byte, what string) bool {
	if r.peek() != mark {
		return r.fail("%s is wanted", what)
	}
	r.at++
	return true
}

// more says whether another element follows, before mark, } or ], ends the
// value. first is set by the caller before the first one.
func (r *jsonReader) more(mark byte, first *bool) bool {
	c := r.peek()
	switch {
	case c == mark:
		r.at++
		return false
	case *first:
		*first = false
		if c == 0 {
			return r.fail("the text ends before a %c", mark)
		}
		return true
	case c == ',':
		r.at++
		if c = r.peek(); c == mark || c == 0 {
			return r.fail("something has to follow a comma")
		}
		return true
	}
	return r.fail("a comma or %c is missing", mark)
}

// key reads the name of a field and its colon.
func (r *jsonReader) key() []byte {
	if r.peek() != '"' {
		r.fail("the name of a field in quotes is wanted")
		return nil
	}
	k, _ := r.text()
	if r.peek() != ':' {
		r.fail("a colon is missing after the name of a field")
		return nil
	}
	r.at++
	return k
}

// text reads a string. ok is false where the value is none, which is left
// unread, or broken.
func (r *jsonReader) text() (s []byte, ok bool) {
	if r.peek() != '"' {
		return nil, false
	}
	rest := r.b[r.at+1:]
	n := bytes.IndexByte(rest, '"')
	if n >= 0 && plain(rest[:n]) {
		r.at += n + 2
		return rest[:n], true
	}
	return r.escaped()
}

// plain says whether the inside of a string is printable ASCII without escapes.
func plain(s []byte) bool {
	for _, c := range s {
		if c < 0x20 || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// escaped is text for a string with escapes, or octets over 127.
func (r *jsonReader) escaped() ([]byte, bool) {
	n, _, ok := stringEnd(r.b[r.at:])
	switch {
	case !ok:
		return nil, r.fail("a string has a control character")
	case n == 0:
		return nil, r.fail("a string does not end")
	}
	whole := r.b[r.at : r.at+n]
	if !utf8.Valid(whole) {
		return nil, r.fail("a string is not UTF-8")
	}
	var s string
	if json.Unmarshal(whole, &s) != nil {
		return nil, r.fail("a string has a broken escape")
	}
	r.at += n
	r.scratch = append(r.scratch[:0], s...)
	return r.scratch, true
}

// null reads a null, and answers false, reading nothing, where another value
// stands.
func (r *jsonReader) null() bool { return r.peek() == 'n' && r.word("null") }

func (r *jsonReader) word(w string) bool {
	if r.at+len(w) > len(r.b) || string(r.b[r.at:r.at+len(w)]) != w {
		return r.fail("this is no JSON value")
	}
	r.at += len(w)
	return true
}

// boolean reads true or false. ok is false where the value is neither, which is
// left unread.
func (r *jsonReader) boolean() (v, ok bool) {
	switch r.peek() {
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	}
	return false, false
}

// number reads a whole number from 0 to most. ok is false where the value is
// none, which is left unread.
func (r *jsonReader) number(most uint64) (v uint64, ok bool) {
	r.peek()
	i := r.at
	for ; i < len(r.b) && r.b[i] >= '0' && r.b[i] <= '9'; i++ {
		d := uint64(r.b[i] - '0')
		if v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	if i == r.at || v > most || r.b[r.at] == '0' && i > r.at+1 || i < len(r.b) && !ends(r.b[i]) {
		return 0, false
	}
	r.at = i
	return v, true
}

// ends says whether an octet may follow a number.
func ends(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// raw reads any value, and answers its text.
func (r *jsonReader) raw() []byte {
	r.peek()
	at := r.at
	r.skip(0)
	if r.wrong != "" {
		return nil
	}
	return r.b[at:r.at]
}

// skip reads any value.
func (r *jsonReader) skip(depth int) {
	if depth > maxDepth {
		r.fail("values are nested more than %d deep", maxDepth)
		return
	}
	first := true
	switch c := r.peek(); c {
	case '"':
		r.text()
	case '{':
		r.at++
		for r.more('}', &first) && r.key() != nil {
			r.skip(depth + 1)
		}
	case '[':
		r.at++
		for r.more(']', &first) {
			r.skip(depth + 1)
		}
	case 't', 'f':
		r.boolean()
	case 'n':
		r.null()
	case 0:
		r.fail("a value is missing")
	default:
		n := 0
		for r.at+n < len(r.b) && !ends(r.b[r.at+n]) {
			n++
		}
		if n == 0 || !json.Valid(r.b[r.at:r.at+n]) {
			r.fail("this is no JSON value")
			return
		}
		r.at += n
	}
}

// end says that nothing may follow.
func (r *jsonReader) end() bool {
	if r.peek(); r.at < len(r.b) {
		return r.fail("something follows the value")
	}
	return r.wrong == ""
}
