package config

import "testing"

func TestOneOutputNeedsNoRoutes(t *testing.T) {
	cfg := load(t, "inputs: { d: { type: forward } }\noutputs: { Only: { type: file, path: a } }\n")
	if len(cfg.Routes) != 1 || cfg.Routes[0].Name != "Only" || cfg.Routes[0].To[0] != "Only" || cfg.Routes[0].Match != nil || len(cfg.Warnings) > 0 {
		t.Errorf("routes = %+v, warnings %v", cfg.Routes, cfg.Warnings)
	}
}

func TestConditionsOnWhatAnInputSupplies(t *testing.T) {
	load(t, `
inputs: { node: { type: pods } }
outputs: { a: { type: file, path: a } }
routes:
  - { name: x, match: { k8s: { namespace: prod, label: { app: web } }, ecs: { cluster: c } }, to: a }
  - { name: rest, discard: true }
`)
}

func TestConditionsNestAndKeepTheirLineKey(t *testing.T) {
	cfg := load(t, `
line_key: text
inputs: { d: { type: forward } }
outputs: { a: { type: file, path: a } }
routes:
  - name: x
    match:
      record: { a: { b.c: [x, 1], d: true } }
      not: { line: boring }
      any:
        - { line_key: msg, line: [a, b], json: { k: v } }
        - { any: [ { line: c } ] }
    to: a
  - { name: rest, to: a }
`)
	m := cfg.Routes[0].Match
	if len(m.Tests) != 2 || m.Tests[0].Path != "a.b.c" || len(m.Tests[0].Patterns) != 2 || m.Tests[1].Path != "a.d" || m.Tests[1].Patterns[0].Kind != Present {
		t.Errorf("tests = %+v", m.Tests)
	}
	if len(m.Not) != 1 || m.Not[0].Tests[0].LineKey != "text" {
		t.Errorf("not = %+v", m.Not)
	}
	in := m.Any[0].Tests
	if len(in) != 2 || in[0].LineKey != "msg" || in[1].LineKey != "msg" || len(in[0].Patterns) != 2 {
		t.Errorf("any = %+v", in)
	}
	if inner := m.Any[1].Any[0].Tests[0]; inner.LineKey != "text" {
		t.Errorf("nested any = %+v", inner)
	}
}

func TestProcessorsHaveNamesAndDefaults(t *testing.T) {
	cfg := load(t, `
inputs: { d: { type: forward } }
outputs: { a: { type: file, path: a } }
processors:
  - parse_json: message
  - { match: { tag: noise }, drop: true }
  - { name: guard, size_guard: { max_bytes: 256KiB } }
routes:
  - { name: x, to: a, processors: [ { parse_json: { keep: true } } ] }
`)
	p, in := cfg.Processors, cfg.Routes[0].Processors[0]
	if p[0].Name != "parse_json-1" || *p[0].ParseJSON != (ParseJSON{"message", false}) || p[1].Name != "drop-2" || !p[1].Drop || p[1].Match == nil ||
		p[2].Name != "guard" || *p[2].SizeGuard != (SizeGuard{256 << 10, "truncate", "log", "...[truncated]"}) {
		t.Errorf("processors = %+v", p)
	}
	if in.Name != "x.parse_json-1" || *in.ParseJSON != (ParseJSON{"log", true}) {
		t.Errorf("processor of the route = %+v", in)
	}
}

func TestParseJSONTrueMeansTheUsualKey(t *testing.T) {
	cfg := load(t, `
inputs: { d: { type: forward } }
outputs: { a: { type: file, path: a } }
processors: [ { parse_json: true }, { name: b, parse_json: {} }, { name: c, parse_json: text } ]
`)
	for i, want := range []string{"log", "log", "text"} {
		if p := cfg.Processors[i].ParseJSON; p == nil || p.Key != want {
			t.Errorf("processor %d parses %+v, want the key %q", i, p, want)
		}
	}
}

func TestATagThatIsPresentTakesEverything(t *testing.T) {
	cfg := load(t, `
inputs: { d: { type: forward } }
outputs: { a: { type: file, path: a } }
routes: [ { name: all, match: { tag: true }, to: a } ]
`)
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}
