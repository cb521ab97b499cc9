package destination

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

var errNothing = errors.New("output delivered nothing and gave no reason")

// send makes one request and settles its events. It returns the failure, if any, whether some were settled, and
// whether the request was cut off to make room.
func (w *worker) send(p *parcel) (failed *outputs.Error, some, cut bool) {
	d := w.d
	p.identify()
	d.counts.requests.Add(1)
	again := 0
	for _, pc := range p.pieces {
		switch h := pc.h; {
		case h.lease.Attempts > 0:
			again += pc.to - pc.from
		default:
			again += max(0, min(pc.to, h.sent)-pc.from)
			h.sent = max(h.sent, pc.to)
		}
	}
	if again > 0 {
		d.counts.retried.Add(uint64(again))
	}
	w.began.Store(time.Now().UnixNano())
	d.counts.inFlight.Add(1)
	attempt, flying := d.mover.depart(w.c.ctx, &w.flight, w.c.gate.trusted())
	attempt, cancel := context.WithTimeout(attempt, d.attemptTimeout())
	res := w.request(attempt, p)
	cancel()
	cut = flying && d.mover.land(&w.flight)
	d.counts.inFlight.Add(-1)
	w.began.Store(0)

	e := errorOf(res.Err)
	if e == nil && len(res.Retry) == 0 && len(res.Dead) == 0 {
		for _, pc := range p.pieces {
			pc.h.settle(pc.from, pc.to, buffer.Delivered, "")
		}
		d.counts.sent.Add(uint64(p.bytes))
		w.suspect.passed(p)
		return nil, true, false
	}
	some = w.settle(p, res, e != nil)
	if e == nil && !some {
		e = &outputs.Error{Err: errNothing}
	}
	if e == nil {
		if len(res.Retry) == 0 {
			w.suspect.passed(p)
		}
		return nil, some, false
	}
	d.counts.failed.Add(1)
	switch {
	case cut:
		return &outputs.Error{Err: errCut}, some, true
	case w.c.ctx.Err() != nil: // cut off by the shutdown
	case w.suspect.failed(w, p, e):
		return nil, true, false // the server is well
	}
	return e, some, false
}

func (d *Destination) attemptTimeout() time.Duration { return time.Duration(d.timeout.Load()) }

// request calls the output. Its panic is a failure of this destination, which must not reach another one: the events
// are kept and tried again.
func (w *worker) request(ctx context.Context, p *parcel) (res outputs.Result) {
	d := w.d
	defer func() {
		if v := recover(); v != nil {
			err := panicked(v)
			if d.counts.panics.Add(1) == 1 {
				d.log.Error("output panicked", zap.Error(err), zap.ByteString("stack", debug.Stack()))
			}
			res = outputs.Result{Err: &outputs.Error{Err: err, Hint: "this is a bug in Firebreak: please report it with the log"}}
		}
	}()
	return w.c.out.Send(ctx, p.batch)
}

// errorOf returns the error of a result in a form that is safe to use: an output may return a typed nil, or an Error
// without a cause.
func errorOf(err error) *outputs.Error {
	if err == nil {
		return nil
	}
	var e *outputs.Error
	if !errors.As(err, &e) {
		return &outputs.Error{Err: err}
	}
	if e == nil {
		return nil
	}
	own := *e // the output may hand out the same one again, to other workers
	if own.Err == nil {
		own.Err = errors.New("output gave no reason")
	}
	return &own
}

// Fates of events in a partial result.
const (
	fateDelivered = 0
	fateRetry     = -1
	// n > 0: dead, as Dead[n-1] says
)

// settle applies a result that isn't plain success. It reports whether anything was settled. Ranges may be out of
// bounds or overlap: then an event that may be sent again is sent again.
func (w *worker) settle(p *parcel, res outputs.Result, failed bool) bool {
	fates := make([]int32, p.batch.Events)
	named := false
	mark := func(r outputs.Range, v int32) {
		for i := max(r.From, 0); i < min(r.To, len(fates)); i++ {
			fates[i], named = v, true
		}
	}
	for i, dead := range res.Dead {
		mark(dead.Range, int32(i+1))
	}
	for _, r := range res.Retry {
		mark(r, fateRetry)
	}
	if failed && !named {
		return false // an error without ranges, or with ones that name no event
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
			case fateDelivered:
				pc.h.settle(pc.from+i, pc.from+j, buffer.Delivered, "")
				settled = true
			case fateRetry:
			default:
				dead := res.Dead[f-1]
				w.bury(pc.h, pc.from+i, pc.from+j, dead.Reason, dead.Detail)
				settled = true
			}
			i = j
		}
		base += n
	}
	return settled
}
