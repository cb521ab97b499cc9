package sink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

func set(t *testing.T, s *sink.Sink, f sink.Fault) {
	t.Helper()
	if err := s.Set(f); err != nil {
		t.Fatal(err)
	}
}

// silent checks that nothing comes for a while.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want nothing", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
}

func TestRefuseResetsWhatIsConnectedAndRefusesTheRest(t *testing.T) {
	s := start(t, sink.Config{})
	c := dial(t, s)
	send(t, c, message(0, "a"))
	readAck(t, c, "a")
	set(t, s, sink.Fault{Mode: sink.Refuse})
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection that was there: %v, want a reset", err)
	}
	if _, err := net.Dial("tcp", s.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want refused", err)
	}
	set(t, s, sink.Fault{})
	c = dial(t, s)
	send(t, c, message(1, "b"))
	readAck(t, c, "b")
}

func TestBlackHoleLetsConnectsHang(t *testing.T) {
	s := start(t, sink.Config{})
	old := dial(t, s)
	send(t, old, message(0, "a"))
	readAck(t, old, "a")
	for range 2 { // it can be dug again
		set(t, s, sink.Fault{Mode: sink.BlackHole})
		send(t, old, message(1, "b"))
		silent(t, old)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr()); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v, want a timeout", err)
		}
		cancel()
		set(t, s, sink.Fault{})
		readAck(t, old, "b")
		c := dial(t, s)
		send(t, c, message(2, "c"))
		readAck(t, c, "c")
	}
}

func TestChangesBetweenAllModes(t *testing.T) {
	s := start(t, sink.Config{})
	modes := append(sink.Faults(), sink.OK)
	for _, from := range modes {
		for _, to := range []sink.Mode{sink.Refuse, sink.BlackHole, sink.AcceptNotRead} {
			set(t, s, sink.Fault{Mode: from})
			set(t, s, sink.Fault{Mode: to})
			set(t, s, sink.Fault{})
			c := dial(t, s)
			send(t, c, message(0, "a"))
			readAck(t, c, "a")
		}
	}
	for _, m := range modes { // Close works in each
		s := start(t, sink.Config{})
		set(t, s, sink.Fault{Mode: m})
		if err := s.Close(); err != nil {
			t.Errorf("close in mode %q: %v", m, err)
		}
	}
}

func TestNeverReadAcceptsAndReadsNothing(t *testing.T) {
	s := start(t, sink.Config{})
	old := dial(t, s)
	send(t, old, message(0, "a"))
	readAck(t, old, "a")
	set(t, s, sink.Fault{Mode: sink.AcceptNotRead})
	c := dial(t, s)
	send(t, c, message(1, "b"))
	silent(t, c)
	send(t, old, message(2, "c"))
	silent(t, old)
	if n := s.Counts().Events; n != 1 {
		t.Errorf("%d events", n)
	}
	set(t, s, sink.Fault{})
	readAck(t, c, "b")
	readAck(t, old, "c")
}

func TestSlowReadsSoManyBytesPerSecond(t *testing.T) {
	s := start(t, sink.Config{})
	m := message(0, "a")
	set(t, s, sink.Fault{Mode: sink.ReadSlow, Bytes: len(m) - 1})
	c := dial(t, s)
	begin := time.Now()
	send(t, c, m)
	readAck(t, c, "a")
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("a message one byte larger than the rate took %v, want 1 s", took)
	}
	set(t, s, sink.Fault{Mode: sink.ReadSlow})
	send(t, c, message(1, "b"))
	silent(t, c)
	set(t, s, sink.Fault{})
	readAck(t, c, "b")
}

func TestResetComesAfterSoManyBytes(t *testing.T) {
	s := start(t, sink.Config{})
	m := message(0, "")
	set(t, s, sink.Fault{Mode: sink.ResetMidStream, Bytes: len(m) + 10})
	c := dial(t, s)
	send(t, c, append(m, message(1, "")...))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	if n := s.Counts().Events; n != 1 {
		t.Errorf("%d events, want 1: the second was cut", n)
	}
}

func TestNeverAckThrowsAwayWhatWantsAnAck(t *testing.T) {
	s := start(t, sink.Config{})
	set(t, s, sink.Fault{Mode: sink.NeverAck})
	c := dial(t, s)
	send(t, c, append(message(0, "a"), message(1, "")...))
	awaitEvents(t, s, 1)
	silent(t, c)
	if got := s.Counts(); got.Ignored != 1 || got.Events != 1 || s.Seen(3) != 1 {
		t.Errorf("%+v", got)
	}
	set(t, s, sink.Fault{})
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	c = dial(t, s)
	send(t, c, message(0, "a"))
	readAck(t, c, "a")
}

func TestAcksCanBeDelayedAndSplit(t *testing.T) {
	s := start(t, sink.Config{})
	s.SetAcks(sink.Acks{Delay: 100 * time.Millisecond, Split: true})
	c := dial(t, s)
	begin := time.Now()
	send(t, c, message(0, "a"))
	awaitEvents(t, s, 1)
	first := make([]byte, 100)
	n, err := c.Read(first)
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("ack after %v, want 100 ms", took)
	}
	if whole := len("\x81\xa3ack\xa1a"); err != nil || n >= whole {
		t.Errorf("first read: %d bytes, %v; want less than %d", n, err, whole)
	}
	if _, err := c.Read(first); err != nil {
		t.Error(err)
	}
	s.SetAcks(sink.Acks{})
	send(t, c, message(1, "b")) // still in order, on the same way
	readAck(t, c, "b")
}

// A sender that asks for acks loses nothing, whatever the sink does, and the sink can tell.
func TestNothingAckedIsLostThroughAllFaults(t *testing.T) {
	s := start(t, sink.Config{ReadBuffer: 256 << 10})
	l, err := load.New(load.Config{Addr: s.Addr(), Conns: 2, Ack: true, Mode: load.Packed, Batch: 20, Rate: 50_000})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { l.Run(soon(t)); close(ended) }()
	for _, m := range sink.Faults() {
		have := s.Counts().Events
		awaitEvents(t, s, have+1000)
		set(t, s, sink.Fault{Mode: m})
		switch m {
		case sink.NeverAck:
			await(t, s, func(c sink.Counts) bool { return c.Ignored > 0 })
		case sink.ResetMidStream:
			conns := s.Counts().Conns
			await(t, s, func(c sink.Counts) bool { return c.Conns > conns+2 })
		}
		set(t, s, sink.Fault{})
	}
	l.Stop()
	<-ended
	st, got := l.Stats(), s.Counts()
	if st.Acked != st.Sent || got.Disorder != 0 || got.Invalid != 0 || st.BadAcks != 0 || st.Reconnects == 0 {
		t.Errorf("sent %d, acked %d, bad acks %d, reconnects %d; %+v", st.Sent, st.Acked, st.BadAcks, st.Reconnects, got)
	}
	for _, stream := range l.Streams() {
		for _, r := range stream.Acked {
			if m := s.Missing(stream.Number, r); m != nil {
				t.Errorf("stream %d: acked and missing: %v", stream.Number, m)
			}
		}
	}
	if got.Duplicates == 0 && st.Resent > 0 {
		t.Log("nothing that was sent again had arrived before")
	}
}

func TestCloseEndsConnections(t *testing.T) {
	s := start(t, sink.Config{})
	c := dial(t, s)
	send(t, c, message(0, "a"))
	readAck(t, c, "a")
	_ = s.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%v, want a reset", err)
	}
	if err := s.Set(sink.Fault{}); err != nil {
		t.Error(err)
	}
}
