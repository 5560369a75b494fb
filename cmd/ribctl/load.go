package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"ribd/engine/api/apiv1"
)

// loadCommand loads dumps.
type loadCommand struct {
	File      []string `arg:"" help:"MRT files, plain or compressed, in this order; - is standard input."`
	Collector string   `help:"Whose files these are: files of a collector go on from each other." placeholder:"NAME"`
	OnServer  bool     `help:"The files are the server's: it opens them itself (admin only)."`
	NoWait    bool     `help:"Do not wait until the last one is loaded."`
}

// Run sends the files one after the other and waits for each.
func (c *loadCommand) Run(e *env) error {
	for i, name := range c.File {
		if err := c.one(e, name, c.NoWait && i == len(c.File)-1); err != nil {
			return err
		}
	}
	return nil
}

// one loads a file. The server answers with the id at once and reads on: its
// answer ends when it has the whole file.
func (c *loadCommand) one(e *env, name string, noWait bool) error {
	body, err := c.body(e, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer body.Close()
	r := request{method: http.MethodPost, path: "/api/v1/load", query: url.Values{}, body: body, contentType: "application/octet-stream"}
	if c.OnServer {
		r.contentType = "application/json"
	} else if c.Collector != "" {
		r.query.Set("collector", c.Collector)
	}
	answer, err := e.client.do(e.ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer answer.Close()
	in := bufio.NewReader(answer)
	line, err := in.ReadBytes('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", name, e.client.explain(err))
	}
	var started apiv1.LoadStarted
	if err := decode(bytes.NewReader(line), &started); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		sent <- err
	}()
	if noWait {
		if err := <-sent; err != nil {
			return fmt.Errorf("%s: %w", name, e.client.explain(err))
		}
		if e.flags.JSON {
			_, err = e.out.Write(line)
		} else {
			_, err = fmt.Fprintf(e.out, "%s: load %s\n", name, started.ID)
		}
		return err
	}
	err = c.wait(e, name, started.ID)
	if err == nil {
		err = <-sent
	}
	return err
}

// body opens what is sent: the file itself, or its name.
func (c *loadCommand) body(e *env, name string) (io.ReadCloser, error) {
	switch {
	case c.OnServer:
		b, err := json.Marshal(apiv1.LoadFile{File: name, Collector: c.Collector})
		return io.NopCloser(bytes.NewReader(b)), err
	case name == "-":
		return io.NopCloser(e.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("can't open it: %w", errors.Unwrap(err))
	}
	return f, nil
}

// wait follows a load to its end, with a line of progress on a terminal.
func (c *loadCommand) wait(e *env, name, id string) error {
	f, tty := e.errs.(*os.File)
	tty = tty && term.IsTerminal(int(f.Fd()))
	for {
		var raw json.RawMessage
		body, err := e.client.do(e.ctx, request{method: http.MethodGet, path: "/api/v1/loads/" + url.PathEscape(id)})
		if err != nil {
			return err
		}
		err = decode(body, &raw)
		body.Close()
		if err != nil {
			return err
		}
		var l apiv1.Load
		if err := decode(bytes.NewReader(raw), &l); err != nil {
			return err
		}
		if tty {
			fmt.Fprintf(e.errs, "\r\x1b[K%s: %s", filepath.Base(name), progress(&l))
		}
		if l.FinishedAt == nil {
			select {
			case <-e.ctx.Done():
				return e.ctx.Err()
			case <-time.After(150 * time.Millisecond):
			}
			continue
		}
		if tty {
			fmt.Fprint(e.errs, "\r\x1b[K")
		}
		if e.flags.JSON {
			e.out.Write(raw)
			e.out.WriteByte('\n')
		} else {
			fmt.Fprintf(e.out, "%s: %s\n", name, summary(&l))
		}
		if l.State != "done" {
			return errSome
		}
		return e.out.Flush()
	}
}

func progress(l *apiv1.Load) string {
	s := fmt.Sprintf("%s routes, %s/s", thousands(l.Routes), thousands(uint64(l.RoutesPerSec)))
	if l.BytesTotal != nil && *l.BytesTotal > 0 {
		s = fmt.Sprintf("%3.0f %%  %s", 100*float64(l.Bytes)/float64(*l.BytesTotal), s)
	}
	if l.SecondsLeft != nil {
		s += fmt.Sprintf(", %s left", age(*l.SecondsLeft))
	}
	return s
}

// summary is one finished load in a line.
func summary(l *apiv1.Load) string {
	s := fmt.Sprintf("%s: %s routes, %s withdrawn, %s records", l.State, thousands(l.Routes), thousands(l.Withdrawn), thousands(l.Records))
	if l.StartedAt != nil && l.FinishedAt != nil {
		s += fmt.Sprintf(" in %s", l.FinishedAt.Sub(*l.StartedAt).Round(time.Millisecond))
	}
	if l.Damaged > 0 {
		s += fmt.Sprintf(", %s damaged", thousands(l.Damaged))
	}
	if l.Truncated {
		s += ", truncated"
	}
	if l.Error != nil {
		s += ": " + printable(*l.Error)
	}
	return s
}

// loadsCommand lists loads.
type loadsCommand struct {
	ID string `arg:"" optional:"" help:"One load, with its damaged records."`
}

// Run prints the loads, or one of them.
func (c *loadsCommand) Run(e *env) error {
	if c.ID != "" {
		return get(e, "/api/v1/loads/"+url.PathEscape(c.ID), nil, func(l *apiv1.Load) error {
			fmt.Fprintf(e.out, "%s: %s\n", printable(l.Name), summary(l))
			if len(l.DamagedRecords) == 0 {
				return nil
			}
			t := newTable(e.out, ">OFFSET", "REASON")
			for _, d := range l.DamagedRecords {
				t.add(thousands(d.Offset), printable(d.Reason))
			}
			return t.flush()
		})
	}
	if e.flags.JSON {
		return get(e, "/api/v1/loads", nil, func(*apiv1.Loads) error { return nil })
	}
	t := newTable(e.out, "ID", "NAME", "COLLECTOR", "STATE", ">RECORDS", ">ROUTES", ">DAMAGED", "NOTE")
	err := pages(e, "/api/v1/loads", func(ls *apiv1.Loads) (*string, error) {
		for i := range ls.Loads {
			l := &ls.Loads[i]
			var notes []string
			if l.Truncated {
				notes = append(notes, "truncated")
			}
			if l.Error != nil {
				notes = append(notes, printable(*l.Error))
			}
			err := t.add(l.ID, printable(l.Name), printable(l.Collector), l.State, thousands(l.Records), thousands(l.Routes),
				thousands(l.Damaged), strings.Join(notes, ", "))
			if err != nil {
				return nil, err
			}
		}
		return ls.Next, nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}
