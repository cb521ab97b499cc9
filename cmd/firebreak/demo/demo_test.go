package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortPacing is the story in a second and a half. What must not be late may be, on a busy machine.
func shortPacing() *pacing {
	return &pacing{
		kill: 300 * time.Millisecond, join: 450 * time.Millisecond, back: 800 * time.Millisecond, stop: 1200 * time.Millisecond,
		catchUp: 20 * time.Second, sample: 10 * time.Millisecond, limit: 20 * time.Second, retry: 10 * time.Millisecond, retryMax: 50 * time.Millisecond,
	}
}

// tell runs the story with a directory of its own for temporary files, and reports what is left in that.
func tell(t *testing.T, ctx context.Context, o Options) (left []string, err error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	o.Rate = cmp.Or(o.Rate, 2000)
	if o.pace == nil {
		o.pace = shortPacing()
	}
	err = Run(ctx, o)
	list, e := os.ReadDir(dir)
	if e != nil {
		t.Fatal(e)
	}
	for _, f := range list {
		left = append(left, f.Name())
	}
	return left, err
}

// words joins lines that were wrapped.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestStory(t *testing.T) {
	var out bytes.Buffer
	left, err := tell(t, t.Context(), Options{Out: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("escape codes in what is no terminal")
	}
	text := words(out.String())
	for _, want := range []string{
		`Aggregator "error" is killed`, "failed to initialize logging driver: dial tcp 127.0.0.1:", "connect: connection refused",
		"connected after", `Aggregator "error" is back`, `Aggregator "error" has caught up`, "router [error]: server is down", "The promise held",
		"firebreak run", "docker run", "0 lost, in order",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if n := len([]rune(line)); n > textWidth {
			t.Errorf("%d characters: %q", n, line)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestSummaryAsJSON(t *testing.T) {
	var out bytes.Buffer
	left, err := tell(t, t.Context(), Options{Out: io.Discard, JSON: &out, Keep: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	var s Summary
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Held || len(s.Problems) > 0 || s.Killed != "error" || s.KilledAt < 0.3 || s.BackAt <= s.KilledAt || s.CaughtUpAt <= s.BackAt {
		t.Errorf("%+v", s)
	}
	sent := uint64(0)
	for _, c := range s.Containers {
		if c.Sent == 0 || c.LongestSend <= 0 || c.Connect <= 0 {
			t.Errorf("container %+v", c)
		}
		sent += c.Sent
	}
	got := uint64(0)
	for _, a := range s.Aggregators {
		got += a.Received
		if (a.Late > 0) != (a.Kind == killed) || (a.RateOutage > 0) != (a.Kind != killed) || a.RateBefore <= 0 || a.PauseBefore <= 0 {
			t.Errorf("aggregator %+v", a)
		}
	}
	if sent != got || s.Router.Received != sent {
		t.Errorf("sent %d, received by the router %d, by the aggregators %d", sent, s.Router.Received, got)
	}
	if len(left) != 1 || !strings.HasSuffix(s.Directory, left[0]) {
		t.Fatalf("kept %q, said %q", left, s.Directory)
	}
	for _, name := range []string{"firebreak.yaml", "router.log", "data/buffers/error"} {
		if _, err := os.Stat(s.Directory + "/" + name); err != nil {
			t.Error(err)
		}
	}
}

// Whatever an aggregator loses is found out, by the numbers alone.
func TestLossIsFound(t *testing.T) {
	var out bytes.Buffer
	left, err := tell(t, t.Context(), Options{Out: &out, drop: func(kind, container string, line uint64) bool {
		return kind == audit && container == "/web" && (line == 3 || line == 5)
	}})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("error %v, want %v", err, ErrBroken)
	}
	text := words(out.String())
	if !strings.Contains(text, "The promise did not hold: - audit: lost 2 of ") || strings.Contains(text, "The promise held") {
		t.Error(out.String())
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A late line that is lost is one that the aggregator never catches up with.
func TestLateLossIsFound(t *testing.T) {
	var out bytes.Buffer
	_, err := tell(t, t.Context(), Options{Out: &out, Rate: 20_000, drop: func(kind, container string, line uint64) bool {
		return container == "/mailer" && kind == killed && line == 2 // sent in the outage
	}})
	text := words(out.String())
	if !errors.Is(err, ErrBroken) || !strings.Contains(text, "error: lost 1 of ") || !strings.Contains(text, "error: never caught up") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// cut ends the story when it has come to some words.
type cut struct {
	bytes.Buffer
	at  string
	end func() error
}

func (c *cut) Write(b []byte) (int, error) {
	n, _ := c.Buffer.Write(b)
	if strings.Contains(words(c.String()), c.at) {
		return n, c.end()
	}
	return n, nil
}

func TestInterrupted(t *testing.T) {
	for _, at := range []string{"The router listens", "lines/s to it", "is killed", "and it starts", "is back", "containers stop"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &cut{at: at, end: func() error { cancel(); return nil }}
		left, err := tell(t, ctx, Options{Out: out})
		if !errors.Is(err, ErrInterrupted) || len(left) > 0 || strings.Contains(out.String(), "promise") {
			t.Errorf("at %q: %v, left %q\n%s", at, err, left, out)
		}
		cancel()
	}
}

// Who doesn't read any more ends the story.
func TestBrokenPipe(t *testing.T) {
	broken := errors.New("broken pipe")
	left, err := tell(t, t.Context(), Options{Out: &cut{at: "is killed", end: func() error { return broken }}})
	if !errors.Is(err, broken) || len(left) > 0 {
		t.Errorf("%v, left %q", err, left)
	}
}
