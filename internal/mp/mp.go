// Package mp reads and writes msgpack at the level of bytes: it finds where a value ends without decoding it.
//
// Every reader takes a slice that starts at a value and returns how many bytes the value (or header) takes.
// A slice that ends too early gives [ErrShort], so that a stream parser can wait for more; bytes that no
// continuation can make valid give [ErrInvalid] or [ErrDepth]. Nothing here allocates, and nothing trusts a
// length: a forged array32 header costs nothing until its elements arrive.
//
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md
package mp

import (
	"encoding/binary"
	"errors"
	"math"
)

// MaxDepth is the deepest nesting of arrays and maps that [Skip] follows.
const MaxDepth = 64

var (
	// ErrShort says that the slice ends inside the value.
	ErrShort = errors.New("msgpack value is cut short")
	// ErrInvalid says that the byte 0xc1 stands where a value starts, or a value of another type than asked for.
	ErrInvalid = errors.New("msgpack value has an unexpected type")
	// ErrDepth says that arrays and maps nest deeper than MaxDepth.
	ErrDepth = errors.New("msgpack value nests too deeply")
)

// ArrayHeader returns the number of elements of the array that b starts with and the size of its header.
func ArrayHeader(b []byte) (elems, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrShort
	}
	switch c := b[0]; {
	case c >= 0x90 && c < 0xa0:
		return int(c & 0x0f), 1, nil
	case c == 0xdc:
		if len(b) < 3 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint16(b[1:])), 3, nil
	case c == 0xdd:
		if len(b) < 5 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint32(b[1:])), 5, nil
	}
	return 0, 0, ErrInvalid
}

// MapHeader returns the number of key-value pairs of the map that b starts with and the size of its header.
func MapHeader(b []byte) (pairs, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrShort
	}
	switch c := b[0]; {
	case c >= 0x80 && c < 0x90:
		return int(c & 0x0f), 1, nil
	case c == 0xde:
		if len(b) < 3 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint16(b[1:])), 3, nil
	case c == 0xdf:
		if len(b) < 5 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint32(b[1:])), 5, nil
	}
	return 0, 0, ErrInvalid
}

// BytesHeader returns the length of the str or bin that b starts with and the size of its header.
// The payload itself may still be missing.
func BytesHeader(b []byte) (length, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrShort
	}
	switch c := b[0]; {
	case c >= 0xa0 && c < 0xc0:
		return int(c & 0x1f), 1, nil
	case c == 0xd9 || c == 0xc4:
		if len(b) < 2 {
			return 0, 0, ErrShort
		}
		return int(b[1]), 2, nil
	case c == 0xda || c == 0xc5:
		if len(b) < 3 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint16(b[1:])), 3, nil
	case c == 0xdb || c == 0xc6:
		if len(b) < 5 {
			return 0, 0, ErrShort
		}
		return int(binary.BigEndian.Uint32(b[1:])), 5, nil
	}
	return 0, 0, ErrInvalid
}

// Bytes returns the payload of the str or bin that b starts with, as a part of b, and the size of the whole value.
func Bytes(b []byte) (v []byte, size int, err error) {
	n, h, err := BytesHeader(b)
	if err != nil {
		return nil, 0, err
	}
	if len(b)-h < n {
		return nil, 0, ErrShort
	}
	return b[h : h+n], h + n, nil
}

// IsStr reports whether c starts a str; IsBin whether it starts a bin.
func IsStr(c byte) bool { return c >= 0xa0 && c < 0xc0 || c >= 0xd9 && c <= 0xdb }

// IsBin reports whether c starts a bin.
func IsBin(c byte) bool { return c >= 0xc4 && c <= 0xc6 }

// IsMap reports whether c starts a map.
func IsMap(c byte) bool { return c >= 0x80 && c < 0x90 || c == 0xde || c == 0xdf }

// IsArray reports whether c starts an array.
func IsArray(c byte) bool { return c >= 0x90 && c < 0xa0 || c == 0xdc || c == 0xdd }

// Int returns the integer that b starts with, of any family, and its size.
// A uint64 above the largest int64 gives ErrInvalid.
func Int(b []byte) (v int64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrShort
	}
	c := b[0]
	switch {
	case c < 0x80:
		return int64(c), 1, nil
	case c >= 0xe0:
		return int64(int8(c)), 1, nil
	}
	need := 0
	switch c {
	case 0xcc, 0xd0:
		need = 2
	case 0xcd, 0xd1:
		need = 3
	case 0xce, 0xd2:
		need = 5
	case 0xcf, 0xd3:
		need = 9
	default:
		return 0, 0, ErrInvalid
	}
	if len(b) < need {
		return 0, 0, ErrShort
	}
	switch c {
	case 0xcc:
		v = int64(b[1])
	case 0xd0:
		v = int64(int8(b[1]))
	case 0xcd:
		v = int64(binary.BigEndian.Uint16(b[1:]))
	case 0xd1:
		v = int64(int16(binary.BigEndian.Uint16(b[1:])))
	case 0xce:
		v = int64(binary.BigEndian.Uint32(b[1:]))
	case 0xd2:
		v = int64(int32(binary.BigEndian.Uint32(b[1:])))
	case 0xcf:
		u := binary.BigEndian.Uint64(b[1:])
		if u > math.MaxInt64 {
			return 0, 0, ErrInvalid
		}
		v = int64(u)
	case 0xd3:
		v = int64(binary.BigEndian.Uint64(b[1:]))
	}
	return v, need, nil
}

// Float returns the float32 or float64 that b starts with and its size.
func Float(b []byte) (v float64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrShort
	}
	switch b[0] {
	case 0xca:
		if len(b) < 5 {
			return 0, 0, ErrShort
		}
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), 5, nil
	case 0xcb:
		if len(b) < 9 {
			return 0, 0, ErrShort
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b[1:])), 9, nil
	}
	return 0, 0, ErrInvalid
}

// Ext returns the type and payload of the extension that b starts with, and the size of the whole value.
func Ext(b []byte) (typ int8, v []byte, size int, err error) {
	if len(b) == 0 {
		return 0, nil, 0, ErrShort
	}
	n, h := 0, 0
	switch b[0] {
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		n, h = 1<<(b[0]-0xd4), 2
	case 0xc7:
		if len(b) < 3 {
			return 0, nil, 0, ErrShort
		}
		n, h = int(b[1]), 3
	case 0xc8:
		if len(b) < 4 {
			return 0, nil, 0, ErrShort
		}
		n, h = int(binary.BigEndian.Uint16(b[1:])), 4
	case 0xc9:
		if len(b) < 6 {
			return 0, nil, 0, ErrShort
		}
		n, h = int(binary.BigEndian.Uint32(b[1:])), 6
	default:
		return 0, nil, 0, ErrInvalid
	}
	if len(b)-h < n {
		return 0, nil, 0, ErrShort
	}
	return int8(b[h-1]), b[h : h+n], h + n, nil
}
