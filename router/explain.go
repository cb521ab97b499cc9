package router

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/match"
	"github.com/firebreak/firebreak/router/process"
)

// A peeker is an action that does more than look at the record: it counts, or throws a die. Peek says what it would
// do without doing it: Same or Dropped, and in words what that depends on.
type peeker interface {
	Peek(rec []byte, s *process.Scope) (v process.Verdict, note string)
}

// Explain says for each event of a chunk, as an input would give it, what Accept would do, and why. It changes nothing
// and counts nothing. A part that is not canonical ends it. The bytes in the result may be parts of c.Data. The result
// holds each event once for each destination, and about 1 KiB for each condition at most: explain a few events at a time.
func (r *Router) Explain(c record.Chunk) []Explanation {
	x := newExplainer(r, &c)
	var out []Explanation
	it := record.Iterate(&c)
	for n := 0; n < c.Events && it.Next(); n++ {
		out = append(out, x.explain(it.Event()))
	}
	return out
}

// An explainer lets the events of a chunk go the way of Accept, one by one and no farther than to the sinks, and
// watches: the processors of its plan are spies, and the rest is read off the scratch.
type explainer struct {
	router  *Router
	chunk   *record.Chunk
	plan    *plan
	scratch *scratch
	reasons *match.Reasons
	deeds   map[int]deed // by step.id: what the processors did to the present event
}

// A deed is what a processor did.
type deed struct {
	verdict process.Verdict
	after   []byte
	note    string
}

func newExplainer(r *Router, c *record.Chunk) *explainer {
	x := &explainer{router: r, chunk: c, scratch: newScratch(r), deeds: make(map[int]deed)}
	x.plan = r.newPlan(r.table.Decide(nil, c.Tag, c.Attrs))
	x.plan.direct = false // what the events have in common is decided for each of them, so that it can be watched
	x.watch(x.plan.steps)
	for i := range x.plan.routes {
		x.watch(x.plan.routes[i].steps)
	}
	x.reasons = r.table.Reasons(c.Tag, c.Attrs, r.conditions()...)
	return x
}

func (x *explainer) watch(steps []planStep) {
	for i := range steps {
		st := *steps[i].step
		st.action = spy{st.action, st.id, x}
		steps[i].step = &st
	}
}

// A spy is an action that tells the explainer what it does.
type spy struct {
	process.Action
	id int
	x  *explainer
}

func (s spy) Apply(dst, rec []byte, scope *process.Scope) ([]byte, process.Verdict) {
	if p, ok := s.Action.(peeker); ok {
		v, note := p.Peek(rec, scope)
		s.x.deeds[s.id] = deed{verdict: v, note: note}
		return dst, v
	}
	out, v := s.Action.Apply(dst, rec, scope)
	s.x.deeds[s.id] = deed{verdict: v, after: bytes.Clone(out[len(dst):])}
	return out, v
}

// conditions returns the conditions of all processors and routes.
func (r *Router) conditions() (out []*match.Cond) {
	add := func(steps []step) {
		for i := range steps {
			out = append(out, steps[i].cond)
		}
	}
	add(r.steps)
	for i := range r.routes {
		out = append(out, r.routes[i].cond)
		add(r.routes[i].steps)
	}
	return out
}

func (x *explainer) explain(ev record.Event) Explanation {
	out := Explanation{Tag: x.chunk.Tag, Time: ev.Time(), Record: ev.Record, Routes: []Verdict{}, Deliveries: []Delivery{}}
	one := *x.chunk
	one.Data, one.Events, one.Route = ev.Raw, 1, ""
	one.Oldest, one.Newest = out.Time, out.Time
	x.clear()
	x.scratch.route(x.plan, &one)
	var rec []byte
	out.Processors, rec = x.effects(x.router.steps, ev.Record)
	if rec != nil {
		x.routes(&out, rec)
	}
	out.Fate = x.fate()
	return out
}

// clear forgets the event before.
func (x *explainer) clear() {
	clear(x.deeds)
	s := x.scratch
	s.counts.reset()
	clear(s.out)
	clear(s.rejected)
}

// effects says what processors did to an event, up to the one that drops it; then the record is nil.
func (x *explainer) effects(steps []step, rec []byte) ([]Effect, []byte) {
	out := []Effect{}
	for i := range steps {
		st := &steps[i]
		e := Effect{Name: x.router.processors[st.id]}
		x.reasons.Look(rec)
		d, matched := x.deeds[st.id]
		if !matched {
			e.Why = x.reasons.Why(st.cond)
			out = append(out, e)
			continue
		}
		e.Matched, e.Because, e.Note, e.Effect = true, x.reasons.Because(st.cond), d.note, effectName(d.verdict)
		if d.verdict == process.Changed || d.verdict == process.Truncated || d.verdict == process.Redacted {
			e.Before, e.After = rec, d.after
			rec = d.after
		}
		out = append(out, e)
		if d.verdict == process.Dropped {
			return out, nil
		}
	}
	return out, rec
}

func effectName(v process.Verdict) string {
	switch v {
	case process.Changed:
		return "changed"
	case process.Truncated:
		return "truncated"
	case process.Redacted:
		return "redacted"
	case process.Dropped:
		return "dropped"
	case process.TooLarge:
		return "too_large"
	}
	return "same"
}

// routes says which routes took an event, and what the destinations get.
func (x *explainer) routes(out *Explanation, rec []byte) {
	path := x.path()
	served := make([]bool, len(x.router.sinks))
	last := ""
	for i := range x.router.routes {
		rt := &x.router.routes[i]
		v := Verdict{Name: rt.name, Continue: rt.goOn, Discard: rt.discard, To: []string{}}
		for _, k := range rt.to {
			v.To = append(v.To, x.router.sinks[k].name)
		}
		switch {
		case last != "":
			v.Skipped, v.Why = true, fmt.Sprintf("not reached: %q matched before", last)
		case len(path) > 0 && path[0] == i:
			path = path[1:]
			if out.Type == "" {
				out.Type = rt.name
			}
			if !rt.goOn {
				last = rt.name
			}
			x.reasons.Look(rec)
			v.Matched, v.Because = true, x.reasons.Because(rt.cond)
			x.deliver(out, &v, rt, rec, served)
		default:
			x.reasons.Look(rec)
			v.Why = x.reasons.Why(rt.cond)
		}
		out.Routes = append(out.Routes, v)
	}
}

// path returns the routes that took the event, as the split has them.
func (x *explainer) path() (out []int) {
	sp := &x.scratch.split
	if len(sp.runs) == 0 {
		return nil
	}
	for g := sp.runs[0].group; sp.groups[g].route >= 0; g = sp.groups[g].parent {
		out = append(out, x.plan.routes[sp.groups[g].route].index)
	}
	slices.Reverse(out)
	return out
}

// deliver says what the destinations of a route get that no route before it serves.
func (x *explainer) deliver(out *Explanation, v *Verdict, rt *route, rec []byte, served []bool) {
	fresh := false
	for _, k := range rt.to {
		name := x.router.sinks[k].name
		if served[k] {
			v.Served = append(v.Served, name)
			continue
		}
		served[k], fresh = true, true
		for _, c := range x.scratch.out[k] {
			out.Deliveries = append(out.Deliveries, Delivery{Destination: name, Route: c.Route, Event: c})
		}
		for _, c := range x.scratch.rejected[k] {
			out.Deliveries = append(out.Deliveries, Delivery{Destination: name, Route: c.Route, Event: c, DeadLetter: ReasonTooLarge})
		}
	}
	if fresh {
		v.Processors, _ = x.effects(rt.steps, rec)
	}
}

// fate says what the event counted as.
func (x *explainer) fate() string {
	c := &x.scratch.counts
	for i, n := range c.dropped {
		if n > 0 {
			return fmt.Sprintf("dropped by processor %q", x.router.processors[i])
		}
	}
	for i, n := range c.discarded {
		switch rt := &x.router.routes[i]; {
		case n > 0 && rt.discard:
			return fmt.Sprintf("discarded by route %q", rt.name)
		case n > 0:
			return fmt.Sprintf("discarded: route %q has no destination", rt.name)
		}
	}
	if c.unmatched > 0 {
		return "matched by no route: discarded"
	}
	return "routed"
}
