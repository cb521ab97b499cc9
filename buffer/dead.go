package buffer

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/record"
)

// A Dead keeps the dead letters of one destination: segment files whose frames also hold a reason and a detail, and a
// position that says which of them are settled. It is bounded; the oldest are discarded, and counted apart. Its methods may be called concurrently, and wait at most about
// 2 s for the disk.
type Dead struct {
	dir string
	max atomic.Int64
	fs  FS
	log *zap.Logger

	busy    chan struct{} // holds a token while somebody uses the files, and what is below
	hanging atomic.Bool
	asked   atomic.Bool // Stats has had the directory read
	stats   atomic.Pointer[DeadStats]

	opened    bool
	id        [8]byte        // of the segments that this process writes
	segs      []*deadSegment // in order
	cur       *deadSegment   // the last of segs, while it is written
	lastNo    uint64         // highest number of a segment
	next      uint64         // number of the next event
	bytes     int64          // of segs
	discarded uint64
	pos       position // what is settled: replayed counts as delivered, removed as shed
	place     place
	scratch   []byte
	stop      chan struct{} // closed to end the count
	counted   chan struct{} // closed when it has ended
}

// A deadSegment is a segment with what is left in it.
type deadSegment struct {
	segment
	known   bool              // what follows is
	reasons map[string]uint64 // events that are not settled, by reason
	front   uint64            // the first of them
	oldest  time.Time         // and its arrival; zero: none
}

// DeadStats is a snapshot of a dead letter store.
type DeadStats struct {
	Events    uint64            // kept, and not settled yet
	Reasons   map[string]uint64 // of these; what an earlier process left is counted in the background
	Oldest    time.Time         // arrival of the first of these; zero: none, or not counted yet
	Replayed  uint64            // since the store was made
	Removed   uint64            // since the store was made
	Discarded uint64            // since the process started, to keep the bound
	Bytes     int64
}

var errDeadHangs = fmt.Errorf("the disk has not answered for %v", hangAfter)

// NewDead returns the store in a directory, which is made when the first dead letter comes. A nil fsys is the real one.
func NewDead(dir string, maxBytes int64, fsys FS, log *zap.Logger) *Dead {
	if fsys == nil {
		fsys = OS()
	}
	if log == nil {
		log = zap.NewNop()
	}
	d := &Dead{dir: dir, fs: fsys, log: log, busy: make(chan struct{}, 1)}
	d.Bound(maxBytes)
	return d
}

// Bound changes the bound. One that is lower than what is kept takes effect with the next dead letter.
func (d *Dead) Bound(maxBytes int64) { d.max.Store(maxBytes) }

// within runs f, which owns the files, in a goroutine of its own: a disk that hangs takes nobody along.
func (d *Dead) within(f func() error) error {
	if d.hanging.Load() {
		return errDeadHangs
	}
	t := time.NewTimer(hangAfter)
	defer t.Stop()
	select {
	case d.busy <- struct{}{}:
	case <-t.C:
		return errDeadHangs
	}
	done := make(chan error, 1)
	go func() {
		err := f()
		d.publish()
		done <- err
		<-d.busy
		d.hanging.Store(false)
	}()
	select {
	case err := <-done:
		return err
	case <-t.C:
	}
	d.hanging.Store(true)
	select {
	case err := <-done: // just now
		d.hanging.Store(false)
		return err
	default:
		return errDeadHangs
	}
}

// Append keeps a chunk with the reason why it was given up, and what the other side said. When it returns nil, the
// chunk is on disk.
func (d *Dead) Append(c record.Chunk, reason, detail string) error {
	dr, _ := newDraft(&c, reason+"\x00"+detail, nil)
	if bound := d.max.Load(); dr.size() > maxFrame || int64(dr.size())+segHeadSize > bound {
		return fmt.Errorf("keep dead letter: %d bytes are more than the bound of %d", dr.size(), bound)
	}
	frame := dr.appendTo(make([]byte, 0, dr.size()), 0, 0, 0)
	if err := d.within(func() error { return d.write(frame, &c, reason) }); err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	return nil
}

func (d *Dead) write(frame []byte, c *record.Chunk, reason string) error {
	if err := d.open(); err != nil {
		return err
	}
	n, bound := int64(len(frame)), d.max.Load()
	sealHead(frame, d.next, seed(d.id))
	for d.bytes+segHeadSize+n > bound && len(d.segs) > 0 {
		if err := d.discard(); err != nil {
			return err
		}
	}
	if d.cur == nil || d.cur.size+n > min(maxSegment, bound/8) && d.cur.size > segHeadSize {
		if err := d.roll(); err != nil {
			return err
		}
	}
	if _, err := d.cur.file.WriteAt(frame, d.cur.size); err != nil {
		return err
	}
	if err := d.cur.file.Sync(); err != nil {
		return err
	}
	d.cur.size += n
	d.bytes += n
	d.cur.count(span{d.next, d.next + uint64(c.Events)}, reason, c.Arrived)
	d.next += uint64(c.Events)
	return nil
}

// publish makes a snapshot for Stats. The caller holds the token.
func (d *Dead) publish() {
	s := DeadStats{
		Replayed: d.pos.ledger.delivered, Removed: d.pos.ledger.shed[deadRemoved], Discarded: d.discarded, Bytes: d.bytes, Reasons: map[string]uint64{},
	}
	for i, seg := range d.segs {
		s.Events += d.left(i)
		for reason, n := range seg.reasons {
			bump(&s.Reasons, reason, n)
		}
		if s.Oldest.IsZero() {
			s.Oldest = seg.oldest
		}
	}
	d.stats.Store(&s)
}

// Stats returns a snapshot, without waiting. What an earlier process left is counted soon after the first call.
func (d *Dead) Stats() DeadStats {
	if s := d.stats.Load(); s != nil {
		out := *s
		out.Reasons = maps.Clone(s.Reasons)
		return out
	}
	if d.asked.CompareAndSwap(false, true) {
		go func() { _ = d.within(d.open) }()
	}
	return DeadStats{}
}

// Close closes the file that is being written.
func (d *Dead) Close() error {
	return d.within(func() error {
		if d.stop != nil {
			close(d.stop)
			<-d.counted
			d.stop = nil
		}
		if d.cur == nil {
			return nil
		}
		err := d.cur.file.Close()
		d.cur = nil
		return err
	})
}
