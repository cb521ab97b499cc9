package destination

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// fail returns a result with one error of a class.
func fail(c outputs.Class) outputs.Result {
	return outputs.Result{Err: &outputs.Error{Class: c, Err: errDown, Hint: "do something"}}
}

func always(r outputs.Result) func(context.Context, request) outputs.Result {
	return func(context.Context, request) outputs.Result { return r }
}

// waits returns the times between requests.
func waits(list []request) []time.Duration {
	var out []time.Duration
	for i := 1; i < len(list); i++ {
		out = append(out, list[i].at-list[i-1].at)
	}
	return out
}

func TestBackoffDoublesWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(always(refused)))
		r.append(text("a", 0, 3))
		time.Sleep(5 * time.Minute)
		r.stop()
		list := waits(r.out.log())
		if len(list) < 12 {
			t.Fatalf("only %d repetitions in 5 min: %v", len(list), list)
		}
		top, distinct := time.Second, map[time.Duration]bool{}
		for i, w := range list {
			if w < top/10 || w > top {
				t.Errorf("wait %d is %v, want %v to %v", i, w, top/10, top)
			}
			distinct[w] = true
			top = min(2*top, 30*time.Second)
		}
		if len(distinct) < len(list)/2 {
			t.Errorf("waits have no jitter: %v", list)
		}
		if got := r.buf.Stats(); got.Buffered != 3 || got.Leased != 0 {
			t.Errorf("after the stop: %+v", got)
		}
	})
}

func TestBreakerOpensAndClosesWithWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(after(10*time.Minute, refused)))
		for i := range 2000 {
			r.append(text("a", i, 1))
		}
		time.Sleep(20 * time.Second)
		if n := len(r.out.log()); n >= breakAfter && r.d.Stats().Breaker == "closed" {
			t.Errorf("breaker is closed after %d failures", n)
		}
		time.Sleep(5 * time.Minute)
		s := r.d.Stats()
		if s.Breaker == "closed" || s.Error != "down" || s.Failed == 0 || s.Breaker == "open" && !s.NextTry.After(time.Now()) {
			t.Errorf("status during the outage: %+v", s)
		}
		r.await(20 * time.Minute)
		if s := r.d.Stats(); s.Breaker != "closed" || s.Error != "" || s.Hint != "" {
			t.Errorf("status afterwards: %+v", s)
		}
		var healed []int
		for i, q := range r.out.log() {
			if q.at < 10*time.Minute {
				if i >= breakAfter && q.chunks != 1 {
					t.Errorf("probe %d has %d chunks", i, q.chunks)
				}
				continue
			}
			healed = append(healed, q.chunks)
		}
		// The probe, then a window that starts at one chunk and doubles up to windowFull.
		if want := []int{1, 1, 2, 4, 8, 16, 32, 64, 128}; !slices.Equal(healed[:len(want)], want) {
			t.Errorf("chunks of the requests after the outage: %v, want first %v", healed, want)
		}
		if last := healed[9]; last < windowFull {
			t.Errorf("window is still limited to %d chunks", last)
		}
		r.close()
	})
}

func TestWindowIsSharedByWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flying, most, chunks atomic.Int64
		r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
			if r.at < time.Minute {
				return refused
			}
			flying.Add(int64(r.chunks))
			defer flying.Add(-int64(r.chunks))
			if n := flying.Load(); chunks.Load() < 15 && n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			chunks.Add(int64(r.chunks))
			return outputs.Result{}
		}), func(o *Options) { o.Workers = 4 })
		for i := range 400 {
			r.append(text(fmt.Sprintf("t%d", i%40), i, 1))
		}
		time.Sleep(90 * time.Second)
		first := r.out.log()
		for i, q := range first {
			if q.at < time.Minute || i+1 >= len(first) || first[i-1].at >= time.Minute {
				continue
			}
			if next := first[i+1]; next.at-q.at < time.Second {
				t.Errorf("second request came %v after the probe began", next.at-q.at)
			}
		}
		if n := most.Load(); n > 8 {
			t.Errorf("%d chunks were in flight before 15 were delivered", n)
		}
		r.await(time.Hour)
		r.close()
		if s := ordered(r.out.got()); s != "" {
			t.Error(s)
		}
	})
}

func TestFailuresOfSeveralWorkersCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(func(ctx context.Context, r request) outputs.Result {
			time.Sleep(10 * time.Millisecond)
			return after(time.Second/2, refused)(ctx, r)
		}), func(o *Options) { o.Workers = 16; o.Retry.Initial = 2 * time.Second })
		for i := range 200 {
			r.append(text(fmt.Sprintf("t%d", i), 0, 1))
		}
		time.Sleep(100 * time.Millisecond) // every worker has failed once
		if s := r.d.Stats(); s.Breaker != "closed" || s.Failed < 8 {
			t.Errorf("after the first failure of each worker: %+v", s)
		}
		r.await(time.Minute)
		r.close()
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	for _, c := range []struct {
		class outputs.Class
		wish  time.Duration
		least time.Duration
		most  time.Duration
	}{
		{outputs.Throttle, time.Minute, time.Minute, 61 * time.Second},
		{outputs.Transient, 3 * time.Second, 3 * time.Second, 4 * time.Second},
		{outputs.Throttle, 24 * time.Hour, maxRetryAfter, maxRetryAfter + time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
				if r.at == 0 {
					return outputs.Result{Err: &outputs.Error{Class: c.class, RetryAfter: c.wish, Err: errDown}}
				}
				return outputs.Result{}
			}))
			r.append(text("a", 0, 1))
			r.await(48 * time.Hour)
			r.close()
			if w := waits(r.out.log()); len(w) != 1 || w[0] < c.least || w[0] > c.most {
				t.Errorf("asked to wait %v, waited %v", c.wish, w)
			}
		})
	}
}

func TestThrottleHalvesWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
			if r.chunks > 10 {
				return fail(outputs.Throttle)
			}
			return outputs.Result{}
		}))
		var list []int
		for i := range 100 {
			list = append(list, i)
			r.append(text("a", i, 1))
		}
		r.await(time.Hour)
		r.close()
		if got := r.out.log(); got[0].chunks < 2 || len(got) > 60 {
			t.Errorf("%d requests for %d chunks, the first with %d", len(got), len(list), got[0].chunks)
		}
		if s := r.d.Stats(); s.Breaker != "closed" {
			t.Errorf("a server that throttles is alive: %+v", s)
		}
	})
}

func TestHeldOpensAtOnceAndKeepsTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(after(time.Hour, fail(outputs.Held))))
		r.append(text("a", 0, 5))
		time.Sleep(time.Second)
		if s := r.d.Stats(); s.Breaker != "open" || !s.Held || s.Hint != "do something" || s.Error != "down" {
			t.Errorf("status: %+v", s)
		}
		time.Sleep(30 * time.Minute)
		for _, w := range waits(r.out.log()) {
			if w < 15*time.Second {
				t.Errorf("repeated after %v", w)
			}
		}
		r.await(time.Hour)
		if s := r.d.Stats(); s.Held || s.Buffer.Delivered != 5 || len(r.dead.all()) != 0 {
			t.Errorf("status afterwards: %+v", s)
		}
		r.close()
	})
}

func TestOnlyTheProbeRepeatsWithoutAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(after(time.Hour, outputs.Result{Err: &outputs.Error{Class: outputs.NoAck, Written: true, Err: errDown}})))
		for i := range 50 {
			r.append(text("a", i*10, 10))
		}
		time.Sleep(30 * time.Minute)
		r.out.mu.Lock()
		r.out.answer = nil
		early := slices.Clone(r.out.requests)
		r.out.mu.Unlock()
		if s := r.d.Stats(); s.Breaker == "closed" {
			t.Errorf("status: %+v", s)
		}
		for i, q := range early[1:] {
			if q.chunks != 1 || q.events[0] != "a/0" {
				t.Errorf("repetition %d sent %d chunks from %q on", i, q.chunks, q.events[0])
			}
		}
		r.await(time.Hour)
		r.close()
		if s := ordered(r.out.got()); s != "" || len(r.dead.all()) > 0 {
			t.Error(s, r.dead.all())
		}
	})
}

// A probe of which something is taken proves a server alive, whatever it says about the rest.
func TestAProbeThatIsPartlyTakenCloses(t *testing.T) {
	g := newGate(Retry{Initial: time.Second, Max: time.Minute}, options(newFake(nil), nil, nil).Log)
	p, _, _ := g.tryEnter(5)
	g.failure(p, &outputs.Error{Class: outputs.Held, Err: errDown}, false, 5)
	g.until = time.Time{}
	p, _, _ = g.tryEnter(5)
	g.failure(p, &outputs.Error{Err: errDown}, true, 1)
	if g.state != closed || g.window != 1 || !g.until.After(time.Now()) {
		t.Errorf("%v, window %d, next try in %v", g.state, g.window, time.Until(g.until))
	}
}

func TestAProbeThatIsGivenBackIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Retry{Initial: time.Second, Max: time.Minute}, options(newFake(nil), nil, nil).Log)
		p, _, _ := g.tryEnter(5)
		g.failure(p, &outputs.Error{Class: outputs.NoAck, Err: errDown}, false, 5)
		time.Sleep(time.Minute)
		p, _, _ = g.tryEnter(5)
		got := make(chan pass)
		go func() {
			p, _, changed := g.tryEnter(5)
			for changed != nil {
				<-changed
				p, _, changed = g.tryEnter(5)
			}
			got <- p
		}()
		synctest.Wait()
		g.leave(p)
		if p := <-got; !p.probe {
			t.Errorf("got pass %+v", p)
		}
	})
}

func TestAnOldAttemptSaysNothingNew(t *testing.T) {
	g := newGate(Retry{Initial: time.Second, Max: time.Minute}, options(newFake(nil), nil, nil).Log)
	old, _, _ := g.tryEnter(5)
	now, _, _ := g.tryEnter(5)
	g.failure(now, &outputs.Error{Class: outputs.NoAck, Err: errDown}, false, 5)
	g.success(old)
	if g.state != open || g.last == nil {
		t.Errorf("a success that began before the failure closed the breaker: %v", g.state)
	}
	g.until = time.Time{}
	probe, _, _ := g.tryEnter(5)
	if !probe.probe || probe.n != 1 {
		t.Fatalf("got pass %+v, want the probe", probe)
	}
	g.failure(old, &outputs.Error{Err: errDown}, false, 5)
	if !g.probing || g.state != halfOpen {
		t.Errorf("an old failure ended the probe: %v", g.state)
	}
	g.success(probe)
	if g.state != closed || g.window != 1 || g.inFlight != 0 {
		t.Errorf("after the probe: %v, window %d, %d in flight", g.state, g.window, g.inFlight)
	}
}

// How long an outage has lasted is what somebody who looks wants to know, not when the last probe failed.
func TestTheAgeOfAnOutageOutlivesItsProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(always(refused)))
		defer r.stop()
		r.append(text("a", 0, 3))
		time.Sleep(10 * time.Minute)
		first := r.d.Stats()
		time.Sleep(time.Hour)
		last := r.d.Stats()
		if last.Breaker == "closed" || last.Requests < first.Requests+10 {
			t.Fatalf("%s after %d requests", last.Breaker, last.Requests)
		}
		if !last.Since.Equal(first.Since) || time.Since(last.Since) < time.Hour {
			t.Errorf("the breaker is %s since %v, before it was since %v", last.Breaker, last.Since, first.Since)
		}
	})
}
