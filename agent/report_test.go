package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Each minute the log says what somebody should know, and nothing about what is well.
func TestReportsEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		a := fullAgent(t)
		a.log, a.reloads.degraded, a.lock.dir = log.logger(), "bad.yaml:1:1: wrong", t.TempDir()
		s := a.now.Load()
		s.dests[0].cfg.Buffer.Type = "disk" // and volatile
		well := *s.dests[0]
		cfg := *well.cfg
		cfg.Buffer.Type = "memory" // volatile, as it should be
		well.cfg = &cfg
		s.dests = append(s.dests, &well)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { a.report(ctx); close(done) }()
		time.Sleep(2*time.Minute + 30*time.Second)
		cancel()
		<-done
		a.lock.release()
		if n := len(log.lines(t, "the last configuration that ran is used, not the one given")); n != 3 {
			t.Errorf("%d lines about the configuration, want one at the start and two later", n)
		}
		if n := len(log.lines(t, "destination is not well")); n != 2 {
			t.Errorf("%d lines about the destination, want 2:\n%s", n, log)
		}
	})
}
