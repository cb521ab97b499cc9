package router

import (
	"encoding/binary"
	"sync"

	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/match"
)

// A plan is what is left of processors and routes for the chunks of some tags and attributes. It is immutable.
type plan struct {
	steps      []planStep
	stepNeeds  *match.Needs
	routes     []planRoute // up to the first one that takes every event
	routeNeeds *match.Needs

	// direct: nothing depends on the event; all go to the destinations to, as the type of the route first.
	direct bool
	first  int // index of a route, or noRoute
	to     []int
	gone   int // with to empty: index of the route that discards, or noRoute

	weight int // nodes of all conditions: its memory is in proportion
}

const noRoute = -1

type planStep struct {
	*step
	cond *match.Cond
}

type planRoute struct {
	*route
	index int // in Router.routes
	cond  *match.Cond
	steps []planStep
	needs *match.Needs // of steps
}

func (r *Router) newPlan(known match.Known) *plan {
	p := &plan{first: noRoute, gone: noRoute, weight: 1}
	p.steps, p.stepNeeds = r.planSteps(r.steps, known)
	p.weigh(p.steps)
	var conds []*match.Cond
	p.direct = true
	for i := range r.routes {
		rt := &r.routes[i]
		cond := rt.cond.Reduce(known)
		if cond.Never() {
			continue
		}
		pr := planRoute{route: rt, index: i, cond: cond}
		pr.steps, pr.needs = r.planSteps(rt.steps, known)
		p.weight += cond.Nodes()
		p.weigh(pr.steps)
		p.routes = append(p.routes, pr)
		conds = append(conds, cond)
		p.direct = p.direct && cond.Always() && len(pr.steps) == 0
		if cond.Always() && !rt.goOn {
			break
		}
	}
	p.routeNeeds = r.table.Needs(conds...)
	if p.direct {
		p.decide(len(r.sinks))
	}
	return p
}

func (p *plan) weigh(steps []planStep) {
	for i := range steps {
		p.weight += steps[i].cond.Nodes()
	}
}

// decide fills in where the events of a direct plan go.
func (p *plan) decide(sinks int) {
	seen := make([]bool, sinks)
	for i := range p.routes {
		rt := &p.routes[i]
		if i == 0 {
			p.first, p.gone = rt.index, rt.index
		}
		if rt.discard && !p.routes[0].discard && p.gone == p.first {
			p.gone = rt.index
		}
		for _, k := range rt.to {
			if !seen[k] {
				seen[k] = true
				p.to = append(p.to, k)
			}
		}
	}
}

func (r *Router) planSteps(steps []step, known match.Known) ([]planStep, *match.Needs) {
	var out []planStep
	var conds []*match.Cond
	for i := range steps {
		cond := steps[i].cond.Reduce(known)
		if !cond.Never() {
			out = append(out, planStep{step: &steps[i], cond: cond})
			conds = append(conds, cond)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, r.table.Needs(conds...)
}

// Bounds of what is remembered. Tags come from senders.
const (
	maxTags   = 10_000
	maxWeight = 50_000 // of all plans together, about 10 MiB; a single plan may be heavier
	maxTagKey = 512    // bytes; longer ones are decided each time
)

// plans remembers the plan for each tag, and shares one plan between the tags for which all tests have the same
// results. Tags are kept in two generations: when the young one is full, the old one is forgotten. When the plans
// become too heavy, everything is.
type plans struct {
	router *Router
	single *plan // when no condition looks at tag or attributes

	mu         sync.RWMutex
	young, old map[string]*plan
	byKnown    map[string]*plan
	weight     int // of byKnown
}

func (ps *plans) start(r *Router) {
	ps.router = r
	if !r.table.PerTag() {
		ps.single = r.newPlan(nil)
		return
	}
	ps.young, ps.byKnown = make(map[string]*plan), make(map[string]*plan)
}

// get returns the plan for a tag and attributes. key and known are scratch, which may grow.
func (ps *plans) get(tag string, attrs record.Attrs, key *[]byte, known *match.Known) *plan {
	if ps.single != nil {
		return ps.single
	}
	t := ps.router.table
	*key = t.AppendKey((*key)[:0], tag, attrs)
	ps.mu.RLock()
	p := ps.young[string(*key)]
	keep := p == nil && len(*key) <= maxTagKey
	if p == nil {
		p = ps.old[string(*key)]
	}
	ps.mu.RUnlock()
	if p == nil {
		*known = t.Decide((*known)[:0], tag, attrs)
		p = ps.share(*known)
	}
	if keep {
		ps.mu.Lock()
		if len(ps.young) >= maxTags/2 {
			ps.old, ps.young = ps.young, make(map[string]*plan)
		}
		ps.young[string(*key)] = p
		ps.mu.Unlock()
	}
	return p
}

// share returns the plan for the results of the tests.
func (ps *plans) share(known match.Known) *plan {
	var buf [64]byte
	key := buf[:0]
	for _, word := range known {
		key = binary.LittleEndian.AppendUint64(key, word)
	}
	ps.mu.RLock()
	p := ps.byKnown[string(key)]
	ps.mu.RUnlock()
	if p == nil {
		p = ps.router.newPlan(known)
		ps.mu.Lock()
		if ps.weight += p.weight; ps.weight > maxWeight {
			ps.weight = p.weight
			ps.young, ps.old, ps.byKnown = make(map[string]*plan), nil, make(map[string]*plan)
		}
		ps.byKnown[string(key)] = p
		ps.mu.Unlock()
	}
	return p
}
