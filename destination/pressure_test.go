package destination

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
)

// A gauge is a buffer whose pressure a test decides.
type gauge struct {
	buffer.Buffer
	level atomic.Uint32
	token chan struct{}
}

func (g *gauge) Pressure() buffer.Pressure { return buffer.Pressure(g.level.Load()) }
func (g *gauge) Pressed() <-chan struct{}  { return g.token }

func (g *gauge) press(p buffer.Pressure) {
	g.level.Store(uint32(p))
	token(g.token)
}

func gauged(g *gauge) func(*Options) {
	return func(o *Options) {
		g.Buffer, g.token = o.Buffer, make(chan struct{}, 1)
		o.Buffer = g
	}
}

// With an append that waits nobody probes: it takes too long.
func TestNoProbesWhileAnAppendWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &place{}, &gauge{}
		out := newFake(always(fail(outputs.Held)))
		r := start(t, out, gauged(g), with(p, 0))
		for i := range 100 {
			r.append(text("a", i, 1))
		}
		brief()
		before := len(out.log())
		p.took = func(time.Duration) error { return errFull }
		g.press(buffer.Waiting)
		for p.tries() < 60 {
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(out.log()); n > before+10 { // in the pauses of the fallback
			t.Errorf("%d probes in a minute", n-before)
		}
		p.mu.Lock()
		p.took = nil
		p.mu.Unlock()
		time.Sleep(1500 * time.Millisecond)
		before = len(out.log())
		for i := range 600 {
			r.append(text("a", 100+i, 1))
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(out.log()); n != before || r.buf.Stats().Buffered > 0 {
			t.Errorf("%d requests; %+v", n-before, r.buf.Stats())
		}
		r.close()
	})
}

func (p *place) tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// While the fallback fails, requests get the time that they need: delivery is what makes room.
func TestRequestsGetTimeWhileTheFallbackFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &place{took: func(time.Duration) error { return errFull }}, &gauge{}
		out := newFake(nil)
		a := newPort(out)
		a.delay = func() time.Duration { return 10 * time.Second }
		r := start(t, out, gauged(g), with(p, 0), func(o *Options) { o.Output = a })
		g.press(buffer.Waiting)
		for i := range 100 {
			r.append(text("a", i, 1))
			time.Sleep(5 * time.Second)
		}
		if d := r.d.Stats(); d.Buffer.Delivered < 90 || d.Failed > 1 {
			t.Errorf("%+v", d)
		}
		r.stop()
	})
}

// Of many requests, each of them short, the rest doesn't have to be made first.
func TestManyKeysUnderPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &place{}, &gauge{}
		out := newFake(nil)
		a := newPort(out)
		a.own = outputs.Shape{Key: tagKey{}, Linger: time.Second}
		a.delay = func() time.Duration { return 900 * time.Millisecond }
		r := start(t, out, gauged(g), with(p, 0), func(o *Options) { o.Output = a })
		newStream(r, 100).flow(time.Second, 10*time.Millisecond, 1)
		brief()
		g.press(buffer.Waiting)
		brief()
		if b := r.buf.Stats(); b.Buffered > 0 || b.Moved["spill"] < 90 {
			t.Errorf("%+v", b)
		}
		r.close()
	})
}

// Probes that are cut off keep their distance.
func TestProbesThatAreCutOffKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, g := &place{}, &gauge{}
		var ended time.Time
		cut := 0
		out := newFake(func(ctx context.Context, r request) outputs.Result {
			if r.at < time.Second {
				return fail(outputs.NoAck)
			}
			if !ended.IsZero() && time.Since(ended) < 100*time.Millisecond {
				t.Errorf("next request %v after the last one was cut off", time.Since(ended))
			}
			<-ctx.Done()
			ended = time.Now()
			cut++
			return outputs.Result{Err: ctx.Err()}
		})
		r := start(t, out, gauged(g), with(p, 0))
		for i := range 100 {
			r.append(text("a", i, 1))
			g.press(buffer.Relaxed)
			time.Sleep(5 * time.Second)
			g.press(buffer.Waiting)
			time.Sleep(time.Second)
			if n := r.buf.Stats().Buffered; n > 0 {
				t.Errorf("%d events are left", n)
			}
		}
		if d := r.d.Stats(); cut < 15 || d.Breaker != "open" || d.Error != errCut.Error() {
			t.Errorf("cut off %d; %+v", cut, d)
		}
		r.close()
	})
}

// What has moved is no longer suspected.
func TestNoSuspicionOfWhatHasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		out := newFake(always(hangup))
		out.probe = func() error { return errDown }
		r := start(t, out, with(p, 10*time.Minute))
		newStream(r, 1).flow(time.Hour, time.Minute, 10)
		single := 0
		for _, q := range r.out.log() {
			if q.at > 12*time.Minute && len(q.events) != 10 {
				t.Errorf("%d events at %v", len(q.events), q.at)
			}
			if len(q.events) == 1 {
				single++
			}
		}
		if single == 0 {
			t.Error("nothing was suspected before")
		}
		r.stop()
	})
}

// A probe for a poison event ends like a request.
func TestAProbeThatHangs(t *testing.T) {
	for name, end := range map[string]func(r *rig, g *gauge){
		"stop":     func(r *rig, _ *gauge) { r.stop() },
		"change":   func(r *rig, _ *gauge) { r.d.Change(Settings{Output: newFake(nil)}); r.await(time.Minute); r.stop() },
		"pressure": func(r *rig, g *gauge) { g.press(buffer.Waiting); r.await(time.Minute); r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, p, g := newFake(always(hangup)), &place{}, &gauge{}
				hanging := make(chan struct{}, 1)
				o := struct {
					outputs.Output
					prober
				}{out, func(ctx context.Context) error {
					token(hanging)
					<-ctx.Done()
					return ctx.Err()
				}}
				r := start(t, out, gauged(g), with(p, 0), func(opt *Options) { opt.Output = o; opt.Retry.Timeout = time.Hour })
				r.append(text("a", 0, 5))
				<-hanging
				brief()
				began := time.Now()
				end(r, g)
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				balanced(t, r.buf.Stats())
			})
		})
	}
}

type prober func(context.Context) error

func (p prober) Probe(ctx context.Context, _ string, _ int) error { return p(ctx) }
