// Package match compiles the conditions of routes and processors, and tests events by them without decoding them.
//
// A [Table] holds what the conditions of one configuration look at, so that each field of an event is looked up
// once. What the tag and the attributes of a chunk decide is put in once ([Table.Decide], [Cond.Reduce]); a [View]
// tests what is left on each event. After construction a Table and its conditions are immutable; a View belongs to
// one goroutine.
//
// The values of fields compare so: a str or bin by its text; a number or boolean by its text, in comparisons as a
// number; a text that holds a number compares as one too. A number equals a pattern that is a number by its value: 500
// is 500.0. Whole numbers compare exactly up to 64 bits. Null, maps and arrays are present and match nothing else. A
// comparison holds only for a number: != does not hold for a field that is absent or no number, such as NaN.
//
// A json condition looks at the JSON object in the line. Of an event whose line a processor has parsed and removed
// ([Table.Parsed]), it looks at the record's own keys first, where the parsed ones are now.
package match

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// A Table holds the fields that a set of conditions looks at.
type Table struct {
	known []knownTest
	attrs []string // that known looks at
	paths []string // record paths; their indexes are the slots of a View
	docs  []*doc

	parsed []string // see [Table.Parsed]
}

// A knownTest is decided by the tag (attr empty) or an attribute.
type knownTest struct {
	attr string
	test *test
}

func (k *knownTest) holds(tag string, attrs record.Attrs) bool {
	if k.attr == "" {
		return k.test.text([]byte(tag))
	}
	v := attrs.Get(k.attr)
	if v == "" {
		return k.test.absent
	}
	return k.test.text([]byte(v))
}

// A field is something in an event that tests look at.
type field struct {
	slots []int    // record paths; with text set, the first whose value is a text counts; with doc: the same path in the record
	text  bool     // only texts count
	trim  bool     // a leading slash doesn't count (Docker's container names)
	attrs []string // when the record has none: the first of these attributes
	doc   *doc     // not nil: the value at a path of the JSON object in the line
	path  int      // index in doc.paths
}

// A doc is a line that is looked into as JSON.
type doc struct {
	index int
	line  *field
	gone  []int // slots of the line whose texts processors parse and remove before
	paths []string
}

// compileTest knows the record keys behind the conditions. container_name, source and log come from Docker's fluentd
// log driver; stream is what readers of Docker's and CRI's log files write; message is the usual key of other senders.
func (t *Table) compileTest(c *config.Test) (*Cond, error) {
	tt, err := newTest(c.Patterns)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Field, err)
	}
	var f *field
	switch c.Field {
	case "tag":
		return t.addKnown("", tt, c), nil
	case "k8s", "ecs":
		return t.addKnown(c.Field+"."+c.Path, tt, c), nil
	case "record":
		f = &field{slots: t.slots(c.Path)}
	case "container":
		f = &field{slots: t.slots("container_name"), text: true, trim: true, attrs: []string{"k8s.container", "ecs.container"}}
	case "source":
		f = &field{slots: t.slots("source", "stream"), text: true}
	case "line":
		f = t.line(c.LineKey)
	case "json":
		f = t.json(c.LineKey, c.Path)
	default:
		return nil, fmt.Errorf("unknown field %q", c.Field)
	}
	return &Cond{op: opField, field: f, test: tt, source: c}, nil
}

func (t *Table) addKnown(attr string, tt *test, source *config.Test) *Cond {
	if attr != "" && !slices.Contains(t.attrs, attr) {
		t.attrs = append(t.attrs, attr)
	}
	t.known = append(t.known, knownTest{attr: attr, test: tt})
	return &Cond{op: opKnown, known: len(t.known) - 1, test: tt, source: source}
}

func (t *Table) slots(paths ...string) []int {
	out := make([]int, len(paths))
	for i, p := range paths {
		slot := slices.Index(t.paths, p)
		if slot < 0 {
			slot = len(t.paths)
			t.paths = append(t.paths, p)
		}
		out[i] = slot
	}
	return out
}

func (t *Table) line(key string) *field {
	if key == "" {
		return &field{slots: t.slots("log", "message"), text: true}
	}
	return &field{slots: t.slots(key), text: true}
}

func (t *Table) json(key, path string) *field {
	line := t.line(key)
	var gone []int
	for _, s := range line.slots {
		if slices.Contains(t.parsed, t.paths[s]) {
			gone = append(gone, s)
		}
	}
	i := slices.IndexFunc(t.docs, func(d *doc) bool {
		return slices.Equal(d.line.slots, line.slots) && slices.Equal(d.gone, gone)
	})
	if i < 0 {
		i = len(t.docs)
		t.docs = append(t.docs, &doc{index: i, line: line, gone: gone})
	}
	d := t.docs[i]
	p := slices.Index(d.paths, path)
	if p < 0 {
		p = len(d.paths)
		d.paths = append(d.paths, path)
	}
	f := &field{doc: d, path: p}
	if len(gone) > 0 {
		f.slots = t.slots(path)
	}
	return f
}

// Parsed names the record keys whose JSON texts are parsed and removed before the conditions that are compiled from
// now on are tested.
func (t *Table) Parsed(keys []string) { t.parsed = keys }

// PerTag reports whether any condition looks at the tag or an attribute.
func (t *Table) PerTag() bool { return len(t.known) > 0 }

// AppendKey appends what Decide depends on: equal keys give equal decisions.
func (t *Table) AppendKey(dst []byte, tag string, attrs record.Attrs) []byte {
	dst = appendSized(dst, tag)
	for _, name := range t.attrs {
		dst = appendSized(dst, attrs.Get(name))
	}
	return dst
}

// appendSized puts the length first, so that no tag can look like another one with an attribute.
func appendSized(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
