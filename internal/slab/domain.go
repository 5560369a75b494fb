package slab

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

const idle = math.MaxUint64

// Domain counts epochs for the short pins of readers. Pins last microseconds,
// a request or a batch: what stays readable for longer is a version in Holds.
type Domain struct {
	epoch atomic.Uint64
	pins  atomic.Pointer[[]*Pin]
	mu    sync.Mutex // serialises changes of pins
}

// NewDomain returns a domain at epoch 1 without pins.
func NewDomain() *Domain {
	d := &Domain{}
	d.epoch.Store(1)
	d.pins.Store(new([]*Pin))
	return d
}

// Pin is the slot of one reader, used by one goroutine at a time.
type Pin struct {
	_      [64]byte // the slot shares its cache line with nothing
	epoch  atomic.Uint64
	domain *Domain
	_      [48]byte
}

// NewPin registers a reader. It may be called by any goroutine.
func (d *Domain) NewPin() *Pin {
	p := &Pin{domain: d}
	p.epoch.Store(idle)
	d.mu.Lock()
	defer d.mu.Unlock()
	pins := append(slices.Clone(*d.pins.Load()), p)
	d.pins.Store(&pins)
	return p
}

// Enter pins what is loaded from now on; call it before loading a root.
// Pins do not nest.
func (p *Pin) Enter() { p.epoch.Store(p.domain.epoch.Load()) }

// Exit ends what Enter began: nothing loaded since may be read again.
func (p *Pin) Exit() { p.epoch.Store(idle) }

// Close takes the slot out of the domain, pinned or not.
func (p *Pin) Close() {
	d := p.domain
	d.mu.Lock()
	defer d.mu.Unlock()
	pins := slices.DeleteFunc(slices.Clone(*d.pins.Load()), func(q *Pin) bool { return q == p })
	d.pins.Store(&pins)
}

// Advance begins a new epoch and returns it: a writer calls it after it has
// stored its new root, and what it retired waits for Min to reach the result.
//
// A reader that shows that epoch has loaded it after the root was stored, so it
// reads the new root; a reader that is idle while Min looks shows itself before
// it loads a root, so it reads the new one as well.
func (d *Domain) Advance() uint64 { return d.epoch.Add(1) }

// Min returns the least epoch that a reader may be in.
func (d *Domain) Min() uint64 {
	least := d.epoch.Load()
	for _, p := range *d.pins.Load() {
		least = min(least, p.epoch.Load())
	}
	return least
}
