package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

const (
	killRate = 60_000
	// unackedAge is how old an event may be that kill -9 takes with it when the client asks for no acks: it was in a
	// socket buffer, or in a read that was not stored yet.
	unackedAge = 50 * time.Millisecond
)

// Kill kills the router with SIGKILL under load, with a backlog, and starts it again. What it acked must arrive. Without
// acks only what was written to its socket just before may be missing.
func Kill(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "kill"}
	for _, mode := range []load.Mode{load.Message, load.Packed} {
		name := "acks, one event per message"
		if mode == load.Packed {
			name = "acks, packed messages"
		}
		e.Say("kill: %s", name)
		if err := e.killAcked(ctx, r, name, mode); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	e.Say("kill: no acks")
	return r, e.killUnacked(ctx, r, "no acks")
}

func (e *Env) killAcked(ctx context.Context, r *Report, name string, mode load.Mode) error {
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: "max_bytes: 8GiB"})
	if err != nil {
		return err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return err
	}
	l, err := send(ctx, load.Config{Addr: up.cfg.Listen, Ack: true, Mode: mode, Rate: killRate})
	if err != nil {
		return err
	}
	defer l.cut()
	rounds := int(e.scaled(6, 2))
	for i := range rounds {
		if i%2 == 0 { // every other time while there is a backlog, else while it is delivered
			err = s.Set(sink.Fault{Mode: sink.Refuse})
		}
		pause(ctx, e.span(2*time.Second, 300*time.Millisecond))
		if i%2 == 1 {
			err = s.Set(sink.Fault{})
			pause(ctx, 150*time.Millisecond)
		}
		if err != nil {
			return err
		}
		up.router.Kill()
		if _, err := up.start(ctx); err != nil {
			return err
		}
	}
	if err := s.Set(sink.Fault{}); err != nil {
		return err
	}
	pause(ctx, e.span(time.Second, 300*time.Millisecond))
	l.finish(time.Minute)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	stats := l.Stats()
	arrived := e.arrive(limit, s, stats.Acked)
	st, err := up.drained(limit)
	if err != nil {
		return err
	}
	add(r, name, "kills", rounds, "")
	add(r, name, "acked", stats.Acked, "events")
	lost := r.arrivals(name, s, l.Streams(), allAcked)
	r.must(len(lost) == 0, "%s: acked events are missing: %v (%v)", name, first(lost), arrived)
	r.must(stats.Acked == stats.Sent, "%s: %d of %d events were never acked: %s", name, stats.Sent-stats.Acked, stats.Sent, stats.LastError)
	r.must(stats.BadAcks == 0, "%s: %d acks that nobody waited for", name, stats.BadAcks)
	d, _ := st.Destination("all")
	add(r, name, "sent again by the client", stats.Resent, "events")
	add(r, name, "ledger: delivered", d.Delivered, "events")
	r.must(d.Balanced() && d.Given() == 0, "%s: the ledger says %+v", name, d)
	r.must(d.Delivered >= s.Counts().Events, "%s: %d events arrived, the ledger has delivered %d", name, s.Counts().Events, d.Delivered)
	return nil
}

func (e *Env) killUnacked(ctx context.Context, r *Report, name string) error {
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Set(sink.Fault{Mode: sink.Refuse}); err != nil {
		return err
	}
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: "max_bytes: 8GiB"})
	if err != nil {
		return err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return err
	}
	l, err := send(ctx, load.Config{Addr: up.cfg.Listen, Rate: killRate, NoReconnect: true, KeepTimes: true})
	if err != nil {
		return err
	}
	defer l.cut()
	pause(ctx, e.span(5*time.Second, 500*time.Millisecond))
	killed := time.Now()
	up.router.Kill()
	l.finish(10 * time.Second)
	if err := s.Set(sink.Fault{}); err != nil {
		return err
	}
	if _, err := up.start(ctx); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, ok := up.reopened(limit, "all"); !ok {
		r.must(false, "%s: all events are missing after the restart", name)
		return nil
	}
	st, err := up.drained(limit)
	if err != nil {
		return err
	}
	add(r, name, "sent", l.Sent(), "events")
	lost := r.arrivals(name, s, l.Streams(), allSent)
	var oldest time.Duration
	for _, m := range lost {
		at, _ := l.WrittenAt(m.Stream, m.From)
		oldest = max(oldest, killed.Sub(at))
	}
	r.time(name, "oldest lost, before the kill", oldest)
	r.must(oldest < unackedAge, "%s: events that were written %v before the kill are missing: %v", name, oldest, first(lost))
	d, _ := st.Destination("all")
	r.must(d.Balanced() && d.Given() == 0, "%s: the ledger says %+v", name, d)
	r.must(d.Delivered == s.Counts().Events, "%s: %d events arrived, the ledger has delivered %d", name, s.Counts().Events, d.Delivered)
	return nil
}

// first returns the first few.
func first(lost []Lost) []Lost { return lost[:min(len(lost), 5)] }
