package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// build returns the path of a fresh binary.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the shipped binary")
	}
	path := filepath.Join(t.TempDir(), "firebreak")
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/firebreak")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func env(t *testing.T, binary string) *Env {
	return &Env{Binary: binary, Dir: t.TempDir(), Scale: 0.01, Rate: 20_000, Faults: []sink.Mode{sink.AcceptNotRead}, Say: t.Logf}
}

func TestTheShippedBinaryKeepsItsPromises(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			e := env(t, binary)
			if name == "isolation" {
				e.By = "line"
			}
			r, err := Run(t.Context(), name, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Problems {
				t.Error(p)
			}
			if len(r.Rows) < 5 {
				t.Errorf("only %d numbers", len(r.Rows))
			}
			if left, _ := os.ReadDir(e.Dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// The scenarios find what is broken: with buffers in memory kill -9 loses what was acked, and SIGTERM what is left.
func TestAVolatileBufferIsFoundOut(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, name := range []string{"kill", "sigterm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := env(t, binary)
			e.Buffer, e.Patience = "type: memory", 3*time.Second
			r, _ := Run(t.Context(), name, e)
			if r == nil || !strings.Contains(strings.Join(r.Problems, "\n"), "missing") {
				t.Errorf("%+v: no missing events", r)
			}
		})
	}
}

// A clients' wait shows: with on_full: block the dead destination holds up those who send to it.
func TestABlockedClientIsFoundOut(t *testing.T) {
	t.Parallel()
	e := env(t, build(t))
	e.Buffer = "type: memory, max_bytes: 1MiB, on_full: block"
	e.Faults = []sink.Mode{sink.Refuse}
	e.Scale, e.Rate = 0.3, 300_000 // sockets hold several MiB
	r, err := Run(t.Context(), "isolation", e)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(r.Problems, "\n"), "write was blocked") {
		t.Errorf("%q: a blocked write is not among them", r.Problems)
	}
}

func TestRoutesAndLoadsBelongTogether(t *testing.T) {
	for by, want := range map[string]bool{"": false, "tag": false, "tags": true, "record": true, "line": true} {
		e := &Env{By: by}
		cfg := e.load("")
		if cfg.Mixed != want || cfg.TypeKey != (by == "record") || e.match(load.Audit) == e.match(load.Error) {
			t.Errorf("by %q: %+v, %s", by, cfg, e.match(load.Audit))
		}
	}
}
