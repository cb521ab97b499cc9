package buffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A disk keeps a queue's frames in segment files and its position in the position file. Its run goroutine alone
// writes; its tidy goroutine syncs and deletes; the queue's reader reads. A disk in trouble leaves the queue in memory
// and is tried again.
type disk struct {
	q       *queue
	o       DiskOptions
	fs      FS
	segMax  int64
	wake    chan struct{} // for run
	toTidy  chan struct{} // for tidy
	done    chan struct{} // run has ended
	tidied  chan struct{} // tidy has ended
	timer   *time.Timer   // runs during each access: the watchdog
	inIO    atomic.Bool
	syncing atomic.Int64 // start of the sync under way, in ns; 0: none
	buf     []byte       // for the position
	runs    []run
	posFile File
	lock    io.Closer

	// Guarded by q.mu.
	opened    bool
	stalled   bool  // an access hangs
	failed    error // the last access failed
	noSpace   bool
	shedOnly  bool // an append waits for the only segment to be given up
	retryAt   time.Time
	dirty     bool       // the position has changed
	posSeq    uint64     // of the last written position
	posLow    uint64     // low mark of the last written position
	segs      []*segment // in order
	cur       *segment   // the last of segs, while it is written
	lastNo    uint64     // highest number of a segment
	gone      []*segment // settled or shed: to be deleted once the position says so
	unsynced  []*segment
	bytes     int64        // size of all segment files
	goneBytes int64        // of those in gone
	frames    []readFrame  // read ahead, in order
	used      time.Time    // when something was written last
	set       atomic.Int32 // files set aside

	rd reader // guarded by q.readMu
}

// A run is frames of one block that follow each other, to be written in one go.
type run struct {
	blk         *block
	from, to    int
	first, next uint64
}

func newDisk(q *queue, o DiskOptions) *disk {
	d := &disk{
		q: q, o: o, fs: o.FS, segMax: min(maxSegment, o.MaxBytes/8),
		wake: make(chan struct{}, 1), toTidy: make(chan struct{}, 1), done: make(chan struct{}), tidied: make(chan struct{}),
	}
	q.arena.largeSize = int(min(largeBlock, max(d.segMax/2, smallBlock+1)))
	d.timer = time.AfterFunc(time.Hour, d.hang)
	d.timer.Stop()
	return d
}

func (d *disk) path(name string) string { return filepath.Join(d.o.Dir, name) }

// down reports whether the disk is in trouble. The caller holds q.mu.
func (d *disk) down() bool { return d.stalled || d.failed != nil }

// problem describes the trouble. The caller holds q.mu.
func (d *disk) problem() string {
	switch {
	case d.stalled:
		return fmt.Sprintf("the disk has not answered for over %v; events are in memory", hangAfter)
	case d.failed != nil:
		return fmt.Sprintf("%v; events are in memory, the disk is tried again", d.failed)
	}
	if at := d.syncing.Load(); at != 0 && time.Since(time.Unix(0, at)) > hangAfter {
		return fmt.Sprintf("the disk has been syncing for over %v", hangAfter)
	}
	return ""
}

func (d *disk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *disk) pokeTidy() {
	select {
	case d.toTidy <- struct{}{}:
	default:
	}
}

// guard runs an access to the disk under the watchdog.
func (d *disk) guard(f func() error) error {
	d.inIO.Store(true)
	d.timer.Reset(hangAfter)
	err := f()
	d.inIO.Store(false)
	if !d.timer.Stop() {
		d.q.mu.Lock()
		if d.stalled {
			d.stalled = false
			d.q.log.Info("the disk answers again")
		}
		d.q.mu.Unlock()
	}
	return err
}

// hang is the watchdog: appends don't wait for the disk any longer.
func (d *disk) hang() {
	q := d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.inIO.Load() && !d.stalled {
		d.stalled = true
		q.log.Error("the disk hangs: the buffer goes on in memory", zap.String("dir", d.o.Dir))
		d.letGo()
	}
}

// letGo tells everybody that the buffer is in memory now. The caller holds q.mu.
func (d *disk) letGo() {
	d.q.release()
	d.q.freed()
	d.q.notify()
}

// trouble notes a failed access.
func (d *disk) trouble(err error) {
	q := d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	space := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
	if d.failed == nil {
		q.log.Error("the disk fails: the buffer goes on in memory", zap.Error(err))
	}
	d.failed, d.noSpace = err, space
	wait := retryAfter
	if space {
		wait = retryAfter / 10
	}
	d.retryAt = time.Now().Add(wait)
	d.letGo()
}

// seal ends the segment that is being written. The caller holds q.mu.
func (d *disk) seal() {
	if d.cur == nil {
		return
	}
	if d.o.Sync == SyncNever {
		_ = d.cur.file.Close()
	} else if !slices.Contains(d.unsynced, d.cur) {
		d.unsynced = append(d.unsynced, d.cur)
	}
	d.cur = nil
}

// run writes until the queue is closed.
func (d *disk) run() {
	defer close(d.done)
	for {
		wait := d.cycle()
		if wait == 0 {
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-d.wake:
		case <-t.C:
		case <-d.q.closing:
			t.Stop()
			d.last()
			return
		}
		t.Stop()
	}
}

// cycle writes what there is to write and returns how long to wait for more.
func (d *disk) cycle() time.Duration {
	q := d.q
	q.mu.Lock()
	if d.failed != nil {
		if wait := time.Until(d.retryAt); wait > 0 {
			q.mu.Unlock()
			return wait
		}
		d.seal() // what is behind the failed write is unknown: nothing is appended to it
	}
	if d.shedOnly {
		d.shedOnly = false
		if q.onFull == ShedOldest && d.shedSegment(ReasonFull, true) {
			q.freed()
		}
	}
	opened := d.opened
	q.mu.Unlock()
	if !opened {
		if err := d.guard(d.open); err != nil {
			d.trouble(err)
			return retryAfter
		}
	}
	q.mu.Lock()
	tight := len(d.gone) > 0 && d.bytes+q.unwritten > q.maxBytes
	q.mu.Unlock()
	var err error
	if tight { // don't wait for tidy
		if err = d.guard(d.writePosition); err == nil {
			d.delete()
		}
	}
	if err == nil {
		err = d.guard(d.writeRuns)
	}
	if err == nil {
		err = d.guard(d.writePosition)
	}
	if err != nil {
		if errors.Is(err, unix.ENOSPC) && d.makeSpace() {
			return 0
		}
		d.trouble(err)
		return 0
	}
	q.mu.Lock()
	if d.failed != nil {
		d.failed, d.noSpace = nil, false
		q.log.Info("the disk works again: the buffer is on it")
	}
	more := q.unwritten > 0 || d.dirty
	q.mu.Unlock()
	if more {
		return 0
	}
	return time.Hour
}

// collect gathers the frames that are not on disk. The caller holds q.mu.
func (d *disk) collect() {
	d.runs = d.runs[:0]
	for _, b := range d.q.blocks {
		if b.written == len(b.buf) {
			continue
		}
		r := run{blk: b, from: b.written, to: len(b.buf), first: max(b.first, d.q.written), next: b.next}
		if b.written == 0 {
			r.first = b.first
		}
		b.refs++
		d.runs = append(d.runs, r)
	}
}

func (d *disk) writeRuns() error {
	q := d.q
	q.mu.Lock()
	d.collect()
	q.mu.Unlock()
	if len(d.runs) == 0 {
		return nil
	}
	var err error
	for i := range d.runs {
		if err == nil {
			err = d.writeRun(&d.runs[i])
		}
	}
	if err == nil && d.o.Sync == SyncAlways {
		err = d.cur.file.Sync()
	}
	q.mu.Lock()
	for _, r := range d.runs {
		q.arena.unref(r.blk)
	}
	clear(d.runs)
	if err == nil {
		q.kept = q.written
		d.used = time.Now()
		if d.o.Sync == SyncInterval && d.cur != nil && !slices.Contains(d.unsynced, d.cur) {
			d.unsynced = append(d.unsynced, d.cur)
			d.pokeTidy()
		}
		q.release()
		q.trim()
		q.freed()
		q.notify()
	}
	q.mu.Unlock()
	return err
}

func (d *disk) writeRun(r *run) error {
	q := d.q
	n := int64(r.to - r.from)
	q.mu.Lock()
	full := d.cur == nil || d.cur.size > segHeadSize && d.cur.size+n > d.segMax
	q.mu.Unlock()
	if full {
		if err := d.roll(r.first); err != nil {
			return err
		}
	}
	if _, err := d.cur.file.WriteAt(r.blk.buf[r.from:r.to], d.cur.size); err != nil {
		return fmt.Errorf("write %s: %w", d.o.Dir, err)
	}
	q.mu.Lock()
	d.cur.size += n
	d.bytes += n
	if r.blk.listed { // else it was shed while it was written
		q.unwritten -= int64(r.to - r.blk.written)
	}
	r.blk.written = r.to
	q.written = max(q.written, r.next)
	q.mu.Unlock()
	return nil
}

// roll starts a new segment whose first event has the given number.
func (d *disk) roll(first uint64) error {
	q := d.q
	q.mu.Lock()
	if d.cur != nil {
		d.seal()
		d.pokeTidy()
	}
	no := d.lastNo + 1
	id := q.pos.id
	q.mu.Unlock()
	name := d.path(segName(no, first))
	f, err := d.fs.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("start a segment: %w", err)
	}
	if _, err = f.WriteAt(appendSegHead(nil, id, no, first), 0); err == nil && d.o.Sync == SyncAlways {
		err = d.fs.SyncDir(d.o.Dir)
	}
	if err != nil {
		_ = f.Close()
		_ = d.fs.Remove(name)
		return fmt.Errorf("start a segment: %w", err)
	}
	q.mu.Lock()
	d.lastNo = no
	d.cur = &segment{no: no, first: first, size: segHeadSize, file: f}
	d.segs = append(d.segs, d.cur)
	d.bytes += segHeadSize
	d.retire()
	q.mu.Unlock()
	return nil
}

// writePosition writes the position when it has changed, in the slots in turn.
func (d *disk) writePosition() error {
	q := d.q
	q.mu.Lock()
	if !d.dirty {
		q.mu.Unlock()
		return nil
	}
	d.dirty = false
	d.posSeq++
	q.pos.seq = d.posSeq
	low, seq := q.pos.low, d.posSeq
	d.buf = q.pos.append(d.buf[:0])
	q.mu.Unlock()
	_, err := d.posFile.WriteAt(d.buf, int64(seq%2)*posSlot)
	if err == nil && d.o.Sync == SyncAlways {
		err = d.posFile.Sync()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		d.dirty = true
		return fmt.Errorf("write position: %w", err)
	}
	d.posLow = low
	if len(d.gone) > 0 {
		d.pokeTidy()
	}
	return nil
}

// last writes what is left when the queue is closed.
func (d *disk) last() {
	d.cycle()
	<-d.tidied
	q := d.q
	q.mu.Lock()
	seg, files := d.cur, d.unsynced
	d.unsynced, d.cur = nil, nil
	q.mu.Unlock()
	if seg != nil && !slices.Contains(files, seg) {
		files = append(files, seg)
	}
	for _, s := range files {
		if d.o.Sync != SyncNever {
			_ = s.file.Sync()
		}
		_ = s.file.Close()
	}
	if d.posFile != nil {
		if d.o.Sync != SyncNever {
			_ = d.posFile.Sync()
			_ = d.fs.SyncDir(d.o.Dir)
		}
		_ = d.posFile.Close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
	d.timer.Stop()
	q.mu.Lock()
	q.kept = q.next // nothing more can be done for those that still wait
	q.release()
	q.mu.Unlock()
}

// close waits for the goroutines to end.
func (d *disk) close(ctx context.Context) error {
	q := d.q
	q.readMu.Lock()
	d.rd.closeFile()
	q.readMu.Unlock()
	select {
	case <-d.done:
		q.mu.Lock()
		defer q.mu.Unlock()
		if d.failed != nil {
			return fmt.Errorf("close buffer %q: %w", q.name, d.failed)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close buffer %q: the disk hangs: %w", q.name, ctx.Err())
	}
}
