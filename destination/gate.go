package destination

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

const (
	// breakAfter is how many attempts in a row may fail before the breaker opens.
	breakAfter = 5
	// windowFull is the number of chunks in flight at which a recovered destination is no longer limited.
	windowFull = 256
)

type breakerState uint8

const (
	closed breakerState = iota
	open
	halfOpen
)

func (s breakerState) String() string { return [...]string{"closed", "open", "half-open"}[s] }

// A gate decides when a worker may send, and how much. One gate serves all workers of a destination: a failure backs
// off the destination, not only the batch.
//
//	closed ── breakAfter failures in a row, or one that needs a human ──▶ open ── wait is over ──▶ half-open (one
//	chunk at a time) ── success ──▶ closed, with a window of 1 chunk that doubles with each success
type gate struct {
	retry Retry
	log   *zap.Logger

	mu       sync.Mutex
	state    breakerState
	since    time.Time
	failures int       // in a row
	until    time.Time // no attempt before
	probing  bool      // half-open: the one attempt is under way
	window   int       // chunks per attempt; 0: no limit
	changed  chan struct{}
	last     *outputs.Error
}

func newGate(r Retry, log *zap.Logger) *gate {
	return &gate{retry: r, log: log, since: time.Now(), changed: make(chan struct{})}
}

// enter waits until an attempt is allowed and returns how many chunks it may take; 0 means any number.
func (g *gate) enter(ctx context.Context) (int, error) {
	for {
		g.mu.Lock()
		wait := time.Until(g.until)
		if wait <= 0 {
			switch g.state {
			case closed:
				n := g.window
				g.mu.Unlock()
				return n, nil
			case open:
				g.become(halfOpen)
				fallthrough
			case halfOpen:
				if !g.probing {
					g.probing = true
					g.mu.Unlock()
					return 1, nil
				}
				wait = time.Hour // until the probe's result
			}
		}
		changed := g.changed
		g.mu.Unlock()

		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
		}
		t.Stop()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// leave gives a place back without a result.
func (g *gate) leave() {
	g.mu.Lock()
	g.probing = false
	g.wake()
	g.mu.Unlock()
}

// success is told that the other side took something.
func (g *gate) success() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == closed && g.failures == 0 && g.window == 0 {
		return
	}
	g.probing = false
	g.failures = 0
	g.last = nil
	g.until = time.Time{}
	if g.state != closed {
		g.become(closed)
		g.window = 1
	} else if g.window > 0 {
		if g.window *= 2; g.window >= windowFull {
			g.window = 0
		}
	}
	g.wake()
}

// failure is told that an attempt failed; partly says that it delivered some events all the same.
func (g *gate) failure(e *outputs.Error, partly bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	g.last = e
	if partly {
		g.failures = 0
	}
	g.failures++
	wait := g.backoff()
	if e.RetryAfter > 0 {
		wait = min(e.RetryAfter, 10*time.Minute)
	}
	switch {
	case e.Class == outputs.Held && !partly:
		wait = max(wait, g.retry.Max/2)
		g.become(open)
	case g.state == halfOpen:
		g.become(open)
	case e.Class != outputs.Throttle && !partly && (g.failures >= breakAfter || e.Class == outputs.NoAck):
		// A server that takes and never acknowledges stores every repetition: only the probe may repeat.
		g.become(open)
	case e.Class == outputs.Throttle:
		g.window = max(1, g.window/2)
	}
	if until := time.Now().Add(wait); until.After(g.until) {
		g.until = until
	}
	g.wake()
}

// backoff is exponential with full jitter, but for a floor of a tenth that keeps a dead server from being hammered.
func (g *gate) backoff() time.Duration {
	top := g.retry.Initial
	for i := 1; i < g.failures && top < g.retry.Max; i++ {
		top *= 2
	}
	top = min(top, g.retry.Max)
	return top/10 + rand.N(top-top/10+1)
}

// become changes the state; the caller holds mu.
func (g *gate) become(s breakerState) {
	if g.state == s {
		return
	}
	from := g.state
	g.state, g.since = s, time.Now()
	switch {
	case s == open && from == closed:
		g.log.Warn("destination fails: breaker open", zap.Error(g.last), zap.Int("failures", g.failures))
	case s == closed:
		g.log.Info("destination works again: breaker closed")
	}
}

func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) describe(s *Stats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Breaker, s.Since = g.state.String(), g.since
	if g.state == open {
		s.NextTry = g.until
	}
	if g.last != nil {
		s.Error, s.Hint, s.Held = g.last.Err.Error(), g.last.Hint, g.last.Class == outputs.Held
	}
}
