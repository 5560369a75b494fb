package slab

import "math/bits"

// vault is blocks that a heap sets aside from its first extent for removals
// which find no run large enough at the cap of the arena: free words may be
// plenty there, but in pieces. The run that a removal then replaces is as large,
// and serves the next one.
type vault struct {
	base  uint32 // 0: not set aside
	block uint32 // words of a block
	free  uint32 // a bit for each block
}

// vaultWords bounds the vault; a heap of single words has blocks for the nodes
// of a tree, one of cache lines for those of an image.
const (
	vaultWords      = 4096
	vaultBlock      = 144
	vaultBlockLines = 272
)

func (v *vault) setAside(base, block uint32) {
	v.base, v.block, v.free = base, block, 1<<(vaultWords/block)-1
}

// holds says whether a run is one of the vault's blocks.
func (v *vault) holds(ref uint32) bool { return ref-v.base < vaultWords && v.base != 0 }

func (v *vault) take(words uint32) (ref uint32, ok bool) {
	if v.free == 0 || words > v.block {
		return 0, false
	}
	i := uint32(bits.TrailingZeros32(v.free))
	v.free &^= 1 << i
	return v.base + i*v.block, true
}

// low is true where less than half of the blocks are left.
func (v *vault) low() bool {
	return v.base != 0 && 2*bits.OnesCount32(v.free) < int(vaultWords/v.block)
}

func (v *vault) put(ref uint32) { v.free |= 1 << ((ref - v.base) / v.block) }

// fromVault is the last way to a run of class c.
func (h *Heap) fromVault(c int) (ref uint32, ok bool) {
	return h.vault.take(classUnits(c) << h.shift)
}

// setVault takes the vault out of the extent that bump has just begun.
func (h *Heap) setVault() {
	if h.vault.base != 0 || h.unit > 16 {
		return
	}
	block := uint32(vaultBlock)
	if h.unit > 1 {
		block = vaultBlockLines
	}
	h.vault.setAside(h.bump, block)
	h.bump += vaultWords
}
