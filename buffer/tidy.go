package buffer

import (
	"time"

	"go.uber.org/zap"
)

const (
	idleAfter = 10 * time.Second // spare memory is let go of
	maxAside  = 16               // files set aside; then the oldest is deleted
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
	if time.Since(d.used) < idleAfter || d.down() {
		return false
	}
	q.arena.trim()
	return true
}

// sync forces what was written since the last time to the disk.
func (d *disk) sync() {
	q := d.q
	if d.o.Sync != SyncInterval {
		q.mu.Lock()
		for _, s := range d.unsynced {
			if s != d.cur {
				_ = s.file.Close()
			}
		}
		d.unsynced = nil
		q.mu.Unlock()
		return
	}
	q.mu.Lock()
	list, cur, opened, fresh := d.unsynced, d.cur, d.opened, d.cur != nil && d.cur.size > 0
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
		settled := s.dropped
		q.mu.Unlock()
		if !settled {
			if err := s.file.Sync(); err != nil {
				failed = err
			}
		}
		if s != cur {
			_ = s.file.Close()
		}
	}
	if err := d.posFile.Sync(); err != nil {
		failed = err
	}
	if fresh {
		if err := d.fs.SyncDir(d.o.Dir); err != nil {
			failed = err
		}
	}
	if failed != nil {
		d.trouble(failed)
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
		s.dropped = true
		if n == len(d.segs) {
			s.end = d.q.written
		}
	}
	for i := range n {
		if i+1 < len(d.segs) {
			d.segs[i].end = d.segs[i+1].first
		}
	}
	d.gone = append(d.gone, d.segs[:n]...)
	for _, s := range d.segs[:n] {
		d.goneBytes += s.size
	}
	m := copy(d.segs, d.segs[n:])
	clear(d.segs[m:])
	d.segs = d.segs[:m]
	d.dirty = true
	d.poke()
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
			q.mark(span{l.num, l.num + uint64(l.Chunk.Events)})
		}
	}
	kept := q.returned[:0]
	for _, p := range q.returned {
		if p.num < end {
			n := uint64(p.chunk.Events)
			q.settle(span{p.num, p.num + n}, Shed, reason)
			q.bytes -= int64(p.size)
			q.arena.unref(p.blk)
			continue
		}
		kept = append(kept, p)
	}
	clear(q.returned[len(kept):])
	q.returned = kept
	if n := q.lose(span{before, end}, reason); n > 0 {
		q.bytes = max(0, q.bytes-s.size)
	}
	q.pos.low = max(q.pos.low, end)
	q.pos.acked = q.pos.acked.below(q.pos.low)
	if q.cur < end {
		q.cur = end
		q.curBlk = nil
	}
	d.drop(1)
	return true
}

// makeSpace sheds the buffer's own oldest segment when the volume is full, and deletes it at once.
func (d *disk) makeSpace() bool {
	q := d.q
	q.mu.Lock()
	had := len(d.gone) > 0
	// A destination that keeps up has nothing to shed but what is under way. It waits in memory, for a while, until what
	// it has on disk is settled and makes room.
	behind := d.failed != nil || q.bytes > d.o.Memory
	ok := behind && (len(d.segs) > 1 || q.cur < q.written) && d.shedSegment(ReasonNoSpace, true)
	q.mu.Unlock()
	if !ok && !had {
		return false
	}
	if d.guard(d.writePosition) != nil {
		return false
	}
	return d.delete() > 0
}

// keepFree sheds the buffer's own oldest segments while the volume has less free space than min_free.
func (d *disk) keepFree() {
	if d.o.MinFree <= 0 {
		return
	}
	for {
		free, total, err := d.fs.Free(d.o.Dir)
		if err != nil || total == 0 || float64(free) >= d.o.MinFree*float64(total) {
			return
		}
		q := d.q
		q.mu.Lock()
		ok := len(d.segs) > 1 && d.shedSegment(ReasonNoSpace, false)
		if ok {
			q.full = true
		}
		q.mu.Unlock()
		if !ok {
			return
		}
		q.log.Warn("the volume is nearly full: shed the oldest segment", zap.Int64("free_bytes", free))
		select { // the position goes first; then the next tick deletes
		case <-time.After(50 * time.Millisecond):
		case <-q.closing:
			return
		}
		d.delete()
	}
}

// delete removes the files of given up segments that the written position doesn't need any more.
func (d *disk) delete() int {
	q := d.q
	q.mu.Lock()
	var list []*segment
	kept := d.gone[:0]
	for _, s := range d.gone {
		if s.end <= d.posLow && s != d.cur {
			list = append(list, s)
			continue
		}
		kept = append(kept, s)
	}
	clear(d.gone[len(kept):])
	d.gone = kept
	q.mu.Unlock()
	for _, s := range list {
		name := d.path(segName(s.no, s.first))
		var err error
		if s.bad && d.set.Add(1) <= maxAside {
			err = d.fs.Rename(name, name+badSuffix)
		} else {
			err = d.fs.Remove(name)
		}
		if err != nil {
			q.log.Warn("can't delete a segment", zap.Error(err))
		}
		q.mu.Lock()
		d.bytes -= s.size
		d.goneBytes -= s.size
		q.freed()
		q.mu.Unlock()
	}
	return len(list)
}
