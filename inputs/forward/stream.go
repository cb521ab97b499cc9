package forward

import (
	"io"

	"github.com/firebreak/firebreak/internal/mp"
)

// large takes a message that doesn't fit into the window: a single event is waited for, many are stored as they
// arrive. The window starts with the message and holds at least its header.
//
// The option comes after the events. Its chunk id is needed after them anyway, and what compresses them shows in
// their first bytes. But that a message holds metrics or traces (fluent_signal) shows only when they have been read:
// those are maps in formats of their own, not [time, record] entries, so none of them passes for an event; they are
// counted as such instead of as invalid entries.
func (c *conn) large() error {
	b := c.win.bytes()
	if isJSON(b[0]) {
		return c.whole(&c.win, min(c.set.eventMax, jsonMax))
	}
	h, err := c.header(b)
	if err != nil {
		return c.bad(err)
	}
	switch k := b[h.size]; {
	case mp.IsArray(k):
		err = c.streamEntries(b, h)
	case mp.IsStr(k) || mp.IsBin(k):
		err = c.streamPacked(b, h)
	case isTime(k):
		return c.whole(&c.win, c.set.eventMax)
	default:
		_, err = c.message(b)
	}
	if err != nil {
		return c.bad(err)
	}
	return c.flush()
}

// bad makes a plain error of the codec one that ends the connection.
func (c *conn) bad(err error) error {
	switch err {
	case mp.ErrShort, mp.ErrInvalid, mp.ErrDepth:
		return &badError{errMessage, err}
	}
	return err
}

// streamEntries takes a large Forward mode message.
func (c *conn) streamEntries(b []byte, h header) error {
	count, n, err := mp.ArrayHeader(b[h.size:])
	if err != nil {
		return err
	}
	c.stream = true
	c.win.skip(h.size + n)
	var odd invalids
	left := int64(c.set.opts.MaxMessage)
	for range count {
		n, err := c.streamEntry(&c.win, h.tag, int64(c.set.eventMax), &odd)
		if err != nil {
			return err
		}
		if left -= int64(n); left < 0 {
			return badf(errTooLarge, "message of more than %d bytes", c.set.opts.MaxMessage)
		}
	}
	return c.streamTail(h, odd)
}

// streamPacked takes a large PackedForward message, compressed or not.
func (c *conn) streamPacked(b []byte, h header) error {
	size, n, err := mp.BytesHeader(b[h.size:])
	if err != nil {
		return err
	}
	if int64(size) > int64(c.set.opts.MaxMessage) {
		return badf(errTooLarge, "message of %d bytes, at most %d are allowed", size, c.set.opts.MaxMessage)
	}
	c.stream = true
	c.win.skip(h.size + n)
	for c.win.len() < min(size, magicSize) {
		if err := c.win.fill(fullWindow, true); err != nil {
			return err
		}
	}
	body := &section{win: &c.win, left: int64(size)}
	var odd invalids
	if kind := compressed(c.win.bytes()[:min(size, magicSize)]); kind != plain {
		odd, err = c.inflate(h.tag, body, kind)
		if err == nil {
			_, err = io.Copy(io.Discard, body) // padding after the last member
		}
	} else {
		odd, err = c.streamPlain(h.tag, body)
	}
	if err != nil {
		return err
	}
	return c.streamTail(h, odd)
}

func (c *conn) streamPlain(tag string, body *section) (odd invalids, err error) {
	for body.left > 0 {
		n, err := c.streamEntry(&c.win, tag, min(body.left, int64(c.set.eventMax)), &odd)
		if err != nil {
			return odd, err
		}
		body.left -= int64(n)
	}
	return odd, nil
}

// streamEntry takes the next entry, of at most limit bytes.
func (c *conn) streamEntry(w *window, tag string, limit int64, odd *invalids) (int, error) {
	for first := true; ; first = false {
		b := w.bytes()
		if int64(len(b)) > limit {
			b = b[:limit]
		}
		n, why, err := c.entry(tag, b)
		if err == nil {
			odd.count(why)
			w.skip(n)
			if c.out != nil && c.out.full(c.scarce()) {
				err = c.flush()
			}
			return n, err
		}
		if err != mp.ErrShort || !first {
			return 0, badBody(err)
		}
		if int64(len(b)) == limit {
			return 0, badf(errTooLarge, "entry goes beyond %d bytes, its own bound or the end of the message", limit)
		}
		if err := c.whole(w, int(limit)); err != nil {
			return 0, err
		}
	}
}

// streamTail takes what follows the events of a message that was stored as it arrived.
func (c *conn) streamTail(h header, odd invalids) error {
	var o option
	for left := h.elems - 2; left > 0; left-- {
		if err := c.whole(&c.win, fullWindow); err != nil {
			return err
		}
		n := c.win.frame.pos
		if left == h.elems-2 {
			var err error
			if o, _, err = readOption(c.win.bytes()[:n]); err != nil {
				return err
			}
		}
		c.win.skip(n)
	}
	c.stream = false
	c.settle(o, odd)
	return nil
}

// A section is the body of a message that is still arriving.
type section struct {
	win  *window
	left int64
	err  error // what ended the reading, if not the end of the body
}

func (s *section) failed() error { return s.err }

// Read reads what has arrived of the body, or waits for more.
func (s *section) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.win.len() == 0 {
		if err := s.win.fill(fullWindow, false); err != nil {
			s.err = err
			return 0, io.ErrUnexpectedEOF // an io.EOF of the connection is not the body's end
		}
	}
	b := s.win.bytes()
	if int64(len(b)) > s.left {
		b = b[:s.left]
	}
	n := copy(p, b)
	s.win.skip(n)
	s.left -= int64(n)
	return n, nil
}
