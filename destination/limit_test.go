package destination

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// fillUp appends about n bytes of events of several tags, in chunks of the given number of events. It returns how many
// bytes the batches have.
func fillUp(r *rig, n, events int) int {
	size := 0
	for i := 0; size < n; i++ {
		c := text(fmt.Sprint("t", i%16), i*events, events)
		size += len(c.Data)
		r.append(c)
	}
	return size
}

func TestTheRateHolds(t *testing.T) {
	for name, c := range map[string]struct {
		shape   outputs.Shape
		workers int
		events  int
	}{
		"small batches":      {outputs.Shape{MaxBytes: 2 << 10}, 1, 10},
		"workers":            {outputs.Shape{MaxBytes: 2 << 10}, 8, 10},
		"longer than 1 s":    {outputs.Shape{MaxBytes: 100 << 10}, 1, 10},
		"longer, workers":    {outputs.Shape{MaxBytes: 100 << 10}, 4, 10},
		"large chunks":       {outputs.Shape{MaxBytes: 2 << 10}, 4, 1000},
		"keys":               {outputs.Shape{MaxBytes: 8 << 10, Key: tagKey{}}, 2, 10},
		"one batch in total": {outputs.Shape{MaxBytes: 8 << 20, Linger: time.Millisecond}, 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rate = 10 << 10
				out := newFake(nil)
				out.shape = c.shape
				r := start(t, out, func(o *Options) { o.Workers, o.MaxRate = c.workers, rate })
				time.Sleep(time.Minute) // saves nothing up
				began := time.Now()
				size := fillUp(r, 60*rate, c.events)
				time.Sleep(5 * time.Second)
				if !r.d.Stats().Limited {
					t.Error("the rate doesn't show")
				}
				r.await(time.Hour)
				want := time.Duration(float64(size)/rate*1e9) - time.Second
				if took := time.Since(began); took < want-time.Second || took > want+2*time.Second {
					t.Errorf("%d bytes took %v, want %v", size, took, want)
				}
				if d := r.d.Stats(); d.Limited || d.Sent != uint64(size) {
					t.Errorf("afterwards: %+v", d)
				}
				if s := ordered(out.got()); s != "" {
					t.Error(s)
				}
				r.close()
			})
		})
	}
}

// What was given counts, whether it was taken or not.
func TestRetriesCountForTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		out := newFake(func(context.Context, request) outputs.Result {
			if n++; n%2 == 1 {
				return refused
			}
			return outputs.Result{}
		})
		out.shape.MaxBytes = 10 << 10
		r := start(t, out, func(o *Options) { o.MaxRate = 1 << 10; o.Retry.Initial = time.Millisecond })
		began := time.Now()
		size := fillUp(r, 100<<10, 10)
		r.await(time.Hour)
		if took, want := time.Since(began), time.Duration(2*size/1024)*time.Second; took < want-15*time.Second {
			t.Errorf("took %v, want %v", took, want)
		}
		r.close()
	})
}

func TestTheRateChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(nil)
		out.shape.MaxBytes = 8 << 10 // however the tags fall to the workers, no batch takes more than a second
		r := start(t, out, func(o *Options) { o.MaxRate, o.Workers = 1, 4 })
		size := fillUp(r, 100<<10, 100)
		time.Sleep(time.Minute)
		if n := len(r.out.log()); n > 0 {
			t.Errorf("%d requests at 1 byte/s", n)
		}
		r.d.Change(Settings{MaxRate: 10 << 10, Workers: 4})
		began := time.Now()
		time.Sleep(5 * time.Second)
		if b := r.buf.Stats(); b.Delivered == 0 || b.Buffered == 0 {
			t.Errorf("after 5 s: %+v", b)
		}
		r.await(time.Duration(size/10_000) * time.Second)
		if took := time.Since(began); took < 8*time.Second {
			t.Errorf("took %v", took)
		}
		r.d.Change(Settings{MaxRate: 1, Workers: 4})
		fillUp(r, 100<<10, 100)
		brief()
		r.d.Change(Settings{Workers: 4})
		r.await(time.Second)
		if r.d.Stats().Limited {
			t.Error("still limited")
		}
		r.close()
	})
}

// A stop and a replacement don't wait for the rate; a drain keeps it.
func TestWaitingForTheRateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nil)
		a := newPort(f)
		r := start(t, f, func(o *Options) { o.Output, o.MaxRate, o.Workers = a, 100, 4 })
		fillUp(r, 100<<10, 100)
		time.Sleep(time.Second)
		r.d.Drain()
		time.Sleep(time.Second)
		if !r.d.Stats().Limited {
			t.Error("the drain has no rate")
		}
		r.d.Change(Settings{Output: newPort(f), MaxRate: 100, Workers: 2})
		synctest.Wait()
		a.check(t, 1)
		began := time.Now()
		r.close()
		if took := time.Since(began); took > 0 {
			t.Errorf("the stop took %v", took)
		}
	})
}

// Who has waited for the rate looks again whether the other side is well.
func TestTheRateAndTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(func(context.Context, request) outputs.Result {
			time.Sleep(5 * time.Second) // others wait for the rate meanwhile
			return fail(outputs.Held)
		})
		out.shape.Linger = time.Second
		r := start(t, out, func(o *Options) { o.MaxRate, o.Workers, o.Retry.Max = 2500, 8, time.Hour })
		for i := range 64 { // about 5 KB for each worker
			r.append(text(fmt.Sprint("t", i), 0, 10))
		}
		time.Sleep(20 * time.Minute)
		if n := len(out.log()); n > 5 {
			t.Errorf("%d requests to a server that wants to be left alone", n)
		}
		r.stop()
	})
}

// Events that move don't keep a probe from the rate, nor the rate a probe from finding out.
func TestProbesAtALowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		r := start(t, newFake(after(time.Hour, refused)), with(p, time.Minute), func(o *Options) { o.MaxRate = 100 })
		s := newStream(r, 4)
		s.flow(2*time.Hour, 10*time.Second, 20) // about 1,300 bytes at a time, at 100 bytes/s
		n, sent := 0, 0
		for _, q := range r.out.log() {
			if q.at > 3*time.Minute && q.at < time.Hour {
				n++
				sent += len(q.events)
			}
		}
		if n < 30 || sent*65 > 150*57*60 {
			t.Errorf("%d probes with %d events in 57 min", n, sent)
		}
		if d := r.d.Stats(); d.Buffer.Delivered < 5000 || d.Breaker != "closed" {
			t.Errorf("an hour after the outage: %+v", d)
		}
		r.d.Change(Settings{})
		r.await(time.Minute)
		s.check(p)
		r.close()
	})
}

func TestNoRateNoWait(t *testing.T) {
	l := newLimiter()
	for range 100 {
		if wait, changed := l.take(nil, 1<<30, false); wait != 0 || changed != nil {
			t.Fatalf("wait %v", wait)
		}
	}
	if l.owes() {
		t.Error("owes something")
	}
}

// A request that needs long waits no longer because others need little.
func TestTheRateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, big, little := newLimiter(), &worker{}, &worker{}
		l.set(100)
		began := time.Now()
		wait, changed := l.take(big, 1000, false)
		if wait < 9*time.Second || wait > 10*time.Second || changed == nil {
			t.Fatalf("wait %v", wait)
		}
		woken := 0
		for ; ; woken++ {
			wait, changed := l.take(little, 1, false)
			if changed == nil {
				t.Fatal("overtaken")
			}
			if wait > 0 || woken > 1 {
				t.Fatalf("wait %v", wait)
			}
			time.Sleep(time.Until(began.Add(9*time.Second + time.Millisecond)))
			if wait, _ := l.take(big, 1000, false); wait == 0 {
				<-changed
				break
			}
		}
		if wait, changed := l.take(little, 1, false); wait > 11*time.Millisecond && changed != nil {
			t.Errorf("afterwards: %v", wait)
		}
	})
}
