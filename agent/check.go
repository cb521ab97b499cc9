package agent

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/router"
)

// Check builds what the configuration names as far as that needs no network and no listening: what a tree of valid
// values can still have wrong. Its error is a *config.Errors with all problems.
func Check(cfg *config.Config) error {
	var problems []config.Problem
	wrong := func(pos config.Pos, err error) {
		problems = append(problems, config.Problem{File: cfg.Path, Pos: pos, Message: err.Error()})
	}
	for _, c := range cfg.Inputs {
		if in, err := openInput(c, inputEnv{name: c.Name, log: zap.NewNop(), shutdown: cfg.Shutdown}); err != nil {
			wrong(c.Pos, fmt.Errorf("inputs.%s: %w", c.Name, err))
		} else {
			in.Close()
		}
	}
	p := parts{pool: destination.NewPool(), log: zap.NewNop(), host: "localhost"}
	for _, c := range cfg.Outputs {
		out, err := p.output(&c)
		if err != nil {
			wrong(c.Pos, fmt.Errorf("outputs.%s: %w", c.Name, errors.Unwrap(err)))
			continue
		}
		_ = out.Close(context.Background()) // it has done nothing yet
	}
	if err := routable(cfg); err != nil {
		wrong(config.Pos{}, err)
	}
	if len(problems) > 0 {
		return &config.Errors{Problems: problems}
	}
	return nil
}

// Verify lists what outputs need of this host and don't find, such as files with certificates: their destinations would
// hold their events, and the others run. It may read files.
func Verify(cfg *config.Config) []config.Problem {
	var list []config.Problem
	p := parts{pool: destination.NewPool(), log: zap.NewNop(), host: "localhost"}
	for i := range cfg.Outputs {
		c := &cfg.Outputs[i]
		out, err := p.output(c)
		if err != nil {
			continue // Check says so
		}
		if v, ok := out.(outputs.Verifier); ok {
			if err := v.Verify(); err != nil {
				list = append(list, config.Problem{File: cfg.Path, Pos: c.Pos, Message: fmt.Sprintf("outputs.%s: %v", c.Name, err)})
			}
		}
		_ = out.Close(context.Background()) // it has done nothing yet
	}
	return list
}

// routable says whether processors and routes can be compiled.
func routable(cfg *config.Config) error {
	sinks := map[string]router.Sink{}
	for _, c := range cfg.Outputs {
		sinks[c.Name] = nil
	}
	if _, err := router.New(cfg.Processors, cfg.Routes, sinks); err != nil {
		return fmt.Errorf("build the routes: %w", err)
	}
	return nil
}
