package destination

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/record"
)

// A place is a fallback that remembers what it was given.
type place struct {
	start time.Time
	took  func(at time.Duration) error // nil: takes all

	mu     sync.Mutex
	events []string
	calls  int
	chunks []record.Chunk // without data
	last   time.Duration  // when something came
}

func (p *place) Append(_ context.Context, chunks []record.Chunk) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.took != nil {
		if err := p.took(time.Since(p.start)); err != nil {
			return err
		}
	}
	p.last = time.Since(p.start)
	for i := range chunks {
		for it := record.Iterate(&chunks[i]); it.Next(); {
			p.events = append(p.events, textOf(it.Event()))
		}
		c := chunks[i]
		c.Data = nil
		p.chunks = append(p.chunks, c)
	}
	return nil
}

func (p *place) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// with lets events move to a place.
func with(p *place, after time.Duration) func(*Options) {
	p.start = time.Now()
	return func(o *Options) { o.Fallback = &Fallback{Name: "spill", Sink: p, After: after} }
}

// small gives a buffer in memory that waits for who makes room.
func small(bytes int64) func(*Options) {
	return func(o *Options) {
		o.Buffer = buffer.OpenMemory(buffer.MemoryOptions{Name: "d", MaxBytes: bytes, Spills: true})
	}
}

// A stream appends events of several tags at a steady rate, and knows what it has appended.
type stream struct {
	r    *rig
	tags int
	next []int
	all  map[string]bool
	slow time.Duration // of the slowest append
}

func newStream(r *rig, tags int) *stream {
	return &stream{r: r, tags: tags, next: make([]int, tags), all: map[string]bool{}}
}

// flow appends n events every step, for a while.
func (s *stream) flow(d, step time.Duration, n int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		i := len(s.all) / n % s.tags
		began := time.Now()
		s.r.append(text(fmt.Sprint("t", i), s.next[i], n))
		s.slow = max(s.slow, time.Since(began))
		for k := range n {
			s.all[fmt.Sprintf("t%d/%d", i, s.next[i]+k)] = true
		}
		s.next[i] += n
		time.Sleep(step)
	}
}

// check compares what has arrived in both places with what was appended. A request that was cut off may have been
// delivered: such events are in both.
func (s *stream) check(p *place) {
	t := s.r.t
	t.Helper()
	b := s.r.buf.Stats()
	balanced(t, b)
	if int(b.Offered) != len(s.all) || len(b.Shed) > 0 || len(b.DeadLettered) > 0 {
		t.Errorf("appended %d events, ledger %+v", len(s.all), b)
	}
	there, moved := s.r.out.got(), p.got()
	if len(there) < int(b.Delivered) || len(moved) != int(b.Moved["spill"]) {
		t.Errorf("output has %d events, fallback %d; ledger: %+v", len(there), len(moved), b)
	}
	if o := ordered(there); o != "" {
		t.Errorf("output: %s", o)
	}
	if o := ordered(moved); o != "" {
		t.Errorf("fallback: %s", o)
	}
	left := maps.Clone(s.all)
	for _, e := range slices.Concat(there, moved) {
		delete(left, e)
	}
	if len(left) != int(b.Buffered) {
		t.Errorf("%d events are in neither place, %d are buffered", len(left), b.Buffered)
	}
}
