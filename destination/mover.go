package destination

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
)

const (
	// movePause is the wait after the fallback has failed.
	movePause = time.Second
	// roomPause is when a fallback without room is asked again.
	roomPause = 100 * time.Millisecond
	// moveTimeout is the deadline of the fallback, which waits only for its own disk.
	moveTimeout = 10 * time.Second
	// cutAfter is how long a request may be under way while an append waits for room, if the one before it succeeded:
	// senders wait meanwhile. After a failure there is nothing to wait for, and it is cut off at once.
	cutAfter = 500 * time.Millisecond
	// cutEarly is how long a request may be under way near the bound after a failure: so that no append has to wait.
	cutEarly = time.Second
	// cutLate is the same for others, and while the fallback fails or is full: then delivery is what makes room.
	cutLate = 15 * time.Second
	// pressedStep is how often requests are looked at under pressure.
	pressedStep = 50 * time.Millisecond
)

var errCut = errors.New("cut off: the buffer is full, and its events have to move to the fallback")

// A mover decides when events go to the fallback instead of to the output. One serves all workers of a destination,
// each of which moves what it holds: so the order of a tag is kept in both places.
type mover struct {
	buf buffer.Buffer
	log *zap.Logger
	to  atomic.Pointer[Fallback] // nil: none

	mu      sync.Mutex
	pause   time.Time     // nothing moves before: the fallback has failed
	trouble string        // why; "" when it works
	woken   chan struct{} // closed and renewed when events may have to move
	flights map[*flight]struct{}
}

// A flight is a request that may be cut off. It is reused by its worker.
type flight struct {
	since   time.Time
	cancel  context.CancelCauseFunc
	trusted bool // the request before it succeeded
	cut     bool
}

// limit is how long it may last.
func (f *flight) limit(urgent bool) time.Duration {
	switch {
	case urgent && !f.trusted:
		return 0
	case urgent:
		return cutAfter
	case !f.trusted:
		return cutEarly
	}
	return cutLate
}

// A cue says whether events have to move now.
type cue struct {
	to     *Fallback       // nil: they don't
	why    string          // a value of Stats.MovingWhy
	urgent bool            // an append waits for room
	room   int64           // bytes that may move at once
	again  time.Duration   // when to ask again; 0: only when woken
	woken  <-chan struct{} // closed when the answer may have changed
}

func newMover(b buffer.Buffer, log *zap.Logger) *mover {
	return &mover{buf: b, log: log, woken: make(chan struct{}), flights: map[*flight]struct{}{}}
}

// set changes the fallback at once.
func (m *mover) set(to *Fallback) {
	if to != nil {
		own := *to
		to = &own
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to.Store(to)
	m.pause, m.trouble = time.Time{}, ""
	m.wake()
}

// wake wakes who waits. The caller holds mu.
func (m *mover) wake() {
	close(m.woken)
	m.woken = make(chan struct{})
}

// due returns what is to be done in front of a gate.
func (m *mover) due(g *gate) cue {
	m.mu.Lock()
	q := cue{woken: m.woken}
	to, pause := m.to.Load(), m.pause
	m.mu.Unlock()
	if to == nil {
		return q
	}
	why, urgent, again := m.reason(to, g)
	if why == "" {
		q.again = again
		return q
	}
	if wait := time.Until(pause); wait > 0 {
		q.again = wait
		return q
	}
	room := to.room(urgent)
	if room <= 0 {
		q.again = roomPause
		return q
	}
	q.to, q.why, q.urgent, q.room = to, why, urgent, room
	return q
}

// reason returns why events should move, or in which time they should if nothing changes.
func (m *mover) reason(to *Fallback, g *gate) (why string, urgent bool, again time.Duration) {
	if p := m.buf.Pressure(); p != buffer.Relaxed {
		return MovingBound, p == buffer.Waiting, 0
	}
	if to.After > 0 {
		since, ok := g.brokenSince()
		if !ok {
			return "", false, 0
		}
		if wait := to.After - time.Since(since); wait > 0 {
			return "", false, wait
		}
		return MovingBreaker, false, 0
	}
	return "", false, 0
}

// urgent reports whether room has to be made now.
func (m *mover) urgent() bool {
	return m.to.Load() != nil && m.buf.Pressure() == buffer.Waiting
}

// watch wakes the workers under pressure, and cuts off requests that keep them from making room.
func (m *mover) watch(ctx context.Context) {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-m.buf.Pressed():
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if m.to.Load() == nil {
			continue
		}
		if p := m.buf.Pressure(); p != buffer.Relaxed {
			m.press(p == buffer.Waiting)
			tick.Reset(pressedStep)
		}
	}
}

// press wakes who waits, and cuts off requests that are in the way; urgent says that an append waits for room.
func (m *mover) press(urgent bool) {
	to := m.to.Load()
	full := to != nil && to.room(urgent) <= 0
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wake()
	for f := range m.flights {
		limit := f.limit(urgent)
		if m.trouble != "" || full {
			limit = cutLate
		}
		if !f.cut && time.Since(f.since) >= limit {
			f.cut = true
			f.cancel(errCut)
		}
	}
}

// depart makes a request known that may be cut off, if there is a fallback. Then land has to be called. trusted says that
// the request before it succeeded.
func (m *mover) depart(ctx context.Context, f *flight, trusted bool) (context.Context, bool) {
	if m.to.Load() == nil {
		return ctx, false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	m.mu.Lock()
	*f = flight{since: time.Now(), cancel: cancel, trusted: trusted}
	m.flights[f] = struct{}{}
	m.mu.Unlock()
	return ctx, true
}

// land reports whether the request was cut off.
func (m *mover) land(f *flight) bool {
	m.mu.Lock()
	delete(m.flights, f)
	cut, cancel := f.cut, f.cancel
	f.cancel = nil
	m.mu.Unlock()
	cancel(nil)
	return cut
}

// moved is told what the fallback has answered.
func (m *mover) moved(to *Fallback, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.to.Load() != to {
		return // it was replaced in the meantime
	}
	switch {
	case err == nil && m.trouble != "":
		m.log.Info("fallback works again", zap.String("fallback", to.Name))
		m.trouble = ""
	case err != nil:
		if m.trouble == "" {
			m.log.Warn("can't move events to the fallback", zap.String("fallback", to.Name), zap.Error(err))
		}
		m.trouble = fmt.Sprintf("move events to %q: %v", to.Name, err)
		m.pause = time.Now().Add(movePause)
	}
}

func (m *mover) describe(s *Stats, g *gate) (trouble string) {
	to := m.to.Load()
	if to == nil {
		return ""
	}
	if why, _, _ := m.reason(to, g); why != "" {
		s.Moving, s.MovingTo, s.MovingWhy = true, to.Name, why
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trouble
}
