package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/destination"
)

// reportEvery is how often the log says what somebody should know.
const reportEvery = time.Minute

// report says at the start and every minute what somebody should know: one line per destination that isn't well, and
// that another configuration runs than the one asked for.
func (a *Agent) report(ctx context.Context) {
	shed := map[string]uint64{}
	for _, d := range a.now.Load().dests {
		shed[d.Name()] = sum(d.Stats().Buffer.Shed)
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
		dests := a.now.Load().dests
		before := shed
		shed = make(map[string]uint64, len(dests))
		for _, d := range dests {
			s := d.Stats()
			now := sum(s.Buffer.Shed)
			shed[s.Name] = now
			a.reportOn(d, &s, now-min(before[s.Name], now))
		}
	}
}

func (a *Agent) reportOn(d *target, s *destination.Stats, shed uint64) {
	volatile := s.Buffer.Volatile && d.cfg.Buffer.Type == "disk"
	if s.Breaker == "closed" && !volatile && shed == 0 {
		return
	}
	a.log.Warn("destination is not well", zap.String("destination", s.Name), zap.String("breaker", s.Breaker),
		zap.String("error", s.Error), zap.String("hint", s.Hint), zap.Uint64("buffered_events", s.Buffer.Buffered),
		zap.Int64("buffered_bytes", s.Buffer.Bytes), zap.Uint64("shed_events", shed),
		zap.Bool("volatile", s.Buffer.Volatile), zap.String("problem", s.Buffer.Problem))
}

func (a *Agent) sayDegraded() {
	if why := a.reloads.why(); why != "" {
		a.log.Error("the last configuration that ran is used, not the one given", zap.String("config", a.now.Load().cfg.Path), zap.String("reason", why))
	}
}

func sum(m map[string]uint64) uint64 {
	total := uint64(0)
	for _, n := range m {
		total += n
	}
	return total
}
