package destination

import (
	"cmp"
	"context"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Settings are the parts of a destination that may change while it runs.
type Settings struct {
	Output   outputs.Output // a new one; nil in Change: keep the one that is there, and what its breaker knows
	Workers  int            // requests at the same time, 1 to 64
	Retry    Retry
	Blocks   bool      // the buffer's policy is to wait for room
	Fallback *Fallback // nil: none
	MaxRate  int64     // bytes of events per second given to the output; 0: no bound
}

// A Fallback is where events move that can't stay.
type Fallback struct {
	Name  string // the reason that the ledger counts them under
	Sink  Sink
	After time.Duration // they also move once the breaker has not been closed for so long; 0: only at the bound

	// Room returns how many bytes the sink takes at once without giving up others, about. Only when an append waits do
	// events move to a sink without room. It may be called concurrently; nil: any number.
	Room func() int64
}

// A Sink takes chunks over, such as another destination. When Append returns nil they are kept there. It waits for
// nobody but its own disk, and may be called concurrently.
type Sink interface {
	Append(ctx context.Context, chunks []record.Chunk) error
}

// The values of Stats.MovingWhy.
const (
	MovingBound   = "bound"   // the buffer is near its bound
	MovingBreaker = "breaker" // the breaker has not been closed for Fallback.After
)

// withDefaults fills in what is zero.
func (s Settings) withDefaults() Settings {
	s.Workers = min(max(s.Workers, 1), maxWorkers)
	s.Retry.Initial = cmp.Or(s.Retry.Initial, 500*time.Millisecond)
	s.Retry.Max = cmp.Or(s.Retry.Max, 30*time.Second)
	s.Retry.Timeout = cmp.Or(s.Retry.Timeout, time.Minute)
	s.MaxRate = max(s.MaxRate, 0)
	return s
}

func (o Options) settings() Settings {
	return Settings{
		Output: o.Output, Workers: o.Workers, Retry: o.Retry, Blocks: o.Blocks, Fallback: o.Fallback, MaxRate: o.MaxRate,
	}.withDefaults()
}

// Change replaces the settings; the last one of several wins. It may be called at any time and returns at once.
//
// A new output or number of workers takes effect in steps while Run goes on: no more leases are taken, requests under
// way get 3 s to return before they are cut off, what they did not deliver goes back to the buffer, and workers start
// anew. Everything else takes effect at once. Appends notice nothing of it, and counters go on.
//
// Each output is closed once, when it has been replaced and its last request has returned; one that is given after Close
// is closed at once. So it must be a new one.
func (d *Destination) Change(s Settings) {
	s = s.withDefaults()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		if s.Output != nil {
			d.discard(newOutlet(s.Output))
		}
		return
	}
	d.apply(s)
	if s.Output != nil {
		d.replace(s.Output)
		d.gate = newGate(s.Retry, d.log)
	}
	if s.Output != nil || s.Workers != d.workers {
		d.workers = s.Workers
		token(d.changed)
	}
}

// apply puts in place what needs no other workers.
func (d *Destination) apply(s Settings) {
	d.blocks.Store(s.Blocks)
	d.timeout.Store(int64(s.Retry.Timeout))
	d.gate.configure(s.Retry)
	d.limit.set(s.MaxRate)
	d.mover.set(s.Fallback)
}
