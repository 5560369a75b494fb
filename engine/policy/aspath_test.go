package policy

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"ribd/wire"
)

func TestUnderscoreStandsForSeparators(t *testing.T) {
	const sep = separator
	for in, want := range map[string]string{
		"_1_": sep + "1" + sep, `\_1`: `\_1`, "[_]1": "[_]1", "[^_]_": "[^_]" + sep, "[]_]_": "[]_]" + sep, "[^]_]_": "[^]_]" + sep,
		"[[:digit:]_]_": "[[:digit:]_]" + sep, `\Q_\E_`: `\Q_\E` + sep, `\Q_`: `\Q_`, `[\]_]_`: `[\]_]` + sep, "(_1)+": "(" + sep + "1)+", "": "",
	} {
		if got := expandUnderscore(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestNumbersMatchAsTheirTextDoes holds expressions that are matched on numbers
// to the regular expression on the text.
func TestNumbersMatchAsTheirTextDoes(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 4))
	simple, found := 0, 0
	for range 3000 {
		s := pick(r, "^", "_")
		for i := range 1 + r.IntN(3) {
			if i > 0 {
				s += pick(r, "_", " ")
			}
			s += pick(r, "1", "2", "12", "21", "4294967295", "[0-9]+", `\d+`, "(1|21)", "(12)", "(1|2|)", "01")
		}
		s += pick(r, "$", "_", "")
		e, err := compilePathExpr(s)
		check(t, err)
		re := regexp.MustCompile(expandUnderscore(s))
		st := set{}
		for range r.IntN(5) {
			st.path = append(st.path, pick[uint32](r, 1, 2, 12, 21, 1<<32-1))
		}
		if r.IntN(4) == 0 {
			st.asSet = []uint32{1, 12}
		}
		v, _ := wire.FindAttr(st.bytes(t), wire.AttrASPath)
		want := re.Match(wire.AppendASPath(nil, v))
		if got := e.match(v); got != want {
			t.Fatalf("seed %d: %s on %s: got %v, want %v", seed, s, wire.AppendASPath(nil, v), got, want)
		}
		if e.simple {
			simple++
		}
		if want {
			found++
		}
	}
	if simple < 500 || found < 200 {
		t.Errorf("%d simple, %d found", simple, found)
	}
}

func TestExpressionsMadeAtRunTimeAreBounded(t *testing.T) {
	var es pathExprs
	for i := range 3 * maxPathExprs {
		_, err := es.get(strings.Repeat("1", i%100) + "$" + strings.Repeat("$", i/100))
		check(t, err)
	}
	if len(es.m) > maxPathExprs {
		t.Errorf("%d are kept", len(es.m))
	}
	if _, err := es.get(strings.Repeat("1", maxRegexp+1)); err == nil {
		t.Error("an expression may be of any length")
	}
}
