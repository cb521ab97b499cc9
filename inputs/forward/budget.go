package forward

import (
	"context"
	"sync"
)

// smallBuffer is the size up to which a buffer may take the last quarter of the budget.
const smallBuffer = 64 << 10

// A budget is memory that all connections share. It is safe for concurrent use.
type budget struct {
	total int64

	mu    sync.Mutex
	free  int64
	freed chan struct{} // closed when something was given back; nil while nobody waits
}

func newBudget(total int64) *budget { return &budget{total: total, free: total} }

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
	b.free -= n
	return true
}

// wait is try that waits for room until ctx ends.
func (b *budget) wait(ctx context.Context, n, size int64) bool {
	for {
		b.mu.Lock()
		if b.tryLocked(n, size) {
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

func (b *budget) put(n int64) {
	b.mu.Lock()
	b.free += n
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
	b.mu.Unlock()
}
