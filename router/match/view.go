package match

import (
	"slices"
	"strings"

	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// Needs says what a set of reduced conditions looks at. It is immutable.
type Needs struct {
	paths []wanted
	docs  []neededDoc // by doc index
}

type wanted struct {
	slot   int
	path   string
	dotted bool
}

type neededDoc struct {
	at     []int          // by index in doc.paths: index in paths and 1 more, or 0
	paths  []string       // those that are needed
	finder *jsonmp.Finder // nil: not needed
}

// Needs collects what the conditions look at.
func (t *Table) Needs(conds ...*Cond) *Needs {
	n := &Needs{docs: make([]neededDoc, len(t.docs))}
	need := make([]bool, len(t.paths))
	for _, c := range conds {
		n.collect(c, need)
	}
	for slot, yes := range need {
		if yes {
			n.paths = append(n.paths, wanted{slot: slot, path: t.paths[slot], dotted: strings.Contains(t.paths[slot], ".")})
		}
	}
	for i := range n.docs {
		if d := &n.docs[i]; d.paths != nil {
			d.finder = jsonmp.NewFinder(d.paths)
		}
	}
	return n
}

func (n *Needs) collect(c *Cond, need []bool) {
	for _, k := range c.kids {
		n.collect(k, need)
	}
	if c.op != opField {
		return
	}
	slots := c.field.slots
	if d := c.field.doc; d != nil {
		n.docs[d.index].need(c.field)
		slots = append(d.line.slots[:len(d.line.slots):len(d.line.slots)], slots...)
	}
	for _, s := range slots {
		need[s] = true
	}
}

func (d *neededDoc) need(f *field) {
	if d.at == nil {
		d.at = make([]int, len(f.doc.paths))
	}
	if d.at[f.path] == 0 {
		d.paths = append(d.paths, f.doc.paths[f.path])
		d.at[f.path] = len(d.paths)
	}
}

// A View looks at one event after the other. It keeps its scratch memory; it belongs to one goroutine.
type View struct {
	needs   *Needs
	attrs   record.Attrs
	rec     []byte
	located bool
	slots   []slot
	docs    []docState
	buf     []byte
}

type slot struct {
	value []byte
	rank  int // length of the key by which it was found
}

type docState struct {
	state  int8 // 0: not looked at yet
	parsed bool // and removed by a processor
	found  [][]byte
}

const (
	docObject  = 1
	docInvalid = 2
)

// Use prepares for the events of a chunk.
func (v *View) Use(t *Table, n *Needs, attrs record.Attrs) {
	v.needs, v.attrs = n, attrs
	if len(v.slots) < len(t.paths) {
		v.slots = make([]slot, len(t.paths))
	}
	if len(v.docs) < len(t.docs) {
		v.docs = make([]docState, len(t.docs))
	}
}

// Look turns to an event's record.
func (v *View) Look(rec []byte) {
	v.rec, v.located = rec, false
	for i := range v.docs {
		v.docs[i].state = 0
	}
}

// Release lets go of the last event and of scratch memory beyond a bound.
func (v *View) Release() {
	v.rec, v.attrs, v.needs = nil, nil, nil
	clear(v.slots)
	for i := range v.docs {
		clear(v.docs[i].found)
	}
	if cap(v.buf) > 64<<10 {
		v.buf = nil
	}
}

// locate finds the values at all needed paths in one pass over the record, by the rules of [record.Path].
func (v *View) locate() {
	v.located = true
	if !v.walk() {
		v.reset()
	}
}

func (v *View) reset() {
	for i := range v.needs.paths {
		v.slots[v.needs.paths[i].slot] = slot{rank: -1}
	}
}

func (v *View) walk() bool {
	v.reset()
	rec := v.rec
	pairs, i, err := mp.MapHeader(rec)
	if err != nil {
		return false
	}
	for ; pairs > 0; pairs-- {
		if i >= len(rec) {
			return false
		}
		var key []byte
		if c := rec[i]; mp.IsStr(c) || mp.IsBin(c) {
			k, n, err := mp.Bytes(rec[i:])
			if err != nil {
				return false
			}
			key, i = k, i+n
		} else if i = skip(rec, i); i < 0 {
			return false
		}
		end := skip(rec, i)
		if end < 0 {
			return false
		}
		if len(key) > 0 {
			v.offer(key, rec[i:end:end])
		}
		i = end
	}
	return true
}

// offer gives a top-level pair to the paths that start with its key: the longest key counts, and of equal ones the
// last.
func (v *View) offer(key, value []byte) {
	for i := range v.needs.paths {
		w := &v.needs.paths[i]
		if len(key) > len(w.path) || w.path[0] != key[0] || w.path[:len(key)] != string(key) {
			continue
		}
		s := &v.slots[w.slot]
		switch {
		case len(key) == len(w.path):
			*s = slot{value, len(key)}
		case w.dotted && w.path[len(key)] == '.' && len(key) >= s.rank && mp.IsMap(value[0]):
			if inner := record.ParsePath(w.path[len(key)+1:]).Lookup(value); inner != nil {
				*s = slot{inner, len(key)}
			}
		}
	}
}

// skip returns the end of the value at i, or -1.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c < 0x80, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
		return i + 1
	case mp.IsStr(c):
		n, head, err := mp.BytesHeader(b[i:])
		if err != nil || n > len(b)-i-head {
			return -1
		}
		return i + head + n
	}
	n, err := mp.Skip(b[i:])
	if err != nil {
		return -1
	}
	return i + n
}

func (v *View) test(f *field, t *test) bool {
	if !v.located {
		v.locate()
	}
	switch {
	case f.doc != nil:
		return v.testDoc(f, t)
	case !f.text:
		return t.msgpack(v.slots[f.slots[0]].value, &v.buf)
	}
	text, ok := v.text(f)
	if !ok {
		return t.absent
	}
	if f.trim && len(text) > 0 && text[0] == '/' {
		text = text[1:]
	}
	return t.text(text)
}

// text returns the first text of the field.
func (v *View) text(f *field) ([]byte, bool) {
	for _, s := range f.slots {
		if text, ok := record.Text(v.slots[s].value); ok {
			return text, true
		}
	}
	for _, name := range f.attrs {
		if a := v.attrs.Get(name); a != "" {
			return asBytes(a), true
		}
	}
	return nil, false
}

// parsed reports whether the line, which isn't there any more, was parsed: whether no text stands before one that is
// gone.
func (v *View) parsed(d *doc) bool {
	if len(d.gone) == 0 {
		return false
	}
	for _, s := range d.line.slots {
		if _, ok := record.Text(v.slots[s].value); ok {
			return false
		}
		if slices.Contains(d.gone, s) {
			return true
		}
	}
	return false
}

// testDoc tests a key of the JSON object in the line, or of the record when the line was parsed. No test holds when
// the line is no such object, not even that the key is absent.
func (v *View) testDoc(f *field, t *test) bool {
	value, at := v.inDoc(f)
	switch at {
	case inText:
		return t.json(value, &v.buf)
	case inRecord:
		return t.msgpack(value, &v.buf)
	}
	return false
}

// Where a json condition finds its value.
type docPlace uint8

const (
	nowhere  docPlace = iota // the line is no JSON object
	inText                   // value is JSON
	inRecord                 // value is msgpack
)

// inDoc returns the value that a json condition looks at; nil: it is absent.
func (v *View) inDoc(f *field) ([]byte, docPlace) {
	need := &v.needs.docs[f.doc.index]
	d := &v.docs[f.doc.index]
	if d.state == 0 {
		d.state = docInvalid
		for len(d.found) < need.finder.Size() {
			d.found = append(d.found, nil)
		}
		if text, ok := v.text(f.doc.line); ok && need.finder.Find(text, d.found[:need.finder.Size()]) {
			d.state = docObject
		}
		d.parsed = v.parsed(f.doc)
	}
	if d.parsed {
		if value := v.slots[f.slots[0]].value; value != nil || d.state == docInvalid {
			return value, inRecord
		}
	}
	if d.state == docInvalid {
		return nil, nowhere
	}
	return need.finder.Value(d.found, need.at[f.path]-1), inText
}
