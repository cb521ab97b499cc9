// Package router decides by the conditions of routes which destinations an event goes to, and hands the chunks over.
//
// The way of a chunk: the plan for its tag ([Router.plan]: what is left of processors and routes once tag and
// attributes are known), the processors of all routes, the decision for each event, the split into chunks for each
// destination, one append for each destination. A chunk whose plan asks for nothing of its events goes on untouched.
// [Router.Explain] sends events the same way, watches, and gives what it saw in words.
package router

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/match"
	"github.com/firebreak/firebreak/router/process"
)

// Sink is what the router knows of a destination. Chunks and their data are only borrowed.
//
// A sink whose Append can wait for room (`on_full: block`) also has a method Blocks() bool that returns true: the
// router serves it after the others.
type Sink interface {
	// Append stores the chunks, in order, as buffer.Buffer.Append does.
	Append(ctx context.Context, chunks []record.Chunk) error
	// Reject gives the chunks straight to the destination's dead letters.
	Reject(ctx context.Context, chunks []record.Chunk, reason string) error
}

// ReasonTooLarge is the reason of dead letters that a size guard makes.
const ReasonTooLarge = "too_large"

// A Router is the compiled form of processors and routes. All methods may be called concurrently.
type Router struct {
	table      *match.Table
	steps      []step // before all routes
	routes     []route
	sinks      []sink   // those that may block last
	processors []string // names for counters, by step.id

	plans   plans
	pool    sync.Pool // of *scratch
	mu      sync.Mutex
	intakes map[string]*Intake
}

type sink struct {
	Sink
	name string
}

type route struct {
	name    string
	cond    *match.Cond
	goOn    bool
	discard bool
	to      []int // indexes of sinks
	steps   []step
}

// A step is a processor.
type step struct {
	id     int
	cond   *match.Cond
	action process.Action
}

// New compiles processors and routes. Every destination that a route names must be in sinks.
func New(processors []config.Processor, routes []config.Route, sinks map[string]Sink) (*Router, error) {
	r := &Router{table: &match.Table{}, intakes: make(map[string]*Intake)}
	for name, s := range sinks {
		r.sinks = append(r.sinks, sink{Sink: s, name: name})
	}
	slices.SortFunc(r.sinks, compareSinks)
	var err error
	var all lines
	if r.steps, all, err = r.compileSteps(processors, lines{}); err != nil {
		return nil, err
	}
	for i := range routes {
		c := &routes[i]
		out := route{name: c.Name, goOn: c.Continue, discard: c.Discard}
		r.table.Parsed(all.gone)
		if out.cond, err = r.table.Compile(c.Match); err != nil {
			return nil, fmt.Errorf("route %q: %w", c.Name, err)
		}
		for _, name := range c.To {
			k := slices.IndexFunc(r.sinks, func(s sink) bool { return s.name == name })
			if k < 0 {
				return nil, fmt.Errorf("route %q: no destination %q", c.Name, name)
			}
			if !c.Discard && !slices.Contains(out.to, k) {
				out.to = append(out.to, k)
			}
		}
		if out.steps, _, err = r.compileSteps(c.Processors, all); err != nil {
			return nil, fmt.Errorf("route %q: %w", c.Name, err)
		}
		r.routes = append(r.routes, out)
	}
	r.plans.start(r)
	r.pool.New = func() any { return newScratch(r) }
	return r, nil
}

// compileSteps compiles processors. What those before them did to lines is in l; it returns what is so behind them.
func (r *Router) compileSteps(list []config.Processor, l lines) ([]step, lines, error) {
	var out []step
	for i := range list {
		r.table.Parsed(l.gone)
		cond, err := r.table.Compile(list[i].Match)
		if err != nil {
			return nil, l, fmt.Errorf("processor %q: %w", list[i].Name, err)
		}
		action, err := process.New(&list[i])
		if err != nil {
			return nil, l, fmt.Errorf("processor %q: %w", list[i].Name, err)
		}
		l = l.behind(&list[i])
		out = append(out, step{id: len(r.processors), cond: cond, action: action})
		r.processors = append(r.processors, list[i].Name)
	}
	return out, l, nil
}

func compareSinks(a, b sink) int {
	switch x, y := blocks(a.Sink), blocks(b.Sink); {
	case x == y && a.name < b.name, !x && y:
		return -1
	}
	return 1
}

func blocks(s Sink) bool {
	b, ok := s.(interface{ Blocks() bool })
	return ok && b.Blocks()
}
