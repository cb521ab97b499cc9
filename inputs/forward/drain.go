package forward

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"
)

// finishTime is what the end of the router needs after its intake: storing, flushing, leaving.
const finishTime = 3 * time.Second

// drain goes on serving, new connections included, until no client has sent anything for Shutdown.Quiet, or
// finishTime before the deadline, or Stop.
func (in *Input) drain() {
	began := time.Now()
	for {
		quietSince := time.Unix(0, in.last.Load())
		in.mu.Lock()
		shutdown := in.env.Shutdown
		alone := len(in.conns) == 0
		in.mu.Unlock()
		if !alone && quietSince.Before(began) {
			quietSince = began // clients that live may have something to say about the end
		}
		now := time.Now()
		end := began.Add(shutdown.Deadline - finishTime)
		wait := min(shutdown.Quiet-now.Sub(quietSince), end.Sub(now))
		if wait <= 0 {
			return
		}
		select {
		case <-in.stopping:
			return
		case <-time.After(wait):
		}
	}
}

// endConnections makes all connections end at the end of the message in hand. Those that still wait for something
// after twice stopGrace are closed; their events are not acked.
func (in *Input) endConnections(cancel context.CancelFunc) {
	by := time.Now().Add(stopGrace)
	in.mu.Lock()
	in.stopBy = by
	for c := range in.conns {
		c.stop(by)
	}
	in.mu.Unlock()
	done := make(chan struct{})
	go func() {
		in.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-time.After(2 * stopGrace):
	}
	cancel()
	in.mu.Lock()
	for c := range in.conns {
		c.raw.Close()
	}
	in.mu.Unlock()
	<-done
}

// flushHeld passes on the lines that wait for more pieces. What is not accepted and was acked stays on disk.
func (in *Input) flushHeld() {
	lines := in.join.all(brokenStop)
	if len(lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(in.work, stopGrace)
	defer cancel()
	in.work = ctx
	in.deliverLines(lines)
}

// isEnd reports whether a connection ended as connections do.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, errStopped) }

// isRefused reports whether nobody serves a socket.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
