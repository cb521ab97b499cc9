package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

func addTo(key, value string) []config.Field { return []config.Field{{Key: key, Value: value}} }

func TestProcessorsRunInOrderBeforeTheRoutes(t *testing.T) {
	r, sinks := newRouter(t, []config.Processor{
		{Name: "mark", Match: lineIs("^a"), Add: addTo("log", "b")},
		{Name: "again", Match: lineIs("^b"), Add: addTo("log", "c")},
		{Name: "drop", Match: lineIs("^d"), Drop: true},
		{Name: "tag", Match: when("tag", "", glob("other")), Drop: true},
	}, []config.Route{{Name: "c", Match: lineIs("c"), To: []string{"c"}}, {Name: "rest", To: []string{"rest"}}}, "c", "rest")
	accept(t, r, chunkOf("t", line("d1"), line("x"), line("a"), line("y"), line("d2"), line("b")), chunkOf("other", line("x")))
	checkLogs(t, "c", sinks["c"], "c:c", "c:c")
	checkLogs(t, "rest", sinks["rest"], "rest:x", "rest:y")
	s := r.Intake("in").Stats()
	if s.Routed != 4 || s.Dropped["drop"] != 2 || s.Dropped["tag"] != 1 || s.Dropped["mark"] != 0 {
		t.Errorf("stats = %+v", s)
	}
}

func TestProcessorsOfARouteTouchItsDestinationsOnly(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{
		{Name: "first", Continue: true, To: []string{"changed"}, Processors: []config.Processor{
			{Name: "drop", Match: lineIs("drop"), Drop: true}, {Name: "mark", Add: addTo("log", "marked")},
		}},
		{Name: "second", Match: lineIs("x"), To: []string{"changed", "plain"}},
	}, "changed", "plain")
	accept(t, r, chunkOf("t", line("x1"), line("drop"), line("x drop"), line("y")))
	checkLogs(t, "changed", sinks["changed"], "first:marked", "first:marked")
	checkLogs(t, "plain", sinks["plain"], "first:x1", "first:x drop")
	// "drop" reaches nothing else; "x drop" is kept by the other destination.
	if s := r.Intake("in").Stats(); s.Routed != 3 || s.Dropped["drop"] != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestSizeGuards(t *testing.T) {
	long := strings.Repeat("x", 200)
	guard := func(name, action string) config.Processor {
		return config.Processor{Name: name, SizeGuard: &config.SizeGuard{MaxBytes: 64, Action: action, Key: "log", Marker: "#"}}
	}
	r, sinks := newRouter(t, []config.Processor{guard("cut", "truncate")}, []config.Route{{Name: "all", To: []string{"a"}}}, "a")
	accept(t, r, chunkOf("t", line("short"), line(long), rec{{"msg", long}, {"log", "no room"}}))
	logs := sinks["a"].logs()
	if len(logs) != 3 || logs[0] != "all:short" || !strings.HasSuffix(logs[1], "x#") || len(logs[1]) > 70 || logs[2] != "all:no room!too_large" {
		t.Errorf("truncate: %q", logs)
	}
	if s := r.Intake("in").Stats(); s.Routed != 3 || s.Truncated["cut"] != 1 || s.Rejected["cut"] != 1 {
		t.Errorf("truncate: stats = %+v", s)
	}

	r, sinks = newRouter(t, []config.Processor{guard("global", "dead_letter")}, []config.Route{
		{Name: "gone", Match: lineIs("gone"), Discard: true}, {Name: "b", Match: lineIs("b"), To: []string{"b", "a"}}, {Name: "rest", To: []string{"a"}},
	}, "a", "b")
	accept(t, r, chunkOf("t", line("1"), line("b"), line("b"+long), line(long), line("gone"+long), line("2")))
	checkLogs(t, "b", sinks["b"], "b:b", "b:b"+long+"!too_large")
	checkLogs(t, "a", sinks["a"], "rest:1", "b:b", "rest:2", "b:b"+long+"!too_large", "rest:"+long+"!too_large")
	if s := r.Intake("in").Stats(); s.Routed != 5 || s.Rejected["global"] != 3 || s.Discarded["gone"] != 1 {
		t.Errorf("dead_letter: stats = %+v", s)
	}

	r, sinks = newRouter(t, nil, []config.Route{
		{Name: "strict", Continue: true, To: []string{"a"}, Processors: []config.Processor{guard("own", "dead_letter")}}, {Name: "rest", To: []string{"b"}},
	}, "a", "b")
	accept(t, r, chunkOf("t", line("1"), line(long), line("2")))
	checkLogs(t, "a", sinks["a"], "strict:1", "strict:2", "strict:"+long+"!too_large")
	checkLogs(t, "b", sinks["b"], "strict:1", "strict:"+long, "strict:2")
}

func TestConcurrentAcceptsKeepTheLedger(t *testing.T) {
	// Sinks of this test are asked by several goroutines.
	r, err := New([]config.Processor{{Name: "drop", Match: lineIs("drop"), Drop: true}}, []config.Route{
		{Name: "tagged", Match: when("tag", "", glob("*1")), To: []string{"a"}},
		{Name: "gone", Match: lineIs("gone"), Discard: true},
		{Name: "x", Match: lineIs("x"), Continue: true, To: []string{"a"}}, {Name: "rest", To: []string{"b"}},
	}, map[string]Sink{"a": null{}, "b": null{}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			in := r.Intake(fmt.Sprint(g % 2))
			for i := range 200 {
				c := chunkOf(fmt.Sprint("tag", i%50), line("x"), line("y"), line("drop"), line("gone"), line("x"))
				if err := in.Accept(t.Context(), []record.Chunk{c, c}); err != nil {
					t.Error(err)
				}
				if i%20 == 0 && len(r.Explain(c)) != c.Events {
					t.Error("events without an explanation")
				}
			}
		})
	}
	wg.Wait()
	total := uint64(0)
	for _, name := range []string{"0", "1"} {
		s := r.Intake(name).Stats()
		total += s.Routed + sum(s.Dropped) + sum(s.Discarded)
	}
	if want := uint64(4 * 200 * 2 * 5); total != want {
		t.Errorf("%d events in the ledger, want %d", total, want)
	}
}
