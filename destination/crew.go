package destination

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

const (
	// leaveGrace is how long requests may go on when their crew is replaced.
	leaveGrace = 3 * time.Second
	// leavePatience is how long a request that was cut off may take to return before the next crew starts without it.
	leavePatience = 5 * time.Second
	// maxHanging bounds the crews with requests that never return: each of them holds leases.
	maxHanging = 4
)

// A crew is the workers that deliver through one output. It is replaced as a whole.
type crew struct {
	d       *Destination
	outlet  *outlet
	out     outputs.Output
	shape   outputs.Shape
	gate    *gate
	workers int
	began   []atomic.Int64 // by worker: when its request began, in nanoseconds; 0: none

	ctx    context.Context // of requests
	cut    context.CancelFunc
	taking context.Context // ends when no more leases are taken, at the latest with ctx
	leave  context.CancelFunc
	gone   chan struct{} // closed: all requests have returned, and no lease is held
}

// Leave makes Run end: requests under way may end first, for a moment, which those that end with its ctx may not. It
// returns at once.
func (d *Destination) Leave() { d.leave.Do(func() { close(d.leaving) }) }

// Run delivers until ctx ends, Leave is called or the buffer is closed. Requests in flight end with ctx; what they did not deliver
// stays in the buffer. Run returns when they have returned: an output that doesn't obey its context keeps it waiting,
// because what it was given is borrowed. Who can't wait leaves it alone, and loses nothing but time.
func (d *Destination) Run(ctx context.Context) {
	var crews, watch sync.WaitGroup
	defer watch.Wait()
	watching, blind := context.WithCancel(ctx)
	defer blind()
	watch.Go(func() { d.mover.watch(watching) })
	defer crews.Wait()
	for ctx.Err() == nil {
		c := d.hire(ctx)
		crews.Go(c.work)
		select {
		case <-c.gone: // ctx has ended, or the buffer is closed
			return
		case <-d.changed:
			c.dismiss(ctx)
		case <-d.leaving:
			c.dismiss(ctx)
			return
		}
	}
}

// hire returns the next crew, with the newest settings.
func (d *Destination) hire(ctx context.Context) *crew {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.changed:
	default:
	}
	d.gate = d.gate.heir()
	c := &crew{
		d: d, outlet: d.outlet, out: d.outlet.out, shape: d.outlet.shape, gate: d.gate, workers: d.workers,
		began: make([]atomic.Int64, d.workers), gone: make(chan struct{}),
	}
	c.ctx, c.cut = context.WithCancel(ctx)
	c.taking, c.leave = context.WithCancel(c.ctx)
	c.outlet.use()
	d.crews = append(d.crews, c)
	return c
}

// work returns when the crew was dismissed, its context has ended, or the buffer is closed.
func (c *crew) work() {
	defer c.end()
	if c.workers == 1 {
		newWorker(c, 0, c.d.buf).run()
		return
	}
	s := newShards(c.d.buf, c.workers, c.shape.MaxBytes)
	var wg sync.WaitGroup
	for i, sh := range s.list {
		wg.Go(func() { newWorker(c, i, sh).run() })
	}
	s.run(c.taking)
	s.drain() // nobody waits for a worker whose request hangs
	wg.Wait()
}

func (c *crew) end() {
	c.leave()
	c.cut()
	d := c.d
	d.mu.Lock()
	d.crews = slices.DeleteFunc(d.crews, func(o *crew) bool { return o == c })
	d.mu.Unlock()
	c.outlet.leave()
	close(c.gone)
}

// dismiss makes a crew go: its requests first may end, then have to. It returns when all have and every lease is back,
// so that the next crew begins with what comes first.
//
// A request that doesn't return even so is left behind, since an output that hangs is what an operator would replace.
// Its leases stay with it until it returns. So newer events of the same tags overtake them on the way through the next
// output; when it returns, what it has not delivered goes back to the buffer and is delivered then, late. What it has
// delivered without saying so is a duplicate.
func (c *crew) dismiss(ctx context.Context) {
	c.leave()
	t := time.NewTimer(min(time.Duration(c.d.timeout.Load()), leaveGrace))
	defer t.Stop()
	select {
	case <-c.gone:
		return
	case <-t.C:
	}
	c.cut()
	t.Reset(leavePatience)
	patience := t.C
	if c.d.hanging(c) >= maxHanging {
		patience = nil
	}
	select {
	case <-c.gone:
	case <-patience:
		c.d.log.Warn("a request of the replaced output hangs: its events wait for it")
	case <-ctx.Done():
	}
}

// hanging returns how many crews other than c have not gone.
func (d *Destination) hanging(c *crew) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.crews {
		if o != c {
			n++
		}
	}
	return n
}
