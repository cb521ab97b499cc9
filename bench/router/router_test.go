package router

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is also the process that the tests start: with ROUTER_TEST set it serves like a router until SIGTERM.
func TestMain(m *testing.M) {
	switch os.Getenv("ROUTER_TEST") {
	case "serve":
		serve()
	case "fail":
		os.Stderr.WriteString("no such output\n")
		os.Exit(3)
	default:
		goleak.VerifyTestMain(m)
	}
}

func serve() {
	if len(os.Args) > 2 && os.Args[1] == "reload" { // the command, beside what serves
		os.Stderr.WriteString("nothing has changed: " + os.Args[3] + "\n")
		os.Exit(1)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var heard atomic.Uint64
	go func() {
		for range hangups {
			heard.Add(1)
		}
	}()
	ln, err := net.Listen("tcp", os.Getenv("LISTEN"))
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"phase":"running","reload":{"ok":true,"count":%d},"destinations":[{"name":"a","offered":10,"delivered":4,"shed":{"full":1},"dead_lettered":{"x":2},"buffered":3}]}`, heard.Load())
	})
	mux.HandleFunc("/tap", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("destination") == "none" {
			http.Error(w, "no such destination", http.StatusNotFound)
			return
		}
		for i := range 3 {
			fmt.Fprintf(w, "{\"event\":%d}\n", i)
		}
		if r.FormValue("stay") != "" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	if control, err := net.Listen("unix", "control.sock"); err == nil {
		go func() { _ = http.Serve(control, mux) }()
	}
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP a b\nx_total{destination=\"a b\"} 7\ny 1e3\n"))
	})
	os.Stderr.WriteString("{\"msg\":\"closed\",\"left_events\":5}\nnot json\n")
	_ = http.Serve(ln, mux)
}

func started(t *testing.T, mode string) *Router {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Start(Config{Binary: exe, Dir: dir, DataDir: dir, YAML: "a: b", Listen: addr, Admin: addr, Env: []string{"ROUTER_TEST=" + mode, "LISTEN=" + addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

func TestStartAskTerminate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := started(t, "serve")
	if took, err := r.Ready(ctx); err != nil || took <= 0 {
		t.Fatal(took, err)
	}
	if b, _ := os.ReadFile(filepath.Join(r.cfg.Dir, "firebreak.yaml")); string(b) != "a: b" {
		t.Errorf("configuration %q", b)
	}
	s, err := r.WaitStatus(ctx, func(s Status) bool { return s.Phase == "running" })
	d, ok := s.Destination("a")
	if err != nil || !ok || d.Given() != 3 || !d.Balanced() {
		t.Errorf("%+v, %v", s, err)
	}
	if d.Offered++; d.Balanced() {
		t.Error("a ledger that lacks one is balanced")
	}
	m, err := r.Metrics(ctx)
	if err != nil || m[`x_total{destination="a b"}`] != 7 || m["y"] != 1000 {
		t.Errorf("%v, %v", m, err)
	}
	if err := r.Terminate(ctx); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("terminate: %v, want the status of a process that a signal ended", err)
	}
	if l := r.Lines("closed"); len(l) != 1 || l[0]["left_events"] != 5.0 {
		t.Errorf("lines %v", l)
	}
}

func TestReadyTellsWhyTheProcessEnded(t *testing.T) {
	r := started(t, "fail")
	if _, err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no such output") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
}
