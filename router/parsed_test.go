package router

import (
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

func parse(key string, keep bool) config.Processor {
	return config.Processor{Name: "parse-" + key, ParseJSON: &config.ParseJSON{Key: key, Keep: keep}}
}

// types returns the types of what a sink has, in order.
func (m *memory) types() (out []string) {
	for _, e := range m.events {
		out = append(out, e.typ)
	}
	return out
}

// TestJSONConditionsSeeWhatWasParsedBefore holds for the condition that everybody writes behind parse_json: log.
func TestJSONConditionsSeeWhatWasParsedBefore(t *testing.T) {
	absent := config.Pattern{Kind: config.Absent}
	errors := config.Route{Name: "error", Match: when("json", "status", compare(">=", 500)), To: []string{"a"}}
	deep := config.Route{Name: "deep", Match: when("json", "http.code", glob("404")), To: []string{"a"}}
	labelled := config.Route{Name: "labelled", Match: when("json", "team", glob("blue")), To: []string{"a"}}
	bare := config.Route{Name: "bare", Match: when("json", "level", absent), To: []string{"a"}}
	rest := config.Route{Name: "rest", To: []string{"a"}}
	events := []rec{
		{{"log", `{"status":503,"level":"x"}`}},
		{{"log", `{"status":"503","message":"oops"}`}},
		{{"log", `{"http":{"code":404}}`}},
		{{"log", `{"level":"x"}`}},
		{{"log", `{"a":1}`}},
		{{"log", "plain"}, {"status", 500}, {"team", "blue"}},
		{{"message", `{"status":500}`}},
	}
	for name, c := range map[string]struct {
		processors []config.Processor
		want       []string
	}{
		"nothing parsed":   {nil, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"parsed":           {[]config.Processor{parse("log", false)}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"text kept":        {[]config.Processor{parse("log", true)}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"another key":      {[]config.Processor{parse("text", false)}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"the second key":   {[]config.Processor{parse("message", false)}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"both keys":        {[]config.Processor{parse("log", false), parse("message", false)}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
		"parsed and added": {[]config.Processor{parse("log", false), {Name: "add", Match: errors.Match, Add: addTo("team", "blue")}}, []string{"error", "error", "deep", "rest", "bare", "rest", "error"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, sinks := newRouter(t, c.processors, []config.Route{errors, deep, labelled, bare, rest}, "a")
			accept(t, r, chunkOf("x", events...))
			got := sinks["a"].types()
			for i := range c.want {
				if i >= len(got) || got[i] != c.want[i] {
					t.Errorf("event %d: types %v, want %v", i, got, c.want)
					break
				}
			}
		})
	}
}

func TestJSONConditionsOfARoutesProcessorsSeeWhatWasParsed(t *testing.T) {
	drop := config.Processor{Name: "drop", Match: when("json", "level", glob("debug")), Drop: true}
	routes := []config.Route{
		{Name: "one", To: []string{"a"}, Continue: true, Processors: []config.Processor{parse("log", false), drop}},
		{Name: "two", Match: when("json", "level", glob("debug")), To: []string{"b"}},
		{Name: "rest", Discard: true},
	}
	r, sinks := newRouter(t, nil, routes, "a", "b")
	accept(t, r, chunkOf("x", line(`{"level":"debug"}`), rec{{"level", "debug"}, {"log", "text"}}, rec{{"level", "debug"}}))
	if n := len(sinks["a"].events); n != 1 {
		t.Errorf("a has %d events, want the one whose text isn't JSON", n)
	}
	if n := len(sinks["b"].events); n != 1 {
		t.Errorf("b has %d events, want the one with the JSON text: the parsing belongs to another route", n)
	}
}

func TestJSONConditionsOnParsedEventsAllocateNothing(t *testing.T) {
	in := benchRouter(t, []config.Processor{parse("log", false)},
		config.Route{Name: "error", Match: when("json", "status", compare(">=", 500)), To: []string{"b"}}, config.Route{Name: "rest", To: []string{"c"}}).Intake("in")
	chunks := []record.Chunk{dockerChunk(jsonLine)}
	if n := testing.AllocsPerRun(50, func() {
		if err := in.Accept(t.Context(), chunks); err != nil {
			t.Fatal(err)
		}
	}); n > 0 && !underRace || n >= eventsPerChunk {
		t.Errorf("%v allocations", n)
	}
}
