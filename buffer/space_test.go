package buffer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

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

func TestWhoWaitsInMemoryGoesOnWhenTheDiskIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{MaxBytes: 64 << 20, Memory: 1 << 20, OnFull: Block})
		put(t, b, chunkOf("a", 0, 1))
		s.setHook(func(op, name string, n int) (int, error) {
			if op == "write" {
				return 0, unix.EIO
			}
			return n, nil
		})
		done := make(chan bool)
		go func() {
			for i := range 1000 {
				put(t, b, chunkOf("a", i*100, 100))
			}
			close(done)
		}()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Fatal("the bound of the memory was not reached")
		default:
		}
		s.setHook(nil)
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("nobody was told: %+v", b.Stats())
		}
		closeNow(t, b)
	})
}

func TestSegmentsAreRemovedOnlyWhenThePositionSaysSo(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
	var bad atomic.Value
	var removed atomic.Int64
	s.setHook(func(op, name string, n int) (int, error) {
		_, first, ok := parseSegName(name)
		if op != "remove" || !ok {
			return n, nil
		}
		removed.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		low := uint64(0)
		file := s.files["/d/position"].data
		for at := 0; at < len(file); at += posSlot {
			if p, err := parsePosition(file[at : at+posSlot]); err == nil {
				low = max(low, p.low)
			}
		}
		end := first + 1
		for other := range s.files {
			if _, f, ok := parseSegName(other[3:]); ok && f > first && (end == first+1 || f < end) {
				end = f
			}
		}
		if low < end {
			bad.Store(fmt.Sprintf("%s is removed, its end is %d, and the position's low mark is %d", name, end, low))
		}
		return n, nil
	})
	for i := range 2000 { // half of it is shed, half delivered
		put(t, b, chunkOf("a", i*50, 50))
		if i%400 < 200 {
			nextLease(t, b).Deliver()
		}
	}
	drain(t, b)
	inner := s.hook
	s.setHook(func(op, name string, n int) (int, error) {
		if op == "write" && name == "position" {
			return 0, unix.EIO
		}
		return inner(op, name, n)
	})
	for i := range 200 {
		put(t, b, chunkOf("a", i*50, 50))
	}
	drain(t, b)
	b.disk.delete()
	s.setHook(inner)
	closeNow(t, b)
	if removed.Load() < 5 || bad.Load() != nil {
		t.Errorf("%d removed; %v", removed.Load(), bad.Load())
	}
}
