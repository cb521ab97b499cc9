package destination

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

func TestABlockedWorkerHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var blocked atomic.Value
		out := newFake(nil)
		out.answer = func(ctx context.Context, r request) outputs.Result {
			tag, _, _ := strings.Cut(r.events[0], "/")
			if blocked.CompareAndSwap(nil, tag) || blocked.Load() == tag {
				<-ctx.Done()
				return outputs.Result{Err: ctx.Err()}
			}
			return outputs.Result{}
		}
		out.shape.MaxBytes = 5_000
		r := start(t, out, func(o *Options) { o.Workers = 4; o.Retry.Timeout = 24 * time.Hour })
		for i := range 30_000 {
			r.append(text(fmt.Sprint("t", i%50), i, 1))
		}
		time.Sleep(time.Minute)
		s := r.buf.Stats()
		if s.Delivered == 0 {
			t.Error("the other workers stand still")
		}
		// One batch in the worker, one in the queues.
		if max := uint64(3 * out.shape.MaxBytes / len(text("t1", 10_000, 1).Data)); s.Leased > max {
			t.Errorf("%d events are leased, want at most %d", s.Leased, max)
		}
		r.d.Drain()
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		out.mu.Lock()
		out.answer = nil
		out.mu.Unlock()
		r.d = New(options(out, r.buf, r.dead))
		r.run()
		r.await(time.Minute)
		r.close()
		if s := ordered(out.got()); s != "" || len(out.got()) != 30_000 {
			t.Error(len(out.got()), s)
		}
	})
}

func TestWorkersMakeLargeBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(func(context.Context, request) outputs.Result {
			time.Sleep(10 * time.Millisecond)
			return outputs.Result{}
		})
		out.shape.Linger = 5 * time.Millisecond
		r := start(t, out, func(o *Options) { o.Workers = 4 })
		for i := range 5000 {
			r.append(text(fmt.Sprint("t", i%97), i, 1))
		}
		r.await(time.Minute)
		r.close()
		if n := len(out.log()); n > 5000/50 {
			t.Errorf("%d requests for 5000 small chunks", n)
		}
	})
}

func TestWorkersSendAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flying, most atomic.Int64
		r := start(t, newFake(func(context.Context, request) outputs.Result {
			if n := flying.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			flying.Add(-1)
			return outputs.Result{}
		}), func(o *Options) { o.Workers = 4 })
		for i := range 400 {
			r.append(text(fmt.Sprint("t", i%40), i, 1))
		}
		r.await(time.Minute)
		r.close()
		if most.Load() != 4 {
			t.Errorf("%d requests at the same time, want 4", most.Load())
		}
	})
}

func TestTheBufferEndsFirst(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, newFake(nil), func(o *Options) { o.Workers = workers })
			r.append(text("a", 0, 1))
			r.await(time.Minute)
			if err := r.buf.Close(context.Background()); err != nil {
				t.Error(err)
			}
			<-r.ended
		})
	}
}
