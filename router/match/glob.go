package match

import (
	"bytes"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// A glob matches a whole text: * stands for any run of characters, ? for one character (a byte that is not valid
// UTF-8 counts as one). Matching takes time linear in the text.
type glob struct {
	prefix, suffix segment
	middle         []segment // between stars, each found at its first place; never starting with a ?
	star           bool      // false: prefix alone is the whole pattern
}

// A segment is the text between two stars.
type segment struct {
	text   string
	pieces []string // cut at the question marks; nil: there are none
}

func newSegment(s string) segment {
	seg := segment{text: s}
	if strings.Contains(s, "?") {
		seg.pieces = strings.Split(s, "?")
	}
	return seg
}

func newGlob(pattern string) glob {
	if !strings.Contains(pattern, "*") {
		return glob{prefix: newSegment(pattern)}
	}
	// A ? behind a star is the same as one before it; there, a search for the segment starts at text.
	for strings.Contains(pattern, "*?") {
		pattern = strings.ReplaceAll(pattern, "*?", "?*")
	}
	parts := strings.Split(pattern, "*")
	g := glob{star: true, prefix: newSegment(parts[0]), suffix: newSegment(parts[len(parts)-1])}
	for _, p := range parts[1 : len(parts)-1] {
		if p != "" {
			g.middle = append(g.middle, newSegment(p))
		}
	}
	return g
}

func (g *glob) match(text []byte) bool {
	n := g.prefix.leads(text)
	if n < 0 {
		return false
	}
	text = text[n:]
	if !g.star {
		return len(text) == 0
	}
	for i := range g.middle {
		if n = g.middle[i].find(text); n < 0 {
			return false
		}
		text = text[n:]
	}
	return g.suffix.ends(text)
}

// leads returns the size of what the segment matches at the start of the text, or -1.
func (s *segment) leads(text []byte) int {
	if s.pieces == nil {
		if len(text) < len(s.text) || string(text[:len(s.text)]) != s.text {
			return -1
		}
		return len(s.text)
	}
	at := 0
	for i, p := range s.pieces {
		if i > 0 {
			if at == len(text) {
				return -1
			}
			_, size := utf8.DecodeRune(text[at:])
			at += size
		}
		if len(text)-at < len(p) || string(text[at:at+len(p)]) != p {
			return -1
		}
		at += len(p)
	}
	return at
}

// find returns the end of the first place where the segment matches, or -1.
func (s *segment) find(text []byte) int {
	first := s.text
	if s.pieces != nil {
		first = s.pieces[0]
	}
	for at := 0; ; at++ {
		n := index(text[at:], first)
		if n < 0 {
			return -1
		}
		at += n
		if size := s.leads(text[at:]); size >= 0 {
			return at + size
		}
	}
}

// ends reports whether the segment matches at the end of the text.
func (s *segment) ends(text []byte) bool {
	if s.pieces == nil {
		return len(text) >= len(s.text) && string(text[len(text)-len(s.text):]) == s.text
	}
	for i := len(s.pieces) - 1; i >= 0; i-- {
		p := s.pieces[i]
		if len(text) < len(p) || string(text[len(text)-len(p):]) != p {
			return false
		}
		text = text[:len(text)-len(p)]
		if i > 0 {
			if len(text) == 0 {
				return false
			}
			_, size := utf8.DecodeLastRune(text)
			text = text[:len(text)-size]
		}
	}
	return true
}

func index(text []byte, s string) int {
	if len(s) == 1 {
		return bytes.IndexByte(text, s[0])
	}
	return strings.Index(asString(text), s)
}

// asString returns the bytes as a string, for a callee that keeps nothing of it.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// asBytes returns the string as bytes, for a callee that changes nothing.
func asBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
