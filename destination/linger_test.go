package destination

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

func TestLingerGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(nil)
		out.shape.Linger = 10 * time.Second
		r := start(t, out)
		time.Sleep(time.Second)
		for i := range 20 {
			r.append(text("a", i, 1))
			time.Sleep(time.Second)
		}
		r.await(time.Minute)
		r.close()
		list := out.log()
		if len(list) != 2 || len(list[0].events) != 11 && len(list[0].events) != 10 || list[0].at != 11*time.Second {
			t.Errorf("requests: %v", list)
		}
	})
}

func TestLingerEndsWhenTheBatchIsFull(t *testing.T) {
	for name, shape := range map[string]outputs.Shape{
		"bytes":  {MaxBytes: 4000, Linger: time.Hour},
		"events": {MaxBytes: 1 << 20, MaxEvents: 50, Linger: time.Hour},
		"leases": {MaxBytes: 1 << 30, Linger: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newFake(nil)
				out.shape = shape
				r := start(t, out)
				r.append(text("a", 0, 1))
				time.Sleep(time.Minute)
				for i := range 2 * maxLeases {
					r.append(text("a", 1+i, 1))
				}
				time.Sleep(2 * time.Second)
				if len(out.log()) == 0 {
					t.Error("nothing was sent")
				}
				for _, q := range out.log() {
					if shape.MaxEvents > 0 && len(q.events) > shape.MaxEvents || len(q.events) > maxLeases {
						t.Errorf("batch of %d events", len(q.events))
					}
				}
				r.d.Drain()
				r.await(time.Second)
				r.close()
			})
		})
	}
}

func TestDrainEndsLinger(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			out := newFake(nil)
			out.shape.Linger = time.Hour
			r := start(t, out, func(o *Options) { o.Workers = workers })
			for i := range 9 {
				r.append(text(fmt.Sprint("t", i), 0, 1))
			}
			time.Sleep(time.Minute)
			if n := len(out.log()); n != 0 {
				t.Errorf("%d requests before the drain", n)
			}
			r.d.Drain()
			r.d.Drain()
			r.await(time.Second)
			r.append(text("late", 0, 1))
			r.await(time.Second)
			r.close()
		})
	}
}

// What failed has lingered already.
func TestRetriesDoNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		out := newFake(func(_ context.Context, r request) outputs.Result {
			if n++; n == 1 {
				return outputs.Result{Retry: []outputs.Range{{From: 1, To: 2}}, Err: errDown}
			}
			return outputs.Result{}
		})
		out.shape.Linger = time.Hour
		r := start(t, out)
		r.append(text("a", 0, 1), text("a", 1, 1))
		r.await(2 * time.Hour)
		r.close()
		if w := waits(out.log()); len(w) != 1 || w[0] > time.Second {
			t.Errorf("waited %v", w)
		}
	})
}
