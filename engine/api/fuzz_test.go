package api

import (
	"testing"

	"ribd/wire"
)

// FuzzPathExpr promises of any expression and path that the ways to judge them,
// numbers, automaton and regexp on the text, agree.
func FuzzPathExpr(f *testing.F) {
	for _, s := range []string{"^65001_", "_3356_.*_174$", "(1|2)+_", `\b3`, "[_0-9]*$", "^$", "{"} {
		f.Add(s, "65001 3356 {1,2} 174")
	}
	f.Fuzz(func(t *testing.T, expr, path string) {
		if len(expr) > 100 || len(path) > 200 {
			return
		}
		v, ok := tryPath(path)
		if !ok {
			return
		}
		e, err := compilePathExpr(expr)
		if err != nil {
			return
		}
		text := wire.AppendASPath(nil, v)
		want := e.re.Match(text)
		if got, _ := e.match(v, nil); got != want {
			t.Fatalf("%q on %q: got %v, regexp says %v", expr, text, got, want)
		}
		if d := newDFA(e.text); d != nil {
			if got, ok := d.match(text); ok && got != want {
				t.Fatalf("%q on %q: the automaton says %v, regexp %v", expr, text, got, want)
			}
		}
	})
}

// tryPath encodes the text of a path, if it is one.
func tryPath(s string) (v []byte, ok bool) {
	defer func() {
		if recover() != nil {
			v, ok = nil, false
		}
	}()
	return pathBytes(s), true
}
