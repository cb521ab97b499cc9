package router

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

func checkLogs(t *testing.T, name string, m *memory, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, m.logs()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFirstMatchWinsAndOrderIsKept(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{
		{Name: "health", Match: lineIs("GET /healthz"), Discard: true},
		{Name: "access", Match: lineIs(`^(GET|POST) `), To: []string{"access", "archive"}},
		{Name: "rest", To: []string{"archive"}},
	}, "access", "archive", "unused")
	accept(t, r, chunkOf("a", line("GET /1"), line("x"), line("GET /healthz"), line("POST /2"), line("y"), line("y2")), chunkOf("b", line("GET /3")))
	checkLogs(t, "access", sinks["access"], "access:GET /1", "access:POST /2", "access:GET /3")
	checkLogs(t, "archive", sinks["archive"], "access:GET /1", "rest:x", "access:POST /2", "rest:y", "rest:y2", "access:GET /3")
	if n := sinks["access"].chunks; n != 2 {
		t.Errorf("access got %d chunks, want one for each tag", n)
	}
	if n := sinks["archive"].appends; n != 1 {
		t.Errorf("archive got %d appends, want 1", n)
	}
	if sinks["unused"].appends != 0 {
		t.Error("a destination without a route got an append")
	}
	want := IntakeStats{Routed: 6, Dropped: map[string]uint64{}, Truncated: map[string]uint64{}, Redacted: map[string]uint64{}, Rejected: map[string]uint64{},
		Discarded: map[string]uint64{"health": 1, Unmatched: 0, Malformed: 0}, Routes: map[string]uint64{"health": 1, "access": 3, "rest": 3}}
	if diff := cmp.Diff(want, r.Intake("in").Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	wantRoutes := Stats{Routes: map[string]uint64{"health": 1, "access": 3, "rest": 3}, Bytes: map[string]uint64{"health": 29, "access": 70, "rest": 55}}
	if diff := cmp.Diff(wantRoutes, r.Stats()); diff != "" {
		t.Errorf("route stats (-want +got):\n%s", diff)
	}
}

func TestContinueReachesADestinationOnce(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{
		{Name: "all", Continue: true, To: []string{"archive"}},
		{Name: "error", Match: lineIs("error"), Continue: true, To: []string{"archive", "error"}},
		{Name: "quiet", Match: lineIs("quiet"), Discard: true},
		{Name: "rest", Match: lineIs("a"), To: []string{"rest"}},
	}, "archive", "error", "rest")
	accept(t, r, chunkOf("t", line("a"), line("an error"), line("quiet error"), line("quiet"), line("b")))
	checkLogs(t, "archive", sinks["archive"], "all:a", "all:an error", "all:quiet error", "all:quiet", "all:b")
	checkLogs(t, "error", sinks["error"], "all:an error", "all:quiet error")
	checkLogs(t, "rest", sinks["rest"], "all:a", "all:an error")
	if s := r.Intake("in").Stats(); s.Routed != 5 || s.Discarded["quiet"] != 0 {
		t.Errorf("stats = %+v", s)
	}
}

func TestUnmatchedIsCounted(t *testing.T) {
	r, _ := newRouter(t, nil, []config.Route{
		{Name: "x", Match: lineIs("x"), To: []string{"a"}},
		{Name: "tag", Match: when("tag", "", glob("t")), Continue: true},
		{Name: "gone", Match: lineIs("y"), Discard: true},
	}, "a")
	accept(t, r, chunkOf("u", line("x"), line("y"), line("z")), chunkOf("t", line("y"), line("z")))
	s := r.Intake("in").Stats()
	if s.Routed != 1 || s.Discarded[Unmatched] != 1 || s.Discarded["gone"] != 2 || s.Discarded["tag"] != 1 {
		t.Errorf("stats = %+v", s)
	}
	if none, _ := newRouter(t, nil, nil); true {
		accept(t, none, chunkOf("t", line("y")))
		if s := none.Intake("in").Stats(); s.Discarded[Unmatched] != 1 {
			t.Errorf("without routes: stats = %+v", s)
		}
	}
}

func TestAMalformedRestIsCounted(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{{Name: "x", Match: lineIs("a|b"), To: []string{"a"}}}, "a")
	c := chunkOf("t", line("a"), line("b"), line("a"))
	c.Data = c.Data[:len(c.Data)-1]
	accept(t, r, c)
	if s := r.Intake("in").Stats(); s.Routed != 2 || s.Discarded[Malformed] != 1 || len(sinks["a"].events) != 2 {
		t.Errorf("stats = %+v, %d events", s, len(sinks["a"].events))
	}
}

func TestAFailedAppendIsReturnedAndNotCounted(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{{Name: "x", To: []string{"a", "b"}}}, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sinks["b"].err = ctx.Err()
	err := r.Intake("in").Accept(ctx, []record.Chunk{chunkOf("t", line("a"))})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if s := r.Intake("in").Stats(); s.Routed != 0 {
		t.Errorf("stats = %+v", s)
	}
	sinks["b"].err = nil
	accept(t, r, chunkOf("t", line("a")))
	if s := r.Intake("in").Stats(); s.Routed != 1 || len(sinks["b"].events) != 1 {
		t.Errorf("after the repetition: stats = %+v, %d events", s, len(sinks["b"].events))
	}
}

func TestDestinationsThatBlockComeLast(t *testing.T) {
	var order []string
	sinks := map[string]Sink{}
	for _, name := range []string{"a", "b", "c", "d"} {
		sinks[name] = &memory{blocks: name == "a" || name == "c", before: func() { order = append(order, name) }}
	}
	r, err := New(nil, []config.Route{{Name: "x", To: []string{"a", "b", "c", "d"}}}, sinks)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, r, chunkOf("t", line("a")))
	if want := []string{"b", "d", "a", "c"}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
}

func TestNewRefusesWhatItCannotRun(t *testing.T) {
	for name, routes := range map[string][]config.Route{
		"no destination": {{Name: "x", To: []string{"nowhere"}}},
		"field":          {{Name: "x", Match: when("image", "")}},
		"regex":          {{Name: "x", Match: when("line", "", config.Pattern{Kind: config.Regex})}},
		"comparison":     {{Name: "x", Match: when("json", "a", compare("~", 1))}},
		"action":         {{Name: "x", Processors: []config.Processor{{Name: "p"}}}},
	} {
		if _, err := New(nil, routes, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
