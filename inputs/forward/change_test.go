package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/internal/tlsconf"
)

func changeTo(t testing.TB, in *Input, opts Options) {
	t.Helper()
	prepare(t, in, opts).Commit()
}

func prepare(t testing.TB, in *Input, opts Options) inputs.Change {
	t.Helper()
	c, err := in.Prepare(&opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// freePort returns an address that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func dialAt(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// say sends an event with the text and waits for its ack.
func say(t testing.TB, c net.Conn, tag, text string) {
	t.Helper()
	write(t, c, docker(tag, text, chunkOpt(text)))
	expect(t, c, ackOf(text))
}

// A listener whose address stays is the same socket, also when TLS begins or ends on it, and its UDP socket too.
func TestKeptListenerIsTheSameSocket(t *testing.T) {
	cert, roots := certificate(t, t.TempDir())
	addr := freePort(t)
	opts := testOptions()
	opts.Listen = []string{"tcp://" + addr}
	s := newSink()
	srv := start(t, opts, Env{}, s)
	before := srv.current()[0]
	plain := dialAt(t, "tcp", addr)
	say(t, plain, "a", "1")

	secure := opts
	secure.Listen, secure.TLS = []string{"tls://" + addr}, &cert
	changeTo(t, srv.Input, secure)
	say(t, plain, "a", "2")
	c := tls.Client(dialAt(t, "tcp", addr), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	say(t, c, "a", "3")
	changeTo(t, srv.Input, opts)
	say(t, c, "a", "4")
	say(t, dialAt(t, "tcp", addr), "a", "5")
	if after := srv.current()[0]; after != before {
		t.Error("another listener")
	}
	u := dialAt(t, "udp", addr)
	write(t, u, []byte{0})
	expect(t, u, []byte{0})
	if n := len(s.list()); n != 5 {
		t.Errorf("%d events", n)
	}
}

// Options that a connection depends on hold for those that come after the change.
func TestSecretsHoldForNewConnections(t *testing.T) {
	opts := testOptions()
	opts.IdleTimeout = time.Hour
	srv := start(t, opts, Env{}, newSink())
	open := srv.dial(t)
	say(t, open, "a", "1")
	next := opts
	next.SharedKey, next.IdleTimeout = "secret", 20*time.Millisecond
	changeTo(t, srv.Input, next)
	say(t, open, "a", "2")
	greet(t, srv.dial(t))
	changeTo(t, srv.Input, opts)
	say(t, srv.dial(t), "a", "3")
	say(t, open, "a", "4")
}

func TestBoundsHoldAtOnce(t *testing.T) {
	opts := testOptions()
	srv := start(t, opts, Env{}, newSink())
	a, b := srv.dial(t), srv.dial(t)
	say(t, a, "a", "1")
	say(t, b, "a", "2")
	next := opts
	next.MaxConnections, next.Memory = 1, 1<<20
	changeTo(t, srv.Input, next)
	expectEnd(t, srv.dial(t))
	say(t, a, "a", "3")
	say(t, b, "a", "4")
	if st := srv.Stats(); st.Refused != 1 || srv.budget.size() != 1<<20 {
		t.Errorf("%+v", st)
	}
	// Shorter patience wakes who waits for a piece of a line.
	write(t, a, none("i", 1, strings.Repeat("a", 100), false))
	wait(t, "the piece", func() bool { return srv.Stats().HeldLines == 1 })
	next.JoinTimeout = 10 * time.Millisecond
	changeTo(t, srv.Input, next)
	wait(t, "the line", func() bool { return srv.Stats().Broken["timeout"] == 1 })
}

func TestUnixMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	opts := testOptions()
	opts.Listen = []string{"unix://" + path}
	srv := start(t, opts, Env{}, newSink())
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.UnixMode = "0600"
	changeTo(t, srv.Input, opts)
	after, err := os.Stat(path)
	if err != nil || after.Mode().Perm() != 0o600 || !os.SameFile(before, after) {
		t.Errorf("mode %v, %v", after.Mode(), err)
	}
	os.Remove(path) // and a later bind has it too
	wait(t, "the socket", func() bool { info, err := os.Stat(path); return err == nil && info.Mode().Perm() == 0o600 })
}

// Connections that wait in a listener that goes are served; afterwards nobody listens.
func TestRemovedListenerEmptiesItsBacklog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gone")
	opts := testOptions()
	with := opts
	with.Listen = append([]string{"unix://" + path}, opts.Listen...)
	s := newSink()
	srv := start(t, with, Env{}, s)
	say(t, dialAt(t, "unix", path), "a", "1") // Run serves
	var conns []net.Conn
	for range 50 {
		conns = append(conns, dialAt(t, "unix", path))
	}
	changeTo(t, srv.Input, opts)
	for i, c := range conns {
		say(t, c, "a", fmt.Sprint(i))
	}
	if _, err := net.Dial("unix", path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dial: %v", err)
	}
	if addrs := srv.Addrs(); len(addrs) != 1 || addrs[0].Network() != "tcp" {
		t.Errorf("listening on %v", addrs)
	}
	// The path may belong to somebody else by then.
	changeTo(t, srv.Input, with)
	os.Remove(path)
	theirs, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	changeTo(t, srv.Input, opts)
	if _, err := os.Stat(path); err != nil {
		t.Error("somebody else's socket is gone")
	}
}

// What can't be done changes nothing.
func TestPrepareFails(t *testing.T) {
	path, port := filepath.Join(t.TempDir(), "new"), freePort(t)
	_, p, _ := net.SplitHostPort(port)
	opts := testOptions()
	opts.Listen = []string{"tcp://" + port}
	srv := start(t, opts, Env{}, newSink())
	open := srv.dial(t)
	for _, c := range []struct {
		name   string
		change func(o *Options)
		say    string
	}{
		{"nothing to listen on", func(o *Options) { o.Listen = nil }, "listen"},
		{"no certificate", func(o *Options) { o.Listen = []string{"tls://" + port} }, "certificate"},
		{"missing files", func(o *Options) {
			o.Listen, o.TLS = []string{"tls://" + port}, &tlsconf.Server{CertFile: "/nowhere", KeyFile: "/nowhere"}
		}, "/nowhere"},
		{"one address is taken", func(o *Options) { o.Listen = append(o.Listen, "unix://"+path, "tcp://127.0.0.2:"+p, "tcp://"+busy(t)) }, "in use"},
		{"overlap", func(o *Options) { o.Listen = []string{"unix://" + path, "tcp://0.0.0.0:" + p} }, "needs a restart"},
		{"a place twice", func(o *Options) { o.Listen = append(o.Listen, "tls://"+port) }, "twice"},
		{"mode", func(o *Options) { o.UnixMode = "rwx" }, "octal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := opts
			next.MaxConnections = 1
			c.change(&next)
			if _, err := srv.Prepare(&next); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("error: %v", err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("an address stays open")
			}
			say(t, open, "a", "1")
			say(t, srv.dial(t), "a", "1")
		})
	}
	if _, err := srv.Prepare(opts); err == nil {
		t.Error("options of another type")
	}
	first := prepare(t, srv.Input, opts)
	if _, err := srv.Prepare(&opts); err == nil {
		t.Error("two changes at a time")
	}
	first.Abort()
	prepare(t, srv.Input, opts).Abort()
}

// busy returns an address that is taken until the end of the test.
func busy(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// A change may come before the input serves; when it stops, it is too late.
func TestChangeBeforeAndAfter(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions()
	opts.Listen = []string{"unix://" + filepath.Join(dir, "one")}
	in, err := New(&opts, Env{Shutdown: config.Shutdown{Quiet: 200 * time.Millisecond, Deadline: 10 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Prepare(&opts); err == nil {
		t.Error("prepared before it listens")
	}
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	opts.Listen = []string{"unix://" + filepath.Join(dir, "two"), "tcp://127.0.0.1:0"}
	changeTo(t, in, opts)
	if _, err := net.Dial("unix", filepath.Join(dir, "one")); err == nil {
		t.Error("the first address is still there")
	}
	early := dialAt(t, "unix", filepath.Join(dir, "two"))
	s := newSink()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, s.accept) }()
	say(t, early, "a", "1")

	third := opts
	third.Listen = append([]string{"unix://" + filepath.Join(dir, "three")}, opts.Listen...)
	c := prepare(t, in, third)
	cancel()
	wait(t, "the end to begin", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.ending })
	c.Commit() // too late: nothing comes of it
	if _, err := os.Lstat(filepath.Join(dir, "three")); err == nil {
		t.Error("an input that stops begins to listen")
	}
	if _, err := in.Prepare(&opts); err == nil {
		t.Error("prepared while it stops")
	}
	say(t, early, "a", "2") // until it is quiet
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := in.Prepare(&opts); err == nil {
		t.Error("prepared after the end")
	}
	if diff := cmp.Diff(2, len(s.list())); diff != "" {
		t.Error(diff)
	}
}

// Changes at the same time as the end, and sockets that are removed: nothing stays open (see also TestMain).
func TestChangesWhileItStops(t *testing.T) {
	dir := t.TempDir()
	for range 20 {
		opts := testOptions()
		opts.Listen = []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(dir, "a")}
		srv := start(t, opts, Env{}, newSink())
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				for n := 0; ; n++ {
					next := opts
					if n%2 == 0 {
						next.Listen = []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(dir, fmt.Sprint("b", i))}
					}
					c, err := srv.Prepare(&next)
					if err != nil && strings.Contains(err.Error(), "stopping") {
						return
					}
					if err == nil {
						c.Commit()
					}
				}
			})
		}
		srv.Adjust(true, config.Shutdown{Quiet: time.Millisecond, Deadline: 5 * time.Second})
		time.Sleep(time.Millisecond) // any moment will do
		srv.end(t)
		wg.Wait()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
}

// One input that ends alone, as at a reload: clients are served until they are quiet, and each connection ends at the
// end of a message, with its acks sent.
func TestOneInputEndsAlone(t *testing.T) {
	opts := testOptions()
	s := newSink()
	srv := start(t, opts, Env{Shutdown: config.Shutdown{Quiet: 50 * time.Millisecond, Deadline: finishTime + 300*time.Millisecond}}, s)
	other := start(t, opts, Env{}, newSink())
	beside := other.dial(t)
	const clients = 8
	acked := make([]int, clients)
	var wg sync.WaitGroup
	for i := range clients { // they never pause
		c := srv.dial(t)
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprint(n)
				if _, err := c.Write(docker(fmt.Sprint(i), id, chunkOpt(id))); err != nil {
					return
				}
				want := ackOf(id)
				got := make([]byte, len(want))
				if _, err := readFull(c, got); err != nil {
					if errors.Is(err, syscall.ETIMEDOUT) {
						t.Error(err)
					}
					return
				}
				acked[i] = n + 1
			}
		})
	}
	s.waitFor(t, 100)
	srv.cancel()
	if err := <-srv.done; err != nil { // they are served until the deadline
		t.Error(err)
	}
	srv.done <- nil
	wg.Wait()
	total := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range acked {
		total += n
		if got := len(s.tags[fmt.Sprint(i)]); got < n || n == 0 {
			t.Errorf("client %d: %d acked, %d accepted", i, n, got)
		}
	}
	if st := srv.Stats(); st.Received < uint64(total) || st.Errors["cut"] > 0 || st.Acks != st.Received {
		t.Errorf("%d acked: %+v", total, st)
	}
	say(t, beside, "a", "1")
}
