package destination

import (
	"context"
	"runtime"
)

// A Pool bounds how much of the machine encoding and compression may take, over all destinations. It is fair: who
// waits longest is next, and a worker waits for one place only.
type Pool struct{ slots chan struct{} }

// NewPool returns a pool of half of the cores, at least one.
func NewPool() *Pool {
	return &Pool{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Do runs f when there is room. When ctx ends first, f doesn't run and the error is ctx's.
func (p *Pool) Do(ctx context.Context, f func()) error {
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-p.slots }()
	f()
	return nil
}
