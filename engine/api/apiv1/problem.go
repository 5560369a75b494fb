package apiv1

import "strings"

// Problem is an RFC 9457 problem, the body of every answer that is an error.
// Param names the parameter, field or part of the path that is at fault.
type Problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Param  string   `json:"param,omitempty"`
	IDs    []string `json:"ids,omitempty"` // 409: the peers that share an address
	// Guard is the guard that refuses a route or rule, Index the item of a list
	// that is at fault (from 0); nothing of the list was carried out.
	Guard string `json:"guard,omitempty"`
	Index *int   `json:"index,omitempty"`
	// Problems is what is wrong with a configuration (422).
	Problems []ConfigProblem `json:"problems,omitempty"`
}

// Error is the problem in one line.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(p.Title))
	if p.Param != "" {
		b.WriteString(": " + p.Param)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	return b.String()
}
