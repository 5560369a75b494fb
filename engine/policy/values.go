package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"ribd/trie"
)

// The types of CEL that conditions have besides its own.
var (
	prefixType = cel.OpaqueType("prefix")
	setType    = cel.OpaqueType("prefix_set")
)

var errNoConversion = errors.New("no conversion")

// prefixVal is the variable prefix. Without ok the route has none.
type prefixVal struct {
	key trie.Key
	n   uint8
	v4  bool
	ok  bool
}

// prefixOf returns a prefix given as text, with host bits clear; a bare address
// is a host prefix.
func prefixOf(s string) (prefixVal, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return hostOf(a), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return prefixVal{}, fmt.Errorf("%q is not a prefix such as 192.0.2.0/24", s)
	}
	if p != p.Masked() {
		return prefixVal{}, fmt.Errorf("%s has host bits set: %s is the prefix", s, p.Masked())
	}
	if p.Addr().Is4In6() {
		return prefixVal{}, fmt.Errorf("%s is IPv4 mapped into IPv6: write it as IPv4", s)
	}
	k, n := trie.PrefixKey(p)
	return prefixVal{k, n, p.Addr().Is4(), true}, nil
}

// covers says whether o lies in p.
func (p prefixVal) covers(o prefixVal) bool {
	return p.v4 == o.v4 && p.n <= o.n && o.key.Mask(p.n) == p.key
}

func (p prefixVal) text() string {
	if !p.ok {
		return ""
	}
	return p.key.Prefix(p.n, p.v4).String()
}

// ConvertToNative is of ref.Val.
func (p prefixVal) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }

// ConvertToType is of ref.Val.
func (p prefixVal) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(p.text())
	case types.TypeType:
		return prefixType
	}
	return types.NewErr("a prefix has no conversion to %s", t.TypeName())
}

// Equal is of ref.Val.
func (p prefixVal) Equal(o ref.Val) ref.Val {
	q, ok := o.(prefixVal)
	return types.Bool(ok && p == q)
}

// Type is of ref.Val.
func (p prefixVal) Type() ref.Type { return prefixType }

// Value is of ref.Val.
func (p prefixVal) Value() any { return p.text() }

// ConvertToNative is of ref.Val.
func (s *prefixSet) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }

// ConvertToType is of ref.Val.
func (s *prefixSet) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return setType
	}
	return types.NewErr("a prefix set has no conversion to %s", t.TypeName())
}

// Equal is of ref.Val.
func (s *prefixSet) Equal(o ref.Val) ref.Val {
	q, ok := o.(*prefixSet)
	return types.Bool(ok && s == q)
}

// Type is of ref.Val.
func (s *prefixSet) Type() ref.Type { return setType }

// Value is of ref.Val.
func (s *prefixSet) Value() any { return s.name }

// listVal is a list of an attribute's values as CEL sees it. Its elements are
// made when somebody asks for them; membership is judged on the octets.
type listVal struct {
	kind  listKind
	octet []byte // the attribute's value
	list  traits.Lister
}

// listKind says which attribute a list is of.
type listKind uint8

const (
	listCommunities listKind = iota
	listLarge
	listExt
	listASPath
	numLists
)

// all returns the list in full.
func (l *listVal) all() traits.Lister {
	if l.list == nil {
		switch l.kind {
		case listASPath:
			l.list = types.NewDynamicList(types.DefaultTypeAdapter, asNumbers(l.octet))
		default:
			l.list = types.NewStringList(types.DefaultTypeAdapter, communityTexts(l.kind, l.octet))
		}
	}
	return l.list
}

// Add is of traits.Adder.
func (l *listVal) Add(o ref.Val) ref.Val {
	if o, ok := o.(*listVal); ok {
		return l.all().Add(o.all())
	}
	return l.all().Add(o)
}

// Contains is of traits.Container: a text with * matches many communities.
func (l *listVal) Contains(v ref.Val) ref.Val {
	if l.kind == listASPath {
		n, ok := v.(types.Int)
		return types.Bool(ok && asPathHas(l.octet, int64(n)))
	}
	s, ok := v.(types.String)
	if !ok {
		return types.False
	}
	has, err := hasCommunity(l.kind, l.octet, string(s))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(has)
}

// ConvertToNative is of ref.Val.
func (l *listVal) ConvertToNative(t reflect.Type) (any, error) { return l.all().ConvertToNative(t) }

// ConvertToType is of ref.Val.
func (l *listVal) ConvertToType(t ref.Type) ref.Val { return l.all().ConvertToType(t) }

// Equal is of ref.Val.
func (l *listVal) Equal(o ref.Val) ref.Val {
	if o, ok := o.(*listVal); ok {
		return l.all().Equal(o.all())
	}
	return l.all().Equal(o)
}

// Get is of traits.Indexer.
func (l *listVal) Get(i ref.Val) ref.Val { return l.all().Get(i) }

// Iterator is of traits.Iterable.
func (l *listVal) Iterator() traits.Iterator { return l.all().Iterator() }

// Size is of traits.Sizer.
func (l *listVal) Size() ref.Val {
	switch l.kind {
	case listCommunities:
		return types.Int(len(l.octet) / 4)
	case listLarge:
		return types.Int(len(l.octet) / 12)
	case listExt:
		return types.Int(len(l.octet) / 8)
	}
	return types.Int(asPathSize(l.octet))
}

// Type is of ref.Val.
func (l *listVal) Type() ref.Type { return types.ListType }

// Value is of ref.Val.
func (l *listVal) Value() any { return l.all().Value() }

// String is what errors show.
func (l *listVal) String() string {
	return strings.TrimSpace(fmt.Sprint(l.all().Value()))
}

// hostOf returns the prefix of one address.
func hostOf(a netip.Addr) prefixVal {
	return prefixVal{trie.KeyOf(a), uint8(a.BitLen()), a.Is4(), true}
}
