package scenario

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

// Speed sends Docker's messages over four connections as fast as possible, through the router and, for comparison,
// through a minimal pump. Counted are events per second of CPU of that process alone.
func Speed(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "speed"}
	for _, c := range []struct{ name, buffer string }{
		{"disk buffer", "max_bytes: 16GiB"},
		{"memory buffer", "type: memory, on_full: block"},
	} {
		if err := e.speedRouter(ctx, r, c.name, c.buffer); err != nil {
			return r, err
		}
	}
	if e.Pump != nil {
		return r, e.speedPump(ctx, r)
	}
	return r, nil
}

func (e *Env) speedRouter(ctx context.Context, r *Report, name, buffer string) error {
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: buffer})
	if err != nil {
		return err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return err
	}
	e.Say("speed: %s", name)
	if err := e.fullSpeed(ctx, r, name, up.router.PID(), up.cfg.Listen, s); err != nil {
		return err
	}
	st, err := up.drained(ctx)
	if err != nil {
		return err
	}
	d, _ := st.Destination("all")
	n := s.Counts().Events
	r.must(d.Offered == n && d.Delivered == n && d.Balanced(), "%s: %d events arrived, the ledger says %+v", name, n, d)
	return nil
}

// fullSpeed measures the process pid, which listens on addr and sends to s.
func (e *Env) fullSpeed(ctx context.Context, r *Report, name string, pid int, addr string, s *sink.Sink) error {
	l, err := load.New(load.Config{Addr: addr, Events: e.scaled(3e6, 100_000)})
	if err != nil {
		return err
	}
	m := startMeter(pid)
	l.Run(ctx)
	taken := time.Since(m.begin)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	arrived := e.arrive(limit, s, l.Sent())
	u := m.stop()
	n, took := float64(l.Sent()), u.took.Seconds()
	add(r, name, "events per CPU second", u.perCPU(l.Sent()), "1/s")
	add(r, name, "events per second", n/took, "1/s")
	add(r, name, "taken in", n/taken.Seconds(), "1/s")
	add(r, name, "CPU used", u.cpu.Seconds()/took, "cores")
	add(r, name, "of it system", u.system.Seconds()/max(u.cpu.Seconds(), 0.01), "share")
	add(r, name, "CPU of load and sink", u.own.Seconds()/took, "cores")
	add(r, name, "CPU of others", u.others, "cores")
	r.mebi(name, "RssAnon peak", u.peak.RSSAnon)
	r.mebi(name, "written to disk", u.written)
	r.time(name, "longest client write", l.Stats().Longest())
	r.must(len(r.arrivals(name, s, l.Streams(), allSent)) == 0, "%s: events are missing: %v", name, arrived)
	return nil
}

func (e *Env) speedPump(ctx context.Context, r *Report) error {
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	listen, err := router.FreeAddr()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(e.Dir, "firebreak-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := append(append([]string{}, e.Pump...), listen, s.Addr(), filepath.Join(dir, "pumped"))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = e.Log
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := connectable(ctx, listen); err != nil {
		return err
	}
	e.Say("speed: minimal pump")
	return e.fullSpeed(ctx, r, "minimal pump", cmd.Process.Pid, listen, s)
}
