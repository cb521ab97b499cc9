package router

import "sync"

// IntakeStats counts events of one input since the start, as far as their Accept returned nil:
//
//	received = Routed + sum(Dropped) + sum(Discarded) + invalid
//
// The input counts received and invalid itself. An event counts as routed once, to however many destinations.
type IntakeStats struct {
	Routed    uint64
	Dropped   map[string]uint64 // by processor
	Discarded map[string]uint64 // by route, or Unmatched, or Malformed
	Routes    map[string]uint64 // by route: the events of its type, and those that it discarded

	// Part of Routed. An event that several processors of routes see may count several times.
	Truncated map[string]uint64 // cut by a size guard, by processor
	Redacted  map[string]uint64 // redact replaced something, by processor
	Rejected  map[string]uint64 // given to dead letters by a size guard, by processor
}

// Reasons for discarding that are not routes.
const (
	Unmatched = "unmatched" // no route takes the event
	Malformed = "malformed" // an input gave an entry that is not canonical
)

// Stats counts the events of all inputs.
type Stats struct {
	Routes map[string]uint64 // by route: the events of its type, and those that it discarded
	Bytes  map[string]uint64 // the size of the same events, encoded, before the route's own processors and compression
}

// counts is the numeric form of IntakeStats. Slices are by processor, and by route.
type counts struct {
	routed                       []uint64 // by type
	dropped, truncated, rejected []uint64
	redacted                     []uint64
	discarded                    []uint64
	bytes                        []uint64 // by type, and of what a route discards
	unmatched, malformed         uint64
}

func newCounts(r *Router) counts {
	n := make([]uint64, 4*len(r.processors)+3*len(r.routes))
	cut := func(size int) []uint64 {
		out := n[:size:size]
		n = n[size:]
		return out
	}
	p, q := len(r.processors), len(r.routes)
	return counts{routed: cut(q), dropped: cut(p), truncated: cut(p), rejected: cut(p), redacted: cut(p), discarded: cut(q), bytes: cut(q)}
}

func (c *counts) reset() {
	for _, list := range [][]uint64{c.routed, c.dropped, c.truncated, c.rejected, c.redacted, c.discarded, c.bytes} {
		clear(list)
	}
	c.unmatched, c.malformed = 0, 0
}

func (c *counts) add(d *counts) {
	addAll(c.routed, d.routed)
	addAll(c.dropped, d.dropped)
	addAll(c.truncated, d.truncated)
	addAll(c.rejected, d.rejected)
	addAll(c.redacted, d.redacted)
	addAll(c.discarded, d.discarded)
	addAll(c.bytes, d.bytes)
	c.unmatched += d.unmatched
	c.malformed += d.malformed
}

func addAll(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}

// An Intake is one input's way into the router, with its own counters.
type Intake struct {
	router *Router
	mu     sync.Mutex
	counts counts
}

// Intake returns the intake of an input; the same one for the same name.
func (r *Router) Intake(input string) *Intake {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.intakes[input]
	if in == nil {
		in = &Intake{router: r, counts: newCounts(r)}
		r.intakes[input] = in
	}
	return in
}

// Stats returns a snapshot. Every processor and every route has its entry, also at zero; in Discarded only the routes
// that discard.
func (in *Intake) Stats() IntakeStats {
	r := in.router
	out := IntakeStats{Dropped: map[string]uint64{}, Discarded: map[string]uint64{}, Truncated: map[string]uint64{}, Redacted: map[string]uint64{}, Rejected: map[string]uint64{},
		Routes: make(map[string]uint64, len(r.routes))}
	in.mu.Lock()
	defer in.mu.Unlock()
	c := &in.counts
	for i, name := range r.processors {
		out.Dropped[name] += c.dropped[i]
		out.Truncated[name] += c.truncated[i]
		out.Rejected[name] += c.rejected[i]
		out.Redacted[name] += c.redacted[i]
	}
	for i := range r.routes {
		out.Routed += c.routed[i]
		out.Routes[r.routes[i].name] += c.routed[i] + c.discarded[i]
		if rt := &r.routes[i]; rt.discard || c.discarded[i] > 0 {
			out.Discarded[rt.name] += c.discarded[i]
		}
	}
	out.Discarded[Unmatched] += c.unmatched
	out.Discarded[Malformed] += c.malformed
	return out
}

// Stats returns the counts of all inputs. Every route has its entry, also at zero.
func (r *Router) Stats() Stats {
	out := Stats{Routes: make(map[string]uint64, len(r.routes)), Bytes: make(map[string]uint64, len(r.routes))}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.routes {
		n, size := uint64(0), uint64(0)
		for _, in := range r.intakes {
			in.mu.Lock()
			n += in.counts.routed[i] + in.counts.discarded[i]
			size += in.counts.bytes[i]
			in.mu.Unlock()
		}
		out.Routes[r.routes[i].name] += n
		out.Bytes[r.routes[i].name] += size
	}
	return out
}
