package destination

import "github.com/firebreak/firebreak/outputs"

// maxParcelFailures is how many batches in a row may fail in one attempt before the rest has to wait.
const maxParcelFailures = 3

// attempt sends what is held, or as much as the pass allows, and settles it.
func (w *worker) attempt(pass pass) {
	g := w.c.gate
	list := w.held
	if pass.n > 0 && w.c.shape.Key == nil {
		list = list[:min(pass.n, len(list))]
	}
	if err := w.packUp(list); err != nil {
		g.leave(pass)
		if bad := w.pack.bad; bad != nil {
			w.discard(bad, err)
		}
		w.pack.release()
		w.finish()
		return
	}
	for _, u := range w.pack.unfit {
		w.bury(u.h, u.from, u.to, ReasonEncode, u.err.Error())
	}
	r := w.sendAll(pass)
	if w.c.shape.Key == nil {
		r.used = len(list)
	}
	w.pack.release()
	w.finish()
	switch {
	case r.failed != nil && (w.c.ctx.Err() == nil || r.served):
		g.failure(pass, r.failed, r.served, r.used)
	case r.cut != nil && !r.served: // it kept room from being made, which a server that is well doesn't
		g.failure(pass, r.cut, false, r.used)
	case r.failed == nil && r.served:
		g.success(pass)
	default: // nothing to send, or cut short by the shutdown: says nothing about the other side
		g.leave(pass)
	}
}

// An outcome is what an attempt has come to.
type outcome struct {
	served bool           // some events were delivered
	failed *outputs.Error // the failure that says most
	cut    *outputs.Error // of a request that was cut off
	used   int            // parcels that were sent
}

// sendAll sends the parcels one after the other.
//
// With keys a pass counts parcels. One key may fail for ever, such as a group or a path without permission, so each
// attempt that fails goes on elsewhere: otherwise a breaker would probe only that key, and keep the others waiting.
func (w *worker) sendAll(pass pass) (r outcome) {
	list := w.pack.ready()
	n := len(list)
	if pass.n > 0 {
		n = min(n, pass.n)
	}
	first, row := w.turn, 0
	for r.used < n && w.c.taking.Err() == nil && (r.used == 0 || !w.d.mover.urgent()) {
		p := list[(first+r.used)%len(list)]
		if !w.throttle(p.bytes, pass) {
			break
		}
		e, some, cut := w.send(p)
		r.used++
		r.served = r.served || some
		if cut {
			r.cut = e
			break
		}
		if e == nil {
			row = 0
			continue
		}
		w.turn = first + r.used
		if r.failed == nil || r.failed.Class != outputs.Held {
			r.failed = e
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
	return r
}
