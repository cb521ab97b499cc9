package buffer

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/firebreak/firebreak/record"
)

func newID() (id [8]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// A call is what one Append needs, reused.
type call struct {
	drafts  []draft
	scratch []byte
	done    chan error
	until   time.Time // it waits for somebody to make room until then; zero: it hasn't
}

func (q *queue) newCall() *call {
	if c, ok := q.calls.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan error, 1)}
}

func (q *queue) free(c *call) {
	clear(c.drafts)
	c.drafts = c.drafts[:0]
	if cap(c.scratch) > 64<<10 {
		c.scratch = nil
	}
	q.calls.Put(c)
}

// Append implements [Buffer].
func (q *queue) Append(ctx context.Context, chunks []record.Chunk) error {
	c := q.newCall()
	defer q.free(c)
	c.scratch, c.until = c.scratch[:0], time.Time{}
	for i := range chunks {
		if chunks[i].Events <= 0 {
			continue
		}
		var d draft
		d, c.scratch = newDraft(&chunks[i], "", c.scratch)
		c.drafts = append(c.drafts, d)
	}
	if len(c.drafts) == 0 {
		return nil
	}
	q.mu.Lock()
	if err := q.awaitOpen(ctx); err != nil {
		q.mu.Unlock()
		return err
	}
	stored := false
	for i := range c.drafts {
		d := &c.drafts[i]
		ok, reason, err := q.admit(ctx, c, int64(d.size()))
		if err != nil {
			q.mu.Unlock()
			return err
		}
		if !ok {
			n := uint64(d.chunk.Events)
			q.pos.ledger.refused += n
			q.pos.ledger.count(Shed, reason, n)
			q.changed()
			continue
		}
		q.put(d)
		stored = true
	}
	if !stored {
		q.mu.Unlock()
		return nil
	}
	if q.volatile() {
		q.mu.Unlock()
		q.notify()
		if q.disk != nil {
			q.disk.poke()
		}
		return nil
	}
	if q.kept >= q.next {
		q.mu.Unlock()
		return nil
	}
	q.waiting = append(q.waiting, waiter{q.next, c.done})
	q.mu.Unlock()
	q.disk.poke()
	return <-c.done
}

// put stores a frame in memory. The caller holds mu.
func (q *queue) put(d *draft) {
	size := d.size()
	var b *block
	if n := len(q.blocks); n > 0 {
		if b = q.blocks[n-1]; cap(b.buf)-len(b.buf) < size {
			b = nil
		}
	}
	if b == nil {
		b = q.arena.get(size, len(q.blocks) > 0)
		b.first, b.next, b.listed = q.next, q.next, true
		q.blocks = append(q.blocks, b)
	}
	b.buf = d.appendTo(b.buf, q.next, q.seed, q.run)
	n := uint64(d.chunk.Events)
	q.next += n
	b.next = q.next
	q.outstanding += n
	q.bytes += int64(size)
	q.unwritten += int64(size)
	q.gauge()
}

// awaitOpen waits until the disk is open or in trouble. The caller holds mu.
func (q *queue) awaitOpen(ctx context.Context) error {
	for {
		if q.closed {
			return ErrClosed
		}
		if q.disk == nil || q.disk.opened || q.disk.down() {
			return nil
		}
		if err := q.awaitRoom(ctx, nil); err != nil {
			return err
		}
	}
}

// awaitRoom waits for the next change, or for the timeout. The caller holds mu, and again afterwards.
func (q *queue) awaitRoom(ctx context.Context, timeout <-chan time.Time) error {
	room := q.room
	q.queued++
	if q.disk != nil {
		q.disk.poke() // room comes of what this very call has put already
	}
	q.mu.Unlock()
	q.notify()
	defer func() {
		q.mu.Lock()
		q.queued--
	}()
	select {
	case <-room:
		return nil
	case <-timeout:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closing:
		return ErrClosed
	}
}

// admit makes room for a frame of the given size by the policy. ok false: the frame is refused, for the reason. The
// caller holds mu, which is released while it waits.
func (q *queue) admit(ctx context.Context, c *call, size int64) (ok bool, reason string, err error) {
	for {
		if q.closed {
			return false, "", ErrClosed
		}
		reason, over, wait := q.over(size)
		if !over && !wait {
			q.admitted(c)
			return true, "", nil
		}
		if over && reason != ReasonTooLarge && q.disk != nil {
			if q.disk.thin() {
				continue
			}
			if wait = !q.volatile() && q.disk.spent(); wait {
				q.disk.renewing = true
			}
		}
		if wait { // for the disk goroutine to write what is in memory, or to end a segment
			if err := q.awaitRoom(ctx, nil); err != nil {
				return false, "", err
			}
			continue
		}
		q.full = true
		switch {
		case reason == ReasonTooLarge:
			return false, reason, nil
		case q.onFull == Block:
			if err := q.awaitBound(ctx, nil); err != nil {
				return false, "", err
			}
		case q.patient():
			if err := q.awaitSpill(ctx, c); err != nil {
				return false, "", err
			}
		case q.onFull == ShedNewest:
			return false, reason, nil
		case !q.shedOldest(reason):
			if q.disk != nil && !q.volatile() && (q.unwritten > 0 || len(q.disk.segs) > 0 && q.disk.segs[0].size > segHeadSize) {
				// Only the disk goroutine may end the segment that it writes.
				q.disk.shedOnly = true
				q.disk.poke()
				if err := q.awaitRoom(ctx, nil); err != nil {
					return false, "", err
				}
				continue
			}
			return false, reason, nil
		}
	}
}

// over reports whether a frame would exceed a bound; wait says that the disk goroutine only has to catch up. The
// caller holds mu.
func (q *queue) over(size int64) (reason string, over, wait bool) {
	if size > q.maxBytes || size > maxFrame {
		return ReasonTooLarge, true, false
	}
	grows := int64(0) // what the memory grows by
	if n := len(q.blocks); n == 0 || cap(q.blocks[n-1].buf)-len(q.blocks[n-1].buf) < int(size) {
		n, _ := q.arena.sizeFor(int(size), n > 0)
		grows = int64(n)
	}
	tight := grows > 0 && q.arena.used+grows > q.memory
	if q.volatile() {
		if size > q.memory {
			return ReasonTooLarge, true, false
		}
		reason = ReasonFull
		if q.disk != nil && q.disk.noSpace {
			reason = ReasonNoSpace
		}
		more := q.disk != nil && q.disk.opened && q.onFull != ShedOldest && q.disk.held()+q.unwritten+size > q.maxBytes-q.disk.segMax
		return reason, tight || more, false
	}
	if q.disk.tight && len(q.disk.segs) > 1 {
		return ReasonNoSpace, true, false
	}
	// One segment's worth is left free for files that are given up but not deleted yet.
	if used := q.disk.held() + q.unwritten; used > segHeadSize && used+size > q.maxBytes-q.disk.segMax {
		return ReasonFull, true, false
	}
	return "", false, q.unwritten > 0 && (tight || q.unwritten+size > q.memory)
}

// shedOldest gives up the oldest segment, or the oldest block when only memory is left. The caller holds mu.
func (q *queue) shedOldest(reason string) bool {
	if !q.volatile() {
		return q.disk.shedSegment(reason, false)
	}
	used := q.arena.used
	for q.arena.used >= used {
		var b *block
		var s span
		switch {
		case len(q.returned) > 0 && (len(q.blocks) == 0 || q.returned[0].num < q.blocks[0].first):
			b = q.returned[0].blk
		case len(q.blocks) > 0:
			b = q.blocks[0]
			s = span{b.first, b.next}
		default:
			return false
		}
		q.arena.ref(b) // for as long as we look at it
		q.returned.remove(func(p *piece) bool { return p.blk == b }, func(p *piece) { q.dropPiece(p, reason) })
		if b.listed {
			q.bytes = max(0, q.bytes-int64(len(b.buf)))
			q.unlist(1)
			q.lose(s, reason)
			if q.cur >= s.from && q.cur < s.to {
				q.cur = s.to
			}
		}
		q.arena.unref(b)
		q.changed()
	}
	return true
}

// dropPiece sheds a returned piece that was taken from its heap. The caller holds mu.
func (q *queue) dropPiece(p *piece, reason string) {
	q.settle(p.span(), Shed, reason)
	q.bytes -= int64(p.size)
	q.arena.unref(p.blk)
}

// unlist takes the first n blocks off the list. The caller holds mu.
func (q *queue) unlist(n int) {
	for _, b := range q.blocks[:n] {
		b.listed = false
		q.unwritten -= int64(len(b.buf) - b.written)
		b.written = len(b.buf)
		if q.curBlk == b {
			q.curBlk = nil
		}
		q.arena.free(b)
	}
	m := copy(q.blocks, q.blocks[n:])
	clear(q.blocks[m:])
	q.blocks = q.blocks[:m]
}

// trim drops blocks that nobody needs: those that the reader has passed, and, once written, those that a reader who
// lags behind will read from disk. The caller holds mu.
func (q *queue) trim() {
	n, keep := 0, int64(0)
	for _, b := range q.blocks {
		keep += int64(len(b.buf))
	}
	onDisk := q.disk != nil && !q.volatile()
	for _, b := range q.blocks {
		passed := q.cur >= b.next && (b.written == len(b.buf) || q.disk == nil || q.disk.down() && b.refs == 0 && !b.writing)
		spare := onDisk && b.written == len(b.buf) && (q.cur < q.blocks[0].first || keep > min(tailBytes, q.memory/4))
		if !passed && !spare {
			break
		}
		keep -= int64(len(b.buf))
		n++
	}
	if n > 0 {
		q.unlist(n)
	}
}
