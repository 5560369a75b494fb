package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ribd/engine/config"
	"ribd/wire"
)

// policy is a compiled policy: terms in order, and at its end a rejection. It
// does not change but for the counts of failures.
type policy struct {
	name  string
	terms []*term
	// digest is of all that the verdicts depend on but for the peers.
	digest [32]byte

	deps       deps
	costly     bool // a set is judged by CEL, by text, or changed
	usesFamily bool // a term names family
	usesFrom   bool
	peer, from uint16 // fields that terms look at
}

// term is a compiled term.
type term struct {
	number  int   // from 1
	line    int   // in the file
	cond    *node // nil: always
	family  bool  // the condition names family
	sets    []string
	verdict config.Verdict
	actions *actions // nil: none

	failures atomic.Uint64
	last     atomic.Pointer[string]
	told     func(*term) // of failures 1, 10, 100, ...
}

// judges says whether a term judges routes of a family. Those that are not plain
// prefixes (Flow Spec, VPN and what has no prefixes) are judged only by terms that
// name family, so that what was written with prefixes in mind never lets them
// through.
func (t *term) judges(f wire.Family) bool {
	return t.family || plain(f)
}

// plain says whether a family's routes are prefixes and no more than that.
func plain(f wire.Family) bool {
	form := f.Form()
	return form == wire.FormPrefix || form == wire.FormLabelled
}

// fail notes that the condition, or a change, failed.
func (t *term) fail(err error) {
	text := "failed"
	if err != nil {
		text = err.Error()
	}
	t.last.Store(&text)
	n := t.failures.Add(1)
	for n%10 == 0 {
		n /= 10
	}
	if n == 1 {
		t.told(t)
	}
}

// compiler compiles the conditions of one configuration.
type compiler struct {
	cfg      *config.Config
	env      *cel.Env
	sets     map[string]*prefixSet
	problems config.Problems
}

// newCompiler makes the environment of a configuration's conditions.
func newCompiler(cfg *config.Config) *compiler {
	c := &compiler{cfg: cfg, sets: map[string]*prefixSet{}}
	for name, ranges := range cfg.PrefixSets {
		c.sets[name] = newPrefixSet(name, ranges)
	}
	var err error
	if c.env, err = newEnv(c.sets, new(pathExprs)); err != nil {
		panic("BUG: policy: " + err.Error())
	}
	return c
}

// condition compiles the condition of a term.
func (c *compiler) condition(path string, ct *config.Term, t *term) {
	complain := c.complainer(path, ct)
	checked, names := c.check(ct, complain)
	if checked == nil {
		return
	}
	b := &builder{compiler: c, checked: checked, native: native{c.sets}}
	root, err := b.build(checked.Expr())
	if err != nil {
		complain(1, 0, err.Error())
		return
	}
	root.number(0)
	t.cond, t.family, t.sets = root, names.family, names.used
}

// complainer notes complaints of a condition, by line and column of its text.
func (c *compiler) complainer(path string, ct *config.Term) func(line, col int, text string) {
	where := place{ct}
	return func(line, col int, text string) {
		l, col := where.at(line, col)
		c.problems = append(c.problems, config.Problem{File: c.cfg.File, Line: l, Col: col, Text: path + text})
	}
}

// check parses, rewrites and type-checks a condition. It returns nil where
// something is wrong.
func (c *compiler) check(ct *config.Term, complain func(line, col int, text string)) (*ast.AST, *rewriter) {
	parsed, issues := c.env.Parse(ct.If)
	if issues.Err() != nil {
		complainAll(issues, complain)
		return nil, nil
	}
	tree, fine := parsed.NativeRep(), true
	rw := &rewriter{fac: ast.NewExprFactory(), cfg: c.cfg, sets: c.sets}
	rw.report = func(e ast.Expr, format string, args ...any) {
		loc := tree.SourceInfo().GetStartLocation(e.ID())
		complain(loc.Line(), loc.Column(), fmt.Sprintf(format, args...))
		fine = false
	}
	rw.walk(tree.Expr())
	if !fine {
		return nil, nil
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		complainAll(issues, complain)
		return nil, nil
	}
	if out := checked.OutputType(); out != cel.BoolType {
		complain(1, 0, fmt.Sprintf("the condition is of type %s: it has to be true or false", out))
		return nil, nil
	}
	return checked.NativeRep(), rw
}

// complainAll reports what CEL found.
func complainAll(issues *cel.Issues, complain func(line, col int, text string)) {
	for _, e := range issues.Errors() {
		complain(e.Location.Line(), e.Location.Column(), readable(e.Message))
	}
}

// The complaints of CEL that have better words.
var (
	undeclared = regexp.MustCompile(`^undeclared reference to '(.+?)'(?: \(did you mean '(.+?)'\?\))?`)
	mismatched = regexp.MustCompile(`^found no matching overload for '(.+?)' applied to '(.*)'$`)
	unexpected = regexp.MustCompile(`^(?:mismatched|extraneous) input '(.+?)' expecting`)
	noToken    = regexp.MustCompile(`^token recognition error at: '(.*)'$`)
)

// meant says how an operator of other languages is written.
var meant = map[string]string{"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "<>": "!="}

// readable puts a complaint of CEL in the words of a condition.
func readable(msg string) string {
	msg = strings.TrimPrefix(written.Replace(msg), "Syntax error: ")
	if m := undeclared.FindStringSubmatch(msg); m != nil {
		if m[2] != "" {
			return fmt.Sprintf("there is no %s: did you mean %s?", m[1], m[2])
		}
		return "there is no " + m[1]
	}
	if m := mismatched.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%s does not take %s", m[1], m[2])
	}
	word := ""
	if m := unexpected.FindStringSubmatch(msg); m != nil {
		if m[1] == "<EOF>" {
			return "the condition ends too early"
		}
		word, msg = m[1], "unexpected "+m[1]
	} else if m := noToken.FindStringSubmatch(msg); m != nil {
		word = strings.TrimSpace(m[1])
		msg = "unexpected " + word
	}
	if op := meant[word]; op != "" {
		msg += ": it is written " + op
	}
	return msg
}

// program plans an expression.
func (c *compiler) program(a *ast.AST) (cel.Program, error) {
	return c.env.PlanProgram(a, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(costs{}))
}

// builder makes nodes of a type-checked condition.
type builder struct {
	*compiler
	checked *ast.AST
	native  native
}

func (b *builder) build(e ast.Expr) (*node, error) {
	if e.Kind() == ast.CallKind {
		call := e.AsCall()
		switch fn := call.FunctionName(); fn {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
			var parts []*node
			for _, a := range call.Args() {
				n, err := b.build(a)
				if err != nil {
					return nil, err
				}
				parts = append(parts, n)
			}
			switch fn {
			case operators.LogicalAnd:
				return join(opAnd, parts), nil
			case operators.LogicalOr:
				return join(opOr, parts), nil
			}
			return parent(opNot, parts), nil
		case operators.Conditional:
			var parts []*node
			for _, a := range call.Args() {
				n, err := b.build(a)
				if err != nil {
					return nil, err
				}
				parts = append(parts, n)
			}
			return parent(opCond, parts), nil
		}
	}
	return b.leaf(e)
}

// leaf makes a leaf: a closure, or a program of CEL.
func (b *builder) leaf(e ast.Expr) (*node, error) {
	n := &node{op: opLeaf, slot: -1}
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		v := variableOf(e)
		if v == nil {
			return
		}
		n.deps |= v.deps
		switch v.kind {
		case varPeer:
			n.peer |= 1 << v.field
		case varFrom:
			n.from |= 1 << v.field
		case varSource:
			n.from |= 1 << fieldSource
		}
	}))
	if n.leaf, n.slow = b.native.leaf(e); n.leaf != nil {
		return n, nil
	}
	n.slow = true
	part := ast.NewCheckedAST(ast.NewAST(e, b.checked.SourceInfo()), b.checked.TypeMap(), b.checked.ReferenceMap())
	prog, err := b.program(part)
	if err != nil {
		return nil, err
	}
	n.leaf = func(r *route) tri { return evaluate(prog, r) }
	return n, nil
}

var errNotBool = errors.New("neither true nor false")

// evaluate runs a program on a route.
func evaluate(prog cel.Program, r *route) tri {
	v, _, err := prog.Eval(r)
	if err != nil {
		r.err = err
		return failed
	}
	b, ok := v.(types.Bool)
	if !ok {
		r.err = errNotBool
		return failed
	}
	return triOf(bool(b))
}

// sortProblems puts complaints in the order of the file.
func sortProblems(ps config.Problems) config.Problems {
	slices.SortStableFunc(ps, func(a, b config.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return ps
}
