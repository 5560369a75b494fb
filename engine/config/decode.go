package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// decoder walks the syntax tree of one file and collects what is wrong.
type decoder struct {
	file     string
	dir      string
	src      string
	cfg      *Config
	anchors  map[string]ast.Node
	problems Problems
}

// table is one mapping of the file: its keys by name.
type table struct {
	d    *decoder
	node ast.Node
	path string
	keys map[string]entry
	// order holds the keys as they come in the file.
	order []string
}

type entry struct {
	key   ast.Node
	value ast.Node
}

// errorf notes a problem at a node.
func (d *decoder) errorf(n ast.Node, format string, args ...any) {
	line, col := position(n)
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Col: col, Text: fmt.Sprintf(format, args...)})
}

// position returns where a node starts. The token of a block mapping is the
// colon of its first key, so the key is asked instead.
func position(n ast.Node) (line, col int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil {
		return 1, 1
	}
	p := n.GetToken().Position
	return p.Line, p.Column
}

// from returns the text of the file from a position on.
func (d *decoder) from(line, col int) string {
	s := d.src
	for ; line > 1; line-- {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			return ""
		}
		s = s[i+1:]
	}
	for ; col > 1 && s != "" && s[0] != '\n'; col-- {
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
	return s
}

// resolve follows anchors, aliases and tags to the value itself.
func (d *decoder) resolve(n ast.Node) ast.Node {
	for range 32 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.GetToken().Value]
			if !ok {
				d.errorf(v, "no anchor &%s in this file", v.Value.GetToken().Value)
				return nil
			}
			n = target
		case *ast.TagNode:
			n = v.Value
		default:
			return n
		}
	}
	d.errorf(n, "an alias that names itself")
	return nil
}

// Visit collects anchors (ast.Visitor).
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return n == nil || ok
}

// open reads a mapping whose keys are those of a section. Nothing at all
// counts as an empty one. ok is false where n is something else.
func (d *decoder) open(n ast.Node, path, section string) (table, bool) {
	t, ok := d.openAny(n, path)
	if !ok {
		return t, false
	}
	known := sections[section]
	for _, k := range t.order {
		if !known.has(k) {
			d.unknown(t.keys[k].key, k, path, section)
			delete(t.keys, k)
		}
	}
	return t, true
}

// openAny reads a mapping with any keys.
func (d *decoder) openAny(n ast.Node, path string) (table, bool) {
	n = d.resolve(n)
	t := table{d: d, node: n, path: path, keys: map[string]entry{}}
	if isNull(n) {
		return t, true
	}
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.errorf(n, "%s is a mapping of keys, not %s", title(path), kind(n))
		return t, false
	}
	for _, v := range values {
		if v.Key.IsMergeKey() {
			d.errorf(v.Key, "<< is not read here: put what peers share into a group or into peer_defaults")
			continue
		}
		name, ok := keyText(v.Key)
		if !ok {
			d.errorf(v.Key, "a key is a plain word, not %s", kind(v.Key))
			continue
		}
		if first, twice := t.keys[name]; twice {
			line, col := position(first.key)
			d.errorf(v.Key, "%s stands twice: first at %d:%d", join(path, name), line, col)
			continue
		}
		t.keys[name] = entry{v.Key, v.Value}
		t.order = append(t.order, name)
	}
	return t, true
}

func keyText(n ast.Node) (string, bool) {
	switch k := n.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// unknown says that a key is none, and which was meant.
func (d *decoder) unknown(at ast.Node, key, path, section string) {
	known := sections[section].words()
	where := "at the top of the file"
	if path != "" {
		where = "in " + path
	}
	if w := nearest(key, known); w != "" {
		d.errorf(at, "unknown key %q %s: did you mean %q?", key, where, w)
		return
	}
	if home := homes(key); len(home) > 0 {
		d.errorf(at, "unknown key %q %s: it is a key of %s", key, where, list(home))
		return
	}
	d.errorf(at, "unknown key %q %s: the keys are %s", key, where, strings.Join(known, ", "))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func title(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// kind names what a node is, for people.
func kind(n ast.Node) string {
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", v.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.BoolNode:
		return "the truth value " + v.GetToken().Value
	default:
		return "the number " + n.GetToken().Value
	}
}

// has tells whether the file sets a key, and not to nothing.
func (t table) has(key string) bool {
	e, ok := t.keys[key]
	return ok && e.value != nil && !isNull(t.d.resolve(e.value))
}

// at returns the value of a key, nil where it is not set.
func (t table) at(key string) (ast.Node, string, bool) {
	e, ok := t.keys[key]
	if !ok {
		return nil, "", false
	}
	return e.value, join(t.path, key), true
}
