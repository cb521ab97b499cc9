package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		text     string
		template bool
		want     string
	}{
		{"plain", false, "plain"},
		{"a $ b $c $$ {d}", false, "a $ b $c $$ {d}"},
		{"${env:KEY}", false, "hunter2"},
		{"a-${env:KEY}-${env:PORT}", false, "a-hunter2-24224"},
		{"${env:NONE:-fallback}", false, "fallback"},
		{"${env:NONE:-}", false, ""},
		{"${env:EMPTY:-fallback}", false, "fallback"},
		{"${env:EMPTY}", false, ""},
		{"${file:/run/secrets/key}", false, "s3cret"},
		{"$${env:KEY}", false, "${env:KEY}"},
		{"$$${env:KEY}", false, "$${env:KEY}"},
		{"${env:EVIL}", false, "${tga}"},
		{"${env:DOLLAR}{tag}", false, "cost${tag}"},
		{"${tag}/${env:KEY}", true, "${tag}/hunter2"},
		{"$${tag}/${tag}", true, "$${tag}/${tag}"},
		{"${env:EVIL}", true, "$${tga}"},
		{"${env:DOLLAR}{tag}", true, "cost$${tag}"},
		{"a$${b", true, "a$${b"},
	} {
		l := &loader{env: testEnv}
		got, ok := l.expand(&node{kind: scalarNode, text: c.text}, c.template)
		if !ok || got != c.want || len(l.problems) > 0 {
			t.Errorf("expand(%q, template %v) = %q, %v, want %q; problems %v", c.text, c.template, got, ok, c.want, l.problems)
		}
	}
}

func TestValuesComeFromTheEnvironmentEverywhere(t *testing.T) {
	env := testLookup(map[string]string{"N": "3", "WAIT": "2s", "OUT": "files", "ON": "true", "GLOB": "true"}, map[string]string{"/k": "typed\r\n"})
	cfg, err := Load("f.yaml", []byte(`
inputs:
  docker: { type: forward, shared_key: "${file:/k}", tls: { cert_file: c, key_file: '${env:OUT}' } }
outputs:
  files: { type: file, path: "x/${env:OUT}/${tag}", workers: "${env:N}", retry: { initial: "${env:WAIT}" } }
routes:
  - { name: x, match: { container: "${env:GLOB}" }, to: "${env:OUT}", continue: "${env:ON}" }
  - { name: rest, to: files, processors: [ { add: { a: "${env:N}" } } ] }
`), testKinds, env)
	if err != nil {
		t.Fatal(err)
	}
	in, out := cfg.Inputs[0].Options.(*testForwardIn), cfg.Outputs[0]
	if in.SharedKey.Reveal() != "typed" || in.TLS.KeyFile != "files" || out.Workers != 3 || out.Retry.Initial.Seconds() != 2 ||
		out.Options.(*testFile).Path != "x/files/${tag}" || !cfg.Routes[0].Continue || cfg.Routes[0].To[0] != "files" {
		t.Errorf("cfg = %+v, input %+v, output %+v", cfg, in, out)
	}
	if p := cfg.Routes[0].Match.Tests[0].Patterns[0]; p.Kind != Glob {
		t.Errorf("text of the environment became %+v", p)
	}
	if f := cfg.Routes[1].Processors[0].Add[0]; f != (Field{"a", "3"}) {
		t.Errorf("add = %+v", f)
	}
}

func TestAConfigurationIsPrintedWithoutItsSecrets(t *testing.T) {
	cfg := load(t, `
inputs:
  docker: { type: forward, shared_key: "${env:KEY}" }
outputs:
  agg: { type: forward, servers: "a:1", shared_key: "${file:/run/secrets/key}" }
`)
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(encoded), fmt.Sprintf("%+v %#v", cfg.Inputs[0].Options, cfg.Outputs[0].Options), fmt.Sprint(cfg.Outputs[0].Options)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "s3cret") || !strings.Contains(text, "(hidden)") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestSecretsOutsideTheFileAreRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := System().ReadFile(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("reading a directory: %v", err)
	}
	if _, err := System().ReadFile(dir + "/none"); err == nil {
		t.Error("reading no file gave no error")
	}
}
