package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/jsonmp"
)

// A liveRouter is a router that runs in the process of a test.
type liveRouter struct {
	*agent.Agent
	t    *testing.T
	dir  string
	stop func()
}

// startRouter runs a router with these routes and outputs until the test ends.
func startRouter(t *testing.T, dir, yaml string) *liveRouter {
	t.Helper()
	head := fmt.Sprintf("data_dir: %q\nadmin: 127.0.0.1:0\nshutdown: { quiet: 10ms, deadline: 5s }\ninputs: { docker: { type: forward, listen: \"tcp://127.0.0.1:0\" } }\n", dir)
	cfg, err := config.Load("test.yaml", []byte(head+yaml), agent.Kinds(), config.System())
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Options{Config: cfg, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	r := &liveRouter{Agent: a, t: t, dir: dir}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(r.stop)
	wait(t, func() bool {
		_, _, err := newRouterClient(dir, dir).status(context.Background(), time.Second)
		return err == nil
	})
	return r
}

// send sends events, each a JSON object, as Docker would.
func (r *liveRouter) send(tag string, records ...string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.Listening()[0], "tcp://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	var b []byte
	for _, record := range records {
		if b, err = jsonmp.Append(b, fmt.Appendf(nil, `[%q,%d,%s]`, tag, time.Now().Unix(), record)); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// noLeaks checks at the end of a test that it has left no goroutine behind.
func noLeaks(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

// wait waits until something is so.
func wait(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
	}
}

// call runs the command line.
func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// fakeRouter serves the control socket of a directory.
func fakeRouter(t *testing.T, h http.HandlerFunc) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ln := listenIn(t, dir)
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return dir
}

func listenIn(t *testing.T, dir string) *net.UnixListener {
	t.Helper()
	t.Chdir(dir) // paths of sockets are short
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: agent.ControlSocket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// golden compares a text with a file in testdata/view, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "view", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
