package agent

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/router"
)

// Check builds what the configuration names as far as that needs no network and no files: what a tree of valid values
// can still have wrong.
func Check(cfg *config.Config) error {
	pool := destination.NewPool()
	sinks := map[string]router.Sink{}
	for _, c := range cfg.Outputs {
		opts, ok := c.Options.(outputs.Options)
		if !ok {
			return fmt.Errorf("build output %q: options of type %T", c.Name, c.Options)
		}
		if _, err := opts.Open(outputs.Env{Name: c.Name, Log: zap.NewNop(), Host: "localhost", Work: pool.Do}); err != nil {
			return fmt.Errorf("build output %q: %w", c.Name, err)
		}
		sinks[c.Name] = nil
	}
	if _, err := router.New(cfg.Processors, cfg.Routes, sinks); err != nil {
		return fmt.Errorf("build the routes: %w", err)
	}
	return nil
}
