package agent

import (
	"runtime"
	"slices"
	"sync"

	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/router"
)

// removedName stands in counters for routes and processors that are not configured any more.
const removedName = "removed"

// A tally keeps what the routers of earlier setups have counted, so that counters go on over reloads.
type tally struct {
	mu       sync.Mutex
	ins      map[string]router.IntakeStats // by the inputs' ids
	routes   router.Stats
	retiring []*setup // replaced, and perhaps still in use
}

func newTally() *tally {
	return &tally{ins: map[string]router.IntakeStats{}, routes: router.Stats{Routes: map[string]uint64{}, Bytes: map[string]uint64{}}}
}

// swap puts a setup in the place of an old one, which goes on counting until it is folded.
func (t *tally) swap(old *setup, put func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retiring = append(t.retiring, old)
	put()
}

// fold adds what a retired setup has counted; now gives the present one. What is not in the present configuration goes under one name: the number
// of names stays bounded.
func (t *tally) fold(s *setup, now func() *setup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	present := now() // which swap doesn't change meanwhile
	routes, processors := namesOf(present)
	for i, r := range t.retiring {
		if r == s {
			t.retiring = append(t.retiring[:i], t.retiring[i+1:]...)
			break
		}
	}
	for _, id := range s.router.Intakes() {
		sum := t.ins[id]
		addIntake(&sum, s.router.Intake(id).Stats())
		t.ins[id] = sum
	}
	for id, sum := range t.ins {
		if !slices.ContainsFunc(present.ins, func(in *input) bool { return in.id == id }) {
			delete(t.ins, id)
			continue
		}
		for _, m := range []map[string]uint64{sum.Dropped, sum.Truncated, sum.Rejected, sum.Redacted} {
			gather(m, processors)
		}
		gather(sum.Discarded, routes)
		gather(sum.Routes, routes)
	}
	st := s.router.Stats()
	addTo(&t.routes.Routes, st.Routes)
	addTo(&t.routes.Bytes, st.Bytes)
	gather(t.routes.Routes, routes)
	gather(t.routes.Bytes, routes)
}

// namesOf returns the names that counters of a setup have.
func namesOf(s *setup) (routes, processors map[string]bool) {
	routes = map[string]bool{router.Unmatched: true, router.Malformed: true}
	processors = map[string]bool{}
	for _, p := range s.cfg.Processors {
		processors[p.Name] = true
	}
	for _, r := range s.cfg.Routes {
		routes[r.Name] = true
		for _, p := range r.Processors {
			processors[p.Name] = true
		}
	}
	return routes, processors
}

// gather puts the counts under names that are not known together.
func gather(m map[string]uint64, known map[string]bool) {
	for name, n := range m {
		if !known[name] && name != removedName {
			delete(m, name)
			if n > 0 {
				m[removedName] += n
			}
		}
	}
}

func addTo(to *map[string]uint64, from map[string]uint64) {
	if *to == nil {
		*to = make(map[string]uint64, len(from))
	}
	for k, n := range from {
		(*to)[k] += n
	}
}

func addIntake(to *router.IntakeStats, from router.IntakeStats) {
	to.Routed += from.Routed
	addTo(&to.Dropped, from.Dropped)
	addTo(&to.Discarded, from.Discarded)
	addTo(&to.Truncated, from.Truncated)
	addTo(&to.Rejected, from.Rejected)
	addTo(&to.Redacted, from.Redacted)
	addTo(&to.Routes, from.Routes)
}

// intake returns what was counted for an input by the present router and all earlier ones.
func (a *Agent) intake(id string) router.IntakeStats {
	t := a.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum router.IntakeStats
	addIntake(&sum, t.ins[id])
	for _, s := range t.retiring {
		addIntake(&sum, s.intake(id).Stats())
	}
	addIntake(&sum, a.now.Load().intake(id).Stats())
	return sum
}

// routed returns what was counted for routes by the present router and all earlier ones.
func (a *Agent) routed() router.Stats {
	t := a.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := router.Stats{Routes: map[string]uint64{}, Bytes: map[string]uint64{}}
	add := func(st router.Stats) {
		addTo(&sum.Routes, st.Routes)
		addTo(&sum.Bytes, st.Bytes)
	}
	add(t.routes)
	for _, s := range t.retiring {
		add(s.router.Stats())
	}
	add(a.now.Load().router.Stats())
	return sum
}

// inputStats reads the counters of an input and of its way through the router, which counts a moment earlier. They are
// read again while a batch is just between the two.
func (a *Agent) inputStats(in *input) (inputs.Stats, router.IntakeStats) {
	for try := 0; ; try++ {
		st, rt := in.in.Stats(), a.intake(in.id)
		if try == 100 || st.Received == rt.Routed+sum(rt.Dropped)+sum(rt.Discarded)+sum(st.Invalid) {
			return st, rt
		}
		runtime.Gosched()
	}
}
