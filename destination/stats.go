package destination

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/buffer"
)

// Stats is a snapshot of a destination.
type Stats struct {
	Name   string
	Buffer buffer.Stats
	Output any // the output's own status, when it has one

	Breaker  string    // closed, open, half-open
	Since    time.Time // of the breaker's state
	Error    string    // of the last failed attempt, while it has not been followed by a success
	Hint     string    // what to change
	Trouble  string    // about keeping dead letters
	Held     bool      // authentication or configuration: somebody has to change something
	NextTry  time.Time // when the breaker is open
	Requests uint64    // attempts
	Failed   uint64    // attempts that delivered nothing, or not all
	Retried  uint64    // events that were sent more than once
	Sent     uint64    // bytes of delivered batches, as given to the output
	InFlight int       // requests at this moment
}

// Reporter is an output that has a status of its own, such as a list of servers.
type Reporter interface{ Status() any }

type counts struct {
	requests, failed, retried, sent, panics atomic.Uint64
	inFlight                                atomic.Int64

	mu      sync.Mutex
	trouble string
}

func (c *counts) note(s string) {
	c.mu.Lock()
	c.trouble = s
	c.mu.Unlock()
}

// Stats returns a snapshot.
func (d *Destination) Stats() Stats {
	s := Stats{
		Name: d.name, Buffer: d.buf.Stats(),
		Requests: d.counts.requests.Load(), Failed: d.counts.failed.Load(), Retried: d.counts.retried.Load(),
		Sent: d.counts.sent.Load(), InFlight: int(d.counts.inFlight.Load()),
	}
	d.counts.mu.Lock()
	s.Trouble = d.counts.trouble
	d.counts.mu.Unlock()
	d.gate.describe(&s)
	if r, ok := d.out.(Reporter); ok {
		s.Output = r.Status()
	}
	return s
}
