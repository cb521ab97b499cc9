package agent

import (
	"fmt"
	"strings"
)

// Live says whether the router accepts and stores. A dead destination never makes it fail: an orchestrator would kill
// the task, and the aggregator were a single point of failure again.
func (a *Agent) Live() (bool, string) {
	if a.phase.get() == starting {
		return false, "starting"
	}
	for _, in := range a.now.Load().ins {
		if in.ended.Load() && a.phase.get() == running {
			return false, fmt.Sprintf("input %q has ended", in.name)
		}
	}
	return true, "accepts and stores"
}

// Ready says whether the router is live and stores as configured: no buffer is in memory because its disk failed,
// none is at its bound, and the configuration is the one given.
func (a *Agent) Ready() (bool, string) {
	if ok, why := a.Live(); !ok {
		return false, why
	}
	if a.phase.get() != running {
		return false, "stopping"
	}
	var bad []string
	if why := a.reloads.why(); why != "" {
		bad = append(bad, "runs the last configuration that worked: "+why)
	}
	for _, d := range a.now.Load().dests {
		b := d.Stats().Buffer
		switch {
		case b.Volatile && d.cfg.Buffer.Type == "disk":
			bad = append(bad, fmt.Sprintf("buffer of %q is volatile: %s", d.Name(), b.Problem))
		case b.Full:
			bad = append(bad, fmt.Sprintf("buffer of %q is full", d.Name()))
		}
	}
	if len(bad) > 0 {
		return false, strings.Join(bad, "; ")
	}
	return true, "ready"
}

// Healthy says whether a destination delivers. known is false when there is none of that name.
func (a *Agent) Healthy(name string) (ok, known bool, why string) {
	var names []string
	for _, d := range a.now.Load().dests {
		if names = append(names, d.Name()); d.Name() != name {
			continue
		}
		s := d.Stats()
		switch {
		case s.Breaker != "closed":
			return false, true, fmt.Sprintf("breaker is %s: %s", s.Breaker, s.Error)
		case s.Error != "":
			return false, true, "the last attempt failed: " + s.Error
		case s.Buffer.Volatile && s.Buffer.Problem != "":
			return false, true, "buffer is volatile: " + s.Buffer.Problem
		}
		return true, true, "delivers"
	}
	return false, false, isOneOf("destination", name, names).Error()
}
