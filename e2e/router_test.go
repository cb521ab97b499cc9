//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A router is one running firebreak.
type router struct {
	t     *testing.T
	dir   string // where it runs
	log   string // file with its stdout and stderr
	admin string // host:port
	args  []string
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has exited
}

// destStatus and status are the parts of /status that the tests look at.
type destStatus struct {
	Name         string            `json:"name"`
	Breaker      string            `json:"breaker"`
	Error        string            `json:"error"`
	Volatile     bool              `json:"volatile"`
	Problem      string            `json:"problem"`
	Full         bool              `json:"full"`
	Offered      uint64            `json:"offered"`
	Delivered    uint64            `json:"delivered"`
	DeadLettered map[string]uint64 `json:"dead_lettered"`
	Shed         map[string]uint64 `json:"shed"`
	Moved        map[string]uint64 `json:"moved"`
	Buffered     uint64            `json:"buffered"`
	Leased       uint64            `json:"leased"`
}

func (d destStatus) shed() (n uint64) {
	for _, v := range d.Shed {
		n += v
	}
	return n
}

// check returns how the ledger fails to balance, or "".
func (d destStatus) check() string {
	sum := d.Delivered + d.shed() + d.Buffered
	for _, v := range d.DeadLettered {
		sum += v
	}
	for _, v := range d.Moved {
		sum += v
	}
	if sum == d.Offered {
		return ""
	}
	return fmt.Sprintf("ledger of %s: offered %d, accounted for %d: %+v", d.Name, d.Offered, sum, d)
}

type status struct {
	Phase  string `json:"phase"`
	Inputs []struct {
		Received uint64   `json:"received"`
		Routed   uint64   `json:"routed"`
		Listen   []string `json:"listen"`
	} `json:"inputs"`
	Destinations []destStatus `json:"destinations"`
}

func (s status) dest(name string) destStatus {
	for _, d := range s.Destinations {
		if d.Name == name {
			return d
		}
	}
	return destStatus{Name: name + " (missing)"}
}

// startRouter writes the configuration, if there is one, and runs the binary with it in dir. The configuration has no
// data_dir and no admin: it gets both here.
func startRouter(t *testing.T, dir, config string) *router {
	t.Helper()
	r := &router{t: t, dir: dir, log: filepath.Join(dir, "router.log"), admin: "127.0.0.1:24220", args: []string{"run"}}
	if config != "" {
		r.admin = "127.0.0.1:" + freePort(t)
		file := filepath.Join(dir, "firebreak.yaml")
		config = fmt.Sprintf("data_dir: %s\nadmin: %s\n%s", filepath.Join(dir, "data"), r.admin, config)
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		r.args = append(r.args, "-c", file)
	}
	t.Cleanup(func() {
		if t.Failed() {
			_, body, _ := r.get("/status")
			t.Logf("the router's status:\n%s", body)
		}
		r.kill()
		if t.Failed() {
			t.Logf("end of the router's log:\n%s", tail(r.log, 30))
		}
	})
	r.start()
	return r
}

// start runs the binary and returns when it answers that it accepts and stores.
func (r *router) start() {
	r.t.Helper()
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command(binary(r.t), r.args...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, log, log
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "FIREBREAK_") {
			r.cmd.Env = append(r.cmd.Env, kv)
		}
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	cmd, done := r.cmd, make(chan struct{})
	r.done = done
	go func() { _ = cmd.Wait(); close(done) }()
	eventually(r.t, 15*time.Second, func() string {
		select {
		case <-done:
			r.t.Fatalf("the router ended: %v\n%s", cmd.ProcessState, tail(r.log, 30))
		default:
		}
		if code, body, err := r.get("/health/live"); err != nil || code != http.StatusOK {
			return fmt.Sprintf("not live: %d %s %v", code, body, err)
		}
		return ""
	})
}

// kill ends the router with SIGKILL, if it runs.
func (r *router) kill() {
	if r.done == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		r.t.Error("the router is still there 30 s after SIGKILL")
	}
}

// stop sends SIGTERM and returns how long the end took. An end by anything but exit code 0 fails the test.
func (r *router) stop(timeout time.Duration) time.Duration {
	r.t.Helper()
	began := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(timeout):
		r.t.Fatalf("the router still runs %v after SIGTERM", timeout)
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		r.t.Fatalf("the router ended with %v", r.cmd.ProcessState)
	}
	return time.Since(began)
}

func (r *router) get(path string) (int, []byte, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.admin + path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (r *router) status() status {
	r.t.Helper()
	var s status
	code, body, err := r.get("/status")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil || code != http.StatusOK {
		r.t.Fatalf("ask for the status: %d %s %v", code, body, err)
	}
	return s
}

// left returns what the last shutdown said is left in each destination.
func (r *router) left() map[string]uint64 {
	r.t.Helper()
	f, err := os.Open(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	out := map[string]uint64{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var line struct {
			Destination string  `json:"destination"`
			Left        *uint64 `json:"left_events"`
		}
		if json.Unmarshal(sc.Bytes(), &line) == nil && line.Left != nil {
			out[line.Destination] = *line.Left
		}
	}
	return out
}

// calm fails the test if the log has a panic or a data race.
func (r *router) calm() {
	r.t.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, word := range []string{"panic:", "goroutine ", "fatal error:"} {
		if bytes.Contains(b, []byte(word)) {
			r.t.Errorf("the router's log has %q:\n%s", word, tail(r.log, 60))
			return
		}
	}
}

// rss returns the memory of a process of its own (RssAnon) and all of it (VmRSS), in bytes.
func rss(pid int) (anon, all int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for l := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(l, "RssAnon: %d kB", &kb); n == 1 {
			anon = kb << 10
		} else if n, _ := fmt.Sscanf(l, "VmRSS: %d kB", &kb); n == 1 {
			all = kb << 10
		}
	}
	if all == 0 {
		return 0, 0, errors.New("no memory in /proc/PID/status")
	}
	return anon, all, nil
}

func tail(file string, lines int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
