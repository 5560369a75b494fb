package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"ribd/engine/adjout"
	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/engine/metrics"
	"ribd/engine/policy"
	"ribd/engine/session"
	"ribd/shard/rib"
)

// errNoFile is what a reload of a ribd without a file says.
var errNoFile = errors.New("ribd runs without a configuration file: there is nothing to read again")

// Reload reads the configuration file again and carries out what has changed,
// and nothing else. After an error everything is as before.
func (e *Engine) Reload(context.Context) (apiv1.Reload, error) {
	r, err := e.reload()
	if err != nil {
		e.metrics.Reloads[metrics.ReloadRefused].Inc()
		e.log.Error("reload refused, nothing has changed", "error", err)
		return r, refusedConfig(err)
	}
	e.metrics.Reloads[metrics.ReloadOK].Inc()
	for _, c := range r.Changes {
		e.log.Info("reload", "section", c.Section, "name", nameOf(c), "change", c.Change, "effect", c.Effect)
	}
	e.log.Info("reloaded", "changes", len(r.Changes))
	return r, nil
}

func nameOf(c apiv1.ConfigChange) string {
	if c.Name == nil {
		return ""
	}
	return *c.Name
}

func (e *Engine) reload() (r apiv1.Reload, err error) {
	s := e.bgp
	s.change.Lock()
	defer s.change.Unlock()
	next, err := e.reread()
	if err != nil {
		return r, err
	}
	if r.ConfigDiff, err = s.diff(next); err != nil {
		return r, err
	}
	r.At = time.Now().UTC()
	if err = s.apply(next, s.added); err != nil {
		return r, err
	}
	if e.level != nil {
		e.level.Set(next.Log.Level)
	}
	return r, nil
}

// reread reads and checks the file; nothing is changed by it.
func (e *Engine) reread() (*config.Config, error) {
	if e.rereadFile == nil {
		return nil, errNoFile
	}
	next, err := e.rereadFile()
	if err != nil {
		return nil, err
	}
	if ps := next.Missing(); len(ps) > 0 {
		return nil, ps
	}
	if ps := Check(next); len(ps) > 0 {
		return nil, ps
	}
	return next, nil
}

// Check compiles the policies of a configuration, and says what is wrong with
// them.
func Check(c *config.Config) config.Problems {
	_, ps := policy.Compile(c, nil, nil)
	return ps
}

// configDiff says what a reload would change.
func (e *Engine) configDiff(context.Context) (apiv1.ConfigDiff, error) {
	s := e.bgp
	s.change.Lock()
	defer s.change.Unlock()
	next, err := e.reread()
	if err != nil {
		return apiv1.ConfigDiff{}, refusedConfig(err)
	}
	d, err := s.diff(next)
	return d, refusedConfig(err)
}

// refusedConfig makes the problems of a file what the API answers.
func refusedConfig(err error) error {
	if err == nil {
		return nil
	}
	r := &api.Refused{Status: 422, Detail: err.Error()}
	var ps config.Problems
	if errors.As(err, &ps) {
		r.Detail = fmt.Sprintf("the configuration has %d problems; the first: %s", len(ps), ps[0])
		if len(ps) == 1 {
			r.Detail = "the configuration has a problem: " + ps[0].String()
		}
		for _, p := range ps {
			r.Problems = append(r.Problems, apiv1.ConfigProblem{File: p.File, Line: p.Line, Column: p.Col, Text: p.Text})
		}
	}
	return r
}

// apply makes next what runs, with the peers that the API added. s.change is
// held. The order is: policies first, so that a session that starts finds its
// own; then sessions; then stored routes and what is sent of them.
func (s *bgp) apply(next *config.Config, added []addedPeer) error {
	whole, err := withAdded(next, added)
	if err != nil {
		return err
	}
	set, problems := policy.Compile(whole, s.rib.Attrs(), s.rib.RawNLRI)
	if len(problems) > 0 {
		return problems
	}
	s.own.read()
	s.mu.Lock()
	before, beforeSet := s.cfg, s.set
	s.cfg = whole
	s.use(set)
	s.mu.Unlock()
	if _, err = s.sessions.Apply(session.SettingsOf(whole)); err != nil {
		s.mu.Lock()
		s.cfg, s.set = before, beforeSet
		s.mu.Unlock()
		return err
	}
	if before.ClusterID != whole.ClusterID {
		for _, ses := range s.sessions.Sessions() {
			if ses.Internal {
				s.sessions.Reset(ses.ID, "") // gone by itself: as well
			}
		}
	}
	s.mu.Lock()
	s.file, s.added = next, added
	s.mu.Unlock()
	s.rejudge()
	s.guarded.forget()
	s.origin.SetGuards(guardsOf(whole))
	return nil
}

// rejudge gives every session the policies of today: routes of peers whose
// import is another one are judged again, and members whose export is another
// one are sent the difference.
func (s *bgp) rejudge() {
	before := map[rib.PeerNum]rib.Filter{}
	s.mu.Lock()
	for n, i := range s.imports {
		before[n] = i.filter
	}
	s.mu.Unlock()
	changed := s.sessions.Reimport()
	maps.DeleteFunc(changed, func(n rib.PeerNum, f rib.Filter) bool { return before[n] == f })
	if len(changed) > 0 {
		s.rib.Rejudge(changed)
	}
	exports := map[*adjout.Member]adjout.Export{}
	for _, ses := range s.sessions.Sessions() {
		if m, ok := ses.User().(*adjout.Member); ok {
			exports[m] = s.export(ses, s.note(ses))
		}
	}
	s.out.SetExports(exports)
}

// The effects of a change.
const (
	effectLive    = "live"    // taken over at once
	effectReset   = "reset"   // sessions start again
	effectRestart = "restart" // only when ribd starts again
)

// diff says what differs between what runs and next, and what a reload would do
// about it. s.change is held.
func (s *bgp) diff(next *config.Config) (apiv1.ConfigDiff, error) {
	d := apiv1.ConfigDiff{File: next.File, Changes: []apiv1.ConfigChange{}}
	whole, err := withAdded(next, s.added)
	if err != nil {
		return d, err
	}
	plan, err := s.sessions.Plan(session.SettingsOf(whole))
	if err != nil {
		return d, err
	}
	for _, c := range s.file.Diff(next) {
		section, name, key := split(c.Path)
		i := slices.IndexFunc(d.Changes, func(o apiv1.ConfigChange) bool { return o.Section == section && nameOf(o) == name })
		if i < 0 {
			o := apiv1.ConfigChange{Section: section, Change: "changed", Peers: []string{}, Keys: []apiv1.ConfigKey{}}
			if name != "" {
				o.Name = &name
			}
			i, d.Changes = len(d.Changes), append(d.Changes, o)
		}
		k := apiv1.ConfigKey{Key: key}
		if c.Old != "" {
			k.Old = &c.Old
		}
		if c.New != "" {
			k.New = &c.New
		}
		d.Changes[i].Keys = append(d.Changes[i].Keys, k)
	}
	for i := range d.Changes {
		s.effect(&d.Changes[i], plan, next)
	}
	return d, nil
}

// split takes a path of the configuration apart: its section, the name of the
// item in it, and the key.
func split(path string) (section, name, key string) {
	at := strings.IndexAny(path, ".[")
	if at < 0 {
		return path, "", path
	}
	section, rest := path[:at], path[at:]
	if rest[0] == '[' {
		end := strings.IndexByte(rest, ']')
		return section, rest[1:end], strings.TrimPrefix(rest[end+1:], ".")
	}
	rest = rest[1:]
	switch section {
	case "groups", "policies", "prefix_sets":
		if end := strings.IndexAny(rest, ".["); end >= 0 {
			return section, rest[:end], strings.TrimPrefix(rest[end:], ".")
		}
		return section, rest, rest
	}
	return section, "", rest
}

// effect says what a change does to whom.
func (s *bgp) effect(c *apiv1.ConfigChange, plan session.Changes, next *config.Config) {
	concerns := func(p *config.Peer) bool { return false }
	name := nameOf(*c)
	c.Effect = effectLive
	switch c.Section {
	case "as", "router_id", "cluster_id":
		c.Effect = effectReset
		concerns = func(*config.Peer) bool { return true }
	case "peers":
		switch {
		case !has(s.file, name):
			c.Change = "added"
		case !has(next, name):
			c.Change = "removed"
		}
		concerns = func(p *config.Peer) bool { return peerText(p) == name }
	case "peer_defaults":
		concerns = func(*config.Peer) bool { return true }
	case "groups":
		c.Change = presence(s.file.Groups, next.Groups, name)
		concerns = func(p *config.Peer) bool { return p.Group == name }
	case "policies":
		c.Change = presence(s.file.Policies, next.Policies, name)
		concerns = func(p *config.Peer) bool { return p.Import == name || p.Export == name }
	case "prefix_sets":
		c.Change = presence(s.file.PrefixSets, next.PrefixSets, name)
	case "bgp", "shutdown", "guards", "blackhole":
	case "log":
		for _, k := range c.Keys {
			if k.Key != "level" {
				c.Effect = effectRestart
			}
		}
	default:
		c.Effect = effectRestart
	}
	for i := range next.Peers {
		if p := &next.Peers[i]; concerns(p) {
			c.Peers = append(c.Peers, peerText(p))
		}
	}
	sections := c.Section == "peers" || c.Section == "groups" || c.Section == "peer_defaults"
	for _, p := range plan.Peers {
		if sections && p.Kind == session.Reset && slices.Contains(c.Peers, p.Peer) {
			c.Effect = effectReset
		}
	}
}

func presence[V any](before, after map[string]V, name string) string {
	_, was := before[name]
	_, is := after[name]
	switch {
	case !was:
		return "added"
	case !is:
		return "removed"
	}
	return "changed"
}

func peerText(p *config.Peer) string {
	if p.Address.IsValid() {
		return p.Address.String()
	}
	return p.Prefix.String()
}

func has(c *config.Config, peer string) bool {
	return slices.ContainsFunc(c.Peers, func(p config.Peer) bool { return peerText(&p) == peer })
}

// levelOf makes the level of the log one that a reload can change.
func levelOf(v *slog.LevelVar, c *config.Config) *slog.LevelVar {
	if v != nil {
		v.Set(c.Log.Level)
	}
	return v
}
