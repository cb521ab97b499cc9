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
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Options are the parts of a destination. All are needed but Dead.
type Options struct {
	Name    string
	Buffer  buffer.Buffer
	Output  outputs.Output
	Blocks  bool        // the buffer's policy is to wait for room
	Dead    DeadLetters // nil: dead letters can't be kept and are shed
	Workers int         // at least 1
	Retry   Retry
	Pool    *Pool
	Log     *zap.Logger
}

// Retry is how failed attempts are repeated.
type Retry struct {
	Initial time.Duration // largest wait before the first repetition
	Max     time.Duration // largest wait between attempts
	Timeout time.Duration // deadline of one attempt
}

// DeadLetters keeps events that were given up. Append returns when they are kept.
type DeadLetters interface {
	Append(c record.Chunk, reason, detail string) error
}

// A Destination is a configured output behind its own buffer.
type Destination struct {
	name  string
	buf   buffer.Buffer
	out   outputs.Output
	shape outputs.Shape
	dead  DeadLetters
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

// Reasons for dead letters that destinations give by themselves.
const (
	ReasonEncode   = "encode"   // the output can't encode the event
	ReasonRejected = "rejected" // the event fails again and again on servers that take others
	// reasonUnkept is a reason for shedding: a dead letter that could not be kept.
	reasonUnkept = "dead_letter_unkept"
)

// New builds a destination. Nothing runs before Run.
func New(o Options) *Destination {
	d := &Destination{
		name: o.Name, buf: o.Buffer, out: o.Output, shape: o.Output.Shape(), dead: o.Dead, pool: o.Pool, log: o.Log,
		workers: max(o.Workers, 1), blocks: o.Blocks, timeout: o.Retry.Timeout,
		draining: make(chan struct{}),
	}
	d.gate = newGate(o.Retry, o.Log)
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

// Reject gives chunks straight to the dead letters.
func (d *Destination) Reject(_ context.Context, chunks []record.Chunk, reason string) error {
	for i := range chunks {
		fate, why := d.bury(chunks[i], reason, "")
		d.buf.Account(chunks[i].Events, fate, why)
	}
	return nil
}

// bury keeps a dead letter and says what its fate is.
func (d *Destination) bury(c record.Chunk, reason, detail string) (buffer.Fate, string) {
	if d.dead == nil {
		return buffer.Shed, reasonUnkept
	}
	if err := d.dead.Append(c, reason, detail); err != nil {
		d.counts.note(fmt.Sprintf("keep dead letters: %v", err))
		return buffer.Shed, reasonUnkept
	}
	return buffer.DeadLettered, reason
}

// Run delivers until ctx ends or the buffer is closed. Requests in flight end with ctx; what they did not deliver
// stays in the buffer.
func (d *Destination) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if d.workers == 1 {
		w := newWorker(d, d.buf)
		w.run(ctx)
		return
	}
	shards := newShards(d.buf, d.workers)
	for i := range shards.list {
		wg.Go(func() { newWorker(d, shards.list[i]).run(ctx) })
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
