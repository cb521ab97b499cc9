package router

import (
	"testing"

	"github.com/firebreak/firebreak/config"
)

// TestAConfigurationAsItIsWritten goes from the text of a file to what destinations get.
func TestAConfigurationAsItIsWritten(t *testing.T) {
	type none struct{}
	kind := []config.Kind{{Name: "null", Options: func() any { return new(none) }}}
	cfg, err := config.Load("test.yaml", []byte(`
inputs:
  in: { type: "null" }
processors:
  - { match: { tag: "app-*" }, add: { env: prod } }
  - { name: debug, match: { json: { level: debug } }, drop: true }
routes:
  - { name: healthz, match: { line: '"GET /healthz' }, discard: true }
  - { name: audit,   match: { container: "api-*", json: { type: audit } }, to: [audit, archive] }
  - { name: access,  match: { line: '"(GET|POST|PUT) ' }, to: [access] }
  - { name: error,   match: { any: [ { source: stderr }, { json: { status: ">= 500" } } ] }, to: [error] }
  - { name: prod,    match: { record: { env: [prod, staging] }, not: { line_key: note, line: "secret" } }, continue: true, to: [access] }
  - { name: rest,    to: [archive] }
outputs:
  access: { type: "null" }
  error: { type: "null" }
  audit: { type: "null" }
  archive: { type: "null" }
`), config.Kinds{Inputs: kind, Outputs: kind}, config.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	r, sinks := newRouter(t, cfg.Processors, cfg.Routes, "access", "error", "audit", "archive")
	accept(t, r,
		chunkOf("x",
			line(`"GET /healthz HTTP/1.1"`), line(`"PUT /a"`), line("plain"), line(`{"level":"debug"}`),
			rec{{"log", `{"type": "audit"}`}, {"container_name", "/api-1"}},
			rec{{"log", `{"type": "audit"}`}, {"container_name", "/db-1"}},
			rec{{"log", "oops"}, {"source", "stderr"}}, line(`{"status": 503}`), line(`{"status": 200}`)),
		chunkOf("app-1", line("tagged"), rec{{"log", "hidden"}, {"note", "a secret"}}))
	checkLogs(t, "access", sinks["access"], `access:"PUT /a"`, "prod:tagged")
	checkLogs(t, "audit", sinks["audit"], `audit:{"type": "audit"}`)
	checkLogs(t, "error", sinks["error"], "error:oops", `error:{"status": 503}`)
	checkLogs(t, "archive", sinks["archive"], "rest:plain", `audit:{"type": "audit"}`, `rest:{"type": "audit"}`, `rest:{"status": 200}`, "prod:tagged", "rest:hidden")
	if s := r.Intake("in").Stats(); s.Routed != 9 || s.Dropped["debug"] != 1 || s.Discarded["healthz"] != 1 {
		t.Errorf("stats = %+v", s)
	}
}
