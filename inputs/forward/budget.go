package forward

import (
	"context"
	"sync"
	"sync/atomic"
)

// smallBuffer is the size up to which a buffer may take the last quarter of the budget.
const smallBuffer = 64 << 10

// A budget is memory that all connections share. It is safe for concurrent use.
//
// When connections wait for each other's memory, all in the middle of a message, one of them at a time may take more
// than there is, so that it can end its message; nobody is stuck. So the bound is the budget and one event.
type budget struct {
	scarce atomic.Bool // more than half was used, and still more than a quarter: who can do without should give back

	mu    sync.Mutex
	total int64
	free  int64         // below zero while somebody took more than there was
	over  any           // who did
	freed chan struct{} // closed when something was given back; nil while nobody waits
}

func newBudget(total int64) *budget { return &budget{total: total, free: total} }

func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

func (b *budget) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// resize changes the bound. What is beyond a lower one comes back when its connections are done with it.
func (b *budget) resize(total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := total - b.total
	b.total = total
	b.take(-more)
	b.wake()
}

// try takes n bytes for a buffer that is then size bytes large. A large buffer leaves a quarter of the budget alone,
// so that small ones can always grow a little.
func (b *budget) try(n, size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryLocked(n, size)
}

func (b *budget) tryLocked(n, size int64) bool {
	keep := int64(0)
	if size > smallBuffer {
		keep = b.total / 4
	}
	if b.free-n < keep {
		return false
	}
	b.take(n)
	return true
}

func (b *budget) take(n int64) {
	b.free -= n
	switch { // between the two it stays, so that buffers don't shrink and grow in turn
	case b.free < b.total/2:
		b.scarce.Store(true)
	case b.free > b.total/4*3:
		b.scarce.Store(false)
	}
}

// wait is try that waits for room until ctx ends. who is the one that waits.
func (b *budget) wait(ctx context.Context, who any, n, size int64) bool {
	for {
		b.mu.Lock()
		if b.tryLocked(n, size) {
			b.mu.Unlock()
			return true
		}
		if b.over == nil || b.over == who {
			b.over = who
			b.take(n)
			b.mu.Unlock()
			return true
		}
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// put gives n bytes back; all says that who has none left.
func (b *budget) put(who any, n int64, all bool) {
	b.mu.Lock()
	b.take(-n)
	if b.free >= 0 || all && b.over == who {
		b.over = nil
	}
	b.wake()
	b.mu.Unlock()
}

// wake makes those who wait look again; the lock is held.
func (b *budget) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
