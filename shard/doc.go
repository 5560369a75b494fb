// Package shard is the RIB as goroutines: routes go in by bounded queues to
// shards, each the only writer of its tables, and readers look at what the
// shards publish without ever taking a lock that a writer waits for.
package shard
