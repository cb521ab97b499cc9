package destination

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A limiter bounds how many bytes per second all workers of a destination give to the output: a bucket that holds the
// bytes of one second. A request that needs more waits until there was time for it.
type limiter struct {
	waiting atomic.Int32 // workers

	mu      sync.Mutex
	rate    float64 // bytes per second; 0: no bound
	tokens  float64 // bytes that may be given now; below 0: a debt
	at      time.Time
	first   *worker       // whose turn it is: others don't overtake it
	want    float64       // bytes that it waits for
	changed chan struct{} // closed and renewed to wake who waits
}

func newLimiter() *limiter { return &limiter{changed: make(chan struct{})} }

// set changes the rate at once, also for those who wait.
func (l *limiter) set(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if float64(rate) == l.rate {
		return
	}
	l.refill()
	if l.rate == 0 {
		l.tokens = float64(rate)
	}
	l.rate = float64(rate)
	l.wake()
}

func (l *limiter) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// refill adds what time has brought. The caller holds mu.
func (l *limiter) refill() {
	now := time.Now()
	if !l.at.IsZero() {
		l.tokens += now.Sub(l.at).Seconds() * l.rate
	}
	l.at = now
	l.tokens = min(l.tokens, max(l.rate, l.want))
}

// take gives n bytes to a worker, or returns what to wait for before it asks again: a time (if it isn't 0) or a change.
// In debt means that they are given before there was time for them, if there is no debt yet.
func (l *limiter) take(w *worker, n int, debt bool) (wait time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		l.yield(w)
		return 0, nil
	}
	l.refill()
	need := float64(n)
	switch {
	case debt:
		need = 0
	case l.first != nil && l.first != w:
		return 0, l.changed
	}
	if l.tokens >= need {
		l.tokens -= float64(n)
		l.yield(w)
		return 0, nil
	}
	if !debt {
		l.first, l.want = w, need
	}
	ns := math.Ceil((need-l.tokens)/l.rate*1e9) + 1
	return time.Duration(min(ns, float64(time.Hour))), l.changed
}

// leave is called by a worker that has waited and doesn't want to any more.
func (l *limiter) leave(w *worker) {
	l.mu.Lock()
	l.yield(w)
	l.mu.Unlock()
}

// yield ends the turn of a worker. The caller holds mu.
func (l *limiter) yield(w *worker) {
	if l.first == w {
		l.first, l.want = nil, 0
		l.wake()
	}
}

// owes reports whether bytes were given for which there has not been time yet.
func (l *limiter) owes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return false
	}
	l.refill()
	return l.tokens < 0
}
