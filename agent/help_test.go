package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// underTest is an agent under test, over real sockets.
type underTest struct {
	*Agent
	t    *testing.T
	log  *logBuffer
	stop context.CancelFunc
	kill context.CancelFunc
	done chan struct{}
	err  error
}

// logBuffer takes what an agent logs, as the command does: JSON lines.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// lines returns the log lines with a message.
func (b *logBuffer) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if m["msg"] == message {
			out = append(out, m)
		}
	}
	return out
}

func (b *logBuffer) logger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(b), zapcore.DebugLevel))
}

func parse(t *testing.T, yaml string, env map[string]string) *config.Config {
	t.Helper()
	cfg, err := config.Load("test.yaml", []byte(yaml), Kinds(), config.Lookup{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// head is what every configuration of these tests begins with.
func head(dir string) string {
	return fmt.Sprintf("data_dir: %q\nadmin: 127.0.0.1:0\nshutdown: { quiet: 50ms, deadline: 5s }\ninputs: { docker: { type: forward, listen: \"tcp://127.0.0.1:0\" } }\n", dir)
}

// build makes an agent that doesn't run yet; change may alter its parts.
func build(t *testing.T, cfg *config.Config) *underTest {
	t.Helper()
	r := &underTest{t: t, log: &logBuffer{}, done: make(chan struct{})}
	kill, cancel := context.WithCancel(context.Background())
	r.kill = cancel
	a, err := New(Options{Config: cfg, Log: r.log.logger(), Version: "test", Kill: kill})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	r.Agent = a
	r.patience.failing = 100 * time.Millisecond
	return r
}

func (r *underTest) run() *underTest {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		r.err = r.Run(ctx)
		close(r.done)
	}()
	r.t.Cleanup(func() { r.end(); r.kill() })
	return r
}

// awaitRunning waits until the agent can be reloaded.
func (r *underTest) awaitRunning() {
	r.t.Helper()
	eventually(r.t, func() string {
		if r.phase.get() != running {
			return "it doesn't run"
		}
		return ""
	})
}

func start(t *testing.T, yaml string) *underTest {
	t.Helper()
	return build(t, parse(t, yaml, nil)).run()
}

// end stops the agent and returns how long that took.
func (r *underTest) end() time.Duration {
	r.t.Helper()
	began := time.Now()
	r.stop()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.t.Fatalf("the agent doesn't stop:\n%s", r.log)
	}
	return time.Since(began)
}

// addr is where the input listens.
func (r *underTest) addr() string { return strings.TrimPrefix(r.Listening()[0], "tcp://") }

func (r *underTest) get(path string) (int, string) {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + r.Admin() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// page returns /status.
func (r *underTest) page() Status {
	r.t.Helper()
	code, body := r.get("/status")
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK {
		r.t.Fatalf("status: %d %v\n%s", code, err, body)
	}
	return s
}

func (s Status) route(name string) RouteStatus {
	for _, r := range s.Routes {
		if r.Name == name {
			return r
		}
	}
	return RouteStatus{}
}

func (s Status) dest(name string) DestinationStatus {
	for _, d := range s.Destinations {
		if d.Name == name {
			return d
		}
	}
	return DestinationStatus{}
}

// balance checks the ledgers of a status.
func balance(t *testing.T, s Status) {
	t.Helper()
	for _, in := range s.Inputs {
		if want := in.Routed + sum(in.Dropped) + sum(in.Discarded) + sum(in.Invalid); in.Received != want {
			t.Errorf("input %s: received %d, routed, dropped, discarded and invalid are %d: %+v", in.Name, in.Received, want, in)
		}
	}
	for _, d := range s.Destinations {
		if want := d.Delivered + sum(d.DeadLettered) + sum(d.Shed) + sum(d.Moved) + d.Buffered; d.Offered != want {
			t.Errorf("destination %s: offered %d, the rest is %d: %+v", d.Name, d.Offered, want, d)
		}
	}
}

func aggregator(t *testing.T, addr string) *sink.Sink {
	t.Helper()
	s, err := sink.Start(sink.Config{Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// send sends events of all kinds with acks and returns when all are acked.
func send(t *testing.T, addr string, events uint64, first int) *load.Load {
	t.Helper()
	l, err := load.New(load.Config{Addr: addr, Conns: 3, Events: events, Ack: true, Batch: 50, FirstStream: first})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l.Run(ctx)
	if st := l.Stats(); st.Acked != l.Sent() || st.Acked < events {
		t.Fatalf("acked %d of %d events: %s", st.Acked, l.Sent(), st.LastError)
	}
	return l
}

// eventually waits until check returns "".
func eventually(t *testing.T, check func() string) {
	t.Helper()
	var why string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if why = check(); why == "" {
			return
		}
	}
	t.Fatal(why)
}
