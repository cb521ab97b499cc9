package forward

import (
	"encoding/binary"
	"errors"

	"github.com/firebreak/firebreak/internal/mp"
)

// maxFrameDepth is how deep a whole message may nest: a record inside an entry, inside the entries, inside the message.
const maxFrameDepth = mp.MaxDepth + 3

// A frame finds the end of a value whose bytes are still arriving. It goes on where it stopped, so that a message that
// comes byte by byte costs no more than one that comes at once. The zero frame is at the start of a value.
type frame struct {
	pos     int // how much of the value is behind us; may be more than has arrived
	started bool
	whole   bool // the last scan found the end

	depth int                   // open arrays and maps
	left  [maxFrameDepth]uint64 // values still to come, per open one

	inString, escaped bool // of a JSON text
}

func (f *frame) reset() {
	f.pos, f.started, f.whole, f.depth, f.inString, f.escaped = 0, false, false, 0, false, false
}

// scan looks on at b, which starts at the value and has at least the bytes of the last call. It reports whether the
// value is complete; its size is then f.pos.
func (f *frame) scan(b []byte) (bool, error) {
	var err error
	if len(b) > 0 && isJSON(b[0]) {
		f.whole, err = f.scanJSON(b)
	} else {
		f.whole, err = f.scanBinary(b)
	}
	return f.whole, err
}

func (f *frame) scanBinary(b []byte) (bool, error) {
	for {
		for f.depth > 0 && f.left[f.depth-1] == 0 {
			f.depth--
		}
		if f.started && f.depth == 0 {
			return f.pos <= len(b), nil
		}
		if f.pos >= len(b) {
			return false, nil
		}
		size, children, err := element(b[f.pos:])
		if errors.Is(err, mp.ErrShort) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		f.started = true
		f.pos += size
		if f.depth > 0 {
			f.left[f.depth-1]--
		}
		if children > 0 {
			if f.depth == maxFrameDepth {
				return false, mp.ErrDepth
			}
			f.left[f.depth] = children
			f.depth++
		}
	}
}

// scanJSON finds the bracket that closes the first one. Whether what is between is JSON, others decide.
func (f *frame) scanJSON(b []byte) (bool, error) {
	if f.started && f.depth == 0 {
		return true, nil
	}
	f.started = true
	for ; f.pos < len(b); f.pos++ {
		c := b[f.pos]
		switch {
		case f.escaped:
			f.escaped = false
		case f.inString:
			f.escaped = c == '\\'
			f.inString = c != '"'
		case c == '"':
			f.inString = true
		case c == '[' || c == '{':
			if f.depth == maxFrameDepth {
				return false, mp.ErrDepth
			}
			f.depth++
		case c == ']' || c == '}':
			if f.depth--; f.depth == 0 {
				f.pos++
				return true, nil
			}
		}
	}
	return false, nil
}

func isJSON(c byte) bool { return c == '[' || c == '{' }

// element returns the size of the value that b starts with, without the values inside it, and how many those are.
// Its payload may be missing, so size may be larger than b.
func element(b []byte) (size int, children uint64, err error) {
	c := b[0]
	switch {
	case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
		return 1, 0, nil
	case mp.IsMap(c):
		n, h, err := mp.MapHeader(b)
		return h, 2 * uint64(n), err
	case mp.IsArray(c):
		n, h, err := mp.ArrayHeader(b)
		return h, uint64(n), err
	case mp.IsStr(c) || mp.IsBin(c):
		n, h, err := mp.BytesHeader(b)
		return h + n, 0, err
	case c >= 0xd4 && c <= 0xd8: // fixext
		return 2 + 1<<(c-0xd4), 0, nil
	}
	switch c {
	case 0xcc, 0xd0:
		return 2, 0, nil
	case 0xcd, 0xd1:
		return 3, 0, nil
	case 0xca, 0xce, 0xd2:
		return 5, 0, nil
	case 0xcb, 0xcf, 0xd3:
		return 9, 0, nil
	case 0xc7, 0xc8, 0xc9: // ext
		h := 1 << (c - 0xc7)
		if len(b) < 1+h {
			return 0, 0, mp.ErrShort
		}
		var n [4]byte
		copy(n[4-h:], b[1:1+h])
		return 2 + h + int(binary.BigEndian.Uint32(n[:])), 0, nil
	}
	return 0, 0, mp.ErrInvalid
}
