package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/table"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router/match"
)

var lineShape = sampleShape{format: "line", tag: "t", time: time.Unix(1700000000, 0)}

// read returns the samples of a text as they would be shown, and what was said about lines.
func read(in string, shape sampleShape) (got []string, err error) {
	for s, err := range readSamples(strings.NewReader(in), shape) {
		if err != nil {
			if _, ok := errors.AsType[*badSample](err); !ok {
				return got, err
			}
			got = append(got, err.Error())
			continue
		}
		it := record.Iterate(&s.chunk)
		it.Next()
		got = append(got, fmt.Sprintf("%d %s", s.number, record.AppendJSON(nil, it.Event().Record)))
	}
	return got, nil
}

func TestReadSamples(t *testing.T) {
	long := strings.Repeat("x", maxSampleLine)
	records := lineShape
	records.format = "json"
	for _, c := range []struct {
		name, in string
		shape    sampleShape
		want     []string
	}{
		{"nothing", "", lineShape, nil},
		{"the last line without its end", "a\r\n\nb", lineShape, []string{`1 {"log":"a\r"}`, `2 {"log":""}`, `3 {"log":"b"}`}},
		{"longer than what is read at once", strings.Repeat("y", 100<<10) + "\nz\n", lineShape, []string{`1 {"log":"` + strings.Repeat("y", 100<<10) + `"}`, `2 {"log":"z"}`}},
		{"too long", long + "x\nb\n" + long + "x", lineShape, []string{"line 1: longer than 16 MiB", `2 {"log":"b"}`, "line 3: longer than 16 MiB"}},
		{"just not too long", long + "\n", lineShape, []string{`1 {"log":"` + long + `"}`}},
		{"blank lines between records", "\n {\"a\":1} \n\t\n{}\n[]", records, []string{`2 {"a":1}`, `4 {}`, "line 5: record is not a JSON object"}},
		{"deep", strings.Repeat("[", 1e6), records, []string{"line 1: text is not JSON or nests too deeply"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(c.in, c.shape)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%.1000s", diff)
			}
		})
	}
	if _, err := read(strings.Repeat("\n", maxSamples), records); err != nil {
		t.Error(err)
	}
	if _, err := read(strings.Repeat("\n", maxSamples+1), records); err == nil || !strings.Contains(err.Error(), "there are more than 1000000") {
		t.Errorf("got error %v", err)
	}
}

func TestSetKeys(t *testing.T) {
	shape := sampleShape{format: "json", set: []pair{{"b", "1"}, {"new", "x=y"}, {"b", "2"}}}
	got, err := read(`{"a":1,"b":{"c":2},"b":3,"z":[null]}`, shape)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`1 {"a":1,"z":[null],"new":"x=y","b":"2"}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChanges(t *testing.T) {
	x := strings.Repeat("x", 200)
	for _, c := range []struct{ before, after, want string }{
		{`{"a":1}`, `{"a":1,"b":"c"}`, `adds b="c"`},
		{`{"a":1,"b":2}`, `{"c":[1]}`, `adds c=[1]; removes a, b`},
		{`{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":3,"d":2},"e":null}}`, `adds a.e=null; sets a.b.c from 1 to 3`},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, `changes the order of keys`},
		{`{"a":{}}`, `{"a":"{}"}`, `sets a from {} to "{}"`},
		{`{}`, `{"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9,"91":10}`, `adds 1=1, 2=2, 3=3, 4=4, 5=5, 6=6, 7=7, 8=8, … 2 more`},
		{`{"a":"` + x + `secret` + x + `"}`, `{"a":"` + x + `***` + x + `"}`,
			`sets a from …` + x[:40] + `secret` + x[:33] + `… to …` + x[:40] + `***` + x[:36] + `…`},
		{`{"a":1}`, `nothing`, `changes the record`},
	} {
		if got := changes(json.RawMessage(c.before), json.RawMessage(c.after)); got != c.want {
			t.Errorf("from %s to %s:\n got %s\nwant %s", c.before, c.after, got, c.want)
		}
	}
}

// What the tag alone decides is what the router decides once for each tag.
func TestTagDecisions(t *testing.T) {
	glob := func(text string) []config.Pattern { return []config.Pattern{{Kind: config.Glob, Text: text}} }
	tests := rapid.SampledFrom([]config.Test{
		{Field: "tag", Patterns: glob("app.*")}, {Field: "tag", Patterns: glob("*.web")}, {Field: "tag", Patterns: glob("db")},
		{Field: "line", Patterns: []config.Pattern{{Kind: config.Regex, Text: "x", Regexp: regexp.MustCompile("x")}}},
		{Field: "record", Path: "level", Patterns: glob("error")},
	})
	var tree func(depth int) *rapid.Generator[*config.Match]
	tree = func(depth int) *rapid.Generator[*config.Match] {
		return rapid.Custom(func(t *rapid.T) *config.Match {
			m := &config.Match{Tests: rapid.SliceOfN(tests, 0, 2).Draw(t, "tests")}
			if depth > 0 {
				m.Any = rapid.SliceOfN(tree(depth-1), 0, 3).Draw(t, "any")
				m.Not = rapid.SliceOfN(tree(depth-1), 0, 2).Draw(t, "not")
				if len(m.Any) == 0 {
					m.Any = nil
				}
			}
			return m
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		m := tree(2).Draw(t, "match")
		tag := rapid.SampledFrom([]string{"app.web", "app.x", "db.web", "db", ""}).Draw(t, "tag")
		var known match.Table
		c, err := known.Compile(m)
		if err != nil {
			t.Fatal(err)
		}
		c = c.Reduce(known.Decide(nil, tag, nil))
		want := takesDepends
		switch {
		case c.Always():
			want = takesYes
		case c.Never():
			want = takesNo
		}
		got := decideTag(tag, m)
		if got.takes != want || (want == takesDepends) != (len(got.fields) > 0) {
			t.Errorf("got %+v, want %s", got, want)
		}
	})
}

const explainedConfig = `
inputs: { docker: { type: forward } }
processors:
  - { parse_json: log }
  - { match: { record: { drop: true } }, drop: true }
  - { match: { container: "c*" }, add: { env: prod } }
routes:
  - { name: health, match: { line: healthz }, discard: true }
  - { name: error, match: { source: stderr }, continue: true, to: [agg] }
  - { name: rest, to: [agg, files] }
outputs:
  agg: { type: forward, servers: ["agg:24224"] }
  files: { type: file, path: "/var/log/${tag}/${record.container_name:-none}.log" }
`

func newTestExplainer(t testing.TB) (*agent.Explainer, *config.Config) {
	t.Helper()
	cfg, err := config.Load("test.yaml", []byte(explainedConfig), agent.Kinds(), config.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := agent.NewExplainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x, cfg
}

// printed explains a text in one form.
func printed(t testing.TB, x *agent.Explainer, in string, shape sampleShape, out explainOutput) {
	t.Helper()
	var errs bytes.Buffer
	if _, err := explainAll(x, readSamples(strings.NewReader(in), shape), out, &errs); err != nil && !errors.Is(err, errSilent) {
		t.Fatal(err)
	}
}

var sgr = regexp.MustCompile(`\x1b\[[0-9]+m`)

// Colours add to the text and take nothing from it; what the events hold can't colour anything.
func TestExplainColours(t *testing.T) {
	x, cfg := newTestExplainer(t)
	const lines = "hello\n\x1b[31mhealthz\n{\"drop\":true}\n"
	var plain, coloured bytes.Buffer
	printed(t, x, lines, lineShape, &explainText{out: &plain, sum: newExplainSum(cfg)})
	printed(t, x, lines, lineShape, &explainText{out: &coloured, style: table.Style{Colour: true}, sum: newExplainSum(cfg)})
	if strings.Contains(plain.String(), "\x1b") {
		t.Errorf("escapes without colours: %q", plain.String())
	}
	if diff := cmp.Diff(plain.String(), sgr.ReplaceAllString(coloured.String(), "")); diff != "" {
		t.Errorf("(-plain +coloured):\n%s", diff)
	}
	for _, want := range []string{"\x1b[1mline 1\x1b[0m", "\x1b[32mMATCHES", "\x1b[33mDROPS the event", "\x1b[2mno: "} {
		if !strings.Contains(coloured.String(), want) {
			t.Errorf("%q is missing in\n%s", want, coloured.String())
		}
	}
}

// Whatever a line holds, it is explained or refused, and what is printed is safe: text without control characters, and
// one JSON object for each event.
func FuzzExplain(f *testing.F) {
	f.Add("line", []byte("GET /healthz\n\x1b[2J\xff\u202e"))
	f.Add("json", []byte(`{"log":"{\"drop\":true}","container_name":"/c1","source":"stderr"}`))
	f.Add("event", []byte(`{"tag":"a/../b","data":"ktcAaX3uwAAAAACBo2xvZ6NyYXc=","attrs":{"host":"h"}}`))
	f.Add("event", []byte(`{"tag":"\u0000","record":{"log":"x"},"arrived":"2026-01-31T12:00:00Z"}`))
	x, cfg := newTestExplainer(f)
	f.Fuzz(func(t *testing.T, format string, text []byte) {
		shape := lineShape
		shape.format = format
		var out, lines bytes.Buffer
		sum := newExplainSum(cfg)
		printed(t, x, string(text), shape, &explainText{out: &out, all: true, sum: sum})
		if got := table.CleanLines(out.String()); got != out.String() {
			t.Errorf("printed %q", out.String())
		}
		printed(t, x, string(text), shape, &explainJSON{out: &lines})
		n := 0
		for line := range strings.Lines(lines.String()) {
			var e struct {
				Number int             `json:"number"`
				Fate   string          `json:"fate"`
				Record json.RawMessage `json:"record"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Number < 1 || e.Fate == "" || len(e.Record) == 0 {
				t.Errorf("line %q: %v", line, err)
			}
			n++
		}
		if n != sum.events {
			t.Errorf("%d objects of %d events", n, sum.events)
		}
	})
}
