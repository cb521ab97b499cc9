package destination

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// chokes hangs up on every request that holds one of the events.
func chokes(on ...string) func(context.Context, request) outputs.Result {
	return func(_ context.Context, r request) outputs.Result {
		if slices.ContainsFunc(r.events, func(e string) bool { return slices.Contains(on, e) }) {
			return hangup
		}
		return outputs.Result{}
	}
}

func TestPoison(t *testing.T) {
	oneTag := []record.Chunk{}
	for i := range 20 {
		oneTag = append(oneTag, text("a", i*50, 50))
	}
	var many, small []record.Chunk
	for i := range 200 {
		many = append(many, text(fmt.Sprint("t", i%10), i*10, 10))
		small = append(small, text(fmt.Sprint("t", i%3), i, 1))
	}
	for name, c := range map[string]struct {
		chunks []record.Chunk
		poison []string
	}{
		"alone":            {[]record.Chunk{text("a", 0, 1)}, []string{"a/0"}},
		"at the head":      {oneTag, []string{"a/0"}},
		"in the middle":    {oneTag, []string{"a/523"}},
		"last":             {oneTag, []string{"a/999"}},
		"two in a row":     {oneTag, []string{"a/523", "a/524"}},
		"two apart":        {oneTag, []string{"a/7", "a/900"}},
		"many tags":        {many, []string{"t3/1235"}},
		"many tags, first": {many, []string{"t0/0"}},
		"many tags, two":   {many, []string{"t3/1235", "t4/1240"}},
		"small chunks":     {small, []string{"t1/100"}},
	} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprint(name, ", workers ", workers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					out := newFake(chokes(c.poison...))
					r := start(t, out, func(o *Options) { o.Workers = workers })
					total := 0
					for _, ch := range c.chunks {
						total += ch.Events
						r.append(ch)
					}
					r.await(time.Hour)
					r.close()
					var want []string
					for _, p := range c.poison {
						want = append(want, "rejected:"+p)
					}
					dead := r.dead.all()
					slices.Sort(dead)
					slices.Sort(want)
					if !slices.Equal(dead, want) {
						t.Errorf("dead letters %v, want %v", dead, want)
					}
					if got := out.got(); len(got) != total-len(want) || ordered(got) != "" {
						t.Errorf("delivered %d of %d: %s", len(got), total, ordered(got))
					}
					if n := len(out.log()); n > 150*len(want) {
						t.Errorf("%d requests", n)
					}
					if s := r.d.Stats(); s.Breaker != "closed" || s.Error != "" {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}

// Whatever a server does to everything, it makes no dead letters, and the order stays.
func TestNoDeadLettersFromAServerInTrouble(t *testing.T) {
	noAck := outputs.Result{Err: &outputs.Error{Class: outputs.NoAck, Written: true, Err: errDown}}
	stuck := outputs.Result{Err: &outputs.Error{Written: true, Err: fmt.Errorf("write: %w", os.ErrDeadlineExceeded)}}
	down := func() error { return errDown }
	up := func() error { return nil }
	for name, c := range map[string]struct {
		answer func(context.Context, request) outputs.Result
		probe  func() error
	}{
		"refuses connections":            {after(2*time.Hour, refused), down},
		"hangs up":                       {after(2*time.Hour, hangup), down},
		"hangs up for 10 s, probes pass": {after(10*time.Second, hangup), up},
		"no acknowledgements":            {after(2*time.Hour, noAck), up},
		"doesn't read":                   {after(2*time.Hour, stuck), up},
		"throttles after writing":        {after(2*time.Hour, outputs.Result{Err: &outputs.Error{Class: outputs.Throttle, Written: true, Err: errDown}}), up},
		"held after writing":             {after(2*time.Hour, outputs.Result{Err: &outputs.Error{Class: outputs.Held, Written: true, Err: errDown}}), up},
		"one tag only": {func(_ context.Context, r request) outputs.Result {
			if r.at > 2*time.Hour || !slices.ContainsFunc(r.events, func(e string) bool { return strings.HasPrefix(e, "t1/") }) {
				return outputs.Result{}
			}
			return hangup
		}, down},
		"serves a little, then dies": {func(_ context.Context, r request) outputs.Result {
			if s := int(r.at / time.Second); s > 7200 || s%40 == 20 && len(r.events) < 3 {
				return outputs.Result{}
			}
			return hangup
		}, down},
	} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprint(name, ", workers ", workers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					out := newFake(c.answer)
					out.probe = c.probe
					r := start(t, out, func(o *Options) { o.Workers = workers })
					for i := range 100 {
						r.append(text(fmt.Sprint("t", i%5), i*10, 10))
					}
					r.await(12 * time.Hour)
					r.close()
					if dead := r.dead.all(); len(dead) != 0 {
						t.Errorf("dead letters: %v", dead)
					}
					if got := out.got(); len(got) != 1000 || ordered(got) != "" {
						t.Errorf("delivered %d: %s", len(got), ordered(got))
					}
				})
			})
		}
	}
}

// A server that hangs up at random, with probes as lucky as requests.
func TestNoDeadLettersFromAFlakyServer(t *testing.T) {
	for _, luck := range []float64{0.1, 0.3, 0.5, 0.7} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(1, uint64(luck*100)))
			lucky := func() bool {
				mu.Lock()
				defer mu.Unlock()
				return rnd.Float64() < luck
			}
			out := newFake(func(context.Context, request) outputs.Result {
				if lucky() {
					return outputs.Result{}
				}
				return hangup
			})
			out.probe = func() error {
				if lucky() {
					return nil
				}
				return errDown
			}
			out.shape.MaxEvents = 20
			r := start(t, out)
			for i := range 1000 {
				r.append(text("a", i*10, 10))
			}
			r.await(10 * 24 * time.Hour)
			r.close()
			if dead := r.dead.all(); len(dead) != 0 || len(out.got()) != 10_000 || ordered(out.got()) != "" {
				t.Errorf("luck %v: dead letters %v, delivered %d: %s", luck, dead, len(out.got()), ordered(out.got()))
			}
			// Batches must not stay small because one of them had no luck.
			if n, most := len(out.log()), int(8*500/luck); n > most {
				t.Errorf("luck %v: %d requests for 500 batches, want at most %d", luck, n, most)
			}
		})
	}
}

// Neither many failures in a short time nor few in a long one are enough.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		retry  Retry
		answer func(n int, r request) bool // hangs up
	}{
		"short time":   {Retry{Initial: time.Millisecond, Max: 10 * time.Millisecond}, func(_ int, r request) bool { return r.at < suspectTime-time.Second }},
		"few failures": {Retry{Initial: time.Hour, Max: time.Hour}, func(n int, _ request) bool { return n <= suspectAfter+suspectRounds-2 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
					if n++; c.answer(n, r) {
						return hangup
					}
					return outputs.Result{}
				}), func(o *Options) { o.Retry = c.retry })
				r.append(text("a", 0, 1), text("a", 1, 1))
				r.await(24 * time.Hour)
				r.close()
				if got := r.out.got(); len(got) != 2 || len(r.dead.all()) > 0 {
					t.Errorf("delivered %v, dead %v", got, r.dead.all())
				}
			})
		})
	}
}

// An output that can't probe never gives up an event.
func TestWithoutAProberNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(chokes("a/3"))
		r := start(t, out, func(o *Options) { o.Output = struct{ outputs.Output }{out} })
		r.append(text("a", 0, 10))
		time.Sleep(24 * time.Hour)
		if got := out.got(); !slices.Equal(got, []string{"a/0", "a/1", "a/2"}) || len(r.dead.all()) != 0 {
			t.Errorf("delivered %v, dead %v", got, r.dead.all())
		}
		r.stop()
	})
}

// An event that a healthy server chokes on holds up its tag for seconds, not minutes.
func TestAPoisonEventIsGivenUpSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(chokes("a/3"))
		r := start(t, out, func(o *Options) {
			o.Retry = Retry{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Timeout: time.Minute}
		})
		begin := time.Now()
		r.append(text("a", 0, 1000))
		r.await(time.Hour)
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
		if dead := r.dead.all(); len(dead) != 1 || dead[0] != "rejected:a/3" {
			t.Errorf("dead letters: %v", dead)
		}
		r.close()
	})
}
