package forward

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// A heart answers the datagrams that come to a peer's port, while it beats.
type heart struct {
	beats atomic.Bool
	asked atomic.Int64
}

func newHeart(t *testing.T, p *peer) *heart {
	t.Helper()
	pc, err := net.ListenPacket("udp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	h := &heart{}
	h.beats.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [16]byte
		for {
			n, from, err := pc.ReadFrom(b[:])
			if err != nil {
				return
			}
			if n != 1 || b[0] != 0 {
				t.Errorf("heartbeat % x", b[:n])
			}
			h.asked.Add(1)
			if h.beats.Load() {
				pc.WriteTo([]byte{0}, from)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	return h
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for: %s", what)
		}
	}
}

// pair opens an output with two equal servers and the heartbeat, and returns a tag of the first.
func pair(t *testing.T, heartbeat string, a, b *peer) (*output, string) {
	opts := options(a.addr, b.addr)
	opts.Servers[1].Standby = false
	opts.Heartbeat, opts.HeartbeatInterval = heartbeat, 10*time.Millisecond
	o := open(t, opts)
	for i := 0; ; i++ {
		if tag := fmt.Sprint("t", i); o.choose(tag, make([]bool, 2), false) == 0 {
			return o, tag
		}
	}
}

func sendOne(t *testing.T, o *output, tag string) {
	t.Helper()
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk(tag, "1"))))
}

// The first server falls silent while nothing is sent: its tags go elsewhere without a batch that has to fail, and come
// back when it answers.
func TestHeartbeatTakesASilentServerOut(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	ha, _ := newHeart(t, a), newHeart(t, b)
	o, tag := pair(t, "udp", a, b)
	sendOne(t, o, tag)
	eventually(t, "an answer", func() bool { return o.states()[0].Heartbeat == "answered" })
	ha.beats.Store(false)
	eventually(t, "the first server to be down", func() bool { s := o.states()[0]; return !s.Up && s.Heartbeat == "silent" && s.Error != "" })
	sendOne(t, o, tag)
	ha.beats.Store(true)
	eventually(t, "the first server to be up", func() bool { return o.states()[0].Up })
	sendOne(t, o, tag)
	if na, nb := len(a.messages()), len(b.messages()); na != 2 || nb != 1 {
		t.Errorf("%d and %d messages", na, nb)
	}
}

// A firewall that lets no UDP through changes nothing but the status.
func TestHeartbeatThatNobodyAnswers(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	ha, hb := newHeart(t, a), newHeart(t, b)
	ha.beats.Store(false)
	hb.beats.Store(false)
	o, tag := pair(t, "udp", a, b)
	sendOne(t, o, tag)
	eventually(t, "the status to say so", func() bool {
		s := o.states()
		return s[0].Heartbeat == "never answered, ignored" && s[1].Heartbeat == "never answered, ignored"
	})
	for _, s := range o.states() {
		if !s.Up || s.Error != "" {
			t.Errorf("%+v", s)
		}
	}
	sendOne(t, o, tag)
	if n := len(a.messages()); n != 2 {
		t.Errorf("%d of 2 messages", n)
	}
}

// When all fall silent, tags stay where they belong.
func TestAllSilentServersAreAsGoodAsAll(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	ha, hb := newHeart(t, a), newHeart(t, b)
	o, tag := pair(t, "udp", a, b)
	sendOne(t, o, tag)
	eventually(t, "answers", func() bool { s := o.states(); return s[0].Heartbeat == "answered" && s[1].Heartbeat == "answered" })
	ha.beats.Store(false)
	hb.beats.Store(false)
	eventually(t, "silence", func() bool { s := o.states(); return !s[0].Up && !s[1].Up })
	sendOne(t, o, tag)
	if n := len(a.messages()); n != 2 {
		t.Errorf("%d of 2 messages", n)
	}
}

func TestHeartbeatByConnecting(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	o, tag := pair(t, "tcp", a, b)
	sendOne(t, o, tag)
	eventually(t, "an answer", func() bool { return o.states()[0].Heartbeat == "answered" })
	a.stop()
	eventually(t, "the first server to be down", func() bool { return !o.states()[0].Up })
	sendOne(t, o, tag)
	if len(b.messages()) != 1 {
		t.Error("the second server didn't take over")
	}
	again := a.restart()
	eventually(t, "the first server to be up", func() bool { return o.states()[0].Up })
	sendOne(t, o, tag)
	if len(again.messages()) != 1 {
		t.Error("the tag didn't come back")
	}
}

// A server that takes batches is there, whatever becomes of its datagrams.
func TestSendsCountAsAnswers(t *testing.T) {
	o := open(t, options("a", "b"))
	s := o.servers[0]
	s.beaten(true)
	for range 10 {
		for range missedBeats - 1 {
			s.beaten(false)
		}
		s.succeeded()
	}
	if s.isDown() {
		t.Error("down")
	}
	for range missedBeats {
		s.beaten(false)
	}
	if !s.isDown() {
		t.Error("up")
	}
	s.succeeded()
	if s.isDown() {
		t.Error("down after a success")
	}
	// The two reasons to be down don't end each other.
	s.failed(failure(s, errors.New("broken"), true), false)
	s.beaten(true)
	if !s.isDown() {
		t.Error("a heartbeat makes up for a Send that failed")
	}
}

func TestNoHeartbeatBeforeTheFirstSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		dialer := &net.Dialer{Control: func(string, string, syscall.RawConn) error {
			dials.Add(1)
			return errors.New("unreachable")
		}}
		opts := options("127.0.0.1:1")
		opts.Heartbeat, opts.HeartbeatInterval = "udp", time.Second
		o, err := opts.open(outputs.Env{}, dialer)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := dials.Load(); n != 0 {
			t.Errorf("%d dials", n)
		}
		o.Send(t.Context(), batch(chunk("a", "1")))
		dials.Store(0)
		time.Sleep(time.Minute)
		if n := dials.Load(); n < 59 || n > 61 {
			t.Errorf("%d heartbeats in a minute", n)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
