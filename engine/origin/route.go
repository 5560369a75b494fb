package origin

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Key is what identifies a route that is originated here. No path id and path
// id 0 are two keys.
type Key struct {
	Family wire.Family
	RD     uint64       // of families whose form is wire.FormVPN; else 0
	Prefix netip.Prefix // of families whose NLRI are prefixes
	// NLRI is the NLRI of the other families (wire.FormRaw), without a path id.
	// Flow Spec NLRI are canonical, with the length field, and for VPN families
	// the route distinguisher behind it; the Manager makes others so.
	NLRI      string
	PathID    uint32 // of the local path; peers are sent one of ribd's
	HasPathID bool
}

// Compare orders keys as List does: by family, route distinguisher, prefix or
// NLRI octets, and path id, the one without an id first.
func (k *Key) Compare(o *Key) int {
	return cmp.Or(
		cmp.Compare(k.Family, o.Family),
		cmp.Compare(k.RD, o.RD),
		k.Prefix.Addr().Compare(o.Prefix.Addr()),
		cmp.Compare(k.Prefix.Bits(), o.Prefix.Bits()),
		strings.Compare(k.NLRI, o.NLRI),
		comparePath(k.HasPathID, k.PathID, o.HasPathID, o.PathID),
	)
}

func comparePath(aHas bool, a uint32, bHas bool, b uint32) int {
	switch {
	case aHas != bHas && aHas:
		return 1
	case aHas != bHas:
		return -1
	}
	return cmp.Compare(a, b)
}

// Route is a route or rule that is originated here.
type Route struct {
	Key
	Labels []byte // of labelled and VPN families: 3 octets each, as on the wire
	// Attrs is the attributes in canonical form, the next hop in NEXT_HOP
	// whatever the family is. What List and Get return is borrowed, and may be
	// read for minutes.
	Attrs []byte
	// Peers is the ids of the peers that it is meant for; none: all of them.
	Peers []string
	// TTL is how long it is to last; 0: until it is withdrawn, but
	// Guards.DefaultTTL holds for what is guarded. From is what TTL counts from;
	// zero: now. Announce reads them, nothing returns them.
	TTL  time.Duration
	From time.Time

	// What the Manager knows; Announce does not read it.
	Expires time.Time   // zero: never
	Created time.Time   // when the key came, however often it changed since
	Num     rib.PeerNum // the source in the RIB
	AttrsID rib.AttrID
	ID      uint64      // of rules, see Options.ID; else 0
	Held    *GuardError // not nil: the guards keep it out of the RIB
}

// Errors of one route.
var (
	ErrFull = errors.New("the tables have no room for it")
)

// RouteError is an error of one of several routes.
type RouteError struct {
	Index int // in what Announce was given
	Err   error
}

func (e *RouteError) Error() string { return fmt.Sprintf("route %d: %v", e.Index, e.Err) }
func (e *RouteError) Unwrap() error { return e.Err }

// table is a table of the RIB that something is originated in.
type table struct {
	id     rib.TableID
	family wire.Family
	rd     uint64
	form   wire.Form
	v4     bool

	entries int // that are live
}

// prefixKey identifies an entry of a family whose NLRI are prefixes.
type prefixKey struct {
	key       trie.Key
	t         rib.TableID
	pathID    uint32
	n         uint8
	hasPathID bool
}

// rawKey identifies an entry of another family.
type rawKey struct {
	nlri      string
	t         rib.TableID
	pathID    uint32
	hasPathID bool
}

// maxTTL bounds a time to live, so that its end can be told.
const maxTTL = 100 * 365 * 24 * time.Hour

// normalise checks what identifies a route, and makes it what it is stored as.
// scratch is for NLRI.
func (k *Key) normalise(scratch []byte) ([]byte, error) {
	form := k.Family.Form()
	if form != wire.FormVPN && k.RD != 0 {
		k.RD = 0
	}
	if !k.HasPathID {
		k.PathID = 0
	}
	if form == wire.FormRaw {
		return k.normaliseRaw(scratch)
	}
	if k.NLRI != "" {
		return scratch, fmt.Errorf("%v has prefixes: an NLRI in octets does not belong to it", k.Family)
	}
	p := k.Prefix
	switch {
	case !p.IsValid():
		return scratch, errors.New("the prefix is missing")
	case p.Addr().Is4() != k.Family.Is4():
		return scratch, fmt.Errorf("%v is no prefix of %v", p, k.Family)
	case p.Masked() != p:
		return scratch, fmt.Errorf("%v has host bits: the prefix is %v", p, p.Masked())
	}
	return scratch, nil
}

func (k *Key) normaliseRaw(scratch []byte) ([]byte, error) {
	if k.Prefix.IsValid() {
		return scratch, fmt.Errorf("%v has no prefixes", k.Family)
	}
	if k.NLRI == "" {
		return scratch, errors.New("the NLRI is missing")
	}
	if len(k.NLRI) > wire.MaxExtendedLen {
		return scratch, fmt.Errorf("an NLRI of %d octets: no message takes it", len(k.NLRI))
	}
	if !flowspec.Is(k.Family) {
		return scratch, nil
	}
	scratch = append(scratch[:0], k.NLRI...)
	nlri := scratch
	scratch, werr := flowspec.Canonical(scratch, k.Family, nlri)
	if werr != nil {
		return nlri, werr
	}
	if canonical := scratch[len(nlri):]; string(canonical) != k.NLRI {
		k.NLRI = string(canonical)
	}
	return scratch, nil
}

// check checks the rest of a route.
func (r *Route) check() error {
	switch form := r.Family.Form(); {
	case r.TTL < 0 || r.TTL > maxTTL:
		return fmt.Errorf("a time to live of %v: more than 0 and up to 100 years is possible", r.TTL)
	case len(r.Labels)%3 != 0 || len(r.Labels) > 3*80:
		return errors.New("labels are 3 octets each")
	case len(r.Labels) > 0 && form != wire.FormLabelled && form != wire.FormVPN:
		return fmt.Errorf("%v has no labels", r.Family)
	case len(r.Labels) == 0 && (form == wire.FormLabelled || form == wire.FormVPN):
		return fmt.Errorf("%v wants a label", r.Family)
	}
	for i, p := range r.Peers {
		if p == "" || len(p) > 64 || i > 0 && r.Peers[i-1] >= p {
			return errors.New("peers are ids in ascending order, each once")
		}
	}
	return nil
}

// checkAttrs checks that attributes are in canonical form, and that what every
// route has is there.
func checkAttrs(attrs []byte, f wire.Family) error {
	n, last, has := 0, -1, 0
	for a := wire.WalkAttributes(attrs); a.Next(); {
		if int(a.Type()) <= last {
			return errors.New("the attributes are not in ascending order, each once")
		}
		last = int(a.Type())
		if n += 3 + len(a.Value()); len(a.Value()) > 255 {
			n++
		}
		switch a.Type() {
		case wire.AttrOrigin, wire.AttrASPath:
			has++
		}
	}
	switch {
	case n != len(attrs):
		return errors.New("the attributes are not in canonical form")
	case has != 2:
		return errors.New("ORIGIN and AS_PATH are mandatory (RFC 4271 section 5)")
	}
	return nil
}

// joinPeers is the text that stands for a list of peers.
func joinPeers(peers []string) string { return strings.Join(peers, " ") }

func splitPeers(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// clone returns a copy of b that nobody shares, nil for none.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}
