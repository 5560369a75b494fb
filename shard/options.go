package shard

import (
	"fmt"
	"runtime"
	"time"
)

// Options of a RIB. The zero value is ready for use.
type Options struct {
	// Shards is the number of home shards, each a goroutine; the roof is one
	// more. 0: GOMAXPROCS.
	Shards int

	// QueueLen is the number of batches that may wait for a shard; a Fan that
	// finds more waits: what is queued is a few milliseconds' work, and delays
	// what comes behind it. 0: 8.
	QueueLen int

	// MaxViews bounds the views held at a time, and MaxViewAge how long: past
	// either the oldest is ended (ErrViewEnded). 0: 64, and 10 minutes.
	MaxViews   int
	MaxViewAge time.Duration

	// FeedSize is the number of changes that a shard keeps for followers,
	// rounded up to a power of two. 0: 32,768.
	FeedSize int

	// SweepEvery is how often attribute sets that nothing uses are looked for,
	// and IDRest how long the id of one that has ended, and the number of a
	// peer that is gone, rest before they are used again. 0: 5 minutes and 10
	// minutes.
	SweepEvery time.Duration
	IDRest     time.Duration

	// Caps, in words of 4 octets for memory. 0: the limits of references.
	MaxTrieWords   uint64
	MaxImageWords  uint64
	MaxHandles     uint64
	MaxBlockWords  uint64
	MaxAttrWords   uint64
	MaxAttrSets    uint32
	MaxTables      int // 0: 1,000,000
	MaxPeers       int // 0: rib.MaxPeers
	firstVersion   uint32
	compactEvery   time.Duration
	rebaseVersions uint32
}

func (o *Options) defaults() error {
	def(&o.Shards, runtime.GOMAXPROCS(0))
	def(&o.QueueLen, 8)
	def(&o.MaxViews, 64)
	def(&o.MaxViewAge, 10*time.Minute)
	def(&o.FeedSize, 1<<15)
	def(&o.SweepEvery, 5*time.Minute)
	def(&o.IDRest, 10*time.Minute)
	def(&o.MaxTrieWords, 1<<30)
	def(&o.MaxImageWords, 1<<31)
	def(&o.MaxHandles, 1<<31)
	def(&o.MaxBlockWords, 1<<30)
	def(&o.MaxAttrWords, 1<<32)
	def(&o.MaxTables, 1_000_000)
	def(&o.compactEvery, 2*time.Second)
	def(&o.rebaseVersions, 1<<31)
	if o.Shards < 0 || o.Shards > maxShards {
		return fmt.Errorf("shard: %d shards: 1 to %d are possible", o.Shards, maxShards)
	}
	if o.MaxBlockWords > 1<<30 || o.MaxTrieWords > 1<<30 {
		return fmt.Errorf("shard: caps of %d words of blocks and %d of tries: references lead no further than %d", o.MaxBlockWords, o.MaxTrieWords, 1<<30)
	}
	return nil
}

func def[T int | uint32 | uint64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// maxShards bounds the shards so that the number of one fits an octet.
const maxShards = 250
