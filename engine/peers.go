package engine

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"time"

	"ribd/engine/adjout"
	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/engine/session"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// List tells of the peers with sessions (api.Peers).
func (s *bgp) List(match func(id string, addr netip.Addr) bool) []apiv1.Peer {
	list := s.sessions.Select(match)
	out := make([]apiv1.Peer, len(list))
	for i := range list {
		out[i] = s.shape(&list[i])
	}
	return out
}

// ref points to a copy of v, but to nothing where v is the zero value.
func ref[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return ref(a.Unmap().String())
}

func portOf(a netip.AddrPort) *uint16 { return ref(a.Port()) }

func idText(id uint32) *string {
	if id == 0 {
		return nil
	}
	return ref(idAddr(id).String())
}

// shape tells of a peer in the words of the API.
func (s *bgp) shape(st *session.Status) apiv1.Peer {
	c := &st.Config
	p := apiv1.Peer{
		ID: st.ID, Address: addrText(st.Address), Port: ref(c.Port), Name: ref(c.Name), Description: ref(c.Description), Group: ref(c.Group),
		Source: rib.SourceBGP.String(), ASN: st.AS, RouterID: idText(st.RouterID),
		Local: &apiv1.PeerLocal{Address: addrText(st.Local.Addr()), Port: portOf(st.Local), ASN: st.LocalAS, RouterID: idText(st.LocalRouterID)},
		Type:  "external", Enabled: st.Enabled, State: st.State.String(), Since: at(st.Since), Reason: ref(st.Reason), Flaps: st.Flaps,
		NextConnectAt: at(st.NextConnectAt), Import: ref(c.Import), Export: ref(c.Export),
		RouteServerClient: c.RouteServer, RouteReflectorClient: c.RouteReflector,
		Capabilities: []apiv1.Capability{}, Families: []apiv1.PeerFamily{}, History: []apiv1.PeerChange{},
	}
	if st.Internal {
		p.Type = "internal"
	}
	if d := &st.LastDown; !d.At.IsZero() {
		p.LastDown = &apiv1.PeerDown{At: *at(d.At), Reason: d.Reason}
	}
	if st.Range.IsValid() {
		p.DynamicRange = ref(st.Range.String())
	}
	p.ConfiguredBy = ref(s.configuredBy(st))
	p.Role = roleShape(st)
	p.Timers = timersShape(st)
	if n := st.Negotiated; n != nil {
		for _, k := range n.Capabilities() {
			p.Capabilities = append(p.Capabilities, apiv1.Capability(k))
		}
	}
	sent := map[wire.Family]adjout.FamilyStatus{}
	if st.Session != nil {
		if m, ok := st.Session.User().(*adjout.Member); ok {
			for _, f := range m.Status() {
				sent[f.Family] = f
			}
		}
	}
	for i := range st.Families {
		f := &st.Families[i]
		p.Families = append(p.Families, familyShape(f, sent[f.Family], st))
	}
	m := &st.Messages
	p.Messages = &apiv1.PeerMessages{
		Received: apiv1.MessageCounts(m.Received), Sent: apiv1.MessageCounts(m.Sent),
		LastReceived: at(m.LastReceived), LastSent: at(m.LastSent),
	}
	p.Errors = errorsShape(st)
	p.LastNotification = &apiv1.PeerNotification{Received: notificationShape(st.LastNotification.Received), Sent: notificationShape(st.LastNotification.Sent)}
	for _, h := range st.History {
		p.History = append(p.History, apiv1.PeerChange{At: *at(h.At), From: h.From, To: h.To, Reason: h.Reason})
	}
	t := &st.Transport
	p.Transport = &apiv1.PeerTransport{
		MD5: t.MD5, TTLSecurity: ref(t.TTLSecurity), SendQueue: uint64(max(0, t.SendQueue)), ReceiveQueue: uint64(max(0, t.ReceiveQueue)),
		BytesIn: t.BytesIn, BytesOut: t.BytesOut,
	}
	if t.Connected {
		p.Transport.MSS = ref(uint32(t.MSS))
	}
	return p
}

// configuredBy says where a peer's configuration is from.
func (s *bgp) configuredBy(st *session.Status) string {
	if st.Range.IsValid() {
		return "range"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.added, func(a addedPeer) bool { return a.name == peerText(&st.Config) }) {
		return "api"
	}
	return "file"
}

func roleShape(st *session.Status) *apiv1.PeerRole {
	r := &apiv1.PeerRole{}
	if st.Config.LocalRole != config.RoleNone {
		r.Local = ref(st.Config.LocalRole.String())
	}
	if st.HasRemoteRole {
		r.Remote = ref(st.RemoteRole.String())
	}
	return r
}

func timersShape(st *session.Status) *apiv1.PeerTimers {
	t := &apiv1.PeerTimers{
		Hold:     apiv1.HoldTime{Configured: seconds(st.Config.HoldTime)},
		SendHold: ref(seconds(st.Config.SendHoldTime)), ConnectRetry: seconds(st.ConnectRetry),
	}
	n := st.Negotiated
	if n == nil || n.Theirs == nil {
		return t
	}
	received := uint32(n.Theirs.HoldTime)
	t.Hold.Received = &received
	if st.State == fsm.Established || st.State == fsm.OpenConfirm {
		negotiated, keepalive := seconds(n.HoldTime), seconds(n.Keepalive)
		t.Hold.Negotiated, t.Keepalive = &negotiated, &keepalive
	}
	return t
}

func familyShape(f *session.FamilyStatus, sent adjout.FamilyStatus, st *session.Status) apiv1.PeerFamily {
	p := apiv1.PeerFamily{Family: f.Family.String(), Advertised: int64(sent.Advertised)}
	if st.State == fsm.Established {
		negotiated := f.Negotiated
		p.Negotiated = &negotiated
		p.AddPath = &apiv1.AddPath{Receive: f.Receive, Send: f.Send}
		p.EndOfRIB = &apiv1.EndOfRIB{Received: at(f.EndOfRIB), Sent: at(sent.EndOfRIB)}
	}
	if l := f.Limit; l.Limit > 0 {
		p.PrefixLimit = &apiv1.PrefixLimit{
			Limit: l.Limit, Warn: ref(l.Warn), Action: l.Action.String(), RestartAfter: ref(seconds(l.RestartAfter)), State: f.LimitState.String(),
		}
	}
	if f.Restart || f.LongLived || f.Stale != rib.StaleNo {
		p.GracefulRestart = &apiv1.FamilyRestart{Forwarding: f.Forwarding, Stale: ref(f.Stale.String()), StaleUntil: at(f.StaleUntil)}
		if n := st.Negotiated; n != nil {
			p.GracefulRestart.RestartTime = seconds(n.Graceful.RestartTime)
		}
		if f.LongLived {
			t := seconds(f.LLGRTime)
			p.GracefulRestart.LLGRStaleTime = &t
		}
	}
	return p
}

func errorsShape(st *session.Status) *apiv1.PeerErrors {
	c := &st.Counters
	e := &apiv1.PeerErrors{TreatAsWithdraw: c.TreatAsWithdraw, AttributeDiscard: c.AttributeDiscard}
	if l := c.Last; l != nil {
		off := l.Error.Off
		e.Last = &apiv1.PeerError{
			At: *at(l.At), Action: l.Error.Action.String(), Text: l.Error.Error(), RFC: ref(l.Error.RFC), Offset: &off, Data: hex.EncodeToString(l.Message),
		}
	}
	return e
}

func notificationShape(n *session.Notification) *apiv1.Notification {
	if n == nil {
		return nil
	}
	return &apiv1.Notification{
		Code: n.Code, Subcode: n.Subcode, Name: n.Name, Message: ref(n.Message), Data: hex.EncodeToString(n.Data), At: *at(n.At),
	}
}

// sentTo is what a peer is sent, as the API asks for it.
type sentTo struct {
	m       *adjout.Member
	session *session.Session
}

// Err says that the session has ended (api.AdjOut).
func (a sentTo) Err() error {
	select {
	case <-a.session.Done():
		return errors.New("the session has ended")
	default:
		return nil
	}
}

// Paths is all that the peer is sent of a prefix (api.AdjOut).
func (a sentTo) Paths(t rib.TableID, k trie.Key, n uint8, dst []api.Advertised) []api.Advertised {
	var few [8]adjout.Advertised
	for _, p := range a.m.Paths(t, k, n, few[:0]) {
		dst = append(dst, api.Advertised(p))
	}
	return dst
}

// adjOut is the Adj-RIB-Out of a peer by its id, nil while it is down.
func (s *bgp) adjOut(id string) api.AdjOut {
	st, err := s.sessions.Peer(id)
	if err != nil || st.Session == nil {
		return nil
	}
	if m, ok := st.Session.User().(*adjout.Member); ok {
		return sentTo{m, st.Session}
	}
	return nil
}
