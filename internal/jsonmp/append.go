package jsonmp

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"github.com/firebreak/firebreak/internal/mp"
)

// ErrInvalid says that a text is not JSON, or nests deeper than [MaxDepth].
var ErrInvalid = errors.New("text is not JSON or nests too deeply")

// Append appends the msgpack form of a JSON text: one value, with nothing but space around it.
//
// Integers that a uint64 or int64 holds become integers, all other numbers a float64 (so an integer beyond them loses
// digits); a number beyond a float64 becomes a str with its digits. Strings become str, byte for byte where there is
// no escape. Duplicate keys are kept: readers count the last one. After an error nothing is appended.
//
// The msgpack form is at most 2.5 times as long as the text, and 2 bytes.
func Append(dst, text []byte) ([]byte, error) {
	out, i := appendValue(dst, text, skipSpace(text, 0), MaxDepth)
	if i < 0 || skipSpace(text, i) != len(text) {
		return dst, ErrInvalid
	}
	return out, nil
}

// IsObject reports whether a text can only be an object, if it is JSON at all.
func IsObject(text []byte) bool {
	i := skipSpace(text, 0)
	return i < len(text) && text[i] == '{'
}

// appendValue appends the value at i and returns the position behind it, or bad.
func appendValue(dst, b []byte, i, depth int) ([]byte, int) {
	if i >= len(b) {
		return dst, bad
	}
	switch b[i] {
	case '"':
		return appendString(dst, b, i)
	case '{', '[':
		if depth == 0 {
			return dst, bad
		}
		return appendContainer(dst, b, i, depth-1)
	case 't':
		return mp.AppendBool(dst, true), skipWord(b, i, "true")
	case 'f':
		return mp.AppendBool(dst, false), skipWord(b, i, "false")
	case 'n':
		return mp.AppendNil(dst), skipWord(b, i, "null")
	}
	end, integer := skipNumber(b, i)
	if end < 0 {
		return dst, bad
	}
	return appendNumber(dst, b[i:end], integer), end
}

func appendContainer(dst, b []byte, i, depth int) ([]byte, int) {
	object := b[i] == '{'
	closing := b[i] + 2
	head := len(dst)
	dst = append(dst, 0) // for the header, in most cases
	count := 0
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == closing {
		return closeContainer(dst, head, count, object), i + 1
	}
	for {
		if object {
			if i >= len(b) || b[i] != '"' {
				return dst, bad
			}
			if dst, i = appendString(dst, b, i); i < 0 {
				return dst, bad
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return dst, bad
			}
			i = skipSpace(b, i+1)
		}
		if dst, i = appendValue(dst, b, i, depth); i < 0 {
			return dst, bad
		}
		count++
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return dst, bad
		case b[i] == closing:
			return closeContainer(dst, head, count, object), i + 1
		case b[i] != ',':
			return dst, bad
		}
		i = skipSpace(b, i+1)
	}
}

// closeContainer writes the header at head, and makes room for it if one byte doesn't do.
func closeContainer(dst []byte, head, count int, object bool) []byte {
	var buf [5]byte
	var h []byte
	if object {
		h = mp.AppendMap(buf[:0], count)
	} else {
		h = mp.AppendArray(buf[:0], count)
	}
	dst[head] = h[0]
	return slices.Insert(dst, head+1, h[1:]...)
}

func appendString(dst, b []byte, i int) ([]byte, int) {
	end := skipString(b, i)
	if end < 0 {
		return dst, bad
	}
	text, escaped := Inner(b[i:end])
	if !escaped {
		return mp.AppendStr(dst, text), end
	}
	head := len(dst)
	dst, ok := AppendText(append(dst, 0), text)
	if !ok {
		return dst, bad
	}
	// The length is known only now: write the header, and make room for it if one byte doesn't do.
	var h [5]byte
	n := len(dst) - head - 1
	size := 1
	switch {
	case n < 32:
		h[0] = 0xa0 | byte(n)
	case n <= math.MaxUint8:
		h[0], h[1], size = 0xd9, byte(n), 2
	case n <= math.MaxUint16:
		h[0], size = 0xda, 3
		binary.BigEndian.PutUint16(h[1:], uint16(n))
	default:
		h[0], size = 0xdb, 5
		binary.BigEndian.PutUint32(h[1:], uint32(n))
	}
	dst[head] = h[0]
	return slices.Insert(dst, head+1, h[1:size]...), end
}

func appendNumber(dst, text []byte, integer bool) []byte {
	s := unsafe.String(unsafe.SliceData(text), len(text)) // text is never empty, and not kept
	if integer && len(text) <= len("-9223372036854775808") {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			return mp.AppendInt(dst, v)
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			return binary.BigEndian.AppendUint64(append(dst, 0xcf), v)
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return mp.AppendStr(dst, text)
	}
	return mp.AppendFloat(dst, v)
}
