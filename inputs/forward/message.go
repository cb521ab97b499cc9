package forward

import (
	"bytes"
	"fmt"

	"github.com/firebreak/firebreak/internal/mp"
)

// maxChunkID bounds the value of `chunk` in bytes; Fluentd's, Fluent Bit's and Docker's have less than 100.
const maxChunkID = 4 << 10

// maxElements of a message; there are 4, and a few more would be some later version's.
const maxElements = 16

// An option is what matters of a message's option map.
type option struct {
	chunk  []byte // the encoded value to echo; nil: no ack is asked for
	signal int64  // fluent_signal: 0 logs, others metrics, traces, …
}

// readOption reads the option that b starts with. Anything but a map counts as no option. Of duplicate keys the last
// one counts. `compressed` isn't read: the body itself says what it is, and clients set the key wrongly.
func readOption(b []byte) (o option, size int, err error) {
	if len(b) == 0 {
		return o, 0, mp.ErrShort
	}
	if b[0] == 0x80 || b[0] == 0xc0 { // Docker: an empty map, or nil in 18.x
		return o, 1, nil
	}
	size, err = mp.Skip(b)
	if err != nil || !mp.IsMap(b[0]) {
		return o, size, err
	}
	pairs, i, _ := mp.MapHeader(b)
	for range pairs {
		key, _, _ := mp.Bytes(b[i:])
		n, _ := mp.Skip(b[i:]) // can't fail: the whole map was skipped
		i += n
		n, _ = mp.Skip(b[i:])
		v := b[i : i+n]
		i += n
		switch string(key) {
		case "chunk":
			o.chunk = nil
			if v[0] != 0xc0 {
				o.chunk = v
			}
			if len(v) > maxChunkID {
				return o, 0, badf(errMessage, "option chunk has %d bytes, at most %d are allowed", len(v), maxChunkID)
			}
		case "fluent_signal":
			o.signal, _, _ = mp.Int(v)
		}
	}
	return o, size, nil
}

// next takes the message that b starts with into the batch and returns its size. When the message isn't complete, the
// error is mp.ErrShort and nothing has changed.
func (c *conn) next(b []byte) (int, error) {
	switch first := b[0]; {
	case first >= 0x90 && first < 0xa0 || first == 0xdc || first == 0xdd:
		c.json = false
		return c.message(b)
	case first == 0xc0: // keep-alive
		return 1, nil
	case isJSON(first):
		return c.jsonMessage(b)
	case c.json && (first == ' ' || first == '\n' || first == '\r' || first == '\t'):
		return 1, nil
	default:
		return 0, badStart(b)
	}
}

// A header is the part of a message before its events.
type header struct {
	elems int
	tag   string
	size  int // up to element 2
}

func (c *conn) header(b []byte) (h header, err error) {
	elems, i, err := mp.ArrayHeader(b)
	if err != nil {
		return h, err
	}
	if elems < 2 || elems > maxElements {
		return h, badf(errMessage, "message is an array of %d elements", elems)
	}
	if i >= len(b) {
		return h, mp.ErrShort
	}
	n, _, err := mp.BytesHeader(b[i:])
	switch {
	case err == mp.ErrInvalid:
		return h, badf(errMessage, "tag is not a string (type byte 0x%02x)", b[i])
	case err != nil:
		return h, err
	case n > maxTag:
		return h, badf(errMessage, "tag has %d bytes, at most %d are allowed", n, maxTag)
	}
	tag, n, err := mp.Bytes(b[i:])
	if err != nil {
		return h, err
	}
	i += n
	if i >= len(b) {
		return h, mp.ErrShort
	}
	if string(tag) != c.tag {
		c.tag = c.in.tags.get(tag)
	}
	return header{elems: elems, tag: c.tag, size: i}, nil
}

// message takes a message of any mode, whose type of element 2 tells the mode
// (Forward Protocol Specification v1, "Message Modes").
func (c *conn) message(b []byte) (int, error) {
	h, err := c.header(b)
	if err != nil {
		return 0, err
	}
	switch k := b[h.size]; {
	case isTime(k):
		return c.single(b, h)
	case mp.IsArray(k):
		return c.entries(b, h)
	case mp.IsStr(k) || mp.IsBin(k):
		return c.packed(b, h)
	default:
		return 0, badf(errMessage, "element 2 of the message is neither time nor events (type byte 0x%02x)", k)
	}
}

// isTime: an integer, a float, an extension or nil.
func isTime(c byte) bool {
	return c < 0x80 || c >= 0xe0 || c == 0xc0 || c >= 0xc7 && c <= 0xd8
}

// tail reads the option and whatever follows it, up to the end of a message of left more elements.
func tail(b []byte, left int) (o option, size int, err error) {
	if left <= 0 {
		return o, 0, nil
	}
	if o, size, err = readOption(b); err != nil {
		return o, 0, err
	}
	for left--; left > 0; left-- {
		n, err := mp.Skip(b[size:])
		if err != nil {
			return o, 0, err
		}
		size += n
	}
	return o, size, nil
}

// single takes a Message mode message: [tag, time, record, option?].
func (c *conn) single(b []byte, h header) (int, error) {
	i := h.size
	s, kind, n, err := readTime(b[i:])
	if err != nil {
		return 0, err
	}
	i += n
	if h.elems == 2 {
		c.batch().invalid[invalidEntry]++
		return i, nil
	}
	if i >= len(b) {
		return 0, mp.ErrShort
	}
	start, isMap, partial := i, mp.IsMap(b[i]), false
	if isMap {
		n, partial, err = readRecord(b[i:])
	} else {
		n, err = mp.Skip(b[i:])
	}
	if err != nil {
		return 0, err
	}
	i += n
	o, n, err := tail(b[i:], h.elems-3)
	if err != nil {
		return 0, err
	}
	rec := b[start:i]
	i += n
	out := c.batch()
	switch why := judge(kind, rec[0], o.signal); {
	case why != valid:
		out.invalid.count(why)
	case partial && c.piece(h.tag, c.at(s, kind), rec, o.chunk != nil):
	default:
		out.add(h.tag, c.at(s, kind), rec)
	}
	c.ack(o)
	return i, nil
}

// judge says what becomes of an event with a time of this kind and a record that starts with first.
func judge(kind timeKind, first byte, signal int64) verdict {
	switch {
	case signal != 0:
		return invalidSignal
	case kind == timeMarker || first == 0xc0:
		return ignored
	case kind == timeBad:
		return invalidTime
	case !mp.IsMap(first):
		return invalidRecord
	}
	return valid
}

// at returns the time of an event; one without gets the time of its arrival.
func (c *conn) at(s stamp, kind timeKind) stamp {
	if kind == timeNow {
		return stampOf(c.arrived)
	}
	return s
}

// entries takes a complete Forward mode message: [tag, [[time, record], …], option?].
func (c *conn) entries(b []byte, h header) (int, error) {
	count, n, err := mp.ArrayHeader(b[h.size:])
	if err != nil {
		return 0, err
	}
	i := h.size + n
	out := c.batch()
	m := out.mark()
	var odd invalids
	for range count {
		n, why, err := c.entry(h.tag, b[i:])
		if err != nil {
			out.rollback(m)
			return 0, err
		}
		odd.count(why)
		i += n
	}
	o, n, err := tail(b[i:], h.elems-2)
	if err != nil || o.signal != 0 {
		out.rollback(m)
	}
	if err != nil {
		return 0, err
	}
	c.settle(o, odd)
	return i + n, nil
}

// packed takes a complete PackedForward message, compressed or not: [tag, entries as one str or bin, option?].
func (c *conn) packed(b []byte, h header) (int, error) {
	body, n, err := mp.Bytes(b[h.size:])
	if err != nil {
		return 0, err
	}
	i := h.size + n
	o, n, err := tail(b[i:], h.elems-2)
	if err != nil {
		return 0, err
	}
	i += n
	out := c.batch()
	m, flushes := out.mark(), c.flushes
	var odd invalids
	switch {
	case o.signal != 0:
	case compressed(body) != plain:
		if odd, err = c.inflate(h.tag, memory{bytes.NewReader(body)}, compressed(body)); err != nil {
			if c.flushes == flushes { // else part of it has gone out; without an ack the client sends all of it again
				out.rollback(m)
			}
			return 0, err
		}
	default:
		for len(body) > 0 {
			n, why, err := c.entry(h.tag, body)
			if err != nil {
				out.rollback(m)
				return 0, badBody(err)
			}
			odd.count(why)
			body = body[n:]
		}
	}
	c.settle(o, odd)
	return i, nil
}

// settle ends a message of many events.
func (c *conn) settle(o option, odd invalids) {
	if o.signal != 0 {
		odd = invalids{invalidSignal: 1} // how many events it holds, only its own format says
	}
	c.batch().invalid.add(odd)
	c.ack(o)
}

// entry takes the entry that b starts with: [time, record] or [[time, metadata], record]. Metadata is left out.
func (c *conn) entry(tag string, b []byte) (int, verdict, error) {
	elems, i, err := mp.ArrayHeader(b)
	if err == nil && elems >= 2 {
		return c.entryOf(tag, b, elems, i)
	}
	if err != nil && err != mp.ErrInvalid {
		return 0, valid, err
	}
	n, err := mp.Skip(b)
	return n, invalidEntry, err
}

func (c *conn) entryOf(tag string, b []byte, elems, i int) (int, verdict, error) {
	if i >= len(b) {
		return 0, valid, mp.ErrShort
	}
	canonical := elems == 2 && b[0] == 0x92 && (b[1] == 0xd7 || b[1] == 0xce || b[1] == 0xd2)
	var s stamp
	var kind timeKind
	var n int
	var err error
	if mp.IsArray(b[i]) {
		if n, err = mp.Skip(b[i:]); err == nil {
			kind = timeBad
			if count, h, _ := mp.ArrayHeader(b[i:]); count > 0 {
				s, kind, _, err = readTime(b[i+h:])
			}
		}
	} else {
		s, kind, n, err = readTime(b[i:])
	}
	if err != nil {
		return 0, valid, err
	}
	i += n
	if i >= len(b) {
		return 0, valid, mp.ErrShort
	}
	n, err = mp.Skip(b[i:])
	if err != nil {
		return 0, valid, err
	}
	rec := b[i : i+n]
	i += n
	for range elems - 2 {
		if n, err = mp.Skip(b[i:]); err != nil {
			return 0, valid, err
		}
		i += n
	}
	why := judge(kind, rec[0], 0)
	switch {
	case why != valid:
	case canonical && kind == timeGiven:
		c.batch().addRaw(tag, s, b[:i])
	default:
		c.batch().add(tag, c.at(s, kind), rec)
	}
	return i, why, nil
}

func badBody(err error) error {
	if err == mp.ErrShort {
		err = fmt.Errorf("the last entry is cut short")
	}
	return badf(errMessage, "read packed entries: %v", err)
}

func badStart(b []byte) error {
	hint := ""
	switch {
	case b[0] == 0x16:
		hint = "; it looks like TLS: use a tls:// address"
	case len(b) >= 4 && (string(b[:4]) == "GET " || string(b[:4]) == "POST" || string(b[:4]) == "HEAD"):
		hint = "; it looks like HTTP"
	}
	return badf(errMessage, "not a forward message, first byte 0x%02x%s", b[0], hint)
}
