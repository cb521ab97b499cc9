package buffer

// A block is a piece of memory that holds whole frames, one after the other: of the newest events, or read back from
// a segment. It is reused when nobody refers to it any more. A queue's lock guards all of it but the bytes that are
// already filled, which don't change.
type block struct {
	buf     []byte
	first   uint64 // running number of its first event
	next    uint64 // and behind its last one
	written int    // bytes that are on disk
	refs    int    // leases, returned pieces, frames that were read ahead
	writing bool   // the disk goroutine is at it
	listed  bool   // in the queue's list
}

const (
	smallBlock = 16 << 10
	largeBlock = 256 << 10
	maxSpare   = 8 // blocks of each size kept for reuse
)

// An arena gives and takes blocks, and counts what is in use. A queue's lock guards it.
type arena struct {
	limit     int64       // spare blocks are let go of rather than to hold more
	largeSize int         // largeBlock, or less for a small buffer
	used      int64       // held by blocks in use
	spare     int64       // held by spare ones
	pinned    int64       // held by those in use that somebody refers to
	lists     [3][]*block // spare ones: small, large, odd sizes
}

// newArena returns an arena of blocks that are small compared to the limit.
func newArena(limit int64) arena {
	return arena{limit: limit, largeSize: int(min(largeBlock, max(limit/16, smallBlock+1)))}
}

// resize changes the limit.
func (a *arena) resize(limit int64) {
	a.trim()
	n := newArena(limit)
	a.limit, a.largeSize = n.limit, n.largeSize
}

// sizeFor returns the size of the block that get would return. A queue that is idle uses small ones.
func (a *arena) sizeFor(size int, busy bool) (bytes, list int) {
	switch {
	case size <= smallBlock && !busy:
		return smallBlock, 0
	case size <= a.largeSize:
		return a.largeSize, 1
	}
	return size, 2
}

// get returns an empty block with room for size bytes.
func (a *arena) get(size int, busy bool) *block {
	n, k := a.sizeFor(size, busy)
	list := a.lists[k]
	for i := len(list) - 1; i >= 0; i-- {
		if c := cap(list[i].buf); c >= n && c <= 2*n {
			b := list[i]
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			a.lists[k] = list[:len(list)-1]
			a.spare -= int64(c)
			a.used += int64(c)
			return b
		}
	}
	for k := range a.lists {
		for l := a.lists[k]; len(l) > 0 && a.used+a.spare+int64(n) > a.limit; {
			b := l[len(l)-1]
			l[len(l)-1] = nil
			l = l[:len(l)-1]
			a.lists[k] = l
			a.spare -= int64(cap(b.buf))
		}
	}
	a.used += int64(n)
	return &block{buf: make([]byte, 0, n)}
}

// put takes back a block that nobody refers to.
func (a *arena) put(b *block) {
	n := cap(b.buf)
	a.used -= int64(n)
	k, most := 2, 2
	switch n {
	case smallBlock:
		k, most = 0, maxSpare
	case a.largeSize:
		k, most = 1, maxSpare
	}
	if len(a.lists[k]) >= most || a.used+a.spare+int64(n) > a.limit {
		return
	}
	*b = block{buf: b.buf[:0]}
	a.spare += int64(n)
	a.lists[k] = append(a.lists[k], b)
}

// trim lets go of the spare blocks.
func (a *arena) trim() { a.lists, a.spare = [3][]*block{}, 0 }

// ref notes that somebody refers to a block.
func (a *arena) ref(b *block) {
	if b.refs++; b.refs == 1 {
		a.pinned += int64(cap(b.buf))
	}
}

// unref drops a reference; the last one frees a block that is in no list.
func (a *arena) unref(b *block) {
	if b.refs--; b.refs == 0 {
		a.pinned -= int64(cap(b.buf))
		a.free(b)
	}
}

// free takes back a block unless somebody needs it.
func (a *arena) free(b *block) {
	if b.refs == 0 && !b.writing && !b.listed {
		a.put(b)
	}
}
