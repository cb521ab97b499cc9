package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/firebreak/firebreak/record"
)

// A DeadLetter is what was given up at once for one reason, as far as it is not settled.
type DeadLetter struct {
	First  uint64       // running number of its first event
	Chunk  record.Chunk // Data is valid during the call
	Reason string
	Detail string // what the other side said
}

// DeadFate says what became of dead letters.
type DeadFate uint8

// The fates of dead letters.
const (
	Replayed DeadFate = iota + 1 // offered anew
	Removed                      // by somebody's wish
)

const deadRemoved = "removed" // what the position counts them under

var errStop = errors.New("stop")

var errApart = fmt.Errorf("more than %d ranges are settled apart from the oldest: replay in order, from the oldest on", maxAcked)

// Read calls f with each dead letter that is not settled, the oldest first. Damaged ones are skipped. Meanwhile others may
// append and settle, and so may f. An error of f ends it and is returned.
func (d *Dead) Read(f func(DeadLetter) error) error {
	var segs []segment
	var pos position
	err := d.within(func() error {
		if err := d.open(); err != nil {
			return err
		}
		for _, s := range d.segs {
			segs = append(segs, s.segment)
		}
		pos = position{low: d.pos.low, acked: slices.Clone(d.pos.acked)}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	var n names
	for i := range segs {
		_, err := d.walk(&segs[i], 0, nil, func(fr readFrame, _ int64, b []byte) error {
			return eachPart(&fr.head, b, &n, &pos, f)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // discarded, or settled, meanwhile
			return err
		}
	}
	return nil
}

// eachPart calls f with the parts of a frame of dead letters that are not settled.
func eachPart(h *head, b []byte, n *names, pos *position, f func(DeadLetter) error) error {
	reason, detail, _ := bytes.Cut(h.noteOf(b), []byte{0})
	chunk := n.chunk(h, b)
	var err error
	pos.open(span{h.first, h.next()}, func(m span) {
		if err != nil {
			return
		}
		part, bad := chunk.Slice(int(m.from-h.first), int(m.to-h.first))
		if bad == nil { // else it is no chunk: damaged before it came here
			err = f(DeadLetter{First: m.from, Chunk: part, Reason: string(reason), Detail: string(detail)})
		}
	})
	return err
}

// Settle notes what became of the events from number first on; those that are settled already, or are gone, don't count
// again. When it returns nil, that survives a power cut. A segment of which everything is settled is deleted.
//
// Events may be settled in any order, but what is settled apart from the oldest is bounded: beyond that it returns an
// error, and nothing is settled.
func (d *Dead) Settle(first uint64, events int, fate DeadFate) error {
	if fate != Replayed && fate != Removed || events < 0 || first > maxNumber {
		return fmt.Errorf("settle dead letters: no such fate or range: %d, %d events from number %d", fate, events, first)
	}
	err := d.within(func() error {
		if err := d.open(); err != nil {
			return err
		}
		return d.settle(span{first, first + uint64(events)}, fate)
	})
	if err != nil {
		return fmt.Errorf("settle dead letters: %w", err)
	}
	return nil
}

func (d *Dead) settle(s span, fate DeadFate) error {
	if s.to > d.next {
		return fmt.Errorf("number %d is beyond the last one, %d", s.to-1, d.next)
	}
	p := d.pos
	p.acked = slices.Clone(p.acked)
	if len(d.segs) > 0 { // what was discarded is settled, too
		p.mark(span{p.low, max(p.low, d.segs[0].first)})
	}
	p.mark(s)
	if len(p.acked) > maxAcked {
		return errApart
	}
	var changed []*deadSegment // what will be left of them
	at, done := d.place, uint64(0)
	for i, seg := range d.segs {
		if seg.first >= s.to || d.end(i) <= s.from || s.from >= s.to {
			continue
		}
		if !seg.known {
			if err := d.tally(seg, &d.pos, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		left := *seg
		left.reasons = maps.Clone(seg.reasons)
		n, err := d.take(&left, s, &p, &at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody has deleted it
			return err
		}
		changed, done = append(changed, &left), done+n
	}
	p.seq++
	if p.id == [8]byte{} {
		p.id = newID()
	}
	p.ledger.shed = maps.Clone(p.ledger.shed)
	if fate == Replayed {
		p.ledger.count(Delivered, "", done)
	} else {
		p.ledger.count(Shed, deadRemoved, done)
	}
	if len(d.segs) == 0 && done == 0 {
		return nil // nothing is here
	}
	if err := d.writePosition(p); err != nil {
		return err
	}
	d.pos, d.place = p, at
	for _, c := range changed {
		for _, seg := range d.segs {
			if seg.no == c.no {
				seg.known, seg.reasons, seg.front, seg.oldest = true, c.reasons, c.front, c.oldest
			}
		}
	}
	d.prune()
	return nil
}

// A place is where the last Settle ended: the next one mostly goes on there.
type place struct {
	no  uint64 // of the segment
	off int64  // of a frame
	num uint64 // its first event
}

// take subtracts what s settles from what is left of a segment, and returns the number of events. p is the position with s
// in it, d.pos without.
func (d *Dead) take(left *deadSegment, s span, p *position, at *place) (done uint64, err error) {
	from := int64(0)
	if at.no == left.no && at.num <= s.from {
		from = at.off
	}
	moved := left.front >= s.from && left.front < s.to
	if moved {
		left.oldest = time.Time{}
	}
	_, err = d.walk(&left.segment, from, &d.scratch, func(fr readFrame, off int64, b []byte) error {
		frame := span{fr.first, fr.next()}
		if frame.to <= s.from {
			return nil
		}
		reason, _, _ := bytes.Cut(fr.noteOf(b), []byte{0})
		if frame.from < s.to {
			d.pos.open(span{max(frame.from, s.from), min(frame.to, s.to)}, func(m span) {
				done += m.len()
				left.drop(string(reason), m.len())
			})
			*at = place{left.no, off, frame.from}
		}
		if moved && left.oldest.IsZero() {
			p.open(frame, func(m span) {
				if left.oldest.IsZero() {
					left.front, left.oldest = m.from, time.Unix(0, fr.arrived)
				}
			})
		}
		if frame.to >= s.to && (!moved || !left.oldest.IsZero()) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return done, err
}

// Settleable returns how many dead letters, from the first on, Settle takes in this order at present. Its error says why
// it doesn't take all.
func (d *Dead) Settleable(list []DeadLetter) (n int, err error) {
	e := d.within(func() error {
		if err := d.open(); err != nil {
			return err
		}
		p := position{low: d.pos.low, acked: slices.Clone(d.pos.acked)}
		if len(d.segs) > 0 {
			p.mark(span{p.low, max(p.low, d.segs[0].first)})
		}
		for ; n < len(list); n++ {
			p.mark(span{list[n].First, list[n].First + uint64(list[n].Chunk.Events)})
			if len(p.acked) > maxAcked {
				err = errApart
				return nil
			}
		}
		return nil
	})
	if e != nil {
		return 0, fmt.Errorf("settle dead letters: %w", e)
	}
	return n, err
}
