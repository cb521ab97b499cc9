package agent

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// reportEvery is how often the log says what somebody should know.
const reportEvery = time.Minute

// report says at the start and every minute what somebody should know: one line per destination that isn't well, and
// that another configuration runs than the one asked for.
func (a *Agent) report(ctx context.Context) {
	shed := make([]uint64, len(a.dests))
	for i, d := range a.dests {
		shed[i] = sum(d.Stats().Buffer.Shed)
	}
	a.sayDegraded()
	t := time.NewTicker(reportEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		a.sayDegraded()
		a.relock()
		for i, d := range a.dests {
			s := d.Stats()
			now := sum(s.Buffer.Shed)
			volatile := s.Buffer.Volatile && d.cfg.Buffer.Type == "disk"
			if s.Breaker != "closed" || volatile || now != shed[i] {
				a.log.Warn("destination is not well", zap.String("destination", s.Name), zap.String("breaker", s.Breaker),
					zap.String("error", s.Error), zap.String("hint", s.Hint), zap.Uint64("buffered_events", s.Buffer.Buffered),
					zap.Int64("buffered_bytes", s.Buffer.Bytes), zap.Uint64("shed_events", now-shed[i]),
					zap.Bool("volatile", s.Buffer.Volatile), zap.String("problem", s.Buffer.Problem))
			}
			shed[i] = now
		}
	}
}

func (a *Agent) sayDegraded() {
	if a.degraded != "" {
		a.log.Error("the last configuration that ran is used, not the one given", zap.String("config", a.cfg.Path), zap.String("reason", a.degraded))
	}
}

func sum(m map[string]uint64) uint64 {
	total := uint64(0)
	for _, n := range m {
		total += n
	}
	return total
}
