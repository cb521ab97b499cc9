package destination

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// A destination that leaves lets the request under way end, which is not made twice then, and keeps the rest.
func TestLeaveLetsRequestsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		takes     time.Duration
		delivered uint64
		within    time.Duration
	}{
		"soon":  {2 * time.Second, 10, 2 * time.Second},
		"never": {time.Hour, 0, leaveGrace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newFake(func(ctx context.Context, _ request) outputs.Result {
					select {
					case <-time.After(c.takes):
						return outputs.Result{}
					case <-ctx.Done():
						return outputs.Result{Err: ctx.Err()}
					}
				})
				r := start(t, out)
				for i := range 10 {
					r.append(text("a", i, 1))
				}
				synctest.Wait()
				began := time.Now()
				r.d.Leave()
				r.d.Leave()
				r.append(text("a", 10, 1)) // stays
				<-r.ended
				if took := time.Since(began); took > c.within {
					t.Errorf("took %v", took)
				}
				if b := r.buf.Stats(); b.Delivered > c.delivered || b.Buffered != 11-b.Delivered || c.delivered > 0 && b.Delivered == 0 {
					t.Errorf("%+v", b)
				}
				r.close()
			})
		})
	}
}
