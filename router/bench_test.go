package router

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// null is a sink that takes everything at once.
type null struct{}

func (null) Append(context.Context, []record.Chunk) error         { return nil }
func (null) Reject(context.Context, []record.Chunk, string) error { return nil }

const eventsPerChunk = 100

// dockerChunk holds events as Docker's fluentd log driver sends them, with log lines of about 300 bytes.
func dockerChunk(lines func(i int) string) record.Chunk {
	var records []rec
	for i := range eventsPerChunk {
		records = append(records, rec{
			{"container_id", strings.Repeat("0123456789abcdef", 4)}, {"container_name", "/api-7"}, {"source", "stdout"}, {"log", lines(i)},
		})
	}
	return chunkOf("app.web", records...)
}

func accessLine(i int) string {
	s := fmt.Sprintf(`10.11.12.13 - - [01/Jan/2026:00:00:00 +0000] "%s /api/v1/things/%d HTTP/1.1" %d 5120 "https://shop.example.com/list?page=2" `,
		[]string{"GET", "POST", "DELETE", "HEAD"}[i%4], i, []int{200, 404, 301, 503, 200}[i%5])
	return s + `"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36" rt=0.012` + strings.Repeat("x", 10)
}

func jsonLine(i int) string {
	return fmt.Sprintf(`{"time":"2026-01-01T00:00:00.123456Z","level":"info","msg":"request served","method":"GET","path":"/api/v1/things/%d","status":%d,"bytes":5120,`+
		`"duration_ms":12.75,"remote":"10.11.12.13","agent":"Mozilla/5.0 (X11; Linux x86_64)","trace":{"id":"4bf92f3577b34da6","span":"00f067aa0ba902b7"}}`, i, []int{200, 404, 301, 503, 200}[i%5])
}

func benchRouter(tb testing.TB, processors []config.Processor, routes ...config.Route) *Router {
	r, err := New(processors, routes, map[string]Sink{"a": null{}, "b": null{}, "c": null{}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

type benchCase struct {
	name       string
	processors []config.Processor
	routes     []config.Route
	line       func(int) string
}

func benchCases() []benchCase {
	rest := config.Route{Name: "rest", To: []string{"c"}}
	return []benchCase{
		{name: "catch-all", routes: []config.Route{rest}, line: accessLine},
		{name: "tag", routes: []config.Route{
			{Name: "db", Match: when("tag", "", glob("db-*")), To: []string{"a"}},
			{Name: "web", Match: when("tag", "", glob("app.*")), To: []string{"a", "c"}}, rest,
		}, line: accessLine},
		{name: "container", routes: []config.Route{{Name: "db", Match: when("container", "", glob("db-*")), To: []string{"a"}}, rest}, line: accessLine},
		{name: "three-regexes", routes: []config.Route{
			{Name: "health", Match: lineIs(`"GET /healthz`), Discard: true},
			{Name: "access", Match: lineIs(`"(GET|POST|PUT) `), To: []string{"a", "c"}},
			{Name: "error", Match: lineIs(`" 5\d\d `), To: []string{"b", "c"}}, rest,
		}, line: accessLine},
		{name: "alternating", routes: []config.Route{
			{Name: "access", Match: lineIs(`"(GET|POST) `), To: []string{"a"}}, {Name: "error", Match: lineIs(`" 5\d\d `), To: []string{"b"}}, rest,
		}, line: accessLine},
		{name: "engine", routes: []config.Route{{Name: "slow", Match: lineIs(`rt=[1-9]\d*\.\d+`), To: []string{"a"}}, rest}, line: accessLine},
		{name: "json", routes: []config.Route{{Name: "error", Match: when("json", "status", compare(">=", 500)), To: []string{"b"}}, rest}, line: jsonLine},
		{name: "json-on-text", routes: []config.Route{{Name: "error", Match: when("json", "status", compare(">=", 500)), To: []string{"b"}}, rest}, line: accessLine},
		{name: "continue", routes: []config.Route{
			{Name: "access", Match: lineIs(`"(GET|POST) `), Continue: true, To: []string{"a"}}, {Name: "error", Match: lineIs(`" 5\d\d `), Continue: true, To: []string{"b"}}, rest,
		}, line: accessLine},
		{name: "drop", processors: []config.Processor{{Name: "d", Match: lineIs("DELETE"), Drop: true}}, routes: []config.Route{rest}, line: accessLine},
		{name: "add", processors: []config.Processor{{Name: "e", Add: []config.Field{{Key: "env", Value: "prod"}}}}, routes: []config.Route{rest}, line: accessLine},
		{name: "parse-json", processors: []config.Processor{{Name: "p", ParseJSON: &config.ParseJSON{Key: "log"}}}, routes: []config.Route{rest}, line: jsonLine},
		{name: "size-guard", processors: []config.Processor{{Name: "g", SizeGuard: &config.SizeGuard{MaxBytes: 300, Key: "log", Marker: "..."}}}, routes: []config.Route{rest}, line: accessLine},
		{name: "route-add", routes: []config.Route{{Name: "all", To: []string{"a"}, Continue: true, Processors: []config.Processor{{Name: "e", Add: []config.Field{{Key: "env", Value: "prod"}}}}}, rest}, line: accessLine},
	}
}

func TestNoAllocationPerEvent(t *testing.T) {
	for _, c := range benchCases() {
		r := benchRouter(t, c.processors, c.routes...)
		in := r.Intake("in")
		chunks := []record.Chunk{dockerChunk(c.line), dockerChunk(c.line)}
		n := testing.AllocsPerRun(50, func() {
			if err := in.Accept(t.Context(), chunks); err != nil {
				t.Fatal(err)
			}
		})
		if n > 0 && !underRace || n >= eventsPerChunk {
			t.Errorf("%s: %v allocations for %d events", c.name, n, 2*eventsPerChunk)
		}
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) {
			in := benchRouter(b, c.processors, c.routes...).Intake("in")
			chunks := []record.Chunk{dockerChunk(c.line)}
			b.ReportAllocs()
			b.SetBytes(int64(len(chunks[0].Data)))
			for b.Loop() {
				if err := in.Accept(b.Context(), chunks); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/eventsPerChunk, "ns/event")
		})
	}
}

// BenchmarkRandomTags is what a sender that invents tags can cost.
func BenchmarkRandomTags(b *testing.B) {
	in := benchRouter(b, nil, config.Route{Name: "db", Match: when("tag", "", glob("db-*")), To: []string{"a"}}, config.Route{Name: "rest", To: []string{"c"}}).Intake("in")
	c := chunkOf("", line("x"))
	var tags []string
	for i := range 1 << 16 {
		tags = append(tags, fmt.Sprintf("%x", uint64(i)*0x9e3779b97f4a7c15))
	}
	i := 0
	chunks := []record.Chunk{c}
	for b.Loop() {
		chunks[0].Tag = tags[i&(1<<16-1)]
		i++
		if err := in.Accept(b.Context(), chunks); err != nil {
			b.Fatal(err)
		}
	}
}
