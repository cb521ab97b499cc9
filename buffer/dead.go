package buffer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/record"
)

// A Dead keeps the dead letters of one destination: segment files whose frames also hold a reason and a detail. It is
// bounded; the oldest are discarded, and counted apart. Its methods may be called concurrently, and wait at most about
// 2 s for the disk.
type Dead struct {
	dir string
	max int64
	fs  FS
	log *zap.Logger

	busy    chan struct{} // holds a token while somebody uses the files, and what is below
	hanging atomic.Bool
	asked   atomic.Bool // Stats has had the directory read
	stats   atomic.Pointer[DeadStats]

	opened    bool
	id        [8]byte
	segs      []*segment
	cur       *segment
	next      uint64
	bytes     int64
	discarded uint64
}

// DeadStats is a snapshot of a dead letter store.
type DeadStats struct {
	Events    uint64 // kept
	Discarded uint64 // since the process started, to keep the bound
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
	return &Dead{dir: dir, max: maxBytes, fs: fsys, log: log, busy: make(chan struct{}, 1)}
}

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
		s := DeadStats{Discarded: d.discarded, Bytes: d.bytes}
		if len(d.segs) > 0 {
			s.Events = d.next - d.segs[0].first
		}
		d.stats.Store(&s)
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
	if dr.size() > maxFrame || int64(dr.size())+segHeadSize > d.max {
		return fmt.Errorf("keep dead letter: %d bytes are more than the bound of %d", dr.size(), d.max)
	}
	frame := dr.appendTo(make([]byte, 0, dr.size()), 0, 0, 0)
	events := uint64(c.Events)
	if err := d.within(func() error { return d.write(frame, events) }); err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	return nil
}

func (d *Dead) write(frame []byte, events uint64) error {
	if err := d.open(); err != nil {
		return err
	}
	n := int64(len(frame))
	sealHead(frame, d.next, seed(d.id))
	for d.bytes+segHeadSize+n > d.max && len(d.segs) > 0 {
		if err := d.discard(); err != nil {
			return err
		}
	}
	if d.cur == nil || d.cur.size+n > min(maxSegment, d.max/8) && d.cur.size > segHeadSize {
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
	d.next += events
	return nil
}

// Stats returns a snapshot, without waiting. What an earlier process left is counted soon after the first call.
func (d *Dead) Stats() DeadStats {
	if s := d.stats.Load(); s != nil {
		return *s
	}
	if d.asked.CompareAndSwap(false, true) {
		go func() { _ = d.within(d.open) }()
	}
	return DeadStats{}
}

// Read calls f with each dead letter, the oldest first. Damaged ones are skipped. Meanwhile others may append.
func (d *Dead) Read(f func(c record.Chunk, reason, detail string) error) error {
	var segs []segment
	err := d.within(func() error {
		if err := d.open(); err != nil {
			return err
		}
		for _, s := range d.segs {
			segs = append(segs, *s)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	var n names
	for i := range segs {
		err := d.walk(&segs[i], func(fr readFrame, b []byte) error {
			reason, detail, _ := bytes.Cut(fr.noteOf(b), []byte{0})
			return f(n.chunk(&fr.head, b), string(reason), string(detail))
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // discarded meanwhile
			return err
		}
	}
	return nil
}

// Close closes the file that is being written.
func (d *Dead) Close() error {
	return d.within(func() error {
		if d.cur == nil {
			return nil
		}
		err := d.cur.file.Close()
		d.cur = nil
		return err
	})
}

func (d *Dead) path(s *segment) string { return filepath.Join(d.dir, segName(s.no, s.first)) }

func (d *Dead) walk(s *segment, f func(fr readFrame, frame []byte) error) error {
	file, err := d.fs.Open(d.path(s), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, segHeadSize)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil //nolint:nilerr // too short to hold anything
	}
	id, _, _, err := parseSegHead(head)
	if err != nil {
		return nil //nolint:nilerr // not ours
	}
	w := window{f: file, size: s.size, off: segHeadSize, seed: seed(id)}
	for {
		fr, ok, err := w.next()
		if err != nil || !ok {
			return err
		}
		if fr.valid {
			if err := f(fr, w.buf[fr.at.off:fr.at.end]); err != nil {
				return err
			}
		}
	}
}

// open lists what is there. Nothing is appended to old segments.
func (d *Dead) open() error {
	if d.opened {
		return nil
	}
	list, err := d.fs.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.id, d.segs, d.bytes, d.next = newID(), nil, 0, 0
	for _, name := range list {
		no, first, ok := parseSegName(name)
		if !ok {
			continue
		}
		s := &segment{no: no, first: first}
		f, err := d.fs.Open(filepath.Join(d.dir, name), os.O_RDONLY)
		if err != nil {
			return err
		}
		s.size, err = f.Size()
		_ = f.Close()
		if err != nil {
			return err
		}
		d.segs = append(d.segs, s)
		d.bytes += s.size
	}
	slices.SortFunc(d.segs, func(a, b *segment) int { return cmp.Compare(a.no, b.no) })
	if n := len(d.segs); n > 0 {
		d.next = d.segs[n-1].first
		err := d.walk(d.segs[n-1], func(fr readFrame, _ []byte) error {
			d.next = max(d.next, fr.next())
			return nil
		})
		if err != nil {
			return err
		}
	}
	d.opened = true
	return nil
}

func (d *Dead) roll() error {
	if d.cur != nil {
		_ = d.cur.file.Close()
		d.cur = nil
	}
	no := uint64(1)
	if n := len(d.segs); n > 0 {
		no = d.segs[n-1].no + 1
	}
	if err := d.fs.MkdirAll(d.dir); err != nil {
		return err
	}
	s := &segment{no: no, first: d.next, size: segHeadSize}
	f, err := d.fs.Open(d.path(s), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(appendSegHead(nil, d.id, no, d.next), 0); err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	s.file = f
	d.cur = s
	d.segs = append(d.segs, s)
	d.bytes += segHeadSize
	return nil
}

// discard deletes the oldest segment.
func (d *Dead) discard() error {
	s := d.segs[0]
	if s == d.cur {
		_ = s.file.Close()
		d.cur = nil
	}
	end := d.next
	if len(d.segs) > 1 {
		end = d.segs[1].first
	}
	if err := d.fs.Remove(d.path(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.log.Warn("the bound of the dead letters is reached: the oldest are discarded", zap.Uint64("events", end-s.first))
	d.discarded += end - s.first
	d.bytes -= s.size
	d.segs = d.segs[1:]
	return nil
}
