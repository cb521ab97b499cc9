// Package router starts the shipped binary as its users do, and asks it from the outside.
package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what to start.
type Config struct {
	Binary string    // the firebreak binary
	Dir    string    // working directory; firebreak.yaml is written there
	YAML   string    // the configuration
	Listen string    // address that the configuration listens on, for Ready: host:port, or unix:///path
	Admin  string    // the configuration's admin address
	Args   []string  // instead of run -c firebreak.yaml
	Env    []string  // added to the environment
	Log    io.Writer // also gets what the process writes; may be nil

	DataDir string // the configuration's data_dir, for Tap and Reload
}

// A Router is a started process. Its methods may be called concurrently.
type Router struct {
	cfg     Config
	cmd     *exec.Cmd
	started time.Time
	output  tail
	exited  chan struct{}
	err     error
}

// Start writes the configuration and starts the process. It doesn't wait until it listens: see Ready.
func Start(cfg Config) (*Router, error) {
	args := cfg.Args
	if args == nil {
		path := cfg.file()
		if err := os.WriteFile(path, []byte(cfg.YAML), 0o600); err != nil {
			return nil, fmt.Errorf("start router: %w", err)
		}
		args = []string{"run", "-c", path}
	}
	r := &Router{cfg: cfg, cmd: exec.Command(cfg.Binary, args...), exited: make(chan struct{})}
	r.output.also = cfg.Log
	r.cmd.Dir = cfg.Dir
	r.cmd.Env = append(os.Environ(), cfg.Env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.started = time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start router: %w", err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.exited)
	}()
	return r, nil
}

func (c *Config) file() string { return filepath.Join(c.Dir, "firebreak.yaml") }

// PID returns the process id.
func (r *Router) PID() int { return r.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (r *Router) Exited() <-chan struct{} { return r.exited }

// Output returns what the process has written, the last 1 MiB of it.
func (r *Router) Output() string { return r.output.String() }

// Ready waits until a connect to the listen address succeeds and returns the time since the start of the process.
func (r *Router) Ready(ctx context.Context) (time.Duration, error) {
	network, addr := "tcp", r.cfg.Listen
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	for {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err == nil {
			took := time.Since(r.started)
			_ = c.Close()
			return took, nil
		}
		select {
		case <-r.exited:
			return 0, fmt.Errorf("router has ended: %w: %s", errors.Join(r.err, errors.New("before it listened")), r.output.end())
		case <-ctx.Done():
			return 0, fmt.Errorf("router doesn't listen: %w: %s", err, r.output.end())
		case <-time.After(time.Millisecond):
		}
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (r *Router) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
}

// Terminate sends SIGTERM and waits for the end; the error is the exit status, nil for 0.
func (r *Router) Terminate(ctx context.Context) error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate router: %w", err)
	}
	select {
	case <-r.exited:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("router still runs: %w", ctx.Err())
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	buf  []byte
	also io.Writer
}

const maxTail = 1 << 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*maxTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	if t.also != nil {
		_, _ = t.also.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// end returns the last lines.
func (t *tail) end() string {
	lines := bytes.Split(bytes.TrimSpace([]byte(t.String())), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// FreeAddr returns an address of 127.0.0.1 that was free a moment ago.
func FreeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
