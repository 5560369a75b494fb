package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// client talks to one server.
type client struct {
	http  *http.Client
	base  string // scheme and host
	shown string // what errors call the server
	token string
}

// newClient reads the flags that say where the server is.
func newClient(g *globals) (*client, error) {
	c := &client{shown: g.Server}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	tr := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
	if path, ok := strings.CutPrefix(g.Server, "unix:"); ok {
		if path = strings.TrimPrefix(path, "//"); path == "" {
			return nil, errors.New("--server: unix: names no socket: write unix:PATH")
		}
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		tr.DisableCompression = true
		c.base = "http://localhost"
	} else {
		u, err := url.Parse(g.Server)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("--server: %q is not http://ADDRESS:PORT, https://ADDRESS:PORT or unix:PATH", g.Server)
		}
		c.base = u.Scheme + "://" + u.Host
		// On one machine, compressing costs more than it saves.
		a, err := netip.ParseAddr(u.Hostname())
		tr.DisableCompression = u.Hostname() == "localhost" || err == nil && a.IsLoopback()
	}
	if g.CAFile != "" {
		pem, err := os.ReadFile(g.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s holds no certificate in PEM", g.CAFile)
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if g.TokenFile != "" {
		b, err := os.ReadFile(g.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		if c.token = strings.TrimSpace(string(b)); c.token == "" || strings.ContainsAny(c.token, " \r\n") {
			return nil, fmt.Errorf("--token-file: %s does not hold one token", g.TokenFile)
		}
	}
	c.http = &http.Client{Transport: tr}
	return c, nil
}

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	body         io.Reader
	contentType  string
	accept       string
	key          string // Idempotency-Key
}

// do sends a request and returns the answer's body where it is a good one. An
// answer that is an error comes as *apiv1.Problem.
func (c *client) do(ctx context.Context, r request) (io.ReadCloser, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "ribctl/"+version)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, problemOf(resp)
}

// explain says of an error of the connection what a person can do about it.
func (c *client) explain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no ribd answers at %s: %w (--server or RIBCTL_SERVER says where it is)", c.shown, op.Err)
	}
	return fmt.Errorf("%s: %w", c.shown, err)
}

func problemOf(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	p := new(apiv1.Problem)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(b, p) == nil && p.Title != "" {
		if len(p.IDs) > 0 {
			return fmt.Errorf("%w: %s", p, strings.Join(p.IDs, ", "))
		}
		return p
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	if len(line) == 0 || len(line) > 200 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return fmt.Errorf("the server answers %s: %s", resp.Status, line)
}

// get asks for one JSON object: printed as it came with --json, else decoded
// into v and shown by show.
func get[T any](e *env, path string, query url.Values, show func(*T) error) error {
	return fetch(e, request{method: http.MethodGet, path: path, query: query}, show)
}

// fetch is get for any request.
func fetch[T any](e *env, r request, show func(*T) error) error {
	body, err := e.client.do(e.ctx, r)
	if err != nil {
		return err
	}
	defer body.Close()
	if e.flags.JSON {
		return copyJSON(e, body)
	}
	v := new(T)
	if err := decode(body, v); err != nil {
		return err
	}
	return show(v)
}

// copyJSON prints an answer as it came, ended by a newline.
func copyJSON(e *env, body io.Reader) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return e.client.explain(err)
	}
	e.out.Write(bytes.TrimRight(b, "\n"))
	return e.out.WriteByte('\n')
}
