package process

import (
	"encoding/binary"

	"github.com/firebreak/firebreak/internal/mp"
)

// remove takes keys away, all of the same name. A map that loses its last key stays, empty.
type remove struct{ keys selection }

func (a *remove) Apply(dst, rec []byte, s *Scope) ([]byte, Verdict) {
	if out, n := erase(dst, rec, a.keys, s); n > 0 {
		return out, Changed
	}
	return dst, Same
}

// erase appends the record without the selected pairs, and returns their number. With 0 it appends nothing.
func erase(dst, rec []byte, keys selection, s *Scope) ([]byte, int) {
	e := eraser{keys: keys, rec: rec, out: dst, base: len(dst), scope: s}
	s.rests = keys.begin(s.rests[:0])
	e.walk(0, 0, len(s.rests))
	if e.bad || e.pairs == 0 {
		return dst, 0
	}
	return append(e.out, rec[e.from:]...), e.pairs
}

// An eraser copies a record but for some pairs. Headers of maps keep their size, as numbers of pairs only shrink.
type eraser struct {
	keys  selection
	scope *Scope
	rec   []byte
	out   []byte
	base  int // where the record begins in out
	from  int // end of what was copied or left out
	pairs int // left out
	gone  int // bytes left out
	bad   bool
}

// walk goes over the map at an offset with the rests [lo, hi).
func (e *eraser) walk(at, lo, hi int) {
	p, ok := pairsAt(e.rec, at)
	if !ok {
		e.bad = true
		return
	}
	all, kept, before := p.left, p.left, e.gone
	for {
		next, more := p.next()
		if !more {
			break
		}
		if e.keys.has(e.scope.rests[lo:hi], next.key) {
			e.out = append(e.out, e.rec[e.from:next.start]...)
			e.from = next.end
			e.gone += next.end - next.start
			e.pairs++
			kept--
			continue
		}
		if !mp.IsMap(e.rec[next.value]) {
			continue
		}
		e.scope.rests = e.keys.into(e.scope.rests, lo, hi, next.key)
		if end := len(e.scope.rests); end > hi {
			e.walk(next.value, hi, end)
			e.scope.rests = e.scope.rests[:hi]
		}
	}
	if p.left > 0 {
		e.bad = true
	}
	if kept < all && !e.bad {
		setPairs(e.out[e.base+at-before:], kept)
	}
}

// setPairs writes the number of pairs into the header of a map, whose size stays.
func setPairs(header []byte, n int) {
	switch header[0] {
	case 0xde:
		binary.BigEndian.PutUint16(header[1:], uint16(n))
	case 0xdf:
		binary.BigEndian.PutUint32(header[1:], uint32(n))
	default:
		header[0] = 0x80 | byte(n)
	}
}
