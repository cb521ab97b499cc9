package buffer

import (
	"context"
	"sort"
	"time"

	"github.com/firebreak/firebreak/record"
)

// Next implements [Buffer].
func (q *queue) Next(ctx context.Context) (*Lease, error) {
	for {
		q.mu.Lock()
		l, read := q.step()
		q.mu.Unlock()
		if l != nil {
			q.notify() // somebody else may wait for the one behind
			return l, nil
		}
		if read {
			if err := q.fetch(ctx); err != nil {
				return nil, err
			}
			continue
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
	var ctx context.Context
	for {
		q.mu.Lock()
		l, read := q.step()
		q.mu.Unlock()
		if !read {
			return l
		}
		if ctx == nil { // a disk that hangs has nothing to lease
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.Background(), hangAfter)
			defer cancel()
		}
		if q.fetch(ctx) != nil {
			return nil
		}
	}
}

// fetch reads the frame at cur and what follows it from the disk. One goroutine reads at a time. The disk may hang:
// then the caller goes on without when ctx ends, and those who come later wait for the same read.
func (q *queue) fetch(ctx context.Context) error {
	select {
	case q.reading <- struct{}{}:
	case <-q.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	q.mu.Lock()
	_, _, found := q.atCur()
	found = found || q.closed || q.cur >= q.visible()
	q.mu.Unlock()
	if found { // somebody else has read it
		<-q.reading
		return nil
	}
	done := make(chan struct{})
	go func() {
		q.disk.readAhead()
		q.disk.closeReader()
		<-q.reading
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-q.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step leases the next chunk from memory. read says that the disk has to be read first. The caller holds mu.
func (q *queue) step() (l *Lease, read bool) {
	shed := false
	for !q.closed && l == nil {
		var p piece
		if len(q.returned) > 0 {
			p = q.returned.pop()
		} else {
			if q.cur >= q.visible() || !q.mayLease() {
				break
			}
			h, at, ok := q.atCur()
			if !ok && q.disk == nil { // cannot be: what is not in memory was shed
				q.lose(span{q.cur, q.next}, ReasonCorrupt)
				q.cur = q.next
				shed = true
				break
			}
			if !ok {
				read = !q.disk.readLater()
				break
			}
			if p, ok = q.take(h, at); !ok {
				shed = true
				continue
			}
		}
		if q.tooOld(p.chunk.Arrived) {
			q.dropPiece(&p, ReasonMaxAge)
			shed = true
			continue
		}
		l = q.lease(p)
	}
	if shed {
		q.cleared()
	}
	return l, read
}

// mayLease reports whether one more lease keeps the bounds on acked ranges and on memory. When not, the end of a lease
// tells. The caller holds mu.
func (q *queue) mayLease() bool {
	if q.first == nil {
		return true // what is missing can only be leased now
	}
	if len(q.pos.acked) >= maxAcked && q.cur >= q.pos.high() || q.disk != nil && q.arena.pinned >= q.memory/2 {
		q.held = true
		return false
	}
	return true
}

// atCur returns the frame that holds cur or follows it, if that is in memory. The caller holds mu.
func (q *queue) atCur() (head, frameAt, bool) {
	h, at, ok := q.inMemory()
	if !ok && q.disk != nil {
		return q.disk.frameRead()
	}
	return h, at, ok
}

// take moves cur past a frame. Mostly the whole frame is open, and is returned as a piece; else its open parts are
// given back, and ok is false.
func (q *queue) take(h head, at frameAt) (p piece, ok bool) {
	s := span{h.first, h.next()}
	if s.from > q.cur && q.lose(span{q.cur, s.from}, ReasonCorrupt) > 0 {
		q.changed()
		if q.disk != nil {
			q.disk.damaged(q.cur)
		}
	}
	q.cur = s.to
	if at.blk == q.curBlk {
		q.curOff = at.end
	}
	chunk := q.names.chunk(&h, at.frame())
	if s.from >= q.pos.high() && s.from >= q.rewound {
		q.arena.ref(at.blk)
		return piece{num: s.from, chunk: chunk, blk: at.blk, id: q.idOf(&h, s), size: h.size()}, true
	}
	q.takeParts(&h, chunk, at)
	return piece{}, false
}

// idOf names events of a frame. The run is part of it: after a power cut, running numbers of events that were not
// synced are used again, and an aggregator that remembers ids must not take the new events for the lost ones.
func (q *queue) idOf(h *head, s span) ID {
	id := ID{Buffer: q.pos.id, First: s.from, Events: int(s.len())}
	for i := range 4 {
		id.Buffer[i] ^= byte(h.run >> (8 * i))
	}
	return id
}

// takeParts gives back the parts of a frame that are open.
func (q *queue) takeParts(h *head, chunk record.Chunk, at frameAt) {
	s := span{h.first, h.next()}
	q.open(s, func(m span) {
		part, err := chunk.Slice(int(m.from-s.from), int(m.to-s.from))
		if err != nil {
			q.settle(m, Shed, ReasonCorrupt)
			return
		}
		q.arena.ref(at.blk)
		q.returned.push(piece{num: m.from, chunk: part, blk: at.blk, id: q.idOf(h, m), size: h.size() * part.Events / chunk.Events})
	})
}

func (q *queue) tooOld(arrived time.Time) bool {
	return q.maxAge > 0 && time.Since(arrived) > q.maxAge
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
	if !l.orphan { // else its bytes went with its segment
		q.bytes -= int64(l.size * (events - back) / events)
	}
	q.arena.unref(l.blk)
	l.blk = nil
	if back > 0 {
		q.notify()
	}
	if back < events {
		q.wait.gaveUp = false
	}
	q.cleared()
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
	q.arena.ref(l.blk)
	first := l.num + uint64(from)
	q.returned.push(piece{num: first, chunk: part, blk: l.blk, id: ID{l.ID.Buffer, l.ID.First + uint64(from), part.Events},
		size: l.size * part.Events / l.Chunk.Events, attempts: l.Attempts + 1})
	return to - from
}
