package buffer

// A block is a piece of memory that holds whole frames, one after the other: of the newest events, or read back from
// a segment. It is reused when nobody refers to it any more. A queue's lock guards all of it but the bytes that are
// already filled, which don't change.
type block struct {
	buf     []byte
	first   uint64 // running number of its first event
	next    uint64 // and behind its last one
	written int    // bytes that are on disk
	refs    int    // leases, returned chunks, the write under way
	listed  bool   // in the queue's list
}

const (
	smallBlock = 16 << 10
	largeBlock = 256 << 10
	maxSpare   = 8 // large blocks kept for reuse
)

// An arena gives and takes blocks, and counts what is in use. A queue's lock guards it.
type arena struct {
	small, large []*block // spare
	used         int64
	largeSize    int // largeBlock, or less for a buffer with small segments
}

// get returns an empty block with room for size bytes. A queue that is idle uses small ones.
func (a *arena) get(size int, busy bool) *block {
	n, spare := a.largeSize, &a.large
	if !busy && size <= smallBlock {
		n, spare = smallBlock, &a.small
	}
	if k := len(*spare); k > 0 && size <= n {
		b := (*spare)[k-1]
		*spare = (*spare)[:k-1]
		a.used += int64(cap(b.buf))
		return b
	}
	b := &block{buf: make([]byte, 0, max(n, size))}
	a.used += int64(cap(b.buf))
	return b
}

// put takes back a block that nobody refers to.
func (a *arena) put(b *block) {
	a.used -= int64(cap(b.buf))
	buf := b.buf[:0]
	switch {
	case cap(buf) == a.largeSize && len(a.large) < maxSpare:
		*b = block{buf: buf}
		a.large = append(a.large, b)
	case cap(buf) == smallBlock && len(a.small) < maxSpare:
		*b = block{buf: buf}
		a.small = append(a.small, b)
	}
}

// trim lets go of the spare blocks.
func (a *arena) trim() { a.small, a.large = nil, nil }

// unref drops a reference; the last one frees a block that is in no list.
func (a *arena) unref(b *block) {
	b.refs--
	if b.refs == 0 && !b.listed {
		a.put(b)
	}
}
