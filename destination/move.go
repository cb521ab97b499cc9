package destination

import (
	"context"
	"fmt"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/record"
)

const (
	// moveBytes is how much is moved at once, and moveShare which part of the buffer: no more leaves than has to.
	moveBytes = 1 << 20
	moveShare = 16
	// moveChunks bounds the parts of it: of a lease that was delivered in part there may be many.
	moveChunks = 4096
)

// A load is what a worker moves at once.
type load struct {
	chunks []record.Chunk
	pieces []piece // where they are from
}

// move hands the oldest events of the worker over to the fallback, and takes more leases for it. What fails stays.
func (w *worker) move(q cue) {
	size := int(q.room)
	if q.why == MovingBound {
		size = int(min(q.room, w.d.buf.Stats().MaxBytes/moveShare))
	}
	for w.bytes < size && len(w.held) < w.leases {
		l := w.src.TryNext()
		if l == nil {
			break
		}
		w.take(l)
	}
	if h, err := w.load.fill(w.held, size); err != nil {
		w.discard(h, err)
		w.finish()
		return
	}
	ctx, cancel := context.WithTimeout(w.c.ctx, moveTimeout)
	err := q.to.append(ctx, w.load.chunks)
	cancel()
	if err == nil {
		for _, pc := range w.load.pieces {
			pc.h.settle(pc.from, pc.to, buffer.Moved, q.to.Name)
		}
		w.suspect = suspicion{} // what was in front is gone
		w.finish()
	}
	w.load.release()
	if err == nil || w.c.ctx.Err() == nil {
		w.d.mover.moved(q.to, err)
	}
}

// fill takes what is still to do of leases, from the first on, about as many bytes. When the events of a lease can't be
// read, it returns that lease.
func (m *load) fill(list []*held, bytes int) (*held, error) {
	size := 0
	for _, h := range list {
		for _, s := range h.todo {
			part, err := h.slice(s.from, s.to)
			if err != nil {
				m.release()
				return h, fmt.Errorf("read lease %d: %w", h.lease.ID.First, err)
			}
			if n := len(m.chunks); n > 0 && size+len(part.Data) > bytes || n == moveChunks {
				return nil, nil
			}
			size += len(part.Data)
			m.chunks = append(m.chunks, part)
			m.pieces = append(m.pieces, piece{h, s.from, s.to})
		}
	}
	return nil, nil
}

func (m *load) release() {
	clear(m.chunks)
	clear(m.pieces)
	m.chunks, m.pieces = m.chunks[:0], m.pieces[:0]
}

// room returns how many bytes may move at once. What the fallback would have to discard is better kept, as long as no
// append waits.
func (f *Fallback) room(urgent bool) int64 {
	if f.Room == nil || urgent {
		return moveBytes
	}
	return min(moveBytes, f.Room())
}

// append calls the sink, whose panic is a failure of it.
func (f *Fallback) append(ctx context.Context, chunks []record.Chunk) (err error) {
	defer recovered(&err)
	return f.Sink.Append(ctx, chunks)
}
