package destination

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// A plan is one random run: what comes in, what the output answers, and when the router stops.
type plan struct {
	seed                 uint64
	workers, tags, stops int
	chunks, largest      int
	bytes, events        int
	linger               time.Duration
	key, encode, partial bool
	trouble              float64       // share of requests that fail somehow
	second               time.Duration // how long one takes
}

func drawPlan(t *rapid.T) plan {
	return plan{
		seed:    rapid.Uint64().Draw(t, "seed"),
		workers: rapid.SampledFrom([]int{1, 4}).Draw(t, "workers"),
		tags:    rapid.IntRange(1, 6).Draw(t, "tags"),
		stops:   rapid.IntRange(0, 4).Draw(t, "stops"),
		chunks:  rapid.IntRange(1, 80).Draw(t, "chunks"),
		largest: rapid.IntRange(1, 30).Draw(t, "largest"),
		bytes:   rapid.SampledFrom([]int{100, 1000, 1 << 20}).Draw(t, "bytes"),
		events:  rapid.SampledFrom([]int{0, 1, 7, 100}).Draw(t, "events"),
		linger:  rapid.SampledFrom([]time.Duration{0, time.Millisecond, 10 * time.Second}).Draw(t, "linger"),
		key:     rapid.Bool().Draw(t, "key"),
		encode:  rapid.Bool().Draw(t, "encode"),
		partial: rapid.Bool().Draw(t, "partial"),
		trouble: rapid.SampledFrom([]float64{0, 0.2, 0.6}).Draw(t, "trouble"),
		second:  time.Second,
	}
}

// A moody output answers at random, but obeys the contract: of a tag nothing is taken behind something that isn't.
type moody struct {
	*fake
	mu    sync.Mutex
	rnd   *rand.Rand
	plan  plan
	calm  bool
	dead  map[string]bool
	given map[string]int // results that named an event as delivered or dead
	wrong []string
}

func (m *moody) chance(p float64) bool { return m.rnd.Float64() < p }

func (m *moody) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	events := texts(b)
	m.mu.Lock()
	nap := time.Duration(0)
	if m.chance(0.3) {
		nap = time.Duration(m.rnd.IntN(3000)) * m.plan.second / 1000
	}
	m.mu.Unlock()
	select {
	case <-time.After(nap):
	case <-ctx.Done():
		return outputs.Result{Err: ctx.Err()}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(b.Chunks) > 1 && m.plan.key {
		for _, c := range b.Chunks {
			if c.Tag != b.Key {
				m.wrong = append(m.wrong, fmt.Sprintf("tag %s in a batch of %s", c.Tag, b.Key))
			}
		}
	}
	res := m.decide(events)
	for _, i := range delivered(len(events), res) {
		m.given[events[i]]++
		if !m.seen[events[i]] {
			m.seen[events[i]] = true
			m.took = append(m.took, events[i])
		}
	}
	for _, d := range res.Dead {
		for i := d.From; i < d.To; i++ {
			m.given[events[i]]++
			m.dead[events[i]] = true
		}
	}
	return res
}

func (m *moody) decide(events []string) (res outputs.Result) {
	if m.calm || !m.chance(m.plan.trouble) {
		return res
	}
	e := &outputs.Error{Class: outputs.Class(m.rnd.IntN(4)), Err: errors.New("moody"), Written: m.chance(0.5)}
	if m.chance(0.1) {
		e.RetryAfter = time.Duration(m.rnd.IntN(60)) * m.plan.second
	}
	if !m.plan.partial || m.chance(0.4) {
		res.Err = e
		return res
	}
	blocked := map[string]bool{}
	for i, ev := range events {
		tag, _, _ := strings.Cut(ev, "/")
		switch {
		case blocked[tag] || m.chance(0.1):
			blocked[tag] = true
			res.Retry = append(res.Retry, outputs.Range{From: i, To: i + 1})
		case m.chance(0.05):
			res.Dead = append(res.Dead, outputs.Dead{Range: outputs.Range{From: i, To: i + 1}, Reason: "odd"})
		}
	}
	if m.chance(0.5) && len(res.Retry) > 0 {
		res.Err = e
	}
	return res
}

// run executes a plan over a buffer that open gives, anew after each stop if it closes. It returns what went wrong.
func (p plan) run(t testing.TB, open func() buffer.Buffer, reopen bool) (problems []string) {
	rnd := rand.New(rand.NewPCG(p.seed, 1))
	out := &moody{fake: newFake(nil), rnd: rand.New(rand.NewPCG(p.seed, 2)), plan: p, dead: map[string]bool{}, given: map[string]int{}}
	out.shape = outputs.Shape{MaxBytes: p.bytes, MaxEvents: p.events, Linger: p.linger}
	if p.key {
		out.shape.Key = tagKey{perEvent: p.seed%2 == 0}
	}
	if p.encode {
		out.shape.Encode = lines
	}
	graves := &grave{}
	buf := open()
	run := func() (stop func()) {
		o := options(out, buf, graves)
		o.Workers = p.workers
		o.Retry.Initial, o.Retry.Max = p.second, 30*p.second
		d := New(o)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		return func() { cancel(); <-ended }
	}
	restart := func(stop func()) func() {
		stop()
		if s := buf.Stats(); s.Leased != 0 {
			problems = append(problems, fmt.Sprintf("%d events leased after a stop", s.Leased))
		}
		if reopen {
			if err := buf.Close(context.Background()); err != nil {
				problems = append(problems, err.Error())
			}
			buf = open()
		}
		return run()
	}
	stop := run()
	next := make([]int, p.tags)
	total := 0
	for i := range p.chunks {
		tag, n := rnd.IntN(p.tags), 1+rnd.IntN(p.largest)
		if err := buf.Append(context.Background(), []record.Chunk{text(fmt.Sprint("t", tag), next[tag], n)}); err != nil {
			t.Error(err)
		}
		next[tag] += n
		total += n
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.IntN(2000)) * p.second / 1000)
		}
		if p.stops > 0 && i%(p.chunks/p.stops+1) == p.chunks/p.stops/2 {
			stop = restart(stop)
		}
	}
	time.Sleep(time.Duration(rnd.IntN(120)) * p.second)
	out.mu.Lock()
	out.calm = true
	out.mu.Unlock()
	stop = restart(stop) // a breaker may be open for long
	for range 100_000 {
		if s := buf.Stats(); s.Buffered == 0 && s.Offered == uint64(total) { // a disk is opened in the background
			break
		}
		time.Sleep(p.second / 10)
	}
	stop()
	s := buf.Stats()
	sum := s.Delivered + s.Buffered
	for _, m := range []map[string]uint64{s.DeadLettered, s.Shed, s.Moved} {
		for _, n := range m {
			sum += n
		}
	}
	say := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	problems = append(problems, out.wrong...)
	say(s.Buffered != 0, "%d events were never delivered", s.Buffered)
	say(s.Offered != uint64(total) || sum != s.Offered, "ledger: %d came in, %+v", total, s)
	say(int(s.Delivered) != len(out.took), "ledger says %d delivered, the output took %d", s.Delivered, len(out.took))
	say(s.DeadLettered["odd"] != uint64(len(out.dead)), "ledger says %v dead, the output refused %d", s.DeadLettered, len(out.dead))
	say(len(graves.all()) != len(out.dead), "%d dead letters for %d dead events", len(graves.all()), len(out.dead))
	say(len(out.took)+len(out.dead) != total, "%d taken and %d dead of %d", len(out.took), len(out.dead), total)
	for e, n := range out.given {
		say(n != 1, "event %s was settled %d times", e, n)
	}
	say(ordered(out.took) != "", "%s", ordered(out.took))
	if err := buf.Close(context.Background()); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

func TestEveryEventOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			buf := buffer.OpenMemory(buffer.MemoryOptions{Name: "d", MaxBytes: 64 << 20})
			problems = p.run(t, func() buffer.Buffer { return buf }, false)
		})
		if len(problems) > 0 {
			rt.Fatalf("%+v: %s", p, strings.Join(problems, "\n"))
		}
	})
}

// The same over a buffer on disk that is closed and opened again, in real time.
func TestEveryEventOnceOnDisk(t *testing.T) {
	runtime.GC() // twice empties the pools: nothing made under virtual time may be used here
	runtime.GC()
	for seed := range uint64(4) {
		dir := filepath.Join(t.TempDir(), "d")
		p := plan{
			seed: seed, workers: 1 + 3*int(seed%2), tags: 3, stops: 3, chunks: 60, largest: 20, bytes: 1000, partial: seed > 1,
			key: seed == 3, trouble: 0.5, second: time.Millisecond,
		}
		problems := p.run(t, func() buffer.Buffer {
			b, err := buffer.OpenDisk(buffer.DiskOptions{Dir: dir, Name: "d", MaxBytes: 64 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}, true)
		if len(problems) > 0 {
			t.Fatalf("%+v: %s", p, strings.Join(problems, "\n"))
		}
	}
}
