//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// soak says whether the long forms run.
var soak = os.Getenv("FIREBREAK_SOAK") != ""

func long(short, long time.Duration) time.Duration {
	if soak {
		return long
	}
	return short
}

func TestMain(m *testing.M) {
	code := m.Run()
	removeStale()
	os.Exit(code)
}

// missing skips the test, or fails it where everything has to run.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("FIREBREAK_REQUIRE_DOCKER") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root, to mount file systems")
	}
}

var top = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}()

// makeTarget runs a target of the Makefile once, so that what is tested is what is shipped.
func makeTarget(target string) func() error {
	return sync.OnceValue(func() error {
		out, err := exec.Command("make", "-C", top, target).CombinedOutput()
		if err != nil {
			return fmt.Errorf("make %s: %w\n%s", target, err, out)
		}
		return nil
	})
}

var (
	makeBuild = makeTarget("build")
	makeImage = makeTarget("image")
)

// binary returns the path of the shipped binary.
func binary(t *testing.T) string {
	t.Helper()
	if err := makeBuild(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(top, "firebreak")
}

// run runs a command, at most a minute.
func run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(bytes.TrimSpace(stdout.Bytes())), nil
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually polls until done says "" or the time is over; what done says is what it still waits for.
func eventually(t *testing.T, timeout time.Duration, done func() string) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		what := done()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", timeout, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// within returns a context for one wait.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// freePort returns a TCP port of 127.0.0.1 that nothing listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

func isFree(port string) bool {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}
