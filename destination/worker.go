package destination

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

// maxHeld bounds the leases of one worker: many tiny chunks make a batch, but not any number.
const maxHeld = 4096

// A source hands out leases in order: the buffer itself, or one worker's share of it.
type source interface {
	Next(context.Context) (*buffer.Lease, error)
	TryNext() *buffer.Lease
}

// A worker takes leases, makes batches of them, sends them and settles what became of each event. Events that were
// not delivered stay at its front, so that later ones of their tag can't overtake them.
type worker struct {
	d       *Destination
	src     source
	held    []*held
	bytes   int // of the held chunks
	pack    *packer
	suspect suspicion
}

func newWorker(d *Destination, src source) *worker {
	return &worker{d: d, src: src, pack: newPacker(d.shape)}
}

func (w *worker) run(ctx context.Context) {
	defer w.release()
	for w.fill(ctx) {
		window, err := w.d.gate.enter(ctx)
		if err != nil {
			return
		}
		w.attempt(ctx, window)
	}
}

// release returns what is still held to the buffer.
func (w *worker) release() {
	for _, h := range w.held {
		h.end()
	}
	w.held = nil
}

// fill waits for a first lease and takes more, until a batch is full or has lingered. It returns false at the end.
func (w *worker) fill(ctx context.Context) bool {
	if len(w.held) > 0 {
		w.topUp()
		return ctx.Err() == nil
	}
	l, err := w.src.Next(ctx)
	if err != nil {
		return false
	}
	w.take(l)
	w.topUp()
	if w.bytes < w.d.shape.MaxBytes && w.d.shape.Linger > 0 {
		w.linger(ctx)
		w.topUp()
	}
	return true
}

func (w *worker) take(l *buffer.Lease) {
	w.held = append(w.held, hold(l))
	w.bytes += len(l.Chunk.Data)
}

func (w *worker) topUp() {
	for w.bytes < w.d.shape.MaxBytes && len(w.held) < maxHeld {
		l := w.src.TryNext()
		if l == nil {
			return
		}
		w.take(l)
	}
}

func (w *worker) linger(ctx context.Context) {
	t := time.NewTimer(w.d.shape.Linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.d.draining:
	case <-ctx.Done():
	}
}

// attempt sends what is held, at most window chunks (0: all), and settles it.
func (w *worker) attempt(ctx context.Context, window int) {
	d := w.d
	list := w.held
	if window > 0 && len(list) > window {
		list = list[:window]
	}
	if err := d.pack(ctx, w.pack, list, w.suspect.limit); err != nil {
		d.gate.leave()
		if ctx.Err() == nil {
			// The chunk that can't be read was valid when it was accepted: give up on it, not on the rest.
			d.log.Error("can't read events from the buffer", zap.Error(err))
			w.discard(list[0])
		}
		return
	}
	for _, u := range w.pack.unfit {
		w.bury(u.h, u.from, u.to, ReasonEncode, u.err.Error())
	}
	var failed *outputs.Error
	served := len(w.pack.unfit) > 0 && w.pack.n == 0
	for _, p := range w.pack.ready() {
		if p.batch.Events == 0 {
			continue
		}
		err, some := w.send(ctx, p)
		served = served || some
		if err != nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	w.pack.release()
	w.finish()
	switch {
	case ctx.Err() != nil && !served:
		d.gate.leave() // cut short by the shutdown: says nothing about the other side
	case failed != nil:
		d.gate.failure(failed, served)
	case served:
		d.gate.success()
	default:
		d.gate.leave()
	}
}

// send makes one request and settles its events. It returns the failure, if any, and whether some were delivered.
func (w *worker) send(ctx context.Context, p *parcel) (*outputs.Error, bool) {
	d := w.d
	d.counts.requests.Add(1)
	for _, pc := range p.pieces {
		if pc.h.tries++; pc.h.tries > 1 || pc.h.lease.Attempts > 0 {
			d.counts.retried.Add(uint64(pc.to - pc.from))
		}
	}
	d.counts.inFlight.Add(1)
	attempt, cancel := context.WithTimeout(ctx, d.timeout)
	res := d.out.Send(attempt, p.batch)
	cancel()
	d.counts.inFlight.Add(-1)

	if res.Err == nil && len(res.Retry) == 0 && len(res.Dead) == 0 {
		for _, pc := range p.pieces {
			pc.h.settle(pc.from, pc.to, buffer.Delivered, "")
		}
		d.counts.sent.Add(uint64(p.bytes))
		d.counts.served.Add(1)
		w.suspect.passed(w)
		return nil, true
	}
	some := w.settle(p, res)
	if some {
		d.counts.served.Add(1)
	}
	if res.Err == nil && !some {
		res.Err = errors.New("output delivered nothing and gave no reason")
	}
	if res.Err == nil {
		return nil, some
	}
	d.counts.failed.Add(1)
	e := outputs.Classify(res.Err)
	if errors.Is(res.Err, context.Canceled) && ctx.Err() != nil {
		return e, some
	}
	w.suspect.failed(ctx, w, p, e)
	return e, some
}

// settle applies a result that isn't plain success. It reports whether anything was settled.
func (w *worker) settle(p *parcel, res outputs.Result) bool {
	if res.Err != nil && len(res.Retry) == 0 && len(res.Dead) == 0 {
		return false
	}
	fates := make([]uint16, p.batch.Events) // 0: delivered, 1: retry, 2+i: dead, as res.Dead[i] says
	mark := func(r outputs.Range, v uint16) {
		for i := max(r.From, 0); i < min(r.To, len(fates)); i++ {
			fates[i] = v
		}
	}
	for i, dead := range res.Dead {
		mark(dead.Range, uint16(2+i))
	}
	for _, r := range res.Retry {
		mark(r, 1)
	}
	settled, base := false, 0
	for _, pc := range p.pieces {
		n := pc.to - pc.from
		for i := 0; i < n; {
			j := i + 1
			for j < n && fates[base+j] == fates[base+i] {
				j++
			}
			switch f := fates[base+i]; f {
			case 0:
				pc.h.settle(pc.from+i, pc.from+j, buffer.Delivered, "")
				settled = true
			case 1:
			default:
				dead := res.Dead[f-2]
				w.bury(pc.h, pc.from+i, pc.from+j, dead.Reason, dead.Detail)
				settled = true
			}
			i = j
		}
		base += n
	}
	return settled
}

// bury gives up the events [from, to) of a lease and keeps them with the dead letters.
func (w *worker) bury(h *held, from, to int, reason, detail string) {
	part, err := h.lease.Chunk.Slice(from, to)
	if err != nil {
		h.settle(from, to, buffer.Shed, buffer.ReasonCorrupt)
		return
	}
	fate, why := w.d.bury(part, reason, detail)
	h.settle(from, to, fate, why)
}

// discard sheds all that is left of a lease whose data can't be read.
func (w *worker) discard(h *held) {
	for len(h.todo) > 0 {
		h.settle(h.todo[0].from, h.todo[0].to, buffer.Shed, buffer.ReasonCorrupt)
	}
	w.finish()
}

// finish ends the leases that are settled.
func (w *worker) finish() {
	kept := w.held[:0]
	for _, h := range w.held {
		if h.finished() {
			w.bytes -= len(h.lease.Chunk.Data)
			h.end()
			continue
		}
		kept = append(kept, h)
	}
	clear(w.held[len(kept):])
	w.held = kept
}
