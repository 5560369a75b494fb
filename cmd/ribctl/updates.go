package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"

	"ribd/engine/api/apiv1"
)

// updatesCommand shows the messages of paths.
type updatesCommand struct {
	Prefix []string `arg:"" optional:"" help:"Prefixes; a bare address is a host prefix."`
	keyFlags
	attributeFlags
	fileFlag
	Peer     string `help:"As this peer is sent them, by its policy and what was negotiated. Default: a plain external peer." placeholder:"PEER"`
	Withdraw bool   `help:"Show the withdrawal."`
	Send     bool   `help:"Announce them, too."`
	Decode   bool   `help:"Say what each message says."`
}

// Run prints the messages as hex, one a line.
func (c *updatesCommand) Run(e *env) error {
	var body io.Reader
	if c.File != "" {
		if besideFile(reflect.ValueOf(*c), "Peer", "Decode") {
			return usageError("--file stands alone, but for --peer and --decode: its objects have the attributes, and may have \"withdraw\":true and \"send\":true")
		}
		in, isList, err := openPaths(e, c.File)
		if err != nil {
			return err
		}
		defer in.Close()
		if body, err = listOf(in, isList); err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
	} else {
		list, err := c.paths(c.Prefix, &c.keyFlags)
		if err != nil {
			return err
		}
		for i := range list {
			list[i].Send, list[i].Withdraw = c.Send, c.Withdraw
		}
		b, err := json.Marshal(list)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	q := url.Values{}
	if c.Peer != "" {
		q.Set("peer", c.Peer)
	}
	req := request{method: http.MethodPost, path: "/api/v1/updates", query: q, body: body, contentType: "application/json"}
	return fetch(e, req, func(u *apiv1.Updates) error { return c.show(e, u) })
}

// listOf makes a list of objects that stand one after the other, so that their
// messages are packed together.
func listOf(in io.Reader, isList bool) (io.Reader, error) {
	if isList {
		return in, nil
	}
	var list []json.RawMessage
	for d := json.NewDecoder(in); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("object %d, near octet %d: %w", len(list)+1, d.InputOffset(), err)
		}
		list = append(list, raw)
	}
	b, err := json.Marshal(list)
	return bytes.NewReader(b), err
}

func (c *updatesCommand) show(e *env, u *apiv1.Updates) error {
	for i, m := range u.Messages {
		fmt.Fprintln(e.out, m)
		if c.Decode && i < len(u.Decoded) {
			for _, line := range u.Decoded[i] {
				fmt.Fprintf(e.out, "  %s\n", printable(line))
			}
		}
	}
	if len(u.Sent) > 0 {
		var t outcome
		for i := range u.Sent {
			b, err := json.Marshal(&u.Sent[i])
			if err != nil {
				return err
			}
			if err := announcedRow(&t, b); err != nil {
				return err
			}
		}
		fmt.Fprintln(e.out)
		if err := t.show(e); err != nil {
			return err
		}
	}
	if len(u.Refused) == 0 {
		return nil
	}
	if err := e.out.Flush(); err != nil {
		return err
	}
	for i := range u.Refused {
		r := &u.Refused[i]
		fmt.Fprintf(e.errs, "ribctl: %s would not be sent: %s\n", keyName(&r.PathKey), printable(r.Reason))
	}
	return errSome
}
