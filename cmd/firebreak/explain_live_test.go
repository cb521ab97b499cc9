package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// runningRouter runs a router with an input and returns the input's address and the data directory.
func runningRouter(t *testing.T) (addr, dir string) {
	t.Helper()
	dir = t.TempDir()
	cfg, err := config.Load("old.yaml", []byte(`
data_dir: "`+dir+`"
admin: off
shutdown: { quiet: 10ms, deadline: 5s }
inputs: { docker: { type: forward, listen: "tcp://127.0.0.1:0" } }
processors: [{ drop: true }]
outputs: { gone: { type: "null" } }
`), agent.Kinds(), config.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Options{Config: cfg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := agent.DialControl(ctx, dir)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	return strings.TrimPrefix(a.Listening()[0], "tcp://"), dir
}

// send sends a line again and again until the test ends.
func send(t *testing.T, addr, tag, line string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	msg := mp.AppendInt(mp.AppendStr(mp.AppendArray(nil, 3), tag), 1700000000)
	msg = mp.AppendStr(mp.AppendStr(mp.AppendMap(msg, 1), "log"), line)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.Write(msg); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
}

// Events of the running router, as its input gives them, meet the new configuration.
func TestExplainLive(t *testing.T) {
	addr, dir := runningRouter(t)
	name := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(name, []byte(`
data_dir: "`+dir+`"
inputs: { docker: { type: forward } }
routes: [{ name: hello, match: { line: hello }, to: [new] }, { name: rest, discard: true }]
outputs: { new: { type: "null" } }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	explain := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = run(append([]string{"explain", "-c", name}, args...), &o, &e)
		return code, o.String(), e.String()
	}
	code, out, errs := explain("--live", "--timeout", "1ms")
	if code != 1 || out != "" || errs != "firebreak: 0 events of 5 came within 1ms; --timeout waits longer\n" {
		t.Errorf("without events: exit code %d, %q, %q", code, out, errs)
	}
	send(t, addr, "app.web", "hello")
	code, out, errs = explain("--live", "2", "--timeout", "30s")
	const one = `{"log":"hello"}  tag app.web
  routes      hello  MATCHES: line is "hello" -> new
              not reached: rest
  goes to     new    (null) as type hello
`
	want := "event 1  " + one + "\nevent 2  " + one + `
2 events
  types       hello         2  100.0 %  first: event 1
  go to       new           2  100.0 %  null
`
	want = strings.ReplaceAll(want, `line is "hello"`, `line "hello" matches /hello/`)
	if code != 0 || out != want || errs != "" {
		t.Errorf("exit code %d, %s\ngot:\n%s\nwant:\n%s", code, errs, out, want)
	}
	code, out, errs = explain("--live=3", "--timeout", "30s", "--data-dir", dir, "-o", "json")
	if code != 0 || strings.Count(out, `"fate":"routed","type":"hello"`) != 3 || errs != "" {
		t.Errorf("as JSON: exit code %d, %s%s", code, out, errs)
	}
}
