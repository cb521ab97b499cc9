package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// spillRate is what senders send while their aggregator is away, over spillConns connections.
const (
	spillRate  = 20_000
	spillConns = 6
)

// Fallback lets an aggregator be away, first refusing and then as a black hole, while a steady load goes on. Its buffer
// is small, so that the oldest events move to another aggregator; then it is big, and they move after fallback_after.
// Over both places nothing may be missing, each has its events in order, and no sender waits.
func Fallback(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "fallback"}
	if err := e.spillNearBound(ctx, r); err != nil {
		return r, fmt.Errorf("small buffer: %w", err)
	}
	if err := e.spillAfter(ctx, r); err != nil {
		return r, fmt.Errorf("fallback_after: %w", err)
	}
	return r, nil
}

// spill is a router with a destination, its fallback, and a load.
type spill struct {
	*setup
	r             *Report
	name          string
	first, second *sink.Sink
	l             *sender
}

func (e *Env) spill(ctx context.Context, r *Report, name, buffer string) (_ *spill, err error) {
	s := &spill{r: r, name: name}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.first, err = sink.Start(sink.Config{}); err != nil {
		return nil, err
	}
	if s.second, err = sink.Start(sink.Config{}); err != nil {
		return nil, err
	}
	if s.setup, err = e.place(); err != nil {
		return nil, err
	}
	s.cfg.YAML = s.head(s.cfg.Listen) + "routes: [ { name: all, to: [first] } ]\noutputs:\n" +
		e.output("first", s.first.Addr(), buffer+", fallback: second") + e.output("second", s.second.Addr(), "max_bytes: 8GiB")
	if _, err = s.start(ctx); err != nil {
		return nil, err
	}
	s.l, err = send(ctx, load.Config{Addr: s.cfg.Listen, Conns: spillConns, Ack: true, Rate: spillRate, NoReconnect: true, SubSecond: true})
	return s, err
}

func (s *spill) close() {
	if s.l != nil {
		s.l.cut()
	}
	if s.setup != nil {
		s.setup.close()
	}
	for _, a := range []*sink.Sink{s.first, s.second} {
		if a != nil {
			_ = a.Close()
		}
	}
}

func (e *Env) spillNearBound(ctx context.Context, r *Report) error {
	const name = "2 MiB buffer"
	s, err := e.spill(ctx, r, name, "max_bytes: 2MiB")
	if err != nil {
		return err
	}
	defer s.close()
	e.Say("fallback: %s", name)
	if err := s.phase(ctx, "before", e.span(5*time.Second, 300*time.Millisecond)); err != nil {
		return err
	}
	for _, f := range []sink.Mode{sink.Refuse, sink.BlackHole} {
		had := s.second.Counts().Events
		if err := s.first.Set(sink.Fault{Mode: f}); err != nil {
			return err
		}
		e.Say("fallback: %s, %s", name, f)
		if err := s.phase(ctx, string(f), e.span(150*time.Second, time.Second)); err != nil {
			return err
		}
		r.must(s.second.Counts().Events > had, "%s, %s: nothing has moved", name, f)
		if err := s.heal(ctx, string(f)); err != nil {
			return err
		}
		if err := s.phase(ctx, "after "+string(f), e.span(10*time.Second, 300*time.Millisecond)); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

func (e *Env) spillAfter(ctx context.Context, r *Report) error {
	const name = "fallback_after"
	after := e.span(20*time.Second, time.Second)
	s, err := e.spill(ctx, r, name, fmt.Sprintf("max_bytes: 4GiB, fallback_after: %s", after))
	if err != nil {
		return err
	}
	defer s.close()
	e.Say("fallback: %s", name)
	if err := s.phase(ctx, "before", e.span(5*time.Second, 300*time.Millisecond)); err != nil {
		return err
	}
	if err := s.first.Set(sink.Fault{Mode: sink.Refuse}); err != nil {
		return err
	}
	away := time.Now()
	limit, cancel := context.WithTimeout(ctx, after+30*time.Second)
	defer cancel()
	moving := s.second.WaitEvents(limit, 1)
	waited := time.Since(away)
	r.time(name, "fallback_after", after)
	r.time(name, "first event moved after", waited)
	r.must(moving == nil, "%s: nothing has moved after %v", name, waited)
	r.must(waited > after-100*time.Millisecond, "%s: events have moved after %v", name, waited)
	if err := s.phase(ctx, "moving", e.span(60*time.Second, time.Second)); err != nil {
		return err
	}
	st, err := s.status(ctx)
	if err != nil {
		return err
	}
	d, _ := st.Destination("first")
	add(r, name, "still waits then", d.Buffered, "events")
	if err := s.heal(ctx, string(sink.Refuse)); err != nil {
		return err
	}
	if err := s.phase(ctx, "after", e.span(10*time.Second, 300*time.Millisecond)); err != nil {
		return err
	}
	return s.settle(ctx)
}

// heal brings the first one back, and tells how long it takes until it gets events that it hasn't got.
func (s *spill) heal(ctx context.Context, what string) error {
	had := s.first.Counts().Events
	if err := s.first.Set(sink.Fault{}); err != nil {
		return err
	}
	begin := time.Now()
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := s.first.WaitEvents(limit, had+spillRate/10) // more than what was on the way when it stopped reading
	s.r.time(s.name, what+": back after", time.Since(begin))
	s.r.must(err == nil, "%s, %s: it is back and gets nothing: %v", s.name, what, err)
	return nil
}

// phase looks at the ledgers for a while, again and again, and adds what went where and what the senders felt.
func (s *spill) phase(ctx context.Context, what string, d time.Duration) error {
	name := s.name + ", " + what
	s.l.ResetStalls()
	sent, first, second, acks := s.l.Acked(), s.first.Counts().Events, s.second.Counts().Events, s.l.Stats().AckTimes
	m := startMeter(s.router.PID())
	var most int64
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !pause(ctx, min(250*time.Millisecond, time.Until(end))) {
			return ctx.Err()
		}
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		s.audit(name, st)
		f, _ := st.Destination("first")
		most = max(most, f.Bytes)
	}
	u := m.stop()
	took := u.took.Seconds()
	stats := s.l.Stats()
	add(s.r, name, "acked", float64(s.l.Acked()-sent)/took, "1/s")
	add(s.r, name, "to the first", float64(s.first.Counts().Events-first)/took, "1/s")
	add(s.r, name, "to the fallback", float64(s.second.Counts().Events-second)/took, "1/s")
	s.r.mebi(name, "most that waited", most)
	s.r.mebi(name, "RssAnon peak", u.peak.RSSAnon)
	add(s.r, name, "CPU used", u.cpu.Seconds()/took, "cores")
	add(s.r, name, "CPU of others", u.others, "cores")
	h := stats.AckTimes.Sub(&acks)
	s.r.time(name, "ack p99", h.Quantile(0.99))
	s.r.time(name, "ack max", h.Max())
	s.r.time(name, "longest client write", stats.Longest())
	least := 0.95*spillRate*took - spillRate/4 // a pause of the machine at the end of the phase is no fault
	s.r.must(float64(s.l.Acked()-sent) >= least, "%s: %.0f of %d events per second were taken in: intake waits; acks came after up to %v; %s", name, float64(s.l.Acked()-sent)/took, spillRate, h.Max(), u.disturbance())
	s.r.must(stats.Longest() < time.Second, "%s: a client's write was blocked for %v; %s", name, stats.Longest(), u.disturbance())
	s.r.must(stats.Reconnects == 0 && stats.LastError == "", "%s: a client was cut off: %s", name, stats.LastError)
	return nil
}
