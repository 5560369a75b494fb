// Package apiv1 holds the JSON shapes of version 1 of the HTTP API.
//
// The server writes the shapes of routes and look-ups by hand and marshals the
// rest; the command line, tests and Go clients decode into all of them. Field
// names are the contract of engine/api/openapi.yaml, and the order of the fields
// is the order of the answers. It owns no behaviour but the text of a Problem.
package apiv1
