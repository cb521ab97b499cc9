package destination

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/record"
)

// A span is the events [from, to) of a chunk.
type span struct{ from, to int }

// held is a lease that a worker works on. Its events are settled in any order; the lease ends when none is left, or
// when the worker stops, and then the rest returns to the buffer. It is reused.
type held struct {
	lease *buffer.Lease
	todo  []span // not settled yet, in order
	done  []buffer.Settled
	sent  int // events below it were sent before
	cut   int // an event, and where it starts in the data: the last cut of slice
	off   int
	at    int64     // bytes that the worker had taken before it
	since time.Time // when it was taken, if batches linger
}

func (h *held) reset(l *buffer.Lease) {
	clear(h.done)
	*h = held{lease: l, todo: append(h.todo[:0], span{0, l.Chunk.Events}), done: h.done[:0]}
}

// slice returns the events [from, to). Going forward it doesn't start at the beginning each time.
func (h *held) slice(from, to int) (record.Chunk, error) {
	c := h.lease.Chunk
	if from == 0 && to == c.Events {
		return c, nil
	}
	if from < h.cut {
		h.cut, h.off = 0, 0
	}
	rest := record.Chunk{Data: c.Data[h.off:]}
	it := record.Iterate(&rest)
	start, end := h.off, h.off
	for i := h.cut; i < to; i++ {
		if !it.Next() {
			return c, fmt.Errorf("slice events [%d, %d): %w", from, to, cmp.Or(it.Err(), errShort))
		}
		if i == from {
			start = h.off + it.Offset()
		}
		end = h.off + it.Offset() + len(it.Event().Raw)
	}
	h.cut, h.off = from, start
	c.Data, c.Events = c.Data[start:end:end], to-from
	return c, nil
}

// settle moves the events [from, to), which must lie inside one span of todo, to done.
func (h *held) settle(from, to int, fate buffer.Fate, reason string) {
	if from >= to {
		return
	}
	i := 0
	if h.todo[0].to <= from {
		i = sort.Search(len(h.todo), func(i int) bool { return h.todo[i].to > from })
	}
	s := h.todo[i]
	switch {
	case s.from == from && s.to == to:
		h.todo = slices.Delete(h.todo, i, i+1)
	case s.from == from:
		h.todo[i].from = to
	case s.to == to:
		h.todo[i].to = from
	default:
		h.todo[i].to = from
		h.todo = slices.Insert(h.todo, i+1, span{to, s.to})
	}
	if n := len(h.done); n > 0 {
		if last := &h.done[n-1]; last.To == from && last.Fate == fate && last.Reason == reason {
			last.To = to
			return
		}
	}
	h.done = append(h.done, buffer.Settled{From: from, To: to, Fate: fate, Reason: reason})
}

// finished reports whether every event is settled.
func (h *held) finished() bool { return len(h.todo) == 0 }

// end ends the lease with what is settled.
func (h *held) end() { h.lease.End(h.merge()...) }

// merge joins what is settled, in order of events.
func (h *held) merge() []buffer.Settled {
	if len(h.done) < 2 {
		return h.done
	}
	slices.SortFunc(h.done, func(a, b buffer.Settled) int { return cmp.Compare(a.From, b.From) })
	merged := h.done[:1]
	for _, s := range h.done[1:] {
		if last := &merged[len(merged)-1]; last.To == s.From && last.Fate == s.Fate && last.Reason == s.Reason {
			last.To = s.To
			continue
		}
		merged = append(merged, s)
	}
	h.done = merged
	return merged
}
