package flowspec

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"ribd/wire"
)

// String returns the actions as ParseActions reads them: "rate-limit 1250000
// sample redirect rt:65000:1 mark 46"; "" where there is none. The AS numbers
// of rates are not told.
func (a *Actions) String() string { return string(a.AppendText(nil)) }

// AppendText appends what String returns.
func (a *Actions) AppendText(dst []byte) []byte {
	start := len(dst)
	word := func(w string) {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, w...)
	}
	if a.RateBytes != nil {
		word("rate-limit ")
		dst = AppendRate(dst, *a.RateBytes)
	}
	if a.RatePackets != nil {
		word("rate-limit-packets ")
		dst = AppendRate(dst, *a.RatePackets)
	}
	if a.Sample {
		word("sample")
	}
	switch {
	case a.GoOn:
		word("continue")
	case a.HasTrafficAction && !a.Sample:
		word("terminal")
	}
	if r := a.Redirect; r != nil {
		word("redirect ")
		dst = append(append(dst, r.Kind.String()...), ':')
		dst = append(dst, r.Value()...)
		if r.Copy {
			dst = append(dst, " copy"...)
		}
	}
	if a.MarkDSCP != nil {
		word("mark ")
		dst = strconv.AppendUint(dst, uint64(*a.MarkDSCP), 10)
	}
	for _, u := range a.Unknown {
		word("community 0x")
		dst = hex.AppendEncode(dst, u)
	}
	return dst
}

// AppendRate appends a rate so that it reads back to the same float32.
func AppendRate(dst []byte, r float32) []byte {
	if r < 1e15 && r == float32(math.Trunc(float64(r))) {
		return strconv.AppendFloat(dst, float64(r), 'f', -1, 32)
	}
	return strconv.AppendFloat(dst, float64(r), 'g', -1, 32)
}

// Value returns what the redirect names: "65000:1", "65536L:1", "192.0.2.1:1"
// or "[2001:db8::1]:1" for a route target, or an address.
func (r *Redirect) Value() string {
	if r.Kind == RedirectIP {
		return r.Addr.String()
	}
	var b []byte
	switch len(r.RT) {
	case 8:
		b = wire.AppendExtCommunity(nil, binary.BigEndian.Uint64(r.RT))
	case 20:
		b = wire.AppendIPv6ExtCommunity(nil, r.RT)
	}
	return strings.TrimPrefix(string(b), "rt:")
}

// ParseRedirect reads what Value returns.
func ParseRedirect(kind RedirectKind, value string) (Redirect, error) {
	if kind == RedirectIP {
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" || a.IsUnspecified() {
			return Redirect{}, fmt.Errorf("redirect: %q is not the address of a host (such as 192.0.2.1 or 2001:db8::1)", value)
		}
		return Redirect{Kind: RedirectIP, Addr: a}, nil
	}
	rt, err := parseRT(value)
	if err != nil {
		return Redirect{}, fmt.Errorf("redirect: %w", err)
	}
	return Redirect{Kind: RedirectRT, RT: rt}, nil
}

func parseRT(s string) ([]byte, error) {
	bad := fmt.Errorf("%q is not a route target (such as 65000:1, 65536L:1, 192.0.2.1:1 or [2001:db8::1]:1)", s)
	if rest, ok := strings.CutPrefix(s, "["); ok {
		addr, number, ok := strings.Cut(rest, "]:")
		a, err := netip.ParseAddr(addr)
		n, err2 := strconv.ParseUint(number, 10, 16)
		if !ok || err != nil || err2 != nil || !a.Is6() || a.Zone() != "" {
			return nil, bad
		}
		return binary.BigEndian.AppendUint16(append([]byte{0, 2}, a.AsSlice()...), uint16(n)), nil
	}
	m, err := wire.ParseExtCommunity("rt:" + s)
	if err != nil {
		return nil, bad
	}
	v, ok := m.Value()
	if !ok {
		return nil, bad
	}
	return binary.BigEndian.AppendUint64(nil, v), nil
}

// ParseActions reads actions: any of
//
//	accept                    nothing is done
//	discard                   rate-limit 0
//	rate-limit N              bytes a second (RFC 8955 section 7.1)
//	rate-limit-packets N      packets a second (section 7.2)
//	sample                    packets are sampled or logged (section 7.3)
//	continue                  later rules are looked at too: the T bit
//	terminal                  they are not, which is so without it too
//	redirect X [copy]         to a route target or an address; rt: and ip: say which
//	mark N                    the DSCP is set (section 7.5)
//	community 0x…             any other extended community, 8 or 20 octets
//
// The error names the word that is wrong and what would be right.
func ParseActions(s string) (Actions, error) { return parseActions(strings.Fields(s)) }

func parseActions(words []string) (Actions, error) {
	var a Actions
	p := actionParser{words: words, a: &a}
	if len(words) == 0 {
		return Actions{}, errors.New("flowspec: then: no action (such as accept, discard, rate-limit 1250000, redirect 65000:1, mark 46)")
	}
	for p.at < len(p.words) {
		if err := p.action(); err != nil {
			return Actions{}, fmt.Errorf("flowspec: then: %w", err)
		}
	}
	if p.accept && len(words) > 1 && (a.Discards() || a.Redirect != nil) {
		return Actions{}, errors.New("flowspec: then: accept beside an action that takes the packets away")
	}
	return a, nil
}

type actionParser struct {
	words    []string
	at       int
	a        *Actions
	accept   bool
	terminal bool
}

// next returns the word behind the one at hand.
func (p *actionParser) next(of, such string) (string, error) {
	if p.at == len(p.words) {
		return "", fmt.Errorf("%s: nothing behind it (such as %s %s)", of, of, such)
	}
	p.at++
	return p.words[p.at-1], nil
}

func (p *actionParser) action() error {
	word := p.words[p.at]
	p.at++
	switch strings.ReplaceAll(strings.ToLower(word), "_", "-") {
	case "accept":
		p.accept = true
		return nil
	case "discard", "drop":
		return p.setRate(&p.a.RateBytes, word, 0)
	case "rate-limit", "rate-limit-bytes", "traffic-rate":
		return p.rate(&p.a.RateBytes, word)
	case "rate-limit-packets":
		return p.rate(&p.a.RatePackets, word)
	case "sample":
		p.a.Sample, p.a.HasTrafficAction = true, true
		return nil
	case "continue", "non-terminal", "terminal":
		return p.flow(word)
	case "redirect", "copy":
		return p.redirect(word)
	case "mark", "mark-dscp":
		return p.mark(word)
	case "community", "extended-community":
		return p.community(word)
	}
	return fmt.Errorf("no action is called %q (accept, discard, rate-limit N, rate-limit-packets N, sample, continue, terminal, "+
		"redirect X, mark N, community 0x…)", word)
}

func (p *actionParser) flow(word string) error {
	goOn := !strings.EqualFold(word, "terminal")
	if goOn && p.terminal || !goOn && p.a.GoOn {
		return errors.New("terminal and continue at once")
	}
	p.a.HasTrafficAction, p.a.GoOn, p.terminal = true, goOn, !goOn
	return nil
}

func (p *actionParser) rate(to **float32, word string) error {
	s, err := p.next(word, "1250000")
	if err != nil {
		return err
	}
	r, err := strconv.ParseFloat(s, 32)
	if err != nil || math.IsNaN(r) || math.IsInf(r, 0) || r < 0 {
		return fmt.Errorf("%s: %q is not a number from 0 on", word, s)
	}
	return p.setRate(to, word, float32(r))
}

func (p *actionParser) setRate(to **float32, word string, r float32) error {
	if *to != nil {
		return fmt.Errorf("%s: a second limit of the kind", word)
	}
	r += 0 // no negative zero
	*to = &r
	return nil
}

func (p *actionParser) redirect(word string) error {
	s, err := p.next(word, "65000:1")
	if err != nil {
		return err
	}
	if p.a.Redirect != nil {
		return fmt.Errorf("%s: a second redirect", word)
	}
	kind := RedirectRT
	value, isIP := strings.CutPrefix(s, "ip:")
	if isIP {
		kind = RedirectIP
	} else if rt, isRT := strings.CutPrefix(s, "rt:"); isRT {
		value = rt
	} else if _, err := netip.ParseAddr(s); err == nil {
		kind = RedirectIP
	}
	r, err := ParseRedirect(kind, value)
	if err != nil {
		return err
	}
	r.Copy = strings.EqualFold(word, "copy")
	if p.at < len(p.words) && strings.EqualFold(p.words[p.at], "copy") {
		r.Copy = true
		p.at++
	}
	if r.Copy && r.Kind == RedirectRT {
		return fmt.Errorf("%s %s: only a redirect to an address can copy", word, s)
	}
	p.a.Redirect = &r
	return nil
}

func (p *actionParser) mark(word string) error {
	s, err := p.next(word, "46")
	if err != nil {
		return err
	}
	if p.a.MarkDSCP != nil {
		return fmt.Errorf("%s: a second mark", word)
	}
	v, err := ParseValue(false, TypeDSCP, s)
	if err != nil {
		return fmt.Errorf("%s: %w", word, err)
	}
	if v > 63 {
		return fmt.Errorf("%s: %s is over 63", word, s)
	}
	dscp := uint8(v)
	p.a.MarkDSCP = &dscp
	return nil
}

func (p *actionParser) community(word string) error {
	s, err := p.next(word, "0x800d000000000001")
	if err != nil {
		return err
	}
	digits, ok := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != 8 && len(b) != 20 {
		return fmt.Errorf("%s: %q is not 0x and 16 or 40 hex digits", word, s)
	}
	t := binary.BigEndian.Uint16(b)
	if len(b) == 8 && !isAction(t) || len(b) == 20 && !isAction6(t) {
		return fmt.Errorf("%s: %s is not of an action: it belongs to the attributes", word, s)
	}
	if len(b) == 8 && !goodRate(b) {
		return fmt.Errorf("%s: %s: the rate is not a finite number (RFC 8955 7.1)", word, s)
	}
	p.a.Unknown = append(p.a.Unknown, b)
	return nil
}
