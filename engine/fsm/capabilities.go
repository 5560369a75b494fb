package fsm

// Capability is one row of the list of capabilities in the API: what each end
// said and what came of it, as plain values: true for a flag without a value,
// a string, a number, a list, a map; nil where there is nothing.
type Capability struct {
	Code       uint8
	Name       string
	Sent       any
	Received   any
	Negotiated any
}

// Capabilities lists every capability that either end named, in the order of
// their codes.
func (n *Negotiated) Capabilities() []Capability { return nil }
