package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/google/go-cmp/cmp"
)

// deliver sends until everything is delivered, as a destination does.
func deliver(t *testing.T, o *output, b outputs.Batch, within time.Duration) {
	t.Helper()
	start := time.Now()
	for {
		r := o.Send(deadline(t, 10*time.Second), b)
		if r.Err == nil {
			return
		}
		if time.Since(start) > within {
			t.Fatalf("not delivered within %v: %v", within, r.Err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestStandbyTakesOverAndGivesBack(t *testing.T) {
	primary, standby := newPeer(t), newPeer(t)
	o := open(t, options(primary.addr, standby.addr))
	send := func(from, to int) {
		for i := from; i < to; i++ {
			deliver(t, o, batch(chunk("a", fmt.Sprint("a", i)), chunk("b", fmt.Sprint("b", i))), 5*time.Second)
		}
	}
	send(0, 10)
	if n := len(standby.messages()); n != 0 {
		t.Errorf("standby got %d messages while the primary was up", n)
	}
	before := primary.messages()
	primary.stop()
	send(10, 20)
	if st := o.states(); st[0].Up || st[0].Error == "" || !st[1].Up || !st[1].Standby {
		t.Errorf("status: %+v", st)
	}
	during := standby.messages()

	primary = primary.restart()
	primary.until("a probe", func() bool { return primary.count > 0 })
	waitUp(t, o, 0)
	send(20, 30)
	if n := len(standby.messages()) - len(during); n != 0 {
		t.Errorf("standby got %d messages after the primary was back", n)
	}
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("a", i))
	}
	all := append(append(before, during...), primary.messages()...)
	if diff := cmp.Diff(want, lines(t, "a", all...)); diff != "" {
		t.Errorf("order over the changes of server: %s", diff)
	}
}

func waitUp(t *testing.T, o *output, server int) {
	t.Helper()
	for start := time.Now(); !o.states()[server].Up; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("server isn't up again: %+v", o.states())
		}
	}
}

func TestOneOfTwoPrimariesDies(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	opts := options(a.addr, b.addr)
	opts.Servers[1].Standby = false
	o := open(t, opts)
	var tags []string
	for i := range 40 {
		tags = append(tags, fmt.Sprint("tag-", i))
	}
	round := func(text string) (bt outputs.Batch) {
		for _, tag := range tags {
			bt.Chunks = append(bt.Chunks, chunk(tag, text))
		}
		return batch(bt.Chunks...)
	}
	deliver(t, o, round("1"), 5*time.Second)
	deliver(t, o, round("2"), 5*time.Second)
	for _, tag := range tags {
		onA, onB := lines(t, tag, a.messages()...), lines(t, tag, b.messages()...)
		if len(onA)*len(onB) != 0 || len(onA)+len(onB) != 2 {
			t.Errorf("tag %q: %q on one server, %q on the other", tag, onA, onB)
		}
	}
	if len(a.messages()) < 10 || len(b.messages()) < 10 {
		t.Errorf("tags are spread %d to %d", len(a.messages()), len(b.messages()))
	}
	healthy := len(b.messages())
	a.stop()
	deliver(t, o, round("3"), 5*time.Second)
	for _, tag := range tags {
		if got := lines(t, tag, b.messages()[healthy:]...); len(got) != 1 || got[0] != "3" {
			t.Errorf("tag %q after the failure: %q", tag, got)
		}
	}
}

func TestFailureOfOneServerKeepsWhatTheOthersTook(t *testing.T) {
	good := newPeer(t)
	bad := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, _ received) error { reset(c); return io.EOF }
	})
	opts := options(good.addr, bad.addr)
	opts.Servers[1].Standby = false
	o := open(t, opts)
	var list []outputs.Range
	var chunks = batch()
	for i := range 20 {
		tag := fmt.Sprint("tag-", i)
		if o.choose(tag, make([]bool, 2), false) == 1 {
			if n := len(list); n > 0 && list[n-1].To == i {
				list[n-1].To = i + 1
			} else {
				list = append(list, outputs.Range{From: i, To: i + 1})
			}
		}
		chunks.Chunks = append(chunks.Chunks, chunk(tag, "x"))
	}
	r := o.Send(deadline(t, 5*time.Second), batch(chunks.Chunks...))
	if diff := cmp.Diff(list, r.Retry); diff != "" || r.Err == nil {
		t.Errorf("error %v, retry: %s", r.Err, diff)
	}
	if !outputs.Classify(r.Err).Written {
		t.Error("the failure doesn't say that events were written")
	}
}

// blackHole returns an address where connects are never answered: the backlog of its listener is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Skip(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Skip(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 150*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("a full backlog is no black hole here")
	return ""
}

func TestBlackHoleFailsOverWithinTheConnectTimeout(t *testing.T) {
	standby := newPeer(t)
	opts := options(blackHole(t), standby.addr)
	opts.ConnectTimeout = 300 * time.Millisecond
	o := open(t, opts)
	start := time.Now()
	mustDeliver(t, o.Send(deadline(t, 10*time.Second), batch(chunk("a", "1"))))
	if d := time.Since(start); d < 250*time.Millisecond || d > 2*time.Second {
		t.Errorf("failover took %v", d)
	}
	start = time.Now()
	mustDeliver(t, o.Send(deadline(t, 10*time.Second), batch(chunk("a", "2"))))
	if d := time.Since(start); d > 200*time.Millisecond {
		t.Errorf("the next Send took %v: it tried the black hole again", d)
	}
}

func TestBlackHoleLeavesTimeForTheStandby(t *testing.T) {
	standby := newPeer(t)
	o := open(t, options(blackHole(t), standby.addr)) // connect_timeout is 3 s
	mustDeliver(t, o.Send(deadline(t, time.Second), batch(chunk("a", "1"))))
}

func TestSilentPrimaryFailsOver(t *testing.T) {
	primary := newPeer(t, func(p *peer) { p.answer = func(net.Conn, received) error { return nil } })
	standby := newPeer(t)
	opts := options(primary.addr, standby.addr)
	opts.AckTimeout = 100 * time.Millisecond
	o := open(t, opts)
	r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	if outputs.Classify(r.Err).Class != outputs.NoAck {
		t.Fatalf("result: %+v", r)
	}
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	// It accepts connections, so a probe would succeed: it must not come soon.
	if w := o.servers[0].wait; w < probeSilentFirst {
		t.Errorf("probed after %v", w)
	}
}

func TestEverythingDownTriesThePrimary(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	a.stop()
	b.stop()
	o := open(t, options(a.addr, b.addr))
	for range 3 {
		r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
		e := outputs.Classify(r.Err)
		if e.Err == nil || e.Class != outputs.Transient || e.Written || !strings.Contains(e.Error(), "refused") {
			t.Fatalf("result: %+v", r)
		}
	}
	a = a.restart()
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	if !o.states()[0].Up || o.states()[1].Up {
		t.Errorf("status: %+v", o.states())
	}
}

func TestCloseEndsProbes(t *testing.T) {
	o, err := options("127.0.0.1:1", "127.0.0.1:2").Open(outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))); r.Err == nil {
		t.Fatal("delivered to a closed port")
	}
	if err := o.Close(deadline(t, 2*time.Second)); err != nil {
		t.Errorf("close: %v", err)
	}
}

// fakeDNS answers every question for an IPv4 address with what is in the channel of one.
func fakeDNS(t *testing.T, current func() [4]byte) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-ended })
	go func() {
		defer close(ended)
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			q := b[12:n]
			end := 0
			for end < len(q) && q[end] != 0 {
				end += int(q[end]) + 1
			}
			q = q[:end+5]
			a := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q...)
			if q[len(q)-3] == 1 { // type A
				a[7] = 1
				ip := current()
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ip[0], ip[1], ip[2], ip[3])
			}
			pc.WriteTo(a, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestNamesAreResolvedForEachConnection(t *testing.T) {
	first := newPeer(t)
	_, port, _ := net.SplitHostPort(first.addr)
	ln, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip(err)
	}
	second := startPeer(t, ln)
	ip := make(chan [4]byte, 1)
	ip <- [4]byte{127, 0, 0, 1}
	current := func() [4]byte { v := <-ip; ip <- v; return v }

	opts := options("agg.example.com.:" + port)
	o, err := opts.open(outputs.Env{}, &net.Dialer{Resolver: fakeDNS(t, current)})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close(deadline(t, 5*time.Second))
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	<-ip
	ip <- [4]byte{127, 0, 0, 2}
	first.stop()
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "2"))))
	if len(first.messages()) != 1 || len(second.messages()) != 1 {
		t.Errorf("%d messages at the old address, %d at the new one", len(first.messages()), len(second.messages()))
	}
}
