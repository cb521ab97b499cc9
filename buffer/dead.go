package buffer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/record"
)

// A Dead keeps the dead letters of one destination: segment files whose frames also hold a reason and a detail. It is
// bounded; the oldest are discarded, and counted apart. Its methods may be called concurrently.
type Dead struct {
	dir string
	max int64
	fs  FS
	log *zap.Logger

	mu        sync.Mutex
	opened    bool
	id        [8]byte
	segs      []*segment
	cur       *segment
	next      uint64
	bytes     int64
	discarded uint64
	scratch   []byte
}

// DeadStats is a snapshot of a dead letter store.
type DeadStats struct {
	Events    uint64 // kept
	Discarded uint64 // since the process started, to keep the bound
	Bytes     int64
}

// NewDead returns the store in a directory, which is made when the first dead letter comes. A nil fsys is the real one.
func NewDead(dir string, maxBytes int64, fsys FS, log *zap.Logger) *Dead {
	if fsys == nil {
		fsys = OS()
	}
	if log == nil {
		log = zap.NewNop()
	}
	return &Dead{dir: dir, max: maxBytes, fs: fsys, log: log}
}

// Append keeps a chunk with the reason why it was given up, and what the other side said. When it returns nil, the
// chunk is on disk.
func (d *Dead) Append(c record.Chunk, reason, detail string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return err
	}
	note := reason + "\x00" + detail
	var dr draft
	dr, d.scratch = newDraft(&c, note, d.scratch[:0])
	frame := dr.appendTo(nil, d.next, seed(d.id))
	n := int64(len(frame))
	if n > d.max {
		return fmt.Errorf("keep dead letter: %d bytes are more than the bound of %d", n, d.max)
	}
	for d.bytes+n > d.max && len(d.segs) > 0 {
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
		return fmt.Errorf("keep dead letter: %w", err)
	}
	if err := d.cur.file.Sync(); err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	d.cur.size += n
	d.bytes += n
	d.next += uint64(c.Events)
	return nil
}

// Stats returns a snapshot.
func (d *Dead) Stats() DeadStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := DeadStats{Discarded: d.discarded, Bytes: d.bytes}
	if len(d.segs) > 0 {
		s.Events = d.next - d.segs[0].first
	}
	return s
}

// Read calls f with each dead letter, the oldest first. Damaged ones are skipped.
func (d *Dead) Read(f func(c record.Chunk, reason, detail string) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return err
	}
	var n names
	for _, s := range d.segs {
		err := d.walk(s, func(fr readFrame, b []byte) error {
			reason, detail, _ := bytes.Cut(fr.noteOf(b), []byte{0})
			return f(n.chunk(&fr.head, b), string(reason), string(detail))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close closes the file that is being written.
func (d *Dead) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cur == nil {
		return nil
	}
	err := d.cur.file.Close()
	d.cur = nil
	return err
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
	if err := d.fs.MkdirAll(d.dir); err != nil {
		return fmt.Errorf("keep dead letters: %w", err)
	}
	list, err := d.fs.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("keep dead letters: %w", err)
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
			return fmt.Errorf("keep dead letters: %w", err)
		}
		s.size, err = f.Size()
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("keep dead letters: %w", err)
		}
		d.segs = append(d.segs, s)
		d.bytes += s.size
	}
	slices.SortFunc(d.segs, func(a, b *segment) int {
		if a.no < b.no {
			return -1
		}
		return 1
	})
	if n := len(d.segs); n > 0 {
		d.next = d.segs[n-1].first
		err := d.walk(d.segs[n-1], func(fr readFrame, _ []byte) error {
			d.next = max(d.next, fr.next())
			return nil
		})
		if err != nil {
			return fmt.Errorf("keep dead letters: %w", err)
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
	s := &segment{no: no, first: d.next, size: segHeadSize}
	f, err := d.fs.Open(d.path(s), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("keep dead letters: %w", err)
	}
	if _, err = f.WriteAt(appendSegHead(nil, d.id, no, d.next), 0); err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("keep dead letters: %w", err)
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
	if err := d.fs.Remove(d.path(s)); err != nil {
		return fmt.Errorf("discard dead letters: %w", err)
	}
	d.log.Warn("the bound of the dead letters is reached: the oldest are discarded", zap.Uint64("events", end-s.first))
	d.discarded += end - s.first
	d.bytes -= s.size
	d.segs = d.segs[1:]
	return nil
}
