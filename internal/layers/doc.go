// Package layers holds the order of the packages: who may import whom.
//
// It has no code of its own. Its test reads the imports out of every source
// file, tests and all, so that the test cache notices a change.
package layers
