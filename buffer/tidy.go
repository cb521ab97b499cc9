package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	idleAfter = 10 * time.Second // spare memory is let go of
	maxAside  = 16               // files set aside, which take at most an eighth of the bound; the oldest is deleted
)

// tidy syncs, deletes settled segments and watches the free space, until the queue is closed. It sleeps while nothing
// happens.
func (d *disk) tidy() {
	defer close(d.tidied)
	var next <-chan time.Time
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-d.q.closing:
			d.delete()
			return
		case <-d.toTidy:
			d.delete()
			if next == nil {
				t.Reset(syncInterval)
				next = t.C
			}
		case <-next:
			next = nil
			d.sync()
			d.keepFree()
			d.delete()
			if !d.idle() {
				t.Reset(syncInterval)
				next = t.C
			}
		}
	}
}

// idle lets go of spare memory when nothing was written for a while.
func (d *disk) idle() bool {
	q := d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(d.used) < idleAfter || d.down() || d.tight {
		return false
	}
	q.arena.trim()
	return true
}

// sync forces what was written since the last time to the disk, and closes the segments that are full.
func (d *disk) sync() {
	q := d.q
	q.mu.Lock()
	list, cur, opened, mode := d.unsynced, d.cur, d.opened, q.sync
	d.unsynced = nil
	q.mu.Unlock()
	if !opened {
		return
	}
	d.syncing.Store(time.Now().UnixNano())
	defer d.syncing.Store(0)
	var failed error
	for _, s := range list {
		q.mu.Lock()
		dropped := s.dropped
		q.mu.Unlock()
		if mode != SyncNever && !dropped {
			if err := s.file.Sync(); err != nil {
				failed = err
			}
		}
		if s != cur {
			_ = s.file.Close()
		}
	}
	if mode == SyncNever {
		return
	}
	if err := d.posFile.Sync(); err != nil {
		failed = err
	}
	if len(list) > 0 {
		if err := d.fs.SyncDir(d.o.Dir); err != nil {
			failed = err
		}
	}
	if failed != nil {
		d.trouble(fmt.Errorf("sync %s: %w", d.o.Dir, failed))
		d.poke()
	}
}

// retire gives up the segments whose events are all settled. The caller holds q.mu.
func (d *disk) retire() {
	n := 0
	for n < len(d.segs)-1 && d.segs[n+1].first <= d.q.pos.low {
		n++
	}
	// The last one, too, when nothing is written to it any more.
	if n == len(d.segs)-1 && d.cur == nil && d.q.written <= d.q.pos.low {
		n++
	}
	d.drop(n)
}

// drop moves the first n segments to the ones to be deleted. The caller holds q.mu.
func (d *disk) drop(n int) {
	if n <= 0 {
		return
	}
	for _, s := range d.segs[:n] {
		d.giveUp(s)
	}
	d.segs = slices.Delete(d.segs, 0, n)
}

// giveUp notes that a segment's events are all settled: its file goes when the position on disk says so. The caller
// holds q.mu.
func (d *disk) giveUp(s *segment) {
	s.dropped, s.after = true, d.snaps+1
	d.gone = append(d.gone, s)
	d.goneBytes += s.size
	d.dirty = true
	d.poke()
}

// thin gives up segments between others whose events are all settled, and reports whether there were any: a lease that
// takes long must not keep the room that others have made behind it. The caller holds q.mu.
func (d *disk) thin() (some bool) {
	if len(d.q.pos.acked) == 0 {
		return false
	}
	for i := len(d.segs) - 2; i > 0; i-- {
		if s := d.segs[i]; d.q.pos.acked.cover(span{s.first, d.segs[i+1].first}) {
			d.giveUp(s)
			d.segs = slices.Delete(d.segs, i, i+1)
			some = true
		}
	}
	return some
}

// spent reports whether the only segment is settled but for what is still to be written. The caller holds q.mu.
func (d *disk) spent() bool {
	return d.cur != nil && len(d.segs) == 1 && d.cur.size > segHeadSize && d.q.pos.low >= d.q.written
}

// renew ends a spent segment for an append that needs its room: only the run goroutine, which calls it, may end the
// segment that it writes. The caller holds q.mu.
func (d *disk) renew() {
	if d.renewing = d.renewing && d.spent(); d.renewing {
		d.seal()
		d.retire()
		d.renewing = false
	}
	d.q.freed()
}

// shedSegment gives up the oldest segment that is not being written. Leases in it stay readable. The caller holds
// q.mu. Only the run goroutine may end the segment that is being written, which own says.
func (d *disk) shedSegment(reason string, own bool) bool {
	q := d.q
	if len(d.segs) == 0 {
		return false
	}
	s := d.segs[0]
	end := q.written
	switch {
	case len(d.segs) > 1:
		end = d.segs[1].first
	case d.cur != nil:
		if !own || s.size <= segHeadSize {
			return false
		}
		d.seal()
	}
	before := q.pos.low
	for l := q.first; l != nil; l = l.next {
		if !l.orphan && l.num >= before && l.num < end {
			l.orphan = true
			q.pos.mark(span{l.num, l.num + uint64(l.Chunk.Events)})
		}
	}
	bytes := q.bytes - s.size
	q.returned.remove(func(p *piece) bool { return p.num < end }, func(p *piece) { q.dropPiece(p, reason) })
	q.lose(span{before, end}, reason)
	q.bytes = max(0, bytes)
	q.pos.low = max(q.pos.low, end)
	q.pos.acked = q.pos.acked.below(q.pos.low)
	if q.cur < end {
		q.cur = end
		q.curBlk = nil
	}
	d.drop(1)
	q.gauge()
	return true
}

// makeSpace makes room on a volume that is full: by the policy, the buffer's own oldest segment is shed and deleted at
// once.
func (d *disk) makeSpace() bool {
	q := d.q
	q.mu.Lock()
	had := len(d.gone) > 0 || len(d.bad) > 0
	// A destination that keeps up has nothing to shed but what is under way. It waits in memory, for a while, until what
	// it has on disk is settled and makes room.
	behind := q.onFull == ShedOldest && (d.failed != nil || q.bytes > q.memory)
	ok := behind && (len(d.segs) > 1 || q.cur < q.written) && d.shedSegment(ReasonNoSpace, true)
	q.full = q.full || ok
	q.mu.Unlock()
	if !ok && !had {
		return false
	}
	if d.guard(d.writePosition) != nil {
		return false
	}
	n := 0
	_ = d.guard(func() error { n = d.delete() + d.forget(0, 0); return nil })
	return n > 0
}

// keepFree looks after the free space of the volume. Below min_free, the buffer sheds its own oldest segments, or, when
// the policy is to keep them, takes no more.
func (d *disk) keepFree() {
	q := d.q
	for {
		q.mu.Lock()
		share := q.minFree
		q.mu.Unlock()
		if share <= 0 {
			return
		}
		free, total, err := d.fs.Free(d.o.Dir)
		low := err == nil && total > 0 && float64(free) < share*float64(total)
		shed := false
		q.mu.Lock()
		low = low && q.minFree > 0
		if tight := low && q.onFull != ShedOldest; tight != d.tight {
			d.tight = tight
			q.gauge()
			q.freed()
		}
		if low && q.onFull == ShedOldest && len(d.segs) > 1 {
			shed = d.shedSegment(ReasonNoSpace, false)
			q.full = true
		}
		q.mu.Unlock()
		if !shed {
			return
		}
		q.log.Warn("the volume is nearly full: shed the oldest segment", zap.String("dir", d.o.Dir), zap.Int64("free_bytes", free))
		select { // the position goes first
		case <-time.After(50 * time.Millisecond):
		case <-q.closing:
			return
		}
		if d.delete() == 0 {
			return // the next tick goes on
		}
	}
}

// delete removes the files of given up segments that the written position doesn't need any more.
func (d *disk) delete() int {
	q := d.q
	d.delMu.Lock()
	defer d.delMu.Unlock()
	q.mu.Lock()
	var list []*segment
	kept := d.gone[:0]
	for _, s := range d.gone {
		if s.after <= d.snap && s != d.cur {
			list = append(list, s)
			continue
		}
		kept = append(kept, s)
	}
	clear(d.gone[len(kept):])
	d.gone = kept
	aside := q.maxBytes / 8
	q.mu.Unlock()
	for _, s := range list {
		d.leaveReader(s)
		name := segName(s.no, s.first)
		var err error
		if s.bad {
			err = d.fs.Rename(d.path(name), d.path(name+badSuffix))
		} else {
			err = d.fs.Remove(d.path(name))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			q.log.Warn("can't delete a segment", zap.Error(err))
		}
		q.mu.Lock()
		d.goneBytes -= s.size
		if s.bad && err == nil {
			d.bad = append(d.bad, badFile{name + badSuffix, s.size})
			d.badBytes += s.size
		} else {
			d.bytes -= s.size
		}
		q.freed()
		q.mu.Unlock()
	}
	d.forget(maxAside, aside)
	return len(list)
}

// A badFile is a file that was set aside.
type badFile struct {
	name string
	size int64
}

// forget deletes the oldest files that were set aside, beyond the bounds.
func (d *disk) forget(files int, bytes int64) int {
	q := d.q
	for n := 0; ; n++ {
		q.mu.Lock()
		if len(d.bad) <= files && d.badBytes <= bytes {
			q.mu.Unlock()
			return n
		}
		f := d.bad[0]
		d.bad = d.bad[1:]
		d.badBytes -= f.size
		d.bytes -= f.size
		q.freed()
		q.mu.Unlock()
		if err := d.fs.Remove(d.path(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			q.log.Warn("can't delete a file that was set aside", zap.Error(err))
		}
	}
}
