package stdout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

const childEnv = "FIREBREAK_TEST_STDOUT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// child writes to a standard output that nobody reads, and says on standard error what came of it.
func child() {
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the reader is gone
	out, err := (&Options{Format: "raw"}).Open(outputs.Env{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	res := out.Send(context.Background(), outputs.Batch{Body: []byte("x\n"), Events: 1})
	fmt.Fprintln(os.Stderr, "alive:", res.Err)
}

func line(text string) record.Event {
	rec := mp.AppendStr(mp.AppendStr(mp.AppendMap(nil, 1), "log"), text)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := &record.Chunk{Tag: "app", Events: 1, Data: record.AppendEntry(nil, at, rec)}
	it := record.Iterate(c)
	it.Next()
	return it.Event()
}

func batch(t *testing.T, out outputs.Output, lines ...string) outputs.Batch {
	t.Helper()
	b := outputs.Batch{Events: len(lines)}
	for _, s := range lines {
		var err error
		if b.Body, err = out.Shape().Encode(b.Body, line(s)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// writer records writes. It waits for gate, if there is one, and fails after taking limit bytes, if that isn't 0.
type writer struct {
	mu     sync.Mutex
	writes []string
	gate   chan struct{}
	limit  int
	closed bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit > 0 && len(p) > w.limit {
		w.writes = append(w.writes, string(p[:w.limit]))
		return w.limit, errors.New("no more room")
	}
	w.writes = append(w.writes, string(p))
	return len(p), nil
}

func (w *writer) Close() error { w.closed = true; return nil }

func TestOneWriteOfWholeLines(t *testing.T) {
	for format, want := range map[string]string{
		"raw":        "one\ntwo\n",
		"json_lines": `{"time":"2026-11-20T12:00:00Z","tag":"app","log":"one"}` + "\n" + `{"time":"2026-11-20T12:00:00Z","tag":"app","log":"two"}` + "\n",
	} {
		w := &writer{}
		out := (&Options{Format: format, TimeKey: "time", TagKey: "tag"}).to(w)
		if res := out.Send(t.Context(), batch(t, out, "one", "two")); res.Err != nil {
			t.Fatal(res.Err)
		}
		if len(w.writes) != 1 || w.writes[0] != want {
			t.Errorf("%s: writes %q, want one of %q", format, w.writes, want)
		}
		if err := out.Close(t.Context()); err != nil || !w.closed {
			t.Errorf("close: %v", err)
		}
	}
}

func TestBlockedReaderHoldsNothingButItself(t *testing.T) {
	w := &writer{gate: make(chan struct{})}
	out := (&Options{Format: "raw"}).to(w)
	b := batch(t, out, "first")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for range 2 {
		if res := out.Send(ctx, b); !errors.Is(res.Err, context.DeadlineExceeded) || outputs.Classify(res.Err).Class != outputs.Transient {
			t.Fatalf("Send = %+v, want the deadline, transient", res)
		}
	}
	clear(b.Body) // the batch was only borrowed
	if err := out.Close(ctx); err == nil {
		t.Error("Close did not say that a write is still under way")
	}
	close(w.gate)
	if res := out.Send(t.Context(), batch(t, out, "second")); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := strings.Join(w.writes, ""); got != "first\nsecond\n" {
		t.Errorf("written: %q", got)
	}
}

func TestLineOfAFailedWriteIsCompletedFirst(t *testing.T) {
	w := &writer{limit: 6}
	out := (&Options{Format: "raw"}).to(w)
	b := batch(t, out, "one", "two", "three")
	if res := out.Send(t.Context(), b); res.Err == nil {
		t.Fatal("no error")
	}
	w.limit = 0
	if res := out.Send(t.Context(), b); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := strings.Join(w.writes, ""); got != "one\ntwo\none\ntwo\nthree\n" {
		t.Errorf("written: %q", got)
	}
}

func TestClosedStandardOutputDoesNotEndTheProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), w.Close(), stdin.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), "alive:") || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("%v, stderr %q; want a process that lives on", err, stderr.String())
	}
}

func TestCheckWritesNothing(t *testing.T) {
	out, err := Kind().Options().Open(outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close(t.Context())
	if f := out.(outputs.Checker).Check(t.Context()); len(f) != 1 || f[0].Err != nil || f[0].Note == "" {
		t.Errorf("check: %+v", f)
	}
}
