package process

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// scopeOf returns the surroundings of an event with this tag and record.
func scopeOf(tag string, rec []byte) *Scope {
	c := &record.Chunk{Tag: tag, Events: 1, Data: record.AppendEntry(nil, time.Unix(1700000000, 0), rec)}
	it := record.Iterate(c)
	it.Next()
	return &Scope{Event: it.Event()}
}

func mustNew(t testing.TB, p config.Processor) Action {
	t.Helper()
	a, err := New(&p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// passes reports whether an action lets an event pass.
func passes(t testing.TB, a Action, tag string, rec []byte) bool {
	t.Helper()
	out, v := a.Apply(nil, rec, scopeOf(tag, rec))
	if v != Same && v != Dropped || len(out) > 0 {
		t.Fatalf("verdict %d, %d bytes", v, len(out))
	}
	return v == Same
}

func TestSampleKeepsItsShare(t *testing.T) {
	const n = 20_000
	for _, keep := range []float64{100, 50, 10, 0.5} {
		for name, by := range map[string]string{"by chance": "", "by value": "${record.trace_id}", "by a value that is absent": "${record.x}"} {
			a := mustNew(t, config.Processor{Sample: &config.Sample{Keep: config.Percent(keep), By: by}})
			if by != "${record.trace_id}" {
				a.(*sample).state.Store(1)
			}
			kept := 0
			for i := range n {
				if passes(t, a, "t", rec("trace_id", fmt.Sprintf("%032x", i))) {
					kept++
				}
			}
			p := keep / 100
			if off := math.Abs(float64(kept) - n*p); off > 4*math.Sqrt(n*p*(1-p)) {
				t.Errorf("%g%% %s: %d of %d", keep, name, kept, n)
			}
		}
	}
}

func TestSampleByAValueIsAllOrNothing(t *testing.T) {
	by := "${tag}/${record.trace_id}"
	a, other := mustNew(t, config.Processor{Sample: &config.Sample{Keep: 20, By: by}}), mustNew(t, config.Processor{Sample: &config.Sample{Keep: 20, By: by}})
	more := mustNew(t, config.Processor{Sample: &config.Sample{Keep: 40, By: by}})
	kept := 0
	for i := range 500 {
		first := rec("trace_id", fmt.Sprint(i), "log", "first")
		want := passes(t, a, "t", first)
		if passes(t, a, "t", rec("log", "second", "trace_id", fmt.Sprint(i))) != want || passes(t, other, "t", first) != want || want && !passes(t, more, "t", first) {
			t.Fatalf("trace %d is torn apart", i)
		}
		if want {
			kept++
		}
		if v, note := a.(*sample).Peek(first, scopeOf("t", first)); (v == Same) != want || note == "" {
			t.Errorf("peek: %d, %q", v, note)
		}
	}
	if kept < 50 || kept > 150 {
		t.Errorf("%d of 500 are kept", kept)
	}
	// What is kept must not change with a version: hosts with different ones serve the same traces.
	if got := stableHash([]byte("4bf92f3577b34da6a3ce929d0e0e4736")); got != 0x8069bcc9868b03e2 {
		t.Errorf("the hash is %#x", got)
	}
}

func TestThrottleLetsTheRatePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustNew(t, config.Processor{Throttle: &config.Throttle{Rate: 10, Per: time.Second, Burst: 20, MaxKeys: 10}})
		count := func(n int) (passed int) {
			for range n {
				if passes(t, a, "t", rec("log", "x")) {
					passed++
				}
			}
			return passed
		}
		if n := count(100); n != 20 {
			t.Errorf("at first %d pass, want the burst of 20", n)
		}
		time.Sleep(450 * time.Millisecond)
		if n := count(100); n != 4 {
			t.Errorf("after 450 ms %d pass, want 4", n)
		}
		time.Sleep(50 * time.Millisecond)
		if n := count(100); n != 1 {
			t.Errorf("after another 50 ms %d pass, want 1", n)
		}
		time.Sleep(time.Hour)
		if n := count(100); n != 20 {
			t.Errorf("after an hour %d pass, want 20", n)
		}
		total := 0
		for range 100 {
			time.Sleep(33 * time.Millisecond)
			total += count(5)
		}
		if total != 33 {
			t.Errorf("in 3.3 s %d pass, want 33", total)
		}
	})
}

func TestThrottleKeepsKeysApartAndForgetsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustNew(t, config.Processor{Throttle: &config.Throttle{Rate: 1, Per: time.Minute, By: "${tag}", MaxKeys: 3}})
		for _, c := range []struct {
			tag  string
			want bool
		}{
			{"a", true}, {"a", false}, {"b", true}, {"c", true}, {"b", false}, {"a", false}, // c, b, a
			{"d", true},                // c is forgotten
			{"b", false}, {"a", false}, // d, b, a
			{"c", true}, // d is forgotten
			{"a", false}, {"b", false}, {"c", false}, {"d", true}, {"a", true},
		} {
			if got := passes(t, a, c.tag, rec()); got != c.want {
				t.Fatalf("%s passes: %v", c.tag, got)
			}
		}
		th := a.(*throttle)
		if v, note := th.Peek(rec(), scopeOf("a", rec())); v != Same || note == "" {
			t.Errorf("peek: %d, %q", v, note)
		}
		for i := range 100_000 {
			passes(t, a, fmt.Sprint("tag", i), rec())
		}
		if len(th.buckets.index) != 3 || len(th.buckets.list) != 3 {
			t.Errorf("%d keys, %d buckets", len(th.buckets.index), len(th.buckets.list))
		}
	})
}

// TestBucketsAgainstTheReference compares the list with one that moves elements.
func TestBucketsAgainstTheReference(t *testing.T) {
	b := newBuckets(5)
	var order []uint64 // oldest first
	state := uint64(7)
	for range 20_000 {
		state += step
		hash := mix(state) % 9
		want := true
		for i, h := range order {
			if h == hash {
				order = append(order[:i:i], order[i+1:]...)
				want = false
				break
			}
		}
		if order = append(order, hash); len(order) > 5 {
			order = order[1:]
		}
		if got, fresh := b.get(hash); fresh != want || got.hash != hash {
			t.Fatalf("hash %d: fresh %v, want %v", hash, fresh, want)
		}
	}
}

func TestThrottleIsSharedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustNew(t, config.Processor{Throttle: &config.Throttle{Rate: 1000, Per: time.Hour, By: "${tag}", MaxKeys: 100}})
		var mu sync.Mutex
		passed := map[string]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 2000 {
					tag := fmt.Sprint("t", i%4)
					if passes(t, a, tag, rec()) {
						mu.Lock()
						passed[tag]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		for tag, n := range passed {
			if n != 1000 {
				t.Errorf("%s: %d pass, want 1000", tag, n)
			}
		}
	})
}

func TestWrongOptionsOfSampleAndThrottle(t *testing.T) {
	for _, p := range []config.Processor{
		{Sample: &config.Sample{Keep: 1, By: "${tga}"}}, {Throttle: &config.Throttle{Rate: 1, Per: 1, By: "${tga}"}},
		{Throttle: &config.Throttle{Per: 1}}, {Throttle: &config.Throttle{Rate: 1}},
	} {
		if _, err := New(&p); err == nil {
			t.Errorf("%+v %+v gave no error", p.Sample, p.Throttle)
		}
	}
}
