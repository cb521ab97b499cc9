package router

import (
	"slices"

	"github.com/firebreak/firebreak/record"
)

// serve adds the chunks of the branches that reach a sink to what the sink gets.
func (s *scratch) serve(k int, p *plan, c *record.Chunk) {
	sp := &s.split
	for _, d := range sp.done {
		if slices.Equal(sp.bySink[d.sink], sp.bySink[k]) {
			s.out[k] = append(s.out[k], s.out[d.sink][d.from:d.to]...)
			s.rejected[k] = append(s.rejected[k], s.rejected[d.sink][d.fromRejected:d.toRejected]...)
			return
		}
	}
	d := served{sink: k, from: len(s.out[k]), fromRejected: len(s.rejected[k])}
	s.out[k] = s.collect(s.out[k], k, c, false)
	s.rejected[k] = s.collect(s.rejected[k], k, c, true)
	d.to, d.toRejected = len(s.out[k]), len(s.rejected[k])
	sp.done = append(sp.done, d)
}

// collect appends the chunks with what the branches of a sink hold: of the events that are too large, or the others.
func (s *scratch) collect(dst []record.Chunk, k int, c *record.Chunk, large bool) []record.Chunk {
	sp := &s.split
	if len(sp.branch) < len(sp.groups) {
		sp.branch = append(sp.branch, make([]int32, len(sp.groups)-len(sp.branch))...)
	}
	for g := range sp.groups {
		sp.branch[g] = -1
	}
	some := false
	size := 0
	for _, b := range sp.bySink[k] {
		br := &sp.branches[b]
		sp.branch[br.group] = b
		br.cursor = br.from
		size += sp.groups[br.group].bytes
		some = some || sp.groups[br.group].large == large || br.route >= 0
	}
	if !some {
		return dst
	}
	j := joiner{s: s, c: c, dst: dst, size: size}
	for i := range sp.runs {
		r := &sp.runs[i]
		b := sp.branch[r.group]
		if b < 0 {
			continue
		}
		gr, br := &sp.groups[r.group], &sp.branches[b]
		if br.route < 0 {
			if gr.large == large {
				j.add(-1, c.Data, r.start, r.end, r.events, gr.typ)
			}
			continue
		}
		for ; br.cursor < br.to && sp.pieces[br.cursor].run == int32(i); br.cursor++ {
			if pc := &sp.pieces[br.cursor]; pc.large == large {
				j.add(b, br.data, pc.start, pc.end, pc.events, gr.typ)
			}
		}
	}
	j.flush()
	return j.dst
}

// A joiner makes chunks of pieces that follow one another: one for each row of the same type. It copies only what
// doesn't lie side by side.
type joiner struct {
	s    *scratch
	c    *record.Chunk
	dst  []record.Chunk
	size int // upper bound of what is to be copied, as long as no processor adds to it

	typ        int
	events     int // 0: nothing is open
	copying    bool
	source     int32 // of the open piece: a branch, or -1 for the chunk
	data       []byte
	start, end int
}

func (j *joiner) add(source int32, data []byte, start, end, events, typ int) {
	switch {
	case j.events == 0 || j.typ != typ:
		j.flush()
		j.typ, j.source, j.data, j.start, j.end = typ, source, data, start, end
	case j.copying:
		j.s.arena.write(data[start:end])
	case j.source == source && j.end == start:
		j.end = end
	default:
		j.copying = true
		j.s.arena.begin(j.size)
		j.s.arena.write(j.data[j.start:j.end])
		j.s.arena.write(data[start:end])
	}
	j.events += events
}

func (j *joiner) flush() {
	if j.events == 0 {
		return
	}
	out := *j.c
	out.Route = j.s.router.routes[j.typ].name
	out.Events = j.events
	if j.copying {
		out.Data = j.s.arena.end()
	} else {
		out.Data = j.data[j.start:j.end:j.end]
	}
	j.size -= len(out.Data)
	j.dst = j.s.put(j.dst, out)
	j.events, j.copying = 0, false
}
