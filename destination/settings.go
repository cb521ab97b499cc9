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

// Change replaces the settings, also while Run goes on. Appends don't notice. The last one of several wins.
func (d *Destination) Change(s Settings) {
	s = s.withDefaults()
	d.workers, d.blocks, d.timeout = s.Workers, s.Blocks, s.Retry.Timeout
	if s.Output != nil {
		d.out, d.shape = s.Output, s.Output.Shape()
	}
}
