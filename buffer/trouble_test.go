package buffer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/record"
)

func TestAWriteThatHangsBlocksNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{})
		put(t, b, chunkOf("a", 0, 10))
		nextLease(t, b).Deliver()
		gate := make(chan struct{})
		s.setHook(func(op, name string, n int) (int, error) {
			if op == "write" {
				<-gate
			}
			return n, nil
		})
		start := time.Now()
		put(t, b, chunkOf("a", 10, 10))
		if took := time.Since(start); took < time.Second || took > 2500*time.Millisecond {
			t.Errorf("the first append took %v", took)
		}
		start = time.Now()
		for i := 2; i < 100; i++ {
			put(t, b, chunkOf("a", i*10, 10))
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("the next appends took %v", took)
		}
		st := b.Stats()
		if !st.Volatile || !strings.Contains(st.Problem, "not answered") {
			t.Errorf("%+v", st)
		}
		wantRun(t, drain(t, b), "a", 10, 1000) // from memory
		put(t, b, chunkOf("a", 1000, 10))
		close(gate)
		synctest.Wait()
		put(t, b, chunkOf("a", 1010, 10))
		st = b.Stats()
		balanced(t, st)
		if st.Volatile || st.Problem != "" || st.Buffered != 20 {
			t.Errorf("after the disk came back: %+v", st)
		}
		s2 := s.kill()
		closeCut(b)
		b = openSim(t, s2, DiskOptions{})
		put(t, b, chunkOf("a", 1020, 10))
		wantRun(t, drain(t, b), "a", 1000, 1030)
		balanced(t, b.Stats())
		closeNow(t, b)
	})
}

func TestCloseAndNextDontWaitForAHangingDisk(t *testing.T) {
	for _, op := range []string{"read", "write", "sync", "syncdir", "remove", "lock"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimFS()
				gate := make(chan struct{})
				var on atomic.Bool
				s.setHook(func(o, name string, n int) (int, error) {
					if o == op && (on.Load() || op == "lock") {
						<-gate
					}
					return n, nil
				})
				b := openSim(t, s, DiskOptions{MaxBytes: 4 << 20})
				for i := range 30 {
					put(t, b, chunkOf("a", i*2000, 2000))
				}
				on.Store(true)
				start := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				for range 3 { // whatever it returns
					if l, _ := b.Next(ctx); l != nil {
						l.Deliver()
					}
				}
				cancel()
				b.TryNext()
				_ = b.Append(context.Background(), []record.Chunk{chunkOf("b", 0, 10)})
				ctx, cancel = context.WithTimeout(context.Background(), time.Second)
				_ = b.Close(ctx)
				cancel()
				if took := time.Since(start); took > 7*time.Second {
					t.Errorf("took %v", took)
				}
				balanced(t, b.Stats())
				close(gate)
				synctest.Wait()
			})
		})
	}
}

func TestAnAppendThatIsNotKeptAtCloseSaysSo(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{})
	put(t, b, chunkOf("a", 0, 1))
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	s.setHook(func(op, name string, n int) (int, error) {
		if op == "write" && strings.HasSuffix(name, segSuffix) {
			entered <- struct{}{}
			<-gate
			return 0, unix.EIO
		}
		return n, nil
	})
	done := make(chan error)
	go func() { done <- b.Append(context.Background(), []record.Chunk{chunkOf("a", 1, 1)}) }()
	<-entered
	go closeCut(b)
	<-b.closing
	close(gate)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("append at close returned %v", err)
	}
	<-b.disk.done
	balanced(t, b.Stats())
}

func TestAFailedWriteIsWrittenAgainElsewhere(t *testing.T) {
	for _, kind := range []error{unix.EIO, unix.EROFS, unix.ENOSPC} {
		for _, op := range []string{"write", "sync", "create", "syncdir"} {
			t.Run(fmt.Sprint(op, " ", kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSimFS()
					o := DiskOptions{MaxBytes: 1 << 20, Sync: SyncAlways}
					b := openSim(t, s, o)
					want := 0
					for ; want < 100; want += 10 {
						put(t, b, chunkOf("a", want, 10))
					}
					var n atomic.Int64
					s.setHook(func(o, name string, size int) (int, error) {
						if o == op && strings.HasSuffix(name, segSuffix) || o == op && op == "syncdir" {
							n.Add(1)
							return size / 2, kind
						}
						return size, nil
					})
					held := nextLease(t, b)
					for ; want < 8000; want += 10 {
						put(t, b, chunkOf("a", want, 10))
						if want == 200 || want == 7000 {
							time.Sleep(25 * time.Second) // it fails again
						}
						balanced(t, b.Stats())
					}
					st := b.Stats()
					if n.Load() < 2 || !st.Volatile || st.Problem == "" {
						t.Fatalf("%d failures; %+v", n.Load(), st)
					}
					s.setHook(nil)
					time.Sleep(15 * time.Second)
					if st := b.Stats(); st.Volatile || st.Problem != "" {
						t.Fatalf("after the disk came back: %+v", st)
					}
					put(t, b, chunkOf("a", want, 10))
					s2 := s.kill()
					held.Deliver()
					closeCut(b)
					b = openSim(t, s2, o)
					defer closeNow(t, b)
					put(t, b, chunkOf("a", want+10, 10))
					got := drain(t, b)
					st = b.Stats()
					balanced(t, st)
					if shed := st.Shed[ReasonFull] + st.Shed[ReasonNoSpace]; uint64(len(got))+shed != uint64(want+20) {
						t.Errorf("%d events, %+v", len(got), st)
					}
				})
			})
		}
	}
}

func TestStartsInMemoryAndMovesToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{})
		for i := range 10 {
			put(t, b, chunkOf("a", i*10, 10))
		}
		nextLease(t, b).Deliver()
		closeNow(t, b)

		s.setHook(func(op, name string, size int) (int, error) {
			if op == "create" || op == "write" || op == "lock" {
				return 0, unix.EROFS
			}
			return size, nil
		})
		b = openSim(t, s, DiskOptions{})
		for i := 10; i < 20; i++ {
			put(t, b, chunkOf("a", i*10, 10))
		}
		if st := b.Stats(); !st.Volatile || st.Problem == "" || st.Buffered != 100 {
			t.Fatalf("%+v", st)
		}
		// Some of the new ones are on their way when the old ones come back.
		l0, l1, l2 := nextLease(t, b), nextLease(t, b), nextLease(t, b)
		wantRun(t, logsOf(t, l0.Chunk), "a", 100, 110)
		id := l2.ID
		l1.Deliver()
		nextLease(t, b).End(Settled{From: 3, To: 5, Fate: DeadLettered, Reason: "x"})
		s.setHook(nil)
		time.Sleep(15 * time.Second)
		st := b.Stats()
		balanced(t, st)
		if st.Volatile || st.Offered != 200 || st.Delivered != 20 || st.Buffered != 178 {
			t.Fatalf("after the disk came back: %+v", st)
		}
		l2.Return()
		l0.Return()
		put(t, b, chunkOf("a", 200, 10))
		var got []string
		for {
			l := b.TryNext()
			if l == nil {
				break
			}
			if logs := logsOf(t, l.Chunk); logs[0] == "a-120" && l.ID != id {
				t.Errorf("id %v became %v", id, l.ID)
			}
			got = append(got, logsOf(t, l.Chunk)...)
			l.Deliver()
		}
		want := map[string]bool{}
		for i := 10; i < 210; i++ {
			if i/10 != 11 && i != 133 && i != 134 {
				want[fmt.Sprintf("a-%d", i)] = true
			}
		}
		for _, l := range got {
			if !want[l] {
				t.Errorf("unexpected %s", l)
			}
			delete(want, l)
		}
		if len(want) > 0 {
			t.Errorf("missing: %v", want)
		}
		st = b.Stats()
		balanced(t, st)
		if st.Buffered != 0 || st.Delivered != 208 || len(st.Shed) > 0 {
			t.Errorf("%+v", st)
		}
		closeNow(t, b)
		b = openSim(t, s, DiskOptions{})
		put(t, b, chunkOf("a", 0, 1))
		if st := b.Stats(); st.Delivered != 208 || st.Offered != 211 || st.DeadLettered["x"] != 2 {
			t.Errorf("after a restart: %+v", st)
		}
		closeNow(t, b)
	})
}

func TestTwoProcessesOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	open := func() *queue {
		b, err := OpenDisk(DiskOptions{Dir: dir, Name: "d"})
		if err != nil {
			t.Fatal(err)
		}
		return b.(*queue)
	}
	one := open()
	put(t, one, chunkOf("a", 0, 10))
	two := open()
	put(t, two, chunkOf("b", 0, 10))
	if st := two.Stats(); !st.Volatile || !strings.Contains(st.Problem, "another process uses it") {
		t.Errorf("%+v", st)
	}
	put(t, one, chunkOf("a", 10, 10))
	wantRun(t, drain(t, one), "a", 0, 20)
	wantRun(t, drain(t, two), "b", 0, 10)
	closeCut(two)
	closeNow(t, one)
}

func TestAPositionThatFailsHalfwayLeavesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{})
		put(t, b, chunkOf("a", 0, 10), chunkOf("a", 10, 10), chunkOf("a", 20, 10))
		nextLease(t, b).Deliver()
		synctest.Wait()
		s.setHook(func(op, name string, n int) (int, error) {
			if op == "write" && name == "position" {
				return n / 3, unix.EIO
			}
			return n, nil
		})
		nextLease(t, b).Deliver()
		time.Sleep(25 * time.Second) // and again
		s2 := s.kill()
		closeCut(b)
		b = openSim(t, s2, DiskOptions{})
		put(t, b, chunkOf("a", 30, 10))
		if st := b.Stats(); st.Delivered != 10 || st.Offered != 40 {
			t.Errorf("%+v", st)
		}
		wantRun(t, drain(t, b), "a", 10, 40)
		closeNow(t, b)
	})
}
