package process

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
)

const accessLog = `10.11.12.13 - - [01/Jan/2026:00:00:00 +0000] "GET /api/v1/things/17 HTTP/1.1" 200 5120 "https://shop.example.com/list?page=2" ` +
	`"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36" rt=0.012xxxxxxxxxx`

func docker(line string) []byte {
	return rec("container_id", strings.Repeat("0123456789abcdef", 4), "container_name", "/api-7", "source", "stdout", "log", line)
}

type benchCase struct {
	name   string
	p      config.Processor
	rec    []byte
	allocs float64 // at most
}

func benchCases() []benchCase {
	plain := docker(accessLog)
	nested := encode(nil, m{{"log", accessLog}, {"http", m{{"headers", m{{"host", "x"}, {"authorization", "Bearer abcdefghijklmnopqrst"}}}}}, {"debug_a", 1}})
	builtins := []string{"credit_card", "email", "aws_key", "jwt", "bearer_token"}
	secrets := docker(accessLog + " card=4111 1111 1111 1111 mail=jo@example.com id=AKIAIOSFODNN7EXAMPLE")
	cases := []benchCase{
		{"rename", config.Processor{Rename: []config.Field{{Key: "log", Value: "message"}}}, plain, 0},
		{"rename-nothing", config.Processor{Rename: []config.Field{{Key: "msg", Value: "message"}}}, plain, 0},
		{"rename-nested", config.Processor{Rename: []config.Field{{Key: "http.headers.host", Value: "host.name"}}}, nested, 0},
		{"remove-nothing", config.Processor{Remove: []string{"password", "http.headers.cookie", "trace_*"}}, plain, 0},
		{"remove", config.Processor{Remove: []string{"password", "http.headers.authorization", "debug_*"}}, nested, 0},
		{"redact-nothing", redacting("[redacted]", builtins...), plain, 0},
		{"redact-builtin", redacting("[redacted]", builtins...), secrets, 0},
		{"redact-regex-nothing", redacting("[redacted]", `/secret=\S+/`), plain, 0},
		{"redact-regex", redacting("[redacted]", `/card=[^m]+/`), secrets, 8},
		{"redact-regex-group", redacting("$1=***", `/(card)=[^m]+/`), secrets, 8},
		{"redact-regex-slow", redacting("[redacted]", `/(?i)(password|secret)=\S+/`), plain, 0},
		{"sample", config.Processor{Sample: &config.Sample{Keep: 10}}, plain, 0},
		{"sample-by", config.Processor{Sample: &config.Sample{Keep: 10, By: "${record.container_id}"}}, plain, 0},
		{"throttle", config.Processor{Throttle: &config.Throttle{Rate: 100, Per: time.Second}}, plain, 0},
		{"throttle-by-tag", config.Processor{Throttle: &config.Throttle{Rate: 100, Per: time.Second, By: "${tag}", MaxKeys: 100}}, plain, 0},
		{"throttle-by-record", config.Processor{Throttle: &config.Throttle{Rate: 100, Per: time.Second, By: "${record.container_name}", MaxKeys: 100}}, plain, 0},
	}
	for _, name := range config.RedactNames {
		cases = append(cases, benchCase{"redact-nothing-" + name, redacting("[redacted]", name), docker(strings.Replace(accessLog, "10.11.12.13", "-", 1)), 0})
	}
	return cases
}

func TestActionsAllocateLittle(t *testing.T) {
	for _, c := range benchCases() {
		a, s := mustNew(t, c.p), scopeOf("app.web", c.rec)
		dst := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { a.Apply(dst, c.rec, s) }); n > c.allocs {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.allocs)
		}
	}
}

func BenchmarkActions(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) {
			a, s := mustNew(b, c.p), scopeOf("app.web", c.rec)
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				a.Apply(dst, c.rec, s)
			}
		})
	}
}

// BenchmarkThrottleTogether is what several connections cost that share a throttle.
func BenchmarkThrottleTogether(b *testing.B) {
	for _, keys := range []int{1, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			a := mustNew(b, config.Processor{Throttle: &config.Throttle{Rate: 100, Per: time.Second, By: "${tag}", MaxKeys: 10000}})
			b.ReportAllocs()
			var id atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				n := int(id.Add(7919))
				var scopes []*Scope
				r := rec("log", "x")
				for i := range keys {
					scopes = append(scopes, scopeOf(fmt.Sprintf("app.web.%d", i), r))
				}
				for pb.Next() {
					n++
					a.Apply(nil, r, scopes[n%keys])
				}
			})
		})
	}
}
