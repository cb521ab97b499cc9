package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

func threeRoutes(dir string, servers [3]string) string {
	return head(dir) + fmt.Sprintf(`
routes:
  - { name: access, match: { tag: "docker.access.*" }, to: [access] }
  - { name: audit, match: { tag: "docker.audit.*" }, to: [audit] }
  - { name: error, to: [error] }
outputs:
  access: { type: forward, servers: [%q] }
  audit: { type: forward, servers: [%q], workers: 3 }
  error: { type: forward, servers: [%q], buffer: { sync: always } }
`, servers[0], servers[1], servers[2])
}

// Three types, one dead aggregator: the others get theirs, the dead one's stay over a restart and arrive in order.
func TestThreeTypesAndADeadAggregator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sinks [3]*sink.Sink
	var servers [3]string
	for i := range sinks {
		sinks[i] = aggregator(t, "127.0.0.1:0")
		servers[i] = sinks[i].Addr()
	}
	dead := sinks[2]
	if err := dead.Set(sink.Fault{Mode: sink.Refuse}); err != nil {
		t.Fatal(err)
	}
	r := start(t, threeRoutes(dir, servers))
	sent := [2]*load.Load{send(t, r.addr(), 6000, 0), send(t, r.addr(), 3000, 3)}
	count := func(k load.Kind) uint64 { return sent[0].SentOf(k) + sent[1].SentOf(k) }
	eventually(t, func() string {
		s := r.page()
		balance(t, s)
		for i, k := range load.Kinds()[:2] {
			if d := s.dest(string(k)); d.Delivered != count(k) || sinks[i].Counts().Events != count(k) {
				return fmt.Sprintf("%s: delivered %d, arrived %d, want %d", k, d.Delivered, sinks[i].Counts().Events, count(k))
			}
		}
		if d := s.dest("error"); d.Error == "" {
			return "no error of the dead one yet"
		}
		return ""
	})
	s := r.page()
	total := count(load.Access) + count(load.Audit) + count(load.Error)
	if in := s.Inputs[0]; in.Received != total || in.Routed != total || in.Acks == 0 {
		t.Errorf("input: %+v, want %d", in, total)
	}
	if d := s.dest("error"); d.Buffered != count(load.Error) || d.Delivered != 0 {
		t.Errorf("the dead destination: %+v", d)
	}
	for _, k := range load.Kinds() {
		if s.route(string(k)).Events != count(k) || s.route(string(k)).Bytes == 0 {
			t.Errorf("routes: %v, want %d of %s", s.Routes, count(k), k)
		}
	}
	if !strings.Contains(fmt.Sprint(s.dest("error").Output), "up:false") || !strings.Contains(fmt.Sprint(s.dest("access").Output), "up:true") {
		t.Errorf("servers: %v and %v", s.dest("access").Output, s.dest("error").Output)
	}

	if took := r.end(); took > 4500e6 || r.err != nil {
		t.Errorf("stopped in %v: %v", took, r.err)
	}
	lines := r.log.lines(t, "destination closed")
	if len(lines) != 3 {
		t.Fatalf("%d lines about destinations", len(lines))
	}
	for _, l := range lines {
		want := 0.0
		if l["destination"] == "error" {
			want = float64(count(load.Error))
		}
		if l["left_events"] != want {
			t.Errorf("%v, want %v left", l, want)
		}
	}

	if err := dead.Set(sink.Fault{}); err != nil {
		t.Fatal(err)
	}
	r = start(t, threeRoutes(dir, servers))
	eventually(t, func() string {
		s := r.page()
		balance(t, s)
		if d := s.dest("error"); d.Delivered != count(load.Error) || d.Buffered > 0 {
			return fmt.Sprintf("after the restart: delivered %d, buffered %d, want %d", d.Delivered, d.Buffered, count(load.Error))
		}
		return ""
	})
	for i, k := range load.Kinds() {
		if c := sinks[i].Counts(); c.Events != count(k) || c.Duplicates > 0 || c.Disorder > 0 || c.Invalid > 0 || c.Foreign > 0 {
			t.Errorf("%s: sent %d, counted %+v", k, count(k), c)
		}
	}
}

// Status and metrics balance at every moment, also under load.
func TestLedgersBalanceUnderLoad(t *testing.T) {
	r := start(t, head(t.TempDir())+`
routes:
  - { name: access, match: { tag: "docker.access.*" }, discard: true }
  - { name: rest, to: [gone] }
processors:
  - { name: no-audit, match: { tag: "docker.audit.*" }, drop: true }
outputs:
  gone: { type: "null" }
`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		send(t, r.addr(), 150_000, 0)
	}()
	for looks := 0; ; looks++ {
		balance(t, r.page())
		balanceMetrics(t, r)
		select {
		case <-done:
			s := r.page()
			balance(t, s)
			in := s.Inputs[0]
			if in.Discarded["access"] == 0 || in.Dropped["no-audit"] == 0 || in.Routed == 0 || looks == 0 {
				t.Errorf("%d looks, %+v", looks, in)
			}
			return
		default:
		}
	}
}
