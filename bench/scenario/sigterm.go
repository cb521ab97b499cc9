package scenario

import (
	"context"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// Sigterm stops the router under load, one of its two destinations being dead. Senders go on for a moment, as
// applications do that are stopped at the same time. What it says that it left must be what the next start finds, and
// nothing may be missing in the end.
func Sigterm(ctx context.Context, e *Env) (*Report, error) {
	const name = "stop under load"
	r := &Report{Scenario: "sigterm"}
	kinds := []load.Kind{load.Access, load.Audit}
	sinks := map[load.Kind]*sink.Sink{}
	var targets []target
	for _, k := range kinds {
		s, err := sink.Start(sink.Config{})
		if err != nil {
			return r, err
		}
		defer s.Close()
		sinks[k] = s
		targets = append(targets, target{name: string(k), match: e.match(k), addr: s.Addr(), buffer: "max_bytes: 8GiB"})
	}
	if err := sinks[broken].Set(sink.Fault{Mode: sink.Refuse}); err != nil {
		return r, err
	}
	up, err := e.prepare(targets...)
	if err != nil {
		return r, err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return r, err
	}
	e.Say("sigterm: %s", name)
	cfg := e.load(up.cfg.Listen)
	cfg.Kinds, cfg.Rate, cfg.NoReconnect = kinds, killRate, true
	l, err := send(ctx, cfg)
	if err != nil {
		return r, err
	}
	defer l.cut()
	pause(ctx, e.span(5*time.Second, 500*time.Millisecond))

	limit, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	asked := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- up.router.Terminate(limit) }()
	pause(ctx, 500*time.Millisecond)
	l.finish(10 * time.Second)
	if err := <-ended; err != nil {
		r.must(false, "%s: exit: %v", name, err)
	}
	r.time(name, "took", time.Since(asked))
	add(r, name, "sent", l.Sent(), "events")

	left := map[load.Kind]uint64{}
	for _, m := range up.router.Lines("destination closed") {
		d, _ := m["destination"].(string)
		n, _ := m["left_events"].(float64)
		left[load.Kind(d)] = uint64(n)
	}
	for _, k := range kinds {
		add(r, name, "left of "+string(k), left[k], "events")
		r.must(sinks[k].Counts().Events+left[k] == l.SentOf(k), "%s: %d of %s were sent, %d arrived, %d are said to be left", name, l.SentOf(k), k, sinks[k].Counts().Events, left[k])
	}
	return r, e.afterSigterm(ctx, r, "next start", up, sinks, l, left)
}

// afterSigterm starts the router again and compares.
func (e *Env) afterSigterm(ctx context.Context, r *Report, name string, up *setup, sinks map[load.Kind]*sink.Sink, l *sender, left map[load.Kind]uint64) error {
	if _, err := up.start(ctx); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d, ok := up.reopened(limit, string(broken))
	if !ok {
		r.must(false, "%s: all events of %s are missing", name, broken)
		return nil
	}
	r.must(d.Buffered == left[broken], "%s: %d events are buffered, %d were said to be left", name, d.Buffered, left[broken])
	if err := sinks[broken].Set(sink.Fault{}); err != nil {
		return err
	}
	for k, s := range sinks {
		arrived := e.arrive(limit, s, l.SentOf(k))
		r.must(len(r.arrivals(name+" "+string(k), s, only(l.Streams(), k), allSent)) == 0, "%s: events of %s are missing: %v", name, k, arrived)
		r.must(s.Counts().Duplicates == 0, "%s: %d events of %s came twice", name, s.Counts().Duplicates, k)
	}
	if _, err := up.drained(limit); err != nil {
		return err
	}
	return nil
}
