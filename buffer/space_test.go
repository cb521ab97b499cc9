package buffer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/record"
)

// What is stored is shed only by the policy that says so, on a full volume, too.
func TestAFullVolumeAndThePolicies(t *testing.T) {
	for _, policy := range []OnFull{ShedOldest, ShedNewest, Block} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimFS()
				s.left = 2 << 20
				b := openSim(t, s, DiskOptions{MaxBytes: 64 << 20, Memory: 1 << 20, OnFull: policy})
				n := 0
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				var err error
				for ; n < 200000 && err == nil; n += 100 {
					err = b.Append(ctx, []record.Chunk{chunkOf("a", n, 100)})
				}
				st := b.Stats()
				balanced(t, st)
				if blocked := errors.Is(err, context.DeadlineExceeded); blocked != (policy == Block) {
					t.Fatalf("append ended with %v: %+v", err, st)
				}
				if (st.Shed[ReasonNoSpace] > 0) != (policy != Block) || !st.Full {
					t.Errorf("%+v", st)
				}
				l := nextLease(t, b)
				if first := logsOf(t, l.Chunk)[0]; (first == "a-0") != (policy != ShedOldest) {
					t.Errorf("the oldest is %s", first)
				}
				l.Return()
				s.mu.Lock()
				s.left = 1 << 30
				s.mu.Unlock()
				time.Sleep(15 * time.Second)
				put(t, b, chunkOf("new", 0, 1))
				if st := b.Stats(); st.Volatile {
					t.Errorf("with room again: %+v", st)
				}
				if got := drain(t, b); got[len(got)-1] != "new-0" {
					t.Errorf("the last is %s", got[len(got)-1])
				}
				closeNow(t, b)
			})
		})
	}
}

func TestMinFree(t *testing.T) {
	for _, policy := range []OnFull{ShedOldest, ShedNewest, Block} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimFS()
				s.total, s.left = 64<<20, 32<<20
				b := openSim(t, s, DiskOptions{MaxBytes: 8 << 20, OnFull: policy, MinFree: 0.1})
				n := 0
				for ; s.size(segSuffix) < 5<<20; n += 100 {
					put(t, b, chunkOf("a", n, 100))
				}
				s.mu.Lock()
				s.left = 4 << 20
				s.mu.Unlock()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				st := b.Stats()
				switch free, _, _ := s.Free(""); {
				case policy == ShedOldest && (st.Shed[ReasonNoSpace] == 0 || float64(free) < 0.1*64*(1<<20)):
					t.Errorf("%d bytes are free: %+v", free, st)
				case policy != ShedOldest && len(st.Shed) > 0:
					t.Errorf("%+v", st)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				err := b.Append(ctx, []record.Chunk{chunkOf("a", n, 10)})
				cancel()
				st = b.Stats()
				balanced(t, st)
				if (err != nil) != (policy == Block) || policy == ShedNewest && st.Shed[ReasonNoSpace] != 10 {
					t.Errorf("%v: %+v", err, st)
				}
				// Room again: whoever waits goes on.
				done := make(chan error)
				go func() { done <- b.Append(context.Background(), []record.Chunk{chunkOf("a", n, 10)}) }()
				time.Sleep(time.Second)
				s.mu.Lock()
				s.left = 32 << 20
				s.mu.Unlock()
				if err := <-done; err != nil {
					t.Error(err)
				}
				closeNow(t, b)
			})
		})
	}
}
