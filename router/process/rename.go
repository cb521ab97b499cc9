package process

import (
	"strings"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// rename moves values to other keys, one after the other in the order of the file.
//
// The value is the one that [record.Path] finds under the old name; whatever else the old name leads to is gone, too. A
// value that the new name leads to is replaced where it is. Otherwise a key without dots, or with the same map before
// the last dot, takes the place of the old one if it can; every other one comes last in its map. The parts before the
// dots of a new name are maps: those that are there are used, others are made; when something else than a map is in
// the way, or the result would be nested too deeply, nothing is renamed.
type rename struct{ moves []move }

type move struct {
	from, to string
	old      selection
}

func newRename(fields []config.Field) *rename {
	a := &rename{}
	for _, f := range fields {
		a.moves = append(a.moves, move{from: f.Key, to: f.Value, old: newSelection(f.Key)})
	}
	return a
}

func (a *rename) Apply(dst, rec []byte, s *Scope) ([]byte, Verdict) {
	turn := 0
	verdict := Same
	for i := range a.moves {
		out, ok := a.moves[i].apply(s.bufs[turn][:0], rec, s)
		s.bufs[turn] = out
		if ok {
			rec, turn, verdict = out, 1-turn, Changed
		}
	}
	if verdict == Changed {
		dst = append(dst, rec...)
	}
	return dst, verdict
}

// apply appends the record with the value moved, if it is there and can be.
func (m *move) apply(dst, rec []byte, s *Scope) ([]byte, bool) {
	old, ok := locate(rec, 0, m.from)
	if !ok {
		return dst, false
	}
	less, n := erase(s.bufs[2][:0], rec, m.old, s)
	s.bufs[2] = less
	if n == 0 {
		return dst, false
	}
	value := rec[old.value:old.end]
	start := len(dst)
	if p, ok := locate(less, 0, m.to); ok {
		dst = append(append(append(dst, less[:p.value]...), value...), less[p.end:]...)
		return fit(dst, start, value, true)
	}
	in, key, ok := parent(less, m.to)
	if !ok {
		return dst, false
	}
	dotted := strings.Contains(key, ".")
	if n == 1 && in == old.in && !dotted {
		dst = mp.AppendStr(append(dst, rec[:old.start]...), key)
		return append(dst, rec[old.value:]...), true
	}
	pairs, size, err := mp.MapHeader(less[in:])
	if err != nil {
		return dst, false
	}
	length, err := mp.Skip(less[in:])
	if err != nil {
		return dst, false
	}
	dst = mp.AppendMap(append(dst, less[:in]...), pairs+1)
	dst = append(dst, less[in+size:in+length]...)
	for more := true; more; {
		var part string
		part, key, more = strings.Cut(key, ".")
		dst = mp.AppendStr(dst, part)
		if more {
			dst = mp.AppendMap(dst, 1)
		}
	}
	dst = append(append(dst, value...), less[in+length:]...)
	return fit(dst, start, value, dotted || in > 0)
}

// fit gives dst back without the record at start when that is nested too deeply. deeper: the value may be deeper in it
// than before.
func fit(dst []byte, start int, value []byte, deeper bool) ([]byte, bool) {
	if !deeper && !mp.IsMap(value[0]) && !mp.IsArray(value[0]) {
		return dst, true
	}
	if n, err := mp.Skip(dst[start:]); err != nil || n != len(dst)-start {
		return dst[:start], false
	}
	return dst, true
}

// parent returns the offset of the innermost map that is there for the parts of a path, and what is left of the path.
// It returns false when something else stands where a map is needed.
func parent(rec []byte, path string) (in int, key string, ok bool) {
	for {
		part, after, dotted := strings.Cut(path, ".")
		if !dotted {
			return in, path, true
		}
		found, there := pair{}, false
		for p, _ := pairsAt(rec, in); ; {
			next, more := p.next()
			if !more {
				break
			}
			if string(next.key) == part {
				found, there = next, true
			}
		}
		switch {
		case !there:
			return in, path, true
		case !mp.IsMap(rec[found.value]):
			return 0, "", false
		}
		in, path = found.value, after
	}
}
