package jsonmp

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Inner returns a string value without its quotes, and whether escapes are left in it for [AppendText].
func Inner(value []byte) (text []byte, escaped bool) {
	text = value[1 : len(value)-1]
	return text, bytes.IndexByte(text, '\\') >= 0
}

// AppendText appends the text of a string, given without its quotes, with the escapes resolved. Half a surrogate
// pair becomes U+FFFD. It reports false for an escape that JSON doesn't have.
func AppendText(dst, raw []byte) ([]byte, bool) {
	for {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			return append(dst, raw...), true
		}
		dst = append(dst, raw[:n]...)
		if n+1 >= len(raw) {
			return dst, false
		}
		c := raw[n+1]
		raw = raw[n+2:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw)
			if r < 0 {
				return dst, false
			}
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low = hex4(raw[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					raw = raw[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, false
		}
	}
}

func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
