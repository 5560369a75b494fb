package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ribd/engine/api"
	"ribd/engine/api/apiv1"
	"ribd/engine/config"
	"ribd/engine/session"
	"ribd/engine/store"
	"ribd/wire"
)

// addedPeer is a peer that came by the API: as it was given, and by its address
// or range.
type addedPeer struct {
	name string
	body json.RawMessage
}

// bodyName is what problems in a peer of the API call their file.
const bodyName = "peer"

// withAdded is a configuration with the peers that the API added.
func withAdded(c *config.Config, added []addedPeer) (*config.Config, error) {
	whole := *c
	whole.Peers = slices.Clone(c.Peers)
	for _, a := range added {
		p, err := whole.ParsePeer(bodyName, a.body)
		if err != nil {
			return nil, fmt.Errorf("peer %s, which the API added, does not go with the file (delete it, or change the file): %w", a.name, err)
		}
		whole.Peers = append(whole.Peers, p)
	}
	return &whole, nil
}

// withStored is a configuration with the peers that are kept from before. One
// that does not go with the file any more stays kept, and is left out.
func (s *bgp) withStored(c *config.Config) *config.Config {
	if s.store == nil {
		return c
	}
	for _, k := range s.store.Peers() {
		next := append(slices.Clone(s.added), addedPeer{k.ID, k.Body})
		if _, err := withAdded(c, next); err != nil {
			s.log.Error("a peer that the API added before is left out", "peer", k.ID, "error", err)
			continue
		}
		s.added = next
	}
	whole, err := withAdded(c, s.added)
	if err != nil {
		panic("BUG: engine: " + err.Error())
	}
	return whole
}

// Add configures a peer (api.Peers).
func (s *bgp) Add(body []byte) (apiv1.Peer, error) {
	s.change.Lock()
	defer s.change.Unlock()
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return apiv1.Peer{}, &api.Refused{Status: 400, Detail: "the body is not JSON: " + err.Error()}
	}
	p, err := s.cfg.ParsePeer(bodyName, compact.Bytes())
	if err != nil {
		return apiv1.Peer{}, s.refusedPeer(compact.Bytes(), err)
	}
	a := addedPeer{peerText(&p), compact.Bytes()}
	if err := s.apply(s.file, append(slices.Clone(s.added), a)); err != nil {
		return apiv1.Peer{}, refusedConfig(err)
	}
	if s.store != nil {
		if err := s.store.PutPeer(store.Peer{ID: a.name, Body: a.body}); err != nil {
			if undo := s.apply(s.file, s.added[:len(s.added)-1]); undo != nil {
				err = errors.Join(err, undo)
			}
			return apiv1.Peer{}, &api.Refused{Status: 503, Detail: err.Error()}
		}
	}
	s.log.Info("peer added", "peer", a.name)
	for _, l := range s.List(func(_ string, addr netip.Addr) bool { return addr == p.Address }) {
		return l, nil
	}
	return s.rangeShape(&p), nil
}

// refusedPeer tells a peer that is there already from one that is wrong.
func (s *bgp) refusedPeer(body []byte, err error) error {
	var key struct{ Address, Prefix string }
	if json.Unmarshal(body, &key) == nil {
		for i := range s.cfg.Peers {
			if t := peerText(&s.cfg.Peers[i]); t == key.Address || t == key.Prefix {
				return &api.Refused{Status: 409, Detail: fmt.Sprintf("peer %s is there already: delete it first, or change the configuration file", t)}
			}
		}
	}
	return refusedConfig(err)
}

// rangeShape stands for a range that was added and has no peer yet.
func (s *bgp) rangeShape(p *config.Peer) apiv1.Peer {
	st := session.Status{Range: p.Prefix, Config: *p, Enabled: true}
	return s.shape(&st)
}

// Delete ends the session of a peer that the API added, and forgets the peer
// (api.Peers).
func (s *bgp) Delete(id, message string) error {
	s.change.Lock()
	defer s.change.Unlock()
	st, err := s.sessions.Peer(id)
	if err != nil {
		return refusedOperation(err)
	}
	name := peerText(&st.Config)
	at := slices.IndexFunc(s.added, func(a addedPeer) bool { return a.name == name })
	if at < 0 {
		return &api.Refused{Status: 409, Detail: fmt.Sprintf("peer %s is in the configuration file: take it out there and reload, or disable it", name)}
	}
	if message != "" {
		if err := s.sessions.Disable(id, message); err != nil {
			return refusedOperation(err)
		}
	}
	if s.store != nil {
		if _, err := s.store.DeletePeer(name); err != nil {
			return &api.Refused{Status: 503, Detail: err.Error()}
		}
	}
	if err := s.apply(s.file, slices.Delete(slices.Clone(s.added), at, at+1)); err != nil {
		return refusedConfig(err)
	}
	s.log.Info("peer deleted", "peer", name)
	return nil
}

// Enable lets the session of a peer start (api.Peers).
func (s *bgp) Enable(id string) error { return refusedOperation(s.sessions.Enable(id)) }

// Disable ends the session of a peer and keeps it down (api.Peers).
func (s *bgp) Disable(id, message string) error {
	return refusedOperation(s.sessions.Disable(id, message))
}

// Reset ends the session of a peer and lets it start again (api.Peers).
func (s *bgp) Reset(id, message string) error {
	return refusedOperation(s.sessions.Reset(id, message))
}

// Refresh asks a peer for its routes again (api.Peers).
func (s *bgp) Refresh(id string, f wire.Family) error {
	return refusedOperation(s.sessions.Refresh(id, f))
}

// refusedOperation gives errors of sessions their status.
func refusedOperation(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrNoPeer):
		return &api.Refused{Status: 404, Param: "peer", Detail: err.Error() + "; /api/v1/peers lists them"}
	case errors.Is(err, session.ErrAmbiguous):
		return &api.Refused{Status: 409, Param: "peer", Detail: err.Error() + ": ask by id"}
	case errors.Is(err, session.ErrMessage):
		return &api.Refused{Status: 400, Param: "message", Detail: err.Error()}
	}
	return &api.Refused{Status: 422, Detail: err.Error()}
}
