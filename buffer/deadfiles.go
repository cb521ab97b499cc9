package buffer

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"
)

// open lists what is there. Nothing is appended to old segments.
func (d *Dead) open() error {
	if d.opened {
		return nil
	}
	list, err := d.fs.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if d.pos, err = d.readPosition(slices.Contains(list, "position")); err != nil {
		return err
	}
	d.id, d.segs, d.bytes, d.next, d.lastNo = newID(), nil, 0, d.pos.high(), 0
	for _, name := range list {
		no, first, ok := parseSegName(name)
		if !ok || first > maxNumber {
			continue
		}
		s := &deadSegment{segment: segment{no: no, first: first}}
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
		d.lastNo = max(d.lastNo, no)
	}
	slices.SortFunc(d.segs, func(a, b *deadSegment) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.no, b.no))
	})
	if n := len(d.segs); n > 0 {
		last := &d.segs[n-1].segment
		d.next = max(d.next, last.first)
		legible, err := d.walk(last, 0, nil, func(fr readFrame, _ int64, _ []byte) error {
			d.next = max(d.next, fr.next())
			return nil
		})
		if err != nil {
			return err
		}
		if !legible { // its numbers are not known: an event takes at least a byte
			d.next = max(d.next, last.first+uint64(last.size))
		}
	}
	d.opened = true
	d.prune()
	d.countAll()
	return nil
}

// readPosition reads what is settled.
func (d *Dead) readPosition(exists bool) (position, error) {
	if !exists {
		return position{}, nil
	}
	f, err := d.fs.Open(d.posName(), os.O_RDONLY)
	if err != nil {
		return position{}, err
	}
	defer f.Close()
	buf := make([]byte, 2*posSlot)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return position{}, err
	}
	p, ok := newestSlot(buf[:n])
	if !ok && !blank(buf[:n]) {
		d.log.Error("no slot of the position file is valid: dead letters that were settled may be here again", zap.String("dir", d.dir))
	}
	return p, nil
}

// writePosition makes a position durable.
func (d *Dead) writePosition(p position) error {
	_, f, err := openPosition(d.fs, d.posName())
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt(p.append(nil), int64(p.seq%2)*posSlot); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return d.fs.SyncDir(d.dir) // the file may be new
}

func (d *Dead) posName() string { return filepath.Join(d.dir, "position") }

func (d *Dead) path(s *segment) string { return filepath.Join(d.dir, segName(s.no, s.first)) }

// walk calls f with each whole frame of a segment whose header is valid, from the offset on. at is a frame's offset in
// the file. What can't be read is skipped; legible says whether anything else than a torn tail can be. buf, if not nil, is where
// windows are read into.
func (d *Dead) walk(s *segment, from int64, buf *[]byte, f func(fr readFrame, at int64, frame []byte) error) (legible bool, err error) {
	file, err := d.fs.Open(d.path(s), os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, segHeadSize)
	if _, err := file.ReadAt(head, 0); err != nil {
		return errors.Is(err, io.EOF), nil // too short to hold anything
	}
	id, _, _, err := parseSegHead(head)
	if err != nil {
		return blank(head), nil //nolint:nilerr // not ours
	}
	w := window{f: file, size: s.size, off: max(from, segHeadSize), seed: seed(id)}
	if buf != nil {
		w.new = func(n int) []byte {
			if cap(*buf) < n {
				*buf = make([]byte, max(n, readSize))
			}
			return (*buf)[:n]
		}
	}
	legible = true
	for {
		fr, ok, err := w.next()
		if err != nil { // a bad sector
			legible = false
			w = window{f: file, size: s.size, off: w.off + int64(len(w.buf)) + badSector, seed: w.seed, new: w.new}
			continue
		}
		if !ok {
			return legible, nil
		}
		if !fr.valid {
			continue
		}
		if err := f(fr, w.off+int64(fr.at.off), w.buf[fr.at.off:fr.at.end]); err != nil {
			return legible, err
		}
	}
}

func (d *Dead) roll() error {
	if d.cur != nil {
		_ = d.cur.file.Close()
		d.cur = nil
	}
	if err := d.fs.MkdirAll(d.dir); err != nil {
		return err
	}
	s := &deadSegment{segment: segment{no: d.lastNo + 1, first: d.next, size: segHeadSize}, known: true}
	f, err := d.fs.Open(d.path(&s.segment), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(appendSegHead(nil, d.id, s.no, d.next), 0); err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	s.file = f
	d.cur = s
	d.lastNo = s.no
	d.segs = append(d.segs, s)
	d.bytes += segHeadSize
	return nil
}

// end is the number behind the last event of a segment.
func (d *Dead) end(i int) uint64 {
	if i+1 < len(d.segs) {
		return d.segs[i+1].first
	}
	return d.next
}

// left is the number of events of a segment that are not settled. Until they are counted, it includes damaged ones.
func (d *Dead) left(i int) (n uint64) {
	s := d.segs[i]
	if !s.known {
		d.pos.open(span{s.first, d.end(i)}, func(m span) { n += m.len() })
		return n
	}
	for _, k := range s.reasons {
		n += k
	}
	return n
}

// discard deletes the oldest segment.
func (d *Dead) discard() error {
	n := d.left(0)
	if err := d.remove(0); err != nil {
		return err
	}
	if n > 0 {
		d.log.Warn("the bound of the dead letters is reached: the oldest are discarded", zap.Uint64("events", n))
		d.discarded += n
	}
	return nil
}

// prune deletes the segments whose events are all settled.
func (d *Dead) prune() {
	for i := len(d.segs) - 1; i >= 0; i-- {
		open := false
		d.pos.open(span{d.segs[i].first, d.end(i)}, func(span) { open = true })
		if open || d.segs[i].first >= d.end(i) && (d.segs[i] == d.cur || d.segs[i].size > segHeadSize) {
			continue // or nothing is known of it
		}
		if err := d.remove(i); err != nil { // again the next time
			d.log.Warn("can't delete a segment of dead letters", zap.Error(err))
		}
	}
}

// remove deletes a segment.
func (d *Dead) remove(i int) error {
	s := d.segs[i]
	if s == d.cur {
		_ = s.file.Close()
		d.cur = nil
	}
	if err := d.fs.Remove(d.path(&s.segment)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.bytes -= s.size
	d.segs = slices.Delete(d.segs, i, i+1)
	return nil
}
