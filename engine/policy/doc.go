// Package policy judges routes: what a peer may bring in and what it is sent.
package policy

import (
	_ "cel.dev/cel-go/cel"
	_ "cel.dev/cel-go/common/types"
	_ "cel.dev/cel-go/common/types/ref"
	_ "cel.dev/cel-go/ext"
)
