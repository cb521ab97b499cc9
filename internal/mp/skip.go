package mp

import "encoding/binary"

// Skip returns the size in bytes of the value that b starts with.
func Skip(b []byte) (int, error) { return skip(b, 0, 1, 0) }

// skip returns where count values end that start at b[i], inside depth open arrays and maps. It calls itself for an
// array or map only: for a text or a number that is cheaper than a stack, which would have to be cleared each time.
func skip(b []byte, i int, count uint64, depth int) (int, error) {
	for ; count > 0; count-- {
		if i >= len(b) {
			return 0, ErrShort
		}
		var (
			c        = b[i]
			n        int    // bytes after the first one
			children uint64 // values inside
		)
		switch {
		case c < 0x80 || c >= 0xe0:
		case c < 0x90:
			children = uint64(c&0x0f) * 2
		case c < 0xa0:
			children = uint64(c & 0x0f)
		case c < 0xc0:
			n = int(c & 0x1f)
		default:
			switch c {
			case 0xc0, 0xc2, 0xc3:
			case 0xc1:
				return 0, ErrInvalid
			case 0xcc, 0xd0:
				n = 1
			case 0xcd, 0xd1, 0xd4:
				n = 2
			case 0xd5:
				n = 3
			case 0xce, 0xd2, 0xca:
				n = 4
			case 0xd6:
				n = 5
			case 0xcf, 0xd3, 0xcb:
				n = 8
			case 0xd7:
				n = 9
			case 0xd8:
				n = 17
			case 0xc4, 0xd9:
				if len(b)-i < 2 {
					return 0, ErrShort
				}
				n = 1 + int(b[i+1])
			case 0xc5, 0xda:
				if len(b)-i < 3 {
					return 0, ErrShort
				}
				n = 2 + int(binary.BigEndian.Uint16(b[i+1:]))
			case 0xc6, 0xdb:
				if len(b)-i < 5 {
					return 0, ErrShort
				}
				n = 4 + int(binary.BigEndian.Uint32(b[i+1:]))
			case 0xc7:
				if len(b)-i < 2 {
					return 0, ErrShort
				}
				n = 2 + int(b[i+1])
			case 0xc8:
				if len(b)-i < 3 {
					return 0, ErrShort
				}
				n = 3 + int(binary.BigEndian.Uint16(b[i+1:]))
			case 0xc9:
				if len(b)-i < 5 {
					return 0, ErrShort
				}
				n = 5 + int(binary.BigEndian.Uint32(b[i+1:]))
			case 0xdc, 0xde:
				if len(b)-i < 3 {
					return 0, ErrShort
				}
				n = 2
				children = uint64(binary.BigEndian.Uint16(b[i+1:]))
				if c == 0xde {
					children *= 2
				}
			case 0xdd, 0xdf:
				if len(b)-i < 5 {
					return 0, ErrShort
				}
				n = 4
				children = uint64(binary.BigEndian.Uint32(b[i+1:]))
				if c == 0xdf {
					children *= 2
				}
			}
		}
		if n >= len(b)-i {
			return 0, ErrShort
		}
		i += 1 + n
		if children > 0 {
			if depth == MaxDepth {
				return 0, ErrDepth
			}
			var err error
			if i, err = skip(b, i, children, depth+1); err != nil {
				return 0, err
			}
		}
	}
	return i, nil
}
