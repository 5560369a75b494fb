package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// peersCommand shows peers.
type peersCommand struct {
	Peer  string `arg:"" optional:"" help:"Address, id or name of one peer: the same as the command peer."`
	Down  bool   `help:"Sessions that are not established only."`
	Names bool   `help:"Print addresses and names alone, for completion." hidden:""`
	State string `help:"Peers in this state only." enum:",idle,connect,active,open-sent,open-confirm,established,loaded" default:"" placeholder:"STATE"`
}

// Run prints the peers, or one of them.
func (c *peersCommand) Run(e *env) error {
	if c.Peer != "" {
		one := peerCommand{Peer: c.Peer, History: shownChanges}
		return one.Run(e)
	}
	if e.flags.JSON {
		return get(e, "/api/v1/peers", url.Values{"limit": {"100000"}}, func(*apiv1.Peers) error { return nil })
	}
	if c.Names {
		return pages(e, "/api/v1/peers", func(ps *apiv1.Peers) (*string, error) {
			for i := range ps.Peers {
				for _, s := range []*string{ps.Peers[i].Address, ps.Peers[i].Name} {
					if s != nil && plainWord(*s) {
						fmt.Fprintln(e.out, *s)
					}
				}
			}
			return ps.Next, nil
		})
	}
	t := newTable(e.out, "PEER", ">AS", "NAME", "STATE", ">FOR", ">PREFIXES", ">ACCEPTED", ">BEST", ">SENT", ">FLAPS", "ID", "NOTE")
	err := pages(e, "/api/v1/peers", func(ps *apiv1.Peers) (*string, error) {
		for i := range ps.Peers {
			p := &ps.Peers[i]
			if c.State != "" && p.State != c.State || c.Down && (p.State == "established" || p.State == "loaded") {
				continue
			}
			if err := t.add(peerRow(e, p)...); err != nil {
				return nil, err
			}
		}
		return ps.Next, nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}

// plainWord says whether a shell has nothing to expand in s: what completes a
// line is looked at by the shell first.
func plainWord(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == ""
}

// peerRow is one peer in a line.
func peerRow(e *env, p *apiv1.Peer) []string {
	var prefixes, accepted, best, sent, stale int64
	for _, f := range p.Families {
		prefixes += f.Prefixes
		accepted += f.Accepted
		best += f.Best
		sent += f.Advertised
		stale += f.Stale
	}
	name, state, flaps, out := orDash(p.Name), p.State, "-", "-"
	if p.Collector != nil {
		name = printable(*p.Collector)
	}
	if p.Source == "bgp" {
		flaps, out = thousands(p.Flaps), thousands(sent)
	}
	if !p.Enabled {
		state = "disabled"
	}
	since := "-"
	switch {
	case p.Source != "bgp":
	case p.LastDown != nil && p.State != "established": // not since the last call
		since = ago(e, p.LastDown.At)
	case p.Since != nil:
		since = ago(e, *p.Since)
	}
	as := "any"
	if p.ASN != 0 {
		as = strconv.FormatUint(uint64(p.ASN), 10)
	}
	return []string{orDash(p.Address), as, name, state, since, thousands(prefixes), thousands(accepted), thousands(best), out, flaps, p.ID, peerNote(e, p, stale)}
}

// peerNote is what there is to say of a peer that is not as it should be.
func peerNote(e *env, p *apiv1.Peer, stale int64) string {
	if p.Source != "bgp" {
		return ""
	}
	var notes []string
	if p.State != "established" {
		if p.Reason != nil {
			notes = append(notes, printable(*p.Reason))
		}
		if p.NextConnectAt != nil && p.Enabled {
			notes = append(notes, "next try in "+until(e, *p.NextConnectAt))
		}
	}
	if stale > 0 {
		notes = append(notes, thousands(stale)+" stale")
	}
	for _, f := range p.Families {
		if f.PrefixLimit != nil && f.PrefixLimit.State == "warned" {
			notes = append(notes, f.Family+" near its limit")
		}
	}
	return strings.Join(notes, "; ")
}

// ago is how long ago something was.
func ago(e *env, at time.Time) string { return age(max(0, e.now().Sub(at).Seconds())) }

// until is how long something is ahead.
func until(e *env, at time.Time) string { return age(max(0, at.Sub(e.now()).Seconds())) }

// messageFlag is a shutdown communication.
type messageFlag struct {
	Message string `help:"Why, for the peer to read (RFC 9003)." placeholder:"TEXT"`
}

func (m messageFlag) query() url.Values {
	if m.Message == "" {
		return nil
	}
	return url.Values{"message": {m.Message}}
}

// peerArg names a peer.
type peerArg struct {
	Peer string `arg:"" help:"Address, id or name of the peer."`
}

func (p peerArg) path(more string) string {
	return "/api/v1/peers/" + url.PathEscape(p.Peer) + more
}

// act asks for something of a peer and says done.
func act(e *env, r request, done string) error {
	body, err := e.client.do(e.ctx, r)
	if err != nil {
		return err
	}
	defer body.Close()
	if e.flags.JSON {
		b, err := io.ReadAll(body)
		e.out.Write(b)
		return err
	}
	_, err = fmt.Fprintln(e.out, done)
	return err
}

// enableCommand lets a session start.
type enableCommand struct{ peerArg }

// Run enables the peer.
func (c *enableCommand) Run(e *env) error {
	return act(e, request{method: http.MethodPost, path: c.path("/enable")}, c.Peer+" is enabled")
}

// disableCommand ends a session for good.
type disableCommand struct {
	peerArg
	messageFlag
}

// Run disables the peer.
func (c *disableCommand) Run(e *env) error {
	return act(e, request{method: http.MethodPost, path: c.path("/disable"), query: c.query()}, c.Peer+" is disabled")
}

// resetCommand ends a session and lets it start again.
type resetCommand struct {
	peerArg
	messageFlag
}

// Run resets the peer.
func (c *resetCommand) Run(e *env) error {
	return act(e, request{method: http.MethodPost, path: c.path("/reset"), query: c.query()}, c.Peer+" is reset")
}

// refreshCommand asks for routes again.
type refreshCommand struct {
	peerArg
	Family string `help:"Of this family only." placeholder:"NAME"`
}

// Run asks the peer for a refresh.
func (c *refreshCommand) Run(e *env) error {
	q := url.Values{}
	if c.Family != "" {
		q.Set("family", c.Family)
	}
	return act(e, request{method: http.MethodPost, path: c.path("/refresh"), query: q}, c.Peer+" is asked for its routes again")
}

// deletePeerCommand deletes a peer.
type deletePeerCommand struct {
	peerArg
	messageFlag
}

// Run deletes the peer.
func (c *deletePeerCommand) Run(e *env) error {
	return act(e, request{method: http.MethodDelete, path: c.path(""), query: c.query()}, c.Peer+" is deleted")
}

// dropCommand drops a loaded peer.
type dropCommand struct {
	Peer string `arg:"" help:"Id of the peer, or its address where that is of one peer."`
}

// Run drops the peer.
func (c *dropCommand) Run(e *env) error {
	return act(e, request{method: http.MethodDelete, path: peerArg{c.Peer}.path("")}, c.Peer+" is dropped")
}
