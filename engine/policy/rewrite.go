package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ribd/engine/config"
	"ribd/wire"
)

// rewriter goes over a condition between parsing and type-checking: it says
// what is wrong with names and constants in words of routing, and gives the
// operators of prefixes and addresses functions of their own.
type rewriter struct {
	fac    ast.ExprFactory
	cfg    *config.Config
	sets   map[string]*prefixSet
	report func(e ast.Expr, format string, args ...any)

	family bool     // the condition names family
	used   []string // prefix sets
}

// nameOf returns the variable that an expression of the parser names: "prefix",
// "peer.asn"; "" where it is none.
func nameOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() && s.Operand().Kind() == ast.IdentKind {
			return s.Operand().AsIdent() + "." + s.FieldName()
		}
	}
	return ""
}

// textOf returns the constant text that an expression is.
func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func (r *rewriter) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		r.ident(e, e.AsIdent())
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			r.report(e, "has() is of no use: every variable is there always; ask has_med or has_local_pref")
			return
		}
		if s.Operand().Kind() != ast.IdentKind {
			r.walk(s.Operand())
			return
		}
		name := s.Operand().AsIdent()
		fields := fieldsOf(name)
		switch {
		case fields == nil:
			r.walk(s.Operand())
		case !slices.Contains(fields, s.FieldName()):
			r.report(e, "%s has no %s: it has %s", name, s.FieldName(), strings.Join(fields, ", "))
		}
	case ast.CallKind:
		r.call(e)
	case ast.ListKind:
		for _, el := range e.AsList().Elements() {
			r.walk(el)
		}
	case ast.MapKind:
		for _, en := range e.AsMap().Entries() {
			r.walk(en.AsMapEntry().Key())
			r.walk(en.AsMapEntry().Value())
		}
	case ast.StructKind:
		r.report(e, "a condition makes no messages: there is no %s", e.AsStruct().TypeName())
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, name := range []string{c.IterVar(), c.IterVar2()} {
			if _, taken := variables[name]; taken || fieldsOf(name) != nil {
				r.report(e, "%s is a variable of conditions and can't stand for an element", name)
			}
		}
		for _, sub := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			r.walk(sub)
		}
	}
}

func (r *rewriter) ident(e ast.Expr, name string) {
	if name == "family" {
		r.family = true
	}
	if _, ok := variables[name]; ok {
		return
	}
	if fields := fieldsOf(name); fields != nil {
		r.report(e, "%s needs one of its fields: %s", name, strings.Join(fields, ", "))
	}
}

func (r *rewriter) call(e ast.Expr) {
	c := e.AsCall()
	if c.IsMemberFunction() && r.member(e, c) {
		return
	}
	if c.IsMemberFunction() {
		r.walk(c.Target())
	}
	args := c.Args()
	for _, a := range args {
		r.walk(a)
	}
	switch name := c.FunctionName(); name {
	case operators.Equals, operators.NotEquals:
		if len(args) == 2 {
			r.equality(e, args[0], args[1], name == operators.NotEquals)
		}
	case operators.In:
		if len(args) == 2 {
			r.in(e, args[0], args[1])
		}
	case fnPrefixSet:
		if len(args) != 1 {
			return
		}
		if s, ok := textOf(args[0]); !ok {
			r.report(args[0], "prefix_set takes the name of a set in quotes")
		} else if r.sets[s] == nil {
			r.report(args[0], "no prefix set %q in prefix_sets", s)
		} else {
			r.used = append(r.used, s)
		}
	}
}

// member rewrites the functions of prefix and as_path.
func (r *rewriter) member(e ast.Expr, c ast.CallExpr) bool {
	target, args := nameOf(c.Target()), c.Args()
	if target != "prefix" && target != "as_path" {
		return false
	}
	fn := map[string]string{
		"prefix.contains": fnPrefixContains, "prefix.overlaps": fnPrefixOverlaps,
		"as_path.contains": fnPathContains, "as_path.matches": fnPathMatches,
	}[target+"."+c.FunctionName()]
	if fn == "" {
		return false
	}
	if len(args) != 1 {
		r.report(e, "%s.%s takes one operand", target, c.FunctionName())
		return true
	}
	r.walk(args[0])
	if s, ok := textOf(args[0]); ok {
		switch fn {
		case fnPrefixContains, fnPrefixOverlaps:
			r.checkPrefix(args[0], s)
		case fnPathMatches:
			if _, err := compilePathExpr(s); err != nil {
				r.report(args[0], "as_path.matches: %v", err)
			}
		}
	}
	e.SetKindCase(r.fac.NewCall(e.ID(), fn, c.Target(), args[0]))
	return true
}

func (r *rewriter) equality(e, a, b ast.Expr, not bool) {
	if nameOf(a) == "" || textLike(a) {
		a, b = b, a
	}
	name := nameOf(a)
	if name == "prefix" && nameOf(b) != "prefix" {
		if s, ok := textOf(b); ok {
			r.checkPrefix(b, s)
		}
		fn := fnPrefixIs
		if not {
			fn = fnPrefixIsNot
		}
		e.SetKindCase(r.fac.NewCall(e.ID(), fn, a, b))
		return
	}
	if s, ok := textOf(b); ok {
		r.checkConstant(b, name, s)
	}
}

func textLike(e ast.Expr) bool { _, ok := textOf(e); return ok }

func (r *rewriter) in(e, a, b ast.Expr) {
	left, right := nameOf(a), nameOf(b)
	if s, ok := textOf(a); ok {
		kind, is := map[string]listKind{"communities": listCommunities, "large_communities": listLarge, "ext_communities": listExt}[right]
		if _, err := communityMatcher(kind, s); is && err != nil {
			r.report(a, "%v", err)
		}
	}
	list := b.Kind() == ast.ListKind
	if list {
		for _, el := range b.AsList().Elements() {
			if s, ok := textOf(el); ok && left == "prefix" {
				r.checkPrefix(el, s)
			} else if ok {
				r.checkConstant(el, left, s)
			}
		}
	}
	s, text := textOf(b)
	switch {
	case left == "prefix":
		if text {
			r.checkPrefix(b, s)
		}
		e.SetKindCase(r.fac.NewCall(e.ID(), fnPrefixIn, a, b))
	case isAddress(left) && !list:
		if text {
			r.checkPrefix(b, s)
		}
		e.SetKindCase(r.fac.NewCall(e.ID(), fnAddressIn, a, b))
	}
}

func isAddress(name string) bool {
	return name == "next_hop" || name == "prefix.address" || name == "peer.address" || name == "from.address"
}

func (r *rewriter) checkPrefix(e ast.Expr, s string) {
	if _, err := prefixOf(s); err != nil {
		r.report(e, "%v", err)
	}
}

// checkConstant complains about a text that a variable never has.
func (r *rewriter) checkConstant(e ast.Expr, name, s string) {
	var known []string
	switch name {
	case "family":
		if f, err := wire.ParseFamily(s); err != nil || f.String() != s {
			r.report(e, "%q is no family: ipv4-unicast, ipv6-flowspec, ... or afi-N-safi-M", s)
		}
		return
	case "prefix.family":
		known = []string{"ipv4", "ipv6"}
	case "origin":
		known = []string{"igp", "egp", "incomplete"}
	case "rpki":
		known = []string{"valid", "invalid", "not-found", ""}
	case "source":
		known = []string{"bgp", "local", "mrt", "bmp"}
	case "peer.type", "from.type":
		known = []string{"external", "internal"}
	case "peer.role", "from.role":
		known = []string{"provider", "rs", "rs-client", "customer", "peer", ""}
	case "peer.group", "from.group":
		for g := range r.cfg.Groups {
			known = append(known, g)
		}
		slices.Sort(known)
		known = append(known, "")
	case "next_hop", "prefix.address", "peer.address", "from.address":
		if s != "" {
			if _, err := hostPrefix(s); err != nil {
				r.report(e, "%v", err)
			}
		}
		return
	default:
		return
	}
	if slices.Contains(known, s) {
		return
	}
	known = slices.DeleteFunc(known, func(s string) bool { return s == "" })
	if len(known) == 0 {
		r.report(e, "%s is never %q: there are no groups", name, s)
		return
	}
	r.report(e, "%s is never %q: it is one of %s", name, s, strings.Join(known, ", "))
}

// hostPrefix returns the prefix of an address given as text, as addresses are
// written in answers; not ok for none.
func hostPrefix(s string) (prefixVal, error) {
	if s == "" {
		return prefixVal{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return prefixVal{}, fmt.Errorf("%q is not an address such as 192.0.2.1", s)
	}
	if a.String() != s {
		return prefixVal{}, fmt.Errorf("%q is written %s", s, a)
	}
	return hostOf(a), nil
}
