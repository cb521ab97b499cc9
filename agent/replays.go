package agent

import "sync"

// replays are the replays under way, by what they read.
type replays struct {
	mu     sync.Mutex
	active map[string]bool
}

func (r *replays) begin(from string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[from] {
		return false
	}
	if r.active == nil {
		r.active = map[string]bool{}
	}
	r.active[from] = true
	return true
}

func (r *replays) end(from string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, from)
}
