package router

import (
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/process"
)

// A fate says what processors did to an event.
type fate struct {
	changed bool
	dropped bool
	large   bool
	by      int // id of the step that dropped it or found it too large
}

// apply runs an event's record through processors. The result is valid until the next call.
func (s *scratch) apply(steps []planStep, rec []byte) ([]byte, fate) {
	var f fate
	looked := false
	turn := 0
	for i := range steps {
		st := &steps[i]
		if !st.cond.Always() {
			if !looked {
				s.view.Look(rec)
				looked = true
			}
			if !st.cond.Holds(&s.view) {
				continue
			}
		}
		out, verdict := st.action.Apply(s.records[turn][:0], rec, &s.scope)
		s.records[turn] = out
		switch verdict {
		case process.Dropped:
			return nil, fate{dropped: true, by: st.id}
		case process.TooLarge:
			f.large, f.by = true, st.id
			continue
		case process.Truncated:
			s.counts.truncated[st.id]++
		case process.Redacted:
			s.counts.redacted[st.id]++
		case process.Changed:
		default:
			continue
		}
		rec, looked, f.changed = out, false, true
		turn = 1 - turn
	}
	return rec, f
}

// process runs the events of c through the plan's processors, and puts the result in c. The bytes before the first
// event that changes are not copied; s.large gets the events that are too large.
func (s *scratch) process(p *plan, c *record.Chunk) {
	s.part = *c
	in := &s.part
	s.view.Use(s.router.table, p.stepNeeds, c.Attrs)
	s.scope.Begin()
	it := record.Iterate(in)
	seen, kept := 0, 0
	at, from := 0, 0 // end of what was read; of what was written or given up
	copying := false
	for seen < in.Events && it.Next() {
		seen++
		ev := it.Event()
		start := at
		at += len(ev.Raw)
		s.scope.Event = ev
		rec, f := s.apply(p.steps, ev.Record)
		if f.changed || f.dropped {
			if !copying {
				copying = true
				s.arena.begin(len(in.Data))
			}
			s.arena.write(in.Data[from:start])
			from = at
		}
		if f.dropped {
			s.counts.dropped[f.by]++
			continue
		}
		if f.changed {
			s.arena.write(ev.Raw[:len(ev.Raw)-len(ev.Record)])
			s.arena.write(rec)
		}
		if f.large {
			s.counts.rejected[f.by]++
			s.large = append(s.large, kept)
		}
		kept++
	}
	s.counts.malformed += uint64(in.Events - seen)
	c.Events = kept
	c.Data = in.Data[:at]
	if copying {
		s.arena.write(in.Data[from:at])
		c.Data = s.arena.end()
	}
}
