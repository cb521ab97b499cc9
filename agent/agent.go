// Package agent wires inputs, router and destinations together, and starts and stops them in the one safe order.
//
//	start: listen ─▶ data_dir ─▶ buffers (open by themselves) ─▶ router ─▶ admin ─▶ destinations ─▶ inputs
//	stop:  inputs (accept until quiet) ─▶ destinations (drain) ─▶ buffers ─▶ admin
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
)

// Options are what an agent needs beside its configuration.
type Options struct {
	Config   *config.Config
	Source   []byte      // text of the configuration, to be kept for a start with a bad one; nil: it isn't kept
	Log      *zap.Logger // nil: none
	Version  string
	Degraded string // why another configuration runs than the one asked for; "" when it doesn't
	// Load reads the configuration anew, for a reload; source as Source. nil: there is nothing to reload.
	Load func() (cfg *config.Config, source []byte, err error)
	// Applied is called with a configuration that a reload has put in place. nil: nobody wants to know.
	Applied func(*config.Config)
	// Kill, when it ends, cuts the shutdown short: stop now, still losing nothing that was acknowledged. nil: never.
	Kill context.Context
}

// An Agent is one running router.
type Agent struct {
	opts     Options
	log      *zap.Logger
	kill     context.Context
	started  time.Time
	patience patience
	dataDir  string
	parts    parts

	lock    dataLock
	now     atomic.Pointer[setup]
	tally   *tally
	taps    taps
	history *history
	phase   phase
	life    life
	reloads reloads
	replays replays
	sources sources
	added   int // inputs by reloads, with reloads.one

	mu       sync.Mutex
	admin    *admin
	warnings []string // about the configuration as it is here
	orphans  []Orphan
}

// life is what runs between the start and the stop.
type life struct {
	ctx       context.Context // of inputs
	deliver   context.Context // of destinations
	receiving sync.WaitGroup
	aside     sync.WaitGroup

	mu  sync.Mutex
	err error
}

// New builds everything that the configuration names and starts to listen. It makes no connection, resolves no name
// but those that it is told to listen on, and waits for no disk longer than diskPatience: what can't be opened is
// retried while the rest runs. Its errors need a human.
func New(o Options) (*Agent, error) {
	a := newAgent(o)
	s := &setup{cfg: o.Config}
	if err := a.build(s); err != nil {
		a.abandon(s)
		return nil, err
	}
	a.now.Store(s)
	a.admin = newAdmin(a, s.cfg.Admin)
	return a, nil
}

func newAgent(o Options) *Agent {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	a := &Agent{
		opts: o, log: o.Log, kill: o.Kill, started: time.Now(), dataDir: o.Config.DataDir,
		patience: defaultPatience(), lock: dataLock{dir: o.Config.DataDir}, tally: newTally(), history: newHistory(),
		parts: parts{pool: destination.NewPool(), log: sampled(o.Log), host: hostName()},
	}
	a.reloads.degraded = o.Degraded
	if a.kill == nil {
		a.kill = context.Background()
	}
	return a
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return host
}

func (a *Agent) build(s *setup) error {
	for _, c := range s.cfg.Inputs {
		in, err := a.openInputOf(c, s.cfg)
		if err != nil {
			return err
		}
		s.ins = append(s.ins, in)
	}
	if err := a.lockData(); err != nil {
		return err
	}
	for i := range s.cfg.Outputs {
		c := &s.cfg.Outputs[i]
		out, err := a.parts.output(c)
		if err != nil {
			return err
		}
		t, err := a.openTarget(c, out)
		if err != nil {
			return err
		}
		s.dests = append(s.dests, t)
	}
	for _, d := range s.dests {
		if d.cfg.Buffer.Fallback != "" {
			d.Change(s.settingsOf(d.cfg, nil))
		}
	}
	if err := s.connect(); err != nil {
		return fmt.Errorf("build the routes: %w", err)
	}
	return nil
}

// sampled is the log of the parts: of more than a few equal messages a second, most are left out.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 20, 1000)
	}))
}

// Listening returns the addresses of all inputs, as a peer would write them.
func (a *Agent) Listening() []string {
	var out []string
	for _, in := range a.now.Load().ins {
		out = append(out, in.addresses()...)
	}
	return out
}

func (in *input) addresses() []string {
	var out []string
	for _, addr := range in.in.Addrs() {
		out = append(out, addr.Network()+"://"+addr.String())
	}
	return out
}

// Admin returns the address of the admin port, or "".
func (a *Agent) Admin() string { return a.page().addr() }

func (a *Agent) page() *admin {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admin
}

// Run serves until ctx ends, then stops: inputs first, then the destinations, all within the shutdown deadline. It
// may be called once.
func (a *Agent) Run(ctx context.Context) error {
	deliver, stopDelivery := context.WithCancel(context.Background())
	defer stopDelivery()
	a.life.ctx, a.life.deliver = ctx, deliver
	s := a.now.Load()
	for _, d := range s.dests {
		a.startTarget(d)
	}
	a.page().start(ctx)
	a.warnAll(s.cfg)
	for _, in := range s.ins {
		a.startInput(in)
	}
	if a.reloads.why() == "" {
		a.sources.set(a.opts.Source)
	}
	a.phase.set(running) // from here on it may be reloaded
	for _, f := range []func(context.Context){a.report, a.survey, func(context.Context) { a.keepSource() }, a.remember} {
		a.life.aside.Go(func() { f(ctx) })
	}
	a.life.aside.Go(func() { a.control(deliver) }) // whoever waits for a shutdown wants to see what it waits for
	<-ctx.Done()
	a.stop(stopDelivery)
	a.life.mu.Lock()
	defer a.life.mu.Unlock()
	return a.life.err
}

// startTarget lets a destination deliver.
func (a *Agent) startTarget(d *target) {
	ctx, stop := context.WithCancel(a.life.deliver)
	d.stop = stop
	go func() {
		defer close(d.ended)
		d.Run(ctx)
	}()
}

// startInput lets an input receive, until it or all of them are told to stop.
func (a *Agent) startInput(in *input) {
	ctx, stop := context.WithCancel(a.life.ctx)
	in.stop = stop
	a.life.receiving.Go(func() {
		defer close(in.done)
		err := in.in.Run(ctx, a.accept(in))
		in.ended.Store(true)
		if err != nil {
			a.log.Error("input ended", zap.String("input", in.name), zap.Error(err))
			a.life.mu.Lock()
			a.life.err = errors.Join(a.life.err, fmt.Errorf("run input %q: %w", in.name, err))
			a.life.mu.Unlock()
		}
	})
}

// remember keeps the last hour's numbers for the status page.
func (a *Agent) remember(ctx context.Context) {
	t := time.NewTicker(historyStep)
	defer t.Stop()
	for {
		a.history.record(time.Now(), a.Status())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// keepSource keeps the configuration, now that it runs.
func (a *Agent) keepSource() {
	if err := a.sources.keep(a.dataDir); err != nil {
		a.log.Warn("can't keep the configuration for a start with a bad file", zap.Error(err))
	}
}

// warnAll says what is odd about a configuration.
func (a *Agent) warnAll(cfg *config.Config) {
	for _, p := range cfg.Warnings {
		a.warn(oneLine(p))
	}
}

// warn says something about the configuration as it is here, in the log and the status.
func (a *Agent) warn(text string) {
	a.mu.Lock()
	a.warnings = append(a.warnings, text)
	a.mu.Unlock()
	a.log.Warn(text)
}

func oneLine(p config.Problem) string {
	text := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Pos.Line, p.Pos.Column, p.Message)
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// abandon closes what New had opened.
func (a *Agent) abandon(s *setup) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, in := range s.ins {
		in.in.Close()
	}
	for _, d := range s.dests {
		_ = d.Close(ctx)
	}
	a.lock.release()
}

func (a *Agent) buffers() string { return filepath.Join(a.dataDir, "buffers") }
func (a *Agent) deads() string   { return filepath.Join(a.dataDir, "dead") }
