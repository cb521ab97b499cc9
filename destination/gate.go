package destination

import (
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
	// maxRetryAfter bounds how long the other side may ask to be left alone.
	maxRetryAfter = 10 * time.Minute
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
//	attempt with one chunk) ── success ──▶ closed, with a window of 1 chunk in flight that doubles with each round
type gate struct {
	retry Retry
	log   *zap.Logger

	mu       sync.Mutex
	state    breakerState
	since    time.Time
	broken   time.Time     // when it was closed last, while it isn't
	failures int           // in a row
	epoch    uint64        // grows with each failure: an attempt that began before the last one tells nothing new
	until    time.Time     // no attempt before
	probing  bool          // half-open: the one attempt is under way
	window   int           // chunks in flight of all workers; 0: no limit
	inFlight int           // of the window
	changed  chan struct{} // closed and renewed to wake who waits
	last     *outputs.Error
}

// A pass allows one attempt. It ends with exactly one call of leave, success or failure.
type pass struct {
	n     int // chunks that the attempt may take; 0: any number
	probe bool
	epoch uint64
}

func newGate(r Retry, log *zap.Logger) *gate {
	return &gate{retry: r, log: log, since: time.Now(), changed: make(chan struct{})}
}

// configure changes how failures are repeated, from the next one on.
func (g *gate) configure(r Retry) {
	g.mu.Lock()
	g.retry = r
	g.mu.Unlock()
}

// heir returns a gate that knows the same but that nobody has entered: attempts of a crew that hangs must not keep the
// next one out.
func (g *gate) heir() *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &gate{
		retry: g.retry, log: g.log, state: g.state, since: g.since, broken: g.broken, failures: g.failures, until: g.until,
		window: g.window, last: g.last, changed: make(chan struct{}),
	}
}

// tryEnter returns a pass, or what to wait for: a time (if it isn't 0) or a change.
func (g *gate) tryEnter(want int) (pass, time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.until.IsZero() {
		if wait := time.Until(g.until); wait > 0 {
			return pass{}, wait, g.changed
		}
	}
	p := pass{epoch: g.epoch}
	switch {
	case g.state != closed:
		if g.probing {
			return pass{}, 0, g.changed
		}
		return g.probe(), 0, nil
	case g.window > 0:
		if p.n = min(g.window-g.inFlight, want); p.n <= 0 {
			return pass{}, 0, g.changed
		}
	}
	g.inFlight += p.n
	return p, 0, nil
}

// probe returns the pass of a probe; the caller holds mu.
func (g *gate) probe() pass {
	g.become(halfOpen)
	g.probing = true
	g.inFlight++
	return pass{n: 1, probe: true, epoch: g.epoch}
}

// tryProbe returns a pass if it is time for a probe.
func (g *gate) tryProbe() (pass, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == closed || g.probing || time.Now().Before(g.until) {
		return pass{}, false
	}
	return g.probe(), true
}

// stale reports whether an attempt that has not begun yet would not be allowed any more.
func (g *gate) stale(p pass) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return p.epoch != g.epoch && !p.probe && (g.state != closed || time.Now().Before(g.until))
}

// brokenSince returns when the breaker was closed last, unless it is.
func (g *gate) brokenSince() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken, g.state != closed
}

// trusted reports whether the last attempt succeeded, or none was made yet.
func (g *gate) trusted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == closed && g.failures == 0
}

// end takes a pass back; the caller holds mu. It reports whether the attempt began after the last failure.
func (g *gate) end(p pass) (fresh bool) {
	g.inFlight -= p.n
	if p.probe {
		g.probing = false
	}
	if p.n > 0 {
		g.wake()
	}
	return p.epoch == g.epoch
}

// leave ends an attempt without a result.
func (g *gate) leave(p pass) {
	g.mu.Lock()
	g.end(p)
	g.mu.Unlock()
}

// success ends an attempt in which the other side took everything.
func (g *gate) success(p pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.end(p) {
		return // it says nothing about the time after the failure
	}
	g.last, g.failures, g.until = nil, 0, time.Time{}
	switch {
	case g.state != closed: // then p is the probe
		g.become(closed)
		g.window = 1
	case g.window > 0:
		if g.window += p.n; g.window >= windowFull {
			g.window = 0
		}
		g.wake()
	}
}

// failure ends an attempt that failed; partly says that it delivered some events all the same. used is the number of
// chunks in it.
func (g *gate) failure(p pass, e *outputs.Error, partly bool, used int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := g.end(p)
	human := e.Class == outputs.Held && !partly
	if fresh || human {
		g.last = e
		g.epoch++
	}
	if fresh {
		if partly {
			g.failures = 0
		}
		g.failures++
	}
	wait := g.backoff()
	if e.RetryAfter > 0 { // with some jitter: the other side says the same to everybody
		wait = min(e.RetryAfter, maxRetryAfter) + rand.N(g.retry.Initial+1)
	}
	if human {
		wait = max(wait, g.retry.Max/2)
	}
	switch {
	case human:
		g.become(open)
	case !fresh: // of several attempts that fail together, one counts
		if e.RetryAfter == 0 {
			wait = 0
		}
	case g.state == halfOpen && partly:
		g.become(closed)
		g.window = 1
	case g.state == halfOpen:
		g.become(open)
	case e.Class == outputs.Throttle:
		if g.window == 0 {
			g.window = used
		}
		g.window = max(1, min(g.window/2, windowFull/2))
	case !partly && (g.failures >= breakAfter || e.Class == outputs.NoAck):
		// A server that takes and never acknowledges stores every repetition: only the probe may repeat.
		g.become(open)
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
	if from == closed {
		g.broken = g.since
	}
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
	if g.state != closed {
		s.Since = g.broken // the outage is as old as that, however many probes have failed
	}
	if g.state == open {
		s.NextTry = g.until
	}
	if g.last != nil {
		s.Error, s.Hint, s.Held = g.last.Err.Error(), g.last.Hint, g.last.Class == outputs.Held
	}
}
