package api

import (
	"fmt"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// nlriText tells what an NLRI of a family without prefixes says, or "" where it
// can't be decoded. Of Flow Spec it is the rule's text; GoBGP's packet library
// knows most other families: it is asked for display alone, and a panic of it is
// an NLRI that it can't decode.
func nlriText(f wire.Family, nlri []byte) (text string) {
	if flowspec.Is(f) {
		b, err := flowspec.Canonical(nil, f, nlri)
		if err != nil {
			return ""
		}
		return string(flowspec.NLRIText(nil, f, b))
	}
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	p, err := bgp.NewPrefixFromRouteFamily(f.AFI(), f.SAFI())
	if err != nil {
		return ""
	}
	if _, opaque := p.(fmt.Stringer); !opaque {
		return ""
	}
	if err := p.DecodeFromBytes(nlri); err != nil {
		return ""
	}
	return p.String()
}
