package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

func at(seconds float64) time.Time {
	return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func atp(seconds float64) *time.Time { t := at(seconds); return &t }

// troubled is the status of a router with a bit of everything.
func troubled() agent.Status {
	dest := func(name string, change func(*agent.DestinationStatus)) agent.DestinationStatus {
		d := agent.DestinationStatus{Name: name, Type: "forward", Breaker: "closed", Since: at(-3600), Offered: 1000, Delivered: 1000, MaxBytes: 1 << 30}
		change(&d)
		return d
	}
	return agent.Status{
		Version: "1.2.3", Phase: "running", Started: at(-7325), Now: at(0), Host: "web-1", Config: "/etc/firebreak/firebreak.yaml",
		Reload:   &agent.Reloaded{At: at(-600), Error: "/etc/firebreak/firebreak.yaml:3:1: unknown key \"x\"\n  2 | y\nhint: z", Count: 1, Failed: 1},
		Warnings: []string{"/etc/firebreak/firebreak.yaml:9:3: no route leads to output idle; it stays idle; name it in the to of a route, or remove it"},
		Inputs: []agent.InputStatus{
			{Name: "docker", Type: "forward", Listen: []string{"tcp://127.0.0.1:24224", "unix:///run/firebreak/fluent.sock"}, Connections: 17,
				Received: 123_456_789, Routed: 123_450_000, Dropped: map[string]uint64{"1": 89, "debug": 700}, Discarded: map[string]uint64{"healthz": 5995}, Invalid: map[string]uint64{"size": 5},
				Errors: map[string]uint64{"decode": 2}, Refused: 3},
			{Name: "files", Type: "tail", Received: 10, Routed: 9},
		},
		Routes: []agent.RouteStatus{
			{Name: "healthz", Discard: true, Events: 5995, Bytes: 1 << 20},
			{Name: "access", To: []string{"access", "archive"}, Events: 100_000_000, Bytes: 30 << 30, Continue: true},
			{Name: "rest", To: []string{"archive"}, Events: 9},
		},
		Destinations: []agent.DestinationStatus{
			dest("access", func(d *agent.DestinationStatus) {}),
			dest("audit", func(d *agent.DestinationStatus) {
				d.Held, d.Error, d.Hint = true, "handshake: the server refuses the shared key", "set shared_key to the server's"
				d.Breaker, d.Since, d.NextTry, d.Offered, d.Buffered, d.Bytes, d.Oldest = "open", at(-90), atp(12.34), 1500, 500, 1_500_000, atp(-4000)
			}),
			dest("error", func(d *agent.DestinationStatus) {
				d.Breaker, d.Since, d.NextTry, d.Error = "open", at(-3), atp(0.1), "dial tcp 10.0.0.7:24224: connect: \x1b[31mconnection refused"
				d.Buffered, d.Delivered, d.Bytes, d.DiskBytes, d.Oldest, d.Fallback, d.Moving = 400, 500, 900<<20, 1000<<20, atp(-7200), "archive", "breaker"
				d.Moved = map[string]uint64{"archive": 100}
			}),
			dest("full", func(d *agent.DestinationStatus) {
				d.Full, d.Delivered, d.Shed, d.DeadLettered = true, 700, map[string]uint64{"full": 200, "age": 50}, map[string]uint64{"rejected": 50}
				d.DeadKept, d.DeadBytes, d.DeadDiscarded = 40, 12345, 10
			}),
			dest("broken-disk", func(d *agent.DestinationStatus) {
				d.Volatile, d.Problem, d.MaxBytes = true, "write segment: input/output error", 8<<20
			}),
			dest("memory", func(d *agent.DestinationStatus) { d.Volatile, d.MaxBytes = true, 32<<20 }),
			dest("slow", func(d *agent.DestinationStatus) { d.Limited = true }),
			dest("trying", func(d *agent.DestinationStatus) { d.Breaker, d.Since = "half-open", at(-1) }),
			dest("retrying", func(d *agent.DestinationStatus) { d.Error = "503 Service Unavailable" }),
			dest("pair", func(d *agent.DestinationStatus) {
				d.Output = []any{map[string]any{"address": "a:24224", "up": false, "error": "connection refused"}, map[string]any{"address": "b:24224", "up": true}, "other", nil}
			}),
			dest("wrong", func(d *agent.DestinationStatus) { d.Delivered = 999 }),
		},
		Orphans: []agent.Orphan{{Name: "old", Bytes: 3 << 20, DeadBytes: 1234, Command: "firebreak buffer replay old --to OUTPUT"}},
	}
}

func TestStatusTable(t *testing.T) {
	for file, width := range map[string]int{"status.txt": 0, "status-80.txt": 80} {
		v := statusView{width: width}
		golden(t, file, strings.Join(v.lines(troubled()), "\n")+"\n")
	}
	s := troubled()
	s.Reload, s.Warnings, s.Orphans, s.Destinations, s.Inputs = &agent.Reloaded{At: at(-5), OK: true, Changes: []string{"output x added", "routes changed"}}, nil, nil, s.Destinations[:1], s.Inputs[:1]
	s.Degraded = "a.yaml:1:1: bad"
	v := statusView{width: 80}
	golden(t, "status-degraded.txt", strings.Join(v.lines(s), "\n")+"\n")
}

// Nothing that a log, an error or a name says controls the terminal, and the usual case fits 80 columns.
func TestStatusIsSafeAndNarrow(t *testing.T) {
	s := troubled()
	v := statusView{style: table.Style{Colour: true}, width: 80}
	text := strings.Join(v.lines(s), "\n")
	for _, own := range []string{table.Bold, table.Red, table.Green, table.Yellow, "0"} {
		text = strings.ReplaceAll(text, "\x1b["+own+"m", "")
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Errorf("%q", text)
	}
	for line := range strings.Lines(text) {
		if table.Width(strings.TrimSuffix(line, "\n")) > 84 {
			t.Errorf("%d wide: %s", table.Width(line), line)
		}
	}
}

func TestLedgersThatDontBalanceAreNamed(t *testing.T) {
	s := troubled()
	got := imbalances(s)
	want := []string{
		"input files received 10 events, but routed + dropped + discarded + invalid are 9",
		"destination wrong was offered 1,000 events, but delivered + dead letters + shed + moved + buffered are 999",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
}

// A real router's status, as a table and as JSON.
func TestStatusOfARouter(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), "routes: [ { name: health, match: { line: GET }, discard: true }, { name: all, to: [gone, dead] } ]\n"+
		"outputs: { gone: { type: \"null\" }, dead: { type: forward, servers: [\"127.0.0.1:1\"] } }\n")
	r.send("docker.a", `{"log":"one"}`, `{"log":"two"}`, `{"log":"GET /"}`)
	wait(t, func() bool {
		s := r.Status()
		return s.Inputs[0].Received == 3 && s.Destinations[0].Delivered == 2 && s.Destinations[1].Error != ""
	})
	code, stdout, stderr := call("status", "--data-dir", r.dir)
	if code != 0 || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	for _, want := range []string{
		"firebreak 1.2.3 on ", "\n  dead: failing; send to \"127.0.0.1:1\": ", "connection refused\n", "\nall          2 ", "\nhealth       1 ", "discarded\n",
		"\nEvery event is accounted for: the ledgers of all inputs and destinations balance.\n", "docker: discarded 1 (health)\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	code, stdout, _ = call("status", "--data-dir", r.dir, "-o", "json")
	var s agent.Status
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != 0 || s.Inputs[0].Received != 3 {
		t.Errorf("%d %v %s", code, err, stdout)
	}
	if code, _, stderr = call("status", "-o", "yaml"); code != exitUsage || !strings.Contains(stderr, "table") {
		t.Errorf("%d %s", code, stderr)
	}
}
