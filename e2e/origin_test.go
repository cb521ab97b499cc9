//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/sink"
)

// Three types, each to an aggregator of its own.
const threeTypes = `
inputs:
  docker: { type: forward, listen: "tcp://127.0.0.1:%s" }
routes:
  - { name: access, match: { line: "^kind=access" }, to: [access] }
  - { name: audit, match: { line: "^kind=audit" }, to: [audit] }
  - { name: error, to: [error] }
outputs:
  access: { type: forward, servers: [%q] }
  audit: { type: forward, servers: [%q] }
  error: { type: forward, servers: [%q] }
`

// The origin story: all aggregators are dead before anything starts. Containers start as if they logged to a file,
// and when the aggregators come up, they get every line.
func TestDeadAggregators(t *testing.T) {
	needDocker(t)
	access := startSink(t, sink.Config{}, sink.Refuse)
	audit := startSink(t, sink.Config{}, sink.BlackHole)
	fail := startSink(t, sink.Config{}, sink.AcceptNotRead)
	port := freePort(t)
	r := startRouter(t, t.TempDir(), fmt.Sprintf(threeTypes, port, access.Addr(), audit.Addr(), fail.Addr()))
	driver := fluentd("127.0.0.1:" + port)

	rounds := 5
	if soak {
		rounds = 25
	}
	var file, fluent []time.Duration
	for i := range rounds {
		for _, v := range []struct {
			name    string
			options []string
			times   *[]time.Duration
		}{{"file", []string{"--log-driver=json-file"}, &file}, {"fluentd", driver, &fluent}} {
			_, took, err := runContainer(t, fmt.Sprintf("start-%s-%d", v.name, i), v.options, writerImage, "-raw", "10")
			if err != nil {
				t.Fatal(err)
			}
			*v.times = append(*v.times, took)
		}
	}
	ratio := float64(median(fluent)) / float64(median(file))
	t.Logf("docker run: %v with json-file, %v with all aggregators dead: %.2f times", median(file), median(fluent), ratio)
	if soak && ratio > 1.2 {
		t.Errorf("a container starts %.2f times slower than with json-file, at most 1.2", ratio)
	}

	const count, lines = 20, 500
	var wg sync.WaitGroup
	began := time.Now()
	for i := range count {
		wg.Go(func() { // 3 kinds on 2 streams each: 6 numbered streams
			_, _, err := runContainer(t, fmt.Sprintf("burst-%d", i), driver, writerImage,
				"-stream", fmt.Sprint(6*i), "-kinds", "access,audit,error", "-stderr", "-n", fmt.Sprint(lines))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d containers at once were there after %v", count, time.Since(began))
	if t.Failed() {
		return
	}

	const perSink = count * lines * 2
	for _, s := range []*sink.Sink{access, audit, fail} {
		set(t, s, sink.OK)
	}
	began = time.Now()
	complete(t, access, perSink, 2*time.Minute)
	complete(t, audit, perSink, 2*time.Minute)
	complete(t, fail, perSink+uint64(rounds), 2*time.Minute)
	t.Logf("all %d lines were there %v after the aggregators", 3*perSink, time.Since(began))
	for i := range count {
		for j, s := range []*sink.Sink{access, audit, fail, access, audit, fail} {
			if n, first := missingOf(s, 6*i+j, lines); n > 0 {
				t.Errorf("container %d, stream %d: %d lines are missing, from %d on", i, j, n, first)
			}
		}
	}
	eventually(t, 10*time.Second, func() string {
		for _, d := range r.status().Destinations {
			if why := d.check(); why != "" || d.Buffered > 0 {
				return fmt.Sprintf("%s %+v", why, d)
			}
		}
		return ""
	})
	r.stop(30 * time.Second)
	r.calm()
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
