// Package destination delivers what one buffer holds through one output.
//
// A destination shares nothing with another one but the pool for encoding. Its parts, in the order of the way:
//
//	Append ─▶ buffer ─▶ dispatcher (only with several workers) ─▶ worker: group, encode, Send, settle
//	                                                              │
//	                                          gate: backoff, breaker, window after an outage
//	                                          mover: to the fallback instead, at the buffer's bound or in an outage
//	                                          limiter: max_rate
//
// A crew is the workers of one output; [Destination.Change] replaces it.
//
// A worker owns the leases that it has taken until every event of them is settled, so retries keep their order
// without going back through the buffer.
package destination

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Options are the parts of a destination. Name, Buffer, Output and Workers are needed; parts of Retry that are 0 get
// defaults. What Settings has, too, may change later.
type Options struct {
	Name     string
	Buffer   buffer.Buffer
	Output   outputs.Output
	Blocks   bool        // the buffer's policy is to wait for room
	Dead     DeadLetters // nil: dead letters can't be kept and are shed
	Workers  int         // requests at the same time, 1 to 64
	Retry    Retry
	Fallback *Fallback // nil: none
	MaxRate  int64     // bytes of events per second given to the output; 0: no bound
	Pool     *Pool
	Log      *zap.Logger
}

// Retry is how failed attempts are repeated.
type Retry struct {
	Initial time.Duration // largest wait before the first repetition; 500 ms
	Max     time.Duration // largest wait between attempts; 30 s
	Timeout time.Duration // deadline of one attempt; 1 min
}

// DeadLetters keeps events that were given up. Append returns when they are kept. It isn't called concurrently.
type DeadLetters interface {
	Append(c record.Chunk, reason, detail string) error
}

// A Destination is a configured output behind its own buffer.
type Destination struct {
	name  string
	buf   buffer.Buffer
	dead  *cemetery
	pool  *Pool
	log   *zap.Logger
	limit *limiter
	mover *mover

	blocks   atomic.Bool
	timeout  atomic.Int64  // deadline of one attempt, in nanoseconds
	draining chan struct{} // closed: nothing lingers any more
	drain    sync.Once
	leaving  chan struct{} // closed: Run ends when requests have
	leave    sync.Once
	counts   counts

	changed chan struct{} // a token says that the crew has to be replaced

	mu        sync.Mutex // of what the next crew works with
	workers   int
	outlet    *outlet
	gate      *gate
	crews     []*crew   // those that are not gone yet
	discarded []*outlet // those that are not closed yet
	closed    bool
}

// New builds a destination. Nothing runs before Run.
func New(o Options) *Destination {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Pool == nil {
		o.Pool = NewPool()
	}
	s := o.settings()
	d := &Destination{
		name: o.Name, buf: o.Buffer, dead: newCemetery(o.Dead), pool: o.Pool, log: o.Log,
		limit: newLimiter(), mover: newMover(o.Buffer, o.Log),
		draining: make(chan struct{}), leaving: make(chan struct{}), changed: make(chan struct{}, 1),
		workers: s.Workers, outlet: newOutlet(s.Output), gate: newGate(s.Retry, o.Log),
	}
	d.apply(s)
	return d
}

// Name returns the destination's name.
func (d *Destination) Name() string { return d.name }

// Blocks reports whether Append may wait for room.
func (d *Destination) Blocks() bool { return d.blocks.Load() }

// Append stores chunks for delivery; see [buffer.Buffer].
func (d *Destination) Append(ctx context.Context, chunks []record.Chunk) error {
	return d.buf.Append(ctx, chunks)
}

// roomShare is which part of a buffer may be filled at once by somebody who moves events to it: several may.
const roomShare = 64

// Room is a Fallback.Room: 0 while the buffer is under pressure, or its disk in trouble.
func (d *Destination) Room() int64 {
	if d.buf.Pressure() != buffer.Relaxed {
		return 0
	}
	s := d.buf.Stats()
	if s.Problem != "" {
		return 0
	}
	return s.MaxBytes / roomShare
}

// Drain tells the workers not to linger: the router is going down.
func (d *Destination) Drain() { d.drain.Do(func() { close(d.draining) }) }

// Close closes the buffer and the output. Run must have returned.
func (d *Destination) Close(ctx context.Context) error {
	err := d.buf.Close(ctx)
	d.mu.Lock()
	d.closed = true
	d.outlet.retire(ctx, nil)
	last, others := d.outlet, slices.Clone(d.discarded)
	d.mu.Unlock()
	if e := last.wait(ctx); err == nil {
		err = e
	}
	for _, o := range others {
		_ = o.wait(ctx) // its error was logged
	}
	if err != nil {
		return fmt.Errorf("close destination %q: %w", d.name, err)
	}
	return nil
}
