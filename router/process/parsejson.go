package process

import (
	"bytes"

	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
)

// parseJSON merges the JSON object in a text into the record: first the keys of the object, then those of the record
// without the text. As with Fluent Bit's parser filter and Reserve_Data On, whose result holds both and whose readers
// count the later one, a key of the record wins over one of the object, so that a log line can't rename its container.
// (The text itself is gone by then, unless keep is set.) Of duplicate keys of the object the last one wins. Anything
// but an object leaves the event as it is. How values are converted: [jsonmp.Append].
type parseJSON struct {
	key  string
	keep bool
}

func (a parseJSON) Apply(dst, rec []byte, _ *Scope) ([]byte, Verdict) {
	source, ok := find(rec, a.key)
	if !ok {
		return dst, Same
	}
	text, _, err := mp.Bytes(rec[source.value:])
	if err != nil || !jsonmp.IsObject(text) {
		return dst, Same
	}
	// The object is written behind a gap for the header of the result. Then its pairs are moved up, over its own
	// header, and those that don't count are left out.
	start := len(dst)
	var gap [5]byte
	out, err := jsonmp.Append(append(dst, gap[:]...), text)
	if err != nil {
		return dst, Same
	}
	object := out[start+len(gap):]
	var w winners
	w.collect(object, rec, a)
	p, _ := pairsOf(object)
	to, count := 0, 0
	for i := 0; ; i++ {
		next, more := p.next()
		if !more {
			break
		}
		if w.win(i, next.key) {
			to += copy(object[to:], object[next.start:next.end])
			count++
		}
	}
	out = out[:start+len(gap)+to]
	for p, _ = pairsOf(rec); ; {
		next, more := p.next()
		if !more {
			break
		}
		if a.keeps(next.key) {
			out = append(out, rec[next.start:next.end]...)
			count++
		}
	}
	head := mp.AppendMap(gap[:0], count)
	copy(out[start:], head)
	n := copy(out[start+len(head):], out[start+len(gap):])
	return out[:start+len(head)+n], Changed
}

// keeps reports whether a pair of the record stays.
func (a parseJSON) keeps(key []byte) bool { return a.keep || key == nil || string(key) != a.key }

// winners says which pairs of an object stay beside a record.
type winners struct {
	few  [64][]byte     // keys of the object, then those of the record
	n    int            // number of few
	last map[string]int // when there are more: index of a key's last pair in the object, -1 if the record has it
}

func (w *winners) collect(object, rec []byte, a parseJSON) {
	p, _ := pairsOf(object)
	r, _ := pairsOf(rec)
	if p.left+r.left > len(w.few) {
		w.last = make(map[string]int)
	}
	for i := 0; ; i++ {
		next, more := p.next()
		if !more {
			break
		}
		w.add(next.key, i)
	}
	for {
		next, more := r.next()
		if !more {
			break
		}
		if next.key != nil && a.keeps(next.key) {
			w.add(next.key, -1)
		}
	}
}

func (w *winners) add(key []byte, index int) {
	if w.last != nil {
		w.last[string(key)] = index
		return
	}
	w.few[w.n] = key
	w.n++
}

func (w *winners) win(i int, key []byte) bool {
	if w.last != nil {
		return w.last[string(key)] == i
	}
	for _, other := range w.few[i+1 : w.n] {
		if bytes.Equal(other, key) {
			return false
		}
	}
	return true
}
