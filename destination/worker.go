package destination

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

const (
	// maxLeases bounds the leases that all workers of a destination have at the same time. Many tiny chunks make a
	// batch, but not any number: what is settled between those that are not is a range in the buffer's position record,
	// which has room for about 3,000 of them.
	maxLeases = 3072
	// maxRanges bounds the ranges of settled events that the workers leave between others when they stop.
	maxRanges = 256
	// minReach is how far, in bytes of the buffer, the leases of a worker may lie apart; see worker.full.
	minReach = 4 << 20
	// maxParcelFailures is how many batches in a row may fail in one attempt before the rest has to wait.
	maxParcelFailures = 3
)

// A source hands out leases in order: the buffer itself, or one worker's share of it.
type source interface {
	Next(context.Context) (*buffer.Lease, error)
	TryNext() *buffer.Lease
}

// A worker takes leases, makes batches of them, sends them and settles what became of each event. Events that were
// not delivered stay at its front, so that later ones of their tag and key can't overtake them.
type worker struct {
	d       *Destination
	src     source
	held    []*held
	spare   []*held
	bytes   int           // of the held chunks
	events  int           // of the held chunks
	taken   int64         // bytes of all chunks ever taken
	leases  int           // bound of held
	began   *atomic.Int64 // when the request under way began, in nanoseconds; 0: none
	turn    int           // of several parcels, which is sent first
	pack    *packer
	suspect suspicion
	now     time.Time   // when leases were taken last, if batches linger
	timer   *time.Timer // for linger
}

// newWorker returns the worker with the number i.
func newWorker(d *Destination, i int, src source) *worker {
	w := &worker{d: d, src: src, pack: newPacker(d.shape), leases: maxLeases, began: &d.counts.began[i]}
	if d.workers > 1 {
		w.leases = maxLeases / 2 / d.workers
	}
	return w
}

func (w *worker) run(ctx context.Context) {
	defer w.release()
	for w.fill(ctx) {
		p, err := w.d.gate.enter(ctx, len(w.held))
		if err != nil {
			return
		}
		w.topUp() // it may have been a while
		w.attempt(ctx, p)
	}
}

// release returns what is still held to the buffer.
func (w *worker) release() {
	ranges := maxRanges / w.d.workers
	for _, h := range w.held {
		done := h.merge()
		done = done[:min(len(done), ranges)] // what is beyond is sent again
		ranges -= len(done)
		h.lease.End(done...)
	}
	w.held = nil
}

// fill waits for a first lease and takes more, until a batch is full or has lingered. It returns false at the end.
func (w *worker) fill(ctx context.Context) bool {
	if len(w.held) == 0 {
		l, err := w.src.Next(ctx)
		if err != nil {
			return false
		}
		w.tick()
		w.take(l)
	}
	w.topUp()
	if w.d.shape.Linger > 0 {
		w.linger(ctx)
	}
	return ctx.Err() == nil
}

func (w *worker) take(l *buffer.Lease) {
	var h *held
	if n := len(w.spare); n > 0 {
		h = w.spare[n-1]
		w.spare = w.spare[:n-1]
	} else {
		h = &held{}
	}
	h.reset(l)
	h.at = w.taken
	h.since = w.now
	w.held = append(w.held, h)
	w.taken += int64(len(l.Chunk.Data))
	w.bytes += len(l.Chunk.Data)
	w.events += l.Chunk.Events
}

// tick notes when leases are taken, if it matters.
func (w *worker) tick() {
	if w.d.shape.Linger > 0 {
		w.now = time.Now()
	}
}

func (w *worker) topUp() {
	w.tick()
	for !w.full() {
		l := w.src.TryNext()
		if l == nil {
			return
		}
		w.take(l)
	}
}

// full reports whether no more should be taken. A lease keeps the memory around it in the buffer, so the distance of
// the first from the last is bounded as well: it grows when some events fail while others are delivered.
func (w *worker) full() bool {
	s := &w.d.shape
	return w.bytes >= s.MaxBytes || len(w.held) >= w.leases || s.Key == nil && s.MaxEvents > 0 && w.events >= s.MaxEvents ||
		len(w.held) > 0 && w.taken-w.held[0].at >= int64(max(4*s.MaxBytes, minReach))
}

// linger waits until the first lease was held for as long as the output wants, or nothing more should be taken.
func (w *worker) linger(ctx context.Context) {
	// Looking now and then costs less than being woken by every chunk.
	step := min(max(w.d.shape.Linger/16, 5*time.Millisecond), 250*time.Millisecond)
	for !w.full() {
		wait := w.d.shape.Linger - time.Since(w.held[0].since)
		if wait <= 0 {
			return
		}
		if w.timer == nil {
			w.timer = time.NewTimer(min(wait, step))
		} else {
			w.timer.Reset(min(wait, step))
		}
		select {
		case <-w.timer.C:
		case <-w.d.draining:
			w.topUp()
			return
		case <-ctx.Done():
			return
		}
		w.topUp()
	}
}

// attempt sends what is held, or as much as the pass allows, and settles it.
func (w *worker) attempt(ctx context.Context, pass pass) {
	d := w.d
	list := w.held
	if pass.n > 0 && d.shape.Key == nil {
		list = list[:min(pass.n, len(list))]
	}
	if err := d.pack(ctx, w.pack, list, w.suspect.limit); err != nil {
		d.gate.leave(pass)
		if bad := w.pack.bad; bad != nil {
			// What can't be read was valid when it was accepted: give up on it, not on the rest.
			d.log.Error("can't read events from the buffer", zap.Error(err))
			w.discard(bad)
		}
		w.pack.release()
		w.finish()
		return
	}
	for _, u := range w.pack.unfit {
		w.bury(u.h, u.from, u.to, ReasonEncode, u.err.Error())
	}
	served, failed, used := w.sendAll(ctx, pass)
	if d.shape.Key == nil {
		used = len(list)
	}
	w.pack.release()
	w.finish()
	switch {
	case failed != nil && (ctx.Err() == nil || served):
		d.gate.failure(pass, failed, served, used)
	case failed == nil && served:
		d.gate.success(pass)
	default: // nothing to send, or cut short by the shutdown: says nothing about the other side
		d.gate.leave(pass)
	}
}

// sendAll sends the parcels one after the other. It reports whether some events were delivered, the failure that says
// most, and how many parcels it has sent.
//
// With keys a pass counts parcels. One key may fail for ever, such as a group or a path without permission, so each
// attempt that fails goes on elsewhere: otherwise a breaker would probe only that key, and keep the others waiting.
func (w *worker) sendAll(ctx context.Context, pass pass) (served bool, failed *outputs.Error, used int) {
	list := w.pack.ready()
	n := len(list)
	if pass.n > 0 {
		n = min(n, pass.n)
	}
	first, row := w.turn, 0
	for used < n && ctx.Err() == nil {
		e, some := w.send(ctx, list[(first+used)%len(list)])
		used++
		served = served || some
		if e == nil {
			row = 0
			continue
		}
		w.turn = first + used
		if failed == nil || failed.Class != outputs.Held {
			failed = e
		}
		if some {
			row = 0
		} else {
			row++
		}
		if row >= maxParcelFailures || e.Class == outputs.Throttle || e.Class == outputs.NoAck {
			break
		}
	}
	return served, failed, used
}

// discard sheds all that is left of a lease whose data can't be read.
func (w *worker) discard(h *held) {
	for len(h.todo) > 0 {
		h.settle(h.todo[0].from, h.todo[0].to, buffer.Shed, buffer.ReasonCorrupt)
	}
}

// finish ends the leases that are settled.
func (w *worker) finish() {
	kept := w.held[:0]
	for _, h := range w.held {
		if !h.finished() {
			kept = append(kept, h)
			continue
		}
		w.bytes -= len(h.lease.Chunk.Data)
		w.events -= h.lease.Chunk.Events
		h.end()
		h.lease = nil
		if len(w.spare) < w.leases && cap(h.todo) <= 16 && cap(h.done) <= 16 {
			w.spare = append(w.spare, h)
		}
	}
	clear(w.held[len(kept):])
	w.held = kept
}
