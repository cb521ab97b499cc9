package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A look is a view of a directory.
type look struct {
	dir      string
	fs       FS
	dead     bool
	pos      position
	valid    bool // pos was read
	segs     []*lookSegment
	problems []string
	slots    []Damage // of the position
}

type lookSegment struct {
	segment
	name    string
	id      [8]byte // for its frames
	noHead  bool    // its header is not valid
	strange bool    // nor what a crash leaves
	renamed bool    // its header names another
	aside   bool
}

func (l *look) problem(format string, args ...any) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// newLook reads the position and the headers of the segments.
func newLook(dir string, fsys FS, dead bool) (*look, error) {
	if fsys == nil {
		fsys = OS()
	}
	l := &look{dir: dir, fs: fsys, dead: dead}
	if err := l.readPosition(); err != nil {
		return nil, fmt.Errorf("inspect %s: %w", dir, err)
	}
	if err := l.list(); err != nil {
		return nil, fmt.Errorf("inspect %s: %w", dir, err)
	}
	if len(l.slots) > 0 && !l.valid {
		l.problem("no slot of the position file is valid: what was settled is not known")
	}
	return l, nil
}

// readPosition reads the newer valid slot. A slot that is being written is tried again.
func (l *look) readPosition() error {
	f, err := l.fs.Open(filepath.Join(l.dir, "position"), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 2*posSlot)
	for range 3 {
		n, err := f.ReadAt(buf, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read position: %w", err)
		}
		l.slots = nil
		for at := 0; at < n; at += posSlot {
			slot := buf[at:min(n, at+posSlot)]
			if _, err := parsePosition(slot); err != nil && !blank(slot) {
				l.slots = append(l.slots, Damage{Segment: "position", Offset: int64(at), Length: int64(len(slot)), What: "a slot that is not valid"})
			}
		}
		if p, ok := newestSlot(buf[:n]); ok && (!l.valid || p.seq >= l.pos.seq) {
			l.pos, l.valid = p, true
		}
		if len(l.slots) == 0 {
			break
		}
	}
	return nil
}

// names returns the segments by their names, in order.
func (l *look) names() ([]*lookSegment, error) {
	list, err := l.fs.ReadDir(l.dir)
	if err != nil && !(l.dead && errors.Is(err, fs.ErrNotExist)) { // made with the first dead letter
		return nil, err
	}
	var segs []*lookSegment
	for _, name := range list {
		base := strings.TrimSuffix(name, badSuffix)
		if no, first, ok := parseSegName(base); ok {
			segs = append(segs, &lookSegment{segment: segment{no: no, first: first}, name: name, aside: base != name})
		}
	}
	slices.SortFunc(segs, func(a, b *lookSegment) int {
		if l.dead {
			return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.no, b.no))
		}
		return cmp.Or(cmp.Compare(a.no, b.no), cmp.Compare(a.first, b.first))
	})
	return segs, nil
}

// list reads the headers, and finds out what doesn't belong to the rest, as an opening would.
func (l *look) list() error {
	segs, err := l.names()
	if err != nil {
		return err
	}
	id := l.pos.id
	for _, s := range segs {
		f, err := l.fs.Open(filepath.Join(l.dir, s.name), os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.readHead(f)
		_ = f.Close()
		switch {
		case s.aside:
		case s.first > maxNumber, s.renamed:
			s.aside = true
			l.problem("segment %s doesn't fit to its name", s.name)
		case !s.noHead && !l.valid && !l.dead:
			id = s.id // the newest counts
		}
		l.segs = append(l.segs, s)
	}
	last := uint64(0)
	for _, s := range l.segs {
		if l.dead {
			continue
		}
		if s.noHead {
			s.id = id
		}
		if s.aside {
			continue
		}
		if !s.noHead && s.id != id || s.first < last {
			s.aside = true
			l.problem("segment %s doesn't belong to the others", s.name)
			continue
		}
		s.id, last = id, s.first
	}
	if !l.valid {
		l.pos.id = id
		for _, s := range l.segs {
			if !s.aside {
				l.pos.low = s.first
				l.pos.ledger.refused -= s.first
				break
			}
		}
	}
	return nil
}

func (s *lookSegment) readHead(f File) {
	head := make([]byte, segHeadSize)
	n, _ := f.ReadAt(head, 0) // one that can't be read is like one that is damaged
	id, no, first, err := parseSegHead(head[:n])
	s.noHead = err != nil
	s.strange = s.noHead && n == segHeadSize && !blank(head)
	if err == nil {
		s.id, s.renamed = id, no != s.no || first != s.first
	}
}

// next is the number of the first event that can't be in the ith segment.
func (l *look) next(i int) (n uint64, newest bool) {
	for _, s := range l.segs[i+1:] {
		if !s.aside {
			return s.first, false
		}
	}
	return maxNumber, true
}

// A survey is what all segments together hold.
type survey struct {
	infos  []SegmentInfo
	seen   spans // readable numbers
	gone   spans // numbers of dead letters that were discarded meanwhile
	end    uint64
	frames uint64
	events uint64
	bytes  int64
	torn   int64
}

// survey examines all segments. f is called with the frames of those that are not set aside.
func (l *look) survey(damage func(Damage), f func(fr readFrame, b []byte)) (survey, error) {
	v := survey{infos: []SegmentInfo{}, end: l.pos.low}
	for i, s := range l.segs {
		next, newest := l.next(i)
		info, err := l.examine(s, next, newest, damage, func(fr readFrame, b []byte) error {
			if !s.aside {
				v.end = max(v.end, fr.next())
				if len(v.seen) < maxSeen {
					v.seen = v.seen.add(span{fr.first, fr.next()})
				}
				f(fr, b)
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) { // settled meanwhile, or discarded
			if l.dead && !newest {
				v.gone = v.gone.add(span{s.first, next})
			}
			continue
		}
		if err != nil {
			return v, err
		}
		v.infos = append(v.infos, info)
		v.bytes += info.Bytes
		if !s.aside {
			v.frames, v.events, v.torn = v.frames+info.Frames, v.events+info.Events, v.torn+info.TornTail
		}
	}
	if len(v.seen) >= maxSeen {
		l.problem("too much is damaged to tell how many events are left")
	}
	return v, l.later(&v)
}

// later reads the position again: what vanished meanwhile was settled first.
func (l *look) later(v *survey) error {
	if l.valid {
		if err := l.readPosition(); err != nil {
			return err
		}
	}
	if l.dead {
		for _, g := range v.gone {
			l.pos.mark(g)
		}
		for _, s := range l.segs {
			if !s.aside { // what was discarded is not noted
				l.pos.mark(span{l.pos.low, max(l.pos.low, s.first)})
				break
			}
		}
	}
	return nil
}

// growing reports whether the newest segment is not the one that was looked at.
func (l *look) growing(v *survey) bool {
	segs, err := l.names()
	if err != nil || len(segs) == 0 || len(v.infos) == 0 {
		return len(segs) != len(v.infos)
	}
	name := segs[len(segs)-1].name
	f, err := l.fs.Open(filepath.Join(l.dir, name), os.O_RDONLY)
	if err != nil {
		return true
	}
	defer f.Close()
	size, err := f.Size()
	last := v.infos[len(v.infos)-1]
	return err != nil || name != last.Name || size != last.Bytes
}
