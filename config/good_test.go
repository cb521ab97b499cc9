package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheDesignsExampleBecomesTheTree(t *testing.T) {
	src := readFile(t, "testdata/good/design.yaml")
	cfg := load(t, src)
	opts := []cmp.Option{
		cmpopts.IgnoreTypes(Pos{}), cmpopts.EquateEmpty(),
		cmp.Transformer("re", func(p Pattern) string { return string('0'+rune(p.Kind)) + " " + p.Text }),
	}
	wantRoutes := []Route{
		{Name: "healthz", Match: &Match{Tests: []Test{{Field: "line", Patterns: []Pattern{{Kind: Regex, Text: `"GET /healthz`}}}}}, Discard: true},
		{Name: "audit", Match: &Match{Tests: []Test{
			{Field: "container", Patterns: []Pattern{{Kind: Glob, Text: "api-*"}}},
			{Field: "json", Path: "type", Patterns: []Pattern{{Kind: Glob, Text: "audit"}}},
		}}, To: []string{"audit", "archive"}},
		{Name: "access", Match: &Match{Tests: []Test{{Field: "line", Patterns: []Pattern{{Kind: Regex, Text: `"(GET|POST|PUT) `}}}}}, To: []string{"access"}},
		{Name: "error", Match: &Match{Any: []*Match{
			{Tests: []Test{{Field: "source", Patterns: []Pattern{{Text: "stderr"}}}}},
			{Tests: []Test{{Field: "json", Path: "status", Patterns: []Pattern{{Kind: Compare, Text: ">= 500"}}}}},
		}}, To: []string{"error"}},
		{Name: "rest", To: []string{"archive"}},
	}
	if d := cmp.Diff(wantRoutes, cfg.Routes, opts...); d != "" {
		t.Errorf("routes (-want +got):\n%s", d)
	}
	wantProcessors := []Processor{{Name: "add-1", Match: &Match{Tests: []Test{{Field: "tag", Patterns: []Pattern{{Text: "app-*"}}}}}, Add: []Field{{"env", "prod"}}}}
	if d := cmp.Diff(wantProcessors, cfg.Processors, opts...); d != "" {
		t.Errorf("processors (-want +got):\n%s", d)
	}
	if p := cfg.Routes[3].Match.Any[1].Tests[0].Patterns[0]; p.Op != ">=" || p.Number != 500 {
		t.Errorf("compare = %q %v", p.Op, p.Number)
	}
	wantBuffer := Buffer{Type: "disk", MaxBytes: 2 << 30, Memory: 8 << 20, OnFull: "shed_oldest", Sync: "interval", MinFree: 10}
	wantRetry := Retry{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Timeout: time.Minute}
	s3 := &testS3{Bucket: "logs", Key: "type=${type}/dt=${time:%Y-%m-%d}/hour=${time:%H}/${host}-${id}.jsonl.zst", Format: "json_lines", Compress: "zstd", Columns: []string{"time", "log"}, Sample: 1}
	s3.Object.MaxBytes, s3.Object.MaxAge = 64<<20, 5*time.Minute
	wantOutputs := []Output{
		{Name: "access", Type: "forward", Options: &testForwardOut{Servers: []testServer{{"agg-access-1:24224", false, 60}, {"agg-access-2:24224", true, 60}}}},
		{Name: "error", Type: "forward", Buffer: wantBuffer, Options: &testForwardOut{Servers: []testServer{{"agg-error:24224", false, 60}}}},
		{Name: "audit", Type: "forward", Options: &testForwardOut{Servers: []testServer{{"agg-audit:24224", false, 60}}}},
		{Name: "archive", Type: "s3", Options: s3},
	}
	for i := range wantOutputs {
		if i != 1 {
			wantOutputs[i].Buffer = wantBuffer
			wantOutputs[i].Buffer.MaxBytes = 1 << 30
		}
		wantOutputs[i].Retry, wantOutputs[i].Workers, wantOutputs[i].DeadLetters.MaxBytes = wantRetry, 1, 256<<20
	}
	wantOutputs[1].Buffer.Fallback = "archive"
	wantOutputs[2].Buffer.Sync = "always"
	if d := cmp.Diff(wantOutputs, cfg.Outputs, append(opts, cmp.AllowUnexported(testS3{}))...); d != "" {
		t.Errorf("outputs (-want +got):\n%s", d)
	}
	in := cfg.Inputs[0].Options.(*testForwardIn)
	if cfg.Inputs[0].Name != "docker" || len(in.Listen) != 2 || in.Listen[1] != "unix:///run/firebreak/fluent.sock" || in.MaxMessage != 64<<20 {
		t.Errorf("input = %+v, options %+v", cfg.Inputs[0], in)
	}
	if cfg.Shutdown != (Shutdown{time.Second, 25 * time.Second}) || cfg.Log.Level != "info" || cfg.Admin != "127.0.0.1:24220" {
		t.Errorf("cfg = %+v", cfg)
	}
	if got := cfg.Routes[3].Match.Any[1].Tests[0].Pos; got != (Pos{15, 68}) {
		t.Errorf("place of the json test = %+v", got)
	}
}
