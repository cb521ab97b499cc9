package process

import (
	"slices"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// add sets keys of the record to texts; keys that are there already are replaced.
type add struct {
	keys  []string
	pairs []byte // all pairs, encoded
}

func newAdd(fields []config.Field) *add {
	a := &add{}
	for i, f := range fields {
		if slices.ContainsFunc(fields[i+1:], func(later config.Field) bool { return later.Key == f.Key }) {
			continue
		}
		a.keys = append(a.keys, f.Key)
		a.pairs = mp.AppendStr(mp.AppendStr(a.pairs, f.Key), f.Value)
	}
	return a
}

func (a *add) Apply(dst, rec []byte, _ *Scope) ([]byte, Verdict) {
	p, ok := pairsOf(rec)
	if !ok {
		return dst, Same
	}
	body := p.at
	kept := 0
	for {
		next, more := p.next()
		if !more {
			break
		}
		if !a.sets(next.key) {
			kept++
		}
	}
	if p.left > 0 {
		return dst, Same
	}
	dst = mp.AppendMap(dst, kept+len(a.keys))
	for p, _ = pairsOf(rec); ; {
		next, more := p.next()
		if !more {
			break
		}
		if a.sets(next.key) {
			dst = append(dst, rec[body:next.start]...)
			body = next.end
		}
	}
	dst = append(dst, rec[body:p.at]...)
	return append(dst, a.pairs...), Changed
}

func (a *add) sets(key []byte) bool {
	if key == nil {
		return false
	}
	for _, k := range a.keys {
		if string(key) == k {
			return true
		}
	}
	return false
}
