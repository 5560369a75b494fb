package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"ribd/engine/api/apiv1"
)

// reloadCommand makes the server read its file again.
type reloadCommand struct{}

// Run reloads.
func (reloadCommand) Run(e *env) error {
	body, err := e.client.do(e.ctx, request{method: http.MethodPost, path: "/api/v1/reload"})
	if err != nil {
		return problems(e, err)
	}
	defer body.Close()
	if e.flags.JSON {
		return copyJSON(e, body)
	}
	var r apiv1.Reload
	if err := decode(body, &r); err != nil {
		return err
	}
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintf(e.out, "%s is as it was: nothing changed\n", printable(r.File))
		return err
	}
	if err := showChanges(e, &r.ConfigDiff); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "\n%s is reloaded: %s\n", printable(r.File), tally(&r.ConfigDiff))
	return err
}

// configCommand holds what concerns the configuration.
type configCommand struct {
	Diff diffCommand `cmd:"" help:"What a reload would change, and which sessions that would touch."`
}

// diffCommand shows what a reload would change.
type diffCommand struct{}

// Run prints the differences.
func (diffCommand) Run(e *env) error {
	err := get(e, "/api/v1/config/diff", nil, func(d *apiv1.ConfigDiff) error {
		if len(d.Changes) == 0 {
			_, err := fmt.Fprintf(e.out, "%s is what runs\n", printable(d.File))
			return err
		}
		if err := showChanges(e, d); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.out, "\na reload: %s\n", tally(d))
		return err
	})
	return problems(e, err)
}

// errConfig is the end of what a configuration with problems was asked for.
var errConfig = errors.New("the configuration has problems: nothing is changed")

// problems prints what is wrong with a configuration, a line each.
func problems(e *env, err error) error {
	var p *apiv1.Problem
	if !errors.As(err, &p) || len(p.Problems) == 0 {
		return err
	}
	for _, c := range p.Problems {
		if c.Line == 0 {
			fmt.Fprintf(e.errs, "%s: %s\n", printable(c.File), printable(c.Text))
		} else {
			fmt.Fprintf(e.errs, "%s:%d:%d: %s\n", printable(c.File), c.Line, c.Column, printable(c.Text))
		}
	}
	return errConfig
}

// signs stand before what is added, removed and changed.
var signs = map[string]string{"added": "+", "removed": "-", "changed": "~"}

// showChanges prints the differences, each with what it does to sessions.
func showChanges(e *env, d *apiv1.ConfigDiff) error {
	for i := range d.Changes {
		c := &d.Changes[i]
		name := printable(c.Section)
		if c.Name != nil {
			name += " " + printable(*c.Name)
		}
		if _, err := fmt.Fprintf(e.out, "%s %s: %s\n", signs[c.Change], name, effect(c)); err != nil {
			return err
		}
		for _, k := range c.Keys {
			switch {
			case k.Old == nil:
				fmt.Fprintf(e.out, "    + %s: %s\n", printable(k.Key), orDash(k.New))
			case k.New == nil:
				fmt.Fprintf(e.out, "    - %s: %s\n", printable(k.Key), orDash(k.Old))
			default:
				fmt.Fprintf(e.out, "    ~ %s: %s -> %s\n", printable(k.Key), orDash(k.Old), orDash(k.New))
			}
		}
	}
	return nil
}

// shownPeers is how many peers of a change are named.
const shownPeers = 8

// effect says what a change does.
func effect(c *apiv1.ConfigChange) string {
	who := printable(strings.Join(c.Peers[:min(len(c.Peers), shownPeers)], ", "))
	if n := len(c.Peers) - shownPeers; n > 0 {
		who += fmt.Sprintf(" and %d more", n)
	}
	switch c.Effect {
	case "live":
		if who == "" || c.Section == "peers" {
			return c.Change + ", no session is touched"
		}
		return c.Change + ", no session is touched; it concerns " + who
	case "reset":
		if c.Change == "removed" {
			return "removed, its session ends"
		}
		if who == "" || c.Section == "peers" {
			return c.Change + ", its session begins again"
		}
		return c.Change + ", these sessions begin again: " + who
	case "restart":
		return c.Change + ", it wants a restart of ribd"
	}
	return c.Change
}

// tally counts the changes by what they do.
func tally(d *apiv1.ConfigDiff) string {
	resets, restarts := map[string]bool{}, 0
	for i := range d.Changes {
		switch c := &d.Changes[i]; c.Effect {
		case "reset":
			for _, p := range c.Peers {
				resets[p] = true
			}
		case "restart":
			restarts++
		}
	}
	s := several(len(d.Changes), "change") + ", "
	if len(resets) == 0 {
		s += "no session"
	} else {
		s += several(len(resets), "session")
	}
	s += " reset"
	if restarts > 0 {
		s += fmt.Sprintf(", %d only after a restart of ribd", restarts)
	}
	return s
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// addPeerCommand adds a peer.
type addPeerCommand struct {
	Setting []string `arg:"" optional:"" help:"KEY=VALUE, as in the configuration file: address=192.0.2.1 as=65001 import=accept-all families=[ipv4-unicast]."`
	File    string   `help:"Read the keys of the peer from a file in YAML or JSON; - is standard input. KEY=VALUE goes over it." short:"f" type:"path" placeholder:"FILE"`
}

// Run adds the peer.
func (c *addPeerCommand) Run(e *env) error {
	config, err := c.config(e)
	if err != nil {
		return err
	}
	body, err := e.client.do(e.ctx, request{method: http.MethodPost, path: "/api/v1/peers", body: bytes.NewReader(config), contentType: "application/json"})
	if err != nil {
		return problems(e, err)
	}
	defer body.Close()
	if e.flags.JSON {
		return copyJSON(e, body)
	}
	var p apiv1.Peer
	if err := decode(body, &p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s is added, id %s: ribctl peer %s\n", orDash(p.Address), p.ID, url.PathEscape(orDash(p.Address)))
	return err
}

// config puts the keys of the file and of the command line together, as JSON.
func (c *addPeerCommand) config(e *env) ([]byte, error) {
	keys := yaml.MapSlice{}
	if c.File != "" {
		b, err := readFile(e, c.File)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		if err := yaml.Unmarshal(b, &keys); err != nil {
			return nil, fmt.Errorf("--file: %s does not hold the keys of a peer: %s", c.File, firstLine(err))
		}
	}
	for _, s := range c.Setting {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usageError(fmt.Sprintf("%q is not KEY=VALUE, such as address=192.0.2.1", s))
		}
		var value any
		if err := yaml.UnmarshalWithOptions([]byte(v), &value, yaml.UseOrderedMap()); err != nil {
			return nil, usageError(fmt.Sprintf("%s: %q is no value: %s", k, v, firstLine(err)))
		}
		set := false
		for i := range keys {
			if keys[i].Key == k {
				keys[i].Value, set = value, true
			}
		}
		if !set {
			keys = append(keys, yaml.MapItem{Key: k, Value: value})
		}
	}
	if len(keys) == 0 {
		return nil, usageError("what peer? KEY=VALUE, such as address=192.0.2.1 as=65001, or --file FILE")
	}
	b, err := yaml.MarshalWithOptions(keys, yaml.JSON())
	if err != nil {
		return nil, err
	}
	return b, nil
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// readFile reads a file, or standard input.
func readFile(e *env, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(e.in)
	}
	return os.ReadFile(name)
}
