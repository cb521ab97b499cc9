package agent

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/bench/load"
)

const toNull = "\noutputs: { gone: { type: \"null\" } }\n"

// A second router on one data directory is a clear error, and does the first no harm.
func TestTwoOnOneDataDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, head(dir)+toNull)
	_, err := New(Options{Config: parse(t, head(dir)+toNull, nil)})
	if err == nil || !errors.Is(err, errInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("the second one: %v", err)
	}
	send(t, r.addr(), 300, 0)
	r.end()
	build(t, parse(t, head(dir)+toNull, nil)).run() // the lock is free again
}

// A data directory that can't be made leaves everything in memory, loudly, and live.
func TestDataDirThatIsAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	memoryOnly(t, filepath.Join(file, "data"))
}

func TestDataDirThatIsReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a read-only file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("can't mount a read-only file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	memoryOnly(t, dir)
}

func memoryOnly(t *testing.T, dir string) {
	t.Helper()
	s := aggregator(t, "127.0.0.1:0")
	r := start(t, head(dir)+fmt.Sprintf("\noutputs: { agg: { type: forward, servers: [%q] } }\n", s.Addr()))
	if len(r.log.lines(t, "can't use data_dir: events are in memory until it can be used")) != 1 {
		t.Errorf("no line about data_dir:\n%s", r.log)
	}
	l := send(t, r.addr(), 600, 0)
	eventually(t, func() string {
		if c := s.Counts(); c.Events != l.Sent() {
			return fmt.Sprintf("%d of %d arrived", c.Events, l.Sent())
		}
		return ""
	})
	if st := r.page(); !st.dest("agg").Volatile || st.dest("agg").Problem == "" {
		t.Errorf("status: %+v", st.dest("agg"))
	}
	if code, text := r.get("/health/live"); code != http.StatusOK {
		t.Errorf("live: %d %s", code, text)
	}
	if code, text := r.get("/health/ready"); code == http.StatusOK || !strings.Contains(text, `buffer of "agg" is volatile`) {
		t.Errorf("ready: %d %s", code, text)
	}
	_, page := r.get("/metrics")
	if total(values(t, page, "buffer_volatile")) != 1 {
		t.Error("the metric doesn't say volatile")
	}
}

// An admin address that is taken is a warning; it is used as soon as it is free.
func TestAdminAddressTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	yaml := strings.Replace(head(t.TempDir()), "admin: 127.0.0.1:0", "admin: "+ln.Addr().String(), 1) + toNull
	r := build(t, parse(t, yaml, nil))
	r.admin.retry = 10 * time.Millisecond
	r.run()
	if r.Admin() != "" || !strings.Contains(r.log.String(), "can't listen on the admin address") {
		t.Fatalf("admin %q:\n%s", r.Admin(), r.log)
	}
	send(t, r.addr(), 300, 0)
	ln.Close()
	eventually(t, func() string {
		if r.Admin() == "" {
			return "the admin address isn't used when it is free"
		}
		return ""
	})
	if s := r.page(); s.Inputs[0].Received < 300 {
		t.Errorf("%+v", s.Inputs)
	}
}

// An address that is taken is an error that says which; nothing stays open.
func TestListenAddressTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	yaml := strings.Replace(head(dir), "tcp://127.0.0.1:0", "tcp://"+ln.Addr().String(), 1) + toNull
	_, err = New(Options{Config: parse(t, yaml, nil)})
	if err == nil || !strings.Contains(err.Error(), `start input "docker"`) || !strings.Contains(err.Error(), ln.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("%v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("data_dir was touched: %v", list)
	}
}

// Clients connect before anything else happens, and wait for Run.
func TestListensBeforeItRuns(t *testing.T) {
	r := build(t, parse(t, head(t.TempDir())+toNull, nil))
	l, err := load.New(load.Config{Addr: r.addr(), Conns: 1, Events: 100, Ack: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(t.Context()); close(done) }()
	eventually(t, func() string {
		if st := l.Stats(); st.Dials.Count() == 0 {
			return "no connection"
		}
		return ""
	})
	r.run()
	<-done
	if l.Acked() < 100 {
		t.Errorf("acked %d", l.Acked())
	}
}

func TestLiveIsAboutTheRouterOnly(t *testing.T) {
	t.Parallel()
	r := build(t, parse(t, head(t.TempDir())+`
outputs: { agg: { type: forward, servers: ["127.0.0.1:9"] } }
`, nil))
	if ok, why := r.Live(); ok || why != "starting" {
		t.Errorf("before it runs: %v %s", ok, why)
	}
	r.run()
	send(t, r.addr(), 300, 0)
	eventually(t, func() string {
		if code, _ := r.get("/health/destinations/agg"); code == http.StatusOK {
			return "the destination is said to be healthy"
		}
		return ""
	})
	for _, path := range []string{"/health/live", "/health", "/health/ready"} {
		if code, text := r.get(path); code != http.StatusOK {
			t.Errorf("%s with a dead destination: %d %s", path, code, text)
		}
	}
	if code, text := r.get("/health/destinations/nobody"); code != http.StatusNotFound || !strings.Contains(text, `"nobody"`) {
		t.Errorf("an unknown destination: %d %s", code, text)
	}
	r.now.Load().ins[0].ended.Store(true)
	if code, text := r.get("/health/live"); code != http.StatusServiceUnavailable || !strings.Contains(text, `"docker"`) {
		t.Errorf("an input that has ended: %d %s", code, text)
	}
}

func TestDegradedIsNotReady(t *testing.T) {
	r := build(t, parse(t, head(t.TempDir())+toNull, nil))
	r.reloads.degraded = "bad.yaml:1:1: wrong"
	r.run()
	if code, text := r.get("/health/ready"); code != http.StatusServiceUnavailable || !strings.Contains(text, r.reloads.degraded) {
		t.Errorf("ready: %d %s", code, text)
	}
	if code, text := r.get("/health/live"); code != http.StatusOK {
		t.Errorf("live: %d %s", code, text)
	}
	if _, page := r.get("/metrics"); total(values(t, page, "config_degraded")) != 1 || r.page().Degraded != r.reloads.degraded {
		t.Error("metrics or status don't say it")
	}
}

// What earlier configurations left is named, and what they hold back is not deleted.
func TestOrphansAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := head(dir) + `
outputs: { old: { type: forward, servers: ["127.0.0.1:9"] } }
`
	r := start(t, old)
	l := send(t, r.addr(), 300, 0)
	r.end()
	r = start(t, head(dir)+toNull)
	eventually(t, func() string {
		if list := r.page().Orphans; len(list) != 1 || list[0].Name != "old" || list[0].Bytes == 0 {
			return fmt.Sprintf("orphans: %+v", list)
		}
		return ""
	})
	r.end()
	r = start(t, old)
	eventually(t, func() string {
		if d := r.page().dest("old"); d.Buffered != l.Sent() {
			return fmt.Sprintf("%d of %d are there again", d.Buffered, l.Sent())
		}
		return ""
	})
}

func TestLastConfigIsKept(t *testing.T) {
	dir := t.TempDir()
	r := build(t, parse(t, head(dir)+toNull, nil))
	r.opts.Source = []byte("first")
	r.run().end()
	text, name, err := LastConfig(dir)
	if err != nil || string(text) != "first" {
		t.Fatalf("%q %v", text, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	r = build(t, parse(t, head(dir)+toNull, nil))
	r.opts.Source, r.reloads.degraded = []byte("second"), "bad"
	r.run().end()
	if text, _, _ := LastConfig(dir); string(text) != "first" {
		t.Errorf("a degraded run replaced it: %q", text)
	}
	if len(r.log.lines(t, "the last configuration that ran is used, not the one given")) == 0 {
		t.Errorf("nothing says that it is degraded:\n%s", r.log)
	}
	if list, _ := filepath.Glob(filepath.Join(dir, "last-config*")); len(list) != 1 {
		t.Errorf("files: %v", list)
	}
}
