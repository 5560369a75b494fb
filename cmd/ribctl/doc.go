// Command ribctl asks a ribd: look-ups, routes, counts, sessions, loads and
// figures. It prints aligned tables for people and, with --json, the API's own
// JSON for programs; it holds nothing but one screen of rows, so answers of
// any size stream through it.
//
// It exits with 0 where all went well, 1 where the server refused, could not
// be reached or could not answer all of it, and 2 where the command line is
// wrong.
package main
