package buffer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/record"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("FIREBREAK_TEST_CHILD"); dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

func openSim(t tester, s FS, o DiskOptions) *queue {
	t.Helper()
	o.Dir, o.Name, o.FS = "/d", "d", s
	b, err := OpenDisk(o)
	if err != nil {
		t.Fatal(err)
	}
	return b.(*queue)
}

func (q *queue) awaitBuffered(t tester, ok func(Stats) bool) Stats {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		s := q.Stats()
		balanced(t, s)
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("never came: %+v", s)
		}
	}
}

// drain leases and delivers everything, and returns the logs.
func drain(t testing.TB, b Buffer) (logs []string) {
	t.Helper()
	for {
		l := b.TryNext()
		if l == nil {
			return logs
		}
		logs = append(logs, logsOf(t, l.Chunk)...)
		l.Deliver()
		balanced(t, b.Stats())
	}
}

func wantRun(t testing.TB, logs []string, tag string, from, to int) {
	t.Helper()
	if len(logs) != to-from {
		t.Fatalf("got %d events, want %d: %.3v...", len(logs), to-from, logs)
	}
	for i, l := range logs {
		if l != fmt.Sprintf("%s-%d", tag, from+i) {
			t.Fatalf("event %d is %s, want %s-%d", i, l, tag, from+i)
		}
	}
}

func TestAThousandRangesDontStopARestart(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{})
	const n = 2*maxAcked + 500
	var leases []*Lease
	for i := range n {
		put(t, b, chunkOf("a", i, 1))
		leases = append(leases, nextLease(t, b))
	}
	for i := 1; i < n; i += 2 {
		leases[i].Deliver()
	}
	balanced(t, b.Stats())
	put(t, b, chunkOf("a", n, 1))
	if b.TryNext() != nil {
		t.Error("leased beyond the bound of ranges")
	}
	closeNow(t, b)
	b = openSim(t, s, DiskOptions{})
	defer closeNow(t, b)
	put(t, b, chunkOf("a", n+1, 1))
	if got := drain(t, b); len(got) != n/2+2 || got[0] != "a-0" || got[1] != "a-2" {
		t.Errorf("after the restart: %d events, %.5v", len(got), got)
	}
	if st := b.Stats(); st.Delivered != n+2 || st.Buffered != 0 {
		t.Errorf("%+v", st)
	}
}

func TestMorePiecesThanAPositionHolds(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{})
	const events = 10000
	put(t, b, chunkOf("a", 0, events))
	l := nextLease(t, b)
	var done []Settled
	for i := 1; i < events; i += 2 {
		done = append(done, Settled{From: i, To: i + 1, Fate: Delivered})
	}
	l.End(done...)
	put(t, b, chunkOf("b", 0, 10))
	// The position was due before the next append is written, and must not tear the other slot.
	put(t, b, chunkOf("b", 10, 10))
	s2 := s.kill()
	closeCut(b)
	b = openSim(t, s2, DiskOptions{})
	defer closeNow(t, b)
	put(t, b, chunkOf("c", 0, 1))
	got := drain(t, b)
	if len(got) < events/2+21 {
		t.Errorf("%d events after the restart", len(got))
	}
	if st := b.Stats(); st.Offered != events+21 || st.Buffered != 0 {
		t.Errorf("%+v", st)
	}
}

// closeCut ends the goroutines of a buffer whose file system is gone.
func closeCut(b Buffer) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.Close(ctx)
}

func TestReturnedInAnyOrderCostsLittle(t *testing.T) {
	b := OpenMemory(MemoryOptions{MaxBytes: 64 << 20})
	defer closeNow(t, b)
	const n = 30000
	c := chunkOf("a", 0, 1)
	var leases []*Lease
	for range n {
		put(t, b, c)
		leases = append(leases, b.TryNext())
	}
	start := time.Now()
	for i := range leases {
		leases[n-1-i].Return()
	}
	last := uint64(0)
	for range n {
		l := b.TryNext()
		if l.ID.First < last {
			t.Fatal("out of order")
		}
		last = l.ID.First
		l.Deliver()
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMaxAgeMakesRoomForThoseWhoWait(t *testing.T) {
	each := func(t *testing.T, b Buffer) {
		old := chunkOf("a", 0, 100)
		old.Arrived = time.Now().Add(-time.Hour)
		done := make(chan error)
		go func() {
			var err error
			for i := 0; i < 1000 && err == nil; i++ {
				err = b.Append(context.Background(), []record.Chunk{old})
			}
			done <- err
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		go func() {
			if l, err := b.Next(ctx); err == nil {
				t.Errorf("leased %v", l.ID)
			}
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Errorf("nobody made room: %+v", b.Stats())
		}
		balanced(t, b.Stats())
	}
	t.Run("memory", func(t *testing.T) {
		b := OpenMemory(MemoryOptions{MaxBytes: 1 << 20, OnFull: Block, MaxAge: time.Minute})
		defer closeNow(t, b)
		each(t, b)
	})
	t.Run("disk", func(t *testing.T) {
		b := openSim(t, newSimFS(), DiskOptions{MaxBytes: 1 << 20, OnFull: Block, MaxAge: time.Minute})
		defer closeNow(t, b)
		each(t, b)
	})
}

func TestReturnedEventsAreShedAtTheBoundOfMemory(t *testing.T) {
	b := OpenMemory(MemoryOptions{MaxBytes: 1 << 20})
	defer closeNow(t, b)
	c := chunkOf("a", 0, 100)
	var leases []*Lease
	for b.Stats().Shed[ReasonFull] == 0 {
		put(t, b, c)
		if l := b.TryNext(); l != nil {
			leases = append(leases, l)
		}
	}
	for _, l := range leases {
		l.Return()
	}
	for range 50 {
		put(t, b, c)
	}
	put(t, b, chunkOf("new", 0, 5))
	got := drain(t, b)
	if got[len(got)-1] != "new-4" {
		t.Errorf("the newest was shed instead of the oldest; last is %s", got[len(got)-1])
	}
}

func TestAFileThatShrinksEndsTheRead(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{})
	c := chunkOf("a", 0, 5000)
	for range 40 {
		put(t, b, c)
	}
	s.mu.Lock()
	for name, f := range s.files {
		if strings.HasSuffix(name, segSuffix) {
			f.data = f.data[:len(f.data)/2]
		}
	}
	s.mu.Unlock()
	done := make(chan []string)
	go func() { done <- drain(t, b) }()
	select {
	case got := <-done:
		if len(got) == 0 || len(got) == 200000 {
			t.Errorf("%d events", len(got))
		}
	case <-time.After(20 * time.Second):
		t.Fatal("reads for ever")
	}
	st := b.Stats()
	balanced(t, st)
	if st.Buffered != 0 || st.Shed[ReasonCorrupt]+st.Delivered != st.Offered {
		t.Errorf("%+v", st)
	}
	closeNow(t, b)
}

func TestTheBoundHoldsWhileTheDestinationIsDead(t *testing.T) {
	for _, size := range []int{1, 100, 4000} { // about 60 B, 6 KiB, 240 KiB
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const limit = 2 << 20
			s := newSimFS()
			b := openSim(t, s, DiskOptions{MaxBytes: limit, Memory: 1 << 20})
			var over, mem atomic.Int64
			s.setHook(func(op, name string, n int) (int, error) {
				if op == "write" && strings.HasSuffix(name, segSuffix) {
					if now := s.size(segSuffix) + int64(n); now > limit {
						over.Store(now)
					}
				}
				return n, nil
			})
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					c := chunkOf("a", 0, size)
					for range min(2000, 24<<20/16/len(c.Data)) {
						put(t, b, c)
						if st := b.Stats(); st.MemoryBytes > mem.Load() {
							mem.Store(st.MemoryBytes)
						}
					}
				})
			}
			wg.Wait()
			if over.Load() > 0 {
				t.Errorf("the directory held %d bytes, the bound is %d", over.Load(), limit)
			}
			if mem.Load() > 1<<20+smallBlock {
				t.Errorf("held %d bytes of memory", mem.Load())
			}
			st := b.Stats()
			balanced(t, st)
			if size > 1 && st.Shed[ReasonFull] == 0 || st.Buffered == 0 {
				t.Errorf("%+v", st)
			}
			closeNow(t, b)
		})
	}
}

func TestMemoryHoldsWithManyAppendersAndLeases(t *testing.T) {
	const share = 8 << 20
	b := openSim(t, newSimFS(), DiskOptions{MaxBytes: 256 << 20, Memory: share})
	defer closeNow(t, b)
	big := chunkOf("a", 0, 18000) // 1 MiB
	ctx, cancel := context.WithCancel(context.Background())
	var most atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			var held []*Lease
			for {
				l, err := b.Next(ctx)
				if err != nil {
					for _, l := range held {
						l.Return()
					}
					return
				}
				for held = append(held, l); l != nil && len(held) < 100; {
					if l = b.TryNext(); l != nil {
						held = append(held, l)
					}
				}
				most.Store(max(most.Load(), b.Stats().MemoryBytes))
				for i := range held {
					held[len(held)-1-i].Deliver()
				}
				held = held[:0]
			}
		})
	}
	var wg sync.WaitGroup
	for range 1000 {
		small := chunkOf("b", 0, 5)
		wg.Go(func() {
			put(t, b, small, small)
			most.Store(max(most.Load(), b.Stats().MemoryBytes))
		})
	}
	for range 8 {
		wg.Go(func() {
			for range 8 {
				put(t, b, big)
			}
		})
	}
	wg.Wait()
	b.awaitBuffered(t, func(s Stats) bool { return s.Buffered == 0 })
	cancel()
	workers.Wait()
	// A lease, a read and an append may each go beyond by one frame.
	if most.Load() > share+3*(1<<20)/2 {
		t.Errorf("held %d bytes of memory, the share is %d", most.Load(), share)
	}
	t.Logf("at most %d KiB", most.Load()>>10)
}

func TestSyncAlwaysSyncsEverySegment(t *testing.T) {
	for seed := range uint64(8) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20, Sync: SyncAlways, OnFull: ShedNewest})
		put(t, b, chunkOf("a", 0, 10))
		// One group that needs several segments.
		gate := make(chan struct{})
		var once sync.Once
		entered := make(chan struct{})
		s.setHook(func(op, name string, n int) (int, error) {
			if op == "write" && strings.HasSuffix(name, segSuffix) {
				once.Do(func() { close(entered); <-gate })
			}
			return n, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { put(t, b, chunkOf("a", 10, 10)) })
		<-entered
		var acked atomic.Int64
		for range 60 {
			wg.Go(func() { put(t, b, chunkOf("b", 0, 200)); acked.Add(200) })
		}
		b.awaitBuffered(t, func(s Stats) bool { return s.Offered == 20+60*200 })
		close(gate)
		wg.Wait()
		if n := len(s.segments()); n < 3 {
			t.Fatalf("only %d segments", n)
		}
		b = cutAndOpen(t, b, s, seed, DiskOptions{MaxBytes: 1 << 20, Sync: SyncAlways})
		put(t, b, chunkOf("c", 0, 1))
		if got := drain(t, b); len(got) != 20+60*200+1 {
			t.Fatalf("%d events after the power cut, want %d: %+v", len(got), 20+60*200+1, b.Stats())
		}
		closeNow(t, b)
	}
}

func cutAndOpen(t testing.TB, b Buffer, s *simFS, seed uint64, o DiskOptions) *queue {
	s2 := s.cut(rand.New(rand.NewPCG(seed, 1)))
	closeCut(b)
	return openSim(t, s2, o)
}
