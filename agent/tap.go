package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/record"
)

// Bounds of what somebody who looks may cost.
const (
	maxTaps    = 8
	maxTapRate = 1000 // events per second
	minTapRate = 1.0 / 3600
	tapQueue   = 256       // events that wait to be written
	maxTapped  = 256 << 10 // bytes of an event that is shown
	tapReach   = 32        // one of the first so many events of a chunk is shown: the way to it is walked

	// tapGather is how long events are gathered before they are written together: a wake-up and a write for each would
	// cost more than the event. The queue holds several times as many as come meanwhile.
	tapGather = 50 * time.Millisecond
)

// tapPoint is where events are looked at.
type tapPoint uint8

const (
	tapInput       tapPoint = iota + 1 // as an input gives them, before processors
	tapDestination                     // as a destination gets them
)

// taps shows samples of what flows by. While nobody looks it costs one load per batch.
type taps struct {
	list atomic.Pointer[[]*tap]
	mu   sync.Mutex
}

// A TapQuery says what to look at: exactly one of the names, and how much of it.
type TapQuery struct {
	Input       string  // name of an input, or * for all
	Route       string  // events of this type, at each destination that gets them
	Destination string  // name of a destination, or *
	Rate        float64 // events per second at most; 10 if 0
	Raw         bool    // give Data
}

type tap struct {
	q      TapQuery
	every  time.Duration
	next   atomic.Int64 // no event before, in nanoseconds
	passed atomic.Uint64
	out    chan EventLine
}

// see shows some of the chunks to those who look. It never waits.
func (t *taps) see(at tapPoint, name string, chunks []record.Chunk) {
	list := t.list.Load()
	if list == nil {
		return
	}
	now := time.Now().UnixNano()
	for _, tp := range *list {
		tp.see(at, name, chunks, now)
	}
}

func (t *tap) wants(at tapPoint, name, route string) bool {
	switch {
	case t.q.Input != "":
		return at == tapInput && (t.q.Input == "*" || t.q.Input == name)
	case at != tapDestination:
		return false
	case t.q.Route != "":
		return t.q.Route == route
	}
	return t.q.Destination == "*" || t.q.Destination == name
}

func (t *tap) see(at tapPoint, name string, chunks []record.Chunk, now int64) {
	for i := range chunks {
		c := &chunks[i]
		if !t.wants(at, name, c.Route) || c.Events <= 0 {
			continue
		}
		passed := t.passed.Add(uint64(c.Events))
		next := t.next.Load()
		if now < next || !t.next.CompareAndSwap(next, now+int64(t.every)) || len(t.out) == cap(t.out) {
			continue
		}
		ev, ok := pick(c)
		if !ok {
			continue
		}
		select {
		case t.out <- t.show(ev, at, name, passed):
		default: // the one who looks is slower
		}
	}
}

// pick chooses one of a chunk's events.
func pick(c *record.Chunk) (record.Event, bool) {
	n := rand.IntN(min(c.Events, tapReach))
	it := record.Iterate(c)
	for i := 0; it.Next(); i++ {
		if i == n {
			return it.Event(), len(it.Event().Raw) <= maxTapped
		}
	}
	return record.Event{}, false
}

func (t *tap) show(e record.Event, at tapPoint, name string, passed uint64) EventLine {
	out := LineOf(e, t.q.Raw)
	out.Passed = passed
	if at == tapInput {
		out.Input = name
	} else {
		out.Destination = name
	}
	return out
}

var errManyTaps = errors.New("too many look at the same time: end one of the others")

// open lets somebody look, until close.
func (t *taps) open(q TapQuery) (*tap, error) {
	if q.Rate <= 0 {
		q.Rate = 10
	}
	tp := &tap{q: q, every: time.Duration(float64(time.Second) / min(max(q.Rate, minTapRate), maxTapRate)), out: make(chan EventLine, tapQueue)}
	return tp, t.add(tp)
}

// run calls f with a sample of the events that flow by, those of a moment together, until ctx ends or f fails. It never
// slows them: what f doesn't take in time isn't shown.
func (t *tap) run(ctx context.Context, f func([]EventLine) error) {
	var lines []EventLine
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-t.out:
			lines = append(lines[:0], ev)
		}
		if t.every < tapGather {
			select {
			case <-ctx.Done():
				return
			case <-time.After(tapGather):
			}
		}
		for range len(t.out) {
			lines = append(lines, <-t.out)
		}
		if f(lines) != nil {
			return
		}
	}
}

func (t *taps) add(tp *tap) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*tap
	if now := t.list.Load(); now != nil {
		list = slices.Clone(*now)
	}
	if len(list) >= maxTaps {
		return errManyTaps
	}
	list = append(list, tp)
	t.list.Store(&list)
	return nil
}

func (t *taps) close(tp *tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(*t.list.Load())
	list = slices.DeleteFunc(list, func(o *tap) bool { return o == tp })
	if len(list) == 0 {
		t.list.Store(nil)
		return
	}
	t.list.Store(&list)
}
