package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// minMemory is the least memory limit that makes sense.
const minMemory = 64 << 20

// Load reads and checks a file. The error is Problems, with all that is wrong
// and where, or says why the file can't be read.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, src)
}

// Parse checks the text of a file. name is what problems call it by; relative
// paths in it are relative to its folder.
func Parse(name string, src []byte) (*Config, error) {
	cfg := Default()
	cfg.File = name
	d := &decoder{file: name, dir: filepath.Dir(name), src: string(src), cfg: cfg, anchors: map[string]ast.Node{}}
	tree, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, Problems{syntaxProblem(name, err)}
	}
	var body ast.Node
	for i, doc := range tree.Docs {
		if i > 0 && doc.Body != nil {
			d.errorf(doc.Body, "a second document: one file is one configuration")
			break
		}
		body = doc.Body
	}
	if body != nil {
		ast.Walk(d, body)
		d.top(body)
		d.flatten(body, "", 0)
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, slices.Compact(d.problems)
	}
	return cfg, nil
}

func syntaxProblem(name string, err error) Problem {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		p := y.GetToken().Position
		return Problem{File: name, Line: p.Line, Col: p.Column, Text: "not YAML: " + y.GetMessage()}
	}
	return Problem{File: name, Text: "not YAML: " + err.Error()}
}

// top reads the whole file. What others refer to is read before them, wherever
// it stands.
func (d *decoder) top(n ast.Node) {
	t, ok := d.open(n, "", "")
	if !ok {
		return
	}
	c := d.cfg
	if n, path, ok := t.at("as"); ok {
		c.AS, _ = d.asNumber(n, path)
	}
	if t.addr("router_id", &c.RouterID) && (!c.RouterID.Is4() || c.RouterID.IsUnspecified()) {
		d.errorf(t.keys["router_id"].value, "router_id is four octets written as an IPv4 address, and not 0.0.0.0")
	}
	if t.addr("cluster_id", &c.ClusterID) && (!c.ClusterID.Is4() || c.ClusterID.IsUnspecified()) {
		d.errorf(t.keys["cluster_id"].value, "cluster_id is four octets written as an IPv4 address, and not 0.0.0.0")
	}
	number(t, "shards", 0, 256, &c.Shards)
	t.size("memory_limit", minMemory, &c.MemoryLimit)
	d.log(t)
	enum(t, "shutdown", shutdowns, &c.Shutdown)
	d.http(t)
	if n, path, ok := t.at("bgp"); ok {
		if t, ok := d.open(n, path, "bgp"); ok {
			d.listen(t, false, &c.BGP.Listen)
		}
	}
	t.items("load", d.load)
	if n, path, ok := t.at("persist"); ok {
		if t, ok := d.open(n, path, "persist"); ok {
			t.str("dir", &c.PersistDir)
			if c.PersistDir != "" && !filepath.IsAbs(c.PersistDir) {
				c.PersistDir = filepath.Join(d.dir, c.PersistDir)
			}
			if !t.has("dir") && t.node != nil && !isNull(t.node) {
				d.errorf(t.node, "persist wants dir, the folder to keep state in")
			}
		}
	}
	d.prefixSets(t)
	d.policies(t)
	d.peers(t)
	d.guards(t)
	d.blackhole(t)
}

func (d *decoder) log(t table) {
	n, path, ok := t.at("log")
	if !ok {
		return
	}
	if t, ok = d.open(n, path, "log"); !ok {
		return
	}
	levels := names{"debug", "info", "warn", "error"}
	var level uint8
	if enum(t, "level", levels, &level) {
		// slog's levels stand four apart, and info is 0.
		d.cfg.Log.Level = slogLevels[level]
	}
	enum(t, "format", logFormats, &d.cfg.Log.Format)
}

func (d *decoder) http(t table) {
	n, path, ok := t.at("http")
	if !ok {
		return
	}
	if t, ok = d.open(n, path, "http"); !ok {
		return
	}
	h := &d.cfg.HTTP
	d.listen(t, true, &h.Listen)
	seen := map[string]bool{}
	t.items("tokens", func(n ast.Node, path string) {
		t, ok := d.open(n, path, "token")
		if !ok {
			return
		}
		var tok Token
		t.str("name", &tok.Name)
		enum(t, "role", roles, &tok.Role)
		t.fileName("secret_file", &tok.SecretFile)
		t.need("name", "a name for the log")
		t.need("role", "what it may do: read, announce or admin")
		t.need("secret_file", "the file that holds the token")
		if tok.Name != "" && seen[tok.Name] {
			d.errorf(t.keys["name"].value, "%s.name: a second token called %q", path, tok.Name)
		}
		seen[tok.Name] = true
		h.Tokens = append(h.Tokens, tok)
	})
	if n, path, ok := t.at("tls"); ok && t.has("tls") {
		if t, ok := d.open(n, path, "tls"); ok {
			h.TLS = new(TLS)
			t.fileName("cert", &h.TLS.Cert)
			t.fileName("key", &h.TLS.Key)
			t.need("cert", "the certificate's file")
			t.need("key", "the key's file")
		}
	}
	if t.has("allow") {
		h.Allow = nil
	}
	t.items("allow", func(n ast.Node, path string) {
		if p, ok := d.prefix(n, path); ok {
			h.Allow = append(h.Allow, p)
		}
	})
}

// need complains where a key is not set.
func (t table) need(key, what string) {
	if !t.has(key) {
		if _, _, ok := t.at(key); ok {
			t.d.errorf(t.keys[key].key, "%s has nothing: it wants %s", join(t.path, key), what)
			return
		}
		t.d.errorf(t.node, "%s wants %s: %s", title(t.path), key, what)
	}
}

// listen reads a list of addresses to listen on.
func (d *decoder) listen(t table, unix bool, dst *[]Listen) {
	if !t.has("listen") {
		return
	}
	*dst = nil
	t.items("listen", func(n ast.Node, path string) {
		s, ok := d.scalar(n, path, "an address such as 127.0.0.1:8080")
		if !ok {
			return
		}
		l, err := ParseListen(s)
		if err != nil {
			d.errorf(n, "%s: %v", path, err)
			return
		}
		if l.Network == "unix" {
			if !unix {
				d.errorf(n, "%s: %s: BGP listens on TCP only", path, s)
				return
			}
			if !filepath.IsAbs(l.Address) {
				l.Address = filepath.Join(d.dir, l.Address)
			}
		}
		for _, o := range *dst {
			if o == l && !strings.HasSuffix(l.Address, ":0") {
				d.errorf(n, "%s: %s stands twice", path, s)
				return
			}
		}
		*dst = append(*dst, l)
	})
}

// ParseListen reads an address to listen on: ADDRESS:PORT with an IP address,
// localhost, or nothing for all addresses, or unix:PATH.
func ParseListen(s string) (Listen, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Listen{}, errors.New(`unix: names no socket: write "unix:/run/ribd/http.sock"`)
		}
		return Listen{"unix", path}, nil
	}
	const want = `write "127.0.0.1:8080", "[::1]:8080", ":8080" for all addresses, or "unix:PATH"`
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Listen{}, fmt.Errorf("%q is not ADDRESS:PORT: %s", s, want)
	}
	if v, err := strconv.ParseUint(port, 10, 16); err != nil || v > math.MaxUint16 {
		return Listen{}, fmt.Errorf("%q has no port from 0 to 65535: %s", s, want)
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			return Listen{}, fmt.Errorf("%q does not start with an IP address: %s", s, want)
		}
	}
	return Listen{"tcp", s}, nil
}

func (d *decoder) load(n ast.Node, path string) {
	t, ok := d.open(n, path, "load")
	if !ok {
		return
	}
	var l Dump
	t.fileName("file", &l.File)
	t.str("collector", &l.Collector)
	t.need("file", "the dump to load")
	d.cfg.Load = append(d.cfg.Load, l)
}
