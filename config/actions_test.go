package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestProcessorsBecomeTheirOptions(t *testing.T) {
	one := func(p Processor) []Processor { return []Processor{p} }
	for text, want := range map[string][]Processor{
		`{ rename: { z: y, "a.b": "a.c", a: 5 } }`:   one(Processor{Name: "rename-1", Rename: []Field{{"z", "y"}, {"a.b", "a.c"}, {"a", "5"}}}),
		`{ remove: [password, "http.headers.x-*"] }`: one(Processor{Name: "remove-1", Remove: []string{"password", "http.headers.x-*"}}),
		`{ remove: password }`:                       one(Processor{Name: "remove-1", Remove: []string{"password"}}),
		`{ redact: email }`:                          one(Processor{Name: "redact-1", Redact: &Redact{Patterns: []string{"email"}, With: "[redacted]"}}),
		`{ redact: [credit_card, '/a b+/'] }`:        one(Processor{Name: "redact-1", Redact: &Redact{Patterns: []string{"credit_card", "/a b+/"}, With: "[redacted]"}}),
		`{ redact: { patterns: ['/k=(?P<v>x)/'], keys: [log, "http.*"], with: "k=$v$1$$" } }`: one(Processor{Name: "redact-1", Redact: &Redact{
			Patterns: []string{"/k=(?P<v>x)/"}, Keys: []string{"log", "http.*"}, With: "k=$v$1$$"}}),
		`{ redact: { patterns: email, with: "" } }`:            one(Processor{Name: "redact-1", Redact: &Redact{Patterns: []string{"email"}}}),
		`{ sample: 12.5% }`:                                    one(Processor{Name: "sample-1", Sample: &Sample{Keep: 12.5}}),
		`{ sample: { keep: 100%, by: "${record.trace_id}" } }`: one(Processor{Name: "sample-1", Sample: &Sample{Keep: 100, By: "${record.trace_id}"}}),
		`{ throttle: { rate: 100 } }`:                          one(Processor{Name: "throttle-1", Throttle: &Throttle{Rate: 100, Per: time.Second, MaxKeys: 10000}}),
		`{ name: calm, throttle: { rate: 6, per: 1m, burst: 60, by: "${tag}", max_keys: 5 } }`: one(Processor{Name: "calm", Throttle: &Throttle{
			Rate: 6, Per: time.Minute, Burst: 60, By: "${tag}", MaxKeys: 5}}),
	} {
		cfg, err := Load("firebreak.yaml", []byte("inputs: { docker: { type: forward } }\noutputs: { files: { type: file, path: out.log } }\nprocessors:\n  - "+text+"\n"), testKinds, testEnv)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, cfg.Processors, cmpopts.IgnoreTypes(Pos{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

func TestAThrottleOfARouteMayUseTheType(t *testing.T) {
	cfg := load(t, `
inputs: { docker: { type: forward } }
outputs: { files: { type: file, path: out.log } }
routes:
  - { name: all, to: files, processors: [ { throttle: { rate: 5, by: "${type}" } } ] }
`)
	if p := cfg.Routes[0].Processors; len(p) != 1 || p[0].Name != "all.throttle-1" || p[0].Throttle == nil || p[0].Throttle.By != "${type}" {
		t.Errorf("processors = %+v", p)
	}
}
