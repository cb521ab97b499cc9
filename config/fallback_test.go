package config

import (
	"testing"
	"time"
)

func TestAFallbackNeedsNoRouteOfItsOwn(t *testing.T) {
	cfg := load(t, `
inputs: { d: { type: forward } }
outputs:
  main: { type: file, path: a, max_rate: 10MiB/s, buffer: { fallback: "${env:EMPTY:-second}", fallback_after: 10m } }
  second: { type: file, path: b, buffer: { fallback: third } }
  third: { type: file, path: c }
routes: [ { name: all, to: main } ]
`)
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	main := cfg.Outputs[0]
	if main.Buffer.Fallback != "second" || main.Buffer.FallbackAfter != 10*time.Minute || main.MaxRate != 10<<20 || cfg.Outputs[1].MaxRate != 0 {
		t.Errorf("output = %+v", main)
	}
}
