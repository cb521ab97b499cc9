package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/firebreak/firebreak/record"
)

// Damage is bytes that can't be read, or make no sense.
type Damage struct {
	Segment string `json:"segment"` // name of the file
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"` // bytes
	What    string `json:"what"`
}

// maxPending bounds what is told apart behind the last whole frame.
const maxPending = 16

// An exam is a segment that is being examined.
type exam struct {
	s       *lookSegment
	info    SegmentInfo
	damage  func(Damage)
	pending []Damage // behind the last whole frame
	at      int64    // behind the last whole frame
	num     uint64   // its next event
}

// bad notes damage, which counts when a whole frame follows.
func (e *exam) bad(off, n int64, what string) {
	if n <= 0 {
		return
	}
	if k := len(e.pending); k >= maxPending {
		e.pending[k-1].Length = off + n - e.pending[k-1].Offset
		return
	}
	e.pending = append(e.pending, Damage{Segment: e.s.name, Offset: off, Length: n, What: what})
}

func (e *exam) flush() {
	for _, d := range e.pending {
		e.info.Damaged += d.Length
		e.damage(d)
	}
	e.pending = e.pending[:0]
}

// examine reads a segment, calls f with its whole frames, and damage with what lies between them. next is the first number
// of the next segment.
func (l *look) examine(s *lookSegment, next uint64, newest bool, damage func(Damage), f func(fr readFrame, b []byte) error) (SegmentInfo, error) {
	e := &exam{s: s, damage: damage, num: s.first}
	e.info = SegmentInfo{Name: s.name, No: s.no, First: s.first, SetAside: s.aside}
	file, err := l.fs.Open(filepath.Join(l.dir, s.name), os.O_RDONLY)
	if err != nil {
		return e.info, err
	}
	defer file.Close()
	if e.info.Bytes, err = file.Size(); err != nil {
		return e.info, err
	}
	if s.noHead { // it may be here by now
		s.readHead(file)
	}
	size := e.info.Bytes
	seen := min(size, segHeadSize) // everything before was looked at
	e.at = seen
	if s.noHead {
		e.at = 0
		if l.dead { // its id is not known
			seen = size
		}
		e.bad(0, seen, "the header is not valid")
	}
	w := window{f: file, size: size, off: seen, seed: seed(s.id)}
	for {
		fr, ok, err := w.next()
		if err != nil {
			off := w.off + int64(len(w.buf))
			e.bad(seen, off-seen, "no frame")
			e.bad(off, min(badSector, size-off), fmt.Sprintf("can't be read: %v", err))
			seen = off + badSector
			w = window{f: file, size: size, off: seen, seed: w.seed}
			continue
		}
		if !ok {
			break
		}
		off := w.off + int64(fr.at.off)
		e.bad(seen, off-seen, "no frame")
		seen = off + int64(fr.size())
		switch {
		case !fr.valid:
			e.bad(off, int64(fr.size()), fmt.Sprintf("the body of events %d to %d is not what was written", fr.first, fr.next()-1))
		case s.aside || fr.first >= e.num && fr.next() <= next:
			e.flush()
			e.num, e.at = fr.next(), seen
			e.info.Frames++
			e.info.Events += uint64(fr.events)
			e.info.Oldest, e.info.Newest = widen(e.info.Oldest, e.info.Newest, fr.arrived)
			if err := f(fr, w.buf[fr.at.off:fr.at.end]); err != nil {
				return e.info, err
			}
		case fr.next() > next:
			e.bad(off, int64(fr.size()), fmt.Sprintf("events %d to %d are of the next segment", fr.first, fr.next()-1))
		default:
			e.bad(off, int64(fr.size()), fmt.Sprintf("events %d to %d come again", fr.first, fr.next()-1))
		}
	}
	l.tail(e, seen, next, newest)
	return e.info, nil
}

// tail tells a torn tail, which is what a crash or a failed write leaves, from damage: nothing is missing behind it.
func (l *look) tail(e *exam, seen int64, next uint64, newest bool) {
	e.bad(seen, e.info.Bytes-seen, "no frame")
	missing := e.s.strange
	if !newest {
		l.pos.open(span{e.num, next}, func(span) { missing = true })
	}
	if missing || e.s.aside {
		e.flush()
		return
	}
	e.info.TornTail = e.info.Bytes - e.at
}

// A Filter says which chunks Walk is to give. The zero one gives all that is not settled.
type Filter struct {
	All          bool                    // what is settled, too, and what is in segments that were set aside
	From, To     uint64                  // running numbers, To not included; 0: no bound
	Since, Until time.Time               // arrival, Until not included; zero: no bound
	Match        func(record.Chunk) bool // nil: all
}

// Stored is a chunk in a buffer's directory, or a part of one.
type Stored struct {
	First   uint64 // running number of its first event
	Chunk   record.Chunk
	Segment string // name of the file
	Settled bool   // all of it
}

func (f *Filter) wants(h *head) bool {
	at := time.Unix(0, h.arrived)
	return h.next() > f.From && (f.To == 0 || h.first < f.To) && (f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until))
}

// Walk calls f with the chunks in a buffer's directory, in order. Their Data is valid during the call. What is damaged is
// left out. An error of f ends it and is returned. A nil fsys is the real one.
func Walk(dir string, fsys FS, filter Filter, f func(Stored) error) error {
	l, err := newLook(dir, fsys, false)
	if err != nil {
		return err
	}
	var n names
	var pos position
	return l.walk(&pos, filter.All, func(s *lookSegment, fr readFrame, b []byte) error {
		if !filter.wants(&fr.head) {
			return nil
		}
		chunk := n.chunk(&fr.head, b)
		if filter.Match != nil && !filter.Match(chunk) {
			return nil
		}
		whole := span{max(fr.first, filter.From), fr.next()}
		if filter.To > 0 {
			whole.to = min(whole.to, filter.To)
		}
		var open spans
		if !s.aside {
			pos.open(whole, func(m span) { open = append(open, m) })
		}
		parts := append(spans(nil), open...)
		if filter.All {
			open.missing(whole, func(m span) { parts = parts.insert(m) })
		}
		for _, m := range parts {
			part, err := chunk.Slice(int(m.from-fr.first), int(m.to-fr.first))
			if err != nil {
				continue // no chunk: damaged before it came here
			}
			if err := f(Stored{First: m.from, Chunk: part, Segment: s.name, Settled: !open.cover(m)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// WalkDead calls f with the dead letters in a directory that are not settled, in order. It is otherwise like [Walk].
func WalkDead(dir string, fsys FS, f func(DeadLetter) error) error {
	l, err := newLook(dir, fsys, true)
	if err != nil {
		return err
	}
	var n names
	var pos position
	return l.walk(&pos, false, func(_ *lookSegment, fr readFrame, b []byte) error {
		return eachPart(&fr.head, b, &n, &pos, f)
	})
}

// walk calls f with the whole frames. pos is what is settled, as of the segment that the frame is in.
func (l *look) walk(pos *position, aside bool, f func(s *lookSegment, fr readFrame, b []byte) error) error {
	for i, s := range l.segs {
		if s.aside && !aside {
			continue
		}
		if l.valid && i > 0 {
			if err := l.readPosition(); err != nil {
				return fmt.Errorf("walk %s: %w", l.dir, err)
			}
		}
		*pos = l.pos
		next, newest := l.next(i)
		var failed error
		_, err := l.examine(s, next, newest, func(Damage) {}, func(fr readFrame, b []byte) error {
			failed = f(s, fr, b)
			return failed
		})
		if failed != nil {
			return failed
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // settled meanwhile
			return fmt.Errorf("walk %s: %w", l.dir, err)
		}
	}
	return nil
}

func reasonOf(h *head, b []byte) string {
	reason, _, _ := bytes.Cut(h.noteOf(b), []byte{0})
	return string(reason)
}
