package buffer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A spiller moves the oldest events away for as long as there is pressure, as a destination with a fallback does.
func spiller(b Buffer, stop <-chan struct{}, each func(*Lease)) {
	for {
		select {
		case <-b.Pressed():
		case <-stop:
			return
		}
		for b.Pressure() != Relaxed {
			l := b.TryNext()
			if l == nil {
				break
			}
			each(l)
			l.End(Settled{To: l.Chunk.Events, Fate: Moved, Reason: "other"})
		}
	}
}

func TestNothingIsShedWhileSomebodyMovesItAway(t *testing.T) {
	for _, policy := range []OnFull{ShedOldest, ShedNewest} {
		for _, size := range []int{100, 3000} { // about 6 and 180 KiB
			t.Run(fmt.Sprint(policy, size), func(t *testing.T) {
				eachTimed(t, func(t *testing.T, open func(Policy) *queue) {
					b := open(Policy{MaxBytes: 1 << 20, OnFull: policy, Spills: true})
					stop := make(chan struct{})
					moved := 0
					var wg sync.WaitGroup
					wg.Go(func() {
						spiller(b, stop, func(l *Lease) {
							if got := logsOf(t, l.Chunk)[0]; got != fmt.Sprintf("a-%d", moved) {
								t.Errorf("moved %s before a-%d", got, moved)
							}
							moved += l.Chunk.Events
							time.Sleep(time.Millisecond)
						})
					})
					n := 0
					for ; n < 300000; n += size {
						put(t, b, chunkOf("a", n, size))
						if s := b.Stats(); s.DiskBytes > 1<<20 {
							t.Fatalf("%+v", s)
						}
					}
					synctest.Wait()
					time.Sleep(time.Second)
					s := b.Stats()
					balanced(t, s)
					if shed(s) > 0 || s.Moved["other"] != uint64(moved) || moved == 0 {
						t.Errorf("moved %d: %+v", moved, s)
					}
					if b.Pressure() != Relaxed {
						t.Errorf("pressure %d at the end: %+v", b.Pressure(), s)
					}
					wantRun(t, drain(t, b), "a", moved, n)
					close(stop)
					wg.Wait()
				})
			})
		}
	}
}

func TestIntakeIsHeldUpOnceWhenNobodyMakesRoom(t *testing.T) {
	eachTimed(t, func(t *testing.T, open func(Policy) *queue) {
		b := open(Policy{MaxBytes: 1 << 20, Spills: true})
		n := fill(t, b, 0)
		took := func() time.Duration {
			start := time.Now()
			put(t, b, chunkOf("a", n, 100), chunkOf("a", n+100, 100), chunkOf("a", n+200, 100))
			n += 300
			return time.Since(start)
		}
		var wg sync.WaitGroup
		for range 10 { // together, not one after the other
			wg.Go(func() {
				start := time.Now()
				put(t, b, chunkOf("b", 0, 100))
				if d := time.Since(start); d > hangAfter+100*time.Millisecond {
					t.Errorf("waited %v", d)
				}
			})
		}
		start := time.Now()
		time.Sleep(time.Second)
		if b.Pressure() != Waiting {
			t.Errorf("pressure %d", b.Pressure())
		}
		wg.Wait()
		if d := time.Since(start); d < hangAfter {
			t.Errorf("waited only %v", d)
		}
		for range 1000 {
			if d := took(); d > 100*time.Millisecond {
				t.Fatalf("waited %v again", d)
			}
		}
		s := b.Stats()
		balanced(t, s)
		if s.Shed[ReasonFull] == 0 || b.Pressure() != High {
			t.Errorf("pressure %d: %+v", b.Pressure(), s)
		}
		// Somebody does something: worth to wait for, but less and less when it brings no room.
		waits := 0
		for range 120 {
			nextLease(t, b).Deliver()
			n = fill(t, b, n)
			if d := took(); d > hangAfter+100*time.Millisecond {
				t.Fatalf("waited %v", d)
			} else if d >= hangAfter {
				waits++
			}
			time.Sleep(time.Second)
		}
		if waits < 2 || waits > 8 {
			t.Errorf("waited %d times", waits)
		}
	})
}

func TestPressureHasTwoMarks(t *testing.T) {
	eachTimed(t, func(t *testing.T, open func(Policy) *queue) {
		b := open(Policy{MaxBytes: 1 << 20})
		total := fill(t, b, 0)
		drain(t, b)
		if b.Pressure() != Relaxed {
			t.Fatalf("pressure %d of an empty buffer", b.Pressure())
		}
		select {
		case <-b.Pressed():
		default:
			t.Error("no token when it rose")
		}
		n, high := 0, 0
		for ; n < total; n += 100 {
			put(t, b, chunkOf("a", n, 100))
			if p := b.Pressure(); p == High && high == 0 {
				high = n
			} else if (p == High) != (high > 0) || p == Waiting {
				t.Fatalf("pressure %d with %d of %d", p, n, total)
			}
		}
		if high < total/2 || high > total*9/10 {
			t.Errorf("high from %d of %d on", high, total)
		}
		select {
		case <-b.Pressed():
		default:
			t.Error("no token when it rose again")
		}
		left := total
		for b.Pressure() == High {
			l := nextLease(t, b)
			left -= l.Chunk.Events
			l.Deliver()
		}
		if left < total/4 || left > total*6/10 {
			t.Errorf("relaxed with %d of %d left", left, total)
		}
	})
}

// A lease that takes for ever must not keep the room of all that was settled behind it.
func TestALeaseInTheOldestSegmentKeepsOnlyThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20, Spills: true})
		put(t, b, chunkOf("a", 0, 100))
		stuck := nextLease(t, b)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { spiller(b, stop, func(*Lease) {}) })
		n := 100
		for ; n < 200000; n += 100 {
			put(t, b, chunkOf("a", n, 100))
		}
		time.Sleep(time.Second)
		st := b.Stats()
		balanced(t, st)
		if shed(st) > 0 || st.Moved["other"] == 0 || st.DiskBytes > 1<<20 {
			t.Fatalf("%+v", st)
		}
		close(stop)
		wg.Wait()
		left := st.Buffered
		s2 := s.kill()
		stuck.Return()
		closeCut(b)
		b = openSim(t, s2, DiskOptions{MaxBytes: 1 << 20})
		put(t, b, chunkOf("a", n, 100))
		if now := b.Stats(); now.Buffered != left+100 || now.Offered != st.Offered+100 || now.Moved["other"] != st.Moved["other"] {
			t.Errorf("after kill -9: %+v\nbefore: %+v", now, st)
		}
		got := drain(t, b)
		wantRun(t, got[:100], "a", 0, 100)
		wantRun(t, got[100:], "a", n+100-int(left), n+100)
		if s2.size(badSuffix) > 0 {
			t.Error("a segment counts as damaged")
		}
		closeNow(t, b)
	})
}

// A segment between others goes when the position on disk says that all of it is settled, and not before.
func TestSegmentsBetweenOthersAndPowerCuts(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			s := newSimFS()
			b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20, Spills: true, Sync: SyncAlways})
			put(t, b, chunkOf("a", 0, 100))
			stuck := nextLease(t, b)
			stop := make(chan struct{})
			moved := map[string]bool{}
			var wg sync.WaitGroup
			wg.Go(func() {
				spiller(b, stop, func(l *Lease) {
					for _, log := range logsOf(t, l.Chunk) {
						moved[log] = true
					}
				})
			})
			n := 100
			for range 700 + r.IntN(900) {
				put(t, b, chunkOf("a", n, 50))
				n += 50
			}
			s2 := s.cut(r)
			close(stop)
			wg.Wait()
			stuck.Return()
			closeCut(b)
			b = openSim(t, s2, DiskOptions{MaxBytes: 1 << 20})
			put(t, b, chunkOf("x", 0, 1))
			got := map[string]bool{}
			for _, log := range drain(t, b) {
				got[log] = true
			}
			for i := range n {
				if log := fmt.Sprintf("a-%d", i); !got[log] && !moved[log] {
					t.Fatalf("seed %d: %s is lost: %+v", seed, log, b.Stats())
				}
			}
			if st := b.Stats(); shed(st) > 0 || len(moved) == 0 {
				t.Errorf("seed %d: %+v", seed, st)
			}
			closeNow(t, b)
		})
	}
}

// Chunks of which only one fits find room when the one before is settled, though its segment is still being written.
func TestTheOnlySegmentIsEndedForRoom(t *testing.T) {
	for i := range 6 {
		policy, spills := OnFull(i%3), i >= 3
		t.Run(fmt.Sprint(policy, spills), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := openSim(t, newSimFS(), DiskOptions{MaxBytes: 1 << 20, OnFull: policy, Spills: spills})
				go func() {
					for {
						l, err := b.Next(context.Background())
						if err != nil {
							return
						}
						time.Sleep(10 * time.Millisecond)
						l.Deliver()
					}
				}()
				for i := range 20 {
					put(t, b, chunkOf("a", i*20000, 20000)) // about 520 KiB
					if policy != Block && !spills {
						time.Sleep(time.Second)
					}
				}
				time.Sleep(time.Second)
				if s := b.Stats(); s.Delivered != 20*20000 {
					t.Errorf("%+v", s)
				}
				closeNow(t, b)
			})
		})
	}
}
