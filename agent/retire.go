package agent

import (
	"fmt"
	"time"
)

// retirePatience is how long what a reload removes is waited for before it is closed all the same: appends that wait
// for room in a buffer that nobody names any more.
const retirePatience = 3 * time.Second

// retire ends what the new setup doesn't name any more.
func (a *Agent) retire(t *transition) {
	for _, in := range t.removedIns {
		in.stop() // its connections end when they are quiet
	}
	idle := a.awaitIdle(t.old, retirePatience)
	if idle {
		a.tally.fold(t.old, a.now.Load)
	} else {
		a.reloads.retiring.Go(func() { // an append waits for room
			if a.awaitIdle(t.old, 0) {
				a.tally.fold(t.old, a.now.Load)
			}
		})
	}
	for _, d := range t.removedDests {
		d.removed.Store(true)
		end := a.replays.take(d.Name(), retirePatience)
		left := a.closeRemoved(d)
		if end != nil {
			end()
		}
		t.note("output %s removed%s", d.Name(), left)
	}
	if len(t.removedDests) == 0 || !idle && !a.awaitIdle(t.old, time.Second) {
		return
	}
	for _, d := range t.removedDests {
		if n := d.unstored.Load(); n > 0 {
			t.note("up to %d events that were on their way to %s are dropped: it had no room for them", n, d.Name())
		}
	}
}

// awaitIdle waits until no call of Accept goes through a setup, at most for the given time; 0: until the agent stops.
func (a *Agent) awaitIdle(s *setup, patience time.Duration) bool {
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.users.Load() > 0 {
		if patience > 0 && time.Since(began) > patience {
			return false
		}
		select {
		case <-tick.C:
		case <-a.life.ctx.Done():
			return false
		}
	}
	return true
}

// closeRemoved closes a destination that is not configured any more, and says what is left of it.
func (a *Agent) closeRemoved(d *target) string {
	d.Drain()
	if d.cfg.Buffer.Type == "memory" {
		a.awaitEmpty(d, retirePatience)
	}
	d.Leave()
	select {
	case <-d.ended:
	case <-time.After(retirePatience + time.Second): // the grace of requests under way, and what they need to end
	case <-a.life.ctx.Done():
	}
	d.stop()
	limit := time.Now().Add(retirePatience)
	if !a.await(func() { <-d.ended }, limit) {
		go func() { // a request hangs: until it returns, the buffer stays open, and no other output can have it
			<-d.ended
			a.closeTarget(d, time.Now().Add(retirePatience))
		}()
	}
	lost := a.closeTarget(d, limit.Add(time.Second))
	s := d.Stats().Buffer
	text := ""
	if s.Buffered > 0 && d.cfg.Buffer.Type == "disk" {
		text = fmt.Sprintf(": %d events stay in %s; deliver them with: %s", s.Buffered, a.bufferDir(d.Name()), replayCommand(d.Name()))
		if s.Volatile {
			text += "; its disk hangs, and those that it doesn't take before the router ends are lost"
		}
	}
	if lost > 0 {
		text += fmt.Sprintf(": %d events that were in its memory are lost", lost)
	}
	return text
}

// awaitEmpty gives a destination in memory a moment to deliver what it has.
func (a *Agent) awaitEmpty(d *target, patience time.Duration) {
	limit := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(limit) {
		if s := d.Stats(); s.Buffer.Buffered == 0 || s.Breaker != "closed" {
			return
		}
		select {
		case <-tick.C:
		case <-a.life.ctx.Done():
			return
		}
	}
}
