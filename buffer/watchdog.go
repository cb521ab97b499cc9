package buffer

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A watchdog notices that an access to the disk takes too long. One timer serves many accesses: it costs little more
// than a look at the clock.
type watchdog struct {
	d     *disk
	base  time.Time
	since atomic.Int64 // when the access under way began, after base; 0: none
	armed atomic.Bool  // the timer runs
	timer *time.Timer
}

func (w *watchdog) init(d *disk) {
	w.d, w.base = d, time.Now().Add(-1)
	w.timer = time.AfterFunc(time.Hour, w.check)
	w.timer.Stop()
}

// start begins an access, or goes on with the next one.
func (w *watchdog) start() {
	w.since.Store(int64(time.Since(w.base)))
	w.arm(hangAfter)
}

// stop ends the access. It reports whether it was found to hang.
func (w *watchdog) stop() bool {
	w.since.Store(0)
	return w.d.stalled.Load()
}

func (w *watchdog) arm(after time.Duration) {
	if w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(after)
	}
}

// check is what the timer calls: appends don't wait for a disk that hangs.
func (w *watchdog) check() {
	w.armed.Store(false)
	since := w.since.Load()
	if since == 0 {
		return
	}
	if took := time.Since(w.base) - time.Duration(since); took < hangAfter {
		w.arm(hangAfter - took)
		return
	}
	d, q := w.d, w.d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.stalled.Swap(true) {
		return
	}
	if w.since.Load() != since { // it came back just now
		d.stalled.Store(false)
		w.arm(hangAfter)
		return
	}
	q.log.Error("the disk hangs: the buffer goes on in memory", zap.String("dir", d.o.Dir))
	d.letGo()
}

func (w *watchdog) end() { w.timer.Stop() }
