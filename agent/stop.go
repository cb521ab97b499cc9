package agent

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/firebreak/firebreak/buffer"
)

// Parts of the shutdown deadline, counted from its end. What isn't back by then hangs, and is left alone.
const (
	endOfDelivery = time.Second            // requests under way are cut off
	endOfRequests = 600 * time.Millisecond // what is cut off has returned
	endOfClosing  = 200 * time.Millisecond // files are synced and closed
	endOfAdmin    = 100 * time.Millisecond // from the end of all that: for who asks just now
)

// reloadPatience is how long a shutdown waits for a reload under way.
const reloadPatience = 2 * time.Second

// A patience says how long a shutdown waits for what may be in vain.
type patience struct {
	failing time.Duration // for a destination whose last attempt failed
	killed  time.Duration // for each step, after a second signal
}

func defaultPatience() patience { return patience{failing: 3 * time.Second, killed: 2 * time.Second} }

// stop ends the inputs, lets the destinations deliver, and closes everything, within the deadline of the shutdown.
func (a *Agent) stop(stopDelivery func()) {
	asked := time.Now()
	a.phase.set(stoppingPhase)
	if !a.await(a.reloads.end, asked.Add(reloadPatience)) {
		a.log.Error("a reload hangs: it is left alone")
	}
	s := a.now.Load()
	deadline := asked.Add(s.cfg.Shutdown.Deadline)
	a.log.Info("shutting down: intake goes on until it is quiet; a second signal stops it now", zap.Duration("quiet", s.cfg.Shutdown.Quiet), zap.Duration("deadline", s.cfg.Shutdown.Deadline))
	for _, d := range s.dests {
		d.Drain()
	}
	unhook := context.AfterFunc(a.kill, func() { // the second signal
		a.log.Warn("asked again: stopping now")
		for _, in := range s.ins {
			in.in.Stop()
		}
	})
	defer unhook()

	// Inputs end by themselves, 3 s before the deadline at the latest.
	if !a.await(a.life.receiving.Wait, deadline.Add(-endOfDelivery)) {
		a.log.Error("an input hangs: what it has not acknowledged is left to its peers")
	}
	a.awaitDelivery(s.dests, deadline)
	stopDelivery()
	for _, d := range s.dests {
		a.await(func() { <-d.ended }, deadline.Add(-endOfRequests))
	}
	var closing sync.WaitGroup
	for _, d := range s.dests {
		closing.Go(func() { a.closeTarget(d, deadline.Add(-endOfClosing)) })
	}
	closing.Wait()
	a.await(a.life.aside.Wait, deadline.Add(-endOfClosing))
	last := time.Now().Add(endOfAdmin)
	if deadline.Before(last) {
		last = deadline
	}
	a.await(func() { a.page().stop(last) }, last.Add(endOfAdmin))
	a.reloads.retiring.Wait()
	a.lock.release()
	a.log.Info("stopped", zap.Duration("took", time.Since(asked)))
}

// await waits until f returns, at most until the given time, and not long after a second signal. It reports whether f
// has returned.
func (a *Agent) await(f func(), until time.Time) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-a.kill.Done():
		t.Reset(min(time.Until(until), a.patience.killed))
		select {
		case <-done:
		case <-t.C:
		}
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// awaitDelivery waits until every destination is empty or has no hope. One whose breaker is not closed isn't waited
// for, and one whose attempts fail only for a moment.
func (a *Agent) awaitDelivery(dests []*target, deadline time.Time) {
	ctx, cancel := context.WithDeadline(a.kill, deadline.Add(-endOfDelivery))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	failing := make([]time.Time, len(dests)) // since when
	delivered := make([]uint64, len(dests))
	for {
		waiting := false
		for i, d := range dests {
			s := d.Stats()
			if s.Error == "" || s.Buffer.Delivered != delivered[i] {
				failing[i] = time.Time{}
			} else if failing[i].IsZero() {
				failing[i] = time.Now()
			}
			delivered[i] = s.Buffer.Delivered
			hope := s.Breaker == "closed" && (failing[i].IsZero() || time.Since(failing[i]) < a.patience.failing)
			waiting = waiting || hope && s.Buffer.Buffered > 0
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

// closeTarget closes a destination, says what is left in it, and returns how many events are lost that were in memory.
// What hangs is left alone: everything that was acknowledged while the disk worked is there already.
func (a *Agent) closeTarget(d *target, limit time.Time) (lost uint64) {
	before := d.Stats().Buffer.Shed[buffer.ReasonShutdown]
	level := zapcore.InfoLevel
	fields := []zap.Field{zap.String("destination", d.Name())}
	select {
	case <-d.ended:
		ctx, cancel := context.WithDeadline(context.Background(), limit)
		defer cancel()
		var err error
		closed := a.await(func() {
			err = d.Close(ctx)
			_ = d.dead.Close()
		}, limit)
		if !closed {
			level, fields = zapcore.ErrorLevel, append(fields, zap.String("error", "its disk hangs"))
		} else if err != nil {
			level, fields = zapcore.ErrorLevel, append(fields, zap.Error(err))
		}
	default:
		level, fields = zapcore.ErrorLevel, append(fields, zap.String("error", "a request hangs"))
	}
	s := d.Stats().Buffer
	lost = s.Shed[buffer.ReasonShutdown] - before
	if s.Volatile && d.cfg.Buffer.Type == "disk" && s.Buffered > 0 || lost > 0 {
		level = max(level, zapcore.WarnLevel)
	}
	fields = append(fields, zap.Uint64("left_events", s.Buffered), zap.Int64("left_bytes", s.Bytes),
		zap.Uint64("delivered_events", s.Delivered), zap.Bool("volatile", s.Volatile))
	if lost > 0 {
		fields = append(fields, zap.Uint64("lost_events", lost))
	}
	a.log.Log(level, "destination closed", fields...)
	return lost
}
