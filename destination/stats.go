package destination

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

// Stats is a snapshot of a destination.
type Stats struct {
	Name   string
	Buffer buffer.Stats
	Output any // the output's own status, when it has one

	Breaker  string    // closed, open, half-open
	Since    time.Time // when the breaker closed, or when it first opened after that
	Error    string    // of the last failed attempt, while it has not been followed by a success
	Hint     string    // what to change
	Trouble  string    // about dead letters, the fallback, or a request that hangs
	Held     bool      // authentication or configuration: somebody has to change something
	NextTry  time.Time // when the breaker is open
	Requests uint64    // attempts
	Failed   uint64    // attempts that delivered nothing, or not all
	Retried  uint64    // events that were sent more than once
	Sent     uint64    // bytes of delivered batches, as given to the output
	InFlight int       // requests at this moment

	Moving    bool   // events move to the fallback
	MovingTo  string // its name, while Moving
	MovingWhy string // MovingBound or MovingBreaker, while Moving
	Limited   bool   // a request waits for max_rate
}

type counts struct {
	requests, failed, retried, sent, panics atomic.Uint64
	inFlight                                atomic.Int64

	mu      sync.Mutex
	trouble string
}

// lateAfter is how long after its deadline a request counts as hanging.
const lateAfter = 10 * time.Second

// overdue returns how long after its deadline the oldest request is still under way, if it hangs.
func (c *crew) overdue(timeout time.Duration) time.Duration {
	most := time.Duration(0)
	for i := range c.began {
		if at := c.began[i].Load(); at != 0 {
			most = max(most, time.Since(time.Unix(0, at))-timeout)
		}
	}
	if most < lateAfter {
		return 0
	}
	return most
}

func (c *counts) note(s string) {
	c.mu.Lock()
	c.trouble = s
	c.mu.Unlock()
}

func (c *counts) noted() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// Stats returns a snapshot.
func (d *Destination) Stats() Stats {
	s := Stats{
		Name: d.name, Buffer: d.buf.Stats(),
		Requests: d.counts.requests.Load(), Failed: d.counts.failed.Load(), Retried: d.counts.retried.Load(),
		Sent: d.counts.sent.Load(), InFlight: int(d.counts.inFlight.Load()),
	}
	d.mu.Lock()
	gate, out := d.gate, d.outlet.out
	late := time.Duration(0)
	for _, c := range d.crews {
		late = max(late, c.overdue(d.attemptTimeout()))
	}
	d.mu.Unlock()
	var troubles []string
	if late > 0 {
		troubles = append(troubles, fmt.Sprintf("a request has not returned %v after its deadline", late.Round(time.Second)))
	}
	if t := d.mover.describe(&s, gate); t != "" {
		troubles = append(troubles, t)
	}
	if t := d.counts.noted(); t != "" {
		troubles = append(troubles, t)
	}
	s.Trouble = strings.Join(troubles, "; ")
	s.Limited = d.limit.waiting.Load() > 0
	gate.describe(&s)
	if r, ok := out.(outputs.Reporter); ok {
		s.Output = r.Status()
	}
	return s
}
