package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/agent"
)

func TestPrintLive(t *testing.T) {
	var b bytes.Buffer
	err := printLive(&b, []agent.LiveCheck{
		{Output: "access", Type: "forward", Findings: []agent.LiveFinding{
			{Target: "agg-1:24224", OK: true, Note: "tls 1.3, 3 ms"}, {Target: "agg-2:24224", Error: "refused\x1b[31m", Hint: "start it"},
		}},
		{Output: "gone", Type: "null"},
		{Output: "slow", Type: "file", Findings: []agent.LiveFinding{{Error: "the check doesn't end in time"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `OUTPUT  type     target       live
access  forward  agg-1:24224  ok      tls 1.3, 3 ms
access  forward  agg-2:24224  FAILED  refused\x1b[31m
                                      hint: start it
gone    null     -            -       nothing to check
slow    file     -            FAILED  the check doesn't end in time
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
