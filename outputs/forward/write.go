package forward

import (
	"bytes"
	"net"
	"time"

	"github.com/firebreak/firebreak/record"
)

const (
	// pieceSize is how much is given to the kernel at once, under one deadline: what must move within write_timeout.
	pieceSize = 128 << 10
	// copyBelow is the size below which copying into the scratch is cheaper than an I/O vector or a TLS record.
	copyBelow = 4 << 10
)

// A writer gathers messages and writes them in pieces. Data of copyBelow and more is not copied.
type writer struct {
	conn    net.Conn
	timeout time.Duration
	limit   time.Time // no deadline goes beyond; zero: none

	scratch []byte // heads, tails and small data
	cut     int    // where the part of scratch starts that is not in parts yet
	parts   net.Buffers
	out     net.Buffers // parts, while they are written
	queued  int
	written int64

	packed bytes.Buffer // compressed data of one message
}

func (w *writer) reset(c net.Conn, timeout time.Duration, limit time.Time) {
	w.conn, w.timeout, w.limit = c, timeout, limit
	w.scratch, w.cut, w.queued, w.written = w.scratch[:0], 0, 0, 0
	clear(w.parts[:cap(w.parts)]) // borrowed data
	w.parts = w.parts[:0]
	w.out = nil
}

// message queues m, whose data is packed when compressed isn't "", and writes every full piece.
func (w *writer) message(m *message, chunks []record.Chunk, ack bool, compressed string) error {
	size := m.bytes
	if compressed != "" {
		size = w.packed.Len()
	}
	w.queued -= len(w.scratch)
	w.scratch = m.appendHead(w.scratch, size)
	w.queued += len(w.scratch)
	if compressed != "" {
		if err := w.data(w.packed.Bytes()); err != nil {
			return err
		}
	} else {
		for _, i := range m.chunks {
			if err := w.data(chunks[i].Data); err != nil {
				return err
			}
		}
	}
	w.queued -= len(w.scratch)
	w.scratch = m.appendTail(w.scratch, ack, compressed)
	w.queued += len(w.scratch)
	if compressed != "" || w.queued >= pieceSize { // packed is used again for the next message
		return w.flush()
	}
	return nil
}

func (w *writer) data(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), pieceSize)
		if n < copyBelow {
			w.scratch = append(w.scratch, b[:n]...)
		} else {
			w.split()
			w.parts = append(w.parts, b[:n])
		}
		w.queued += n
		b = b[n:]
		if w.queued >= pieceSize {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// split ends the current part of the scratch.
func (w *writer) split() {
	if len(w.scratch) > w.cut {
		w.parts = append(w.parts, w.scratch[w.cut:len(w.scratch):len(w.scratch)])
		w.cut = len(w.scratch)
	}
}

// flush writes what is queued.
func (w *writer) flush() error {
	w.split()
	if len(w.parts) == 0 {
		return nil
	}
	deadline := time.Now().Add(w.timeout)
	if !w.limit.IsZero() && w.limit.Before(deadline) {
		deadline = w.limit
	}
	if err := w.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	w.out = w.parts
	n, err := w.out.WriteTo(w.conn)
	w.written += n
	w.parts, w.scratch, w.cut, w.queued = w.parts[:0], w.scratch[:0], 0, 0
	return err
}
