package buffer

import (
	"encoding/hex"
	"fmt"
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
