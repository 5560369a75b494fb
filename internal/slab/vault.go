package slab

import (
	"math/bits"

	"ribd/internal/invariants"
)

// vault is blocks that a heap sets aside from its first extent for removals
// which find no run large enough at the cap of the arena: free words may be
// plenty there, but in pieces. The run that a removal then replaces is as large,
// and serves the next one.
type vault struct {
	base uint32 // 0: not set aside
	free uint32 // a bit for each block
}

const (
	vaultBlock  = 144 // words: more than the largest node of a tree
	vaultBlocks = 28
	vaultWords  = vaultBlock * vaultBlocks
)

func (v *vault) setAside(base uint32) {
	v.base, v.free = base, 1<<vaultBlocks-1
}

// holds says whether a run is one of the vault's blocks.
func (v *vault) holds(ref uint32) bool { return ref-v.base < vaultWords && v.base != 0 }

func (v *vault) take(words uint32) (ref uint32, ok bool) {
	if v.free == 0 || words > vaultBlock {
		return 0, false
	}
	i := uint32(bits.TrailingZeros32(v.free))
	v.free &^= 1 << i
	return v.base + i*vaultBlock, true
}

func (v *vault) put(ref uint32) { v.free |= 1 << ((ref - v.base) / vaultBlock) }

// fromVault is the last way to a run of class c.
func (h *Heap) fromVault(c int) (ref uint32, ok bool) {
	return h.vault.take(classUnits(c) << h.shift)
}

// setVault takes the vault out of the extent that bump has just begun.
func (h *Heap) setVault() {
	if h.vault.base == 0 && h.unit == 1 {
		h.vault.setAside(h.bump)
		h.bump += vaultWords
		if invariants.Enabled {
			poison(h.arena.Words(h.vault.base, vaultWords))
		}
	}
}
