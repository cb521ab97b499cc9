package record

import (
	"unicode"
	"unicode/utf8"
)

// A Sanitizer appends value to dst, changed so that it is harmless where the name goes. value has at most MaxValue
// bytes, which need not be valid UTF-8. It must not append [IDMark], and may append nothing: then the value counts as
// empty. It must not keep value.
type Sanitizer func(dst, value []byte) []byte

// PathElement is the Sanitizer for file paths and object keys: a value stays one element of the path, whatever it is.
//
// Slashes in front are cut (Docker's container_name has one); other slashes, backslashes, control characters and
// invalid UTF-8 become "_", and so does a dot in front or after another dot.
func PathElement(dst, value []byte) []byte {
	for len(value) > 0 && value[0] == '/' {
		value = value[1:]
	}
	dot := true // the byte before was a dot, or there is none
	for i := 0; i < len(value); {
		c := value[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(value[i:])
			if r == utf8.RuneError && n == 1 || unicode.IsControl(r) {
				dst = append(dst, '_')
			} else {
				dst = append(dst, value[i:i+n]...)
			}
			i += n
			dot = false
			continue
		}
		if c == '.' && dot || c == '/' || c == '\\' || c < ' ' || c == 0x7f {
			c = '_'
		}
		dst = append(dst, c)
		dot = c == '.'
		i++
	}
	return dst
}

// PlainText is the Sanitizer for names that may hold any text, such as tags: control characters and invalid UTF-8
// become "_".
func PlainText(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		r, n := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) {
			dst = append(dst, '_')
		} else {
			dst = append(dst, value[i:i+n]...)
		}
		i += n
	}
	return dst
}
