package api

import (
	"strconv"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/engine/metrics"
)

// peerStates are the states of a session in the order of RFC 4271, which is
// that of bgpPeerState in RFC 4273: the first is 1.
var peerStates = []string{"idle", "connect", "active", "open-sent", "open-confirm", "established"}

// collectPeers writes the metrics of sessions. Each has its peer's address as a
// label; what else is known of the peer is in the labels of ribd_peer_info.
// Values of one name stand together, as the text format wants it.
func collectPeers(w *metrics.Writer, all []peerEntry) {
	var list []*apiv1.Peer
	states := map[string]uint64{}
	for i := range all {
		if all[i].session {
			list = append(list, &all[i].shape)
			states[all[i].shape.State]++
		}
	}
	for _, s := range peerStates {
		w.Gauge("ribd_sessions", states[s], "state", s)
	}
	each := func(f func(p *apiv1.Peer, peer string)) {
		for _, p := range list {
			peer := p.ID
			if p.Address != nil {
				peer = *p.Address
			}
			f(p, peer)
		}
	}
	each(func(p *apiv1.Peer, peer string) {
		w.Gauge("ribd_peer_info", 1, "peer", peer, "id", p.ID, "asn", strconv.FormatUint(uint64(p.ASN), 10),
			"name", textOf(p.Name), "group", textOf(p.Group), "type", p.Type)
	})
	each(func(p *apiv1.Peer, peer string) { w.Gauge("ribd_peer_enabled", oneIf(p.Enabled), "peer", peer) })
	each(func(p *apiv1.Peer, peer string) {
		w.Gauge("ribd_peer_up", oneIf(p.State == "established"), "peer", peer)
	})
	each(func(p *apiv1.Peer, peer string) {
		for i, s := range peerStates {
			if s == p.State {
				w.Gauge("ribd_peer_state", uint64(i+1), "peer", peer)
			}
		}
	})
	each(func(p *apiv1.Peer, peer string) { timestamp(w, "ribd_peer_state_since_seconds", p.Since, "peer", peer) })
	each(func(p *apiv1.Peer, peer string) { w.Counter("ribd_peer_flaps_total", p.Flaps, "peer", peer) })
	collectMessages(w, each)
	collectTransport(w, each)
	collectFamilies(w, each)
}

// collectMessages writes what went and came, and what was wrong with it.
func collectMessages(w *metrics.Writer, each func(func(p *apiv1.Peer, peer string))) {
	both := func(p *apiv1.Peer, f func(direction string, n *apiv1.MessageCounts)) {
		if p.Messages != nil {
			f("received", &p.Messages.Received)
			f("sent", &p.Messages.Sent)
		}
	}
	each(func(p *apiv1.Peer, peer string) {
		both(p, func(d string, n *apiv1.MessageCounts) {
			for _, m := range [...]struct {
				name string
				n    uint64
			}{{"open", n.Open}, {"update", n.Update}, {"keepalive", n.Keepalive}, {"notification", n.Notification}, {"route-refresh", n.RouteRefresh}} {
				w.Counter("ribd_peer_messages_total", m.n, "peer", peer, "direction", d, "type", m.name)
			}
		})
	})
	each(func(p *apiv1.Peer, peer string) {
		both(p, func(d string, n *apiv1.MessageCounts) {
			w.Counter("ribd_peer_withdraws_total", n.Withdraws, "peer", peer, "direction", d)
		})
	})
	each(func(p *apiv1.Peer, peer string) {
		if m := p.Messages; m != nil {
			timestamp(w, "ribd_peer_last_message_seconds", m.LastReceived, "peer", peer, "direction", "received")
			timestamp(w, "ribd_peer_last_message_seconds", m.LastSent, "peer", peer, "direction", "sent")
		}
	})
	each(func(p *apiv1.Peer, peer string) {
		if e := p.Errors; e != nil {
			w.Counter("ribd_peer_errors_total", e.TreatAsWithdraw, "peer", peer, "action", "treat-as-withdraw")
			w.Counter("ribd_peer_errors_total", e.AttributeDiscard, "peer", peer, "action", "attribute-discard")
			w.Counter("ribd_peer_errors_total", e.FamilyDisabled, "peer", peer, "action", "family-disable")
		}
	})
	each(func(p *apiv1.Peer, peer string) {
		last := p.LastNotification
		if last == nil {
			return
		}
		for _, n := range [...]struct {
			direction string
			*apiv1.Notification
		}{{"received", last.Received}, {"sent", last.Sent}} {
			if n.Notification != nil {
				timestamp(w, "ribd_peer_last_notification_seconds", &n.At, "peer", peer, "direction", n.direction,
					"code", strconv.Itoa(int(n.Code)), "subcode", strconv.Itoa(int(n.Subcode)))
			}
		}
	})
}

// collectTransport writes the connections' figures.
func collectTransport(w *metrics.Writer, each func(func(p *apiv1.Peer, peer string))) {
	each(func(p *apiv1.Peer, peer string) {
		if t := p.Transport; t != nil {
			w.Counter("ribd_peer_bytes_total", t.BytesIn, "peer", peer, "direction", "received")
			w.Counter("ribd_peer_bytes_total", t.BytesOut, "peer", peer, "direction", "sent")
		}
	})
	each(func(p *apiv1.Peer, peer string) {
		if t := p.Transport; t != nil {
			w.Gauge("ribd_peer_queue_bytes", t.ReceiveQueue, "peer", peer, "direction", "received")
			w.Gauge("ribd_peer_queue_bytes", t.SendQueue, "peer", peer, "direction", "sent")
		}
	})
	each(func(p *apiv1.Peer, peer string) {
		if p.Timers != nil && p.Timers.Hold.Negotiated != nil {
			w.Gauge("ribd_peer_hold_seconds", uint64(*p.Timers.Hold.Negotiated), "peer", peer)
		}
	})
}

// collectFamilies writes the routes of sessions by family.
func collectFamilies(w *metrics.Writer, each func(func(p *apiv1.Peer, peer string))) {
	family := func(f func(n *apiv1.PeerFamily, labels ...string)) {
		each(func(p *apiv1.Peer, peer string) {
			for i := range p.Families {
				f(&p.Families[i], "peer", peer, "family", p.Families[i].Family)
			}
		})
	}
	count := func(name string, of func(n *apiv1.PeerFamily) int64) {
		family(func(n *apiv1.PeerFamily, labels ...string) { w.Gauge(name, uint64(max(0, of(n))), labels...) })
	}
	count("ribd_peer_prefixes", func(n *apiv1.PeerFamily) int64 { return n.Prefixes })
	count("ribd_peer_best_prefixes", func(n *apiv1.PeerFamily) int64 { return n.Best })
	count("ribd_peer_advertised_paths", func(n *apiv1.PeerFamily) int64 { return n.Advertised })
	family(func(n *apiv1.PeerFamily, labels ...string) {
		for _, s := range [...]struct {
			state string
			n     int64
		}{{"accepted", n.Accepted}, {"filtered", n.Filtered}, {"stale", n.Stale}} {
			w.Gauge("ribd_peer_paths", uint64(max(0, s.n)), append(labels[:4:4], "state", s.state)...)
		}
	})
	family(func(n *apiv1.PeerFamily, labels ...string) {
		if n.PrefixLimit != nil {
			w.Gauge("ribd_peer_prefix_limit", uint64(n.PrefixLimit.Limit), labels...)
		}
	})
	family(func(n *apiv1.PeerFamily, labels ...string) {
		if n.EndOfRIB != nil {
			w.Gauge("ribd_peer_end_of_rib", oneIf(n.EndOfRIB.Received != nil), labels...)
		}
	})
}

func timestamp(w *metrics.Writer, name string, at *time.Time, labels ...string) {
	if at != nil && !at.IsZero() {
		w.GaugeFloat(name, float64(at.UnixMicro())/1e6, labels...)
	}
}

func oneIf(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
