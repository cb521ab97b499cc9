package buffer

import (
	"fmt"
	"slices"
)

// A Report says whether everything in a directory can be read.
type Report struct {
	Dead     bool     `json:"dead_letters"` // it is a directory of dead letters
	Segments int      `json:"segments"`
	Frames   uint64   `json:"frames"` // whole ones
	Events   uint64   `json:"events"` // in them, settled or not
	Bytes    int64    `json:"bytes"`  // read
	Bad      []Damage `json:"bad"`
	BadMore  uint64   `json:"bad_more"` // besides the ones in Bad, which are at most 1,000
	BadBytes int64    `json:"bad_bytes"`
	Gaps     []Range  `json:"gaps"`    // numbers neither settled nor to be read; at most 1,000 ranges
	Missing  uint64   `json:"missing"` // events in all gaps
	TornTail int64    `json:"torn_tail_bytes"`
	Problems []string `json:"problems,omitempty"`
	OK       bool     `json:"ok"` // nothing bad, and no gaps
}

const maxListed = 1000

// Verify reads every byte of a buffer's directory, or of one with dead letters, and checks it. A torn tail is no damage: a
// crash or a failed write leaves one, and nothing in it was acknowledged. Nor are files that were set aside: what they lack
// is accounted for. A nil fsys is the real one.
func Verify(dir string, fsys FS) (Report, error) {
	if fsys == nil {
		fsys = OS()
	}
	dead, err := holdsDead(dir, fsys)
	if err != nil {
		return Report{}, err
	}
	l, err := newLook(dir, fsys, dead)
	if err != nil {
		return Report{}, err
	}
	r := Report{Dead: dead, Bad: []Damage{}, Gaps: []Range{}}
	aside := map[string]bool{}
	for _, s := range l.segs {
		aside[s.name] = s.aside
	}
	damage := func(d Damage) {
		if aside[d.Segment] {
			return
		}
		r.BadBytes += d.Length
		if len(r.Bad) < maxListed {
			r.Bad = append(r.Bad, d)
		} else {
			r.BadMore++
		}
	}
	v, err := l.survey(damage, func(readFrame, []byte) {})
	if err != nil {
		return r, fmt.Errorf("verify %s: %w", dir, err)
	}
	for _, d := range l.slots {
		if !l.valid {
			damage(d)
		} else {
			l.problem("a slot of the position file is not valid: a write to it was cut off; the other one counts")
		}
	}
	l.gaps(&v, &r)
	r.Segments, r.Frames, r.Events, r.Bytes, r.TornTail = len(v.infos), v.frames, v.events, v.bytes, v.torn
	r.Problems = l.problems
	r.OK = len(r.Bad) == 0 && r.Missing == 0
	return r, nil
}

// gaps finds the numbers that are neither settled nor to be read.
func (l *look) gaps(v *survey, r *Report) {
	end := v.end
	if high := l.pos.high(); high > end && !l.growing(v) {
		end = high // the position is ahead of the frames, and not because frames were written meanwhile
	}
	if len(v.seen) >= maxSeen {
		return // too much is damaged anyway
	}
	l.pos.open(span{l.pos.low, end}, func(open span) {
		v.seen.missing(open, func(m span) {
			r.Missing += m.len()
			if len(r.Gaps) < maxListed {
				r.Gaps = append(r.Gaps, Range{m.from, m.to})
			}
		})
	})
}

// holdsDead reports whether a directory holds dead letters: their frames name no process, and without any frame, there is
// no lock.
func holdsDead(dir string, fsys FS) (bool, error) {
	l, err := newLook(dir, fsys, true)
	if err != nil {
		return false, err
	}
	dead := false
	for _, s := range slices.Backward(l.segs) {
		if s.noHead {
			continue
		}
		found := false
		_, err := l.examine(s, maxNumber, true, func(Damage) {}, func(fr readFrame, _ []byte) error {
			dead, found = fr.run == 0, true
			return errStop
		})
		if found {
			return dead, nil
		}
		if err != nil {
			continue
		}
	}
	names, err := fsys.ReadDir(dir)
	return len(l.segs) > 0 && !slices.Contains(names, "lock"), err
}
