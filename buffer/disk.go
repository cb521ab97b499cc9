package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
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
	wake    chan struct{} // for run
	toTidy  chan struct{} // for tidy
	done    chan struct{} // run has ended
	tidied  chan struct{} // tidy has ended
	watch   watchdog
	syncing atomic.Int64 // start of the sync under way, in ns; 0: none
	buf     []byte       // for the position
	runs    []run
	posFile File
	lock    io.Closer
	delMu   sync.Mutex // one goroutine deletes at a time; taken before q.mu

	// Guarded by q.mu.
	opened    bool
	stalled   atomic.Bool // an access hangs; read without the lock, too
	failed    error       // the last access failed
	noSpace   bool        // it failed for want of room
	tight     bool        // the volume has less than min_free, and the policy is not to shed what is stored
	shedOnly  bool        // an append waits for the only segment to be given up
	renewing  bool        // the same, if it is spent
	retryAt   time.Time
	dirty     bool       // the position has changed
	posSeq    uint64     // of the last written position
	snaps     uint64     // positions encoded
	snap      uint64     // the last of them that is in the file
	segMax    int64      // a segment ends there
	excess    int64      // more than the bound that was stored when the bound fell; 0: none
	segs      []*segment // in order
	cur       *segment   // the last of segs, while it is written
	lastNo    uint64     // highest number of a segment
	gone      []*segment // settled or shed: to be deleted once the position says so
	bad       []badFile  // set aside, the oldest first
	badBytes  int64
	unsynced  []*segment
	bytes     int64     // size of all segment files, those in gone and bad included
	goneBytes int64     // of those in gone
	used      time.Time // when something was written last
	readFails int       // in a row
	readAt    time.Time // not read before

	rd reader
}

// A run is frames of one block that follow each other, to be written in one go.
type run struct {
	blk         *block
	buf         []byte
	to          int // where buf ends in the block
	first, next uint64
}

func newDisk(q *queue, o DiskOptions) *disk {
	d := &disk{
		q: q, o: o, fs: o.FS, segMax: segmentBound(q.maxBytes),
		wake: make(chan struct{}, 1), toTidy: make(chan struct{}, 1), done: make(chan struct{}), tidied: make(chan struct{}),
	}
	d.watch.init(d)
	return d
}

func (d *disk) path(name string) string { return filepath.Join(d.o.Dir, name) }

// down reports whether the disk is in trouble. The caller holds q.mu.
func (d *disk) down() bool { return d.failed != nil || d.stalled.Load() }

// held is the size of what was not given up. The caller holds q.mu.
func (d *disk) held() int64 { return d.bytes - d.goneBytes - max(0, d.badBytes-d.q.maxBytes/8) }

// problem describes the trouble. The caller holds q.mu.
func (d *disk) problem() string {
	switch {
	case d.stalled.Load():
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
	d.watch.start()
	err := f()
	if d.watch.stop() {
		d.q.mu.Lock()
		if d.stalled.Swap(false) {
			d.q.log.Info("the disk answers again", zap.String("dir", d.o.Dir))
			d.letGo()
		}
		d.q.mu.Unlock()
	}
	return err
}

// letGo tells everybody that the buffer is in memory now. The caller holds q.mu.
func (d *disk) letGo() {
	d.q.release()
	d.q.gauge()
	d.q.freed()
	d.q.notify()
}

// trouble notes a failed access.
func (d *disk) trouble(err error) {
	q := d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	space := noSpace(err)
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
	d.unsync(d.cur)
	d.cur = nil
}

// unsync notes that a segment is to be synced, and closed when it has ended. The caller holds q.mu.
func (d *disk) unsync(s *segment) {
	if !slices.Contains(d.unsynced, s) {
		d.unsynced = append(d.unsynced, s)
		d.pokeTidy()
	}
}

// spoil ends the segment after an access to it failed: nothing is appended behind what is unknown.
func (d *disk) spoil() error {
	if d.cur == nil {
		return nil
	}
	size, err := d.cur.file.Size()
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	if n := size - d.cur.size; err == nil && n > 0 { // half of a write takes room, too
		d.cur.size += n
		d.bytes += n
	}
	d.seal()
	return nil
}

// run writes until the queue is closed.
func (d *disk) run() {
	defer close(d.done)
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		wait := d.cycle()
		if wait == 0 {
			continue
		}
		var later <-chan time.Time
		if wait < time.Hour {
			t.Reset(wait)
			later = t.C
		}
		select {
		case <-d.wake:
			runtime.Gosched() // who is about to append or to end a lease joins in
		case <-later:
		case <-d.q.closing:
			d.last()
			return
		}
	}
}

// cycle writes what there is to write and returns how long to wait for more.
func (d *disk) cycle() time.Duration {
	q := d.q
	q.mu.Lock()
	if wait := time.Until(d.retryAt); d.failed != nil && wait > 0 {
		q.mu.Unlock()
		return wait
	}
	if d.renewing {
		d.renew()
	}
	if d.shedOnly {
		d.shedOnly = false
		if q.onFull == ShedOldest && !d.down() {
			d.shedSegment(ReasonFull, true)
		}
		q.freed()
	}
	opened := d.opened
	q.mu.Unlock()
	var err error
	if !opened {
		err = d.guard(d.open)
	}
	if err == nil {
		err = d.guard(d.writeRuns)
	}
	if err == nil {
		err = d.guard(d.writePosition)
	}
	if err != nil {
		_ = d.guard(d.spoil)
		if noSpace(err) && d.makeSpace() {
			return 0
		}
		d.trouble(err)
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.failed != nil {
		d.failed, d.noSpace = nil, false
		q.log.Info("the disk works again: the buffer is on it", zap.String("dir", d.o.Dir))
		q.trim()
		d.letGo()
	}
	if q.unwritten > 0 || d.dirty {
		return 0
	}
	return time.Hour
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// collect gathers the frames that are not on disk, and returns their size. The caller holds q.mu.
func (d *disk) collect() (size int64) {
	d.runs = d.runs[:0]
	for _, b := range d.q.blocks {
		if b.written == len(b.buf) {
			continue
		}
		r := run{blk: b, buf: b.buf[b.written:], to: len(b.buf), first: max(b.first, d.q.written), next: b.next}
		if b.written == 0 {
			r.first = b.first
		}
		b.writing = true
		d.runs = append(d.runs, r)
		size += int64(len(r.buf))
	}
	return size
}

func (d *disk) writeRuns() error {
	q := d.q
	q.mu.Lock()
	size := d.collect()
	// What came in while the disk was in trouble may be more than there is room for.
	for q.onFull == ShedOldest && d.held()+size > max(q.maxBytes-d.segMax/2, d.excess) && d.shedSegment(ReasonFull, true) {
		q.full = true
	}
	tight := (d.goneBytes > 0 || d.badBytes > q.maxBytes/8) && d.bytes+size > q.maxBytes
	mode := q.sync
	q.mu.Unlock()
	if len(d.runs) == 0 {
		return nil
	}
	var err error
	if tight { // don't wait for tidy
		if err = d.writePosition(); err == nil {
			d.delete()
		}
	}
	for i := range d.runs {
		if err == nil {
			d.watch.start()
			err = d.writeRun(&d.runs[i])
		}
	}
	if err == nil && mode == SyncAlways {
		d.watch.start()
		if err = d.cur.file.Sync(); err != nil {
			err = fmt.Errorf("sync %s: %w", d.o.Dir, err)
		}
	}
	q.mu.Lock()
	for _, r := range d.runs {
		r.blk.writing = false
		q.arena.free(r.blk)
	}
	clear(d.runs)
	if err == nil {
		q.kept = q.written
		d.used = time.Now()
		if q.sync == SyncInterval && d.cur != nil {
			d.unsync(d.cur)
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
	n := int64(len(r.buf))
	q.mu.Lock()
	full := d.cur == nil || d.cur.size > segHeadSize && d.cur.size+n > d.segMax
	q.mu.Unlock()
	if full {
		if err := d.roll(r.first); err != nil {
			return err
		}
	}
	if _, err := d.cur.file.WriteAt(r.buf, d.cur.size); err != nil {
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
	always := q.syncMode() == SyncAlways
	if d.cur != nil && always { // the appends that wait have frames in it
		if err := d.cur.file.Sync(); err != nil {
			return fmt.Errorf("end a segment: %w", err)
		}
	}
	q.mu.Lock()
	d.seal()
	d.lastNo++ // a number is never used twice, whatever becomes of the file
	no := d.lastNo
	id := q.pos.id
	q.mu.Unlock()
	name := d.path(segName(no, first))
	f, err := d.fs.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("start a segment: %w", err)
	}
	if _, err = f.WriteAt(appendSegHead(nil, id, no, first), 0); err == nil && always {
		err = d.fs.SyncDir(d.o.Dir)
	}
	if err != nil {
		_ = f.Close()
		_ = d.fs.Remove(name)
		return fmt.Errorf("start a segment: %w", err)
	}
	q.mu.Lock()
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
	if !d.dirty || !d.opened {
		q.mu.Unlock()
		return nil
	}
	d.dirty = false
	d.posSeq++
	q.pos.seq = d.posSeq
	d.snaps++
	snap, seq, always := d.snaps, d.posSeq, q.sync == SyncAlways
	d.buf = q.pos.append(d.buf[:0])
	q.mu.Unlock()
	if len(d.buf) > posSlot {
		// Leases that ended in pieces left more ranges than a slot holds. The one on disk stays, until the low mark has
		// passed some: a crash would deliver more of them again.
		return nil
	}
	_, err := d.posFile.WriteAt(d.buf, int64(seq%2)*posSlot)
	if err == nil && always {
		err = d.posFile.Sync()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		d.dirty = true
		d.posSeq-- // the same slot again: the other one is whole
		return fmt.Errorf("write position: %w", err)
	}
	d.snap = snap
	if len(d.gone) > 0 {
		d.pokeTidy()
	}
	return nil
}
