package forward

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/config"
)

// piped serves one end of a pipe in the bubble's time and returns the other, and what ends with the connection.
func piped(t *testing.T, opts Options, s *sink) (net.Conn, *Input, *conn, chan bool) {
	t.Helper()
	in, err := New(&opts, Env{})
	if err != nil {
		t.Fatal(err)
	}
	in.accept, in.work = s.accept, t.Context()
	a, b := net.Pipe()
	c := newConn(in, in.set.Load(), b)
	done := make(chan bool)
	go func() {
		c.run(nil)
		close(done)
	}()
	return a, in, c, done
}

func TestTimeouts(t *testing.T) {
	m := docker("app", "one", []byte{0x80})
	for name, c := range map[string]struct {
		shared string
		send   []byte
		after  time.Duration
		kind   string
	}{
		"silent in a message":        {send: m[:40], after: stallTimeout, kind: "stalled"},
		"silent in a large message":  {send: append(cat(0x92, "t", 0xc6, 0, 16, 0, 0), make([]byte, 300<<10)...), after: stallTimeout, kind: "stalled"},
		"silent in a large event":    {send: append(cat(0x93, "t", now0(), 0x81, "k", 0xc6, 0, 16, 0, 0), make([]byte, 300<<10)...), after: stallTimeout, kind: "stalled"},
		"silent before a handshake":  {shared: "key", after: setupTimeout, kind: "handshake"},
		"silent inside a handshake":  {shared: "key", send: []byte{0x96, 0xa4, 'P'}, after: setupTimeout, kind: "handshake"},
		"an ack that nobody reads":   {send: docker("app", "one", chunkOpt("x")), after: writeTimeout, kind: "write"},
		"bytes now and then are all": {send: nil, after: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := testOptions()
				opts.SharedKey = config.Secret(c.shared)
				peer, in, _, done := piped(t, opts, newSink())
				defer peer.Close()
				if c.shared != "" {
					greet(t, peer)
				}
				began := time.Now()
				if c.after == 0 {
					for i := range m {
						write(t, peer, m[i:i+1])
						time.Sleep(stallTimeout - time.Second)
					}
					time.Sleep(100 * 24 * time.Hour) // a silent container
					if in.Stats().Received != 1 {
						t.Error("the event did not come through")
					}
					peer.Close()
					<-done
					return
				}
				write(t, peer, c.send)
				<-done
				if d := time.Since(began); d != c.after || in.Stats().Errors[c.kind] != 1 {
					t.Errorf("ended after %s: %v", d, in.Stats().Errors)
				}
			})
		})
	}
}

func TestBufferShrinksWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, in, c, done := piped(t, testOptions(), newSink())
		m := docker("app", strings.Repeat("x", 100<<10), []byte{0x80})
		write(t, peer, m)
		synctest.Wait()
		if st := in.Stats(); st.Received != 1 || st.Buffer < 100<<10-baseWindow {
			t.Errorf("received %d, buffer %d", st.Received, st.Buffer)
		}
		time.Sleep(2 * idleShrink)
		synctest.Wait()
		if n := in.Stats().Buffer; n != 0 || len(c.win.buf) != baseWindow {
			t.Errorf("%d bytes are kept", n)
		}
		write(t, peer, m)
		peer.Close()
		<-done
		if st := in.Stats(); st.Received != 2 || st.Buffer != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A busy connection grows its buffer, and one that has little to say gives it back.
func TestBufferFollowsTheLoad(t *testing.T) {
	opts := testOptions()
	in, err := New(&opts, Env{})
	if err != nil {
		t.Fatal(err)
	}
	in.accept, in.work = newSink().accept, t.Context()
	var burst []byte
	for len(burst) < 1<<20 {
		burst = append(burst, docker("app", "line", []byte{0x80})...)
	}
	p := &pipe{feed: [][]byte{burst}}
	c := newConn(in, in.set.Load(), p)
	c.win.buf = make([]byte, baseWindow)
	if err := c.serve(); err != io.EOF || len(c.win.buf) != fullWindow {
		t.Errorf("%d bytes after a burst, %v", len(c.win.buf), err)
	}
	for range 8 * smallReads {
		p.feed = append(p.feed, docker("app", "line", []byte{0x80}))
	}
	if err := c.serve(); err != io.EOF || len(c.win.buf) > 8<<10 {
		t.Errorf("%d bytes after a while, %v", len(c.win.buf), err)
	}
	c.win.free()
}

// A listener that fails a few times is asked again, with pauses.
type failing struct {
	net.Listener
	errs  []error
	calls []time.Time
}

func (f *failing) Accept() (net.Conn, error) {
	f.calls = append(f.calls, time.Now())
	if len(f.errs) == 0 {
		return nil, net.ErrClosed
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func (f *failing) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions()
		in, err := New(&opts, Env{})
		if err != nil {
			t.Fatal(err)
		}
		f := &failing{}
		for range 12 {
			f.errs = append(f.errs, os.NewSyscallError("accept4", syscall.EMFILE))
		}
		began := time.Now()
		ln := &listener{Listener: f}
		ln.set.Store(in.set.Load())
		in.acceptLoop(ln)
		if d := time.Since(began); len(f.calls) != 13 || d < 5*time.Second || d > 13*backoffMax || f.calls[1].Sub(f.calls[0]) != backoffMin {
			t.Errorf("%d calls in %s", len(f.calls), d)
		}
		if n := in.Stats().Errors["listen"]; n != 12 {
			t.Errorf("%d errors are counted", n)
		}
	})
}

// One connection that needs memory which others hold waits, and fails alone.
func TestBudgetWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if !b.try(90, 90) || b.try(20, 20) || b.try(1, smallBuffer+1) {
			t.Fatal("try is wrong")
		}
		if !b.wait(ctx, "a", 20, 20) || !b.wait(ctx, "a", 20, 20) {
			t.Fatal("nobody may take more than there is, so nobody can go on")
		}
		began := time.Now()
		if b.wait(ctx, "b", 5, 5) || time.Since(began) != time.Second {
			t.Errorf("b did not wait for a: %s", time.Since(began))
		}
		go func() {
			time.Sleep(time.Minute)
			b.put("a", 40, true)
		}()
		if !b.wait(t.Context(), "b", 5, 5) || b.free != 5 {
			t.Errorf("free: %d", b.free)
		}
	})
}

func TestErrorsOfTheKernelEndAConnection(t *testing.T) {
	srv := start(t, testOptions(), Env{}, newSink())
	c := srv.dial(t).(*net.TCPConn)
	write(t, c, docker("app", "one", chunkOpt("x")))
	wait(t, "the ack", func() bool { return srv.Stats().Acks == 1 })
	c.SetLinger(0)
	c.Close() // a reset: the ack was not read
	wait(t, "the end", func() bool { return srv.Stats().Connections == 0 })
	if st := srv.Stats(); st.Errors["read"] != 1 || st.Received != 1 {
		t.Errorf("%+v", st)
	}
	probe := srv.dial(t).(*net.TCPConn)
	probe.SetLinger(0)
	probe.Close() // nothing was sent: no noise
	wait(t, "the probe", func() bool { st := srv.Stats(); return st.ConnectionsTotal == 2 && st.Connections == 0 })
	if st := srv.Stats(); st.Errors["read"] != 1 {
		t.Errorf("%+v", st)
	}
}

// A client that takes shared memory must come on; one that doesn't may take its time.
func TestSlowClients(t *testing.T) {
	event := append(cat(0x93, "t", now0(), 0x81, "k", 0xc6, 0, 16, 0, 0), make([]byte, 300<<10)...)
	noise := make([]byte, 1<<20) // does not compress
	rand.NewChaCha8([32]byte{}).Read(noise)
	body := append(cat(0x92, "t", 0xc6, 0, 16, 0, 0), gzipOf(cat(0x92, 1, 0x81, "k", bin(string(noise))))[:300<<10]...)
	for _, c := range []struct {
		name   string
		send   []byte
		rate   int // bytes per second
		scarce bool
		after  time.Duration // 0: lives on
	}{
		{name: "a large event", send: event, rate: 1, after: stallTimeout},
		{name: "a large event, memory is scarce", send: event, rate: 1, scarce: true, after: scarceStall},
		{name: "silent, memory is scarce", send: event, scarce: true, after: scarceStall},
		{name: "a large event, fast enough", send: event, rate: slowRate + 100, scarce: true},
		{name: "compressed", send: body, rate: 1, after: stallTimeout},
		{name: "a small message", send: docker("app", strings.Repeat("x", 300), kv())[:40], rate: 1},
		{name: "a small message, memory is scarce", send: docker("app", strings.Repeat("x", 300), kv())[:40], rate: 1, scarce: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer, in, _, done := piped(t, testOptions(), newSink())
				defer peer.Close()
				write(t, peer, c.send)
				if c.scarce {
					in.budget.scarce.Store(true)
				}
				began := time.Now()
				for s := 0; c.rate == 0 || s < 150; s++ {
					if _, err := peer.Write(make([]byte, max(c.rate, 1))); err != nil {
						break
					}
					if c.rate == 0 {
						break
					}
					time.Sleep(time.Second)
				}
				if c.after == 0 {
					if n := in.Stats().Errors["stalled"]; n > 0 {
						t.Error("ended")
					}
					peer.Close()
				}
				<-done
				if d := time.Since(began); c.after > 0 && (d < c.after || d > c.after+3*time.Second || in.Stats().Errors["stalled"] != 1) {
					t.Errorf("ended after %s: %v", d, in.Stats().Errors)
				}
				if n := in.Stats().Buffer; n != 0 {
					t.Errorf("%d bytes are kept", n)
				}
			})
		})
	}
}
