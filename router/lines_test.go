package router

import (
	"slices"
	"testing"

	"github.com/firebreak/firebreak/config"
)

func TestJSONConditionsFollowLinesThatAreMoved(t *testing.T) {
	rename := func(pairs ...string) config.Processor {
		p := config.Processor{Name: "rename"}
		for i := 0; i < len(pairs); i += 2 {
			p.Rename = append(p.Rename, config.Field{Key: pairs[i], Value: pairs[i+1]})
		}
		return p
	}
	remove := func(keys ...string) config.Processor { return config.Processor{Name: "remove", Remove: keys} }
	is := func(path, pattern string) *config.Match { return when("json", path, glob(pattern)) }
	text := line(`{"level":"debug","n":1}`)
	for name, c := range map[string]struct {
		processors []config.Processor
		match      *config.Match
		want       bool
	}{
		"parsed, then a parsed key is renamed":     {[]config.Processor{parse("log", false), rename("level", "severity")}, is("severity", "debug"), true},
		"parsed, then the old name":                {[]config.Processor{parse("log", false), rename("level", "severity")}, is("level", "debug"), false},
		"parsed, then a parsed key is removed":     {[]config.Processor{parse("log", false), remove("level")}, is("level", "debug"), false},
		"parsed, then a parsed key nests":          {[]config.Processor{parse("log", false), rename("level", "meta.level")}, is("meta.level", "debug"), true},
		"parsed and kept, then the text is gone":   {[]config.Processor{parse("log", true), remove("log")}, is("level", "debug"), true},
		"parsed and kept, then gone by a glob":     {[]config.Processor{parse("log", true), remove("l?g")}, is("level", "debug"), true},
		"parsed and kept, then the text moves":     {[]config.Processor{parse("log", true), rename("log", "raw")}, is("level", "debug"), true},
		"parsed and kept, moved, then gone":        {[]config.Processor{parse("log", true), rename("log", "raw"), remove("raw")}, is("level", "debug"), true},
		"moved, then parsed":                       {[]config.Processor{rename("log", "raw"), parse("raw", false)}, is("level", "debug"), true},
		"moved twice, then parsed":                 {[]config.Processor{rename("log", "raw", "raw", "text"), parse("text", false)}, is("level", "debug"), true},
		"moved, then parsed and kept":              {[]config.Processor{rename("log", "raw"), parse("raw", true)}, is("level", "debug"), true},
		"moved to the other name of a line":        {[]config.Processor{rename("log", "message")}, is("level", "debug"), true},
		"removed, never parsed":                    {[]config.Processor{remove("log")}, is("level", "debug"), false},
		"another key removed":                      {[]config.Processor{remove("x")}, is("level", "debug"), true},
		"parsed, and another text takes its place": {[]config.Processor{parse("log", false), rename("level", "log")}, is("n", "1"), false},
	} {
		r, sinks := newRouter(t, c.processors, []config.Route{{Name: "yes", Match: c.match, To: []string{"a"}}, {Name: "no", To: []string{"a"}}}, "a")
		accept(t, r, chunkOf("t", text))
		want := "no"
		if c.want {
			want = "yes"
		}
		if got := sinks["a"].types(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}

func TestARouteKnowsTheLinesOfItsOwnProcessorsOnly(t *testing.T) {
	r, sinks := newRouter(t, []config.Processor{parse("log", true)}, []config.Route{
		{Name: "one", To: []string{"a"}, Continue: true, Processors: []config.Processor{
			{Name: "remove", Remove: []string{"log"}}, {Name: "drop", Match: when("json", "level", glob("debug")), Drop: true},
		}},
		{Name: "two", Match: when("json", "level", glob("debug")), To: []string{"b"}},
	}, "a", "b")
	accept(t, r, chunkOf("t", line(`{"level":"debug"}`)))
	if len(sinks["a"].events) != 0 || len(sinks["b"].events) != 1 {
		t.Errorf("a has %d events, b %d; want 0 and 1", len(sinks["a"].events), len(sinks["b"].events))
	}
}
