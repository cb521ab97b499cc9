package forward

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
)

func TestIntakeGoesOnUntilClientsAreQuiet(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{Shutdown: config.Shutdown{Quiet: 400 * time.Millisecond, Deadline: 20 * time.Second}}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "1", chunkOpt("1")))
	expect(t, c, ackOf("1"))
	srv.cancel()
	for _, id := range []string{"2", "3", "4"} { // new connections are served too
		d := srv.dial(t)
		write(t, d, docker("app", id, chunkOpt(id)))
		expect(t, d, ackOf(id))
		time.Sleep(150 * time.Millisecond) // less than quiet
	}
	write(t, c, docker("app", "5", chunkOpt("5")))
	expect(t, c, ackOf("5"))
	expectEnd(t, c)
	srv.end(t)
	if n := len(s.list()); n != 5 {
		t.Errorf("%d events", n)
	}
}

// A client that doesn't read loses nothing at the end: its next write fails, instead of going nowhere. One that waits
// for acks sees the last of them and then a plain end.
func TestEndIsSeenByTheNextWrite(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{Shutdown: config.Shutdown{Quiet: 10 * time.Millisecond, Deadline: 20 * time.Second}}, s)
	plain, acked := srv.dial(t), srv.dial(t)
	write(t, plain, docker("app", "1", kv()))
	write(t, acked, docker("app", "2", kv()))
	write(t, acked, docker("app", "3", chunkOpt("3")))
	expect(t, acked, ackOf("3"))
	wait(t, "three events", func() bool { return len(s.list()) == 3 })
	srv.cancel()
	srv.end(t)
	if _, err := plain.Write(docker("app", "4", kv())); err == nil {
		t.Error("a write after the end says that it is all right")
	}
	if n, err := acked.Read(make([]byte, 64)); err != io.EOF {
		t.Errorf("the end of a connection with acks: %d bytes, %v", n, err)
	}
}

func TestDrainEndsBeforeTheDeadline(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{Shutdown: config.Shutdown{Quiet: 10 * time.Second, Deadline: finishTime + 200*time.Millisecond}}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "1", chunkOpt("1")))
	expect(t, c, ackOf("1"))
	began := time.Now()
	srv.cancel()
	select {
	case err := <-srv.done:
		srv.done <- err
	case <-time.After(3 * time.Second):
		t.Fatal("Run goes on")
	}
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("ended after %s", d)
	}
}

func TestNobodyThereEndsAtOnce(t *testing.T) {
	srv := start(t, testOptions(), Env{Shutdown: config.Shutdown{Quiet: 10 * time.Second, Deadline: 25 * time.Second}}, newSink())
	srv.cancel()
	select {
	case err := <-srv.done:
		srv.done <- err
	case <-time.After(3 * time.Second):
		t.Fatal("Run goes on")
	}
}

// Stop lets a message that has begun end, acks it, and drops what comes after.
func TestStopAtTheEndOfAMessage(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{}, s)
	c, idle, stuck := srv.dial(t), srv.dial(t), srv.dial(t)
	m := docker("app", "1", chunkOpt("1"))
	write(t, c, m[:40])
	write(t, stuck, m[:40])
	wait(t, "both halves", func() bool { return srv.Stats().BytesRead == 80 && srv.Stats().Connections == 3 })
	began := time.Now()
	srv.Stop()
	expectEnd(t, idle)
	write(t, c, m[40:])
	expect(t, c, ackOf("1"))
	expectEnd(t, c)
	expectEnd(t, stuck)
	srv.end(t)
	if d := time.Since(began); d > 2*stopGrace {
		t.Errorf("stop took %s", d)
	}
	if st := srv.Stats(); st.Errors["cut"] != 1 || st.Received != 1 {
		t.Errorf("%+v", st)
	}
}

// An Accept that blocks does not block the end: its events are not acked.
func TestStopWithABlockedAccept(t *testing.T) {
	s := newSink()
	s.gate = make(chan struct{})
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "1", chunkOpt("1")))
	wait(t, "the message", func() bool { return srv.Stats().BytesRead > 0 })
	began := time.Now()
	srv.end(t)
	if d := time.Since(began); d > finishTime {
		t.Errorf("stop took %s", d)
	}
	expectEnd(t, c)
	if st := srv.Stats(); st.Errors["accept"] != 1 || st.Received != 0 {
		t.Errorf("%+v", st)
	}
}

func TestHeldPiecesAreFlushedAtTheEnd(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	write(t, c, none("i", 1, strings.Repeat("a", 100), false))
	wait(t, "the piece", func() bool { return srv.Stats().HeldLines == 1 })
	srv.end(t)
	if diff := cmp.Diff([]string{joinedEvent(strings.Repeat("a", 100))}, s.list()); diff != "" {
		t.Error(diff)
	}
}
