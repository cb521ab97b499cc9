// Package agent wires inputs, router and destinations together, and starts and stops them in the one safe order.
//
//	start: listen ─▶ buffers (open by themselves) ─▶ router ─▶ destinations ─▶ inputs ─▶ admin
//	stop:  inputs (accept until quiet) ─▶ destinations (drain) ─▶ buffers ─▶ admin
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router"
)

// Options are what an agent needs beside its configuration.
type Options struct {
	Config   *config.Config
	Log      *zap.Logger
	Version  string
	Degraded string // why another configuration runs than the one asked for; "" when it doesn't
	// Kill, when it ends, cuts the shutdown short: stop now, still losing nothing that was acknowledged.
	Kill context.Context
}

// An Agent is one running router.
type Agent struct {
	cfg      *config.Config
	log      *zap.Logger
	version  string
	degraded string
	kill     context.Context
	started  time.Time

	lock    *os.File
	ins     []*input
	dests   []*destination.Destination
	router  *router.Router
	admin   *admin
	phase   phase
	volumes string // warning about the volume of data_dir
}

// An input is a configured input with its own counters.
type input struct {
	name   string
	kind   string
	in     serving
	intake *router.Intake
	accept inputs.Accept
}

// New builds everything that the configuration names and starts to listen. It makes no connection, resolves no name
// and waits for no disk: what can't be opened is retried while the rest runs. Its errors need a human.
func New(o Options) (*Agent, error) {
	a := &Agent{cfg: o.Config, log: o.Log, version: o.Version, degraded: o.Degraded, kill: o.Kill, started: time.Now()}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	attrs := record.NewAttrs(record.Attr{Key: "host", Value: host})
	for _, c := range o.Config.Inputs {
		in, err := openInput(c, a.inputEnv(c.Name, attrs))
		if err == nil {
			err = in.Listen()
		}
		if err != nil {
			a.abandon()
			return nil, fmt.Errorf("start input %q: %w", c.Name, err)
		}
		a.ins = append(a.ins, &input{name: c.Name, kind: c.Type, in: in})
	}
	if err := a.lockData(); err != nil {
		a.abandon()
		return nil, err
	}
	if err := a.openDestinations(host); err != nil {
		a.abandon()
		return nil, err
	}
	sinks := make(map[string]router.Sink, len(a.dests))
	for _, d := range a.dests {
		sinks[d.Name()] = d
	}
	if a.router, err = router.New(o.Config.Processors, o.Config.Routes, sinks); err != nil {
		a.abandon()
		return nil, fmt.Errorf("build the routes: %w", err)
	}
	for _, in := range a.ins {
		in.intake = a.router.Intake(in.name)
		in.accept = in.intake.Accept
	}
	a.admin = newAdmin(a)
	return a, nil
}

// Listening returns the addresses of all inputs, as a peer would write them.
func (a *Agent) Listening() []string {
	var out []string
	for _, in := range a.ins {
		for _, addr := range in.in.Addrs() {
			out = append(out, addr.Network()+"://"+addr.String())
		}
	}
	return out
}

// Admin returns the address of the admin port, or "".
func (a *Agent) Admin() string { return a.admin.addr() }

// Run serves until ctx ends, then stops: inputs first, then the destinations, all within the shutdown deadline.
func (a *Agent) Run(ctx context.Context) error {
	deliver, stopDelivery := context.WithCancel(context.Background())
	defer stopDelivery()
	var delivering sync.WaitGroup
	for _, d := range a.dests {
		delivering.Go(func() { d.Run(deliver) })
	}
	a.admin.start()
	a.phase.set(running)
	reports, stopReports := context.WithCancel(context.Background())
	defer stopReports()
	go a.report(reports)

	var receiving sync.WaitGroup
	errs := make([]error, len(a.ins))
	for i, in := range a.ins {
		receiving.Go(func() { errs[i] = in.in.Run(ctx, in.accept) })
	}
	go func() { // the second signal
		select {
		case <-a.kill.Done():
			for _, in := range a.ins {
				in.in.Stop()
			}
		case <-deliver.Done():
		}
	}()
	<-ctx.Done()
	asked := time.Now()
	a.phase.set(stopping)
	a.log.Info("shutting down: intake goes on until it is quiet", zap.Duration("quiet", a.cfg.Shutdown.Quiet), zap.Duration("deadline", a.cfg.Shutdown.Deadline))
	for _, d := range a.dests {
		d.Drain()
	}
	end, cancel := context.WithDeadline(a.kill, asked.Add(a.cfg.Shutdown.Deadline-time.Second))
	defer cancel()
	receiving.Wait()
	a.awaitDelivery(end)
	stopDelivery()
	delivering.Wait()

	last, cancelLast := context.WithTimeout(context.Background(), max(time.Second, time.Until(asked.Add(a.cfg.Shutdown.Deadline))))
	defer cancelLast()
	var closing sync.WaitGroup
	for _, d := range a.dests {
		closing.Go(func() {
			if err := d.Close(last); err != nil {
				a.log.Error("can't close a destination cleanly", zap.String("destination", d.Name()), zap.Error(err))
			}
			left := d.Stats().Buffer
			a.log.Info("destination closed", zap.String("destination", d.Name()), zap.Uint64("left_events", left.Buffered),
				zap.Int64("left_bytes", left.Bytes), zap.Uint64("delivered_events", left.Delivered), zap.Bool("volatile", left.Volatile))
		})
	}
	closing.Wait()
	a.admin.stop(last)
	a.unlock()
	a.log.Info("stopped", zap.Duration("took", time.Since(asked)))
	return errors.Join(errs...)
}

// awaitDelivery waits until every destination is empty or has no hope before ctx ends: one whose breaker is not
// closed isn't waited for.
func (a *Agent) awaitDelivery(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := false
		for _, d := range a.dests {
			s := d.Stats()
			if s.Buffer.Buffered > 0 && (s.Breaker == "closed" && s.Error == "" || s.InFlight > 0 && s.Breaker == "closed") {
				waiting = true
			}
		}
		if !waiting {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
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
	a.unlock()
}

func (a *Agent) buffers() string { return filepath.Join(a.cfg.DataDir, "buffers") }
func (a *Agent) deads() string   { return filepath.Join(a.cfg.DataDir, "dead") }
