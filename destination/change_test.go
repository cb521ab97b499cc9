package destination

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

// The output, its shape and the workers change all the time, while events come in and some requests fail or take long.
func TestAHundredChanges(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			o := buffer.MemoryOptions{Name: "d", Spills: true}
			if seed >= 3 { // then the fallback gets some of it
				o.MaxBytes = 64 << 10
			}
			aHundredChanges(t, seed, time.Second, buffer.OpenMemory(o))
		})
	}
}

func TestAHundredChangesOnDisk(t *testing.T) {
	runtime.GC() // twice empties the pools: nothing made under virtual time may be used here
	runtime.GC()
	b, err := buffer.OpenDisk(buffer.DiskOptions{Dir: filepath.Join(t.TempDir(), "d"), Name: "d", MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	aHundredChanges(t, 4, time.Millisecond, b)
	goleak.VerifyNone(t)
}

func aHundredChanges(t *testing.T, seed uint64, second time.Duration, b buffer.Buffer) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	f := newFake(nil)
	var mu sync.Mutex
	n := 0
	f.answer = func(context.Context, request) outputs.Result {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%7 == 0 {
			return refused
		}
		return outputs.Result{}
	}
	sleep := rand.New(rand.NewPCG(seed, 1))
	make1 := func() *port {
		p := newPort(f)
		p.own = outputs.Shape{MaxBytes: 500 + rnd.IntN(5000), MaxEvents: rnd.IntN(3) * 20}
		if rnd.IntN(3) == 0 {
			p.own.Key = tagKey{perEvent: rnd.IntN(2) == 0}
		}
		if rnd.IntN(3) == 0 {
			p.own.Encode = lines
		}
		if rnd.IntN(3) == 0 {
			p.own.Linger = second
		}
		p.delay = func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(sleep.IntN(5000)) * second / 1000
		}
		return p
	}
	ports := []*port{make1()}
	spill := &place{}
	r := start(t, f, with(spill, 0), func(o *Options) { o.Output, o.Buffer, o.Retry = ports[0], b, Retry{Initial: second, Max: 2 * second} })
	s := newStream(r, 7)
	for i := range 100 {
		s.flow(time.Duration(rnd.IntN(2000))*second/1000+time.Microsecond, second/10, 20)
		set := Settings{Workers: 1 + i%8, Retry: Retry{Initial: second, Max: 2 * second}}
		set.Fallback = &Fallback{Name: "spill", Sink: spill}
		if rnd.IntN(4) == 0 {
			set.MaxRate = int64(1000+rnd.IntN(10_000)) * int64(time.Second/second)
		}
		if rnd.IntN(5) > 0 {
			ports = append(ports, make1())
			set.Output = ports[len(ports)-1]
		}
		r.d.Change(set)
	}
	r.await(time.Hour)
	s.check(spill)
	if r.buf.Stats().MaxBytes < 1<<20 && len(spill.got()) == 0 {
		t.Error("nothing has moved")
	}
	d := r.d.Stats()
	if d.Requests < uint64(len(f.log())) || d.Failed == 0 || d.Sent == 0 {
		t.Errorf("counters did not go on: %+v", d)
	}
	used := 0
	for i, p := range ports {
		if i < len(ports)-1 {
			p.check(t, 1)
		}
		if p.sent > 0 {
			used++
		}
	}
	if used < 10 {
		t.Errorf("only %d of %d outputs were used", used, len(ports))
	}
	r.close()
	ports[len(ports)-1].check(t, 1)
}

func TestChangesAtOddTimes(t *testing.T) {
	f := newFake(nil)
	for name, run := range map[string]func(t *testing.T, r *rig, list []*port){
		"before Run": func(t *testing.T, r *rig, list []*port) {
			for _, p := range list {
				r.d.Change(Settings{Output: p})
			}
			r.run()
			r.append(text("a", 0, 1))
			r.await(time.Minute)
			r.close()
		},
		"after Run": func(t *testing.T, r *rig, list []*port) {
			r.run()
			brief()
			r.stop()
			for _, p := range list {
				r.d.Change(Settings{Output: p})
			}
			r.close()
		},
		"after Close": func(t *testing.T, r *rig, list []*port) {
			r.run()
			r.close()
			for _, p := range list {
				r.d.Change(Settings{Output: p})
			}
		},
		"during Close": func(t *testing.T, r *rig, list []*port) {
			r.run()
			r.stop()
			for _, p := range list {
				go r.d.Change(Settings{Output: p})
			}
			if err := r.d.Close(context.Background()); err != nil {
				t.Error(err)
			}
		},
		"all at once": func(t *testing.T, r *rig, list []*port) {
			r.run()
			for i := range 100 {
				r.append(text("a", i, 1))
			}
			brief()
			for i, p := range list {
				r.d.Change(Settings{Output: p, Workers: i + 1})
			}
			brief()
			r.append(text("a", 100, 1))
			r.await(time.Minute)
			for i, p := range list[:len(list)-1] {
				if p.sent > 0 {
					t.Errorf("output %d of %d was used", i, len(list))
				}
			}
			if p := list[len(list)-1]; p.sent == 0 {
				t.Error("the last output was not used")
			}
			r.close()
		},
		"kept at last": func(t *testing.T, r *rig, list []*port) {
			r.run()
			for _, p := range list {
				r.d.Change(Settings{Output: p})
			}
			r.d.Change(Settings{Workers: 4})
			brief()
			r.append(text("b", 0, 1))
			r.await(time.Minute)
			if p := list[len(list)-1]; p.sent == 0 {
				t.Error("the last output was not used")
			}
			r.close()
		},
		"as it stops": func(t *testing.T, r *rig, list []*port) {
			r.run()
			brief()
			for _, p := range list {
				go r.d.Change(Settings{Output: p})
			}
			r.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := []*port{newPort(f), newPort(f), newPort(f), newPort(f)}
				r := &rig{t: t, out: f, dead: &grave{}}
				o := options(list[0], buffer.OpenMemory(buffer.MemoryOptions{Name: "d"}), r.dead)
				r.buf, r.d = o.Buffer, New(o)
				run(t, r, list[1:])
				synctest.Wait()
				for _, p := range list {
					p.check(t, 1)
				}
			})
		})
	}
}

// Requests under way may end, but not take for ever.
func TestAChangeGivesGrace(t *testing.T) {
	for _, c := range []struct {
		takes, timeout, gone time.Duration
		requests             int
	}{
		{2 * time.Second, time.Minute, time.Second, 1}, // 1 s after the change
		{time.Minute, time.Hour, leaveGrace, 2},
		{time.Minute, 1500 * time.Millisecond, 500 * time.Millisecond, 2},
	} {
		for _, workers := range []int{1, 8} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(nil)
				a, b := newPort(f), newPort(f)
				a.delay = func() time.Duration { return c.takes }
				r := start(t, f, func(o *Options) { o.Output, o.Workers, o.Retry.Timeout = a, workers, c.timeout })
				for i := range 10 {
					r.append(text("a", i*10, 10))
				}
				time.Sleep(time.Second)
				began := time.Now()
				r.d.Change(Settings{Output: b, Workers: workers})
				r.append(text("a", 100, 10))
				for ; ; time.Sleep(time.Millisecond) {
					b.mu.Lock()
					n := b.sent
					b.mu.Unlock()
					if n > 0 {
						break
					}
				}
				if took := time.Since(began).Round(10 * time.Millisecond); took != c.gone {
					t.Errorf("the new output got its first request after %v, want %v", took, c.gone)
				}
				synctest.Wait()
				a.check(t, 1)
				r.await(time.Minute)
				if got := f.got(); len(got) != 110 || ordered(got) != "" {
					t.Errorf("%d events; %s", len(got), ordered(got))
				}
				if d := r.d.Stats(); d.Breaker != "closed" || d.Error != "" {
					t.Errorf("%+v", d)
				}
				r.close()
			})
		}
	}
}

// A new output gets a fresh start; without one the breaker remembers.
func TestWhatTheBreakerRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(always(fail(outputs.Held)))
		a := newPort(f)
		r := start(t, f, func(o *Options) { o.Output = a })
		r.append(text("a", 0, 1))
		brief()
		if d := r.d.Stats(); d.Breaker != "open" || d.Requests != 1 {
			t.Fatalf("%+v", d)
		}
		before := r.d.Stats()
		r.d.Change(Settings{Workers: 4, MaxRate: 1 << 20})
		brief()
		if d := r.d.Stats(); d.Breaker != "open" || !d.NextTry.Equal(before.NextTry) || !d.Held || d.Requests != 1 || !d.Since.Equal(before.Since) {
			t.Errorf("with the same output: %+v", d)
		}
		a.check(t, 0)
		works := newFake(nil)
		b := newPort(works)
		r.d.Change(Settings{Output: b, Workers: 4})
		brief()
		if d := r.d.Stats(); d.Breaker != "closed" || d.Error != "" || d.Requests != 2 || d.Buffer.Delivered != 1 {
			t.Errorf("with a new output: %+v", d)
		}
		a.check(t, 1)
		r.close()
		b.check(t, 1)
	})
}

// What needs no other workers disturbs no request.
func TestSmallChangesCutNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nil)
		a := newPort(f)
		var takes atomic.Int64
		takes.Store(int64(30 * time.Second))
		a.delay = func() time.Duration { return time.Duration(takes.Load()) }
		r := start(t, f, func(o *Options) { o.Output = a })
		r.append(text("a", 0, 1))
		brief()
		r.d.Change(Settings{Blocks: true, MaxRate: 5 << 20, Retry: Retry{Timeout: 40 * time.Second}, Fallback: &Fallback{Name: "x", Sink: &place{}}})
		if !r.d.Blocks() {
			t.Error("Blocks has not changed")
		}
		r.await(time.Minute)
		if n := len(f.log()); n != 1 || a.sent != 1 {
			t.Errorf("%d requests", a.sent)
		}
		takes.Store(int64(time.Minute))
		r.append(text("a", 1, 1))
		time.Sleep(41 * time.Second)
		if d := r.d.Stats(); d.Failed != 1 {
			t.Errorf("the new timeout is not in force: %+v", d)
		}
		r.stop()
	})
}

// A fallback that is new takes what a breaker has held back.
func TestAFallbackIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		r := start(t, newFake(always(fail(outputs.Held))))
		s := newStream(r, 5)
		s.flow(10*time.Minute, time.Second, 5)
		if len(r.buf.Stats().Moved) > 0 {
			t.Error("moved without a fallback")
		}
		r.d.Change(Settings{Fallback: &Fallback{Name: "spill", Sink: p, After: 5 * time.Minute}})
		synctest.Wait()
		if n := r.buf.Stats().Buffered; n > 0 {
			t.Errorf("%d events are still there", n)
		}
		s.flow(time.Minute, time.Second, 5)
		r.d.Change(Settings{})
		moved := r.buf.Stats().Moved["spill"]
		s.flow(time.Minute, time.Second, 5)
		if b := r.buf.Stats(); b.Moved["spill"] != moved || b.Buffered == 0 {
			t.Errorf("without the fallback: %+v", b)
		}
		s.check(p)
		r.close()
	})
}

// An output that hangs for good is what an operator would replace.
func TestAnOutputThatHangsIsReplaced(t *testing.T) {
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var hung atomic.Bool
			stuck := newFake(func(context.Context, request) outputs.Result {
				if hung.CompareAndSwap(false, true) {
					<-release
				}
				return refused
			})
			a, b := newPort(stuck), newPort(newFake(nil))
			r := start(t, b.fake, func(o *Options) { o.Output, o.Workers, o.Retry.Timeout = a, workers, time.Minute })
			s := newStream(r, 20)
			s.flow(10*time.Minute, time.Second, 3)
			began := time.Now()
			r.d.Change(Settings{Output: b, Workers: workers})
			for r.buf.Stats().Delivered == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(began); took > leaveGrace+leavePatience+time.Second {
				t.Errorf("the new output began after %v", took)
			}
			s.flow(time.Minute, time.Second, 3)
			d := r.d.Stats()
			if d.Buffer.Buffered != d.Buffer.Leased || d.Buffer.Leased == 0 || d.Trouble == "" || d.Breaker != "closed" {
				t.Errorf("while it hangs: %+v", d)
			}
			a.check(t, 0)
			close(release)
			r.await(time.Minute)
			a.check(t, 1)
			if got := b.got(); len(got) != len(s.all) {
				t.Errorf("delivered %d of %d", len(got), len(s.all))
			}
			if d := r.d.Stats(); d.Trouble != "" || d.Breaker != "closed" || d.Error != "" {
				t.Errorf("afterwards: %+v", d)
			}
			r.close()
			b.check(t, 1)
		})
	}
}

// Outputs that hang one after the other don't pile up.
func TestFewCrewsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := newFake(func(context.Context, request) outputs.Result { <-release; return outputs.Result{} })
		var list []*port
		r := start(t, hang)
		for i := range 3 * maxHanging {
			r.append(text("a", i, 1))
			time.Sleep(time.Minute)
			list = append(list, newPort(hang))
			r.d.Change(Settings{Output: list[i]})
		}
		time.Sleep(time.Minute)
		r.d.mu.Lock()
		if n := len(r.d.crews); n != maxHanging+1 {
			t.Errorf("%d crews", n)
		}
		r.d.mu.Unlock()
		ended := make(chan struct{})
		go func() { r.stop(); close(ended) }()
		time.Sleep(time.Minute)
		select {
		case <-ended:
			t.Error("Run returned while requests were under way")
		default:
		}
		close(release)
		<-ended
		r.close()
		for _, p := range list {
			p.check(t, 1)
		}
	})
}

func TestAnOutputThatCannotBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newFake(nil), func(o *Options) { o.Output = unclosable{o.Output} })
		r.d.Change(Settings{Output: unclosable{r.out}})
		r.append(text("a", 0, 1))
		r.await(time.Minute)
		r.stop()
		if err := r.d.Close(context.Background()); err == nil || err.Error() != `close destination "d": output panicked: stuck` {
			t.Errorf("error %v", err)
		}
	})
}

type unclosable struct{ outputs.Output }

func (unclosable) Close(context.Context) error { panic("stuck") }
