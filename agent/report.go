package agent

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// report says every minute what somebody should know: one line per destination that isn't well, and that another
// configuration runs than the one asked for.
func (a *Agent) report(ctx context.Context) {
	a.warnVolume()
	shed := make([]uint64, len(a.dests))
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if a.degraded != "" {
			a.log.Error("the last configuration that worked runs, not the one given", zap.String("reason", a.degraded))
		}
		for i, d := range a.dests {
			s := d.Stats()
			total := uint64(0)
			for _, n := range s.Buffer.Shed {
				total += n
			}
			if s.Breaker != "closed" || s.Buffer.Volatile || total != shed[i] {
				a.log.Warn("destination is not well", zap.String("destination", s.Name), zap.String("breaker", s.Breaker),
					zap.String("error", s.Error), zap.Uint64("buffered_events", s.Buffer.Buffered), zap.Int64("buffered_bytes", s.Buffer.Bytes),
					zap.Uint64("shed_events", total), zap.Bool("volatile", s.Buffer.Volatile), zap.String("problem", s.Buffer.Problem))
			}
			shed[i] = total
		}
	}
}
