package config

import (
	"errors"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// ParsePeer reads one peer, written as JSON or YAML with the keys that a peer
// has in the file. What it does not say comes from its group and from
// peer_defaults; groups and policies are those of c, and its address or range
// and its name may not be those of another peer of c. Relative paths are
// relative to c's file. The error is Problems whose file is name.
func (c *Config) ParsePeer(name string, src []byte) (Peer, error) {
	sub := *c
	sub.Peers, sub.named, sub.values = nil, nil, nil
	d := &decoder{file: name, dir: filepath.Dir(c.File), cfg: &sub, anchors: map[string]ast.Node{}}
	tree, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return Peer{}, Problems{syntaxProblem(name, err)}
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return Peer{}, Problems{{File: name, Text: "one peer is wanted: an object with address, or prefix, and as"}}
	}
	body := tree.Docs[0].Body
	ast.Walk(d, body)
	taken := map[string]string{}
	for i := range c.Peers {
		p := &c.Peers[i]
		who := "another peer"
		if p.Name != "" {
			who = p.Name
		}
		taken["address"+p.Address.String()] = who
		taken["prefix"+p.Prefix.String()] = who
		if p.Name != "" {
			taken["name"+p.Name] = who
		}
	}
	if t, ok := d.open(body, "peer", "peer"); ok {
		d.peer(t, taken)
	}
	if c.AS == 0 {
		d.errorf(body, "no peer can be added: the configuration has no as, this router's own AS number")
	}
	if len(d.problems) == 0 {
		d.problems = append(d.problems, sub.Missing()...)
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return Peer{}, d.problems
	}
	if len(sub.Peers) != 1 {
		return Peer{}, errors.New("BUG: config: a peer without problems that is none")
	}
	return sub.Peers[0], nil
}
