package destination

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// hangs answers nothing before a time.
func hangs(until time.Duration) func(context.Context, request) outputs.Result {
	return func(ctx context.Context, r request) outputs.Result {
		if r.at < until {
			<-ctx.Done()
			return outputs.Result{Err: ctx.Err()}
		}
		return outputs.Result{}
	}
}

// An aggregator is dead for an hour, and the buffer has room for a few seconds of it.
func TestAnHourWithASmallBuffer(t *testing.T) {
	type variant struct {
		answer  func(context.Context, request) outputs.Result
		shape   outputs.Shape
		workers int
		after   time.Duration
		disk    bool
	}
	dead, hole := after(time.Hour, refused), hangs(time.Hour)
	plain := outputs.Shape{MaxBytes: 64 << 10}
	for name, v := range map[string]variant{
		"refused":             {answer: dead, shape: plain, workers: 1},
		"refused, 8 workers":  {answer: dead, shape: plain, workers: 8},
		"refused, after":      {answer: dead, shape: plain, workers: 8, after: 10 * time.Minute},
		"hangs":               {answer: hole, shape: plain, workers: 1},
		"hangs, 8 workers":    {answer: hole, shape: plain, workers: 8},
		"hangs, after":        {answer: hole, shape: plain, workers: 1, after: time.Minute},
		"hangs up":            {answer: after(time.Hour, hangup), shape: plain, workers: 1},
		"hangs up, 8 workers": {answer: after(time.Hour, hangup), shape: plain, workers: 8},
		"no ack":              {answer: after(time.Hour, fail(outputs.NoAck)), shape: plain, workers: 8},
		"throttles":           {answer: after(time.Hour, fail(outputs.Throttle)), shape: plain, workers: 1},
		"held":                {answer: after(time.Hour, fail(outputs.Held)), shape: plain, workers: 1},
		"keys":                {answer: dead, shape: outputs.Shape{Key: tagKey{}}, workers: 1},
		"keys, hang":          {answer: hole, shape: outputs.Shape{Key: tagKey{perEvent: true}}, workers: 8},
		"linger":              {answer: dead, shape: outputs.Shape{MaxBytes: 64 << 20, Linger: 2 * time.Minute}, workers: 1},
		"linger, keys":        {answer: dead, shape: outputs.Shape{MaxBytes: 64 << 20, Linger: time.Minute, Key: tagKey{}, Encode: lines}, workers: 8},
		"encoded, hangs":      {answer: hole, shape: outputs.Shape{MaxEvents: 7, Encode: lines}, workers: 8},
		"tiny batches":        {answer: hole, shape: outputs.Shape{MaxBytes: 100}, workers: 8},
		"disk":                {answer: dead, shape: plain, workers: 1, disk: true},
		"disk, hangs":         {answer: hole, shape: plain, workers: 8, disk: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			synctest.Test(t, func(t *testing.T) {
				out, p := newFake(v.answer), &place{}
				out.shape = v.shape
				out.probe = func() error { return errDown }
				r := start(t, out, small(256<<10), with(p, v.after), func(o *Options) {
					o.Workers = v.workers
					if v.disk {
						b, err := buffer.OpenDisk(buffer.DiskOptions{Dir: dir, Name: "d", MaxBytes: 512 << 10, Spills: true, Sync: buffer.SyncNever})
						if err != nil {
							t.Fatal(err)
						}
						o.Buffer = b
					}
				})
				s := newStream(r, 20)
				s.flow(time.Hour, 2*time.Second, 80)
				if b := r.buf.Stats(); b.Moved["spill"] == 0 || b.Delivered > 0 {
					t.Errorf("after an hour: %+v", b)
				}
				s.flow(20*time.Minute, 2*time.Second, 10)
				before := r.buf.Stats()
				s.flow(20*time.Minute, 2*time.Second, 10)
				b := r.buf.Stats()
				if d := r.d.Stats(); before.Moved["spill"] != b.Moved["spill"] || b.Delivered <= before.Delivered || d.Moving || d.Breaker != "closed" {
					t.Errorf("40 min after the outage: %+v; 20 min before: %+v", d, before)
				}
				r.d.Drain()
				r.await(time.Hour)
				s.check(p)
				r.close()
				if s.slow > 600*time.Millisecond {
					t.Errorf("an append took %v", s.slow)
				}
			})
		})
	}
}

// brief waits, so that a test may look at what has happened.
func brief() { time.Sleep(2 * time.Second) }

func TestMovesOnlyAfterAWhile(t *testing.T) {
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			p := &place{}
			r := start(t, newFake(after(time.Hour, refused)), with(p, 10*time.Minute), func(o *Options) { o.Workers = workers })
			s := newStream(r, 20)
			s.flow(10*time.Minute, 5*time.Second, 10)
			if d := r.d.Stats(); d.Moving || len(p.got()) > 0 {
				t.Errorf("before its time: %+v", d)
			}
			s.flow(time.Minute, 5*time.Second, 10) // the breaker needed some failures
			if d := r.d.Stats(); !d.Moving || d.MovingTo != "spill" || d.MovingWhy != MovingBreaker || d.Buffer.Buffered > 20 {
				t.Errorf("after 11 min: %+v", d)
			}
			s.flow(time.Hour-time.Since(p.start)-time.Second, 5*time.Second, 10)
			probes := 0
			for _, q := range r.out.log() {
				if q.at > 12*time.Minute {
					probes++
					if q.chunks != 1 {
						t.Errorf("a request of %d chunks at %v", q.chunks, q.at)
					}
				}
			}
			if probes < 60 {
				t.Errorf("%d probes in 48 min", probes)
			}
			s.flow(time.Hour, time.Second, 10)
			for _, q := range r.out.log() {
				if q.at > time.Hour {
					if q.at < p.last {
						t.Errorf("something moved at %v, after the other side took something at %v", p.last, q.at)
					}
					break
				}
			}
			r.await(time.Minute)
			if d := r.d.Stats(); d.Moving || d.Buffer.Delivered < 35_000 {
				t.Errorf("an hour after the outage: %+v", d)
			}
			s.check(p)
			r.close()
		})
	}
}

var errFull = errors.New("full, too")

func TestAFallbackThatFails(t *testing.T) {
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			p := &place{took: func(at time.Duration) error {
				switch {
				case at > 30*time.Minute:
					return nil
				case at > 20*time.Minute:
					panic("no place")
				}
				return errFull
			}}
			r := start(t, newFake(after(time.Hour, refused)), with(p, time.Minute), func(o *Options) { o.Workers = workers })
			s := newStream(r, 20)
			s.flow(15*time.Minute, time.Second, 10)
			d := r.d.Stats()
			if d.Buffer.Buffered != d.Buffer.Offered || d.Trouble != `move events to "spill": full, too` || !d.Moving {
				t.Errorf("while it fails: %+v", d)
			}
			p.mu.Lock()
			if p.calls < 600 || p.calls > 14*60*workers {
				t.Errorf("tried %d times in 14 min", p.calls)
			}
			p.mu.Unlock()
			if n := len(r.out.log()); n < 30 {
				t.Errorf("%d probes in 15 min", n)
			}
			s.flow(16*time.Minute, time.Second, 10)
			if d := r.d.Stats(); d.Trouble != "" || d.Buffer.Buffered > 1000 {
				t.Errorf("when it works again: %+v", d)
			}
			s.flow(40*time.Minute, time.Second, 10)
			r.await(time.Minute)
			s.check(p)
			r.close()
		})
	}
}

// Without a fallback that works delivery goes on, also when it takes longer than room may.
func TestAFallbackThatFailsHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{took: func(time.Duration) error { return errFull }}
		out := newFake(func(ctx context.Context, r request) outputs.Result {
			select {
			case <-time.After(5 * time.Second):
				return outputs.Result{}
			case <-ctx.Done():
				return outputs.Result{Err: ctx.Err()}
			}
		})
		out.shape.MaxBytes = 4 << 10
		r := start(t, out, small(64<<10), with(p, 0))
		newStream(r, 3).flow(10*time.Minute, time.Second, 20)
		b := r.buf.Stats()
		if b.Delivered < 2000 || b.Shed[buffer.ReasonFull] == 0 {
			t.Errorf("%+v", b)
		}
		balanced(t, b)
		r.stop()
	})
}

// A request that is cut off to make room counts as a failure: the next one is a while off, and is cut off at once. It
// says nothing about its events.
func TestARequestIsCutOffToMakeRoom(t *testing.T) {
	for _, key := range []outputs.Keyer{nil, tagKey{}} {
		synctest.Test(t, func(t *testing.T) {
			var causes []error
			p := &place{}
			out := newFake(func(ctx context.Context, r request) outputs.Result {
				if r.at > time.Hour {
					return outputs.Result{}
				}
				<-ctx.Done()
				causes = append(causes, context.Cause(ctx))
				return outputs.Result{Err: &outputs.Error{Err: ctx.Err(), Written: true}}
			})
			out.shape = outputs.Shape{MaxBytes: 8 << 10, Key: key}
			r := start(t, out, small(64<<10), with(p, 0), func(o *Options) { o.Retry.Timeout = 24 * time.Hour })
			s := newStream(r, 3)
			s.flow(time.Hour, time.Second, 10)
			if len(causes) < 30 {
				t.Errorf("cut off %d requests", len(causes))
			}
			for _, c := range causes {
				if !errors.Is(c, errCut) {
					t.Errorf("cause: %v", c)
				}
			}
			if d := r.d.Stats(); d.Breaker == "closed" || d.Failed != uint64(len(causes)) || d.Error != errCut.Error() || out.probes > 0 {
				t.Errorf("%d probes; %+v", out.probes, d)
			}
			s.flow(5*time.Minute, time.Second, 10)
			r.await(time.Minute)
			if d := r.d.Stats(); d.Error != "" {
				t.Errorf("afterwards: %+v", d)
			}
			s.check(p)
			r.close()
		})
	}
}

// Who waits at the gate, for the rate or for a batch to fill sees the pressure at once.
func TestAWorkerThatWaitsMoves(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"breaker": func(o *Options) { o.Output.(*fake).answer = always(fail(outputs.Held)) },
		"backoff": func(o *Options) {
			o.Output.(*fake).answer = always(outputs.Result{Err: &outputs.Error{Err: errDown, RetryAfter: maxRetryAfter}})
		},
		"linger": func(o *Options) { o.Output.(*fake).shape.Linger = time.Hour },
		"rate":   func(o *Options) { o.MaxRate = 1 },
	} {
		for _, workers := range []int{1, 8} {
			t.Run(fmt.Sprint(name, " ", workers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &place{}
					r := start(t, newFake(nil), small(64<<10), with(p, 0), change, func(o *Options) { o.Workers = workers })
					s := newStream(r, 20)
					s.flow(20*time.Second, time.Second, 20)
					if d := r.d.Stats(); d.Moving || d.Buffer.Moved["spill"] > 0 {
						t.Errorf("without pressure: %+v", d)
					}
					s.flow(time.Minute, time.Second, 20)
					if d := r.d.Stats(); d.Buffer.Moved["spill"] == 0 {
						t.Errorf("under pressure: %+v", d)
					}
					if s.slow > 0 {
						t.Errorf("an append took %v", s.slow)
					}
					s.check(p)
					r.stop()
				})
			})
		}
	}
}

// What moves is what was stored, without what was settled before.
func TestWhatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		out := newFake(func(_ context.Context, r request) outputs.Result {
			held := fail(outputs.Held)
			if len(r.events) == 10 {
				held.Retry = []outputs.Range{{From: 1, To: 3}, {From: 5, To: 10}}
			}
			return held
		})
		r := start(t, out, with(p, time.Minute))
		c := text("a", 0, 10)
		c.Attrs, c.Route = record.NewAttrs(record.Attr{Key: "host", Value: "h"}), "access"
		c.Arrived, c.Oldest, c.Newest = time.Unix(3, 0), time.Unix(1, 0), time.Unix(2, 5)
		r.append(c)
		r.await(time.Hour)
		balanced(t, r.buf.Stats())
		if got := p.got(); !slices.Equal(got, []string{"a/1", "a/2", "a/5", "a/6", "a/7", "a/8", "a/9"}) || len(out.got()) != 3 {
			t.Errorf("delivered %v, moved %v", out.got(), got)
		}
		for _, m := range p.chunks {
			if m.Tag != "a" || m.Route != "access" || !m.Attrs.Equal(c.Attrs) || !m.Arrived.Equal(c.Arrived) ||
				!m.Oldest.Equal(c.Oldest) || !m.Newest.Equal(c.Newest) {
				t.Errorf("moved %+v, want like %+v", m, c)
			}
		}
		r.close()
	})
}

func TestMovesInGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		out := newFake(always(fail(outputs.Held)))
		out.shape.MaxBytes = 100
		r := start(t, out, with(p, time.Minute))
		for i := range 20_000 {
			r.append(text("a", i, 1))
		}
		r.await(time.Hour)
		p.mu.Lock()
		if p.calls > 20 || len(p.events) != 20_000 || ordered(p.events) != "" {
			t.Errorf("moved %d events in %d calls: %s", len(p.events), p.calls, ordered(p.events))
		}
		p.mu.Unlock()
		r.close()
	})
}

// An event that can't be read moves nowhere, and keeps nothing from moving.
func TestWhatCannotBeReadIsShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		out := newFake(func(context.Context, request) outputs.Result {
			return outputs.Result{Retry: []outputs.Range{{From: 1, To: 2}}, Err: &outputs.Error{Class: outputs.Held, Err: errDown}}
		})
		out.shape.Linger = time.Millisecond
		r := start(t, out, with(p, time.Hour))
		bad := text("b", 0, 2)
		bad.Events = 5
		r.append(text("a", 0, 2), text("a", 2, 2), bad, text("a", 4, 2))
		brief()
		if r.d.Stats().Moving {
			t.Error("too early")
		}
		r.await(2 * time.Hour)
		b := r.buf.Stats()
		balanced(t, b)
		if b.Moved["spill"] == 0 || b.Buffered > 0 {
			t.Errorf("%+v", b)
		}
		r.close()
	})
}

// The fallback is another destination, which may have one as well.
func TestAChainOfFallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := start(t, newFake(nil), small(1<<20))
		next := start(t, newFake(after(time.Hour, refused)), small(128<<10), func(o *Options) {
			o.Fallback = &Fallback{Name: "last", Sink: last.d}
		})
		first := start(t, newFake(after(2*time.Hour, refused)), small(128<<10), func(o *Options) {
			o.Fallback = &Fallback{Name: "next", Sink: next.d}
		})
		s := newStream(first, 5)
		s.flow(3*time.Hour, time.Second, 20)
		sum := 0
		for _, r := range []*rig{first, next, last} {
			r.await(time.Minute)
			r.close()
			if b := r.buf.Stats(); len(b.Shed) > 0 || b.Delivered == 0 {
				t.Errorf("%+v", b)
			}
			if o := ordered(r.out.got()); o != "" {
				t.Error(o)
			}
			sum += len(r.out.got())
		}
		if sum != len(s.all) {
			t.Errorf("%d events arrived, want %d", sum, len(s.all))
		}
	})
}
