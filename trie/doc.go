// Package trie holds prefixes and one number for each, twice over.
package trie
