// Package destination delivers what one buffer holds through one output.
//
// A destination shares nothing with another one but the pool for encoding. Its parts, in the order of the way:
//
//	Append ─▶ buffer ─▶ dispatcher (only with several workers) ─▶ worker: group, encode, Send, settle
//	                                                              │
//	                                          gate: backoff, breaker, window after an outage
//
// A worker owns the leases that it has taken until every event of them is settled, so retries keep their order
// without going back through the buffer.
package destination

import (
	"cmp"
	"context"
	"fmt"
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
	out   outputs.Output
	shape outputs.Shape
	dead  *cemetery
	pool  *Pool
	log   *zap.Logger

	workers int
	blocks  bool
	timeout time.Duration
	gate    *gate

	draining chan struct{} // closed: nothing lingers any more
	drain    sync.Once
	counts   counts
}

// New builds a destination. Nothing runs before Run.
func New(o Options) *Destination {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	r := &o.Retry
	r.Initial, r.Max = cmp.Or(r.Initial, 500*time.Millisecond), cmp.Or(r.Max, 30*time.Second)
	r.Timeout = cmp.Or(r.Timeout, time.Minute)
	d := &Destination{
		name: o.Name, buf: o.Buffer, out: o.Output, shape: o.Output.Shape(), dead: newCemetery(o.Dead), pool: o.Pool, log: o.Log,
		workers: min(max(o.Workers, 1), maxWorkers), blocks: o.Blocks, timeout: r.Timeout,
		draining: make(chan struct{}),
	}
	d.shape.MaxBytes = cmp.Or(d.shape.MaxBytes, 1<<20)
	if d.pool == nil {
		d.pool = NewPool()
	}
	d.gate = newGate(*r, o.Log)
	d.counts.began = make([]atomic.Int64, d.workers)
	return d
}

// Name returns the destination's name.
func (d *Destination) Name() string { return d.name }

// Blocks reports whether Append may wait for room.
func (d *Destination) Blocks() bool { return d.blocks }

// Append stores chunks for delivery; see [buffer.Buffer].
func (d *Destination) Append(ctx context.Context, chunks []record.Chunk) error {
	return d.buf.Append(ctx, chunks)
}

// Run delivers until ctx ends or the buffer is closed. Requests in flight end with ctx; what they did not deliver
// stays in the buffer. Run returns when they have returned: an output that doesn't obey its context keeps it waiting,
// because what it was given is borrowed. Who can't wait leaves it alone, and loses nothing but time.
func (d *Destination) Run(ctx context.Context) {
	if d.workers == 1 {
		newWorker(d, 0, d.buf).run(ctx)
		return
	}
	shards := newShards(d.buf, d.workers, d.shape.MaxBytes)
	var wg sync.WaitGroup
	for i, s := range shards.list {
		wg.Go(func() { newWorker(d, i, s).run(ctx) })
	}
	shards.run(ctx)
	wg.Wait()
	shards.drain()
}

// Drain tells the workers not to linger: the router is going down.
func (d *Destination) Drain() { d.drain.Do(func() { close(d.draining) }) }

// Close closes the buffer and the output. Run must have returned.
func (d *Destination) Close(ctx context.Context) error {
	err := d.buf.Close(ctx)
	if e := d.out.Close(ctx); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close destination %q: %w", d.name, err)
	}
	return nil
}
