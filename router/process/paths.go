package process

import (
	"strings"

	"github.com/firebreak/firebreak/internal/mp"
)

// A selection is a list of paths to keys of records. As [record.Path] does, it tries the whole rest of a path as one
// key at each level, and what stands before each of its dots as the key of a map. But it takes all places where a path
// leads, not only the one that counts: so what it takes away is gone. The last part of a path may hold the globs * and ?.
type selection []selector

type selector struct {
	path string
	glob bool
}

// A rest is what is left of a path at some level of a record.
type rest struct{ selector, from int }

func newSelection(paths ...string) selection {
	var out selection
	for _, p := range paths {
		out = append(out, selector{path: p, glob: strings.ContainsAny(p, "*?")})
	}
	return out
}

// begin appends the rests at the top level.
func (sel selection) begin(dst []rest) []rest {
	for i := range sel {
		dst = append(dst, rest{selector: i})
	}
	return dst
}

// has reports whether one of the rests ends at the key.
func (sel selection) has(rests []rest, key []byte) bool {
	if key == nil {
		return false
	}
	for _, r := range rests {
		s := &sel[r.selector]
		if path := s.path[r.from:]; string(key) == path || s.glob && globMatch(path, key) {
			return true
		}
	}
	return false
}

// into appends what is left of the paths inside the map under the key. The rests that it looks at are dst[lo:hi].
func (sel selection) into(dst []rest, lo, hi int, key []byte) []rest {
	for i := lo; i < hi; i++ {
		r := dst[i]
		path := sel[r.selector].path[r.from:]
		if len(key) > 0 && len(key) < len(path) && path[len(key)] == '.' && path[:len(key)] == string(key) {
			dst = append(dst, rest{selector: r.selector, from: r.from + len(key) + 1})
		}
	}
	return dst
}

// Selects reports whether one of the paths of a remove processor takes a key at the top level of a record.
func Selects(paths []string, key string) bool {
	sel := newSelection(paths...)
	return sel.has(sel.begin(nil), []byte(key))
}

// globMatch reports whether a pattern of * (any run) and ? (any one byte) fits all of key.
func globMatch(pattern string, key []byte) bool {
	p, k := 0, 0
	star, mark := -1, 0 // the last * and where what follows it was tried
	for k < len(key) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, k
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == key[k]):
			p++
			k++
		case star >= 0:
			mark++
			p, k = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// A place is where a path leads: a pair of the map at an offset of the record.
type place struct {
	in int
	pair
}

// locate finds the value that [record.Path.Lookup] finds in the map at an offset.
func locate(rec []byte, at int, path string) (exact place, ok bool) {
	var nested place
	nestedLen := -1
	p, _ := pairsAt(rec, at)
	for {
		next, more := p.next()
		if !more {
			break
		}
		n := len(next.key)
		if n == 0 || n > len(path) || path[:n] != string(next.key) {
			continue
		}
		switch {
		case n == len(path):
			exact, ok = place{at, next}, true
		case path[n] == '.' && n >= nestedLen && mp.IsMap(rec[next.value]):
			if found, yes := locate(rec, next.value, path[n+1:]); yes {
				nested, nestedLen = found, n
			}
		}
	}
	if p.left > 0 {
		return place{}, false
	}
	if !ok && nestedLen >= 0 {
		return nested, true
	}
	return exact, ok
}
