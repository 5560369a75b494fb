package fsm

import (
	"encoding/binary"
	"encoding/hex"
	"slices"

	"ribd/wire"
)

// Capability is one row of the list of capabilities in the API: what each end
// said and what came of it, as plain values: true for a flag without a value,
// a string, an int64, a []string or a map[string]any; nil where there is
// nothing.
type Capability struct {
	Code       uint8
	Name       string
	Sent       any
	Received   any
	Negotiated any
}

// Capabilities lists every capability that either end named, in the order of
// their codes.
func (n *Negotiated) Capabilities() []Capability {
	rows := ListCapabilities(n.Ours, n.Theirs)
	for i := range rows {
		rows[i].Negotiated = n.outcome(wire.CapabilityCode(rows[i].Code))
	}
	return rows
}

// ListCapabilities lists what two OPENs say where nothing was negotiated yet;
// either may be nil.
func ListCapabilities(ours, theirs *wire.Open) []Capability {
	var codes []wire.CapabilityCode
	for _, o := range []*wire.Open{ours, theirs} {
		if o == nil {
			continue
		}
		for _, c := range o.Capabilities {
			codes = append(codes, c.Code)
		}
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	rows := make([]Capability, len(codes))
	for i, c := range codes {
		rows[i] = Capability{Code: uint8(c), Name: c.String(), Sent: said(ours, c), Received: said(theirs, c)}
	}
	return rows
}

// said decodes what an OPEN says of one capability; what cannot be decoded is
// hex.
func said(o *wire.Open, code wire.CapabilityCode) any {
	if o == nil || !o.Has(code) {
		return nil
	}
	switch code {
	case wire.CapMultiprotocol:
		fs := o.Families()
		return names(fs.Families())
	case wire.CapExtendedNextHop:
		fs := o.ExtendedNextHop()
		return names(fs.Families())
	case wire.CapRole:
		if r, ok := o.Role(); ok {
			return r.String()
		}
	case wire.CapGracefulRestart:
		if g, ok := o.GracefulRestart(); ok {
			return gracefulValue(&g)
		}
	case wire.CapAS4:
		if as, ok := o.AS4(); ok {
			return int64(as)
		}
	case wire.CapAddPath:
		return pathValue(o.AddPath())
	case wire.CapLLGR:
		return longLivedValue(o.LLGR())
	case wire.CapHostname:
		if host, domain, ok := o.Hostname(); ok {
			return map[string]any{"hostname": host, "domain": domain}
		}
	case wire.CapSoftwareVersion:
		if v, ok := o.SoftwareVersion(); ok {
			return v
		}
	case wire.CapMultipleLabels, wire.CapPathsLimit:
		return counts(o, code)
	}
	return rawValue(o, code)
}

// rawValue returns a capability's value as hex, as a list of them where it is
// there more than once, and true for one without.
func rawValue(o *wire.Open, code wire.CapabilityCode) any {
	var all []string
	for _, c := range o.Capabilities {
		if c.Code == code {
			all = append(all, hex.EncodeToString(c.Value))
		}
	}
	slices.Sort(all)
	switch all = slices.Compact(all); {
	case len(all) == 1 && all[0] == "":
		return true
	case len(all) == 1:
		return all[0]
	}
	return all
}

func names(fs []wire.Family) []string {
	s := make([]string, len(fs))
	for i, f := range fs {
		s[i] = f.String()
	}
	return s
}

func gracefulValue(g *wire.GracefulRestart) any {
	fs := map[string]any{}
	for _, f := range g.Families {
		fs[f.Family.String()] = map[string]any{"forwarding": f.Forwarding}
	}
	return map[string]any{"restart_time": int64(g.Time), "restarting": g.Restarting, "notification": g.Notification, "families": fs}
}

func longLivedValue(fs []wire.LLGRFamily) any {
	m := map[string]any{}
	for _, f := range fs {
		m[f.Family.String()] = map[string]any{"stale_time": int64(f.StaleTime), "forwarding": f.Forwarding}
	}
	return m
}

// pathValue says for each family in which directions path ids go.
func pathValue(receive, send wire.FamilySet) any {
	m := map[string]any{}
	for _, f := range receive.Families() {
		m[f.String()] = "receive"
	}
	for _, f := range send.Families() {
		if receive.Has(f) {
			m[f.String()] = "both"
		} else {
			m[f.String()] = "send"
		}
	}
	return m
}

// counts decodes a capability that is a number for each family: of one octet
// (RFC 8277 section 2.1), or of two (draft-abraitis-idr-addpath-paths-limit).
func counts(o *wire.Open, code wire.CapabilityCode) any {
	size := 4
	if code == wire.CapPathsLimit {
		size = 5
	}
	m := map[string]any{}
	for _, c := range o.Capabilities {
		if c.Code != code {
			continue
		}
		for v := c.Value; len(v) >= size; v = v[size:] {
			n := int64(v[3])
			if size == 5 {
				n = int64(binary.BigEndian.Uint16(v[3:]))
			}
			m[wire.MakeFamily(binary.BigEndian.Uint16(v), v[2]).String()] = n
		}
	}
	return m
}

// outcome says what came of a capability.
func (n *Negotiated) outcome(code wire.CapabilityCode) any {
	flag := func(on bool) any {
		if on {
			return true
		}
		return nil
	}
	list := func(fs wire.FamilySet) any {
		if fs.Empty() {
			return nil
		}
		return names(fs.Families())
	}
	switch code {
	case wire.CapMultiprotocol:
		return list(n.Families)
	case wire.CapRouteRefresh:
		return flag(n.RefreshReceive && n.Theirs.Has(code))
	case wire.CapExtendedNextHop:
		return list(n.ExtendedNextHop)
	case wire.CapExtendedMessage:
		return flag(n.ExtendedSend)
	case wire.CapRole:
		if n.HasRole && n.HasRemoteRole {
			return n.Role.String()
		}
	case wire.CapGracefulRestart:
		return n.gracefulOutcome()
	case wire.CapAS4:
		return flag(n.AS4)
	case wire.CapAddPath:
		if !n.AddPathReceive.Empty() || !n.AddPathSend.Empty() {
			return pathValue(n.AddPathReceive, n.AddPathSend)
		}
	case wire.CapEnhancedRefresh:
		return flag(n.EnhancedRefresh)
	case wire.CapLLGR:
		return n.longLivedOutcome()
	}
	return nil
}

// gracefulOutcome says which routes of the peer are retained, for how long, and
// whether so with NOTIFICATIONs.
func (n *Negotiated) gracefulOutcome() any {
	if !n.Ours.Has(wire.CapGracefulRestart) || !n.Theirs.Has(wire.CapGracefulRestart) {
		return nil
	}
	g := &n.Graceful
	return map[string]any{"restart_time": int64(g.RestartTime.Seconds()), "notification": g.Notification,
		"families": names(g.Families.Families())}
}

// longLivedOutcome says how long routes of the peer are kept long-lived stale.
func (n *Negotiated) longLivedOutcome() any {
	if !n.Graceful.LLGR {
		return nil
	}
	m := map[string]any{}
	for _, l := range n.Graceful.LongLived {
		m[l.Family.String()] = map[string]any{"stale_time": int64(l.StaleTime.Seconds())}
	}
	return m
}
