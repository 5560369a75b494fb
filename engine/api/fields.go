package api

import (
	"bytes"
	"math/bits"
	"strings"
)

// field is one field of a path, in the order of answers.
type field uint8

const (
	fPeer field = iota
	fPeerID
	fPeerASN
	fSource
	fFamily
	fRD
	fLabels
	fPathID
	fBest
	fBestReason
	fRank
	fOrigin // from here to fAttrsID: rendered once for each attribute set
	fASPath
	fOriginASN
	fNeighborASN
	fNextHop
	fNextHopLinkLocal
	fMED
	fLocalPref
	fCommunities
	fLargeCommunities
	fExtCommunities
	fAtomicAggregate
	fAggregator
	fOriginatorID
	fClusterList
	fOnlyToCustomer
	fAIGP
	fUnknownAttributes
	fAttrsID
	fReceivedAt
	fStale
	fFiltered
	fFilterReason
	fRPKI
	numFields
)

var fieldNames = [numFields]string{
	"peer", "peer_id", "peer_asn", "source", "family", "rd", "labels", "path_id", "best", "best_reason", "rank",
	"origin", "as_path", "origin_asn", "neighbor_asn", "next_hop", "next_hop_link_local", "med", "local_pref",
	"communities", "large_communities", "ext_communities", "atomic_aggregate", "aggregator", "originator_id",
	"cluster_list", "only_to_customer", "aigp", "unknown_attributes", "attrs_id",
	"received_at", "stale", "filtered", "filter_reason", "rpki",
}

// fieldKeys are the names as they stand in JSON.
var fieldKeys = func() (k [numFields]string) {
	for i, n := range fieldNames {
		k[i] = `"` + n + `":`
	}
	return k
}()

const (
	firstAttr = fOrigin
	numAttrs  = int(fAttrsID-fOrigin) + 1
)

// fieldSet is a set of fields, a bit each.
type fieldSet uint64

const (
	allFields  = fieldSet(1<<numFields - 1)
	attrFields = fieldSet(1<<(fAttrsID+1) - 1<<fOrigin)
	peerFields = fieldSet(1<<fPeer | 1<<fPeerID | 1<<fPeerASN | 1<<fSource)
)

func (s fieldSet) has(f field) bool { return s>>f&1 != 0 }

// fields reads fields=. prefix, nlri and nlri_text always stay, so naming them is
// right and changes nothing.
func (c *call) fields() (fieldSet, *problem) {
	v := c.q.get(pFields)
	if v == nil {
		return allFields, nil
	}
	var set fieldSet
	for len(v) > 0 {
		var name []byte
		name, v, _ = bytes.Cut(v, []byte{','})
		name = bytes.TrimSpace(name)
		switch string(name) {
		case "prefix", "nlri", "nlri_text":
			continue
		}
		f := field(0)
		for ; f < numFields; f++ {
			if string(name) == fieldNames[f] {
				break
			}
		}
		if f == numFields {
			return 0, unknownField(string(name))
		}
		set |= 1 << f
	}
	return set, nil
}

func unknownField(name string) *problem {
	best, at := 3, ""
	for s := uint64(allFields); s != 0; s &= s - 1 {
		n := fieldNames[bits.TrailingZeros64(s)]
		if d := editDistance(shown(name), n); d < best {
			best, at = d, n
		}
	}
	if at != "" {
		return bad("fields", "%q is no field of a path: did you mean %s?", shown(name), at)
	}
	return bad("fields", "%q is no field of a path: prefix, %s", shown(name), strings.Join(fieldNames[:], ", "))
}
