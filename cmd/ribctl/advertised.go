package main

import (
	"fmt"

	"ribd/engine/api/apiv1"
)

// advertisedCommand lists what a peer is sent.
type advertisedCommand struct {
	Peer   string `arg:"" help:"Address, id or name of the peer."`
	Prefix string `arg:"" optional:"" help:"Prefix or address; all routes without one."`
	Match  string `help:"exact, longest, longer or shorter; longer and shorter include the prefix." enum:",exact,longest,longer,shorter" default:"" placeholder:"HOW"`
	Limit  uint64 `help:"End after so many routes." placeholder:"N"`
	Fields string `help:"Show these fields of the API instead of the usual columns." placeholder:"F,…"`
	Count  bool   `help:"Count them."`
	filters
}

// Run streams the routes. FROM, in the column of the peer, is whose they are.
func (c *advertisedCommand) Run(e *env) error {
	if c.filters.Peer != "" {
		return usageError("--peer goes with routes: here the peer is the first argument (--peer-asn says whose routes)")
	}
	f := c.filters
	f.Peer = c.Peer
	flags := routeFlags{Match: c.Match, Table: "adj-out"}
	if c.Count {
		count := countCommand{Prefix: c.Prefix, routeFlags: flags, filters: f}
		return count.Run(e)
	}
	routes := routesCommand{Prefix: c.Prefix, routeFlags: flags, Limit: c.Limit, Fields: c.Fields, filters: f, from: true}
	if err := routes.Run(e); err != nil {
		return err
	}
	return c.down(e)
}

// down says of a session that is down why the list is empty.
func (c *advertisedCommand) down(e *env) error {
	if e.flags.JSON {
		return nil
	}
	return get(e, peerArg{c.Peer}.path(""), nil, func(p *apiv1.Peer) error {
		if p.State == "established" {
			return nil
		}
		s := p.State
		if p.Reason != nil {
			s += ", " + printable(*p.Reason)
		}
		_, err := fmt.Fprintf(e.errs, "%s is sent nothing: its session is down (%s)\n", printable(c.Peer), s)
		return err
	})
}
