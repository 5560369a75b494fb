package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of a condition: of its text, of its tree, and of what judging it once
// may cost in CEL's units (a simple operation is one; a million units take
// about 0.1 s).
const (
	maxSource   = 16 << 10
	maxNodes    = 4096
	maxDepth    = 100
	maxCost     = 100_000
	maxLoops    = 2
	maxRegexp   = 1024
	maxPrograms = 1024 // of a regular expression, in instructions
)

// deps says what a part of a condition looks at.
type deps uint8

const (
	depAttrs  deps = 1 << iota // the attribute set
	depFrom                    // whose route it is
	depFamily                  // its family
	depPeer                    // to or from whom: fixed for a filter
	depPrefix                  // the prefix
	depPathID                  // the path id

	depRoute = depPrefix | depPathID
)

// varKind tells the variables apart.
type varKind uint8

const (
	varPrefix varKind = iota + 1
	varPrefixLength
	varPrefixAddress
	varPrefixFamily
	varASPath
	varASPathLength
	varASPathOrigin
	varASPathNeighbor
	varCommunities
	varLarge
	varExt
	varNextHop
	varMED
	varHasMED
	varLocalPref
	varHasLocalPref
	varOrigin
	varRPKI
	varFamily
	varPathID
	varSource
	varPeer // .field
	varFrom // .field
)

// variable is a name that conditions may use.
type variable struct {
	name  string
	kind  varKind
	field peerField // of varPeer and varFrom
	typ   *cel.Type
	deps  deps
}

// peerField is a field of peer and from.
type peerField uint8

const (
	fieldName peerField = iota
	fieldAddress
	fieldASN
	fieldGroup
	fieldDescription
	fieldType
	fieldRole
	fieldRouterID
	fieldRouteServerClient
	fieldRouteReflectorClient
	numFields
)

var peerFields = [numFields]struct {
	name string
	typ  *cel.Type
}{
	fieldName:                 {"name", cel.StringType},
	fieldAddress:              {"address", cel.StringType},
	fieldASN:                  {"asn", cel.IntType},
	fieldGroup:                {"group", cel.StringType},
	fieldDescription:          {"description", cel.StringType},
	fieldType:                 {"type", cel.StringType},
	fieldRole:                 {"role", cel.StringType},
	fieldRouterID:             {"router_id", cel.StringType},
	fieldRouteServerClient:    {"route_server_client", cel.BoolType},
	fieldRouteReflectorClient: {"route_reflector_client", cel.BoolType},
}

// variables holds all that conditions may name, by name.
var variables = func() map[string]*variable {
	list := cel.ListType(cel.StringType)
	all := []*variable{
		{"prefix", varPrefix, 0, prefixType, depPrefix},
		{"prefix.length", varPrefixLength, 0, cel.IntType, depPrefix},
		{"prefix.address", varPrefixAddress, 0, cel.StringType, depPrefix},
		{"prefix.family", varPrefixFamily, 0, cel.StringType, depFamily},
		{"as_path", varASPath, 0, cel.ListType(cel.IntType), depAttrs},
		{"as_path.length", varASPathLength, 0, cel.IntType, depAttrs},
		{"as_path.origin", varASPathOrigin, 0, cel.IntType, depAttrs},
		{"as_path.neighbor", varASPathNeighbor, 0, cel.IntType, depAttrs},
		{"communities", varCommunities, 0, list, depAttrs},
		{"large_communities", varLarge, 0, list, depAttrs},
		{"ext_communities", varExt, 0, list, depAttrs},
		{"next_hop", varNextHop, 0, cel.StringType, depAttrs},
		{"med", varMED, 0, cel.IntType, depAttrs},
		{"has_med", varHasMED, 0, cel.BoolType, depAttrs},
		{"local_pref", varLocalPref, 0, cel.IntType, depAttrs},
		{"has_local_pref", varHasLocalPref, 0, cel.BoolType, depAttrs},
		{"origin", varOrigin, 0, cel.StringType, depAttrs},
		{"rpki", varRPKI, 0, cel.StringType, depAttrs},
		{"family", varFamily, 0, cel.StringType, depFamily},
		{"path_id", varPathID, 0, cel.IntType, depPathID},
		{"source", varSource, 0, cel.StringType, depFrom},
	}
	for f, d := range peerFields {
		all = append(all,
			&variable{"peer." + d.name, varPeer, peerField(f), d.typ, depPeer},
			&variable{"from." + d.name, varFrom, peerField(f), d.typ, depFrom})
	}
	byName := map[string]*variable{}
	for _, v := range all {
		byName[v.name] = v
	}
	return byName
}()

// fieldsOf lists the fields of a name such as peer, sorted; none where it has
// no fields.
func fieldsOf(name string) (fields []string) {
	for v := range variables {
		if of, field, ok := strings.Cut(v, "."); ok && of == name {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	return fields
}

// The functions that conditions are rewritten to, since an operator has one
// meaning for all types in CEL. A name with @ can't be written in a condition.
const (
	fnPrefixIn       = "@prefix_in"       // prefix in x
	fnPrefixIs       = "@prefix_is"       // prefix == x
	fnPrefixIsNot    = "@prefix_is_not"   // prefix != x
	fnPrefixContains = "@prefix_contains" // prefix.contains(x)
	fnPrefixOverlaps = "@prefix_overlaps" // prefix.overlaps(x)
	fnAddressIn      = "@address_in"      // next_hop in x, peer.address in x
	fnPathContains   = "@path_contains"   // as_path.contains(n)
	fnPathMatches    = "@path_matches"    // as_path.matches(re)
	fnPrefixSet      = "prefix_set"
)

// written says how a rewritten function is written.
var written = strings.NewReplacer(
	"'"+fnPrefixIn+"'", "'in'", "'"+fnPrefixIs+"'", "'=='", "'"+fnPrefixIsNot+"'", "'!='",
	"'"+fnPrefixContains+"'", "'prefix.contains'", "'"+fnPrefixOverlaps+"'", "'prefix.overlaps'",
	"'"+fnAddressIn+"'", "'in'", "'"+fnPathContains+"'", "'as_path.contains'", "'"+fnPathMatches+"'", "'as_path.matches'",
	"'@in'", "'in'", "'_==_'", "'=='", "'_!=_'", "'!='", "'_<_'", "'<'", "'_<=_'", "'<='", "'_>_'", "'>'", "'_>=_'", "'>='",
	"'_&&_'", "'&&'", "'_||_'", "'||'", "'!_'", "'!'", "'_?_:_'", "'?:'", "'_+_'", "'+'", "'_-_'", "'-'", "'_*_'", "'*'",
	"'_/_'", "'/'", "'_%_'", "'%'", "'-_'", "'-'", "'_[_]'", "'[]'",
)

// newEnv makes the environment of conditions, with the file's prefix sets.
func newEnv(sets map[string]*prefixSet, exprs *pathExprs) (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserErrorRecoveryLimit(4),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(maxLoops)),
		cel.RegexProgramSizeLimit(maxPrograms),
		function(fnPrefixIn, prefixIn, []*cel.Type{prefixType, cel.StringType}, []*cel.Type{prefixType, setType},
			[]*cel.Type{prefixType, cel.ListType(cel.StringType)}),
		function(fnPrefixIs, prefixIs, []*cel.Type{prefixType, cel.StringType}),
		function(fnPrefixIsNot, prefixIsNot, []*cel.Type{prefixType, cel.StringType}),
		function(fnPrefixContains, prefixContains, []*cel.Type{prefixType, cel.StringType}),
		function(fnPrefixOverlaps, prefixOverlaps, []*cel.Type{prefixType, cel.StringType}),
		function(fnAddressIn, addressIn, []*cel.Type{cel.StringType, cel.StringType}, []*cel.Type{cel.StringType, setType}),
		function(fnPathContains, pathContains, []*cel.Type{cel.ListType(cel.IntType), cel.IntType}),
		function(fnPathMatches, exprs.matches, []*cel.Type{cel.ListType(cel.IntType), cel.StringType}),
		cel.Function(fnPrefixSet, cel.Overload("prefix_set", []*cel.Type{cel.StringType}, setType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				if name, ok := v.(types.String); ok {
					if s := sets[string(name)]; s != nil {
						return s
					}
				}
				return types.NewErr("no prefix set %v", v)
			}))),
	}
	for name, v := range variables {
		opts = append(opts, cel.Variable(name, v.typ))
	}
	return cel.NewEnv(opts...)
}

// function declares a function of two operands with an overload for each pair
// of types.
func function(name string, op func(a, b ref.Val) ref.Val, signatures ...[]*cel.Type) cel.EnvOption {
	var opts []cel.FunctionOpt
	for i, s := range signatures {
		opts = append(opts, cel.Overload(fmt.Sprintf("%s_%d", name[1:], i), s, cel.BoolType, cel.BinaryBinding(op)))
	}
	return cel.Function(name, opts...)
}

var errNoPrefix = types.NewErr("the route has no prefix")

// prefixAnd gives op the prefix that is judged and the one in the text b.
func prefixAnd(a, b ref.Val, op func(p, q prefixVal) bool) ref.Val {
	p, ok := a.(prefixVal)
	s, isText := b.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(b)
	}
	if !p.ok {
		return errNoPrefix
	}
	q, err := prefixOf(string(s))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(op(p, q))
}

func prefixIn(a, b ref.Val) ref.Val {
	p, ok := a.(prefixVal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(a)
	}
	switch b := b.(type) {
	case types.String:
		return prefixAnd(a, b, func(p, q prefixVal) bool { return q.covers(p) })
	case *prefixSet:
		if !p.ok {
			return errNoPrefix
		}
		return types.Bool(b.contains(p))
	case interface {
		Size() ref.Val
		Get(ref.Val) ref.Val
	}:
		if !p.ok {
			return errNoPrefix
		}
		n, _ := b.Size().(types.Int)
		found := types.False
		for i := types.Int(0); i < n; i++ {
			switch v := prefixIn(a, b.Get(i)).(type) {
			case *types.Err:
				return v
			case types.Bool:
				found = found || v
			}
		}
		return found
	}
	return types.MaybeNoSuchOverloadErr(b)
}

func prefixIs(a, b ref.Val) ref.Val {
	return prefixAnd(a, b, func(p, q prefixVal) bool { return p == q })
}

func prefixIsNot(a, b ref.Val) ref.Val {
	return prefixAnd(a, b, func(p, q prefixVal) bool { return p != q })
}

func prefixContains(a, b ref.Val) ref.Val {
	return prefixAnd(a, b, func(p, q prefixVal) bool { return p.covers(q) })
}

func prefixOverlaps(a, b ref.Val) ref.Val {
	return prefixAnd(a, b, func(p, q prefixVal) bool { return p.covers(q) || q.covers(p) })
}

// addressIn judges an address as text: none ("") is in nothing.
func addressIn(a, b ref.Val) ref.Val {
	s, ok := a.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(a)
	}
	host, err := hostPrefix(string(s))
	if err != nil {
		return types.WrapErr(err)
	}
	switch b := b.(type) {
	case types.String:
		q, err := prefixOf(string(b))
		if err != nil {
			return types.WrapErr(err)
		}
		return types.Bool(host.ok && q.covers(host))
	case *prefixSet:
		return types.Bool(host.ok && b.contains(host))
	}
	return types.MaybeNoSuchOverloadErr(b)
}

func pathContains(a, b ref.Val) ref.Val {
	n, ok := b.(types.Int)
	if !ok {
		return types.MaybeNoSuchOverloadErr(b)
	}
	if l, ok := a.(*listVal); ok {
		return types.Bool(asPathHas(l.octet, int64(n)))
	}
	return types.MaybeNoSuchOverloadErr(a)
}
