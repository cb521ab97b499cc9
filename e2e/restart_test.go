//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// gaps returns how many lines of each stream are missing before the last one that arrived.
func gaps(s *sink.Sink, streams int) []uint64 {
	out := make([]uint64, streams)
	for i := range out {
		missing := s.Missing(i, line.Range{To: 1 << 20})
		for _, m := range missing[:len(missing)-1] {
			out[i] += m.Len()
		}
	}
	return out
}

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

	const kills, stops = 3, 3
	for range kills {
		r.kill()
		r.start()
		flowing()
	}
	killed := gaps(agg, len(apps))
	for range stops {
		took := r.stop(10 * time.Second)
		r.start()
		flowing()
		t.Logf("SIGTERM took %v with containers that never stop writing", took)
	}
	stopped := gaps(agg, len(apps))

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
		// Without acks, a kill may cost what was under way in the last 50 ms. SIGTERM costs
		// nothing but what arrives between the last read of a connection and its end: hardly ever a line.
		if most := uint64(kills * rate / 20); killed[i] > most {
			t.Errorf("%s: %d of %d lines are lost by %d kills, more than %d", a.name, killed[i], rep.Lines, kills, most)
		}
		if stopped[i]-killed[i] > 1 {
			t.Errorf("%s: %d of %d lines are lost by %d times SIGTERM", a.name, stopped[i]-killed[i], rep.Lines, stops)
		}
		if lost > stopped[i] {
			t.Errorf("%s: %d lines are lost without a reason", a.name, lost-stopped[i])
		}
		t.Logf("%s: %d lines, lost by %d kills: %d, by %d times SIGTERM: %d; longest write %v", a.name, rep.Lines, kills, killed[i], stops, stopped[i]-killed[i], rep.Longest)
	}
	c := agg.Counts()
	t.Logf("%d events, %d duplicates", c.Events, c.Duplicates)
	inOrder(t, agg)
	r.stop(10 * time.Second)
	r.calm()
}

// Killed with a full buffer that has shed: the next router delivers all of the rest, and its ledger goes on.
func TestKillWithFullBuffer(t *testing.T) {
	var sinks [3]*sink.Sink
	var servers [3]string
	for i, fault := range []sink.Mode{sink.Refuse, sink.OK, sink.OK} {
		sinks[i] = startSink(t, sink.Config{}, fault)
		servers[i] = sinks[i].Addr()
	}
	port := freePort(t)
	r := startRouter(t, t.TempDir(), kinds(port, servers, "buffer: { max_bytes: 32MiB }"))
	l, finish := runLoad(t, load.Config{Addr: "127.0.0.1:" + port, Conns: 3, Rate: 100_000, Ack: true})
	eventually(t, time.Minute, func() string {
		if d := r.status().dest("access"); d.shed() < 100_000 {
			return fmt.Sprintf("%d shed", d.shed())
		}
		return ""
	})
	finish()
	_, n := sent(l, load.Access)
	before := r.status().dest("access")
	r.kill()
	r.start()
	after := r.status().dest("access")
	t.Logf("%d sent; before the kill %d buffered and %d shed, after it %d and %d", n, before.Buffered, before.shed(), after.Buffered, after.shed())
	if before.check() != "" || after.check() != "" || before.Offered != n || after.Offered != n {
		t.Errorf("%d sent, %d offered before and %d after the kill; %s %s", n, before.Offered, after.Offered, before.check(), after.check())
	}
	// What was leased can be of a segment that is shed: then it is shed for good now.
	if lost := before.Buffered - after.Buffered; lost > before.Leased {
		t.Errorf("%d events were buffered before the kill, %d of them leased; %d after it", before.Buffered, before.Leased, after.Buffered)
	}
	set(t, sinks[0], sink.OK)
	complete(t, sinks[0], after.Buffered, time.Minute)
	r.stop(15 * time.Second)
	r.calm()
}
