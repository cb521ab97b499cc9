package destination

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

// closeTimeout bounds the closing of an output that was replaced.
const closeTimeout = 10 * time.Second

// An outlet is an output and who uses it. It is closed once: when it has been replaced, or its destination closed, and
// the last request has returned.
type outlet struct {
	out   outputs.Output
	shape outputs.Shape

	mu      sync.Mutex
	users   int
	ctx     context.Context // what Close is called with; nil: it is still wanted
	log     *zap.Logger     // where its error goes; nil: somebody waits for it
	closing bool
	err     error         // of Close
	closed  chan struct{} // after Close has returned
}

func newOutlet(out outputs.Output) *outlet {
	o := &outlet{out: out, shape: out.Shape(), closed: make(chan struct{})}
	if o.shape.MaxBytes == 0 {
		o.shape.MaxBytes = 1 << 20
	}
	return o
}

func (o *outlet) use() {
	o.mu.Lock()
	o.users++
	o.mu.Unlock()
}

// leave is called once for each use.
func (o *outlet) leave() {
	o.mu.Lock()
	o.users--
	o.closeIdle()
	o.mu.Unlock()
}

// retire closes the output as soon as nobody uses it. It doesn't wait.
func (o *outlet) retire(ctx context.Context, log *zap.Logger) {
	o.mu.Lock()
	if o.ctx == nil {
		o.ctx, o.log = ctx, log
	}
	o.closeIdle()
	o.mu.Unlock()
}

// closeIdle starts closing, if it is time; the caller holds mu.
func (o *outlet) closeIdle() {
	if o.users > 0 || o.ctx == nil || o.closing {
		return
	}
	o.closing = true
	ctx, log := o.ctx, o.log
	go func() {
		defer close(o.closed)
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		if o.err = closeOutput(ctx, o.out); o.err != nil && log != nil {
			log.Warn("can't close the output that was replaced", zap.Error(o.err))
		}
	}()
}

func closeOutput(ctx context.Context, out outputs.Output) (err error) {
	defer recovered(&err)
	return out.Close(ctx)
}

func (o *outlet) isClosed() bool {
	select {
	case <-o.closed:
		return true
	default:
		return false
	}
}

// wait returns the error of Close, or ctx's when that takes longer.
func (o *outlet) wait(ctx context.Context) error {
	select {
	case <-o.closed:
		return o.err
	case <-ctx.Done():
	}
	if o.isClosed() { // both at once
		return o.err
	}
	return ctx.Err()
}

// replace makes another output the one of the next crew; the caller holds d.mu.
func (d *Destination) replace(out outputs.Output) {
	old := d.outlet
	d.outlet = newOutlet(out)
	d.discard(old)
}

// discard closes an output that nobody needs any more, and remembers it for as long; the caller holds d.mu.
func (d *Destination) discard(o *outlet) {
	d.discarded = slices.DeleteFunc(d.discarded, (*outlet).isClosed)
	d.discarded = append(d.discarded, o)
	o.retire(context.Background(), d.log)
}
