package load

import (
	"context"
	"time"
)

// tick is how often a connection with a fixed rate looks whether something is due.
const tick = time.Millisecond

// pacer says when the next units are due.
type pacer struct {
	c        *conn
	limit    uint64        // units in all; 0: until Stop
	interval time.Duration // per unit; 0: no pause
	start    time.Time
	timer    *time.Timer
}

func newPacer(c *conn) *pacer {
	cfg := &c.load.cfg
	p := &pacer{c: c, start: cfg.Now()}
	perUnit := uint64(c.block.perUnit)
	if cfg.Events > 0 {
		per := (cfg.Events + uint64(cfg.Conns) - 1) / uint64(cfg.Conns)
		p.limit = (per + perUnit - 1) / perUnit
	}
	if cfg.Rate > 0 {
		p.interval = max(time.Duration(float64(time.Second)*float64(cfg.Conns)*float64(perUnit)/cfg.Rate), 1)
	}
	return p
}

// wait returns how many units may be written now, waiting for at least one; false when no more will come.
func (p *pacer) wait(ctx context.Context) (int, bool) {
	for {
		select {
		case <-ctx.Done():
			return 0, false
		case <-p.c.load.stop:
			if p.c.next >= p.c.sent.Load() { // what has to be sent again is, also after Stop
				return 0, false
			}
		default:
		}
		next := p.c.next
		due := next + uint64(p.c.load.cfg.Batch)
		if p.interval > 0 {
			due = min(due, uint64(p.c.load.cfg.Now().Sub(p.start)/p.interval)+1)
		}
		due = max(due, p.c.sent.Load()) // what is sent again is not paced
		if p.limit > 0 {
			due = min(due, p.limit)
			if next >= p.limit {
				return 0, false
			}
		}
		if due > next {
			return int(min(due-next, uint64(p.c.load.cfg.Batch))), true
		}
		if p.timer == nil {
			p.timer = time.NewTimer(tick)
		} else {
			p.timer.Reset(tick)
		}
		select {
		case <-p.timer.C:
		case <-ctx.Done():
			p.timer.Stop()
		}
	}
}

// stamp returns the time that unit u is said to be sent at: with a fixed rate the time that it was due, so that a
// blocked sender counts as latency.
func (p *pacer) stamp(u uint64) time.Time {
	now := p.c.load.cfg.Now()
	if p.interval == 0 {
		return now
	}
	if due := p.start.Add(time.Duration(u) * p.interval); due.Before(now) {
		return due
	}
	return now
}
