//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/sink"
)

// A window is a time in which a line may have been lost: without acks, what the kernel holds for a socket goes with
// the process.
type window struct{ from, to time.Time }

// The router is killed, and stopped, while containers log synchronously: no container stops, what was acked is there,
// and of the rest only what was under way at that moment is lost.
func TestRestartUnderContainers(t *testing.T) {
	needDocker(t)
	agg := startSink(t, sink.Config{}, sink.OK)
	dir := t.TempDir()
	port, socket := freePort(t), filepath.Join(dir, "fluent.sock")
	r := startRouter(t, dir, fmt.Sprintf(`
shutdown: { quiet: 500ms, deadline: 5s }
inputs:
  docker: { type: forward, listen: ["tcp://127.0.0.1:%s", "unix://%s"] }
routes:
  - { name: all, to: [agg] }
outputs:
  agg: { type: forward, servers: [%q] }
`, port, socket, agg.Addr()))
	const rate = 200
	apps := []struct {
		name   string
		addr   string
		opts   []string
		acked  bool
		c      *container
		report func() report
	}{
		{name: "tcp", addr: "127.0.0.1:" + port},
		{name: "unix", addr: "unix://" + socket},
		{name: "tcp-ack", addr: "127.0.0.1:" + port, opts: []string{"fluentd-request-ack=true"}, acked: true},
		{name: "unix-ack", addr: "unix://" + socket, opts: []string{"fluentd-request-ack=true"}, acked: true},
	}
	for i := range apps {
		a := &apps[i]
		options, option, read := reporting(t)
		a.report = read
		a.c = mustRunContainer(t, a.name, append(fluentd(a.addr, a.opts...), options...), writerImage, "-stream", fmt.Sprint(i), "-rate", fmt.Sprint(rate), option)
	}
	flowing := func() {
		t.Helper()
		for i, a := range apps {
			was := agg.Seen(i)
			eventually(t, 30*time.Second, func() string {
				if n := agg.Seen(i); n < was+rate/2 {
					return fmt.Sprintf("only %d lines of %s arrived since the restart", n-was, a.name)
				}
				return ""
			})
		}
	}
	flowing()

	var windows []window
	for range 3 {
		at := time.Now()
		r.kill()
		r.start()
		windows = append(windows, window{at, time.Now()})
		flowing()
	}
	at := time.Now()
	took := r.stop(10 * time.Second)
	r.start()
	windows = append(windows, window{at, time.Now()})
	t.Logf("SIGTERM took %v with containers that never stop writing", took)
	flowing()

	for _, a := range apps {
		if state := a.c.inspect("{{.State.Status}} {{.RestartCount}}"); state != "running 0" {
			t.Errorf("%s is %s", a.name, state)
		}
	}
	for i, a := range apps {
		mustRun(t, "docker", "stop", "-t", "20", a.c.name)
		a.c.waitExit(10 * time.Second)
		rep := a.report()
		var lost uint64
		eventually(t, 20*time.Second, func() string {
			missing := agg.Missing(i, line.Range{To: rep.Lines})
			lost = 0
			for _, m := range missing {
				lost += m.Len()
			}
			if a.acked && lost > 0 {
				return fmt.Sprintf("%s: %d acked lines are missing: %v", a.name, lost, missing)
			}
			if m := len(missing); m > 0 && missing[m-1].To == rep.Lines {
				return a.name + ": the last line hasn't arrived"
			}
			return ""
		})
		// The three kills may each cost what was under way: 50 ms, and what the driver wrote before it saw the reset.
		if most := uint64(len(windows) * (rate/10 + 5)); lost > most {
			t.Errorf("%s: %d of %d lines are lost, more than %d", a.name, lost, rep.Lines, most)
		}
		t.Logf("%s: %d lines, %d lost, longest write %v", a.name, rep.Lines, lost, rep.Longest)
	}
	c := agg.Counts()
	t.Logf("%d events, %d duplicates", c.Events, c.Duplicates)
	inOrder(t, agg)
	r.stop(10 * time.Second)
	r.calm()
}
