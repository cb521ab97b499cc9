package destination

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
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
	c       *crew
	src     source
	held    []*held
	spare   []*held
	bytes   int           // of the held chunks
	events  int           // of the held chunks
	taken   int64         // bytes of all chunks ever taken
	leases  int           // bound of held
	began   *atomic.Int64 // when the request under way began, in nanoseconds; 0: none
	flight  flight        // the same request, while it may be cut off
	load    load
	turn    int // of several parcels, which is sent first
	pack    *packer
	suspect suspicion
	now     time.Time   // when leases were taken last, if batches linger
	timer   *time.Timer // for idle
}

// newWorker returns the worker with the number i.
func newWorker(c *crew, i int, src source) *worker {
	w := &worker{d: c.d, c: c, src: src, pack: newPacker(c.shape), leases: maxLeases, began: &c.began[i]}
	if c.workers > 1 {
		w.leases = maxLeases / 2 / c.workers
	}
	return w
}

func (w *worker) run() {
	defer w.release()
	for w.fill() {
		p, q, ok := w.enter()
		switch {
		case !ok:
			return
		case q.to != nil:
			w.move(q)
		default:
			w.topUp() // it may have been a while
			w.attempt(p)
		}
	}
}

// release returns what is still held to the buffer.
func (w *worker) release() {
	ranges := maxRanges / w.c.workers
	for _, h := range w.held {
		done := h.merge()
		done = done[:min(len(done), ranges)] // what is beyond is sent again
		ranges -= len(done)
		h.lease.End(done...)
	}
	w.held = nil
}

// fill waits for a first lease and takes more, until a batch is full or has lingered. It returns false at the end.
func (w *worker) fill() bool {
	if len(w.held) == 0 {
		l, err := w.src.Next(w.c.taking)
		if err != nil {
			return false
		}
		w.tick()
		w.take(l)
	}
	w.topUp()
	if w.c.shape.Linger > 0 {
		w.linger()
	}
	return w.c.taking.Err() == nil
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
	if w.c.shape.Linger > 0 {
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
	s := &w.c.shape
	return w.bytes >= s.MaxBytes || len(w.held) >= w.leases || s.Key == nil && s.MaxEvents > 0 && w.events >= s.MaxEvents ||
		len(w.held) > 0 && w.taken-w.held[0].at >= int64(max(4*s.MaxBytes, minReach))
}

// discard sheds all that is left of a lease whose data can't be read. It was valid when it was accepted: give up on
// it, not on the rest.
func (w *worker) discard(h *held, err error) {
	w.d.log.Error("can't read events from the buffer", zap.Error(err))
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
