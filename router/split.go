package router

import (
	"slices"

	"github.com/firebreak/firebreak/record"
)

// A split is the state of dividing one chunk.
//
// Each event belongs to a group: the list of routes that take it, as a node in a tree. Neighbours of one group form a
// run. What a group sends one way (all its destinations without processors of their own, or the destinations that it
// reaches by a route with processors) is a branch. A destination gets the runs of its branches in the order of the
// events; neighbours of one type are joined to one chunk. So a destination of several types has a chunk for each change
// of type: that is the price of keeping the order of a tag, and it is bounded by the number of events.
type split struct {
	groups   []group // the first two are the roots: no route yet; for events that are too large
	runs     []run
	branches []branch
	pieces   []piece

	bySink  [][]int32 // branches
	done    []served
	path    []int32 // routes of the present group
	seen    []int32 // by sink: the last group that reaches it
	branch  []int32 // by group, while one destination is served
	kept    []bool  // by event of a group that all branches may drop
	dropper []int   // likewise: id of the first step that drops it, and 1 more
	size    []int   // likewise: bytes of an event that is dropped
}

type group struct {
	parent, route  int32 // index in the plan's routes; -1: a root
	child, sibling int32 // 0: none
	first, last    int32 // runs; -1: none
	large          bool
	typ            int // index of the first route in the router
	events, bytes  int
}

type run struct {
	group, next int32 // next of the same group; -1: none
	start, end  int   // in the chunk's data
	events      int
}

// A branch without processors (route < 0) takes its bytes from the chunk; the others from what was written for them.
type branch struct {
	group, route int32
	data         []byte
	from, to     int32 // pieces
	cursor       int32
}

// A piece is what processors left of a run, or a part of it.
type piece struct {
	run        int32
	start, end int // in the branch's data
	events     int
	large      bool
}

// served says where the chunks for the same branches were put before.
type served struct{ sink, from, to, fromRejected, toRejected int }

func newSplit(sinks int) split {
	return split{bySink: make([][]int32, sinks), seen: make([]int32, sinks)}
}

func (sp *split) begin() {
	root := group{parent: -1, route: -1, first: -1, last: -1}
	sp.groups = append(sp.groups[:0], root, root)
	sp.groups[1].large = true
	sp.runs, sp.branches, sp.pieces, sp.done = sp.runs[:0], sp.branches[:0], sp.pieces[:0], sp.done[:0]
	for k := range sp.bySink {
		sp.bySink[k] = sp.bySink[k][:0]
	}
	clear(sp.seen)
}

func (sp *split) release() {
	sp.groups, sp.runs, sp.pieces = emptied(sp.groups), emptied(sp.runs), emptied(sp.pieces)
	sp.branches, sp.branch, sp.kept, sp.dropper = emptied(sp.branches), emptied(sp.branch), emptied(sp.kept), emptied(sp.dropper)
	sp.size = emptied(sp.size)
	for k := range sp.bySink {
		sp.bySink[k] = emptied(sp.bySink[k])
	}
}

// step returns the group of those events of g that the route takes as well.
func (sp *split) step(g, route int32) int32 {
	for c := sp.groups[g].child; c != 0; c = sp.groups[c].sibling {
		if sp.groups[c].route == route {
			return c
		}
	}
	n := int32(len(sp.groups))
	parent := &sp.groups[g]
	fresh := group{parent: g, route: route, sibling: parent.child, first: -1, last: -1, large: parent.large}
	parent.child = n
	sp.groups = append(sp.groups, fresh)
	return n
}

// add puts the next event into a group.
func (sp *split) add(g int32, start, end int) {
	gr := &sp.groups[g]
	gr.events++
	gr.bytes += end - start
	last := int32(len(sp.runs) - 1)
	if last >= 0 && sp.runs[last].group == g {
		sp.runs[last].end = end
		sp.runs[last].events++
		return
	}
	sp.runs = append(sp.runs, run{group: g, next: -1, start: start, end: end, events: 1})
	if gr.last >= 0 {
		sp.runs[gr.last].next = last + 1
	} else {
		gr.first = last + 1
	}
	gr.last = last + 1
}

// spread decides on each event of c and adds what comes out to the sinks' chunks.
func (s *scratch) spread(p *plan, c *record.Chunk) {
	sp := &s.split
	sp.begin()
	s.view.Use(s.router.table, p.routeNeeds, c.Attrs)
	it := record.Iterate(c)
	n, at := 0, 0
	large := s.large
	for ; n < c.Events && it.Next(); n++ {
		ev := it.Event()
		g := int32(0)
		if len(large) > 0 && large[0] == n {
			g, large = 1, large[1:]
		}
		s.view.Look(ev.Record)
		for i := range p.routes {
			rt := &p.routes[i]
			if rt.cond.Always() || rt.cond.Holds(&s.view) {
				g = sp.step(g, int32(i))
				if !rt.goOn {
					break
				}
			}
		}
		sp.add(g, at, at+len(ev.Raw))
		at += len(ev.Raw)
	}
	s.counts.malformed += uint64(c.Events - n)
	for g := range sp.groups {
		if sp.groups[g].first >= 0 {
			s.direct(p, c, int32(g))
		}
	}
	for k := range sp.bySink {
		if len(sp.bySink[k]) > 0 {
			s.serve(k, p, c)
		}
	}
}

// direct finds the branches of a group, and counts its events.
func (s *scratch) direct(p *plan, c *record.Chunk, g int32) {
	sp := &s.split
	gr := &sp.groups[g]
	events := uint64(gr.events)
	sp.path = sp.path[:0]
	for at := g; sp.groups[at].route >= 0; at = sp.groups[at].parent {
		sp.path = append(sp.path, sp.groups[at].route)
	}
	if len(sp.path) == 0 {
		s.counts.unmatched += events
		return
	}
	slices.Reverse(sp.path)
	first := &p.routes[sp.path[0]]
	gr.typ = first.index
	gone := first
	plain := int32(-1)
	start := len(sp.branches)
	for _, i := range sp.path {
		rt := &p.routes[i]
		if rt.discard && !gone.discard {
			gone = rt
		}
		own := int32(-1)
		for _, k := range rt.to {
			if sp.seen[k] == g {
				continue
			}
			sp.seen[k] = g
			b := &own
			route := i
			if len(rt.steps) == 0 {
				b, route = &plain, -1
			}
			if *b < 0 {
				*b = int32(len(sp.branches))
				sp.branches = append(sp.branches, branch{group: g, route: route})
			}
			sp.bySink[k] = append(sp.bySink[k], *b)
		}
	}
	if len(sp.branches) == start {
		s.counts.discarded[gone.index] += events
		s.counts.bytes[gone.index] += uint64(gr.bytes)
		return
	}
	s.counts.routed[gr.typ] += events
	s.counts.bytes[gr.typ] += uint64(gr.bytes)
	s.transform(p, c, g, start, plain < 0)
}

// transform writes the branches of a group that have processors of their own. droppable says that no other branch
// keeps what they drop: an event that all of them drop isn't routed.
func (s *scratch) transform(p *plan, c *record.Chunk, g int32, start int, droppable bool) {
	sp := &s.split
	gr := &sp.groups[g]
	if droppable {
		sp.kept, sp.dropper = append(sp.kept[:0], make([]bool, gr.events)...), append(sp.dropper[:0], make([]int, gr.events)...)
		sp.size = append(sp.size[:0], make([]int, gr.events)...)
	}
	s.scope.Begin()
	s.part = *c
	s.part.Route = s.router.routes[gr.typ].name
	for b := start; b < len(sp.branches); b++ {
		br := &sp.branches[b]
		if br.route < 0 {
			continue
		}
		rt := &p.routes[br.route]
		s.view.Use(s.router.table, rt.needs, c.Attrs)
		br.from = int32(len(sp.pieces))
		s.arena.begin(gr.bytes)
		n := 0
		for i := gr.first; i >= 0; i = sp.runs[i].next {
			s.part.Data = c.Data[sp.runs[i].start:sp.runs[i].end]
			for it := record.Iterate(&s.part); it.Next(); n++ {
				ev := it.Event()
				s.scope.Event = ev
				rec, f := s.apply(rt.steps, ev.Record)
				if f.dropped {
					if droppable && sp.dropper[n] == 0 {
						sp.dropper[n], sp.size[n] = f.by+1, len(ev.Raw)
					}
					continue
				}
				if droppable {
					sp.kept[n] = true
				}
				if f.large {
					s.counts.rejected[f.by]++
				}
				from := s.arena.size()
				s.arena.write(ev.Raw[:len(ev.Raw)-len(ev.Record)])
				s.arena.write(rec)
				sp.addPiece(piece{run: i, start: from, end: s.arena.size(), events: 1, large: f.large || gr.large}, br.from)
			}
		}
		br.data = s.arena.end()
		br.to = int32(len(sp.pieces))
		br.cursor = br.from
	}
	if !droppable {
		return
	}
	for n, kept := range sp.kept {
		if !kept {
			s.counts.dropped[sp.dropper[n]-1]++
			s.counts.routed[gr.typ]--
			s.counts.bytes[gr.typ] -= uint64(sp.size[n])
		}
	}
}

func (sp *split) addPiece(p piece, from int32) {
	if n := len(sp.pieces); n > int(from) {
		if last := &sp.pieces[n-1]; last.run == p.run && last.large == p.large {
			last.end, last.events = p.end, last.events+1
			return
		}
	}
	sp.pieces = append(sp.pieces, p)
}
