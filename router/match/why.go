package match

import (
	"fmt"
	"strings"

	"github.com/firebreak/firebreak/record"
)

// Reasons says in words why conditions hold for the events of a chunk, or why not. It runs the same tests as
// [Cond.Holds]. It belongs to one goroutine.
type Reasons struct {
	table *Table
	tag   string
	known Known
	view  View
}

// Bounds of what is said.
const (
	maxReason       = 1000 // bytes
	maxAlternatives = 4    // of one any
)

// Reasons prepares for the events of a chunk and for conditions of this table, which must not be reduced.
func (t *Table) Reasons(tag string, attrs record.Attrs, conds ...*Cond) *Reasons {
	r := &Reasons{table: t, tag: tag, known: t.Decide(nil, tag, attrs)}
	r.view.Use(t, t.Needs(conds...), attrs)
	return r
}

// Look turns to an event's record.
func (r *Reasons) Look(rec []byte) { r.view.Look(rec) }

// Why returns the first reason why the condition doesn't hold; "" when it holds.
func (r *Reasons) Why(c *Cond) string { return clip(r.why(c), maxReason) }

// Because returns which tests make a condition hold; "" when there are none, or it doesn't hold.
func (r *Reasons) Because(c *Cond) string {
	if !r.holds(c) {
		return ""
	}
	return clip(r.because(c), maxReason)
}

func (r *Reasons) holds(c *Cond) bool { return c.Reduce(r.known).Holds(&r.view) }

func (r *Reasons) why(c *Cond) string {
	switch c.op {
	case opAnd:
		for _, k := range c.written {
			if w := r.why(k); w != "" {
				return w
			}
		}
		return ""
	case opOr:
		return r.whyNone(c.written)
	case opNot:
		for _, k := range c.written {
			if r.holds(k) {
				return clip("not: "+orAlways(r.because(k)), maxReason)
			}
		}
		return ""
	}
	if r.holds(c) {
		return ""
	}
	if c.op == opConst {
		return "the condition never holds"
	}
	return r.whyTest(c)
}

// whyNone returns why no alternative holds; "" when one does.
func (r *Reasons) whyNone(list []*Cond) string {
	var reasons []string
	for i, k := range list {
		if i >= maxAlternatives {
			if r.holds(k) {
				return ""
			}
			continue
		}
		w := r.why(k)
		if w == "" {
			return ""
		}
		reasons = append(reasons, w)
	}
	switch n := len(list) - len(reasons); {
	case len(list) == 0:
		return "any names no alternative"
	case len(list) == 1:
		return reasons[0]
	case n > 0:
		reasons = append(reasons, fmt.Sprintf("… %d more", n))
	}
	return clip(fmt.Sprintf("none of %d alternatives holds: (%s)", len(list), strings.Join(reasons, "; ")), maxReason)
}

// because returns which tests make a condition hold that does hold.
func (r *Reasons) because(c *Cond) string {
	var reasons []string
	switch c.op {
	case opConst:
		return ""
	case opAnd:
		for _, k := range c.written {
			reasons = add(reasons, r.because(k))
		}
	case opOr:
		for _, k := range c.written {
			if r.holds(k) {
				return orAlways(r.because(k))
			}
		}
	case opNot: // what it forbids, and why that isn't so
		for _, k := range c.written {
			reasons = add(reasons, r.why(k))
		}
	default:
		return r.becauseTest(c)
	}
	return clip(strings.Join(reasons, "; "), maxReason)
}

func add(list []string, s string) []string {
	if s == "" {
		return list
	}
	return append(list, s)
}

// orAlways speaks of a condition without tests where there has to be a reason.
func orAlways(reason string) string {
	if reason == "" {
		return "an empty condition always holds"
	}
	return reason
}
