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
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router"
)

// Options are what an agent needs beside its configuration.
type Options struct {
	Config   *config.Config
	Source   []byte      // text of the configuration, to be kept for a start with a bad one; nil: it isn't kept
	Log      *zap.Logger // nil: none
	Version  string
	Degraded string // why another configuration runs than the one asked for; "" when it doesn't
	// Kill, when it ends, cuts the shutdown short: stop now, still losing nothing that was acknowledged. nil: never.
	Kill context.Context
}

// An Agent is one running router.
type Agent struct {
	cfg      *config.Config
	source   []byte
	log      *zap.Logger
	version  string
	degraded string
	kill     context.Context
	started  time.Time
	patience patience

	lock   dataLock
	ins    []*input
	dests  []*target
	router *router.Router
	admin  *admin
	phase  phase

	mu       sync.Mutex
	warnings []string
}

// An input is a configured input with its own counters.
type input struct {
	name   string
	kind   string
	in     serving
	intake *router.Intake
	ended  atomic.Bool // Run has returned
}

// A target is a configured destination.
type target struct {
	*destination.Destination
	cfg   *config.Output
	dead  *deadLetters
	ended chan struct{} // closed when Run has returned
}

// New builds everything that the configuration names and starts to listen. It makes no connection, resolves no name
// but those that it is told to listen on, and waits for no disk longer than diskPatience: what can't be opened is
// retried while the rest runs. Its errors need a human.
func New(o Options) (*Agent, error) {
	a := &Agent{
		cfg: o.Config, source: o.Source, log: o.Log, version: o.Version, degraded: o.Degraded, kill: o.Kill, started: time.Now(),
		patience: defaultPatience(), lock: dataLock{dir: o.Config.DataDir},
	}
	if a.log == nil {
		a.log = zap.NewNop()
	}
	if a.kill == nil {
		a.kill = context.Background()
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if err := a.build(host); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

func (a *Agent) build(host string) error {
	attrs := record.NewAttrs(record.Attr{Key: "host", Value: host})
	for _, c := range a.cfg.Inputs {
		in, err := openInput(c, a.inputEnv(c.Name, attrs))
		if err == nil {
			err = in.Listen()
		}
		if err != nil {
			return fmt.Errorf("start input %q: %w", c.Name, err)
		}
		a.ins = append(a.ins, &input{name: c.Name, kind: c.Type, in: in})
	}
	if err := a.lockData(); err != nil {
		return err
	}
	if err := a.openDestinations(host); err != nil {
		return err
	}
	sinks := make(map[string]router.Sink, len(a.dests))
	for _, d := range a.dests {
		sinks[d.Name()] = d
	}
	var err error
	if a.router, err = router.New(a.cfg.Processors, a.cfg.Routes, sinks); err != nil {
		return fmt.Errorf("build the routes: %w", err)
	}
	for _, in := range a.ins {
		in.intake = a.router.Intake(in.name)
	}
	a.admin = newAdmin(a)
	return nil
}

// sampled is the log of the parts: of more than a few equal messages a second, most are left out.
func (a *Agent) sampled() *zap.Logger {
	return a.log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 20, 1000)
	}))
}

// Listening returns the addresses of all inputs, as a peer would write them.
func (a *Agent) Listening() []string {
	var out []string
	for _, in := range a.ins {
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
func (a *Agent) Admin() string { return a.admin.addr() }

// Run serves until ctx ends, then stops: inputs first, then the destinations, all within the shutdown deadline. It
// may be called once.
func (a *Agent) Run(ctx context.Context) error {
	deliver, stopDelivery := context.WithCancel(context.Background())
	defer stopDelivery()
	for _, d := range a.dests {
		go func() {
			defer close(d.ended)
			d.Run(deliver)
		}()
	}
	a.phase.set(running)
	a.admin.start(ctx)
	for _, p := range a.cfg.Warnings {
		a.warn(oneLine(p))
	}
	var aside, receiving sync.WaitGroup
	aside.Go(func() { a.report(ctx) })
	aside.Go(a.survey)
	aside.Go(a.keepSource)
	errs := make(chan error, len(a.ins))
	for _, in := range a.ins {
		receiving.Go(func() {
			err := in.in.Run(ctx, in.intake.Accept)
			in.ended.Store(true)
			if err != nil {
				a.log.Error("input ended", zap.String("input", in.name), zap.Error(err))
				errs <- fmt.Errorf("run input %q: %w", in.name, err)
			}
		})
	}
	<-ctx.Done()
	a.stop(stopDelivery, &receiving, &aside)
	var all error
	for len(errs) > 0 {
		all = errors.Join(all, <-errs)
	}
	return all
}

// keepSource keeps the configuration, now that it runs.
func (a *Agent) keepSource() {
	if a.source == nil || a.degraded != "" {
		return
	}
	if err := KeepConfig(a.cfg.DataDir, a.source); err != nil {
		a.log.Warn("can't keep the configuration for a start with a bad file", zap.Error(err))
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
func (a *Agent) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, in := range a.ins {
		in.in.Close()
	}
	for _, d := range a.dests {
		_ = d.Close(ctx)
	}
	a.lock.release()
}

func (a *Agent) buffers() string { return filepath.Join(a.cfg.DataDir, "buffers") }
func (a *Agent) deads() string   { return filepath.Join(a.cfg.DataDir, "dead") }
