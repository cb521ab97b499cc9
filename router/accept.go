package router

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/match"
	"github.com/firebreak/firebreak/router/process"
)

// Accept routes what one read of an input yielded, as inputs.Accept says: it gives each destination all its chunks, in
// one append unless processors made them much larger, one destination after the other, and returns nil when all have
// taken them. After an error, which names the destination, the events may not be acknowledged and are not counted here.
func (in *Intake) Accept(ctx context.Context, chunks []record.Chunk) error {
	r := in.router
	s := r.pool.Get().(*scratch)
	defer s.release()
	var p *plan
	for i := range chunks {
		c := &chunks[i]
		if c.Events <= 0 {
			continue
		}
		if p == nil || c.Tag != chunks[i-1].Tag || !same(c.Attrs, chunks[i-1].Attrs) {
			p = r.plans.get(c.Tag, c.Attrs, &s.key, &s.known)
		}
		s.now = *c
		s.route(p, &s.now)
	}
	if err := s.deliver(ctx); err != nil {
		return err
	}
	in.mu.Lock()
	in.counts.add(&s.counts)
	in.mu.Unlock()
	return nil
}

// same reports whether two chunks share their attributes; it may say no to equal ones.
func same(a, b record.Attrs) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// A scratch is the working memory of one Accept.
type scratch struct {
	router *Router
	view   match.View
	key    []byte
	known  match.Known
	arena  arena
	counts counts

	out, rejected [][]record.Chunk // by sink
	records       [2][]byte        // what processors write, in turn
	large         []int            // events of the present chunk that are too large, ascending
	scope         process.Scope
	now, part     record.Chunk // the chunk in work, and what processors read of it; here to allocate neither
	whole         record.Chunk // what is put in parts; likewise
	split         split
}

func newScratch(r *Router) *scratch {
	return &scratch{
		router: r, counts: newCounts(r),
		out: make([][]record.Chunk, len(r.sinks)), rejected: make([][]record.Chunk, len(r.sinks)),
		split: newSplit(len(r.sinks)),
	}
}

// route adds the events of c, which it may change, to what the sinks get.
func (s *scratch) route(p *plan, c *record.Chunk) {
	s.large = s.large[:0]
	if len(p.steps) > 0 {
		s.process(p, c)
		if c.Events == 0 {
			return
		}
	}
	if !p.direct || len(s.large) > 0 {
		s.spread(p, c)
		return
	}
	n := uint64(c.Events)
	switch {
	case p.first == noRoute:
		s.counts.unmatched += n
	case len(p.to) == 0:
		s.counts.discarded[p.gone] += n
		s.counts.bytes[p.gone] += uint64(len(c.Data))
	default:
		s.counts.routed[p.first] += n
		s.counts.bytes[p.first] += uint64(len(c.Data))
		c.Route = s.router.routes[p.first].name
		for _, k := range p.to {
			s.out[k] = s.put(s.out[k], *c)
		}
	}
}

// maxChunk bounds the data of the chunks that destinations get, in bytes: inputs keep to it, but processors can make
// events larger. One event alone may be larger. Destinations send no less than a chunk at a time.
const maxChunk = 1 << 20

// put appends a chunk, in parts when it is too large.
func (s *scratch) put(dst []record.Chunk, c record.Chunk) []record.Chunk {
	for len(c.Data) > maxChunk && c.Events > 1 {
		s.whole = c
		size, n := 0, 0
		for it := record.Iterate(&s.whole); n < c.Events-1 && it.Next(); n++ {
			entry := len(it.Event().Raw)
			if n > 0 && size+entry > maxChunk {
				break
			}
			size += entry
		}
		if n == 0 {
			break // not canonical
		}
		part := c
		part.Data, part.Events = c.Data[:size:size], n
		dst = append(dst, part)
		c.Data, c.Events = c.Data[size:], c.Events-n
	}
	return append(dst, c)
}

func (s *scratch) deliver(ctx context.Context) error {
	for k := range s.router.sinks {
		sink := &s.router.sinks[k]
		if len(s.out[k]) > 0 {
			if err := sink.append(ctx, s.out[k]); err != nil {
				return fmt.Errorf("append to %q: %w", sink.name, err)
			}
		}
		if len(s.rejected[k]) > 0 {
			if err := sink.Reject(ctx, s.rejected[k], ReasonTooLarge); err != nil {
				return fmt.Errorf("add to the dead letters of %q: %w", sink.name, err)
			}
		}
	}
	return nil
}

// append stores the chunks in pieces of about maxChunk, so that a destination can pass on the first ones while it has
// no room for the last.
func (s *sink) append(ctx context.Context, chunks []record.Chunk) error {
	for len(chunks) > 0 {
		n, size := 1, len(chunks[0].Data)
		for ; n < len(chunks) && size+len(chunks[n].Data) <= maxChunk; n++ {
			size += len(chunks[n].Data)
		}
		if err := s.Append(ctx, chunks[:n]); err != nil {
			return err
		}
		chunks = chunks[n:]
	}
	return nil
}

// Bounds of the memory that a scratch keeps between two calls.
const (
	keepBytes = 1 << 20   // copied data
	keepList  = 256 << 10 // bytes of one list
)

// release empties the scratch and gives it back.
func (s *scratch) release() {
	s.view.Release()
	s.scope.Release()
	s.counts.reset()
	s.arena.reset()
	for k := range s.out {
		s.out[k] = emptied(s.out[k])
		s.rejected[k] = emptied(s.rejected[k])
	}
	for i := range s.records {
		if cap(s.records[i]) > keepList {
			s.records[i] = nil
		}
	}
	s.large = emptied(s.large)
	s.now, s.part, s.whole = record.Chunk{}, record.Chunk{}, record.Chunk{}
	s.split.release()
	s.router.pool.Put(s)
}

// emptied returns the list without elements, and without the memory of a very long one.
func emptied[T any](list []T) []T {
	var one T
	if cap(list)*int(unsafe.Sizeof(one)) > keepList {
		return nil
	}
	clear(list)
	return list[:0]
}

// An arena holds the bytes that were copied for one Accept, one piece after the other. Pieces stay where they are.
type arena struct {
	buf  []byte
	from int // start of the open piece
}

// begin opens a piece of about size bytes.
func (a *arena) begin(size int) {
	a.from = len(a.buf)
	a.grow(size)
}

func (a *arena) write(b []byte) {
	a.grow(len(b))
	a.buf = append(a.buf, b...)
}

func (a *arena) grow(n int) {
	if cap(a.buf)-len(a.buf) >= n {
		return
	}
	open := a.buf[a.from:]
	fresh := make([]byte, len(open), max(2*len(open)+n, min(2*cap(a.buf), keepBytes), 16<<10))
	copy(fresh, open)
	a.buf, a.from = fresh, 0
}

// size returns the length of the open piece.
func (a *arena) size() int { return len(a.buf) - a.from }

// end closes the piece.
func (a *arena) end() []byte { return a.buf[a.from:len(a.buf):len(a.buf)] }

func (a *arena) reset() {
	a.from = 0
	if a.buf = a.buf[:0]; cap(a.buf) > keepBytes {
		a.buf = nil
	}
}
