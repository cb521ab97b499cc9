package scenario

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

const (
	// reloadPause lets traffic flow between two reloads.
	reloadPause = 50 * time.Millisecond
	// leakSlack is how many files or goroutines may be there more than before: segments and retries come and go. One for
	// each reload would be more.
	leakSlack = 10
)

// Reload gives a router under full load one configuration after the other, by SIGHUP and by command, with bad ones in
// between. No connection may be closed, nothing be lost or come out of order, and nothing of the old ones stay behind.
func Reload(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "reload"}
	l, err := e.reloading(ctx, r)
	if err != nil {
		return r, err
	}
	defer l.close()
	return r, l.run(ctx)
}

// reloading is a router, its destinations and the load, while configurations take turns.
type reloading struct {
	*setup
	r                 *Report
	side, main, extra *sink.Sink
	listener          string  // an address that some configurations have
	l                 *sender // over the address that all have
	guest             *sender // over the other, while its address comes and goes; nil: not yet
	done              uint64  // reloads that were asked for
	failed            uint64  // those that had to fail
	streams           int     // numbers of l's streams are below
}

func (e *Env) reloading(ctx context.Context, r *Report) (_ *reloading, err error) {
	l := &reloading{r: r}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, s := range []**sink.Sink{&l.side, &l.main, &l.extra} {
		if *s, err = sink.Start(sink.Config{}); err != nil {
			return nil, err
		}
	}
	if l.setup, err = e.place(); err != nil {
		return nil, err
	}
	if l.listener, err = router.FreeAddr(); err != nil {
		return nil, err
	}
	l.cfg.YAML = l.yaml(shape{})
	if _, err = l.start(ctx); err != nil {
		return nil, err
	}
	cfg := load.Config{Addr: l.cfg.Listen, Conns: 6, Ack: true, NoReconnect: true, SubSecond: true, Rate: e.Rate}
	l.streams = cfg.Conns
	l.l, err = send(ctx, cfg)
	return l, err
}

func (l *reloading) close() {
	for _, s := range []*sender{l.l, l.guest} {
		if s != nil {
			s.cut()
		}
	}
	if l.setup != nil {
		l.setup.close()
	}
	for _, s := range l.sinks() {
		if s != nil {
			_ = s.Close()
		}
	}
}

func (l *reloading) sinks() []*sink.Sink { return []*sink.Sink{l.side, l.main, l.extra} }

func (l *reloading) run(ctx context.Context) error {
	pause(ctx, l.e.span(5*time.Second, 200*time.Millisecond)) // warm up
	if err := l.rounds(ctx, "warm up", l.hangup, len(shapes())/2); err != nil {
		return err
	}
	before, err := l.sample(ctx)
	if err != nil {
		return err
	}
	conns := l.side.Counts().Conns
	quiet := func() error { pause(ctx, l.e.span(10*time.Second, 500*time.Millisecond)); return nil }
	n := int(l.e.scaled(100, float64(len(shapes()))))
	for _, p := range []struct {
		name string
		do   func() error
	}{
		{"before", quiet},
		{"SIGHUPs", func() error { return l.rounds(ctx, "SIGHUPs", l.hangup, n) }},
		{"commands", func() error { return l.rounds(ctx, "commands", l.command, n) }},
		{"after", quiet},
	} {
		l.e.Say("reload: %s", p.name)
		if err := l.phase(p.name, p.do); err != nil {
			return err
		}
	}
	after, err := l.sample(ctx)
	if err != nil {
		return err
	}
	l.compare(before, after)
	l.r.must(l.side.Counts().Conns == conns, "what no configuration touches was connected %d times anew", l.side.Counts().Conns-conns)
	return l.settle(ctx)
}

// phase measures while do runs.
func (l *reloading) phase(name string, do func() error) error {
	l.l.ResetStalls()
	sent, acks, lat := l.l.Acked(), l.l.Stats().AckTimes, l.latency()
	m := startMeter(l.router.PID())
	if err := do(); err != nil {
		return err
	}
	u, stats, now := m.stop(), l.l.Stats(), l.latency()
	took, n := u.took.Seconds(), l.l.Acked()-sent
	r := l.r
	add(r, name, "acked", float64(n)/took, "1/s")
	add(r, name, "events per CPU second", u.perCPU(n), "1/s")
	ack := stats.AckTimes.Sub(&acks)
	r.time(name, "ack p99", ack.Quantile(0.99))
	r.time(name, "ack max", ack.Max())
	late := now.Sub(&lat)
	r.time(name, "latency p99", late.Quantile(0.99))
	r.time(name, "longest client write", stats.Longest())
	r.mebi(name, "RssAnon peak", u.peak.RSSAnon)
	add(r, name, "CPU of others", u.others, "cores")
	r.must(stats.Longest() < time.Second, "%s: a client's write was blocked for %v; %s", name, stats.Longest(), u.disturbance())
	r.must(stats.Reconnects == 0 && stats.LastError == "", "%s: a client was cut off: %s", name, stats.LastError)
	return nil
}

func (l *reloading) latency() (all hist.Hist) {
	for _, s := range l.sinks() {
		h := s.Latency()
		all.Merge(&h)
	}
	return all
}

// rounds gives the router n configurations, each of which must come to its end as it should. The last is the first one
// again.
func (l *reloading) rounds(ctx context.Context, name string, reload func(context.Context) (router.Reloaded, error), n int) error {
	var took []float64
	all := shapes()
	for i := range n + 1 {
		v := all[i%len(all)]
		if i == n {
			v = all[0]
		}
		if err := l.router.Rewrite(l.yaml(v)); err != nil {
			return err
		}
		begin := time.Now()
		res, err := reload(ctx)
		if err != nil {
			return fmt.Errorf("%s, %q: %w", name, v.name, err)
		}
		took = append(took, float64(time.Since(begin).Microseconds())/1000)
		l.done++
		if v.bad != "" {
			l.failed++
		}
		l.r.must(res.OK == (v.bad == ""), "%s: configuration %q: ok %t, %s", name, v.name, res.OK, oneLine(res.Error))
		if v.bad == "" {
			l.visit(ctx, v)
		}
		if !pause(ctx, reloadPause) {
			return ctx.Err()
		}
	}
	add(l.r, name+", each", "reloads", len(took), "")
	add(l.r, name+", each", "took, median", median(took), "ms")
	add(l.r, name+", each", "took at most", slices.Max(took), "ms")
	return nil
}

// hangup sends SIGHUP and waits until the router says that it has tried.
func (l *reloading) hangup(ctx context.Context) (router.Reloaded, error) {
	if err := l.router.Hangup(); err != nil {
		return router.Reloaded{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	st, err := l.router.WaitStatus(ctx, func(st router.Status) bool { return st.Reload != nil && st.Reload.Count > l.done })
	if err != nil {
		return router.Reloaded{}, err
	}
	return *st.Reload, nil
}

// command runs firebreak reload, which says by its exit code what has become of it.
func (l *reloading) command(ctx context.Context) (router.Reloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ok, said, err := l.router.Reload(ctx)
	return router.Reloaded{OK: ok, Error: said}, err
}

// visit sees whether the other address is there when it should be. The first time, somebody stays.
func (l *reloading) visit(ctx context.Context, v shape) {
	c, err := net.DialTimeout("tcp", l.listener, 5*time.Second)
	if err == nil {
		_ = c.Close()
	}
	l.r.must((err == nil) == v.listener, "configuration %q: connecting to the other address: %v", v.name, err)
	if err != nil || l.guest != nil {
		return
	}
	guest, err := send(ctx, load.Config{Addr: l.listener, Conns: 1, Kinds: []load.Kind{load.Access}, Ack: true, NoReconnect: true, SubSecond: true, Rate: 1000,
		FirstStream: l.streams, Tag: func(int, load.Kind) string { return "docker.guest" }})
	if err != nil {
		l.r.must(false, "send to the other address: %v", err)
		return
	}
	l.guest = guest
}

// settle names the extra destination once more, so that it delivers what is left, and compares everything.
func (l *reloading) settle(ctx context.Context) error {
	r, name := l.r, "in the end"
	l.l.finish(30 * time.Second)
	senders := []*sender{l.l}
	if r.must(l.guest != nil, "nobody came to the other address"); l.guest != nil {
		l.guest.finish(30 * time.Second)
		senders = append(senders, l.guest)
	}
	if err := l.router.Rewrite(l.yaml(shape{extra: true})); err != nil {
		return err
	}
	if _, err := l.hangup(ctx); err != nil {
		return err
	}
	l.done++
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	st, err := l.drained(limit)
	if err != nil {
		return err
	}
	r.must(st.Reload.Count == l.done && st.Reload.Failed == l.failed, "%s: %d reloads of which %d had to fail; the status says %d and %d", name, l.done, l.failed, st.Reload.Count, st.Reload.Failed)
	var sent uint64
	for _, s := range senders {
		stats := s.Stats()
		sent += stats.Sent
		r.must(stats.Acked == stats.Sent && stats.BadAcks == 0 && stats.Reconnects+stats.DialErrors == 0, "%s: %d events were sent, %d acked, %d acks that nobody waited for; %d connections anew, %d dials failed: %s",
			name, stats.Sent, stats.Acked, stats.BadAcks, stats.Reconnects, stats.DialErrors, stats.LastError)
	}
	add(r, name, "reloads", l.done, "")
	add(r, name, "of them refused", l.failed, "")
	add(r, name, "sent", sent, "events")
	l.arrived(name, senders)
	l.ledgers(name, st, sent)
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
