package policy

import (
	"cmp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// native makes closures of the forms that policies are made of. What it does
// not know it leaves to CEL, so it answers the same or not at all.
type native struct {
	sets map[string]*prefixSet
}

// variableOf returns the variable that a type-checked expression is.
func variableOf(e ast.Expr) *variable {
	if e.Kind() != ast.IdentKind {
		return nil
	}
	return variables[strings.TrimPrefix(e.AsIdent(), ".")]
}

// leaf returns the closure of a bool expression, nil where it is CEL's, and
// whether it is slow for all that.
func (c *native) leaf(e ast.Expr) (leaf func(*route) tri, slow bool) {
	if s, ok := c.pathMatches(e); ok {
		return func(r *route) tri { return triOf(s.match(r.octets(listASPath))) }, !s.simple
	}
	return c.quick(e), false
}

// pathMatches returns the expression of as_path.matches.
func (c *native) pathMatches(e ast.Expr) (*pathExpr, bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != fnPathMatches {
		return nil, false
	}
	args := e.AsCall().Args()
	s, ok := textOf(args[1])
	if !ok || !isVar(args[0], varASPath) {
		return nil, false
	}
	expr, err := compilePathExpr(s)
	return expr, err == nil
}

// quick returns the closure of an expression that takes some ten nanoseconds.
func (c *native) quick(e ast.Expr) func(*route) tri {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return func(*route) tri { return triOf(bool(b)) }
		}
	case ast.IdentKind:
		if v := variableOf(e); v != nil && v.typ == cel.BoolType {
			return func(r *route) tri { return triOf(r.flag(v)) }
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() || len(call.Args()) != 2 {
			return nil
		}
		a, b := call.Args()[0], call.Args()[1]
		switch fn := call.FunctionName(); fn {
		case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
			return c.compare(fn, a, b)
		case operators.In:
			return c.in(a, b)
		case fnPrefixIn, fnPrefixIs, fnPrefixIsNot, fnPrefixContains, fnPrefixOverlaps:
			return c.prefix(fn, a, b)
		case fnAddressIn:
			return c.addressIn(a, b)
		case fnPathContains:
			if n := c.integer(b); n != nil && isVar(a, varASPath) {
				return func(r *route) tri { return triOf(asPathHas(r.octets(listASPath), n(r))) }
			}
		}
	}
	return nil
}

func isVar(e ast.Expr, k varKind) bool {
	v := variableOf(e)
	return v != nil && v.kind == k
}

// guarded is f for a variable of prefixes: for a route without one it fails.
func guarded(needed bool, f func(*route) tri) func(*route) tri {
	if !needed {
		return f
	}
	return func(r *route) tri {
		if !r.prefix.ok {
			r.err = errNoPrefix.(error)
			return failed
		}
		return f(r)
	}
}

// needsPrefix says whether an operand does.
func needsPrefix(es ...ast.Expr) bool {
	for _, e := range es {
		if v := variableOf(e); v != nil && v.needsPrefix() {
			return true
		}
	}
	return false
}

// integer returns the closure of a number that can't fail.
func (c *native) integer(e ast.Expr) func(*route) int64 {
	switch e.Kind() {
	case ast.LiteralKind:
		if n, ok := e.AsLiteral().(types.Int); ok {
			return func(*route) int64 { return int64(n) }
		}
	case ast.IdentKind:
		if v := variableOf(e); v != nil && v.typ == cel.IntType {
			return func(r *route) int64 { return r.integer(v) }
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != "size" {
			return nil
		}
		of := call.Target()
		if !call.IsMemberFunction() {
			of = call.Args()[0]
		}
		if k, ok := listOf(of); ok {
			return func(r *route) int64 {
				l := listVal{kind: k, octet: r.octets(k)}
				return int64(l.Size().(types.Int))
			}
		}
	}
	return nil
}

func listOf(e ast.Expr) (listKind, bool) {
	v := variableOf(e)
	if v == nil {
		return 0, false
	}
	switch v.kind {
	case varASPath:
		return listASPath, true
	case varCommunities:
		return listCommunities, true
	case varLarge:
		return listLarge, true
	case varExt:
		return listExt, true
	}
	return 0, false
}

// text returns the closure of a text that can't fail.
func (c *native) text(e ast.Expr) func(*route) string {
	if s, ok := textOf(e); ok {
		return func(*route) string { return s }
	}
	if v := variableOf(e); v != nil && v.typ == cel.StringType {
		return func(r *route) string { return r.text(v) }
	}
	return nil
}

func (c *native) compare(fn string, a, b ast.Expr) func(*route) tri {
	if x, y := c.integer(a), c.integer(b); x != nil && y != nil {
		return guarded(needsPrefix(a, b), comparison(fn, x, y))
	}
	if x, y := c.text(a), c.text(b); x != nil && y != nil {
		return guarded(needsPrefix(a, b), comparison(fn, x, y))
	}
	return nil
}

func comparison[T cmp.Ordered](fn string, x, y func(*route) T) func(*route) tri {
	switch fn {
	case operators.Equals:
		return func(r *route) tri { return triOf(x(r) == y(r)) }
	case operators.NotEquals:
		return func(r *route) tri { return triOf(x(r) != y(r)) }
	case operators.Less:
		return func(r *route) tri { return triOf(x(r) < y(r)) }
	case operators.LessEquals:
		return func(r *route) tri { return triOf(x(r) <= y(r)) }
	case operators.Greater:
		return func(r *route) tri { return triOf(x(r) > y(r)) }
	}
	return func(r *route) tri { return triOf(x(r) >= y(r)) }
}

// in is membership in a list of constants or in an attribute.
func (c *native) in(a, b ast.Expr) func(*route) tri {
	if k, ok := listOf(b); ok {
		if k == listASPath {
			if n := c.integer(a); n != nil {
				return guarded(needsPrefix(a), func(r *route) tri { return triOf(asPathHas(r.octets(k), n(r))) })
			}
			return nil
		}
		if s, ok := textOf(a); ok {
			if m, err := communityMatcher(k, s); err == nil {
				return func(r *route) tri { return triOf(m.MatchAttr(r.octets(k))) }
			}
		}
		return nil
	}
	if b.Kind() != ast.ListKind {
		return nil
	}
	elements := b.AsList().Elements()
	if n := c.integer(a); n != nil {
		if list, ok := constants(elements, func(v types.Int) int64 { return int64(v) }); ok {
			return guarded(needsPrefix(a), func(r *route) tri { _, found := slices.BinarySearch(list, n(r)); return triOf(found) })
		}
	}
	if s := c.text(a); s != nil {
		if list, ok := constants(elements, func(v types.String) string { return string(v) }); ok {
			return guarded(needsPrefix(a), func(r *route) tri { _, found := slices.BinarySearch(list, s(r)); return triOf(found) })
		}
	}
	return nil
}

// constants returns the elements of a list of constants of one type, sorted.
func constants[V any, T cmp.Ordered](elements []ast.Expr, value func(V) T) ([]T, bool) {
	var list []T
	for _, e := range elements {
		if e.Kind() != ast.LiteralKind {
			return nil, false
		}
		v, ok := e.AsLiteral().(V)
		if !ok {
			return nil, false
		}
		list = append(list, value(v))
	}
	slices.Sort(list)
	return list, true
}

// set returns the prefix set that an expression names.
func (c *native) set(e ast.Expr) *prefixSet {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != fnPrefixSet || len(e.AsCall().Args()) != 1 {
		return nil
	}
	s, _ := textOf(e.AsCall().Args()[0])
	return c.sets[s]
}

func (c *native) prefix(fn string, a, b ast.Expr) func(*route) tri {
	if !isVar(a, varPrefix) {
		return nil
	}
	if s := c.set(b); s != nil && fn == fnPrefixIn {
		return guarded(true, func(r *route) tri { return triOf(s.contains(r.prefix)) })
	}
	if fn == fnPrefixIn && b.Kind() == ast.ListKind {
		var list []prefixVal
		for _, e := range b.AsList().Elements() {
			s, _ := textOf(e)
			q, err := prefixOf(s)
			if err != nil {
				return nil
			}
			list = append(list, q)
		}
		return guarded(true, func(r *route) tri {
			return triOf(slices.ContainsFunc(list, func(q prefixVal) bool { return q.covers(r.prefix) }))
		})
	}
	s, ok := textOf(b)
	if !ok {
		return nil
	}
	q, err := prefixOf(s)
	if err != nil {
		return nil
	}
	switch fn {
	case fnPrefixIn:
		return guarded(true, func(r *route) tri { return triOf(q.covers(r.prefix)) })
	case fnPrefixIs:
		return guarded(true, func(r *route) tri { return triOf(q == r.prefix) })
	case fnPrefixIsNot:
		return guarded(true, func(r *route) tri { return triOf(q != r.prefix) })
	case fnPrefixContains:
		return guarded(true, func(r *route) tri { return triOf(r.prefix.covers(q)) })
	}
	return guarded(true, func(r *route) tri { return triOf(r.prefix.covers(q) || q.covers(r.prefix)) })
}

// addressIn judges next_hop, whose octets need no text.
func (c *native) addressIn(a, b ast.Expr) func(*route) tri {
	if !isVar(a, varNextHop) {
		return nil
	}
	in := func(prefixVal) bool { return false }
	if s := c.set(b); s != nil {
		in = s.contains
	} else if s, ok := textOf(b); ok {
		q, err := prefixOf(s)
		if err != nil {
			return nil
		}
		in = q.covers
	} else {
		return nil
	}
	return func(r *route) tri {
		r.load()
		a, ok := nextHopAddr(r.nextHop)
		if !ok {
			return no
		}
		return triOf(in(hostOf(a)))
	}
}
