// Package demo tells in one terminal why Firebreak exists: three containers log three kinds of lines, each to an
// aggregator of its own; one aggregator dies, and nothing else notices.
//
// Everything is real: the router runs from a configuration as one would write it, with buffers on disk, and whoever
// talks to whom does so over TCP sockets. The verdict comes from the numbers in the lines that the aggregators
// received.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

// Bounds of Options.Rate, in lines per second.
const (
	DefaultRate = 3000
	MinRate     = 100
	MaxRate     = 20_000
)

// Options say how to run the demo.
type Options struct {
	Out      io.Writer // the story; a terminal gets a table that is refreshed in place
	JSON     io.Writer // the summary as JSON; nil: the summary is text, on Out
	NoColour bool
	Keep     bool // keep the directory
	Rate     int  // lines per second of all containers
	Version  string
	Kill     context.Context // ends a shutdown that is under way

	pace *pacing                                        // nil: the real one
	drop func(kind, container string, line uint64) bool // an aggregator loses lines; nil: none does
}

// ErrBroken says that the promise did not hold; the summary says why.
var ErrBroken = errors.New("the promise did not hold")

// ErrInterrupted says that the story was not told to its end.
var ErrInterrupted = errors.New("interrupted")

// Run tells the story. It leaves no file behind, unless Options.Keep says so, and no goroutine. It returns early when
// ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "firebreak-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	if !o.Keep {
		defer func() {
			if e := os.RemoveAll(dir); e != nil && err == nil {
				err = fmt.Errorf("remove the demo's directory: %w", e)
			}
		}()
	}
	s := &story{pace: realPacing()}
	if o.pace != nil {
		s.pace = *o.pace
	}
	s.view = newView(o.Out, o.NoColour, os.Getenv, 3*time.Second)
	s.containers = []*container{
		{name: "web", rate: o.Rate * 50 / 100}, {name: "api", rate: o.Rate * 30 / 100}, {name: "billing", rate: o.Rate * 20 / 100},
		{name: "mailer", rate: o.Rate * 5 / 100, late: true},
	}
	if err := s.tell(ctx, o, dir); err != nil {
		if ctx.Err() == nil {
			return kept(err, dir, o)
		}
		return kept(ErrInterrupted, dir, o)
	}
	if o.Keep {
		s.sum.Directory = dir
	}
	return s.conclude(o)
}

func kept(err error, dir string, o Options) error {
	if o.Keep {
		return fmt.Errorf("%w; %s is kept", err, dir)
	}
	return err
}

// tell starts everything, runs the story, and ends everything again.
func (s *story) tell(ctx context.Context, o Options, dir string) error {
	var servers [len(kinds)]string
	for i, kind := range kinds {
		var drop func(string, uint64) bool
		if o.drop != nil {
			drop = func(container string, line uint64) bool { return o.drop(kind, container, line) }
		}
		a, err := startAggregator(kind, drop)
		if err != nil {
			return err
		}
		defer a.kill()
		s.aggs[i], servers[i] = a, a.addr
	}
	log, err := openLog(filepath.Join(dir, "router.log"))
	if err != nil {
		return err
	}
	defer log.close()
	s.warnings = log.warnings
	file := filepath.Join(dir, "firebreak.yaml")
	text := []byte(configText(filepath.Join(dir, "data"), servers, s.pace.retry, s.pace.retryMax))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	cfg, err := config.Load(file, text, agent.Kinds(), config.System())
	if err != nil {
		return err
	}
	s.router, err = agent.New(agent.Options{Config: cfg, Source: text, Log: log.Logger, Version: o.Version, Kill: o.Kill})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.router.Run(running) }()
	err = s.run(ctx)
	stop()
	if e := <-ended; e != nil && err == nil {
		err = fmt.Errorf("run the router: %w", e)
	}
	if err != nil {
		return err
	}
	s.summarise()
	return nil
}

// conclude says how it ended.
func (s *story) conclude(o Options) error {
	if o.JSON != nil {
		enc := json.NewEncoder(o.JSON)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s.sum); err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
	} else if err := s.view.print(s.sum.report(s.view.page())); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	if !s.sum.Held {
		return ErrBroken
	}
	return nil
}
