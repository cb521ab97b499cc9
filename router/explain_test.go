package router

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/process"
)

// tell puts an explanation in lines, so that it can be compared as text.
func tell(e Explanation) string {
	var b strings.Builder
	effects := func(indent string, list []Effect) {
		for _, p := range list {
			fmt.Fprintf(&b, "%sprocessor %s: %s%s%s%s", indent, p.Name, p.Effect, p.Why, because(p.Because), note(p.Note))
			if p.After != nil {
				fmt.Fprintf(&b, ": %s -> %s", record.AppendJSON(nil, p.Before), record.AppendJSON(nil, p.After))
			}
			b.WriteByte('\n')
		}
	}
	effects("", e.Processors)
	for _, v := range e.Routes {
		fmt.Fprintf(&b, "route %s: %s", v.Name, v.Why)
		if v.Matched {
			fmt.Fprintf(&b, "matches%s", because(v.Because))
			if v.Continue {
				b.WriteString(", continues")
			}
			if len(v.Served) > 0 {
				fmt.Fprintf(&b, ", served before: %v", v.Served)
			}
		}
		b.WriteByte('\n')
		effects("  ", v.Processors)
	}
	fmt.Fprintf(&b, "%s as %q\n", e.Fate, e.Type)
	for _, d := range e.Deliveries {
		it := record.Iterate(&d.Event)
		it.Next()
		fmt.Fprintf(&b, "%s gets %s %s%s\n", d.Destination, d.Event.Route, record.AppendJSON(nil, it.Event().Record), note(d.DeadLetter))
	}
	return b.String()
}

func because(s string) string {
	if s == "" {
		return ""
	}
	return " because " + s
}

func note(s string) string {
	if s == "" {
		return ""
	}
	return " [" + s + "]"
}

func checkTold(t *testing.T, r *Router, c record.Chunk, want ...string) {
	t.Helper()
	var got []string
	for _, e := range r.Explain(c) {
		if e.Tag != c.Tag || e.Time.Unix() != 1700000000 {
			t.Errorf("tag %q, time %v", e.Tag, e.Time)
		}
		got = append(got, tell(e))
	}
	for i := range want {
		want[i] = strings.TrimLeft(want[i], "\n")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExplainRoutes(t *testing.T) {
	r, _ := newRouter(t, nil, []config.Route{
		{Name: "health", Match: lineIs(`"GET /healthz`), Discard: true},
		{Name: "copy", Match: when("tag", "", glob("app.*")), Continue: true, To: []string{"archive"}},
		{Name: "access", Match: lineIs(`"(GET|POST) `), To: []string{"access", "archive"}},
		{Name: "error", Match: when("json", "status", compare(">=", 500)), To: []string{"error"}},
	}, "access", "archive", "error")
	checkTold(t, r, chunkOf("app.web", line(`"GET /healthz"`), line(`"GET /a"`), line("plain")), `
route health: matches because line '"GET /healthz"' matches /"GET /healthz/
route copy: not reached: "health" matched before
route access: not reached: "health" matched before
route error: not reached: "health" matched before
discarded by route "health" as "health"
`, `
route health: line '"GET /a"' does not match /"GET /healthz/
route copy: matches because tag "app.web" matches "app.*", continues
route access: matches because line '"GET /a"' matches /"(GET|POST) /, served before: [archive]
route error: not reached: "access" matched before
routed as "copy"
archive gets copy {"log":"\"GET /a\""}
access gets copy {"log":"\"GET /a\""}
`, `
route health: line "plain" does not match /"GET /healthz/
route copy: matches because tag "app.web" matches "app.*", continues
route access: line "plain" does not match /"(GET|POST) /
route error: json.status: the line "plain" is no JSON object
routed as "copy"
archive gets copy {"log":"plain"}
`)
	checkTold(t, r, chunkOf("db", line(`{"status":200}`), line(`{"status":503}`)), `
route health: line '{"status":200}' does not match /"GET /healthz/
route copy: tag is "db", not "app.*"
route access: line '{"status":200}' does not match /"(GET|POST) /
route error: json.status is 200, not >= 500
matched by no route: discarded as ""
`, `
route health: line '{"status":503}' does not match /"GET /healthz/
route copy: tag is "db", not "app.*"
route access: line '{"status":503}' does not match /"(GET|POST) /
route error: matches because json.status is 503, >= 500
routed as "error"
error gets error {"log":"{\"status\":503}"}
`)
}

func TestExplainProcessors(t *testing.T) {
	guard := config.Processor{Name: "guard", SizeGuard: &config.SizeGuard{MaxBytes: 40, Action: "dead_letter"}}
	r, _ := newRouter(t, []config.Processor{
		{Name: "other", Match: when("tag", "", glob("other")), Drop: true},
		parse("log", false),
		{Name: "debug", Match: when("json", "level", glob("debug")), Drop: true},
		{Name: "env", Match: when("record", "env", config.Pattern{Kind: config.Absent}), Add: addTo("env", "prod")},
		guard,
	}, []config.Route{
		{Name: "copy", Continue: true, To: []string{"a"}, Processors: []config.Processor{
			{Name: "quiet", Match: when("record", "env", glob("test")), Drop: true}, {Name: "team", Add: addTo("team", "blue")},
		}},
		{Name: "nowhere", Match: when("record", "env", glob("test")), Continue: true},
		{Name: "rest", Match: when("record", "env", glob("p*")), To: []string{"a", "b"}, Processors: []config.Processor{{Name: "own", Match: lineIs("x"), Drop: true}}},
	}, "a", "b")
	long := strings.Repeat("x", 40)
	checkTold(t, r, chunkOf("t", line(`{"level":"debug"}`), line(`{"a":1}`), rec{{"env", "test"}, {"log", "x"}}, rec{{"env", "p"}, {"msg", long}}), `
processor other: tag is "t", not "other"
processor parse-log: changed: {"log":"{\"level\":\"debug\"}"} -> {"level":"debug"}
processor debug: dropped because json.level is "debug"
dropped by processor "debug" as ""
`, `
processor other: tag is "t", not "other"
processor parse-log: changed: {"log":"{\"a\":1}"} -> {"a":1}
processor debug: json.level is absent
processor env: changed because record.env is absent: {"a":1} -> {"a":1,"env":"prod"}
processor guard: same
route copy: matches, continues
  processor quiet: record.env is "prod", not "test"
  processor team: changed: {"a":1,"env":"prod"} -> {"a":1,"env":"prod","team":"blue"}
route nowhere: record.env is "prod", not "test"
route rest: matches because record.env "prod" matches "p*", served before: [a]
  processor own: line is absent: the record has no text under log or message
routed as "copy"
a gets copy {"a":1,"env":"prod","team":"blue"}
b gets copy {"a":1,"env":"prod"}
`, `
processor other: tag is "t", not "other"
processor parse-log: same
processor debug: json.level: the line "x" is no JSON object
processor env: record.env is "test", not absent
processor guard: same
route copy: matches, continues
  processor quiet: dropped because record.env is "test"
route nowhere: matches because record.env is "test", continues
route rest: record.env is "test", not "p*"
dropped by processor "quiet" as "copy"
`, fmt.Sprintf(`
processor other: tag is "t", not "other"
processor parse-log: same
processor debug: json.level is absent
processor env: record.env is "p", not absent
processor guard: too_large
route copy: matches, continues
  processor quiet: record.env is "p", not "test"
  processor team: changed: {"env":"p","msg":"%[1]s"} -> {"env":"p","msg":"%[1]s","team":"blue"}
route nowhere: record.env is "p", not "test"
route rest: matches because record.env "p" matches "p*", served before: [a]
  processor own: line is absent: the record has no text under log or message
routed as "copy"
a gets copy {"env":"p","msg":"%[1]s","team":"blue"} [too_large]
b gets copy {"env":"p","msg":"%[1]s"} [too_large]
`, long))
}

// fatal is a test of the standard library or of rapid.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkSaid holds explanations against what Accept did with the same events.
func checkSaid(t fatal, said []Explanation, sinks map[string]*memory, done IntakeStats) {
	t.Helper()
	fates, types := map[string]uint64{}, map[string]uint64{}
	gets := map[string][]got{}
	for _, e := range said {
		fates[e.Fate]++
		if e.Fate == "routed" {
			types[e.Type]++
		}
		if (e.Fate == "routed") != (len(e.Deliveries) > 0) {
			t.Fatalf("%d deliveries of what is %s", len(e.Deliveries), e.Fate)
		}
		checkReasons(t, e.Processors)
		for _, v := range e.Routes {
			if v.Matched != (v.Why == "") || !v.Matched && v.Because != "" {
				t.Fatalf("route %s: matched %v, why %q, because %q", v.Name, v.Matched, v.Why, v.Because)
			}
			checkReasons(t, v.Processors)
		}
		for _, d := range e.Deliveries {
			if d.Event.Events != 1 || d.Event.Route != d.Route || d.Route != e.Type {
				t.Fatalf("delivery %+v of type %q", d, e.Type)
			}
			gets[d.Destination] = append(gets[d.Destination], got{d.Event.Tag, d.Route, d.DeadLetter, string(d.Event.Data)})
		}
	}
	for name, m := range sinks {
		for _, reason := range []string{"", ReasonTooLarge} {
			if diff := cmp.Diff(filter(m.events, reason), filter(gets[name], reason), cmp.AllowUnexported(got{})); diff != "" {
				t.Fatalf("%s, reason %q (-done +said):\n%s", name, reason, diff)
			}
		}
	}
	want := map[string]uint64{"routed": done.Routed, "matched by no route: discarded": done.Discarded[Unmatched]}
	for name, n := range done.Dropped {
		want[fmt.Sprintf("dropped by processor %q", name)] = n
	}
	for name, n := range done.Discarded {
		want[fmt.Sprintf("discarded by route %q", name)] += n
		want[fmt.Sprintf("discarded: route %q has no destination", name)] += n
	}
	for fate, n := range fates {
		if n != want[fate] {
			t.Fatalf("%d events are said to be %s, want %d", n, fate, want[fate])
		}
	}
	for name, n := range types {
		if n > done.Routes[name] {
			t.Fatalf("%d events are said to be %s, want %d", n, name, done.Routes[name])
		}
	}
}

func checkReasons(t fatal, list []Effect) {
	for _, e := range list {
		if e.Matched != (e.Why == "") || !e.Matched && e.Because+e.Effect != "" || e.Matched && e.Effect == "" {
			t.Fatalf("processor %+v", e)
		}
	}
}

func TestExplainChangesNothing(t *testing.T) {
	r, sinks := newRouter(t, []config.Processor{{Name: "drop", Match: lineIs("drop"), Drop: true}},
		[]config.Route{{Name: "a", Match: when("tag", "", glob("t")), To: []string{"a"}}}, "a")
	c := chunkOf("t", line("x"), line("drop"))
	before := string(c.Data)
	for range 3 {
		if n := len(r.Explain(c)); n != 2 {
			t.Errorf("%d explanations, want 2", n)
		}
	}
	if string(c.Data) != before || c.Route != "" {
		t.Error("the chunk was changed")
	}
	if n := len(r.plans.young) + len(r.plans.byKnown); n != 0 {
		t.Errorf("%d plans are remembered", n)
	}
	s := r.Intake("in").Stats()
	if s.Routed+sum(s.Dropped)+sum(s.Discarded)+sum(r.Stats().Bytes) != 0 || sinks["a"].appends != 0 {
		t.Errorf("stats = %+v, %d appends", s, sinks["a"].appends)
	}
}

func TestExplainEndsAtWhatIsMalformed(t *testing.T) {
	r, _ := newRouter(t, nil, []config.Route{{Name: "a", To: []string{"a"}}}, "a")
	c := chunkOf("t", line("x"), line("y"))
	c.Data = c.Data[:len(c.Data)-1]
	if n := len(r.Explain(c)); n != 1 {
		t.Errorf("%d explanations, want 1", n)
	}
	if n := len(r.Explain(record.Chunk{Tag: "t"})); n != 0 {
		t.Errorf("%d explanations of nothing", n)
	}
}

func TestExplainKeepsTheEventsOfAChunkApart(t *testing.T) {
	r, sinks := newRouter(t, []config.Processor{parse("log", false)},
		[]config.Route{{Name: "a", To: []string{"a", "b"}, Processors: []config.Processor{{Name: "add", Add: addTo("env", "prod")}}}}, "a", "b")
	c := dockerChunk(jsonLine)
	said := r.Explain(c)
	accept(t, r, c)
	for i, e := range said {
		for _, d := range e.Deliveries {
			if string(d.Event.Data) != sinks[d.Destination].events[i].raw {
				t.Fatalf("event %d: %s is said to get % x", i, d.Destination, d.Event.Data)
			}
		}
		if len(e.Deliveries) != 2 {
			t.Fatalf("event %d: %d deliveries", i, len(e.Deliveries))
		}
	}
}

// TestExplainAsJSON is what a command line or another tool reads.
func TestExplainAsJSON(t *testing.T) {
	r, _ := newRouter(t, []config.Processor{{Name: "p", Match: lineIs("y"), Drop: true}},
		[]config.Route{{Name: "a", To: []string{"x"}, Processors: []config.Processor{{Name: "own", Match: lineIs("y"), Drop: true}}}}, "x")
	got, err := json.Marshal(r.Explain(chunkOf("t", line("x")))[0])
	if err != nil {
		t.Fatal(err)
	}
	why := `"why":"line \"x\" does not match /y/"`
	want := `{"tag":"t","time":` + string(mustJSON(t, time.Unix(1700000000, 0))) + `,"processors":[{"name":"p","matched":false,` + why + `}],` +
		`"routes":[{"name":"a","matched":true,"continue":false,"discard":false,"to":["x"],"processors":[{"name":"own","matched":false,` + why + `}]}],` +
		`"fate":"routed","type":"a","deliveries":[{"destination":"x","route":"a"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzExplain feeds chunks of any bytes: what is said has to come true.
func FuzzExplain(f *testing.F) {
	f.Add(chunkOf("", line(`{"a":"\u001b","status":503}`), rec{{"message", "x"}, {"env", nil}}, rec{}).Data, "app", 3)
	f.Add([]byte{0x92, 0xce, 0, 0, 0, 1, 0x81, 0xa3, 'l', 'o', 'g', 0xc4, 2, '{', '}'}, "\x00", 1)
	f.Add([]byte{0x92, 0xce, 0, 0, 0, 1, 0xdf, 0xff, 0xff, 0xff, 0xff}, "t", 2)
	processors := []config.Processor{
		{Name: "cut", SizeGuard: &config.SizeGuard{MaxBytes: 64, Action: "truncate", Key: "log", Marker: "#"}}, parse("log", false),
		{Name: "drop", Match: when("json", "level", glob("d*")), Drop: true}, {Name: "guard", SizeGuard: &config.SizeGuard{MaxBytes: 100, Action: "dead_letter"}},
	}
	routes := []config.Route{
		{Name: "copy", Match: when("tag", "", glob("a*")), Continue: true, To: []string{"a"}, Processors: []config.Processor{{Name: "own", Match: when("record", "a", config.Pattern{Kind: config.Present}), Drop: true}}},
		{Name: "error", Match: &config.Match{Any: []*config.Match{when("source", "", glob("stderr")), when("json", "status", compare(">=", 500))}}, To: []string{"a", "b"}},
		{Name: "gone", Match: &config.Match{Not: []*config.Match{lineIs("x"), when("record", "env", glob("*"))}}, Discard: true},
		{Name: "rest", Match: when("container", "", glob("*")), To: []string{"b"}, Processors: []config.Processor{{Name: "env", Add: addTo("env", "prod")}}},
	}
	f.Fuzz(func(t *testing.T, data []byte, tag string, events int) {
		r, sinks := newRouter(t, processors, routes, "a", "b")
		c := record.Chunk{Tag: tag, Data: data, Events: min(events, 100)}
		n := 0
		for it := record.Iterate(&c); n < c.Events && it.Next(); n++ {
		}
		said := r.Explain(c)
		if len(said) != n {
			t.Fatalf("%d explanations of %d events", len(said), n)
		}
		if n < c.Events || n == 0 {
			return // inputs give no such chunk
		}
		accept(t, r, c)
		checkSaid(t, said, sinks, r.Intake("in").Stats())
	})
}

// A counter is an action with a memory.
type counter struct{ applied int }

func (c *counter) Apply(dst, _ []byte, _ *process.Scope) ([]byte, process.Verdict) {
	c.applied++
	return dst, process.Dropped
}

func (c *counter) Peek([]byte, *process.Scope) (process.Verdict, string) {
	return process.Same, "counts against 5 per second"
}

func TestExplainAsksActionsWithAMemory(t *testing.T) {
	r, _ := newRouter(t, []config.Processor{{Name: "rate", Drop: true}}, []config.Route{{Name: "a", To: []string{"x"}}}, "x")
	c := &counter{}
	r.steps[0].action = c
	checkTold(t, r, chunkOf("t", line("x")), `
processor rate: same [counts against 5 per second]
route a: matches
routed as "a"
x gets a {"log":"x"}
`)
	if c.applied != 0 {
		t.Errorf("applied %d times", c.applied)
	}
}
