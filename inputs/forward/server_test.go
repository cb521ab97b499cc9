package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAckFollowsAccept(t *testing.T) {
	s := newSink()
	s.gate = make(chan struct{})
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("bmV3bGluZQ==\n")))
	wait(t, "the message", func() bool { return srv.Stats().BytesRead > 0 })
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("something was sent before the event was accepted: %v", err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	close(s.gate)
	expect(t, c, ackOf("bmV3bGluZQ==\n"))
	wait(t, "the count", func() bool { return srv.Stats().Acks == 1 })
	if st := srv.Stats(); st.Received != 1 || st.Connections != 1 || st.ConnectionsTotal != 1 {
		t.Errorf("%+v", st)
	}
}

func TestNoAckWhenAcceptFails(t *testing.T) {
	s := newSink()
	s.err = errors.New("no")
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expectEnd(t, c)
	wait(t, "the count", func() bool { return srv.Stats().Errors["accept"] == 1 })
	if st := srv.Stats(); st.Received != 0 || st.Acks != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAttrsAndOrder(t *testing.T) {
	attrs := record.NewAttrs(record.Attr{Key: "host", Value: "h"})
	var mu sync.Mutex
	got := map[string][]string{}
	opts := testOptions()
	in, err := New(&opts, Env{Attrs: attrs, Shutdown: config.Shutdown{Quiet: time.Millisecond, Deadline: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- in.Run(ctx, func(_ context.Context, chunks []record.Chunk) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range chunks {
				if !chunks[i].Attrs.Equal(attrs) {
					t.Errorf("attrs %v", chunks[i].Attrs)
				}
				for it := record.Iterate(&chunks[i]); it.Next(); {
					log, _ := record.Text(record.ParsePath("log").Lookup(it.Event().Record))
					got[chunks[i].Tag] = append(got[chunks[i].Tag], string(log))
				}
			}
			return nil
		})
	}()
	c, err := net.Dial("tcp", in.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	var b []byte
	for i := range 5000 {
		tag := fmt.Sprint("tag", i%3)
		want[tag] = append(want[tag], fmt.Sprint(i))
		b = append(b, docker(tag, fmt.Sprint(i), []byte{0x80})...)
	}
	write(t, c, b)
	c.(*net.TCPConn).CloseWrite() // half-close: everything sent before still counts
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v", err)
	}
	c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHalfClosedClientGetsItsAck(t *testing.T) {
	srv := start(t, testOptions(), Env{}, newSink())
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	c.(*net.TCPConn).CloseWrite()
	expect(t, c, ackOf("x"))
	expectEnd(t, c)
}

func TestHeartbeatsAreSilent(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	srv := start(t, testOptions(), Env{Log: zap.New(core)}, newSink())
	for range 50 {
		srv.dial(t).Close()
	}
	wait(t, "the connections", func() bool { st := srv.Stats(); return st.ConnectionsTotal == 50 && st.Connections == 0 })
	if st := srv.Stats(); len(st.Errors) > 0 || logs.Len() > 0 {
		t.Errorf("errors %v, log %v", st.Errors, logs.All())
	}
	u, err := net.Dial("udp", srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetDeadline(time.Now().Add(10 * time.Second))
	write(t, u, []byte{0})
	expect(t, u, []byte{0})
}

func TestBadBytesAreLoggedOnceForAWhile(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	srv := start(t, testOptions(), Env{Name: "docker", Log: zap.New(core)}, newSink())
	good := srv.dial(t)
	var peer string
	for range 20 {
		c := srv.dial(t)
		if peer == "" {
			peer = c.LocalAddr().String()
		}
		write(t, c, []byte("GET / HTTP/1.1\r\n\r\n"))
		expectEnd(t, c)
		wait(t, "the end", func() bool { return srv.Stats().Connections == 1 })
	}
	if n := srv.Stats().Errors["bad_message"]; n != 20 || logs.Len() != 1 {
		t.Fatalf("%d errors, %d lines", n, logs.Len())
	}
	f := logs.All()[0].ContextMap()
	if f["peer"] != peer || f["reason"] != "bad_message" || f["input"] != "docker" || !strings.Contains(fmt.Sprint(f["error"]), "HTTP") {
		t.Errorf("line: %v", f)
	}
	write(t, good, docker("app", "one", chunkOpt("x")))
	expect(t, good, ackOf("x"))
}

func TestMaxConnections(t *testing.T) {
	opts := testOptions()
	opts.MaxConnections = 2
	srv := start(t, opts, Env{}, newSink())
	a, b := srv.dial(t), srv.dial(t)
	write(t, b, docker("app", "one", chunkOpt("x")))
	expect(t, b, ackOf("x"))
	write(t, a, docker("app", "one", chunkOpt("y")))
	expect(t, a, ackOf("y"))
	expectEnd(t, srv.dial(t))
	b.Close()
	wait(t, "room", func() bool { return srv.Stats().Connections == 1 })
	d := srv.dial(t)
	write(t, d, docker("app", "one", chunkOpt("z")))
	expect(t, d, ackOf("z"))
	if st := srv.Stats(); st.Refused != 1 || st.ConnectionsTotal != 3 {
		t.Errorf("%+v", st)
	}
}

func TestIdleTimeout(t *testing.T) {
	opts := testOptions()
	opts.IdleTimeout = 20 * time.Millisecond
	srv := start(t, opts, Env{}, newSink())
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))
	expectEnd(t, c)
	if st := srv.Stats(); len(st.Errors) > 0 {
		t.Errorf("errors %v", st.Errors)
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "fluent.sock")
	opts := testOptions()
	opts.Listen = []string{"unix://" + path}
	opts.UnixMode = "0600"
	s := newSink()
	srv := start(t, opts, Env{}, s)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))

	second, _ := New(&opts, Env{})
	if err := second.Listen(); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("a socket in use: %v", err)
	}
	srv.end(t)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}

	// What a killed router leaves behind is replaced.
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	again := start(t, opts, Env{}, newSink())
	c = again.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))

	// A socket that another process has put there by now is left alone.
	os.Remove(path)
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	again.end(t)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	}

	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("data"), 0o600)
	opts.Listen = []string{"unix://" + file}
	third, _ := New(&opts, Env{})
	if err := third.Listen(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "data" {
		t.Error("the file was touched")
	}
}

func TestListenAgainAtOnce(t *testing.T) {
	opts := testOptions()
	srv := start(t, opts, Env{}, newSink())
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))
	opts.Listen = []string{srv.Addrs()[0].String()} // a bare host:port
	busy, _ := New(&opts, Env{})
	if err := busy.Listen(); err == nil || !strings.Contains(err.Error(), opts.Listen[0]) {
		t.Errorf("an address in use: %v", err)
	}
	srv.end(t)
	again := start(t, opts, Env{}, newSink())
	c = again.dial(t)
	write(t, c, docker("app", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))
}

// Clients that connect before Run are served by it.
func TestConnectBeforeRun(t *testing.T) {
	opts := testOptions()
	in, err := New(&opts, Env{Shutdown: config.Shutdown{Quiet: time.Millisecond, Deadline: 4 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", in.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write(t, c, docker("app", "one", chunkOpt("x")))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- in.Run(ctx, newSink().accept) }()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	expect(t, c, ackOf("x"))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 5,000 connections")
	}
	n := 5000
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		n = min(n, int(lim.Cur)/2-200)
	}
	s := newSink()
	opts := testOptions()
	opts.Listen = []string{"unix://" + filepath.Join(t.TempDir(), "s")}
	srv := start(t, opts, Env{}, s)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = srv.dial(t)
	}
	wait(t, "connections", func() bool { return srv.Stats().Connections == n })
	for i, c := range conns {
		write(t, c, docker("app", fmt.Sprint(i), []byte{0x80}))
	}
	s.waitFor(t, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	stacks := before.StackInuse
	for _, c := range conns {
		c.Close()
	}
	wait(t, "the ends", func() bool { return srv.Stats().Connections == 0 })
	clear(conns)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (before.HeapAlloc - after.HeapAlloc) / uint64(n)
	t.Logf("%d idle connections: %d bytes of heap each, both ends; stacks %d bytes each", n, each, stacks/uint64(n))
	if each > 10<<10 {
		t.Errorf("%d bytes for an idle connection", each)
	}
	if st := srv.Stats(); st.Received != uint64(n) || len(st.Errors) > 0 {
		t.Errorf("%+v", st)
	}
}

func TestCrowdOfConnects(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{}, s)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			c := srv.dial(t)
			id := fmt.Sprint(i)
			write(t, c, docker("app", id, chunkOpt(id)))
			expect(t, c, ackOf(id))
			c.Close()
		})
	}
	wg.Wait()
	if got := len(s.list()); got != 300 {
		t.Errorf("%d events", got)
	}
}

func TestTagsAreInterned(t *testing.T) {
	var in interner
	a := in.get([]byte("tag"))
	if n := testing.AllocsPerRun(100, func() { a = in.get([]byte("tag")) }); n > 0 {
		t.Errorf("%v allocations for a known tag", n)
	}
	for i := range 10 * tagsKept {
		in.get([]byte(fmt.Sprint(i)))
	}
	if n := len(in.young) + len(in.old); n > 2*tagsKept || a != "tag" {
		t.Errorf("%d tags are kept", n)
	}
}

// Connections leave files to the outputs.
func TestConnectionsLeaveFiles(t *testing.T) {
	if n := fileBound(); n < 16 {
		t.Errorf("%d files for connections", n)
	}
	s := newSink()
	opts := testOptions()
	opts.Listen = append(opts.Listen, "unix://"+filepath.Join(t.TempDir(), "s"))
	in, err := New(&opts, Env{})
	if err != nil {
		t.Fatal(err)
	}
	in.fileMax = 3
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- in.Run(t.Context(), s.accept) }()
	for i, a := range in.Addrs() {
		c, err := net.Dial(a.Network(), a.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		expectEnd(t, c)
		c.Close()
		if n := in.Stats().Refused; n != uint64(i+1) {
			t.Errorf("%d refused", n)
		}
	}
	in.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Somebody removes the socket's file, with its directory: it comes back, and connections that are there go on.
func TestRemovedSocketComesBack(t *testing.T) {
	s := newSink()
	opts := testOptions()
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, "s")
	opts.Listen = []string{"unix://" + path}
	srv := start(t, opts, Env{}, s)
	old := srv.dial(t)
	write(t, old, docker("app", "1", chunkOpt("1")))
	expect(t, old, ackOf("1"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wait(t, "the socket", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	c := srv.dial(t)
	write(t, c, docker("app", "2", chunkOpt("2")))
	expect(t, c, ackOf("2"))
	write(t, old, docker("app", "3", chunkOpt("3")))
	expect(t, old, ackOf("3"))
	srv.end(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}
