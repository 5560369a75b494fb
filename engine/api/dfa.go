package api

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
)

// dfa answers whether an expression matches anywhere in the text of an AS path,
// one table look-up an octet: the states are made as texts ask for them. Go's own
// matcher takes eight times as long on such texts. It is for one goroutine.
//
// The letters of such texts are few: digits, space, comma and brackets. A text
// with any other, or an expression that needs too many states, is left to regexp.
type dfa struct {
	prog   *syntax.Prog
	states []dfaState
	index  map[string]int32
	stack  []uint32
	mark   []uint32 // by instruction: the closure that has seen it
	gen    uint32
	failed bool
}

// dfaState is a set of instructions that wait for the next letter, after a
// letter of some class.
type dfaState struct {
	pcs  []uint32
	prev dfaPrev
	next [numLetters]int32 // 0: not known yet
}

// dfaPrev is what empty-width conditions ask of the letter before.
type dfaPrev uint8

const (
	prevStart dfaPrev = iota // no letter: the start
	prevWord
	prevOther
)

const (
	letters    = "0123456789 ,{}()[]"
	letterEnd  = len(letters)
	numLetters = letterEnd + 1

	dfaMatch = -1 // a match is found, whatever follows
	dfaDead  = -2 // at the end of the text: none
	dfaMost  = 4096
)

var letterOf = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
	}
	for i := range len(letters) {
		t[letters[i]] = uint8(i)
	}
	return t
}()

// newDFA makes a matcher of the expression that regexp compiled; nil where it can
// not be one.
func newDFA(expr string) *dfa {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil
	}
	d := &dfa{prog: prog, index: map[string]int32{}, mark: make([]uint32, len(prog.Inst))}
	d.states = append(d.states, dfaState{}) // 0 is no state
	d.state([]uint32{uint32(prog.Start)}, prevStart)
	return d
}

// match judges one text; ok is false where regexp has to.
func (d *dfa) match(text []byte) (yes, ok bool) {
	if d.failed {
		return false, false
	}
	s := int32(1)
	for i := 0; ; i++ {
		l := uint8(letterEnd)
		if i < len(text) {
			if l = letterOf[text[i]]; l == 255 {
				return false, false
			}
		}
		n := d.states[s].next[l]
		if n == 0 {
			if n = d.step(s, l); n == 0 {
				d.failed = true
				d.states, d.index = nil, nil
				return false, false
			}
		}
		if n < 0 {
			return n == dfaMatch, true
		}
		s = n
	}
}

// state finds or makes the state of a set of instructions.
func (d *dfa) state(pcs []uint32, prev dfaPrev) int32 {
	slices.Sort(pcs)
	key := make([]byte, 0, 4*len(pcs)+1)
	for _, pc := range pcs {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	key = append(key, byte(prev))
	if n, ok := d.index[string(key)]; ok {
		return n
	}
	if len(d.states) >= dfaMost {
		return 0
	}
	n := int32(len(d.states))
	d.states = append(d.states, dfaState{pcs: slices.Clone(pcs), prev: prev})
	d.index[string(key)] = n
	return n
}

// step works out where a letter leads from a state, and remembers it.
func (d *dfa) step(s int32, l uint8) int32 {
	prev := d.states[s].prev
	letter, class := rune(-1), prevOther
	if int(l) < letterEnd {
		letter = rune(letters[l])
		if letter >= '0' && letter <= '9' {
			class = prevWord
		}
	}
	// The conditions between the letter before and this one.
	var cond syntax.EmptyOp
	if prev == prevStart {
		cond |= syntax.EmptyBeginText | syntax.EmptyBeginLine
	}
	if letter < 0 {
		cond |= syntax.EmptyEndText | syntax.EmptyEndLine
	}
	if (prev == prevWord) != (class == prevWord && letter >= 0) {
		cond |= syntax.EmptyWordBoundary
	} else {
		cond |= syntax.EmptyNoWordBoundary
	}
	var next []uint32
	d.gen++
	d.stack = append(d.stack[:0], d.states[s].pcs...)
	for len(d.stack) > 0 {
		pc := d.stack[len(d.stack)-1]
		d.stack = d.stack[:len(d.stack)-1]
		if d.mark[pc] == d.gen {
			continue
		}
		d.mark[pc] = d.gen
		in := &d.prog.Inst[pc]
		switch in.Op {
		case syntax.InstMatch:
			d.states[s].next[l] = dfaMatch
			return dfaMatch
		case syntax.InstAlt, syntax.InstAltMatch:
			d.stack = append(d.stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			d.stack = append(d.stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^cond == 0 {
				d.stack = append(d.stack, in.Out)
			}
		case syntax.InstFail:
		default: // a rune
			if letter >= 0 && in.MatchRune(letter) {
				next = append(next, in.Out)
			}
		}
	}
	n := int32(dfaDead)
	if letter >= 0 {
		next = append(next, uint32(d.prog.Start)) // a match may begin anywhere
		slices.Sort(next)
		n = d.state(slices.Compact(next), class)
	}
	d.states[s].next[l] = n
	return n
}
