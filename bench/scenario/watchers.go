package scenario

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
	"github.com/firebreak/firebreak/bench/router"
)

// watchers are those who look at a router while it works: two who tap, a status page and a Prometheus.
type watchers struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	begin  time.Time
	seen   *watched
}

// watched is what watchers have got, over all times that they were there.
type watched struct {
	slow, fast                 atomic.Uint64 // events of the tap at the default rate, and of the one at 1,000 per second
	tapBytes                   atomic.Uint64
	statuses, histories, scrap atomic.Uint64
	pageBytes                  atomic.Uint64

	mu      sync.Mutex // below
	answers hist.Hist  // time of an answer of the admin port
	slowest time.Duration
	took    time.Duration // that somebody watched
	err     error
}

// watch starts to look and returns when the taps are open. What the watchers get is added to seen.
func watch(ctx context.Context, r *router.Router, seen *watched) (*watchers, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watchers{ctx: ctx, cancel: cancel, seen: seen, begin: time.Now()}
	opened := make(chan struct{}, 2)
	w.tap(r, url.Values{"destination": {"*"}}, &seen.slow, opened)
	w.tap(r, url.Values{"destination": {"*"}, "rate": {"1000"}}, &seen.fast, opened)
	for range 2 {
		select {
		case <-opened:
		case <-time.After(10 * time.Second):
			w.stop()
			return nil, errors.Join(errors.New("open a tap: no answer"), seen.failed())
		}
	}
	w.poll(r, map[string]*atomic.Uint64{"/status": &seen.statuses, "/history": &seen.histories}, time.Second)
	w.poll(r, map[string]*atomic.Uint64{"/metrics": &seen.scrap}, 5*time.Second)
	return w, nil
}

func (w *watchers) tap(r *router.Router, q url.Values, n *atomic.Uint64, opened chan<- struct{}) {
	w.wg.Go(func() {
		w.seen.failure(r.Tap(w.ctx, q, func() { opened <- struct{}{} }, func(line []byte) {
			n.Add(1)
			w.seen.tapBytes.Add(uint64(len(line)))
		}), w.ctx)
	})
}

// tapPatience bounds the wait for the first event of each tap.
const tapPatience = 5 * time.Second

// poll asks for pages again and again, over one connection.
func (w *watchers) poll(r *router.Router, paths map[string]*atomic.Uint64, every time.Duration) {
	w.wg.Go(func() {
		page := r.NewPage()
		defer page.Close()
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			for path, n := range paths {
				begin := time.Now()
				size, err := page.Get(w.ctx, path)
				if err != nil {
					w.seen.failure(err, w.ctx)
					continue
				}
				n.Add(1)
				w.seen.pageBytes.Add(uint64(size))
				w.seen.answered(time.Since(begin))
			}
			select {
			case <-w.ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

// stop ends the looking.
func (w *watchers) stop() {
	// A short run may be over before the router has written what its taps gathered.
	for end := time.Now().Add(tapPatience); w.ctx.Err() == nil && (w.seen.slow.Load() == 0 || w.seen.fast.Load() == 0) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.cancel()
	w.wg.Wait()
	w.seen.mu.Lock()
	w.seen.took += time.Since(w.begin)
	w.seen.mu.Unlock()
}

func (s *watched) answered(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.Add(d, 1)
	s.slowest = max(s.slowest, d)
}

// failure keeps the first error that is not the end of ctx.
func (s *watched) failure(err error, ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && ctx.Err() == nil && s.err == nil {
		s.err = err
	}
}

func (s *watched) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// report adds what the watchers have got.
func (s *watched) report(r *Report, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := max(s.took.Seconds(), 0.001)
	add(r, name, "tap at the default rate", float64(s.slow.Load())/took, "1/s")
	add(r, name, "tap at 1000/s", float64(s.fast.Load())/took, "1/s")
	add(r, name, "bytes of the taps", float64(s.tapBytes.Load())/took, "1/s")
	add(r, name, "/status", s.statuses.Load(), "answers")
	add(r, name, "/history", s.histories.Load(), "answers")
	add(r, name, "/metrics", s.scrap.Load(), "answers")
	add(r, name, "bytes of the admin port", float64(s.pageBytes.Load())/took, "1/s")
	r.time(name, "answer p50", s.answers.Quantile(0.5))
	r.time(name, "slowest answer", s.slowest)
	r.must(s.err == nil, "%s: who looked was turned away: %v", name, s.err)
	r.must(s.slow.Load() > 0 && s.fast.Load() > 0 && s.statuses.Load() > 0 && s.histories.Load() > 0 && s.scrap.Load() > 0, "%s: somebody saw nothing: %d, %d events, %d, %d, %d answers", name,
		s.slow.Load(), s.fast.Load(), s.statuses.Load(), s.histories.Load(), s.scrap.Load())
}
