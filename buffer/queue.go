package buffer

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A queue is the buffer, on disk and in memory: the running numbers, the frames in memory, the leases and the ledger.
// What is only on disk is read by its reader, and a disk goroutine writes what is only in memory.
//
//	numbers:  0 ────── low ───────────── cur ──────── written ─────── next
//	          settled   leased, returned   to be leased   in memory only
//	                    or acked
//
// For a buffer in memory, or on a disk in trouble ("volatile"), events beyond written may be leased as well.
type queue struct {
	name string
	log  *zap.Logger
	disk *disk // nil: in memory

	calls   sync.Pool     // of *call
	reading chan struct{} // holds one token while somebody reads segments; taken before mu

	mu          sync.Mutex
	maxBytes    int64 // the policy, as Configure left it
	memory      int64 // bound of the memory
	onFull      OnFull
	maxAge      time.Duration
	minFree     float64
	sync        Sync
	spills      bool
	closed      bool
	closing     chan struct{}
	seed        uint32
	run         uint32 // random, of this process
	next        uint64 // number of the next event
	written     uint64 // all below are on disk
	kept        uint64 // appends of all below may return
	pos         position
	outstanding uint64 // events not settled
	leasedN     uint64
	bytes       int64 // of the frames of outstanding events, about
	unwritten   int64 // bytes of frames that the disk goroutine has still to write
	full        bool

	blocks   []*block // with frames that are not leased yet or not written, in order
	arena    arena
	cur      uint64 // number of the next event to lease
	curBlk   *block // where cur is, if it is in memory and known
	curOff   int
	rewound  uint64 // events below it may be leased although cur says otherwise
	returned pieces
	held     bool   // a bound kept TryNext from leasing: the next end tells it
	first    *Lease // list of leases, in order of time
	last     *Lease
	slab     []Lease

	names    names
	ready    chan struct{} // something may be leased
	room     chan struct{} // closed and renewed when room was made
	queued   int           // appends that wait for room
	waiting  []waiter      // appends, in order of their numbers
	pressing int           // of queued: those at the bound
	wait     patience
	high     bool          // the pressure, but for appends that wait
	level    atomic.Uint32 // the pressure
	pressed  chan struct{} // it may have risen
}

// A waiter is an append that waits until all events below upTo are kept. It gets nil then, or ErrClosed.
type waiter struct {
	upTo uint64
	done chan error
}

func newQueue(name string, p Policy, log *zap.Logger) *queue {
	if log == nil {
		log = zap.NewNop()
	}
	q := &queue{
		name: name, log: log,
		closing: make(chan struct{}), ready: make(chan struct{}, 1), pressed: make(chan struct{}, 1), room: make(chan struct{}),
		reading: make(chan struct{}, 1), arena: newArena(p.Memory),
	}
	q.use(p)
	q.pos.id = newID()
	q.seed = seed(q.pos.id)
	q.run = rand.Uint32()
	return q
}

// volatile reports whether appends are only in memory. The caller holds mu.
func (q *queue) volatile() bool { return q.disk == nil || q.disk.down() }

// visible is the number up to which events may be leased. The caller holds mu.
func (q *queue) visible() uint64 {
	if q.volatile() {
		return q.next
	}
	return q.written
}

// notify wakes one waiting Next.
func (q *queue) notify() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// freed wakes the appends that wait for room. The caller holds mu.
func (q *queue) freed() {
	if q.queued == 0 {
		return
	}
	close(q.room)
	q.room = make(chan struct{})
}

// release lets appends return whose events are kept, all of them when the disk is in trouble. The caller holds mu.
func (q *queue) release() {
	n := 0
	all := q.volatile()
	for ; n < len(q.waiting); n++ {
		var err error
		if q.waiting[n].upTo > q.kept {
			if !all {
				break
			}
			if q.closed { // nobody will write them any more
				err = ErrClosed
			}
		}
		q.waiting[n].done <- err
	}
	if n > 0 {
		q.waiting = slices.Delete(q.waiting, 0, n)
	}
}

// settle marks events as ended and counts their fate. The caller holds mu.
func (q *queue) settle(s span, fate Fate, reason string) {
	q.pos.ledger.count(fate, reason, s.len())
	q.outstanding -= s.len()
	q.pos.mark(s)
}

// open calls f with each part of s that is neither settled, leased nor returned. The caller holds mu.
func (q *queue) open(s span, f func(span)) {
	s.from = max(s.from, q.pos.low)
	if s.from >= s.to {
		return
	}
	var busy spans
	for l := q.first; l != nil; l = l.next {
		if !l.orphan {
			busy = busy.add(span{l.num, l.num + uint64(l.Chunk.Events)})
		}
	}
	for i := range q.returned {
		busy = busy.add(q.returned[i].span())
	}
	var list spans
	q.pos.acked.missing(s, func(m span) { busy.missing(m, func(m span) { list = append(list, m) }) })
	for _, m := range list {
		f(m)
	}
}

// lose counts what is still open of s as shed. The caller holds mu.
func (q *queue) lose(s span, reason string) uint64 {
	n := uint64(0)
	q.open(s, func(m span) {
		n += m.len()
		q.settle(m, Shed, reason)
	})
	return n
}

// Account implements [Buffer].
func (q *queue) Account(n int, fate Fate, reason string) {
	if n <= 0 {
		return
	}
	q.mu.Lock()
	q.pos.ledger.refused += uint64(n)
	q.pos.ledger.count(fate, reason, uint64(n))
	q.changed()
	q.mu.Unlock()
}

// cleared is called after events were settled: what was kept for them is let go of. The caller holds mu.
func (q *queue) cleared() {
	if q.disk != nil {
		q.disk.retire()
		if q.high || q.pressing > 0 {
			q.disk.thin()
		}
	}
	q.changed()
	q.trim()
	if q.outstanding == 0 {
		q.bytes = 0
	}
	if q.full && q.roomy() {
		q.full = false
	}
	if q.held {
		q.held = false
		q.notify()
	}
	q.gauge()
	q.freed()
}

// roomy reports whether the buffer is well below its bounds again. The caller holds mu.
func (q *queue) roomy() bool {
	if q.outstanding == 0 {
		return true
	}
	if q.volatile() {
		return q.arena.used < q.memory/2
	}
	return !q.disk.tight && q.disk.held() < q.maxBytes-3*q.disk.segMax
}

// changed says that the position has to be written. The caller holds mu.
func (q *queue) changed() {
	if q.disk != nil {
		q.disk.dirty = true
		q.disk.poke()
	}
}

// Stats implements [Buffer].
func (q *queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.pos.ledger
	s := Stats{
		Offered:   l.settled() + q.outstanding,
		Delivered: l.delivered, DeadLettered: copyCounts(l.dead), Shed: copyCounts(l.shed), Moved: copyCounts(l.moved),
		Buffered: q.outstanding, Leased: q.leasedN, Bytes: max(q.bytes, 0), MemoryBytes: q.arena.used + q.arena.spare, MaxBytes: q.maxBytes,
		Volatile: q.volatile(), Full: q.full && q.outstanding > 0, Oldest: q.oldest(),
	}
	if q.disk != nil {
		s.DiskBytes, s.Problem = q.disk.bytes, q.disk.problem()
	}
	return s
}

// oldest is the arrival of the oldest outstanding chunk that is known. The caller holds mu.
func (q *queue) oldest() time.Time {
	var t time.Time
	see := func(at time.Time) {
		if t.IsZero() || at.Before(t) {
			t = at
		}
	}
	for l := q.first; l != nil; l = l.next {
		see(l.Chunk.Arrived)
	}
	for i := range q.returned {
		see(q.returned[i].chunk.Arrived)
	}
	if q.cur < q.next {
		if h, _, ok := q.inMemory(); ok {
			see(time.Unix(0, h.arrived))
		} else if q.disk != nil && q.disk.rd.at < len(q.disk.rd.frames) {
			see(time.Unix(0, q.disk.rd.frames[q.disk.rd.at].arrived))
		}
	}
	return t
}

// Close implements [Buffer].
func (q *queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	close(q.closing)
	if q.disk == nil {
		for l := q.first; l != nil; l = l.next {
			l.orphan = true
		}
		q.pos.ledger.count(Shed, ReasonShutdown, q.outstanding-q.leasedN)
		q.outstanding = q.leasedN
		q.returned.remove(func(*piece) bool { return true }, func(p *piece) { q.arena.unref(p.blk) })
		q.unlist(len(q.blocks))
		q.curBlk = nil
		q.arena.trim()
		q.mu.Unlock()
		return nil
	}
	q.mu.Unlock()
	return q.disk.close(ctx)
}
