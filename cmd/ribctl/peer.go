package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ribd/engine/api/apiv1"
)

// shownChanges is how many changes of state the page of a peer shows.
const shownChanges = 16

// peerCommand shows one peer.
type peerCommand struct {
	Peer    string `arg:"" help:"Address, id or name of the peer."`
	History int    `help:"Show this many changes of state." default:"16" placeholder:"N"`
}

// Run prints the page of the peer.
func (c *peerCommand) Run(e *env) error {
	return get(e, peerArg{c.Peer}.path(""), nil, func(p *apiv1.Peer) error {
		pg := &peerPage{e: e, p: p}
		pg.head()
		pg.session()
		pg.capabilities()
		pg.families()
		pg.messages()
		pg.errors()
		pg.notifications()
		pg.history(max(0, c.History))
		return pg.err
	})
}

// peerPage prints the page of a peer, a section after the other. A section
// that has nothing to say is left out.
type peerPage struct {
	e   *env
	p   *apiv1.Peer
	err error
}

func (g *peerPage) line(format string, args ...any) {
	if _, err := fmt.Fprintf(g.e.out, format+"\n", args...); err != nil {
		g.err = err
	}
}

// table prints rows under a heading, after an empty line.
func (g *peerPage) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	g.line("")
	t := newTable(g.e.out, head...)
	for _, r := range rows {
		t.add(r...)
	}
	if err := t.flush(); err != nil {
		g.err = err
	}
}

// when is a time and how long ago that was.
func (g *peerPage) when(at time.Time) string {
	return at.UTC().Format(time.RFC3339) + ", " + ago(g.e, at) + " ago"
}

// head says who it is, how it is, and why.
func (g *peerPage) head() {
	p := g.p
	who := []string{orDash(p.Address)}
	if p.Name != nil {
		who = append(who, printable(*p.Name))
	}
	if p.ASN != 0 {
		who = append(who, "AS "+strconv.FormatUint(uint64(p.ASN), 10))
	}
	g.line("%s", strings.Join(append(who, p.Type), "  "))
	if p.Description != nil {
		g.line("%s", printable(*p.Description))
	}
	g.line("")
	state := strings.ToUpper(p.State)
	if !p.Enabled {
		state = "DISABLED, " + p.State
	}
	if p.Since != nil {
		state += " for " + ago(g.e, *p.Since) + ", since " + p.Since.UTC().Format(time.RFC3339)
	}
	g.line("%s", state)
	if p.Reason != nil && p.State != "established" {
		g.line("  because: %s", printable(*p.Reason))
	}
	if p.NextConnectAt != nil && p.Enabled && p.State != "established" {
		g.line("  next try in %s, at %s", until(g.e, *p.NextConnectAt), p.NextConnectAt.UTC().Format(time.RFC3339))
	}
	for _, f := range p.Families {
		if r := f.GracefulRestart; r != nil && r.Stale != nil {
			s := fmt.Sprintf("  %s: %s stale paths are kept (%s)", f.Family, thousands(f.Stale), *r.Stale)
			if r.StaleUntil != nil {
				s += " for " + until(g.e, *r.StaleUntil) + " more"
			}
			g.line("%s", s)
		}
	}
	if p.Source == "bgp" {
		g.flaps()
	}
}

// flaps says how often the session was lost, and why the last time; of one that
// is up, for how long, too.
func (g *peerPage) flaps() {
	p := g.p
	s := "  flaps: " + thousands(p.Flaps)
	if d := p.LastDown; d != nil {
		s += "; the last one " + g.when(d.At)
		if p.State == "established" && p.Since != nil {
			s += ", for " + age(p.Since.Sub(d.At).Seconds())
		}
		if p.Reason == nil || p.State == "established" || *p.Reason != d.Reason {
			s += ": " + printable(d.Reason)
		}
	}
	g.line("%s", s)
}

// session shows both ends side by side.
func (g *peerPage) session() {
	p := g.p
	if p.Local == nil {
		g.loaded()
		return
	}
	var rows [][]string
	row := func(name, us, them, use string) {
		if us != "" || them != "" || use != "" {
			rows = append(rows, []string{name, us, them, use})
		}
	}
	row("address", endpoint(p.Local.Address, p.Local.Port), endpoint(p.Address, p.Port), "")
	row("AS", strconv.FormatUint(uint64(p.Local.ASN), 10), asText(p.ASN), p.Type)
	row("router id", orDash(p.Local.RouterID), orDash(p.RouterID), "")
	if r := p.Role; r != nil && (r.Local != nil || r.Remote != nil) {
		row("role", orDash(r.Local), orDash(r.Remote), "")
	}
	if t := p.Timers; t != nil {
		row("hold time", holdText(&t.Hold.Configured), holdText(t.Hold.Received), holdText(t.Hold.Negotiated))
		if t.Keepalive != nil {
			row("keepalive", "", "", holdText(t.Keepalive))
		}
		if t.SendHold != nil {
			row("send hold time", holdText(t.SendHold), "", "")
		}
		row("connect retry", seconds(t.ConnectRetry), "", "")
	}
	if t := p.Transport; t != nil {
		row("protection", protection(t), "", "")
		if t.MSS != nil {
			row("segment size", "", "", strconv.FormatUint(uint64(*t.MSS), 10))
		}
	}
	g.table([]string{"SESSION", "US", "THEM", "IN USE"}, rows)

	rows = nil
	set := func(name, value string) {
		if value != "" && value != "-" {
			rows = append(rows, []string{name, value})
		}
	}
	policy := func(s *string, none string) string {
		switch {
		case s != nil:
			return printable(*s)
		case p.Type == "internal":
			return "none: all routes"
		}
		return none
	}
	set("import", policy(p.Import, "none: every route is filtered (RFC 8212)"))
	set("export", policy(p.Export, "none: nothing is sent (RFC 8212)"))
	set("group", orDash(p.Group))
	switch {
	case p.RouteServerClient:
		set("client", "of the route server (RFC 7947)")
	case p.RouteReflectorClient:
		set("client", "of the route reflector (RFC 4456)")
	}
	if p.ConfiguredBy != nil {
		set("configured by", map[string]string{"file": "the file", "api": "the API"}[*p.ConfiguredBy])
	}
	if p.DynamicRange != nil {
		set("configured by", "the range "+*p.DynamicRange)
	}
	set("id", p.ID)
	g.table([]string{"SETTING", "VALUE"}, rows)
}

// loaded shows what a dump tells of a peer.
func (g *peerPage) loaded() {
	p := g.p
	rows := [][]string{{"id", p.ID}, {"source", p.Source}}
	if p.Collector != nil {
		rows = append(rows, []string{"collector", printable(*p.Collector)})
	}
	if p.RouterID != nil {
		rows = append(rows, []string{"router id", *p.RouterID})
	}
	g.table([]string{"PEER", "VALUE"}, rows)
}

func asText(as uint32) string {
	if as == 0 {
		return "any"
	}
	return strconv.FormatUint(uint64(as), 10)
}

func endpoint(addr *string, port *uint16) string {
	switch {
	case addr == nil:
		return "-"
	case port == nil:
		return *addr
	case strings.Contains(*addr, ":"):
		return fmt.Sprintf("[%s]:%d", *addr, *port)
	}
	return fmt.Sprintf("%s:%d", *addr, *port)
}

// seconds writes a timer: as it is configured where that is short.
func seconds(n uint32) string {
	if n <= 600 {
		return strconv.FormatUint(uint64(n), 10) + "s"
	}
	return age(float64(n))
}

// holdText is a time of a timer that 0 switches off.
func holdText(n *uint32) string {
	switch {
	case n == nil:
		return "-"
	case *n == 0:
		return "off"
	}
	return seconds(*n)
}

func protection(t *apiv1.PeerTransport) string {
	var s []string
	if t.MD5 {
		s = append(s, "MD5")
	}
	if t.TTLSecurity != nil {
		hops := "hops"
		if *t.TTLSecurity == 1 {
			hops = "hop"
		}
		s = append(s, fmt.Sprintf("TTL security, %d %s", *t.TTLSecurity, hops))
	}
	return strings.Join(s, "; ")
}

// families shows routes, and then what was agreed on each family.
func (g *peerPage) families() {
	var routes, more [][]string
	session := g.p.Source == "bgp"
	for i := range g.p.Families {
		f := &g.p.Families[i]
		sent := "-"
		if session {
			sent = thousands(f.Advertised)
		}
		if !session || f.Negotiated == nil || *f.Negotiated || f.Received > 0 {
			routes = append(routes, []string{f.Family, thousands(f.Prefixes), thousands(f.Received), thousands(f.Accepted), thousands(f.Filtered), thousands(f.Best), thousands(f.Stale), sent})
		}
		if session {
			more = append(more, g.familyRow(f))
		}
	}
	g.table([]string{"ROUTES", ">PREFIXES", ">RECEIVED", ">ACCEPTED", ">FILTERED", ">BEST", ">STALE", ">SENT"}, routes)
	g.table([]string{"FAMILY", "NEGOTIATED", "ADD-PATH", "END OF RIB IN", "OUT", "LIMIT", "GRACEFUL RESTART"}, more)
}

func (g *peerPage) familyRow(f *apiv1.PeerFamily) []string {
	row := []string{f.Family, "-", "-", "-", "-", "-", "-"}
	if f.Negotiated != nil {
		row[1] = yesNo(*f.Negotiated)
	}
	if a := f.AddPath; a != nil && f.Negotiated != nil && *f.Negotiated {
		row[2] = map[[2]bool]string{{true, true}: "receive, send", {true, false}: "receive", {false, true}: "send", {false, false}: "no"}[[2]bool{a.Receive, a.Send}]
	}
	if r := f.EndOfRIB; r != nil && (f.Negotiated == nil || *f.Negotiated) {
		row[3], row[4] = g.after(r.Received), g.after(r.Sent)
	}
	if l := f.PrefixLimit; l != nil {
		row[5] = fmt.Sprintf("%s of %s, then %s", thousands(f.Prefixes), thousands(uint64(l.Limit)), l.Action)
		if l.RestartAfter != nil {
			row[5] += " after " + seconds(*l.RestartAfter)
		}
		switch {
		case l.State == "warned" && l.Warn != nil:
			row[5] += ": WARNED, over " + thousands(uint64(*l.Warn))
		case l.State != "ok":
			row[5] += ": " + strings.ToUpper(l.State)
		}
	}
	if r := f.GracefulRestart; r != nil {
		row[6] = seconds(r.RestartTime)
		if r.LLGRStaleTime != nil {
			row[6] += ", long-lived " + seconds(*r.LLGRStaleTime)
		}
		if r.Forwarding {
			row[6] += ", kept forwarding"
		}
	}
	return row
}

// after is how long after the session's begin something was.
func (g *peerPage) after(at *time.Time) string {
	switch {
	case at == nil && g.p.State == "established":
		return "not yet"
	case at == nil:
		return "-"
	case g.p.Since == nil || at.Before(*g.p.Since):
		return at.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("after %.1fs", at.Sub(*g.p.Since).Seconds())
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// messages shows what came and went.
func (g *peerPage) messages() {
	m := g.p.Messages
	if m == nil {
		return
	}
	in, out := &m.Received, &m.Sent
	var rows [][]string
	row := func(name string, a, b uint64) { rows = append(rows, []string{name, thousands(a), thousands(b)}) }
	row("open", in.Open, out.Open)
	row("update", in.Update, out.Update)
	row("  routes withdrawn", in.Withdraws, out.Withdraws)
	row("keepalive", in.Keepalive, out.Keepalive)
	row("notification", in.Notification, out.Notification)
	row("route refresh", in.RouteRefresh, out.RouteRefresh)
	if t := g.p.Transport; t != nil {
		row("octets", t.BytesIn, t.BytesOut)
		row("  in the socket now", t.ReceiveQueue, t.SendQueue)
	}
	last := func(at *time.Time) string {
		if at == nil {
			return "never"
		}
		return ago(g.e, *at) + " ago"
	}
	rows = append(rows, []string{"last", last(m.LastReceived), last(m.LastSent)})
	g.table([]string{"MESSAGES", ">RECEIVED", ">SENT"}, rows)
}

// errors shows malformed messages, the last one octet by octet.
func (g *peerPage) errors() {
	n := g.p.Errors
	if n == nil || n.TreatAsWithdraw+n.AttributeDiscard+n.FamilyDisabled == 0 && n.Last == nil {
		return
	}
	g.line("\nERRORS  treat-as-withdraw %s, attribute-discard %s, family-disable %s",
		thousands(n.TreatAsWithdraw), thousands(n.AttributeDiscard), thousands(n.FamilyDisabled))
	l := n.Last
	if l == nil {
		return
	}
	g.line("  last: %s", g.when(l.At))
	g.line("  %s", printable(l.Text))
	at := -1
	if l.Offset != nil {
		at = *l.Offset
	}
	for _, s := range hexDump(l.Data, at) {
		g.line("    %s", s)
	}
	for _, s := range l.Decoded {
		g.line("  %s", printable(s))
	}
}

// maxDump bounds the octets of a dump.
const maxDump = 512

// hexDump is octets in rows of 16, with brackets around the one at fault.
func hexDump(text string, fault int) (rows []string) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	first := 0
	if fault >= maxDump { // the octets before the fault matter most
		first = min(fault, len(b)) &^ 15
		first -= min(first, maxDump/2)
	}
	for i := first; i < len(b) && i < first+maxDump; i += 16 {
		var s strings.Builder
		fmt.Fprintf(&s, "%04x ", i)
		for j := i; j < min(i+16, len(b)); j++ {
			switch {
			case j == fault:
				fmt.Fprintf(&s, "[%02x]", b[j])
			case j == fault+1 && j > i:
				fmt.Fprintf(&s, "%02x", b[j])
			default:
				fmt.Fprintf(&s, " %02x", b[j])
			}
		}
		rows = append(rows, s.String())
	}
	if n := len(b) - first - maxDump; n > 0 {
		rows = append(rows, fmt.Sprintf("… %d more", n))
	}
	return rows
}

// notifications shows the last NOTIFICATION each way.
func (g *peerPage) notifications() {
	n := g.p.LastNotification
	if n == nil || n.Received == nil && n.Sent == nil {
		return
	}
	g.line("\nNOTIFICATION")
	show := func(which string, n *apiv1.Notification) {
		if n == nil {
			return
		}
		g.line("  %s: %s", which, g.when(n.At))
		g.line("    %s (%d/%d)", printable(n.Name), n.Code, n.Subcode)
		if n.Message != nil {
			g.line("    %q", *n.Message)
		}
		if n.Decoded != nil {
			g.line("    %s", printable(*n.Decoded))
		}
		if n.Data != "" {
			g.line("    data %s", n.Data)
		}
	}
	show("received", n.Received)
	show("sent", n.Sent)
}

// history shows the last changes of state, the newest first.
func (g *peerPage) history(most int) {
	var rows [][]string
	list := g.p.History
	for i := len(list) - 1; i >= 0 && len(rows) < most; i-- {
		c := &list[i]
		rows = append(rows, []string{c.At.UTC().Format("2006-01-02T15:04:05.000Z"), c.From, c.To, printable(c.Reason)})
	}
	g.table([]string{"HISTORY", "FROM", "TO", "REASON"}, rows)
	if n := len(list) - len(rows); n > 0 && most > 0 {
		g.line("%d earlier: --history %d", n, len(list))
	}
}
