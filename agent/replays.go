package agent

import (
	"context"
	"sync"
	"time"
)

// replays are the replays under way, by what they read. A reload that adds or removes an output has its name for as
// long: what is in a directory is read by a replay or by an output, never by both.
type replays struct {
	mu     sync.Mutex
	active map[string]*underWay
}

type underWay struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// begin takes a name until end is called; nil: somebody else has it. ctx ends when somebody needs the name.
func (r *replays) begin(ctx context.Context, from string) (_ context.Context, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[from] != nil {
		return nil, nil
	}
	if r.active == nil {
		r.active = map[string]*underWay{}
	}
	ctx, cancel := context.WithCancel(ctx)
	u := &underWay{cancel, make(chan struct{})}
	r.active[from] = u
	return ctx, func() {
		cancel()
		r.mu.Lock()
		delete(r.active, from)
		r.mu.Unlock()
		close(u.ended)
	}
}

// take is begin for who can't do without the name: it ends the replay that has it, and waits for that. nil: the replay
// hangs.
func (r *replays) take(from string, patience time.Duration) (end func()) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if _, end := r.begin(context.Background(), from); end != nil {
			return end
		}
		r.mu.Lock()
		u := r.active[from]
		r.mu.Unlock()
		if u == nil {
			continue
		}
		u.cancel()
		select {
		case <-u.ended:
		case <-limit.C:
			return nil
		}
	}
}
