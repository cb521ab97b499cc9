package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

// broken is the kind whose destination fails in the isolation scenario.
const broken = load.Audit

// Isolation sends three types, by default over two connections each, to three destinations, at half of the speed that the machine
// can do. One destination fails in each of the ways that there are, for a while. The other two must not feel it, nor
// may the clients; and after the healing everything arrives at the third, once in the ledger and in order.
func Isolation(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "isolation"}
	rate := e.Rate
	if rate <= 0 {
		most, err := e.maxRate(ctx)
		if err != nil {
			return r, err
		}
		rate = most / 2
		add(r, "load", "measured maximum", most, "1/s")
	}
	add(r, "load", "offered", rate, "1/s")
	faults := e.Faults
	if len(faults) == 0 {
		faults = sink.Faults()
	}
	for _, f := range faults {
		e.Say("isolation: %s at %.0f events/s", f, rate)
		if err := e.isolate(ctx, r, sink.Fault{Mode: f}, rate); err != nil {
			return r, fmt.Errorf("fault %q: %w", f, err)
		}
	}
	return r, nil
}

// three is a router with three healthy destinations, one for each kind.
type three struct {
	*setup
	sinks map[load.Kind]*sink.Sink
}

func (e *Env) three(ctx context.Context) (*three, error) {
	t := &three{sinks: map[load.Kind]*sink.Sink{}}
	var targets []target
	for _, k := range load.Kinds() {
		s, err := sink.Start(sink.Config{})
		if err != nil {
			t.close()
			return nil, err
		}
		t.sinks[k] = s
		targets = append(targets, target{name: string(k), match: e.match(k), addr: s.Addr(), buffer: "max_bytes: 8GiB"})
	}
	up, err := e.prepare(targets...)
	if err != nil {
		t.close()
		return nil, err
	}
	t.setup = up
	if _, err := up.start(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *three) close() {
	if t.setup != nil {
		t.setup.close()
	}
	for _, s := range t.sinks {
		_ = s.Close()
	}
}

func (t *three) arrived() (n uint64) {
	for _, s := range t.sinks {
		n += s.Counts().Events
	}
	return n
}

// match returns the condition of a route for one kind.
func (e *Env) match(k load.Kind) string {
	switch e.By {
	case "record":
		return "record: { type: " + string(k) + " }"
	case "line":
		return "line: '" + k.LineRegex() + "'"
	}
	return `tag: "docker.` + string(k) + `.*"`
}

// load returns the load that goes with match. By tag it is Docker's: each connection has one tag, and one type. With
// tags, line and record each connection carries all types, event by event; with line and record under one tag.
func (e *Env) load(addr string) load.Config {
	cfg := load.Config{Addr: addr, Conns: 6, Mixed: e.By != "" && e.By != "tag", TypeKey: e.By == "record", SubSecond: true}
	if e.By == "record" || e.By == "line" {
		cfg.Tag = func(conn int, _ load.Kind) string { return fmt.Sprintf("docker.app.%04d", conn) }
	}
	return cfg
}

// maxRate returns the events per second from end to end with three healthy destinations.
func (e *Env) maxRate(ctx context.Context) (float64, error) {
	t, err := e.three(ctx)
	if err != nil {
		return 0, err
	}
	defer t.close()
	cfg := e.load(t.cfg.Listen)
	cfg.Events = e.scaled(2e6, 100_000)
	l, err := load.New(cfg)
	if err != nil {
		return 0, err
	}
	e.Say("isolation: measuring the maximum")
	begin := time.Now()
	l.Run(ctx)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for k, s := range t.sinks {
		if err := e.arrive(limit, s, l.SentOf(k)); err != nil {
			return 0, fmt.Errorf("measure the maximum: %q: %w", k, err)
		}
	}
	return float64(t.arrived()) / time.Since(begin).Seconds(), nil
}

func (e *Env) isolate(ctx context.Context, r *Report, f sink.Fault, rate float64) error {
	t, err := e.three(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	cfg := e.load(t.cfg.Listen)
	cfg.Rate = rate
	l, err := send(ctx, cfg)
	if err != nil {
		return err
	}
	defer l.cut()

	name := string(f.Mode)
	w := startWindows(t.sinks)
	defer w.stop()
	pause(ctx, e.span(2*time.Second, 500*time.Millisecond)) // warm up
	before := t.phase(ctx, r, name+" before", l, w, e.span(5*time.Second, time.Second))
	bad := t.sinks[broken]
	if err := bad.Set(f); err != nil {
		return err
	}
	during := t.phase(ctx, r, name+" during", l, w, e.span(10*time.Second, 2*time.Second))
	r.must(during.rate > 0.95*before.rate, "%s: the two healthy destinations fell from %.0f to %.0f events/s; %s", name, before.rate, during.rate, during.disturbance)
	r.must(during.latency < max(time.Second, 5*before.latency), "%s: the latency of the healthy ones rose from %v to %v; %s", name, before.latency, during.latency, during.disturbance)
	r.must(during.stall < max(time.Second, 5*before.stall), "%s: a client's write was blocked for %v; %s", name, during.stall, during.disturbance)
	st, err := t.status(ctx)
	if err != nil {
		return err
	}
	for _, d := range st.Destinations {
		r.must(d.Balanced(), "%s: the ledger of %q doesn't balance while it fails: %+v", name, d.Name, d)
	}
	if err := bad.Set(sink.Fault{}); err != nil {
		return err
	}
	caughtUp := t.catchUp(ctx, l)
	t.phase(ctx, r, name+" after", l, w, e.span(5*time.Second, time.Second))
	l.finish(30 * time.Second)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if d, ok := <-caughtUp; ok {
		r.time(name+" "+string(broken), "caught up after", d)
	}
	return t.settle(limit, r, name, l)
}

// catchUp tells how long it takes from now until what has been sent by now has arrived at the broken destination.
// Nothing comes when it takes longer than 2 minutes.
func (t *three) catchUp(ctx context.Context, l *sender) <-chan time.Duration {
	begin, target, done := time.Now(), l.SentOf(broken), make(chan time.Duration, 1)
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		if t.e.arrive(ctx, t.sinks[broken], target) == nil {
			done <- time.Since(begin)
		}
	}()
	return done
}

// felt is what the healthy destinations and the clients feel: events per second, longest latency, longest write.
type felt struct {
	rate           float64
	latency, stall time.Duration
	disturbance    string
}

// phase measures for a while.
func (t *three) phase(ctx context.Context, r *Report, name string, l *sender, w *windows, d time.Duration) felt {
	l.ResetStalls()
	w.begin()
	before := map[load.Kind]uint64{}
	hists := healthyLatency(t.sinks)
	for k, s := range t.sinks {
		before[k] = s.Counts().Events
	}
	m := startMeter(t.router.PID())
	pause(ctx, d)
	u := m.stop()
	took := u.took.Seconds()
	now := healthyLatency(t.sinks)
	h := now.Sub(&hists)
	var n, bad uint64
	for k, s := range t.sinks {
		got := s.Counts().Events - before[k]
		if k == broken {
			bad = got
		} else {
			n += got
		}
	}
	add(r, name, "healthy two", float64(n)/took, "1/s")
	add(r, name, "worst 250 ms of one", w.worst(), "1/s")
	r.latency(name, h)
	stall := l.Stats().Longest()
	r.time(name, "longest client write", stall)
	add(r, name, "broken one", float64(bad)/took, "1/s")
	add(r, name, "CPU used", u.cpu.Seconds()/took, "cores")
	add(r, name, "of others", u.others, "cores")
	add(r, name, "disk waits", u.diskWaits, "share")
	return felt{float64(n) / took, h.Max(), stall, u.disturbance()}
}

// settle waits until everything has arrived and compares the sinks with the ledger.
func (t *three) settle(ctx context.Context, r *Report, name string, l *sender) error {
	for _, k := range load.Kinds() {
		s, streams := t.sinks[k], only(l.Streams(), k)
		var sent uint64
		for _, st := range streams {
			sent += st.Sent
		}
		arrived := t.e.arrive(ctx, s, sent)
		lost := r.arrivals(name+" "+string(k), s, streams, allSent)
		r.must(len(lost) == 0, "%s: events of %q are missing: %v", name, k, arrived)
		st, err := t.router.WaitStatus(ctx, func(st router.Status) bool {
			d, ok := st.Destination(string(k))
			return ok && d.Buffered == 0
		})
		if err != nil {
			return err
		}
		d, _ := st.Destination(string(k))
		r.must(d.Offered == sent && d.Delivered == sent && d.Balanced(), "%s: %d events of %q were sent, the ledger says %+v", name, sent, k, d)
	}
	st, err := t.status(ctx)
	if err != nil {
		return err
	}
	var received uint64
	for _, in := range st.Inputs {
		received += in.Received
		r.must(in.Received == in.Routed, "%s: the input received %d and routed %d", name, in.Received, in.Routed)
	}
	r.must(received == l.Sent(), "%s: %d sent, the inputs say %d", name, l.Sent(), received)
	return nil
}
