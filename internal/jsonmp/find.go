package jsonmp

import (
	"bytes"
	"strings"
)

// A Finder finds the values at several paths of a JSON object in one pass over the text. A path names keys from the
// outside in, joined by dots; at each level the whole rest is tried as one key before its parts are, the longest
// first. Of duplicate keys the last one counts.
//
// A Finder is immutable.
type Finder struct {
	keys  []prefix
	paths [][2]int // of each path: its prefixes in keys
}

// A prefix is one way to start a path: a key of the outermost object, and the path inside its value.
type prefix struct {
	key, rest string
	whole     bool
}

// NewFinder returns a Finder for the paths, which the methods name by their index.
func NewFinder(paths []string) *Finder {
	f := &Finder{paths: make([][2]int, len(paths))}
	for i, p := range paths {
		f.paths[i][0] = len(f.keys)
		if p != "" {
			f.keys = append(f.keys, prefix{key: p, whole: true})
		}
		for cut := cutBefore(p, len(p)); cut > 0; cut = cutBefore(p, cut) {
			f.keys = append(f.keys, prefix{key: p[:cut], rest: p[cut+1:]})
		}
		f.paths[i][1] = len(f.keys)
	}
	return f
}

func cutBefore(path string, end int) int { return strings.LastIndexByte(path[:end], '.') }

// Size returns how many elements Find needs in found.
func (f *Finder) Size() int { return len(f.keys) }

// Find reports whether text is a JSON object, with nothing but space around it, and fills found for Value.
func (f *Finder) Find(text []byte, found [][]byte) bool {
	clear(found)
	m := objectAt(text, skipSpace(text, 0), MaxDepth)
	for {
		key, value, ok := m.next()
		if !ok {
			break
		}
		for i := range f.keys {
			if keyIs(key, f.keys[i].key) {
				found[i] = value
			}
		}
	}
	return m.state == done && skipSpace(text, m.i) == len(text)
}

// Value returns the encoded value at a path, or nil, after a Find that returned true.
func (f *Finder) Value(found [][]byte, path int) []byte {
	for i := f.paths[path][0]; i < f.paths[path][1]; i++ {
		switch v := found[i]; {
		case v == nil:
		case f.keys[i].whole:
			return v
		default:
			if v = lookup(v, f.keys[i].rest); v != nil {
				return v
			}
		}
	}
	return nil
}

// lookup returns the value at the path inside a valid value, or nil.
func lookup(object []byte, path string) []byte {
	if object[0] != '{' {
		return nil
	}
	for cut := len(path); cut > 0; cut = cutBefore(path, cut) {
		v := member(object, path[:cut])
		if v != nil && cut < len(path) {
			v = lookup(v, path[cut+1:])
		}
		if v != nil {
			return v
		}
	}
	return nil
}

// member returns the last value under a key, or nil.
func member(object []byte, key string) (last []byte) {
	m := objectAt(object, 0, MaxDepth)
	for {
		k, v, ok := m.next()
		if !ok {
			return last
		}
		if keyIs(k, key) {
			last = v
		}
	}
}

// keyIs compares a key as it is written with one without escapes.
func keyIs(raw []byte, key string) bool {
	if len(raw) == len(key) {
		return string(raw) == key && bytes.IndexByte(raw, '\\') < 0
	}
	if len(raw) < len(key) || bytes.IndexByte(raw, '\\') < 0 {
		return false
	}
	if len(raw) > 6*len(key) { // \u0041 for A is the longest way to write a byte
		return false
	}
	var buf [256]byte
	text, ok := AppendText(buf[:0], raw)
	return ok && string(text) == key
}
