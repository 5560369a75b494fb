// Package shard is the RIB as goroutines: routes go in by bounded queues to
// shards, each the only writer of its part of every table, and readers look at
// what the shards publish without a lock.
//
// It owns the goroutines, queues, tables and slabs of a RIB, and the numbers of
// peers. It does not speak BGP, apply policy, or print anything: routes come as
// rib.Path, with attributes that rib.Attrs has interned.
//
// # Who writes
//
// A Fan belongs to one ingest goroutine. It sorts routes by home shard: XXH64 of
// the first 12 bits of an IPv4 prefix or 24 of an IPv6 one; shorter prefixes
// live in the roof, one more shard. Flush sends a batch to each shard that has
// something to do, and blocks while a queue is full, so that memory stays flat
// whatever arrives.
//
// A batch of at most 128 operations for a shard that waits for something to do
// is applied and published by Flush itself, under the shard's lock: nobody is
// woken, and who follows hears of it sooner. A Fan with Express, one whose routes
// come by no other, has such batches go before the large ones of others, but never
// before its own or a request that was made before.
//
// A shard takes batches from its queue. Operations on one prefix that follow
// each other change its block once. It publishes when its queue is empty or
// after 8,192 changes: one word, which leads to a run with the version, the
// roots of the tries, and the set of peers that are down. Nothing that was
// published changes: blocks and nodes are written anew, and the old ones go back
// by the two rules of package slab.
//
// A large batch does not edit the forwarding image prefix by prefix. The parts of
// it that prefixes come to or go from are deferred: look-ups there go by the
// tries, and are right and somewhat slower, until the flood is over and the shard
// makes these parts anew (trie.ImageWriter.CatchUp).
//
// # Who reads
//
// A Reader pins for a request or a batch and sees the latest state, through the
// forwarding image (Match4, Match6 and their batches) or the tries (the rest). A
// View is a snapshot: consistent in each shard, as it was until Close, and
// bounded in number and age. An update that spans shards shows shard by shard.
// A Follower reads every change, from a snapshot on.
//
// # Peers that go
//
// DropPeer marks a peer as down in what every shard publishes; look-ups decide
// between the other paths until the sweep has rewritten the blocks. Its number
// rests until no shard, view or reader can have a path with it.
//
// # What keeps house
//
// One goroutine ends views that are too old, gives numbers of peers free, and
// looks every few minutes for attribute sets, NLRI and stacks of labels that no
// path has. Shards that have nothing to do move what lies in sparse memory, and
// give it back to the system.
package shard
