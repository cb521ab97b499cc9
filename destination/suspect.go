package destination

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

const (
	// suspectAfter is how many times the same events may fail before they are sent in small parts.
	suspectAfter = 3
	// suspectRounds is how many times in a row an event must fail alone, each time followed by suspectProbes probes
	// that succeed, before it is given up; suspectTime is how long that must last at least. A server that hangs up at
	// random does that less than once in 50 million times, whatever its odds.
	suspectRounds = 8
	suspectProbes = 3
	suspectTime   = 10 * time.Second
	// suspectPause is the wait between the rounds: a server that takes probes needs no longer one.
	suspectPause = time.Second
	// maxProbe bounds the size of a probe. It is large enough for a network that loses large packets to fail it, too,
	// and small enough that an event which is too large for the server differs from it.
	maxProbe = 64 << 10
)

// A suspicion finds the event that a server chokes on. Forward has no negative answer: a server that can't take an
// event closes the connection, again and again, and looks as if it were dead.
//
// Events that fail suspectAfter times are sent in small parts: first a single event, then twice as many after each
// success, and a single one again after each failure. So either a part fails that holds one event, or all of them are
// taken, and batches are whole again.
//
// An event that fails alone becomes a dead letter only when the server hangs up on it and takes a probe, in turn, for
// a while. That other events were taken is no evidence: those before it may have met a better time, and those of
// other tags another server, or another queue inside the same one. Later events of its tag would be evidence, but
// must not overtake it. Nor is silence: a server whose own destination is down says nothing about an event either.
// So a dead, flaky or blocked server makes no dead letters; at worst an event waits, and what is behind it.
//
// Outputs with keys or encoders say by themselves which events they refuse.
type suspicion struct {
	limit    int       // events per attempt; 0: no limit
	end      uint64    // number behind the last event of the smallest part that failed
	front    uint64    // number of the first event that failed
	failures int       // of front, in a row
	rounds   int       // of a failure and a probe that succeeded, in a row
	since    time.Time // the first of them
}

// passed is told that a batch was delivered.
func (s *suspicion) passed(p *parcel) {
	if s.failures == 0 && s.limit == 0 {
		return
	}
	s.failures, s.rounds = 0, 0
	if s.limit *= 2; p.end() >= s.end {
		s.limit = 0 // everything that had failed was taken
	}
}

// failed is told that a batch failed, wholly or in part, after what was delivered of it was settled. It reports
// whether the event in front was given up.
func (s *suspicion) failed(w *worker, p *parcel, e *outputs.Error) bool {
	if w.c.shape.Key != nil || w.c.shape.Encode != nil {
		return false
	}
	// A connection that was refused says nothing about the events; nor does an answer.
	if !e.Written || e.Class != outputs.Transient && e.Class != outputs.NoAck {
		s.rounds = 0
		return false
	}
	h, at := p.front()
	if h == nil {
		return false
	}
	if n := h.lease.ID.First + uint64(at); n != s.front || s.failures == 0 {
		s.front, s.failures, s.rounds = n, 0, 0
	}
	s.failures++
	if s.limit == 0 && s.failures < suspectAfter {
		return false
	}
	s.limit, s.end = 1, p.end()
	if p.batch.Events > 1 {
		return false
	}
	if silence(e) || !s.probe(w, p) {
		s.rounds = 0
		return false
	}
	if s.rounds++; s.rounds == 1 {
		s.since = time.Now()
	}
	e.RetryAfter = cmp.Or(e.RetryAfter, suspectPause)
	if s.rounds < suspectRounds || time.Since(s.since) < suspectTime {
		return false
	}
	w.d.log.Warn("server hangs up on an event again and again, and takes others: dead letter",
		zap.String("tag", h.lease.Chunk.Tag), zap.Error(e))
	w.bury(h, at, at+1, ReasonRejected, e.Error())
	*s = suspicion{}
	return true
}

// silence reports whether the other side neither took nor refused.
func silence(e *outputs.Error) bool {
	return e.Class == outputs.NoAck || errors.Is(e, os.ErrDeadlineExceeded) || errors.Is(e, context.DeadlineExceeded) ||
		errors.Is(e, context.Canceled)
}

// probe asks whether the server takes events like the one of p now.
func (s *suspicion) probe(w *worker, p *parcel) bool {
	prober, ok := w.c.out.(outputs.Prober)
	if !ok {
		return false
	}
	ctx, flying := w.d.mover.depart(w.c.taking, &w.flight, w.c.gate.trusted())
	if flying {
		defer w.d.mover.land(&w.flight)
	}
	ctx, cancel := context.WithTimeout(ctx, w.d.attemptTimeout())
	defer cancel()
	ask := func() (err error) {
		defer recovered(&err)
		return prober.Probe(ctx, p.batch.Chunks[0].Tag, min(p.bytes, maxProbe))
	}
	for range suspectProbes {
		if ask() != nil || ctx.Err() != nil {
			return false
		}
	}
	return true
}
