package forward

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	baseWindow = 4 << 10   // every connection has it, outside the budget
	fullWindow = 256 << 10 // what a busy connection grows to, and what is read ahead of a message's options

	// budgetWait is how long a connection waits for room when an event doesn't fit into what it has. Who has much
	// already waits a third of that: when nothing moves, the large ones make room.
	budgetWait = 30 * time.Second
	// smallReads in a row, of less than an eighth of the buffer, make it shrink.
	smallReads = 64
)

var (
	errFull   = errors.New("value is larger than the window may be")
	errMemory = errors.New("no room in the memory budget")
)

// A window is bytes that have been read and not been used yet. It belongs to one goroutine.
type window struct {
	buf    []byte
	r, w   int
	frame  frame // of the value at r
	source func([]byte) (int, error)

	base    int  // size that is not charged
	who     any  // in the budget's books
	part    bool // who has another window
	budget  *budget
	ctx     context.Context // ends the waiting for the budget
	hungry  bool            // the last read filled all the space there was
	small   int             // reads in a row that filled little
	charged int64
}

func (w *window) bytes() []byte { return w.buf[w.r:w.w] }
func (w *window) len() int      { return w.w - w.r }

// skip drops n bytes at the front.
func (w *window) skip(n int) {
	w.r += n
	w.frame.reset()
}

// fill reads once, after making room. The value at the front may grow the window up to limit bytes: beyond that
// the error is errFull, and errMemory when the budget has no room (with wait: none for budgetWait).
func (w *window) fill(limit int, wait bool) error {
	switch {
	case w.r == w.w:
		w.r, w.w = 0, 0
		switch {
		case w.budget.scarce.Load():
			w.shrink()
		case len(w.buf) > fullWindow:
			w.resize(max(w.base, fullWindow))
		case w.small >= smallReads:
			w.resize(max(w.base, len(w.buf)/2))
			w.small = 0
		}
	case w.grown() && w.len() <= w.base/2 && w.budget.scarce.Load():
		w.shrink()
	case w.r > 0 && len(w.buf)-w.w < len(w.buf)/4:
		w.w = copy(w.buf, w.bytes())
		w.r = 0
	}
	switch {
	case w.w == len(w.buf):
		if len(w.buf) >= limit {
			return errFull
		}
		if !w.grow(min(2*len(w.buf), limit), wait) {
			return errMemory
		}
	case w.hungry && len(w.buf) < fullWindow && !w.budget.scarce.Load():
		w.grow(2*len(w.buf), false)
	}
	for range 100 {
		space := w.buf[w.w:]
		n, err := w.source(space)
		if n > 0 {
			w.w += n
			w.hungry = n == len(space)
			if n < len(w.buf)/8 {
				w.small++
			} else {
				w.small = 0
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (w *window) grow(size int, wait bool) bool {
	n := int64(size - len(w.buf))
	if !w.budget.try(n, int64(size)) {
		if !wait {
			return false
		}
		limit := budgetWait
		if size > smallBuffer {
			limit /= 3
		}
		ctx, cancel := context.WithTimeout(w.ctx, limit)
		defer cancel()
		if !w.budget.wait(ctx, w.who, n, int64(size)) {
			return false
		}
	}
	w.charged += n
	w.replace(size)
	return true
}

// resize makes the window smaller when what is in it fits.
func (w *window) resize(size int) {
	if size >= len(w.buf) || size < w.len() {
		return
	}
	n := int64(len(w.buf) - size)
	w.replace(size)
	w.charged -= n
	w.budget.put(w.who, n, w.charged == 0 && !w.part)
}

func (w *window) replace(size int) {
	buf := make([]byte, size)
	w.w = copy(buf, w.bytes())
	w.r, w.buf = 0, buf
}

// shrink gives back what is beyond the base.
func (w *window) shrink() { w.resize(w.base) }

func (w *window) grown() bool { return len(w.buf) > w.base }

// free gives everything back; the window must not be used any more.
func (w *window) free() {
	if w.charged > 0 {
		w.budget.put(w.who, w.charged, !w.part)
		w.charged = 0
	}
	w.buf, w.r, w.w = nil, 0, 0
}
