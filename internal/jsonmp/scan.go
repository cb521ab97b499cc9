// Package jsonmp looks into JSON texts without decoding them, and turns them into msgpack.
//
// The grammar is that of RFC 8259, with two liberties that log lines take: control characters inside strings and
// invalid UTF-8 are let through as they are. Objects and arrays nest at most [MaxDepth] deep. Nothing here allocates,
// except that the append functions grow their destination.
package jsonmp

import (
	"bytes"

	"github.com/firebreak/firebreak/internal/mp"
)

// MaxDepth is the deepest nesting of objects and arrays that is followed: what a record may hold.
const MaxDepth = mp.MaxDepth

// bad is the position that says: not JSON.
const bad = -1

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the position behind the string whose opening quote is at i.
func skipString(b []byte, i int) int {
	i++
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return bad
		}
		quote := i + n
		back := quote
		for back > i && b[back-1] == '\\' {
			back--
		}
		i = quote + 1
		if (quote-back)%2 == 0 {
			return i
		}
	}
}

// skipKey returns the position of the value behind the key at i, and where the key's quotes end.
func skipKey(b []byte, i int) (value, keyEnd int) {
	if i >= len(b) || b[i] != '"' {
		return bad, bad
	}
	keyEnd = skipString(b, i)
	if keyEnd < 0 {
		return bad, bad
	}
	i = keyEnd
	if i < len(b) && b[i] != ':' {
		i = skipSpace(b, i)
	}
	if i >= len(b) || b[i] != ':' {
		return bad, bad
	}
	return i + 1, keyEnd
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// skipNumber returns the position behind the number at i, and whether it is written as an integer.
func skipNumber(b []byte, i int) (end int, integer bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start || i > start+1 && b[start] == '0' {
		return bad, false
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return bad, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return bad, false
		}
	}
	return i, integer
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return bad
	}
	return i + len(word)
}

// skipValue returns the position behind the value at i, or bad. Values inside it nest at most depth deep.
func skipValue(b []byte, i, depth int) int {
	var objects uint64 // one bit for each open level: set for an object
	level := 0
	for {
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return bad
		}
		open := false
		switch c := b[i]; c {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			i = skipSpace(b, i+1)
			switch {
			case i >= len(b) || level == depth:
				return bad
			case b[i] == c+2: // } and ] follow two after { and [
				i++
			case c == '{':
				objects |= 1 << level
				level++
				i, _ = skipKey(b, i)
				open = true
			default:
				objects &^= 1 << level
				level++
				open = true
			}
		case 't':
			i = skipWord(b, i, "true")
		case 'f':
			i = skipWord(b, i, "false")
		case 'n':
			i = skipWord(b, i, "null")
		default:
			i, _ = skipNumber(b, i)
		}
		if i < 0 {
			return bad
		}
		for !open {
			if level == 0 {
				return i
			}
			if i < len(b) && b[i] <= ' ' {
				i = skipSpace(b, i)
			}
			if i >= len(b) {
				return bad
			}
			object := objects>>(level-1)&1 == 1
			switch c := b[i]; {
			case c == ',' && object:
				if i, _ = skipKey(b, skipSpace(b, i+1)); i < 0 {
					return bad
				}
				open = true
			case c == ',':
				i++
				open = true
			case c == '}' && object, c == ']' && !object:
				i++
				level--
			default:
				return bad
			}
		}
	}
}

// members walks over the members of an object.
type members struct {
	b     []byte
	i     int // at the next key; behind the object when done
	depth int
	state int8
}

const (
	more   = int8(iota) // at a key
	done                // behind the closing brace
	broken              // not JSON
)

// objectAt starts at the object whose brace is at i.
func objectAt(b []byte, i, depth int) members {
	m := members{b: b, i: i, depth: depth}
	if i >= len(b) || b[i] != '{' || depth <= 0 {
		m.state = broken
		return m
	}
	m.i = skipSpace(b, i+1)
	if m.i < len(b) && b[m.i] == '}' {
		m.i++
		m.state = done
	}
	return m
}

// next returns the next key, without its quotes but with its escapes, and the next value.
func (m *members) next() (key, value []byte, ok bool) {
	if m.state != more {
		return nil, nil, false
	}
	m.state = broken
	start, keyEnd := skipKey(m.b, m.i)
	if start < 0 {
		return nil, nil, false
	}
	key = m.b[m.i+1 : keyEnd-1]
	start = skipSpace(m.b, start)
	end := skipValue(m.b, start, m.depth-1)
	if end < 0 {
		return nil, nil, false
	}
	value = m.b[start:end:end]
	end = skipSpace(m.b, end)
	switch {
	case end >= len(m.b):
		return nil, nil, false
	case m.b[end] == ',':
		m.i = skipSpace(m.b, end+1)
		m.state = more
	case m.b[end] == '}':
		m.i = end + 1
		m.state = done
	default:
		return nil, nil, false
	}
	return key, value, true
}
