package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFaultsByName(t *testing.T) {
	got, err := parseFaults("refuse, never-ack")
	if err != nil || len(got) != 2 || got[0] != sink.Refuse || got[1] != sink.NeverAck {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := parseFaults(""); err != nil || got != nil {
		t.Errorf("none: %q, %v", got, err)
	}
	if _, err := parseFaults("explode"); err == nil || !strings.Contains(err.Error(), "black-hole") {
		t.Errorf("%v, want the faults that there are", err)
	}
}

func TestWrongArgumentsAreErrors(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"-nonsense"}, {"-run", "other"}, {"-faults", "explode"}, {"pump"}, {"sink", "-fault", "explode"}, {"load", "-mode", "other"},
		{"-run", "steady", "-firebreak", filepath.Join(dir, "missing"), "-dir", dir}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestResultsAreWrittenAsJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.json")
	err := run(t.Context(), []string{"-run", "steady", "-firebreak", "/nowhere/firebreak", "-json", out, "-dir", t.TempDir()})
	if b, _ := os.ReadFile(out); err == nil || !strings.Contains(string(b), `"scenario": "steady"`) || !strings.Contains(string(b), "not finished") {
		t.Errorf("%v, %s", err, b)
	}
}

func TestLoadAndSinkAsCommands(t *testing.T) {
	addr, err := router.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"sink", "-listen", addr, "-fault", "refuse", "-after", "1ms", "-for", "1ms"})
	}()
	if err := run(ctx, []string{"load", "-addr", addr, "-events", "1000", "-ack", "-mixed"}); err != nil {
		t.Error(err)
	}
	if ctx.Err() != nil {
		t.Error("the load did not end")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
