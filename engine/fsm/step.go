package fsm

// Step takes a machine and an event to the machine after it, and appends what
// is to be done to acts.
func Step(m Machine, e Event, acts []Action) (Machine, []Action) {
	s := stepper{Machine: m, e: &e, acts: acts}
	return s.Machine, s.acts
}

type stepper struct {
	Machine
	e    *Event
	acts []Action
}
