package destination

import (
	"context"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

// suspectAfter is how many failures make a batch, and then an event, suspect.
const suspectAfter = 3

// A Prober is an output that can ask whether the other side takes events at all, with a request of the given size
// that holds none.
type Prober interface {
	Probe(ctx context.Context, tag string, size int) error
}

// A suspicion finds the event that a server chokes on. Forward has no negative answer: a server that can't take an
// event closes the connection or stays silent, again and again, and looks as if it were dead.
//
// A batch that fails suspectAfter times is sent in small parts, first a single event, then twice as many after each
// success and half as many after each failure. A single event that still fails becomes a dead letter only when the
// server served others since it failed first, or answers a probe of the same size: a dead server makes no dead
// letters. An output with keys or encoders says by itself which event it refuses.
type suspicion struct {
	limit    int    // events per attempt; 0: no limit
	failures int    // in a row, of what is at the front
	served   uint64 // requests that delivered something, when the front failed first
	probed   bool   // the server took a probe after the front had failed
}

// passed is told that a batch was delivered.
func (s *suspicion) passed(w *worker) {
	if s.failures == 0 && s.limit == 0 {
		return
	}
	s.failures, s.probed = 0, false
	if s.limit *= 2; s.limit > 1<<14 {
		s.limit = 0
	}
}

// failed is told that a batch failed, wholly or in part.
func (s *suspicion) failed(ctx context.Context, w *worker, p *parcel, e *outputs.Error) {
	if w.d.shape.Key != nil || w.d.shape.Encode != nil || len(w.held) == 0 {
		return
	}
	served := w.d.counts.served.Load()
	if s.failures == 0 && s.limit == 0 {
		s.served = served
	}
	// A refused connection says nothing about the events; nor does silence, when everybody gets it.
	if !e.Written || e.Class == outputs.NoAck && served == s.served {
		return
	}
	if s.failures++; s.failures < suspectAfter {
		return
	}
	if p.batch.Events > 1 {
		s.failures = 0
		if s.limit == 0 {
			s.limit = 1
		} else {
			s.limit = max(1, s.limit/2)
		}
		return
	}
	if served == s.served && !s.probe(ctx, w, p) {
		return
	}
	front := p.pieces[0]
	w.d.log.Warn("event fails again and again on a server that takes others: dead letter",
		zap.String("tag", front.h.lease.Chunk.Tag), zap.Error(e))
	w.bury(front.h, front.from, front.to, ReasonRejected, e.Error())
	*s = suspicion{limit: 1, served: w.d.counts.served.Load()}
}

// probe asks the server, once for each failure of the front.
func (s *suspicion) probe(ctx context.Context, w *worker, p *parcel) bool {
	prober, ok := w.d.out.(Prober)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, w.d.timeout)
	defer cancel()
	alive := prober.Probe(ctx, p.batch.Chunks[0].Tag, p.bytes) == nil
	// One answer may be luck: the front has to fail once more after it.
	first := !s.probed
	s.probed = alive
	return alive && !first
}
