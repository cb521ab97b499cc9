package process

import (
	"time"

	"github.com/firebreak/firebreak/record"
)

// keepBytes bounds the size of a piece of working memory that is kept between two uses.
const keepBytes = 256 << 10

// A Scope is what surrounds a record, and the working memory of actions. It belongs to one goroutine. The zero value
// is ready for use with actions that look at nothing but the record.
type Scope struct {
	Event record.Event // the event as it was read, for its chunk and its time; actions get the record as it is by then

	now    time.Time
	render record.RenderContext
	key    []byte

	rests []rest    // of paths, the levels of a record as a stack
	bufs  [3][]byte // what rename and redact write in between
	spans []span    // of matches
}

// Begin forgets the time: the events of a chunk have arrived at the same one.
func (s *Scope) Begin() { s.now = time.Time{} }

// Now returns the present time, which stays the same until Begin.
func (s *Scope) Now() time.Time {
	if s.now.IsZero() {
		s.now = time.Now()
	}
	return s.now
}

// Release lets go of the last event and of working memory beyond a bound.
func (s *Scope) Release() {
	s.Event = record.Event{}
	s.Begin()
	for i := range s.bufs {
		if cap(s.bufs[i]) > keepBytes {
			s.bufs[i] = nil
		}
	}
	if cap(s.spans) > keepBytes/16 {
		s.spans = nil
	}
}

// name renders a template for the event with this record. The result is valid until the next call.
func (s *Scope) name(t *record.Template, rec []byte) []byte {
	if s.render.Sanitize == nil {
		s.render.Sanitize = asItIs
	}
	ev := &s.Event
	ev.Record = rec
	s.key = t.Append(s.key[:0], ev.Chunk, ev, &s.render)
	return s.key
}

func asItIs(dst, value []byte) []byte { return append(dst, value...) }
