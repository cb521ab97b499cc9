package forward

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFlappingServerWritesFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		o, err := options("a").open(outputs.Env{Log: zap.New(core)}, &net.Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		s := o.servers[0]
		for range 100 { // for 20 s
			s.failed(failure(s, errors.New("broken"), true), false)
			time.Sleep(100 * time.Millisecond)
			s.succeeded()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		all := logs.All()
		if n := len(all); n < 2 || n > 6 {
			t.Errorf("%d lines", n)
		}
		if last := all[len(all)-1]; last.Message != "server is up" {
			t.Errorf("the last line says %q of a server that is up", last.Message)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestProbesAreFewAndSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		dialer := &net.Dialer{Control: func(string, string, syscall.RawConn) error {
			dials.Add(1)
			return errors.New("unreachable")
		}}
		o, err := options("127.0.0.1:1", "127.0.0.1:2").open(outputs.Env{}, dialer)
		if err != nil {
			t.Fatal(err)
		}
		if r := o.Send(t.Context(), batch(chunk("a", "1"))); r.Err == nil {
			t.Fatal("delivered")
		}
		dials.Store(0)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		want := 2 * int64(10*time.Minute/probeMax)
		if n := dials.Load(); n < want*8/10 || n > want*13/10 {
			t.Errorf("%d probes of two servers in 10 minutes, want one in %v each", n, probeMax)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailureAfterAProbeMakesTheNextOneWaitLonger(t *testing.T) {
	o := open(t, options("a"))
	s := o.servers[0]
	var waits []time.Duration
	for range 5 {
		s.failed(failure(s, errNoAck, true), true)
		waits = append(waits, s.wait)
		s.mu.Lock()
		s.up() // as a probe does
		s.mu.Unlock()
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}
	if fmt.Sprint(waits) != fmt.Sprint(want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	s.succeeded()
	s.failed(failure(s, errors.New("reset"), true), false)
	if s.wait != probeFirst {
		t.Errorf("wait after a success is %v", s.wait)
	}
}

func TestConcurrentSends(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	opts := options(a.addr, b.addr)
	opts.Servers[1].Standby = false
	opts.Compress = "zstd"
	o := open(t, opts)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 30 {
				one, two := fmt.Sprint("one-", w), fmt.Sprint("two-", w)
				if r := o.Send(t.Context(), batch(chunk(one, fmt.Sprint(i)), chunk(two, fmt.Sprint(i)))); r.Err != nil {
					t.Errorf("send: %v", r.Err)
				}
			}
		})
	}
	wg.Wait()
	all := append(a.messages(), b.messages()...)
	for w := range 8 {
		for _, tag := range []string{fmt.Sprint("one-", w), fmt.Sprint("two-", w)} {
			got := lines(t, tag, all...)
			for i := range got {
				if got[i] != fmt.Sprint(i) {
					t.Fatalf("tag %q: event %d is %q", tag, i, got[i])
				}
			}
			if len(got) != 30 {
				t.Errorf("tag %q: %d events", tag, len(got))
			}
		}
	}
	if a.count > 8 || b.count > 8 {
		t.Errorf("%d and %d connections for 8 Sends at a time", a.count, b.count)
	}
}
