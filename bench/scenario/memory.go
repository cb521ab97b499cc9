package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/proc"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

// Memory measures an idle router, one under full load with a dead destination until 1 GiB waits, and one that starts
// with that backlog and delivers it.
func Memory(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "memory"}
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return r, err
	}
	defer s.Close()
	if err := s.Set(sink.Fault{Mode: sink.Refuse}); err != nil {
		return r, err
	}
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: "max_bytes: 16GiB"})
	if err != nil {
		return r, err
	}
	defer up.close()
	if err := e.idle(ctx, r, up); err != nil {
		return r, err
	}
	l, err := e.backlog(ctx, r, up)
	if err != nil {
		return r, err
	}
	return r, e.restartAndDeliver(ctx, r, up, s, l)
}

func (e *Env) idle(ctx context.Context, r *Report, up *setup) error {
	accept, err := up.start(ctx)
	if err != nil {
		return err
	}
	e.Say("memory: idle")
	pause(ctx, e.span(3*time.Second, 500*time.Millisecond))
	r.time("idle", "exec to first accept", accept)
	return memoryOf(r, "idle", up.router)
}

func memoryOf(r *Report, name string, up *router.Router) error {
	u, err := proc.Read(up.PID())
	if err != nil {
		return err
	}
	r.mebi(name, "RssAnon", u.RSSAnon)
	r.mebi(name, "RSS", u.RSS)
	r.mebi(name, "RSS peak", u.RSSPeak)
	add(r, name, "threads", u.Threads, "")
	return nil
}

func (e *Env) backlog(ctx context.Context, r *Report, up *setup) (*sender, error) {
	want := int64(e.scaled(1<<30, 32<<20))
	name := fmt.Sprintf("%d MiB for a dead destination", want>>20)
	e.Say("memory: %s", name)
	w := proc.StartWatch(up.router.PID(), 20*time.Millisecond)
	begin := time.Now()
	l, err := send(ctx, load.Config{Addr: up.cfg.Listen})
	if err != nil {
		w.Stop()
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_, err = up.router.WaitStatus(limit, func(st router.Status) bool {
		d, ok := st.Destination("all")
		return ok && d.Bytes >= want
	})
	l.finish(10 * time.Second)
	took := time.Since(begin)
	peak := w.Stop()
	if err != nil {
		return nil, err
	}
	if _, err := up.router.WaitStatus(limit, func(st router.Status) bool {
		d, _ := st.Destination("all")
		return d.Offered == l.Sent()
	}); err != nil {
		return nil, fmt.Errorf("%d events sent: %w", l.Sent(), err)
	}
	r.mebi(name, "RssAnon peak", peak.RSSAnon)
	r.mebi(name, "RSS peak", peak.RSS)
	add(r, name, "taken in", float64(l.Sent())/took.Seconds(), "1/s")
	r.time(name, "longest client write", l.Stats().Longest())
	return l, nil
}

func (e *Env) restartAndDeliver(ctx context.Context, r *Report, up *setup, s *sink.Sink, l *sender) error {
	name := "start with that backlog"
	e.Say("memory: %s", name)
	up.router.Kill()
	accept, err := up.start(ctx)
	if err != nil {
		return err
	}
	r.time(name, "exec to first accept", accept)
	if _, err := up.router.WaitStatus(ctx, func(st router.Status) bool {
		d, _ := st.Destination("all")
		return d.Buffered == l.Sent()
	}); err != nil {
		return err
	}
	pause(ctx, e.span(3*time.Second, 500*time.Millisecond))
	if err := memoryOf(r, name, up.router); err != nil {
		return err
	}

	name = "delivering it"
	e.Say("memory: %s", name)
	if err := s.Set(sink.Fault{}); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := e.arrive(limit, s, 1); err != nil {
		return err
	}
	m := startMeter(up.router.PID())
	arrived := e.arrive(limit, s, l.Sent())
	u := m.stop()
	r.mebi(name, "RssAnon peak", u.peak.RSSAnon)
	add(r, name, "events per second", float64(l.Sent())/u.took.Seconds(), "1/s")
	add(r, name, "events per CPU second", u.perCPU(l.Sent()), "1/s")
	r.must(len(r.arrivals(name, s, l.Streams(), allSent)) == 0, "%s: events are missing: %v", name, arrived)
	return nil
}
