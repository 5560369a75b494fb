package adjout

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Sender hands messages to a peer: a session. It is never called by two
// goroutines at once, nor with a lock held that Join, Leave or Refresh take.
// A call or two may still come after Leave.
type Sender interface {
	// TrySend takes whole messages where that needs no waiting, else it takes
	// nothing and returns false. msgs is borrowed for the call. updates is how
	// many UPDATE messages there are, withdraws how many routes they withdraw.
	TrySend(msgs []byte, updates, withdraws int) bool
	// Send waits as long as the peer does not read. An error means that the
	// session is over.
	Send(msgs []byte, updates, withdraws int) error
}

// Export is an export policy. Filters with equal keys give equal verdicts on
// equal routes, so that members which have them can share an update group.
type Export interface {
	rib.Filter
	Key() string
}

// NextHop is the next hop that a peer is sent.
type NextHop uint8

// The next hops: by the RFCs' rules, always ours, or as it came.
const (
	NextHopDefault NextHop = iota
	NextHopSelf
	NextHopUnchanged
)

// AddPathAll sends every path of a prefix.
const AddPathAll = 65535

// Target is a peer as far as it matters for what it is sent. All but Num, ID,
// Name and Overrun decide which update group it is in.
type Target struct {
	Num  rib.PeerNum // of the peer's own routes, which it is not sent
	ID   string      // of the peer, as Source.Only has it
	Name string      // for the log

	Internal  bool      // an IBGP session
	RRClient  bool      // a client of ours as route reflector (RFC 4456)
	RSClient  bool      // a client of ours as route server (RFC 7947)
	Role      wire.Role // ours towards it (RFC 9234), where HasRole
	HasRole   bool
	LLGR      bool   // the peer sent the capability (RFC 9494)
	AS        uint32 // our AS as this peer sees it
	GlobalAS  uint32 // the router's; 0: AS. Prepended behind AS where it differs
	ReplaceAS bool   // and this is false
	RouterID  uint32 // ours
	ClusterID uint32 // ours; 0: RouterID

	RemovePrivateAS bool

	// NextHop4, NextHop6 and LinkLocal are our addresses towards the peer.
	// IPv4 routes without NextHop4 go out with NextHop6 where ExtendedNextHop
	// (RFC 8950) has the family, else not at all; IPv6 routes without NextHop6
	// have NextHop4 mapped into IPv6. LinkLocal goes with NextHop6 (RFC 2545).
	NextHop NextHop
	// Over6: the session runs over IPv6, and with ExtendedNextHop NextHop6 goes
	// before NextHop4 too.
	NextHop4, NextHop6, LinkLocal netip.Addr
	Over6                         bool
	ExtendedNextHop               wire.FamilySet

	Families []wire.Family         // to be sent, in this order
	AddPath  map[wire.Family]int   // families with Add-Path: how many of the best paths
	Send     wire.SendOptions      // AddPath in it is set from the field above
	Export   Export                // nil: nothing is sent
	Redirect flowspec.RedirectForm // of redirects to an address in rules that are originated here
	Interval time.Duration         // least time between advertisements (RFC 4271 9.2.1.1); 0: off

	// Overrun is called once, on a goroutine of its own, where the peer is so
	// slow that what it has to be told of withdrawn routes no longer fits into
	// the bound on memory: the session has to end. It may be nil.
	Overrun func()
}

// normalise fills in what follows from other fields.
func (t *Target) normalise() {
	if t.GlobalAS == 0 {
		t.GlobalAS = t.AS
	}
	if t.ClusterID == 0 {
		t.ClusterID = t.RouterID
	}
	t.Families = slices.Clone(t.Families)
	t.Send.AddPath = wire.FamilySet{}
	for _, f := range t.Families {
		if t.AddPath[f] > 0 {
			t.Send.AddPath = t.Send.AddPath.With(f)
		}
	}
}

// filter is Export as a rib.Filter, nil where nothing is sent.
func (t *Target) filter() rib.Filter {
	if t.Export == nil {
		return nil
	}
	return t.Export
}

// families returns the families with what is sent of a prefix.
func (t *Target) families() (fams []family) {
	for _, f := range t.Families {
		fam := family{family: f, limit: 1}
		switch n := t.AddPath[f]; {
		case n > 0:
			fam.mode, fam.limit = modeAddPath, n
		case t.RSClient:
			fam.mode = modeServer
		}
		fams = append(fams, fam)
	}
	return fams
}

// key names the update group that a target belongs to: everything that changes
// what is sent.
func (t *Target) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t %t %t %d %t %t %d %d %t %d %d %t", t.Internal, t.RRClient, t.RSClient, t.Role, t.HasRole, t.LLGR,
		t.AS, t.GlobalAS, t.ReplaceAS, t.RouterID, t.ClusterID, t.RemovePrivateAS)
	fmt.Fprintf(&b, " %d %v %v %v %t", t.NextHop, t.NextHop4, t.NextHop6, t.LinkLocal, t.Over6)
	fmt.Fprintf(&b, " %t %t %t %v", t.Send.AS4, t.Send.Extended, t.Send.MP4, t.Interval)
	if slices.ContainsFunc(t.Families, flowspec.Is) {
		fmt.Fprintf(&b, " %d", t.Redirect)
	}
	for _, f := range t.Families {
		fmt.Fprintf(&b, " %v/%d/%t", f, t.AddPath[f], t.ExtendedNextHop.Has(f))
	}
	if t.Export == nil {
		b.WriteString(" none")
	} else {
		b.WriteString(" policy " + t.Export.Key())
	}
	return b.String()
}

// Source is what adjout has to know of a peer whose routes may be sent on; the
// rest is in its rib.PeerInfo.
type Source struct {
	RRClient bool // a client of ours as route reflector (RFC 4456)
	// Only has the Target.ID of the members that are sent its routes; to the
	// others it is as if policy refused them, but that they count for Target.AddPath
	// there too, as a peer's own do. nil: everybody may be sent them.
	Only map[string]struct{}
}

func (s Source) equal(o *Source) bool {
	return s.RRClient == o.RRClient && (s.Only == nil) == (o.Only == nil) && maps.Equal(s.Only, o.Only)
}
