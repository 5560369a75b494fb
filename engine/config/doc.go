// Package config turns a configuration file into validated native values.
//
// It owns the keys of the file: their names, types, ranges and defaults, and
// the position of every one that was set, so that each complaint names file,
// line and column, and says what would be right. Text ends here: the rest of
// ribd sees addresses, durations, sizes and small enums.
//
// It opens nothing but the file itself, starts nothing and keeps no state.
// Conditions of policies stay text: this package checks that their quotes and
// brackets close and that the prefix sets they name exist.
package config
