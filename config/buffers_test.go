package config

import "testing"

func TestBufferBoundsDependOnTheType(t *testing.T) {
	for buffer, want := range map[string]Buffer{
		"{}":                               {MaxBytes: 1 << 30, Memory: 8 << 20},
		"{ type: memory }":                 {MaxBytes: 32 << 20, Memory: 8 << 20},
		"{ max_bytes: 2MiB }":              {MaxBytes: 2 << 20, Memory: 2 << 20},
		"{ max_bytes: 3GiB, memory: 9MiB}": {MaxBytes: 3 << 30, Memory: 9 << 20},
	} {
		cfg := load(t, "inputs: { d: { type: forward } }\noutputs: { a: { type: file, path: a, buffer: "+buffer+" } }\n")
		if got := cfg.Outputs[0].Buffer; got.MaxBytes != want.MaxBytes || got.Memory != want.Memory {
			t.Errorf("buffer %s: max_bytes %d, memory %d, want %d, %d", buffer, got.MaxBytes, got.Memory, want.MaxBytes, want.Memory)
		}
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	cfg := load(t, `
x-common: &common
  type: forward
  buffer: &buffer { max_bytes: 2MiB }
inputs: { d: { type: forward } }
outputs:
  a: { <<: *common, servers: &one ["a:1"] }
  b: { <<: [*common], servers: *one, buffer: { <<: *buffer, sync: always } }
routes: [ { name: all, to: [a, b] } ]
`)
	a, b := cfg.Outputs[0], cfg.Outputs[1]
	if a.Buffer.MaxBytes != 2<<20 || b.Buffer.MaxBytes != 2<<20 || b.Buffer.Sync != "always" || a.Buffer.Sync != "interval" {
		t.Errorf("buffers = %+v, %+v", a.Buffer, b.Buffer)
	}
	if s := b.Options.(*testForwardOut).Servers; len(s) != 1 || s[0].Address != "a:1" {
		t.Errorf("servers = %+v", s)
	}
}

func TestListsHaveDefaults(t *testing.T) {
	cfg := load(t, "inputs: { d: { type: forward } }\noutputs: { a: { type: s3, bucket: b, key: k } }\n")
	if got := cfg.Inputs[0].Options.(*testForwardIn).Listen; len(got) != 1 || got[0] != "tcp://127.0.0.1:24224" {
		t.Errorf("listen = %q", got)
	}
	if got := cfg.Outputs[0].Options.(*testS3).Columns; len(got) != 2 || got[1] != "log" {
		t.Errorf("columns = %q", got)
	}
}

func TestPointersAreNilWhenAbsent(t *testing.T) {
	for tls, want := range map[string]bool{"": false, ", tls: ": false, ", tls: false": false, ", tls: { cert_file: c, key_file: k }": true} {
		cfg := load(t, "inputs: { d: { type: forward"+tls+" } }\noutputs: { a: { type: file, path: a } }\n")
		if got := cfg.Inputs[0].Options.(*testForwardIn).TLS; (got != nil) != want || got != nil && got.MinVersion != "1.2" {
			t.Errorf("%q: tls = %+v", tls, got)
		}
	}
}

func TestAMistakeInTagsIsAnError(t *testing.T) {
	type options struct {
		Wait Size `key:"wait" default:"soon"`
	}
	kinds := testKinds
	kinds.Inputs = []Kind{{Name: "odd", Options: func() any { return new(options) }}}
	if _, err := Load("f", []byte("inputs: { a: { type: odd } }\noutputs: { a: { type: file, path: a } }\n"), kinds, testEnv); err == nil {
		t.Error("a default that can't be read gave no error")
	}
}
