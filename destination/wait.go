package destination

import "time"

// enter waits until an attempt is allowed, or until events have to move: then the cue says where to. It returns false
// when the worker has to leave.
func (w *worker) enter() (pass, cue, bool) {
	g := w.c.gate
	for w.c.taking.Err() == nil {
		q := w.d.mover.due(g)
		if q.to != nil {
			// Otherwise nobody would notice that the other side works again.
			if !q.urgent && !w.d.limit.owes() {
				if p, ok := g.tryProbe(); ok {
					return p, cue{}, true
				}
			}
			return pass{}, q, true
		}
		p, wait, changed := g.tryEnter(len(w.held))
		if changed == nil {
			return p, cue{}, true
		}
		w.idle(wait, changed, q)
	}
	return pass{}, cue{}, false
}

// idle waits for a time (0: no end), a change, a cue, or the end.
func (w *worker) idle(wait time.Duration, changed <-chan struct{}, q cue) {
	if q.again > 0 && (wait == 0 || q.again < wait) {
		wait = q.again
	}
	var over <-chan time.Time
	if wait > 0 {
		if w.timer == nil {
			w.timer = time.NewTimer(wait)
		} else {
			w.timer.Reset(wait)
		}
		over = w.timer.C
	}
	select {
	case <-over:
	case <-changed:
	case <-q.woken:
	case <-w.c.taking.Done():
	}
}

// linger waits until the first lease was held for as long as the output wants, or nothing more should be taken, or
// events have to move.
func (w *worker) linger() {
	// Looking now and then costs less than being woken by every chunk.
	step := min(max(w.c.shape.Linger/16, 5*time.Millisecond), 250*time.Millisecond)
	for !w.full() && w.c.taking.Err() == nil {
		wait := w.c.shape.Linger - time.Since(w.held[0].since)
		q := w.d.mover.due(w.c.gate)
		if wait <= 0 || q.to != nil {
			return
		}
		select {
		case <-w.d.draining:
			return
		default:
		}
		w.idle(min(wait, step), w.d.draining, q)
		w.topUp()
	}
}

// throttle waits until the rate allows a request of n bytes. It returns false when something else is to be done first:
// to leave, to move events, or to wait because another worker has failed. A probe doesn't wait for its own bytes, but
// the next request does: otherwise events that move would keep it waiting for ever.
func (w *worker) throttle(n int, pass pass) bool {
	l := w.d.limit
	wait, changed := l.take(w, n, pass.probe)
	if changed == nil {
		return true
	}
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	for {
		q := w.d.mover.due(w.c.gate)
		if q.to == nil {
			w.idle(wait, changed, q)
		}
		if q.to != nil || w.c.taking.Err() != nil || w.c.gate.stale(pass) {
			l.leave(w)
			return false
		}
		if wait, changed = l.take(w, n, pass.probe); changed == nil {
			return true
		}
	}
}
