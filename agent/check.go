package agent

import (
	"context"
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
	pool := destination.NewPool()
	sinks := map[string]router.Sink{}
	for _, c := range cfg.Outputs {
		sinks[c.Name] = nil
		out, err := openOutput(&c, outputs.Env{Name: c.Name, Log: zap.NewNop(), Host: "localhost", Work: pool.Do})
		if err != nil {
			wrong(c.Pos, fmt.Errorf("outputs.%s: %w", c.Name, err))
			continue
		}
		_ = out.Close(context.Background()) // it has done nothing yet
	}
	if _, err := router.New(cfg.Processors, cfg.Routes, sinks); err != nil {
		wrong(config.Pos{}, err)
	}
	if len(problems) > 0 {
		return &config.Errors{Problems: problems}
	}
	return nil
}
