package buffer

import (
	"context"
	"time"
)

const (
	diskBytes   = 1 << 30
	diskMemory  = 8 << 20
	memoryBytes = 32 << 20
	waitPause   = 2 * time.Second // after the second wait in a row that brought no room; doubled each time
	waitPauses  = 5
)

// resolve fills in the defaults.
func (p Policy) resolve(onDisk bool) Policy {
	if p.MaxBytes <= 0 {
		p.MaxBytes = memoryBytes
		if onDisk {
			p.MaxBytes = diskBytes
		}
	}
	switch {
	case !onDisk:
		p.Memory = p.MaxBytes
	case p.Memory <= 0:
		p.Memory = diskMemory
	}
	p.Memory = min(p.Memory, p.MaxBytes)
	return p
}

// use takes over a policy without defaults to fill in. The caller holds mu.
func (q *queue) use(p Policy) {
	q.maxBytes, q.memory, q.maxAge, q.minFree = p.MaxBytes, p.Memory, p.MaxAge, p.MinFree
	q.onFull, q.sync, q.spills = p.OnFull, p.Sync, p.Spills
}

// Configure implements [Buffer].
func (q *queue) Configure(p Policy) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p = p.resolve(q.disk != nil)
	arena := p.Memory != q.memory
	q.use(p)
	if arena {
		q.arena.resize(p.Memory)
	}
	if q.disk != nil {
		q.disk.configured()
	}
	q.wait = patience{}
	if q.full && q.roomy() {
		q.full = false
	}
	q.held = false
	q.gauge()
	q.freed()
	q.notify()
}

// configured is called when the policy has changed. The caller holds q.mu.
func (d *disk) configured() {
	q := d.q
	d.segMax = segmentBound(q.maxBytes)
	d.excess = max(d.excess, d.held()+q.unwritten) // what is stored stays until the next append
	if q.onFull == ShedOldest || q.minFree <= 0 {
		d.tight = false
	}
	if q.sync != SyncNever && d.cur != nil {
		d.unsync(d.cur)
	}
	d.poke()
	d.pokeTidy()
}

// segmentBound is the size at which a segment ends.
func segmentBound(maxBytes int64) int64 { return min(maxSegment, maxBytes/8) }

// syncMode is the sync mode now.
func (q *queue) syncMode() Sync {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sync
}

// Pressure implements [Buffer].
func (q *queue) Pressure() Pressure { return Pressure(q.level.Load()) }

// Pressed implements [Buffer].
func (q *queue) Pressed() <-chan struct{} { return q.pressed }

// gauge works out the pressure anew. The caller holds mu.
func (q *queue) gauge() {
	used, bound, tight := q.arena.used, q.memory, false
	if !q.volatile() {
		d := q.disk
		used, bound, tight = d.held()+q.unwritten, q.maxBytes-d.segMax, d.tight && len(d.segs) > 1
	}
	switch {
	case q.outstanding == 0:
		q.high = false
	case used > bound/4*3 || tight:
		q.high = true
	case used < bound/2:
		q.high = false
	}
	level := Relaxed
	switch {
	case q.pressing > 0:
		level = Waiting
	case q.high:
		level = High
	}
	if old := Pressure(q.level.Swap(uint32(level))); level > old {
		q.press()
	}
}

func (q *queue) press() {
	select {
	case q.pressed <- struct{}{}:
	default:
	}
}

// A patience says whether appends at the bound wait for somebody to make room.
type patience struct {
	failed int       // waits in a row that brought no room
	gaveUp bool      // until events are settled
	not    time.Time // and not before
}

// awaitBound waits for room at the bound, until the next change. The caller holds mu, and again afterwards.
func (q *queue) awaitBound(ctx context.Context, timeout <-chan time.Time) error {
	q.pressing++
	q.gauge()
	q.press()
	err := q.awaitRoom(ctx, timeout)
	q.pressing--
	q.gauge()
	return err
}

// patient reports whether an append at the bound waits for somebody to make room elsewhere. Intake may be held up once,
// briefly: when a wait was for nothing, nobody waits until somebody settles events again, and when that happens again and
// again, not for a while. The caller holds mu.
func (q *queue) patient() bool {
	return q.spills && !q.wait.gaveUp && (q.wait.not.IsZero() || !time.Now().Before(q.wait.not))
}

// awaitSpill waits for somebody to make room elsewhere, until the next change. A call waits 2 s in total. The caller holds
// mu, and again afterwards.
func (q *queue) awaitSpill(ctx context.Context, c *call) error {
	if c.until.IsZero() {
		c.until = time.Now().Add(hangAfter)
	}
	if left := time.Until(c.until); left > 0 {
		t := time.NewTimer(left)
		defer t.Stop()
		return q.awaitBound(ctx, t.C)
	}
	if !q.wait.gaveUp { // else another append has seen it
		w := &q.wait
		w.gaveUp = true
		if w.failed > 0 {
			w.not = time.Now().Add(waitPause << min(w.failed, waitPauses))
		}
		w.failed++
		q.freed() // the others that wait have waited, too
	}
	return nil
}

// admitted is called when a frame has found room. The caller holds mu.
func (q *queue) admitted(c *call) {
	if !c.until.IsZero() && !q.wait.gaveUp {
		q.wait = patience{}
	}
	if q.disk != nil {
		q.disk.excess = 0
	}
}
