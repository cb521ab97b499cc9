// Package scenario measures the shipped binary from the outside: speed, isolation, kill -9, memory, a steady load,
// SIGTERM, the cost of who looks, an aggregator that is away with a fallback, and reloads. Each scenario is a function from an Env to a Report, for the bench command and for tests.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

// Env is what a scenario runs in.
type Env struct {
	Binary string  // of the router
	Dir    string  // for configurations and buffers, on a real disk; each router gets a directory of its own in it
	Scale  float64 // 1: minutes, enough to measure; 0.05: seconds, enough to see that it works
	Rate   float64 // events per second of the isolation scenario; 0: half of the measured maximum
	By     string  // what the routes of the isolation scenario look at: tag (the default), tags (all on each connection), record, line
	Faults []sink.Mode
	Pump   []string // command line of the minimal pump, which gets its addresses appended; nil: not compared
	Output string   // additional YAML for each output, such as `workers: 2`
	Buffer string   // YAML of the buffers, instead of each scenario's own, such as `sync: always`
	// Patience is how long a scenario waits for events when none come, before it calls them missing; 10 s.
	Patience time.Duration

	Log io.Writer // gets the routers' logs; may be nil
	Say func(format string, args ...any)
}

// A Func is a scenario. Its error says that it could not be run; what it found wrong is in the report.
type Func func(ctx context.Context, e *Env) (*Report, error)

// All returns the scenarios by name.
func All() map[string]Func {
	return map[string]Func{"speed": Speed, "isolation": Isolation, "kill": Kill, "memory": Memory, "steady": Steady, "sigterm": Sigterm,
		"watched": Watched, "fallback": Fallback, "reload": Reload}
}

// Names returns the names of all scenarios in the order in which they are run.
func Names() []string {
	return []string{"speed", "steady", "isolation", "kill", "memory", "sigterm", "watched", "fallback", "reload"}
}

// Run runs one scenario by its name.
func Run(ctx context.Context, name string, e *Env) (*Report, error) {
	f, ok := All()[name]
	if !ok {
		return nil, fmt.Errorf("run scenario %q: there are %q", name, Names())
	}
	if e.Scale <= 0 {
		e.Scale = 1
	}
	if e.Patience <= 0 {
		e.Patience = 10 * time.Second
	}
	if e.Say == nil {
		e.Say = func(string, ...any) {}
	}
	start := time.Now()
	r, err := f(ctx, e)
	if r != nil {
		r.Seconds = math.Round(time.Since(start).Seconds()*10) / 10
	}
	if err != nil && r != nil {
		r.must(false, "not finished: %v", err)
	}
	if err != nil {
		return r, fmt.Errorf("run scenario %q: %w", name, err)
	}
	return r, nil
}

// scaled returns n events of the full scale, at least the given minimum.
func (e *Env) scaled(n, least float64) uint64 { return uint64(max(n*e.Scale, least)) }

// span returns a time of the full scale, at least the given minimum.
func (e *Env) span(full, least time.Duration) time.Duration {
	return max(time.Duration(float64(full)*e.Scale), least)
}

// A setup is a configuration, and the router that runs it, which may be killed and started again.
type setup struct {
	e      *Env
	cfg    router.Config
	router *router.Router
}

// target is one destination of a setup.
type target struct {
	name   string
	match  string // of its route, YAML; "": everything
	addr   string
	buffer string // YAML of the buffer
}

// prepare makes a directory and a configuration. Retries are quick, so that healing takes seconds.
func (e *Env) prepare(targets ...target) (*setup, error) {
	s, err := e.place()
	if err != nil {
		return nil, err
	}
	y := s.head(s.cfg.Listen) + "routes:\n"
	for _, t := range targets {
		match := ""
		if t.match != "" {
			match = "match: { " + t.match + " }, "
		}
		y += fmt.Sprintf("  - { name: %s, %sto: [%s] }\n", t.name, match, t.name)
	}
	if targets[len(targets)-1].match != "" {
		y += "  - { name: rest, discard: true }\n"
	}
	y += "outputs:\n"
	for _, t := range targets {
		if e.Buffer != "" {
			t.buffer = e.Buffer
		}
		y += e.output(t.name, t.addr, t.buffer)
	}
	s.cfg.YAML = y
	return s, nil
}

// place finds a directory and addresses for a router. Its configuration is still missing.
func (e *Env) place() (*setup, error) {
	dir, err := os.MkdirTemp(e.Dir, "firebreak-bench-")
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	listen, err1 := router.FreeAddr()
	admin, err2 := router.FreeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &setup{e: e, cfg: router.Config{Binary: e.Binary, Dir: dir, DataDir: filepath.Join(dir, "data"), Listen: listen, Admin: admin, Log: e.Log}}, nil
}

// head is the YAML of a configuration up to its inputs.
func (s *setup) head(listen ...string) string {
	for i := range listen {
		listen[i] = `"tcp://` + listen[i] + `"`
	}
	return fmt.Sprintf("data_dir: %s\nadmin: %s\ninputs:\n  docker: { type: forward, listen: [%s] }\n", s.cfg.DataDir, s.cfg.Admin, strings.Join(listen, ", "))
}

// output is the YAML of one output, with other options of it behind.
func (e *Env) output(name, addr, buffer string) string {
	y := fmt.Sprintf("  %s:\n    type: forward\n    servers: [\"%s\"]\n    ack_timeout: 3s\n    retry: { initial: 100ms, max: 2s }\n    buffer: { %s }\n", name, addr, buffer)
	if e.Output != "" {
		y += "    " + e.Output + "\n"
	}
	return y
}

// start starts the router and returns the time from exec to the first accepted connect.
func (s *setup) start(ctx context.Context) (time.Duration, error) {
	r, err := router.Start(s.cfg)
	if err != nil {
		return 0, err
	}
	s.router = r
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return r.Ready(ctx)
}

// close ends the router and removes its files.
func (s *setup) close() {
	if s.router != nil {
		s.router.Kill()
	}
	_ = os.RemoveAll(s.cfg.Dir)
}

// status returns the status, waiting until the admin port answers.
func (s *setup) status(ctx context.Context) (router.Status, error) {
	return s.router.WaitStatus(ctx, func(router.Status) bool { return true })
}

// drained waits until nothing is buffered any more.
func (s *setup) drained(ctx context.Context, names ...string) (router.Status, error) {
	return s.router.WaitStatus(ctx, func(st router.Status) bool {
		for _, d := range st.Destinations {
			if d.Buffered > 0 && (len(names) == 0 || slices.Contains(names, d.Name)) {
				return false
			}
		}
		return len(st.Destinations) > 0
	})
}

// reopened waits until the destination knows again what it was offered before a restart. False: it has forgotten.
func (s *setup) reopened(ctx context.Context, name string) (router.Destination, bool) {
	ctx, cancel := context.WithTimeout(ctx, s.e.Patience)
	defer cancel()
	st, err := s.router.WaitStatus(ctx, func(st router.Status) bool {
		d, _ := st.Destination(name)
		return d.Offered > 0
	})
	d, _ := st.Destination(name)
	return d, err == nil
}

// A sender is a load that runs in the background.
type sender struct {
	*load.Load
	cancel context.CancelFunc
	done   chan struct{}
}

func send(ctx context.Context, cfg load.Config) (*sender, error) {
	l, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &sender{Load: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		l.Run(ctx)
		close(s.done)
	}()
	return s, nil
}

// finish stops sending and waits until what was sent is written and, with acks, acked; at most for the given time.
func (s *sender) finish(limit time.Duration) {
	s.Stop()
	select {
	case <-s.done:
	case <-time.After(limit):
	}
	s.cut()
}

// cut ends the sending at once.
func (s *sender) cut() {
	s.cancel()
	<-s.done
}

// arrive waits for n different events, as long as more come now and then.
func (e *Env) arrive(ctx context.Context, s *sink.Sink, n uint64) error {
	for {
		had := s.Counts().Events
		quiet, cancel := context.WithTimeout(ctx, e.Patience)
		err := s.WaitEvents(quiet, n)
		cancel()
		if err == nil || ctx.Err() != nil || s.Counts().Events == had {
			return err
		}
	}
}

// pause returns false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
