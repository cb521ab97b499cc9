package agent

import (
	"context"
	"net"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/outputs/null"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router"
)

// scrape returns /metrics of an agent that doesn't run.
func scrape(t *testing.T, a *Agent) string {
	t.Helper()
	w := httptest.NewRecorder()
	(&admin{a: a}).handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// values reads the samples of one metric, by their labels.
func values(t *testing.T, page, name string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "firebreak_"+name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		i := strings.LastIndexByte(rest, ' ')
		v, err := strconv.ParseFloat(rest[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[rest[:i]] = v
	}
	return out
}

func total(m map[string]float64) (n float64) {
	for _, v := range m {
		n += v
	}
	return n
}

// balanceMetrics checks the ledgers of a scrape of an agent with one input and one destination.
func balanceMetrics(t *testing.T, r *underTest) {
	t.Helper()
	code, page := r.get("/metrics")
	if code != 200 {
		t.Fatalf("metrics: %d %s", code, page)
	}
	get := func(name string) float64 { return total(values(t, page, name)) }
	if a, b := get("received_events_total"), get("routed_events_total")+get("dropped_events_total")+get("discarded_events_total")+get("invalid_events_total"); a != b {
		t.Errorf("received %v, the rest %v", a, b)
	}
	if a, b := get("offered_events_total"), get("delivered_events_total")+get("dead_lettered_events_total")+get("shed_events_total")+get("moved_events_total")+get("buffered_events"); a != b {
		t.Errorf("offered %v, the rest %v", a, b)
	}
}

// Parts that have counted something of everything.

type fullInput struct{ serving }

func (fullInput) Addrs() []net.Addr { return nil }
func (fullInput) Stats() inputs.Stats {
	return inputs.Stats{
		Received: 22, Invalid: map[string]uint64{"bad_time": 2}, Errors: map[string]uint64{"cut": 3}, Connections: 4, Accepted: 5,
		Refused: 6, Held: 7, Broken: map[string]uint64{"timeout": 8}, Bytes: 9, Acks: 10, Memory: 11,
	}
}

type fullBuffer struct{ buffer.Buffer }

func (fullBuffer) Append(context.Context, []record.Chunk) error { return nil }
func (fullBuffer) Stats() buffer.Stats {
	return buffer.Stats{
		Offered: 100, Delivered: 10, DeadLettered: map[string]uint64{"encode": 20, "odd \xff": 1}, Shed: map[string]uint64{"full": 30},
		Moved: map[string]uint64{"other": 4}, Buffered: 35, Leased: 6, Bytes: 7, MemoryBytes: 8, DiskBytes: 9, MaxBytes: 10,
		Oldest: time.Now().Add(-time.Hour), Volatile: true, Full: true,
	}
}

func fullAgent(t *testing.T) *Agent {
	t.Helper()
	out, err := null.Kind().Options().Open(outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := destination.New(destination.Options{Name: "agg", Buffer: fullBuffer{}, Output: out})
	dead := &deadLetters{Dead: buffer.NewDead(t.TempDir(), 1<<20, nil, nil)}
	rt, err := router.New([]config.Processor{{Name: "drop-1", Drop: true, Match: &config.Match{Tests: []config.Test{{Field: "tag", Patterns: []config.Pattern{{Text: "x"}}}}}}},
		[]config.Route{{Name: "rest", To: []string{"agg"}}}, map[string]router.Sink{"agg": d})
	if err != nil {
		t.Fatal(err)
	}
	processors := []config.Processor{{Name: "drop-1"}}
	a := newAgent(Options{Config: &config.Config{DataDir: t.TempDir()}, Version: "1.2"})
	a.started = time.Unix(1000, 0)
	a.admin = &admin{a: a}
	a.orphans = []Orphan{{Name: "gone", Bytes: 7, DeadBytes: 1}}
	a.now.Store(&setup{
		cfg: &config.Config{Processors: processors, Routes: []config.Route{{Name: "rest", To: []string{"agg"}}}}, router: rt, intakes: map[string]*router.Intake{"docker": rt.Intake("docker")},
		ins:   []*input{{name: "docker", in: fullInput{}, done: make(chan struct{})}},
		dests: []*target{{Destination: d, cfg: &config.Output{Name: "agg"}, standing: &standing{dead: dead, taps: &a.taps, ended: make(chan struct{})}}}})
	return a
}

// Every metric exists, is documented, and is named as metrics are.
func TestEveryMetricExists(t *testing.T) {
	a := fullAgent(t)
	page := scrape(t, a)
	unit := regexp.MustCompile(`_(events|bytes|seconds|connections|requests|acks|lines|letters|errors)(_total)?$`)
	flags := regexp.MustCompile(`^(buffer_volatile|buffer_full|breaker_open|destination_held|config_degraded|build_info|requests_in_flight|connections|connections_total|destination_moving|destination_limited|config_reloads_total|config_last_reload_successful)$`)
	known := map[string]bool{}
	for _, m := range metricList {
		known[m.name] = true
		vs := values(t, page, m.name)
		if len(vs) == 0 {
			t.Errorf("metric %s is declared and never given", m.name)
		}
		for labels := range vs {
			for _, l := range m.labels {
				if !strings.Contains(labels, l+`="`) {
					t.Errorf("metric %s%s lacks the label %s", m.name, labels, l)
				}
			}
		}
		if !unit.MatchString("_"+m.name) && !flags.MatchString(m.name) && !strings.HasPrefix(m.name, "acks") && !strings.HasPrefix(m.name, "requests") {
			t.Errorf("metric %s has no unit", m.name)
		}
		counter := strings.Contains(page, "# TYPE firebreak_"+m.name+" counter")
		if counter != strings.HasSuffix(m.name, "_total") {
			t.Errorf("metric %s: counters end in _total, and only they do", m.name)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE firebreak_(\S+)`).FindAllStringSubmatch(page, -1) {
		if !known[m[1]] {
			t.Errorf("metric %s is not declared", m[1])
		}
	}
	for name, want := range map[string]float64{
		"received_events_total": 22, "received_bytes_total": 9, "connections": 4, "connections_total": 5, "refused_connections_total": 6,
		"held_lines": 7, "acks_total": 10, "input_memory_bytes": 11, "broken_lines_total": 8, "input_errors_total": 3, "invalid_events_total": 2,
		"offered_events_total": 100, "delivered_events_total": 10, "dead_lettered_events_total": 21, "shed_events_total": 30, "moved_events_total": 4,
		"buffered_events": 35, "leased_events": 6, "buffered_bytes": 7, "buffer_memory_bytes": 8, "disk_bytes": 9, "buffer_max_bytes": 10,
		"buffer_volatile": 1, "buffer_full": 1, "start_time_seconds": 1000, "build_info": 1,
	} {
		if got := total(values(t, page, name)); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if age := total(values(t, page, "oldest_event_age_seconds")); age < 3600 || age > 3700 {
		t.Errorf("oldest event: %v s", age)
	}
}
