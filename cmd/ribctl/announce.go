package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// keyFlags name a path beside its prefix.
type keyFlags struct {
	Family string  `help:"Family: ipv4-vpn, ipv6-multicast, … Default: unicast, by the prefix." placeholder:"NAME"`
	RD     string  `name:"rd" help:"Route distinguisher, for VPN families." placeholder:"RD"`
	PathID *uint32 `name:"path-id" help:"A key of the local path: several of a prefix can be announced." placeholder:"N"`
	NLRI   string  `name:"nlri" help:"NLRI as hex in the place of a prefix, for families without." placeholder:"HEX"`
}

// attributeFlags are the attributes of a path, each a flag.
type attributeFlags struct {
	NextHop          string   `help:"Next hop: an address, or self for ours towards each peer." placeholder:"ADDRESS" group:"Attributes"`
	NextHopLinkLocal string   `help:"Link-local next hop beside an IPv6 one." placeholder:"ADDRESS" group:"Attributes"`
	Origin           string   `help:"igp, egp or incomplete." enum:",igp,egp,incomplete" default:"" placeholder:"ORIGIN" group:"Attributes"`
	ASPath           *string  `name:"as-path" help:"AS path: 65001 {64500,64501}; confederation (65002 65003) [65004,65005]." placeholder:"PATH" group:"Attributes"`
	MED              *uint32  `name:"med" help:"MULTI_EXIT_DISC." placeholder:"N" group:"Attributes"`
	LocalPref        *uint32  `help:"LOCAL_PREF." placeholder:"N" group:"Attributes"`
	Community        []string `help:"Community, 65001:100 or a name; may repeat." placeholder:"C" group:"Attributes"`
	LargeCommunity   []string `help:"Large community, 65001:1:2; may repeat." placeholder:"C" group:"Attributes"`
	ExtCommunity     []string `help:"Extended community, rt:65001:1 or 0x…; may repeat." placeholder:"C" group:"Attributes"`
	AtomicAggregate  bool     `help:"ATOMIC_AGGREGATE." group:"Attributes"`
	Aggregator       string   `help:"AGGREGATOR: AS number and address, 65001 192.0.2.1." placeholder:"AS ADDRESS" group:"Attributes"`
	OriginatorID     string   `name:"originator-id" help:"ORIGINATOR_ID." placeholder:"ID" group:"Attributes"`
	ClusterList      []string `help:"CLUSTER_LIST: ids with commas between." placeholder:"ID,…" group:"Attributes"`
	OnlyToCustomer   *uint32  `help:"Only to Customer (RFC 9234)." placeholder:"AS" group:"Attributes"`
	AIGP             *uint64  `name:"aigp" help:"Accumulated IGP metric (RFC 7311)." placeholder:"N" group:"Attributes"`
	Label            []uint32 `help:"Label, for labelled and VPN families; may repeat, top first." placeholder:"N" group:"Attributes"`
	Attribute        []string `sep:"none" help:"Any other attribute as TYPE:HEX or TYPE:FLAGS:HEX; may repeat." placeholder:"T:F:HEX" group:"Attributes"`
}

// paths makes a path of each prefix, or of the NLRI.
func (a *attributeFlags) paths(prefixes []string, k *keyFlags) ([]apiv1.PathInput, error) {
	in := k.path()
	in.NextHop, in.NextHopLinkLocal, in.Origin, in.ASPath = a.NextHop, a.NextHopLinkLocal, a.Origin, a.ASPath
	in.MED, in.LocalPref, in.Communities, in.LargeCommunities, in.ExtCommunities = a.MED, a.LocalPref, a.Community, a.LargeCommunity, a.ExtCommunity
	in.AtomicAggregate, in.Aggregator, in.OriginatorID, in.ClusterList = a.AtomicAggregate, a.Aggregator, a.OriginatorID, a.ClusterList
	in.OnlyToCustomer, in.AIGP, in.Labels = a.OnlyToCustomer, a.AIGP, a.Label
	for _, s := range a.Attribute {
		u, err := octetAttribute(s)
		if err != nil {
			return nil, err
		}
		in.UnknownAttributes = append(in.UnknownAttributes, u)
	}
	return k.each(in, prefixes)
}

// path is what the flags of a key say.
func (k *keyFlags) path() apiv1.PathInput {
	return apiv1.PathInput{Family: k.Family, RD: k.RD, PathID: k.PathID, NLRI: k.NLRI}
}

// each makes a path of each prefix.
func (k *keyFlags) each(in apiv1.PathInput, prefixes []string) ([]apiv1.PathInput, error) {
	if (k.NLRI == "") == (len(prefixes) == 0) {
		return nil, usageError("give prefixes, or --nlri with --family, or --file")
	}
	if k.NLRI != "" {
		return []apiv1.PathInput{in}, nil
	}
	var list []apiv1.PathInput
	for _, p := range prefixes {
		in.Prefix = p
		list = append(list, in)
	}
	return list, nil
}

// octetAttribute reads TYPE:HEX or TYPE:FLAGS:HEX.
func octetAttribute(s string) (u apiv1.UnknownAttribute, err error) {
	f := strings.Split(s, ":")
	wrong := usageError(fmt.Sprintf("--attribute %q is not TYPE:HEX or TYPE:FLAGS:HEX, such as 99:192:00ff", s))
	if len(f) < 2 || len(f) > 3 {
		return u, wrong
	}
	u.Value = f[len(f)-1]
	typ, err := strconv.ParseUint(f[0], 0, 8)
	if err != nil {
		return u, wrong
	}
	flags := uint64(192)
	if len(f) == 3 {
		if flags, err = strconv.ParseUint(f[1], 0, 8); err != nil {
			return u, wrong
		}
	}
	u.Type, u.Flags = uint8(typ), uint8(flags)
	return u, nil
}

// fileFlag is paths from a file.
type fileFlag struct {
	File string `help:"Paths as JSON: a list (all or nothing), or objects one after the other (each for itself); - is standard input." type:"path" placeholder:"FILE"`
}

// announceCommand originates paths.
type announceCommand struct {
	Prefix []string `arg:"" optional:"" help:"Prefixes; a bare address is a host prefix."`
	keyFlags
	attributeFlags
	fileFlag
	Peer []string `help:"Only to this peer: address, id or name; may repeat. Default: all that policy allows." placeholder:"PEER"`
	TTL  string   `name:"ttl" help:"Withdraw it after this time: 10m, 24h, or seconds." placeholder:"TIME"`
	Key  string   `name:"idempotency-key" help:"Do it once, however often it is sent with this key within a day." placeholder:"KEY"`
}

// Run announces.
func (c *announceCommand) Run(e *env) error {
	s := submission{method: http.MethodPost, path: "/api/v1/paths", key: c.Key}
	if c.File != "" {
		if besideFile(reflect.ValueOf(*c), "Key") {
			return usageError("give prefixes or --file, not both: a file has the attributes, peers and ttl of each path, too")
		}
		return s.file(e, c.File, announcedRow)
	}
	list, err := c.paths(c.Prefix, &c.keyFlags)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Peers, list[i].TTL = c.Peer, withUnit(c.TTL)
	}
	return submit(e, s, list, announcedRow)
}

// withUnit makes seconds of a bare number.
func withUnit(ttl string) string {
	if _, err := strconv.ParseUint(ttl, 10, 64); err == nil {
		return ttl + "s"
	}
	return ttl
}

// withdrawCommand withdraws what is originated.
type withdrawCommand struct {
	Prefix []string `arg:"" optional:"" help:"Prefixes."`
	keyFlags
	fileFlag
	Key string `name:"idempotency-key" help:"Do it once, however often it is sent with this key within a day." placeholder:"KEY"`
}

// Run withdraws.
func (c *withdrawCommand) Run(e *env) error {
	s := submission{method: http.MethodDelete, path: "/api/v1/paths", key: c.Key}
	if c.File != "" {
		if besideFile(reflect.ValueOf(*c), "Key") {
			return usageError("give prefixes or --file, not both: a file has the family and path id of each path, too")
		}
		return s.file(e, c.File, withdrawnRow)
	}
	list, err := c.each(c.path(), c.Prefix)
	if err != nil {
		return err
	}
	return submit(e, s, list, withdrawnRow)
}

// keyName is a path's name in tables.
func keyName(k *apiv1.PathKey) string {
	s := "-"
	switch {
	case k.Prefix != nil:
		s = *k.Prefix
	case k.NLRI != nil:
		s = *k.NLRI
	}
	if k.RD != nil {
		s = *k.RD + " " + s
	}
	if k.PathID != nil {
		s += "#" + strconv.FormatUint(uint64(*k.PathID), 10)
	}
	return printable(s)
}

// submission is paths that are sent to the server.
type submission struct {
	method, path, key string
}

// outcome is what came of a submission: rows for people where there are few, else
// how many of them.
type outcome struct {
	done, failed int
	verb         string
	peers        []peerOutcome
	rows         [][]string
	head         []string // of rows; nil: of paths
	before       []string // lines in front of them
}

type peerOutcome struct {
	peer   string
	states map[string]int
}

// fewRows is how many paths are shown one by one.
const fewRows = 20

// announcedRow notes an answer to an announcement.
func announcedRow(t *outcome, line []byte) error {
	var a apiv1.PathAnnounced
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
	}
	t.announced(keyName(&a.PathKey), a.ExpiresAt, a.Peers)
	return nil
}

// announced notes what became of a path or rule at peers.
func (t *outcome) announced(name string, expires *time.Time, peers []apiv1.PeerAnswer) {
	t.verb = "announced"
	t.done++
	end := "-"
	if expires != nil {
		end = expires.UTC().Format("2006-01-02T15:04:05Z")
	}
	if len(peers) == 0 && t.done <= fewRows {
		t.rows = append(t.rows, []string{name, "-", "no peer", "", end, ""})
	}
	for _, p := range peers {
		peer := orDash(p.Peer)
		i := slices.IndexFunc(t.peers, func(q peerOutcome) bool { return q.peer == peer })
		if i < 0 {
			i = len(t.peers)
			t.peers = append(t.peers, peerOutcome{peer, map[string]int{}})
		}
		t.peers[i].states[p.State]++
		if t.done <= fewRows {
			reason := ""
			if p.Reason != nil {
				reason = printable(*p.Reason)
			}
			t.rows = append(t.rows, []string{name, peer, p.State, number(p.AdvertisedPathID), end, reason})
		}
	}
}

// withdrawnRow notes an answer to a withdrawal.
func withdrawnRow(t *outcome, line []byte) error {
	var a apiv1.PathWithdrawn
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
	}
	t.verb = "withdrawn"
	t.done++
	if t.done <= fewRows {
		t.rows = append(t.rows, []string{keyName(&a.PathKey), a.Family})
	}
	return nil
}

// show prints what came of it.
func (t *outcome) show(e *env) error {
	switch {
	case t.done > 0 && t.done <= fewRows && t.verb == "announced":
		for _, line := range t.before {
			fmt.Fprintln(e.out, line)
		}
		head := t.head
		if head == nil {
			head = []string{"PREFIX", "PEER", "STATE", ">PATH ID", "UNTIL", "REASON"}
		}
		tab := newTable(e.out, head...)
		for _, r := range t.rows {
			if err := tab.add(r...); err != nil {
				return err
			}
		}
		if err := tab.flush(); err != nil {
			return err
		}
	case t.done > 0 && t.done <= fewRows:
		for _, r := range t.rows {
			fmt.Fprintf(e.out, "withdrawn: %s (%s)\n", r[0], r[1])
		}
	case t.done > 0:
		fmt.Fprintf(e.out, "%s %s\n", thousands(uint64(t.done)), t.verb)
		if len(t.peers) > 0 {
			tab := newTable(e.out, "PEER", ">SENT", ">QUEUED", ">DOWN", ">REFUSED")
			for _, p := range t.peers {
				n := func(s string) string { return thousands(uint64(p.states[s])) }
				if err := tab.add(p.peer, n("sent"), n("queued"), n("down"), n("refused")); err != nil {
					return err
				}
			}
			if err := tab.flush(); err != nil {
				return err
			}
		}
	}
	if t.failed > 0 {
		if err := e.out.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(e.errs, "ribctl: %s of %s failed\n", thousands(uint64(t.failed)), thousands(uint64(t.done+t.failed)))
		return errSome
	}
	return nil
}

// submit sends what the command line made: all or nothing.
func submit[T any](e *env, s submission, list []T, row func(*outcome, []byte) error) error {
	var v any = list
	if len(list) == 1 {
		v = list[0]
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.whole(e, bytes.NewReader(b), len(list) > 1, row)
}

// whole sends one JSON body and shows the answer.
func (s submission) whole(e *env, body io.Reader, isList bool, row func(*outcome, []byte) error) error {
	answer, err := e.client.do(e.ctx, request{method: s.method, path: s.path, body: body, contentType: "application/json", key: s.key})
	if err != nil {
		return err
	}
	defer answer.Close()
	if e.flags.JSON {
		return copyJSON(e, answer)
	}
	items := make([]json.RawMessage, 1)
	if isList {
		err = decode(answer, &items)
	} else {
		err = decode(answer, &items[0])
	}
	if err != nil {
		return err
	}
	var t outcome
	for _, it := range items {
		if err := row(&t, it); err != nil {
			return err
		}
	}
	return t.show(e)
}

// file sends what a file has: a list whole, objects line by line while they are
// read.
func (s submission) file(e *env, name string, row func(*outcome, []byte) error) error {
	in, isList, err := openPaths(e, name)
	if err != nil {
		return err
	}
	defer in.Close()
	if isList {
		return s.whole(e, in, true, row)
	}
	if s.key != "" {
		return usageError("--idempotency-key goes with prefixes or a list in a file: an object that is sent again changes nothing anyway")
	}
	lines := linesOf(in)
	defer lines.Close()
	answer, err := e.client.do(e.ctx, request{method: s.method, path: s.path, body: lines, contentType: "application/x-ndjson", accept: "application/x-ndjson"})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer answer.Close()
	var t outcome
	err = stream(e, answer, nil, func(line []byte) error {
		if bytes.HasPrefix(line, []byte(`{"line":`)) {
			t.failed++
			return lineFailed(e, name, line)
		}
		if e.flags.JSON {
			t.done++
			return nil
		}
		return row(&t, line)
	})
	if err == nil {
		err = lines.broke()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if e.flags.JSON {
		t.done = 0
		if t.failed > 0 {
			return errSome
		}
		return nil
	}
	return t.show(e)
}

// lineFailed tells of an object that was refused.
func lineFailed(e *env, name string, line []byte) error {
	var l apiv1.LineError
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("the server's answer is not what this ribctl knows: %w", err)
	}
	param := ""
	if l.Param != "" {
		param = printable(l.Param) + ": "
	}
	_, err := fmt.Fprintf(e.errs, "%s, object %d: %s%s\n", name, l.Line, param, printable(l.Error))
	return err
}
