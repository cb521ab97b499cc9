//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// startSink starts an aggregator with a fault.
func startSink(t *testing.T, cfg sink.Config, fault sink.Mode) *sink.Sink {
	t.Helper()
	s, err := sink.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if fault != sink.OK {
		set(t, s, fault)
	}
	return s
}

func set(t *testing.T, s *sink.Sink, fault sink.Mode) {
	t.Helper()
	if err := s.Set(sink.Fault{Mode: fault}); err != nil {
		t.Fatal(err)
	}
}

// complete waits until n events are in s, and fails the test if one is out of order or unreadable.
func complete(t *testing.T, s *sink.Sink, n uint64, timeout time.Duration) {
	t.Helper()
	if err := s.WaitEvents(within(t, timeout), n); err != nil {
		t.Fatalf("%d events of %d: %v", s.Counts().Events, n, err)
	}
	inOrder(t, s)
}

func inOrder(t *testing.T, s *sink.Sink) {
	t.Helper()
	if c := s.Counts(); c.Disorder > 0 || c.Invalid > 0 {
		t.Errorf("%d out of order (%s), %d invalid (%s)", c.Disorder, c.FirstDisorder, c.Invalid, c.FirstInvalid)
	}
}

// runLoad sends in the background. finish stops it and waits for its last acks.
func runLoad(t *testing.T, cfg load.Config) (l *load.Load, finish func()) {
	t.Helper()
	l, err := load.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 10*time.Minute)
	done := make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	return l, func() {
		t.Helper()
		l.Stop()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("the load isn't acked 30 s after its end: %+v", l.Stats())
		}
	}
}

// sent returns the sent streams of a kind, and how many events they have.
func sent(l *load.Load, k load.Kind) (streams []load.Stream, n uint64) {
	for _, s := range l.Streams() {
		if s.Kind == k {
			streams = append(streams, s)
			n += s.Sent
		}
	}
	return streams, n
}

// missingOf returns how many of the events [0, n) of a stream are not in s, and the first of them.
func missingOf(s *sink.Sink, stream int, n uint64) (count, first uint64) {
	for i, r := range s.Missing(stream, line.Range{To: n}) {
		if i == 0 {
			first = r.From
		}
		count += r.Len()
	}
	return count, first
}
