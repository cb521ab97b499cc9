package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kinds of log lines, each with an aggregator of its own. The one of killed dies.
const (
	access = "access"
	failed = "error"
	audit  = "audit"
	killed = failed
)

var kinds = [...]string{access, failed, audit}

// configText is the router's configuration, as one would write it. servers are the addresses by kind.
func configText(dir string, servers [len(kinds)]string, retry, retryMax time.Duration) string {
	return fmt.Sprintf(`# The router of the demo.
data_dir: %s
admin: off
shutdown: { quiet: 100ms, deadline: 5s }

inputs:
  docker: { type: forward, listen: "tcp://127.0.0.1:0" }   # any free port

routes:                        # the first match wins; the name is the event's type
  - { name: access, match: { line: '"(GET|POST|PUT) ' }, to: [access] }
  - { name: error,  match: { source: stderr }, to: [error] }
  - { name: audit,  match: { json: { type: audit } }, to: [audit] }
  - { name: rest,   discard: true }

x-common: &common              # try again soon: a demo can't wait up to 30s, as is usual
  retry: { initial: %v, max: %v }
  buffer: { max_bytes: 256MiB, min_free: 1%% }

outputs:
  access: { type: forward, servers: [%q], <<: *common }
  error:  { type: forward, servers: [%q], <<: *common }
  audit:  { type: forward, servers: [%q], <<: *common }
`, quoted(dir), retry, retryMax, servers[0], servers[1], servers[2])
}

// quoted writes a path so that nothing in it means something to the configuration.
func quoted(path string) string { return strings.ReplaceAll(strconv.Quote(path), "${", "$${") }
