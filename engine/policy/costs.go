package policy

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// costs says what ribd's own functions cost, in CEL's units.
type costs struct{}

// CallCost is of cost.ActualCostEstimator: what walks an attribute costs by its
// length, and an expression by its text as well; nil leaves it to CEL.
func (costs) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	var cost uint64 = 1
	switch function {
	case fnPathContains, "@in":
		l, ok := args[len(args)-1].(*listVal)
		if function == fnPathContains {
			l, ok = args[0].(*listVal)
		}
		if !ok {
			return nil
		}
		cost += uint64(len(l.octet)) / 64
	case fnPathMatches:
		if l, ok := args[0].(*listVal); ok {
			cost += uint64(len(l.octet)) / 8
		}
		if s, ok := args[1].(types.String); ok {
			cost += uint64(len(s))
		}
	case fnPrefixIn, fnPrefixIs, fnPrefixIsNot, fnPrefixContains, fnPrefixOverlaps, fnAddressIn:
		cost += 2
	default:
		return nil
	}
	return &cost
}
