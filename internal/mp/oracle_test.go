package mp

import "encoding/binary"

// skipByStack is the loop without calls that Skip is compared with: it returns the size in bytes of the value that b starts with.
func skipByStack(b []byte) (int, error) {
	// Values still to be skipped, per open array or map. The top frame is kept in left.
	var stack [MaxDepth]uint64
	depth := 0
	left := uint64(1)
	i := 0
	for {
		for left == 0 {
			if depth == 0 {
				return i, nil
			}
			depth--
			left = stack[depth]
		}
		left--
		if i >= len(b) {
			return 0, ErrShort
		}
		c := b[i]
		var n int           // bytes after the first one
		var children uint64 // values inside
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
			case 0xcd, 0xd1:
				n = 2
			case 0xce, 0xd2, 0xca:
				n = 4
			case 0xcf, 0xd3, 0xcb:
				n = 8
			case 0xd4:
				n = 2
			case 0xd5:
				n = 3
			case 0xd6:
				n = 5
			case 0xd7:
				n = 9
			case 0xd8:
				n = 17
			case 0xc4, 0xd9:
				if i+2 > len(b) {
					return 0, ErrShort
				}
				n = 1 + int(b[i+1])
			case 0xc5, 0xda:
				if i+3 > len(b) {
					return 0, ErrShort
				}
				n = 2 + int(binary.BigEndian.Uint16(b[i+1:]))
			case 0xc6, 0xdb:
				if i+5 > len(b) {
					return 0, ErrShort
				}
				n = 4 + int(binary.BigEndian.Uint32(b[i+1:]))
			case 0xc7:
				if i+2 > len(b) {
					return 0, ErrShort
				}
				n = 2 + int(b[i+1])
			case 0xc8:
				if i+3 > len(b) {
					return 0, ErrShort
				}
				n = 3 + int(binary.BigEndian.Uint16(b[i+1:]))
			case 0xc9:
				if i+5 > len(b) {
					return 0, ErrShort
				}
				n = 5 + int(binary.BigEndian.Uint32(b[i+1:]))
			case 0xdc, 0xde:
				if i+3 > len(b) {
					return 0, ErrShort
				}
				n = 2
				children = uint64(binary.BigEndian.Uint16(b[i+1:]))
				if c == 0xde {
					children *= 2
				}
			case 0xdd, 0xdf:
				if i+5 > len(b) {
					return 0, ErrShort
				}
				n = 4
				children = uint64(binary.BigEndian.Uint32(b[i+1:]))
				if c == 0xdf {
					children *= 2
				}
			}
		}
		i += 1 + n
		if i > len(b) {
			return 0, ErrShort
		}
		if children > 0 {
			if depth == MaxDepth {
				return 0, ErrDepth
			}
			stack[depth] = left
			depth++
			left = children
		}
	}
}
