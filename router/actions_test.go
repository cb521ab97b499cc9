package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

func redact(name string, keys ...string) config.Processor {
	return config.Processor{Name: name, Redact: &config.Redact{Patterns: []string{"email"}, Keys: keys, With: "#"}}
}

func TestRedactedEventsAreCounted(t *testing.T) {
	r, sinks := newRouter(t, []config.Processor{redact("mails")}, []config.Route{
		{Name: "all", To: []string{"a"}, Continue: true, Processors: []config.Processor{{Name: "host", Redact: &config.Redact{Patterns: []string{"ipv4"}, With: "*"}}}},
		{Name: "rest", To: []string{"b"}},
	}, "a", "b")
	accept(t, r, chunkOf("t", line("x"), line("a@b.cd 1.2.3.4"), line("1.2.3.4"), line("a@b.cd")))
	checkLogs(t, "a", sinks["a"], "all:x", "all:# *", "all:*", "all:#")
	checkLogs(t, "b", sinks["b"], "all:x", "all:# 1.2.3.4", "all:1.2.3.4", "all:#")
	if s := r.Intake("in").Stats(); s.Routed != 4 || s.Redacted["mails"] != 2 || s.Redacted["host"] != 2 {
		t.Errorf("stats = %+v", s)
	}
}

func TestThrottleOfARouteKnowsItsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := func(name, by string) []config.Processor {
			return []config.Processor{{Name: name, Throttle: &config.Throttle{Rate: 1, Per: time.Minute, By: by, MaxKeys: 100}}}
		}
		r, sinks := newRouter(t, throttle("both", "${tag}-${record.log}-${k8s.pod}"), []config.Route{
			{Name: "x", Match: lineIs("x"), To: []string{"a"}, Processors: throttle("x", "${type}-${tag}")},
			{Name: "y", To: []string{"a"}, Processors: throttle("y", "${type}")},
		}, "a")
		chunk := func(tag, pod string, lines ...string) record.Chunk {
			var list []rec
			for _, l := range lines {
				list = append(list, line(l))
			}
			c := chunkOf(tag, list...)
			c.Attrs = record.NewAttrs(record.Attr{Key: "k8s.pod", Value: pod})
			return c
		}
		accept(t, r, chunk("t", "p", "x1", "y1", "x1", "x2"), chunk("u", "p", "x1", "y1"), chunk("t", "q", "x1"))
		checkLogs(t, "a", sinks["a"], "x:x1", "y:y1", "x:x1")
		s := r.Intake("in").Stats()
		if s.Routed != 3 || s.Dropped["both"] != 1 || s.Dropped["x"] != 2 || s.Dropped["y"] != 1 {
			t.Errorf("stats = %+v", s)
		}
		time.Sleep(time.Minute)
		accept(t, r, chunk("t", "p", "x1"))
		if s := r.Intake("in").Stats(); s.Routed != 4 {
			t.Errorf("after a minute: stats = %+v", s)
		}
	})
}

func TestSampleKeepsWholeTraces(t *testing.T) {
	sample := config.Processor{Name: "some", Sample: &config.Sample{Keep: 50, By: "${record.trace}"}}
	r, sinks := newRouter(t, nil, []config.Route{{Name: "all", To: []string{"a"}, Processors: []config.Processor{sample}}}, "a")
	for range 2 {
		var list []rec
		for i := range 100 {
			list = append(list, rec{{"trace", fmt.Sprint("trace-", i)}, {"log", fmt.Sprint(i)}})
		}
		accept(t, r, chunkOf("t", list...))
	}
	seen := map[string]int{}
	for _, l := range sinks["a"].logs() {
		seen[l]++
	}
	for l, n := range seen {
		if n != 2 {
			t.Errorf("%s is there %d times", l, n)
		}
	}
	if s := r.Intake("in").Stats(); len(seen) < 20 || len(seen) > 80 || s.Routed+s.Dropped["some"] != 200 {
		t.Errorf("%d traces, stats %+v", len(seen), s)
	}
}

func TestExplainCountsNothing(t *testing.T) {
	r, _ := newRouter(t, []config.Processor{
		{Name: "few", Throttle: &config.Throttle{Rate: 1, Per: time.Hour, By: "${tag}"}}, {Name: "whole", Sample: &config.Sample{Keep: 100, By: "${tag}"}}, redact("mails"),
	}, []config.Route{{Name: "all", To: []string{"a"}}}, "a")
	for range 3 {
		x := r.Explain(chunkOf("app", line("a@b.cd")))[0]
		if x.Fate != "routed" || len(x.Processors) != 3 || !strings.Contains(x.Processors[0].Note, `"app"`) || x.Processors[1].Note == "" || x.Processors[2].Effect != "redacted" || x.Processors[2].After == nil {
			t.Fatalf("%+v", x)
		}
	}
	accept(t, r, chunkOf("app", line("x")))
	if s := r.Intake("in").Stats(); s.Routed != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestTheNewActionsAllocateNothingPerEvent(t *testing.T) {
	for name, p := range map[string]config.Processor{
		"rename":   {Rename: []config.Field{{Key: "log", Value: "message"}}},
		"remove":   {Remove: []string{"source", "container_*"}},
		"redact":   {Redact: &config.Redact{Patterns: []string{"ipv4", "email", "credit_card"}, With: "#"}},
		"sample":   {Sample: &config.Sample{Keep: 50, By: "${record.container_name}-${record.log}"}},
		"throttle": {Throttle: &config.Throttle{Rate: 1000, Per: time.Second, By: "${tag}", MaxKeys: 10}},
	} {
		p.Name = name
		rest := config.Route{Name: "rest", To: []string{"c"}}
		for _, r := range []*Router{
			benchRouter(t, []config.Processor{p}, rest),
			benchRouter(t, nil, config.Route{Name: "all", To: []string{"a"}, Continue: true, Processors: []config.Processor{p}}, rest),
		} {
			in := r.Intake("in")
			chunks := []record.Chunk{dockerChunk(accessLine)}
			if n := testing.AllocsPerRun(50, func() {
				if err := in.Accept(t.Context(), chunks); err != nil {
					t.Fatal(err)
				}
			}); n > 0 && !underRace || n >= eventsPerChunk {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

func TestConcurrentAcceptsShareAThrottle(t *testing.T) {
	r, err := New([]config.Processor{
		{Name: "calm", Throttle: &config.Throttle{Rate: 500, Per: 24 * time.Hour, By: "${tag}", MaxKeys: 10}},
		{Name: "some", Sample: &config.Sample{Keep: 50}}, redact("mails"),
		{Name: "move", Rename: []config.Field{{Key: "log", Value: "a.b"}}},
	}, []config.Route{{Name: "rest", To: []string{"b"}}}, map[string]Sink{"b": null{}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				c := chunkOf(fmt.Sprint("tag", i%2), line("x"), line("a@b.cd"), line("y"), line("z"))
				if err := r.Intake(fmt.Sprint(g)).Accept(t.Context(), []record.Chunk{c}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var routed, throttled, sampled uint64
	for g := range 4 {
		s := r.Intake(fmt.Sprint(g)).Stats()
		routed, throttled, sampled = routed+s.Routed, throttled+s.Dropped["calm"], sampled+s.Dropped["some"]
	}
	if throttled != 1600-1000 || routed+sampled != 1000 || routed < 300 || sampled < 300 {
		t.Errorf("throttled %d, sampled %d, routed %d", throttled, sampled, routed)
	}
}
