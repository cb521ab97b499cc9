package buffer

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What is here looks into a directory without writing to it, not even a lock: that of a stopped router, or of one that is
// writing to it, in which files grow, appear and vanish meanwhile. One window of a segment is in memory at a time.

// A Summary says what is in a buffer's directory. Times are those of arrival.
type Summary struct {
	ID       string        `json:"id"`
	Segments []SegmentInfo `json:"segments"`
	Ledger   Ledger        `json:"ledger"`
	Low      uint64        `json:"low"`              // all numbers below are settled
	Ranges   []Range       `json:"ranges,omitempty"` // settled above it
	Buffered uint64        `json:"buffered"`         // events that are not settled and can be read
	Bytes    int64         `json:"bytes"`            // size of all segments, those set aside included
	Oldest   time.Time     `json:"oldest,omitzero"`  // of the buffered events
	Newest   time.Time     `json:"newest,omitzero"`
	TornTail int64         `json:"torn_tail_bytes"` // behind the last whole frame; nothing in it was acknowledged
	Problems []string      `json:"problems,omitempty"`
}

// A Ledger is what the position record says, with the numbers in the segments. Unknown is what was in leases of segments
// that were shed, or is given numbers but not on disk; the next start counts it as shed.
type Ledger struct {
	Offered      uint64            `json:"offered"`
	Delivered    uint64            `json:"delivered"`
	DeadLettered map[string]uint64 `json:"dead_lettered"`
	Shed         map[string]uint64 `json:"shed"`
	Moved        map[string]uint64 `json:"moved"`
	Buffered     uint64            `json:"buffered"` // by their numbers: damaged ones, too
	Unknown      uint64            `json:"unknown"`
}

// A DeadSummary says what is in a directory of dead letters. Times are those of arrival.
type DeadSummary struct {
	Segments []SegmentInfo     `json:"segments"`
	Low      uint64            `json:"low"`
	Ranges   []Range           `json:"ranges,omitempty"`
	Events   uint64            `json:"events"`  // kept, not settled
	Reasons  map[string]uint64 `json:"reasons"` // of these
	Replayed uint64            `json:"replayed"`
	Removed  uint64            `json:"removed"`
	Bytes    int64             `json:"bytes"`
	Oldest   time.Time         `json:"oldest,omitzero"`
	Newest   time.Time         `json:"newest,omitzero"`
	TornTail int64             `json:"torn_tail_bytes"`
	Problems []string          `json:"problems,omitempty"`
}

// A SegmentInfo describes a segment. Events and times are of all whole frames, settled or not.
type SegmentInfo struct {
	Name     string    `json:"name"`
	No       uint64    `json:"no"`
	First    uint64    `json:"first"` // number of its first event
	Events   uint64    `json:"events"`
	Frames   uint64    `json:"frames"`
	Bytes    int64     `json:"bytes"`
	Oldest   time.Time `json:"oldest,omitzero"`
	Newest   time.Time `json:"newest,omitzero"`
	Damaged  int64     `json:"damaged_bytes"`
	TornTail int64     `json:"torn_tail_bytes"`
	SetAside bool      `json:"set_aside"` // or doesn't belong to the others
}

// A Range is the running numbers from From up to, not including, To.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

const (
	maxProblems = 100
	maxSeen     = 1 << 16 // runs of readable numbers that are told apart
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

// Inspect looks into a buffer's directory. A nil fsys is the real one.
func Inspect(dir string, fsys FS) (Summary, error) {
	l, err := newLook(dir, fsys, false)
	if err != nil {
		return Summary{}, err
	}
	var s Summary
	v, err := l.survey(func(Damage) {}, func(fr readFrame, _ []byte) {
		l.pos.open(span{fr.first, fr.next()}, func(span) { s.Oldest, s.Newest = widen(s.Oldest, s.Newest, fr.arrived) })
	})
	if err != nil {
		return Summary{}, fmt.Errorf("inspect %s: %w", dir, err)
	}
	p := &l.pos
	s.ID, s.Segments, s.Low, s.Ranges, s.Bytes, s.TornTail = hex.EncodeToString(p.id[:]), v.infos, p.low, ranges(p.acked), v.bytes, v.torn
	for _, m := range v.seen {
		p.open(m, func(m span) { s.Buffered += m.len() })
	}
	if s.Buffered == 0 {
		s.Oldest, s.Newest = time.Time{}, time.Time{}
	}
	led := &p.ledger
	s.Ledger = Ledger{Delivered: led.delivered, DeadLettered: copyCounts(led.dead), Shed: copyCounts(led.shed), Moved: copyCounts(led.moved)}
	end := max(v.end, p.high())
	p.open(span{p.low, end}, func(m span) { s.Ledger.Buffered += m.len() })
	s.Ledger.Offered = end + led.refused
	if known := led.settled() + s.Ledger.Buffered; s.Ledger.Offered >= known {
		s.Ledger.Unknown = s.Ledger.Offered - known
	} else {
		l.problem("the ledger has %d events more than there were", known-s.Ledger.Offered)
	}
	s.Problems = l.problems
	return s, nil
}

// InspectDead looks into a directory of dead letters. One that doesn't exist has none. A nil fsys is the real one.
func InspectDead(dir string, fsys FS) (DeadSummary, error) {
	l, err := newLook(dir, fsys, true)
	if err != nil {
		return DeadSummary{}, err
	}
	var s DeadSummary
	v, err := l.survey(func(Damage) {}, func(fr readFrame, b []byte) {
		l.pos.open(span{fr.first, fr.next()}, func(m span) {
			s.Events += m.len()
			bump(&s.Reasons, reasonOf(&fr.head, b), m.len())
			s.Oldest, s.Newest = widen(s.Oldest, s.Newest, fr.arrived)
		})
	})
	if err != nil {
		return DeadSummary{}, fmt.Errorf("inspect %s: %w", dir, err)
	}
	p := &l.pos
	s.Reasons = copyCounts(s.Reasons)
	s.Segments, s.Low, s.Ranges, s.Bytes, s.TornTail = v.infos, p.low, ranges(p.acked), v.bytes, v.torn
	s.Replayed, s.Removed, s.Problems = p.ledger.delivered, p.ledger.shed[deadRemoved], l.problems
	return s, nil
}

func widen(oldest, newest time.Time, arrived int64) (time.Time, time.Time) {
	at := time.Unix(0, arrived)
	if oldest.IsZero() || at.Before(oldest) {
		oldest = at
	}
	if newest.IsZero() || at.After(newest) {
		newest = at
	}
	return oldest, newest
}

func ranges(l spans) []Range {
	var out []Range
	for _, s := range l {
		out = append(out, Range{s.from, s.to})
	}
	return out
}
