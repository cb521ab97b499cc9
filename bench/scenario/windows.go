package scenario

import (
	"sync"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

const windowSize = 250 * time.Millisecond

// windows counts what each healthy sink gets in short windows: an average hides a destination that stands still.
type windows struct {
	quit, done chan struct{}
	once       sync.Once

	mu    sync.Mutex
	rates []float64 // of single sinks, since begin
	skip  bool      // the window in progress began before begin
}

func startWindows(sinks map[load.Kind]*sink.Sink) *windows {
	w := &windows{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		last, at := map[load.Kind]uint64{}, time.Now()
		t := time.NewTicker(windowSize)
		defer t.Stop()
		for {
			select {
			case <-w.quit:
				return
			case <-t.C:
			}
			now := time.Now()
			took := now.Sub(at).Seconds()
			at = now
			w.mu.Lock()
			for k, s := range sinks {
				n := s.Counts().Events
				if k != broken && !w.skip {
					w.rates = append(w.rates, float64(n-last[k])/took)
				}
				last[k] = n
			}
			w.skip = false
			w.mu.Unlock()
		}
	}()
	return w
}

// begin forgets the windows until now.
func (w *windows) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rates, w.skip = nil, true
}

// worst returns the lowest rate of one sink in one window.
func (w *windows) worst() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rates) == 0 {
		return 0
	}
	least := w.rates[0]
	for _, r := range w.rates {
		least = min(least, r)
	}
	return least
}

func (w *windows) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}

// healthyLatency returns the latencies of all sinks but the broken one.
func healthyLatency(sinks map[load.Kind]*sink.Sink) (all hist.Hist) {
	for k, s := range sinks {
		if k != broken {
			h := s.Latency()
			all.Merge(&h)
		}
	}
	return all
}
