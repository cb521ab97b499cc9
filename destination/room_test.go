package destination

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

// What a fallback could only take by discarding others waits, as long as there is room for it here.
func TestAFallbackIsNotFlooded(t *testing.T) {
	slow := func(context.Context, request) outputs.Result {
		time.Sleep(time.Second)
		return outputs.Result{}
	}
	for name, v := range map[string]struct {
		answer  func(context.Context, request) outputs.Result // of the fallback
		after   time.Duration
		workers int
		least   uint64 // events that wait at the first one after half an hour
	}{
		"slow":                  {answer: slow, after: time.Minute, workers: 1},
		"slow, 8 workers":       {answer: slow, after: time.Minute, workers: 8},
		"slow, near the bound":  {answer: slow, workers: 1},
		"dead, too":             {answer: after(time.Hour, refused), after: time.Minute, workers: 1, least: 20_000},
		"dead, too, 8 workers":  {answer: after(time.Hour, refused), after: time.Minute, workers: 8, least: 20_000},
		"hangs, near the bound": {answer: hangs(time.Hour), workers: 8, least: 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newFake(v.answer)
				out.shape.MaxBytes = 32 << 10
				next := start(t, out, func(o *Options) {
					o.Buffer = buffer.OpenMemory(buffer.MemoryOptions{Name: "next", MaxBytes: 256 << 10})
				})
				first := start(t, newFake(after(90*time.Minute, refused)), small(2<<20), func(o *Options) {
					o.Workers = v.workers
					o.Fallback = &Fallback{Name: "next", Sink: next.d, After: v.after, Room: next.d.Room}
				})
				s := newStream(first, 20)
				s.flow(5*time.Minute, time.Second, 92)
				if b := first.buf.Stats(); b.MemoryBytes > b.MaxBytes*9/10 || v.after == 0 && b.Moved["next"] == 0 {
					t.Errorf("the test needs more room, or less: %+v", b)
				}
				time.Sleep(25 * time.Minute)
				if b := first.buf.Stats(); b.Buffered < v.least {
					t.Errorf("after half an hour: %+v", b)
				}
				time.Sleep(90 * time.Minute)
				sum := 0
				for _, r := range []*rig{first, next} {
					r.await(time.Minute)
					r.close()
					if b := r.buf.Stats(); len(b.Shed) > 0 {
						t.Errorf("%+v", b)
					}
					if o := ordered(r.out.got()); o != "" {
						t.Error(o)
					}
					sum += len(r.out.got())
				}
				if sum != len(s.all) || len(out.got()) == 0 {
					t.Errorf("%d events arrived, %d of them by the fallback, want %d", sum, len(out.got()), len(s.all))
				}
			})
		})
	}
}
