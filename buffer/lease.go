package buffer

import (
	"context"
	"slices"
	"sort"
	"time"
)

// Next implements [Buffer].
func (q *queue) Next(ctx context.Context) (*Lease, error) {
	for {
		if l := q.TryNext(); l != nil {
			q.notify() // somebody else may wait for the one behind
			return l, nil
		}
		select {
		case <-q.ready:
		case <-q.closing:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryNext implements [Buffer].
func (q *queue) TryNext() *Lease {
	q.readMu.Lock()
	defer q.readMu.Unlock()
	for {
		q.mu.Lock()
		l, read := q.step()
		q.mu.Unlock()
		if l != nil || !read {
			return l
		}
		q.disk.readAhead()
	}
}

// step leases the next chunk from memory. read says that the disk has to be read first. The caller holds mu.
func (q *queue) step() (l *Lease, read bool) {
	for !q.closed {
		if len(q.returned) > 0 {
			p := q.returned[0]
			q.returned = slices.Delete(q.returned, 0, 1)
			if q.tooOld(p.chunk.Arrived) {
				q.settle(span{p.num, p.num + uint64(p.chunk.Events)}, Shed, ReasonMaxAge)
				q.bytes -= int64(p.size)
				q.arena.unref(p.blk)
				q.changed()
				continue
			}
			return q.lease(p), false
		}
		if len(q.pos.acked) >= maxAcked || q.cur >= q.visible() {
			return nil, false
		}
		h, blk, ok := q.inMemory()
		if !ok {
			if q.disk == nil { // cannot be: what is not in memory was shed
				q.lose(span{q.cur, q.next}, ReasonCorrupt)
				q.cur = q.next
				return nil, false
			}
			if h, blk, ok = q.disk.frameRead(); !ok {
				return nil, true
			}
		}
		q.take(h, blk)
	}
	return nil, false
}

// take moves cur past a frame and makes pieces of what is open in it; whole frames, mostly.
func (q *queue) take(h head, at frameAt) {
	s := span{h.first, h.next()}
	if s.from > q.cur {
		q.lose(span{q.cur, s.from}, ReasonCorrupt)
		q.changed()
	}
	q.cur = s.to
	if at.blk == q.curBlk {
		q.curOff = at.end
	}
	chunk := q.names.chunk(&h, at.frame())
	if s.from >= q.pos.high() && s.from >= q.rewound {
		if q.tooOld(chunk.Arrived) {
			q.settle(s, Shed, ReasonMaxAge)
			q.bytes -= int64(h.size())
			q.changed()
			return
		}
		at.blk.refs++
		q.returned = append(q.returned, piece{num: s.from, chunk: chunk, blk: at.blk, id: ID{q.pos.id, s.from, h.events}, size: h.size()})
		return
	}
	q.open(s, func(m span) {
		part, err := chunk.Slice(int(m.from-s.from), int(m.to-s.from))
		if err != nil {
			q.settle(m, Shed, ReasonCorrupt)
			q.changed()
			return
		}
		at.blk.refs++
		q.giveBack(piece{num: m.from, chunk: part, blk: at.blk, id: ID{q.pos.id, m.from, part.Events}, size: h.size() * part.Events / h.events})
	})
}

func (q *queue) tooOld(arrived time.Time) bool {
	return q.maxAge > 0 && time.Since(arrived) > q.maxAge
}

// giveBack puts a piece among the returned ones, in the order of positions.
func (q *queue) giveBack(p piece) {
	i := sort.Search(len(q.returned), func(i int) bool { return q.returned[i].num > p.num })
	q.returned = slices.Insert(q.returned, i, p)
}

// A frameAt is a frame inside a block.
type frameAt struct {
	blk *block
	off int
	end int
}

func (f frameAt) frame() []byte { return f.blk.buf[f.off:f.end:f.end] }

// inMemory finds the frame that holds cur in the blocks of the list. The caller holds mu.
func (q *queue) inMemory() (head, frameAt, bool) {
	if q.curBlk != nil && q.curOff >= len(q.curBlk.buf) {
		q.curBlk = nil
	}
	b, off := q.curBlk, q.curOff
	if b == nil || !b.listed {
		i := sort.Search(len(q.blocks), func(i int) bool { return q.blocks[i].next > q.cur })
		// A buffer in memory has shed what is missing; one on disk reads it there.
		if i == len(q.blocks) || q.blocks[i].first > q.cur && q.disk != nil {
			return head{}, frameAt{}, false
		}
		b, off = q.blocks[i], 0
	}
	for off < len(b.buf) {
		h, err := parseHead(b.buf[off:], q.seed)
		if err != nil {
			return head{}, frameAt{}, false // cannot be: we wrote it
		}
		end := off + h.size()
		if h.next() > q.cur {
			q.curBlk, q.curOff = b, off
			return h, frameAt{b, off, end}, true
		}
		off = end
	}
	q.curBlk = nil
	return head{}, frameAt{}, false
}

// lease hands out a piece. The caller holds mu.
func (q *queue) lease(p piece) *Lease {
	if len(q.slab) == 0 {
		q.slab = make([]Lease, 16)
	}
	l := &q.slab[0]
	q.slab = q.slab[1:]
	*l = Lease{ID: p.id, Chunk: p.chunk, Attempts: p.attempts, q: q, blk: p.blk, num: p.num, size: p.size, prev: q.last}
	if q.last != nil {
		q.last.next = l
	} else {
		q.first = l
	}
	q.last = l
	q.leasedN += uint64(l.Chunk.Events)
	return l
}

// end ends a lease; see [Lease.End].
func (q *queue) end(l *Lease, settled []Settled) {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := len(q.pos.acked) >= maxAcked
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		q.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		q.last = l.prev
	}
	l.prev, l.next = nil, nil
	events := l.Chunk.Events
	q.leasedN -= uint64(events)

	back := 0
	at := 0
	for _, s := range settled {
		from, to := max(s.From, at), min(s.To, events)
		if from >= to {
			continue
		}
		back += q.giveUp(l, at, from)
		q.ended(l, from, to, s.Fate, s.Reason)
		at = to
	}
	back += q.giveUp(l, at, events)
	q.bytes -= int64(l.size * (events - back) / events)
	q.arena.unref(l.blk)
	l.blk = nil
	if back > 0 {
		q.notify()
	}
	if q.disk != nil {
		q.disk.retire()
		q.changed()
	}
	q.trim()
	if q.full && q.outstanding == 0 {
		q.full = false
	}
	q.freed()
	if held && len(q.pos.acked) < maxAcked {
		q.notify()
	}
}

// ended settles the events [from, to) of a lease that was just unlinked. The caller holds mu.
func (q *queue) ended(l *Lease, from, to int, fate Fate, reason string) {
	if l.orphan { // its numbers are settled already
		q.pos.ledger.count(fate, reason, uint64(to-from))
		q.outstanding -= uint64(to - from)
		return
	}
	q.settle(span{l.num + uint64(from), l.num + uint64(to)}, fate, reason)
}

// giveUp returns the events [from, to) of a lease to the queue, or sheds them when their segment is gone. It returns
// how many came back. The caller holds mu.
func (q *queue) giveUp(l *Lease, from, to int) int {
	if from >= to {
		return 0
	}
	if l.orphan {
		reason := ReasonFull
		if q.closed {
			reason = ReasonShutdown
		}
		q.ended(l, from, to, Shed, reason)
		return 0
	}
	part, err := l.Chunk.Slice(from, to)
	if err != nil {
		q.ended(l, from, to, Shed, ReasonCorrupt)
		return 0
	}
	if q.closed { // stays on disk
		return to - from
	}
	l.blk.refs++
	first := l.num + uint64(from)
	q.giveBack(piece{num: first, chunk: part, blk: l.blk, id: ID{l.ID.Buffer, l.ID.First + uint64(from), part.Events},
		size: l.size * part.Events / l.Chunk.Events, attempts: l.Attempts + 1})
	return to - from
}
