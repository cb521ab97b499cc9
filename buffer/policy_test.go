package buffer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/record"
)

// eachTimed runs a test over every implementation, with a clock of its own.
func eachTimed(t *testing.T, f func(t *testing.T, open func(Policy) *queue)) {
	for _, kind := range []string{"disk", "memory"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all []Buffer
				defer func() {
					for _, b := range all {
						closeNow(t, b)
					}
				}()
				f(t, func(p Policy) *queue {
					var q *queue
					if kind == "memory" {
						q = OpenMemory(MemoryOptions{Name: "m", MaxBytes: p.MaxBytes, OnFull: p.OnFull, MaxAge: p.MaxAge, Spills: p.Spills}).(*queue)
					} else {
						q = openSim(t, newSimFS(), DiskOptions{MaxBytes: p.MaxBytes, Memory: p.Memory, OnFull: p.OnFull, MaxAge: p.MaxAge, Spills: p.Spills, Sync: p.Sync})
					}
					all = append(all, q)
					return q
				})
			})
		})
	}
}

// fill appends chunks of 100 events, numbered from first, until the buffer is at its bound: an append more would shed or
// wait. It returns the number of the next event.
func fill(t testing.TB, q *queue, first int) int {
	t.Helper()
	for range 100000 {
		c := chunkOf("a", first, 100)
		d, _ := newDraft(&c, "", nil)
		q.mu.Lock()
		_, over, _ := q.over(int64(d.size()))
		q.mu.Unlock()
		if over {
			return first
		}
		put(t, q, c)
		first += 100
	}
	t.Fatal("no bound")
	return 0
}

func shed(s Stats) (n uint64) {
	for _, v := range s.Shed {
		n += v
	}
	return n
}

func TestALowerBoundHoldsFromTheNextAppend(t *testing.T) {
	eachTimed(t, func(t *testing.T, open func(Policy) *queue) {
		const was, now = 16 << 20, 1 << 20
		b := open(Policy{MaxBytes: was, Memory: 1 << 20})
		n := fill(t, b, 0)
		b.Configure(Policy{MaxBytes: now, Memory: 1 << 20})
		time.Sleep(5 * time.Second)
		s := b.Stats()
		if shed(s) > 0 || s.Buffered != uint64(n) || s.MaxBytes != now {
			t.Fatalf("without an append: %+v", s)
		}
		put(t, b, chunkOf("a", n, 100))
		time.Sleep(5 * time.Second)
		s = b.Stats()
		balanced(t, s)
		if s.Shed[ReasonFull] == 0 || s.DiskBytes > now || s.MemoryBytes > now+largeBlock {
			t.Errorf("after an append: %+v", s)
		}
		if b.disk != nil && b.disk.fs.(*simFS).size(segSuffix) > now {
			t.Errorf("%d bytes on disk", b.disk.fs.(*simFS).size(segSuffix))
		}
		for i := range 500 { // and the new segments are of the size for it
			put(t, b, chunkOf("a", n+100+i*100, 100))
		}
		if s = b.Stats(); s.DiskBytes > now || s.Buffered < 5000 {
			t.Errorf("later: %+v", s)
		}
		got := drain(t, b)
		if got[len(got)-1] != fmt.Sprintf("a-%d", n+50099) {
			t.Errorf("the last is %s", got[len(got)-1])
		}
	})
}

func TestALowerBoundDoesntForgetWhatIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t)
		s.files["/d/"+segName(9000, 1)+badSuffix] = &simNode{data: make([]byte, 3<<20)}
		b := openSim(t, s, DiskOptions{MaxBytes: 64 << 20})
		put(t, b, chunkOf("a", 15000, 1))
		b.Configure(Policy{MaxBytes: 2 << 20})
		put(t, b, chunkOf("a", 15001, 1))
		time.Sleep(5 * time.Second)
		if st := b.Stats(); shed(st) > 0 || st.DiskBytes > 2<<20 {
			t.Errorf("%+v", st)
		}
		wantRun(t, drain(t, b), "a", 55, 15002)
		closeNow(t, b)
	})
}

func TestWhoWaitsGoesOnWithANewPolicy(t *testing.T) {
	for name, p := range map[string]Policy{
		"larger":     {MaxBytes: 4 << 20, OnFull: Block},
		"other":      {MaxBytes: 1 << 20, OnFull: ShedOldest},
		"the newest": {MaxBytes: 1 << 20, OnFull: ShedNewest},
	} {
		t.Run(name, func(t *testing.T) {
			eachTimed(t, func(t *testing.T, open func(Policy) *queue) {
				b := open(Policy{MaxBytes: 1 << 20, OnFull: Block})
				n := fill(t, b, 0)
				done := make(chan error, 1)
				go func() { done <- b.Append(context.Background(), []record.Chunk{chunkOf("a", n, 100)}) }()
				time.Sleep(time.Minute)
				if b.Pressure() != Waiting {
					t.Errorf("pressure %d", b.Pressure())
				}
				b.Configure(p)
				select {
				case err := <-done:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Fatalf("still waits: %+v", b.Stats())
				}
				s := b.Stats()
				balanced(t, s)
				if (shed(s) > 0) != (p.OnFull != Block) || b.Pressure() == Waiting {
					t.Errorf("pressure %d, %+v", b.Pressure(), s)
				}
			})
		})
	}
}

func TestMaxAgeSyncAndMinFreeChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		s.total, s.left = 64<<20, 12<<20
		b := openSim(t, s, DiskOptions{MaxBytes: 8 << 20, Sync: SyncNever})
		for i := range 2000 {
			put(t, b, chunkOf("a", i*100, 100))
		}
		time.Sleep(time.Minute)
		synced := func() (n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for name, f := range s.files {
				if strings.HasSuffix(name, segSuffix) {
					n += len(f.synced)
				}
			}
			return n
		}
		if synced() > 0 || shed(b.Stats()) > 0 {
			t.Fatalf("synced %d bytes: %+v", synced(), b.Stats())
		}
		b.Configure(Policy{MaxBytes: 8 << 20, Sync: SyncInterval})
		time.Sleep(3 * time.Second)
		if synced() == 0 {
			t.Error("what was written is not synced")
		}
		b.Configure(Policy{MaxBytes: 8 << 20, Sync: SyncAlways, MinFree: 0.12})
		before := synced()
		put(t, b, chunkOf("a", 200000, 100))
		if synced() <= before {
			t.Error("an append returned before its sync")
		}
		time.Sleep(5 * time.Second)
		if st := b.Stats(); st.Shed[ReasonNoSpace] == 0 || b.disk.tight {
			t.Errorf("min_free: %+v", st)
		}
		b.Configure(Policy{MaxBytes: 8 << 20, OnFull: ShedNewest, MinFree: 0.5})
		time.Sleep(5 * time.Second)
		was := shed(b.Stats())
		put(t, b, chunkOf("a", 200100, 100))
		if st := b.Stats(); shed(st) != was+100 {
			t.Errorf("took more than min_free allows: %+v", st)
		}
		b.Configure(Policy{MaxBytes: 8 << 20, OnFull: ShedNewest})
		put(t, b, chunkOf("a", 200200, 100))
		if st := b.Stats(); shed(st) != was+100 {
			t.Errorf("min_free is off: %+v", st)
		}
		b.Configure(Policy{MaxBytes: 8 << 20, MaxAge: time.Second})
		if l := b.TryNext(); l == nil {
			t.Error("the newest is too old")
		} else if got := logsOf(t, l.Chunk)[0]; got != "a-200200" {
			t.Errorf("leased %s", got)
		}
		closeNow(t, b)
	})
}

func TestConfigureUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(2<<20, Block)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 500 {
					put(t, b, chunkOf("a", i*100, 100))
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				for {
					l, err := b.Next(ctx)
					if err != nil {
						return
					}
					_ = b.Pressure()
					l.End(Settled{To: l.Chunk.Events, Fate: Moved, Reason: "x"})
				}
			})
		}
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				b.Configure(Policy{MaxBytes: 1 << (19 + i%4), Memory: 1 << (18 + i%3), OnFull: OnFull(i % 3), Sync: Sync(i % 3), Spills: i%2 == 0})
				time.Sleep(100 * time.Microsecond)
			}
		})
		for end := time.Now().Add(60 * time.Second); b.Stats().Offered < 200000; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("stuck: %+v", b.Stats())
			}
		}
		cancel()
		wg.Wait()
		drain(t, b)
		s := b.Stats()
		balanced(t, s)
		if s.Buffered != 0 || s.Offered != 200000 {
			t.Errorf("%+v", s)
		}
	})
}
