// Package rulegen makes Flow Specifications as they are met in practice, and
// packets that meet them: what speed is measured on.
//
// The shapes are those of the shared flowspec-rules-a.tsv: reflection by its
// source ports and lengths, floods by protocol, TCP flags, fragments, sources,
// ranges of ports. Most name one host, which has a few rules at a time; some a
// network around it; a few name no destination.
//
// It is a leaf: rules are NLRI octets (RFC 8955 section 4), packets plain fields.
package rulegen
