package match

import (
	"slices"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

type op uint8

const (
	opConst op = iota // the truth in Cond.truth
	opKnown           // a test that the tag and the attributes decide
	opField           // a test of a field of the event
	opAnd
	opOr
	opNot // none of kids
)

// A Cond is a compiled condition. It is immutable.
type Cond struct {
	op    op
	truth bool
	kids  []*Cond
	known int // opKnown: index of the test in the table
	field *field
	test  *test

	// Of conditions that aren't reduced, for Reasons.
	written []*Cond      // kids in the order of the configuration
	source  *config.Test // of a test
}

func constant(truth bool) *Cond { return &Cond{op: opConst, truth: truth} }

// Always reports whether the condition holds for every event, Never whether for none. Both may be false.
func (c *Cond) Always() bool { return c.op == opConst && c.truth }

// Never reports whether the condition holds for no event.
func (c *Cond) Never() bool { return c.op == opConst && !c.truth }

// Compile compiles a condition; nil holds always. Conditions compiled by one table share their fields.
func (t *Table) Compile(m *config.Match) (*Cond, error) {
	if m == nil {
		return constant(true), nil
	}
	var all []*Cond
	for i := range m.Tests {
		c, err := t.compileTest(&m.Tests[i])
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if m.Any != nil {
		kids, err := t.compileList(m.Any)
		if err != nil {
			return nil, err
		}
		all = append(all, connect(opOr, kids))
	}
	if len(m.Not) > 0 {
		kids, err := t.compileList(m.Not)
		if err != nil {
			return nil, err
		}
		all = append(all, connect(opNot, kids))
	}
	return connect(opAnd, all), nil
}

// connect returns a condition that tries the cheap ones of kids first.
func connect(o op, kids []*Cond) *Cond {
	c := &Cond{op: o, kids: kids, written: slices.Clone(kids)}
	byCost(c.kids)
	return c
}

func (t *Table) compileList(list []*config.Match) ([]*Cond, error) {
	var kids []*Cond
	for _, m := range list {
		c, err := t.Compile(m)
		if err != nil {
			return nil, err
		}
		kids = append(kids, c)
	}
	return kids, nil
}

func byCost(list []*Cond) {
	slices.SortStableFunc(list, func(a, b *Cond) int { return a.cost() - b.cost() })
}

// Nodes returns how many tests and connectives the condition holds.
func (c *Cond) Nodes() int {
	n := 1
	for _, k := range c.kids {
		n += k.Nodes()
	}
	return n
}

func (c *Cond) cost() int {
	n := 0
	switch c.op {
	case opField:
		n = c.test.cost()
		if c.field.doc != nil {
			n += 5
		}
	default:
		for _, k := range c.kids {
			n += k.cost()
		}
	}
	return n
}

// Reduce returns the condition with the tests that known decides put in.
func (c *Cond) Reduce(known Known) *Cond {
	switch c.op {
	case opKnown:
		return constant(known.has(c.known))
	case opAnd, opOr, opNot:
	default:
		return c
	}
	decisive := c.op != opAnd // what decides by itself: one false for and, one true for or and not
	kids := make([]*Cond, 0, len(c.kids))
	for _, k := range c.kids {
		switch r := k.Reduce(known); {
		case r.op != opConst:
			kids = append(kids, r)
		case r.truth == decisive:
			return constant(c.op == opOr)
		}
	}
	switch {
	case len(kids) == 0:
		return constant(c.op != opOr)
	case len(kids) == 1 && c.op != opNot:
		return kids[0]
	}
	return &Cond{op: c.op, kids: kids}
}

// Holds reports whether a reduced condition holds for the event that v looks at.
func (c *Cond) Holds(v *View) bool {
	switch c.op {
	case opField:
		return v.test(c.field, c.test)
	case opAnd:
		for _, k := range c.kids {
			if !k.Holds(v) {
				return false
			}
		}
		return true
	case opOr, opNot:
		for _, k := range c.kids {
			if k.Holds(v) {
				return c.op == opOr
			}
		}
		return c.op == opNot
	}
	return c.truth
}

// Known holds the truth of the tests of a table that the tag and the attributes of a chunk decide.
type Known []uint64

func (k Known) has(i int) bool { return k[i/64]>>(i%64)&1 == 1 }

// Decide appends the truth of all such tests to dst.
func (t *Table) Decide(dst Known, tag string, attrs record.Attrs) Known {
	start := len(dst)
	for range (len(t.known) + 63) / 64 {
		dst = append(dst, 0)
	}
	for i := range t.known {
		if t.known[i].holds(tag, attrs) {
			dst[start+i/64] |= 1 << (i % 64)
		}
	}
	return dst
}
