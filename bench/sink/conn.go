package sink

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

const (
	firstBuffer = 256 << 10
	maxMessage  = 64 << 20
)

// conn is one connection. Its fields belong to the goroutine of run, except raw.
type conn struct {
	sink *Sink
	raw  net.Conn
	rw   net.Conn // raw, or TLS around it
	done chan struct{}

	buf  []byte // buf[:have] is read and not decoded
	have int
	read int // bytes since the current ResetMidStream began
	mode *state
	eof  bool
	gaps bool // NeverAck threw something away

	unpack  unpacker
	out     []byte // acks to write
	delayed chan delayedAck
	broken  chan struct{} // closed when nobody takes from delayed any more
}

func (c *conn) run() {
	defer func() {
		if !c.eof {
			abort(c.raw)
		}
		_ = c.raw.Close()
	}()
	defer c.unpack.close()
	defer close(c.done)
	if c.sink.cfg.SharedKey != "" {
		if err := c.handshake(); err != nil {
			if errors.Is(err, errHandshake) {
				c.sink.invalid(err)
			}
			return
		}
	}
	first := c.sink.buffers.Get().(*[]byte)
	defer c.sink.buffers.Put(first)
	c.buf = *first
	for c.step() {
	}
}

// step reads once, as the mode says, and decodes what is complete. It returns false at the end of the connection.
func (c *conn) step() bool {
	st := c.sink.state.Load()
	if st != c.mode {
		c.mode, c.read = st, 0
	}
	if c.gaps && st.Mode != NeverAck {
		return false // what follows the gap must not arrive before what the peer will send again
	}
	if c.have == len(c.buf) {
		if len(c.buf) >= maxMessage {
			c.sink.invalid(errors.New("read message: larger than 64 MiB"))
			return false
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	room := c.buf[c.have:]
	switch st.Mode {
	case closed, Refuse:
		return false
	case BlackHole, AcceptNotRead:
		<-st.changed
		return true
	case ReadSlow:
		room = room[:min(len(room), st.Bytes)]
	case ResetMidStream:
		left := st.Bytes - c.read
		if left <= 0 {
			return false // aborts
		}
		room = room[:min(len(room), left)]
	}
	n, err := c.rw.Read(room)
	c.have += n
	c.read += n
	// The mode may have changed while Read waited; then data wins over the deadline that interrupts it.
	if now := c.sink.state.Load(); n > 0 && (c.gaps && now.Mode != NeverAck || !c.decode(now)) {
		return false
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = c.raw.SetReadDeadline(time.Time{}) // before the state is loaded: a later change interrupts again
		return true
	case err != nil:
		c.eof = errors.Is(err, io.EOF)
		return false
	}
	if st.Mode == ReadSlow {
		select {
		case <-st.changed:
		case <-time.After(time.Second):
		}
	}
	return true
}

// decode counts the complete messages in the buffer and acks them.
func (c *conn) decode(st *state) bool {
	s := c.sink
	at, ok := 0, true
	s.mu.Lock()
	now := time.Now().UnixMicro()
	before := s.counts.Acks
	for at < c.have {
		m, n, err := parse(c.buf[at:c.have])
		if errors.Is(err, mp.ErrShort) {
			break
		}
		if err == nil {
			at += n
			err = s.count(c, &m, st.Mode == NeverAck, now)
		}
		if err != nil {
			s.invalidLocked(err)
			ok = false
			break
		}
		if m.chunk != nil && st.Mode != NeverAck {
			s.counts.Acks++
			c.out = append(c.out, 0x81, 0xa3, 'a', 'c', 'k')
			c.out = append(c.out, m.chunk...)
		}
	}
	s.counts.Bytes += uint64(at)
	acks := s.counts.Acks - before
	s.changed()
	s.mu.Unlock()
	c.have = copy(c.buf, c.buf[at:c.have])
	if acks > 0 && !c.sendAcks() {
		return false
	}
	return ok
}

func (s *Sink) invalid(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidLocked(err)
	s.changed()
}

func (s *Sink) invalidLocked(err error) {
	s.counts.Invalid++
	if s.counts.FirstInvalid == "" {
		s.counts.FirstInvalid = err.Error()
	}
}
