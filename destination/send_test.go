package destination

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

func TestResults(t *testing.T) {
	ten := []string{"a/0", "a/1", "a/2", "a/3", "a/4", "b/5", "b/6", "b/7", "b/8", "b/9"}
	pick := func(list ...int) (out []string) {
		for _, i := range list {
			out = append(out, ten[i])
		}
		return out
	}
	rng := func(from, to int) outputs.Range { return outputs.Range{From: from, To: to} }
	var none *outputs.Error
	for name, c := range map[string]struct {
		first  outputs.Result
		second []string // the next request; nil: none
		dead   []string
	}{
		"all":                      {outputs.Result{}, nil, nil},
		"typed nil":                {outputs.Result{Err: none}, nil, nil},
		"error":                    {outputs.Result{Err: errDown}, ten, nil},
		"error without a cause":    {outputs.Result{Err: &outputs.Error{}}, ten, nil},
		"rest at once":             {outputs.Result{Retry: []outputs.Range{rng(3, 6)}}, pick(3, 4, 5), nil},
		"rest with error":          {outputs.Result{Retry: []outputs.Range{rng(3, 6), rng(9, 10)}, Err: errDown}, pick(3, 4, 5, 9), nil},
		"all to retry, no error":   {outputs.Result{Retry: []outputs.Range{rng(0, 10)}}, ten, nil},
		"dead":                     {outputs.Result{Dead: []outputs.Dead{{Range: rng(4, 6), Reason: "bad"}}}, nil, []string{"bad:a/4", "bad:b/5"}},
		"dead, no reason":          {outputs.Result{Dead: []outputs.Dead{{Range: rng(0, 1)}}}, nil, []string{"refused:a/0"}},
		"dead and error":           {outputs.Result{Dead: []outputs.Dead{{Range: rng(0, 1), Reason: "bad"}}, Retry: []outputs.Range{rng(1, 10)}, Err: errDown}, ten[1:], []string{"bad:a/0"}},
		"out of bounds":            {outputs.Result{Retry: []outputs.Range{rng(-5, 1), rng(9, math.MaxInt), rng(50, 60)}}, pick(0, 9), nil},
		"backwards":                {outputs.Result{Retry: []outputs.Range{rng(6, 3)}}, nil, nil},
		"error, ranges of nothing": {outputs.Result{Retry: []outputs.Range{rng(6, 6), rng(-3, 0)}, Err: errDown}, ten, nil},
		"overlapping":              {outputs.Result{Retry: []outputs.Range{rng(2, 5), rng(4, 6)}, Dead: []outputs.Dead{{Range: rng(5, 7), Reason: "bad"}, {Range: rng(6, 7), Reason: "worse"}}}, pick(2, 3, 4, 5), []string{"worse:b/6"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				out := newFake(func(context.Context, request) outputs.Result {
					if n++; n == 1 {
						return c.first
					}
					return outputs.Result{}
				})
				out.shape.Linger = time.Millisecond // both chunks in one batch
				r := start(t, out)
				r.append(text("a", 0, 5), text("b", 5, 5))
				r.await(time.Minute)
				r.close()
				list := out.log()
				if !slices.Equal(list[0].events, ten) {
					t.Errorf("first request: %v", list[0].events)
				}
				switch {
				case c.second == nil && len(list) != 1:
					t.Errorf("repeated %v", list[1].events)
				case c.second != nil && (len(list) != 2 || !slices.Equal(list[1].events, c.second)):
					t.Errorf("%d requests, then %v; want %v", len(list), list[len(list)-1].events, c.second)
				}
				if got := r.dead.all(); !slices.Equal(got, c.dead) {
					t.Errorf("dead letters %v, want %v", got, c.dead)
				}
				s := r.buf.Stats()
				if s.Delivered != uint64(10-len(c.dead)) {
					t.Errorf("delivered %d", s.Delivered)
				}
				if got := r.d.Stats().Retried; got != uint64(len(c.second)) {
					t.Errorf("retried %d, want %d", got, len(c.second))
				}
			})
		})
	}
}

func TestManyReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 70_000 // more than 16 bits count
		out := newFake(nil)
		out.shape.MaxBytes = 8 << 20
		out.answer = func(_ context.Context, r request) outputs.Result {
			var res outputs.Result
			for i := 1; i < len(r.events); i++ {
				res.Dead = append(res.Dead, outputs.Dead{Range: outputs.Range{From: i, To: i + 1}, Reason: "bad"})
			}
			return res
		}
		r := start(t, out)
		r.append(text("a", 0, n))
		r.await(time.Minute)
		r.close()
		if got := r.dead.all(); len(got) != n-1 || got[n-2] != fmt.Sprintf("bad:a/%d", n-1) {
			t.Errorf("%d dead letters", len(got))
		}
	})
}

func TestShutdownBelievesTheResult(t *testing.T) {
	for name, c := range map[string]struct {
		res       outputs.Result
		delivered uint64
	}{
		"all taken":   {outputs.Result{}, 4},
		"none taken":  {outputs.Result{Err: context.Canceled}, 0},
		"some taken":  {outputs.Result{Retry: []outputs.Range{{From: 1, To: 3}}, Err: context.Canceled}, 2},
		"and no word": {outputs.Result{Retry: []outputs.Range{{From: 1, To: 4}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newFake(func(ctx context.Context, _ request) outputs.Result {
					<-ctx.Done()
					return c.res
				}))
				r.append(text("a", 0, 4))
				time.Sleep(time.Second)
				r.stop()
				s := r.buf.Stats()
				balanced(t, s)
				if s.Delivered != c.delivered || s.Buffered != 4-c.delivered || s.Leased != 0 {
					t.Errorf("%+v", s)
				}
				if d := r.d.Stats(); d.Error != "" && c.delivered == 0 {
					t.Errorf("the shutdown shows as an error: %+v", d)
				}
				r.out.answer = nil
				r.d = New(options(r.out, r.buf, r.dead))
				r.run()
				r.await(time.Minute)
				r.close()
				if n := r.d.Stats().Retried; n != 4-c.delivered {
					t.Errorf("%d events count as sent again, want %d", n, 4-c.delivered)
				}
				if got := r.out.got(); len(got) != 4 || c.delivered != 2 && ordered(got) != "" {
					t.Errorf("delivered %v", got)
				}
			})
		})
	}
}

// A buffer remembers a limited number of ranges.
func TestAStopLeavesFewRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
			res := outputs.Result{Err: errDown}
			for i := 0; i < len(r.events); i += 2 {
				res.Retry = append(res.Retry, outputs.Range{From: i, To: i + 1})
			}
			return res
		}))
		r.append(text("a", 0, 3000))
		synctest.Wait()
		r.stop()
		s := r.buf.Stats()
		balanced(t, s)
		if s.Delivered != maxRanges || s.Buffered != 3000-maxRanges {
			t.Errorf("delivered %d, buffered %d, want %d ranges", s.Delivered, s.Buffered, maxRanges)
		}
		r.close()
	})
}

func TestAttemptsHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(func(ctx context.Context, r request) outputs.Result {
			if len(r.events) > 0 && r.at < time.Minute {
				<-ctx.Done()
				return outputs.Result{Err: ctx.Err()}
			}
			return outputs.Result{}
		}))
		r.append(text("a", 0, 4))
		r.await(10 * time.Minute)
		r.close()
		if got := r.out.log(); len(got) != 2 || got[1].at < time.Minute || got[1].at > 61*time.Second {
			t.Errorf("requests at %v", got)
		}
	})
}

// A request that doesn't obey its context borrows its events until it returns: they must not be given back before.
func TestARequestThatHangsKeepsItsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := start(t, newFake(func(context.Context, request) outputs.Result {
			<-release
			return outputs.Result{}
		}))
		r.append(text("a", 0, 4))
		time.Sleep(time.Hour)
		if s := r.d.Stats(); s.InFlight != 1 || s.Trouble != "a request has not returned 59m0s after its deadline" {
			t.Errorf("%+v", s)
		}
		ended := make(chan struct{})
		go func() { r.stop(); close(ended) }()
		time.Sleep(time.Hour)
		if s := r.buf.Stats(); s.Leased != 4 {
			t.Errorf("events were given back while a request has them: %+v", s)
		}
		close(release)
		<-ended
		if s := r.buf.Stats(); s.Delivered != 4 {
			t.Errorf("%+v", s)
		}
		r.close()
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(func(_ context.Context, r request) outputs.Result {
			if r.at < time.Minute {
				var none *request
				none.at++
			}
			return outputs.Result{}
		}))
		r.append(text("a", 0, 4))
		time.Sleep(30 * time.Second)
		if s := r.d.Stats(); s.Error == "" || s.Hint == "" || s.Failed < 3 {
			t.Errorf("%+v", s)
		}
		r.await(time.Hour)
		r.close()
		if got := r.out.got(); len(got) != 4 || len(r.dead.all()) != 0 {
			t.Errorf("delivered %v, dead %v", got, r.dead.all())
		}
	})
}

func TestEventsThatCannotBeEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(nil)
		out.shape.Encode = func(dst []byte, e record.Event) ([]byte, error) {
			switch s := textOf(e); s {
			case "a/3", "a/4", "a/6":
				return append(dst, "half of it"...), errors.New("too odd")
			case "a/7":
				panic("not foreseen")
			case "a/9":
				return nil, nil // takes away what is there
			}
			return lines(dst, e)
		}
		r := start(t, out)
		r.append(text("a", 0, 12))
		r.append(text("a", 3, 2))
		r.await(time.Minute)
		r.close()
		want := []string{"encode:a/3", "encode:a/4", "encode:a/6", "encode:a/7", "encode:a/9", "encode:a/3", "encode:a/4"}
		if got := r.dead.all(); !slices.Equal(got, want) {
			t.Errorf("dead letters %v, want %v", got, want)
		}
		if got := out.got(); len(got) != 7 || ordered(got) != "" {
			t.Errorf("delivered %v", got)
		}
		if s := r.buf.Stats(); s.DeadLettered[ReasonEncode] != 7 || s.Delivered != 7 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDeadLettersThatCannotBeKept(t *testing.T) {
	refuse := func(_ context.Context, r request) outputs.Result {
		return outputs.Result{Dead: []outputs.Dead{{Range: outputs.Range{From: 0, To: 1}, Reason: "bad"}}}
	}
	for name, c := range map[string]struct {
		change  func(*Options, *grave)
		longest time.Duration
	}{
		"no store": {func(o *Options, _ *grave) { o.Dead = nil }, 0},
		"error":    {func(_ *Options, g *grave) { g.fail = errors.New("disk full") }, 0},
		"hangs":    {func(_ *Options, g *grave) { g.hang = make(chan struct{}) }, buryPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &grave{}
				out := newFake(refuse)
				out.shape.MaxEvents = 5
				r := start(t, out, func(o *Options) { o.Dead = g; c.change(o, g) })
				began := time.Now()
				r.append(text("a", 0, 20))
				r.await(time.Minute)
				if took := time.Since(began); took > c.longest+20*time.Millisecond {
					t.Errorf("delivery waited %v for the dead letters", took)
				}
				s := r.d.Stats()
				if s.Buffer.Shed[reasonUnkept] != 4 || s.Buffer.Delivered != 16 || s.Trouble == "" {
					t.Errorf("%+v", s)
				}
				began = time.Now()
				if err := r.d.Reject(context.Background(), []record.Chunk{text("b", 0, 3)}, "too_large"); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("intake waited %v for the dead letters", took)
				}
				if g.hang != nil {
					close(g.hang)
				}
				g.mu.Lock()
				g.fail = nil
				g.mu.Unlock()
				synctest.Wait()
				_ = r.d.Reject(context.Background(), []record.Chunk{text("b", 3, 3)}, "too_large")
				s = r.d.Stats()
				if name != "no store" && (s.Trouble != "" || s.Buffer.DeadLettered["too_large"] != 3) {
					t.Errorf("after the trouble: %+v", s)
				}
				r.close()
			})
		})
	}
}

func TestUnreadableDataCostsItsLeaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(nil)
		out.shape.Linger, out.shape.Encode = time.Millisecond, lines
		r := start(t, out)
		bad := text("b", 0, 3)
		bad.Data = bad.Data[:len(bad.Data)-2]
		short := text("c", 0, 3)
		short.Events = 5
		r.append(text("a", 0, 2), bad, text("a", 2, 2), short, text("a", 4, 2))
		r.await(time.Minute)
		r.close()
		if got := out.got(); len(got) != 6 || ordered(got) != "" {
			t.Errorf("delivered %v", got)
		}
		if s := r.buf.Stats(); s.Shed[buffer.ReasonCorrupt] != 8 {
			t.Errorf("%+v", s)
		}
	})
}
