package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

const (
	// watchedLeast is what must be left of the speed while somebody looks.
	watchedLeast = 0.98
	// watchedPairs is the number of pairs from which on the ratios can tell.
	watchedPairs = 5
	watchedConns = 4
)

// Watched measures what those cost who look: two taps, the status page and Prometheus. One router gets the same load at
// full speed again and again, in turn with and without them, and is measured from the first event until the last has
// arrived. Two neighbours are a pair, AB BA AB …, so that a drift of the machine goes into the ratios in both directions.
func Watched(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{Scenario: "watched"}
	s, err := sink.Start(sink.Config{})
	if err != nil {
		return r, err
	}
	defer s.Close()
	up, err := e.prepare(target{name: "all", addr: s.Addr(), buffer: "max_bytes: 16GiB"})
	if err != nil {
		return r, err
	}
	defer up.close()
	if _, err := up.start(ctx); err != nil {
		return r, err
	}
	w := &watchedRun{e: e, r: r, up: up, sink: s, events: e.scaled(6e6, 100_000)}
	if _, err := w.run(ctx, false); err != nil { // warm up
		return r, err
	}
	var all []reading
	var ratios []float64
	for i := range int(e.scaled(16, 2)) {
		name := fmt.Sprintf("pair %d", i+1)
		e.Say("watched: %s", name)
		pair, err := w.pair(ctx, i%2 == 1)
		if err != nil {
			return r, err
		}
		plain, watched := pair[0].perCPU(w.events), pair[1].perCPU(w.events)
		ratios = append(ratios, watched/plain)
		add(r, name, "plain, events per CPU second", plain, "1/s")
		add(r, name, "watched", watched, "1/s")
		add(r, name, "ratio", watched/plain, "")
		add(r, name, "plain, events per second", float64(w.events)/pair[0].took.Seconds(), "1/s")
		add(r, name, "watched, too", float64(w.events)/pair[1].took.Seconds(), "1/s")
		add(r, name, "CPU of others", (pair[0].others+pair[1].others)/2, "cores")
		all = append(all, pair[:]...)
	}
	w.conclude(all, ratios)
	return r, w.check(ctx)
}

// watchedRun is the router of the scenario, and what it has got so far.
type watchedRun struct {
	e       *Env
	r       *Report
	up      *setup
	sink    *sink.Sink
	events  uint64 // of one measurement
	streams []load.Stream
	sent    uint64
	seen    watched
}

// pair measures once without watchers and once with them, in this order or the other, and returns them in this one.
func (w *watchedRun) pair(ctx context.Context, watchedFirst bool) (p [2]reading, err error) {
	order := []int{0, 1}
	if watchedFirst {
		order = []int{1, 0}
	}
	for _, i := range order {
		if p[i], err = w.run(ctx, i == 1); err != nil {
			return p, err
		}
	}
	return p, nil
}

// run sends events at full speed and measures until all have arrived.
func (w *watchedRun) run(ctx context.Context, look bool) (reading, error) {
	l, err := load.New(load.Config{Addr: w.up.cfg.Listen, Conns: watchedConns, Events: w.events, FirstStream: len(w.streams)})
	if err != nil {
		return reading{}, err
	}
	if look {
		eyes, err := watch(ctx, w.up.router, &w.seen)
		if err != nil {
			return reading{}, err
		}
		defer eyes.stop()
	}
	m := startMeter(w.up.router.PID())
	l.Run(ctx)
	limit, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	w.sent += l.Sent()
	err = w.e.arrive(limit, w.sink, w.sent)
	u := m.stop()
	w.streams = append(w.streams, l.Streams()...)
	return u, err
}

// conclude tells what the pairs say together. all holds plain and watched in turn.
func (w *watchedRun) conclude(all []reading, ratios []float64) {
	const name = "all pairs"
	r := w.r
	low, high, sure := medianWithin(ratios)
	add(r, name, "pairs", len(ratios), "")
	add(r, name, "events of one measurement", w.events, "")
	var cpu time.Duration
	for _, u := range all {
		cpu += u.cpu
	}
	add(r, name, "CPU of one measurement", cpu.Seconds()/float64(len(all)), "s")
	add(r, name, "median of the ratios", median(ratios), "")
	add(r, name, "lowest", slices.Min(ratios), "")
	add(r, name, "highest", slices.Max(ratios), "")
	add(r, name, "true median from", low, "")
	add(r, name, "true median to", high, "")
	add(r, name, "sure by", 100*sure, "%")
	alike := w.alike(all)
	if len(alike) > 0 {
		add(r, name, "two alike: lowest", slices.Min(alike), "")
		add(r, name, "two alike: highest", slices.Max(alike), "")
	}
	r.must(len(ratios) < watchedPairs || high >= watchedLeast, "those who look cost %.1f %% of the events per CPU second (surely between %.1f and %.1f %%), 2 %% are promised",
		100*(1-median(ratios)), 100*(1-high), 100*(1-low))
	w.seen.report(r, "who looked")
}

// alike returns the ratios of neighbours that were both plain or both watched: what the noise alone does.
func (w *watchedRun) alike(all []reading) (out []float64) {
	for i := 2; i < len(all); i += 2 { // AB BA AB: the second of a pair and the first of the next are alike
		kind := i / 2 % 2 // watched, plain, watched …
		a, b := all[i-2+kind], all[i+kind]
		out = append(out, b.perCPU(w.events)/a.perCPU(w.events))
	}
	return out
}

// check compares what was sent with what arrived, and with the ledger.
func (w *watchedRun) check(ctx context.Context) error {
	const name = "in the end"
	lost := w.r.arrivals(name, w.sink, w.streams, allSent)
	w.r.must(len(lost) == 0, "%s: events are missing: %v", name, first(lost))
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	st, err := w.up.drained(limit)
	if err != nil {
		return err
	}
	d, _ := st.Destination("all")
	w.r.must(d.Offered == w.sent && d.Delivered == w.sent && d.Balanced(), "%s: %d events were sent, the ledger says %+v", name, w.sent, d)
	return nil
}
