package scenario

import (
	"context"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// Steady sends 20,000 events per second and measures latency and CPU.
func Steady(ctx context.Context, e *Env) (*Report, error) {
	const name, rate = "20,000 events/s", 20_000
	r := &Report{Scenario: "steady"}
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return r, err
	}
	defer s.Close()
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: "type: disk"})
	if err != nil {
		return r, err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return r, err
	}
	e.Say("steady: %s", name)
	l, err := send(ctx, load.Config{Addr: up.cfg.Listen, Rate: rate, SubSecond: true})
	if err != nil {
		return r, err
	}
	defer l.cut()
	warm := e.span(2*time.Second, 300*time.Millisecond)
	pause(ctx, warm)
	m := startMeter(up.router.PID())
	seen, had := s.Latency(), s.Counts().Events
	pause(ctx, e.span(20*time.Second, time.Second))
	h, n, u := s.Latency(), s.Counts().Events-had, m.stop()
	l.finish(10 * time.Second)
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	arrived := e.arrive(limit, s, l.Sent())

	add(r, name, "events per second", float64(n)/u.took.Seconds(), "1/s")
	add(r, name, "events per CPU second", u.perCPU(n), "1/s")
	add(r, name, "CPU used", u.cpu.Seconds()/u.took.Seconds(), "cores")
	add(r, name, "CPU of others", u.others, "cores")
	r.latency(name, h.Sub(&seen))
	r.mebi(name, "RssAnon", u.usageAfter.RSSAnon)
	r.time(name, "longest client write", l.Stats().Longest())
	r.must(len(r.arrivals(name, s, l.Streams(), allSent)) == 0, "%s: events are missing: %v", name, arrived)
	return r, nil
}
