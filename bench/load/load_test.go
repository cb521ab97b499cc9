package load_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/internal/mp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg sink.Config) *sink.Sink {
	t.Helper()
	s, err := sink.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func run(t *testing.T, s *sink.Sink, cfg load.Config) *load.Load {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cfg.Addr = s.Addr()
	l, err := load.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Run(ctx)
	if err := s.WaitEvents(ctx, l.Sent()); err != nil {
		t.Fatal(err)
	}
	return l
}

func checkWhole(t *testing.T, s *sink.Sink, l *load.Load) {
	t.Helper()
	for _, st := range l.Streams() {
		if m := s.Missing(st.Number, line.Range{To: st.Sent}); m != nil || s.Seen(st.Number) != st.Sent {
			t.Errorf("stream %d: %d sent, %d seen, missing %v", st.Number, st.Sent, s.Seen(st.Number), m)
		}
	}
	c := s.Counts()
	if c.Duplicates != 0 || c.Disorder != 0 || c.Foreign != 0 || c.Invalid != 0 {
		t.Errorf("%+v", c)
	}
}

func TestEveryModeArrivesWholeAndInOrder(t *testing.T) {
	for _, mode := range []load.Mode{load.Message, load.Forward, load.Packed} {
		for _, ack := range []bool{false, true} {
			for _, mixed := range []bool{false, true} {
				t.Run(fmt.Sprintf("mode=%s,ack=%v,mixed=%v", mode, ack, mixed), func(t *testing.T) {
					s := start(t, sink.Config{})
					l := run(t, s, load.Config{Mode: mode, Ack: ack, Mixed: mixed, Events: 20_000, Conns: 3, Batch: 50, SubSecond: mixed, TypeKey: ack, FirstStream: 40})
					checkWhole(t, s, l)
					if l.Sent() < 20_000 || l.Sent() > 20_000+3*50 {
						t.Errorf("sent %d, want 20000 in whole batches", l.Sent())
					}
					if st := l.Stats(); ack && (st.Acked != st.Sent || st.BadAcks != 0) || st.Writes.Count() == 0 || st.Dials.Count() != 3 {
						t.Errorf("sent %d, acked %d, bad acks %d, %d writes, %d dials", st.Sent, st.Acked, st.BadAcks, st.Writes.Count(), st.Dials.Count())
					}
				})
			}
		}
	}
}

func TestMessagesHaveTheFormOfDocker(t *testing.T) {
	seen := map[string]int{}
	s := start(t, sink.Config{Each: func(tag string, rec []byte) {
		kind := load.Kind(strings.Split(tag, ".")[1])
		pairs, at, _ := mp.MapHeader(rec)
		fields := map[string]string{}
		for range pairs {
			k, n, err1 := mp.Bytes(rec[at:])
			v, m, err2 := mp.Bytes(rec[at+n:])
			if err1 != nil || err2 != nil {
				t.Error("a key or value is not a string")
				return
			}
			fields[string(k)] = string(v)
			at += n + m
		}
		if len(fields) != 4 || len(fields["container_id"]) != 64 || fields["container_name"][0] != '/' || fields["source"] == "" {
			t.Errorf("fields %q", fields)
		}
		for _, k := range load.Kinds() {
			if regexp.MustCompile(k.LineRegex()).MatchString(fields["log"]) != (k == kind) {
				t.Errorf("the expression of %s on a line of %s: %q", k, kind, fields["log"])
			}
		}
		seen[tag]++
	}})
	l := run(t, s, load.Config{Events: 300, Conns: 2, Mixed: true, Size: 300})
	if len(seen) != 6 || seen["docker.access.0000"] < 50 {
		t.Errorf("tags %v", seen)
	}
	if size := s.Counts().Bytes / l.Sent(); size < 295 || size > 305 {
		t.Errorf("%d bytes each, want about 300", size)
	}
}

func TestRateIsKept(t *testing.T) {
	s := start(t, sink.Config{})
	begin := time.Now()
	l := run(t, s, load.Config{Rate: 20_000, Events: 10_000})
	if took := time.Since(begin); took < 480*time.Millisecond || took > 5*time.Second {
		t.Errorf("%d events took %v, want about 500 ms", l.Sent(), took)
	}
	checkWhole(t, s, l)
}

func TestWithoutReconnectAFailedConnectionEnds(t *testing.T) {
	s := start(t, sink.Config{})
	if err := s.Set(sink.Fault{Mode: sink.ResetMidStream, Bytes: 50_000}); err != nil {
		t.Fatal(err)
	}
	l, err := load.New(load.Config{Addr: s.Addr(), Conns: 1, NoReconnect: true, KeepTimes: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Run(t.Context()) // without Events or Stop: only the failure ends it
	st := l.Streams()[0]
	if st.Sent < 100 {
		t.Errorf("sent %d", st.Sent)
	}
	if _, ok := l.WrittenAt(0, st.Sent-1); !ok {
		t.Error("the time of the last event is unknown")
	}
	if _, ok := l.WrittenAt(0, st.Sent); ok {
		t.Error("an event that was not sent has a time")
	}
}

func TestABlockedWriteIsMeasured(t *testing.T) {
	s := start(t, sink.Config{})
	if err := s.Set(sink.Fault{Mode: sink.AcceptNotRead}); err != nil {
		t.Fatal(err)
	}
	l, err := load.New(load.Config{Addr: s.Addr(), Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { l.Run(t.Context()); close(ended) }()
	for l.Stats().Longest() < 100*time.Millisecond { // the write in progress counts
		time.Sleep(time.Millisecond)
	}
	if err := s.Set(sink.Fault{}); err != nil {
		t.Fatal(err)
	}
	l.Stop()
	<-ended
	if d := l.Stats().Longest(); d < 100*time.Millisecond {
		t.Errorf("longest write %v", d)
	}
	l.ResetStalls()
	if d := l.Stats().Longest(); d != 0 {
		t.Errorf("after the reset: %v", d)
	}
	if err := s.WaitEvents(t.Context(), l.Sent()); err != nil {
		t.Error(err)
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, cfg := range []load.Config{{FirstStream: line.MaxStream}, {Kinds: []load.Kind{"other"}}, {Mode: "other"}} {
		if _, err := load.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func BenchmarkLoadToSink(b *testing.B) {
	s, err := sink.Start(sink.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l, err := load.New(load.Config{Addr: s.Addr(), Events: uint64(b.N)})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	l.Run(b.Context())
	_ = s.WaitEvents(b.Context(), l.Sent())
}
