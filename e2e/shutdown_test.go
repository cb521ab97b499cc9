//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// kinds routes what bench/load sends, each kind to a destination of its own.
func kinds(port string, servers [3]string, buffers string) string {
	return fmt.Sprintf(`
shutdown: { quiet: 500ms, deadline: 6s }
inputs:
  app: { type: forward, listen: "tcp://127.0.0.1:%s" }
routes:
  - { name: access, match: { tag: "docker.access.*" }, to: [access] }
  - { name: audit, match: { tag: "docker.audit.*" }, to: [audit] }
  - { name: error, to: [error] }
outputs:
  access: { type: forward, servers: [%q], %s }
  audit: { type: forward, servers: [%q], %s }
  error: { type: forward, servers: [%q], %s }
`, port, servers[0], buffers, servers[1], buffers, servers[2], buffers)
}

// SIGTERM under load: what each destination says is left is what the next router delivers, and nothing acked is lost.
func TestShutdownSaysWhatIsLeft(t *testing.T) {
	var sinks [3]*sink.Sink
	var servers [3]string
	for i, fault := range []sink.Mode{sink.OK, sink.Refuse, sink.NeverAck} {
		sinks[i] = startSink(t, sink.Config{}, fault)
		servers[i] = sinks[i].Addr()
	}
	port := freePort(t)
	r := startRouter(t, t.TempDir(), kinds(port, servers, "buffer: { max_bytes: 1GiB }"))
	l, finish := runLoad(t, load.Config{Addr: "127.0.0.1:" + port, Conns: 3, Rate: 30_000, Ack: true})
	if err := sinks[0].WaitEvents(within(t, 30*time.Second), 30_000); err != nil {
		t.Fatal(err)
	}
	took := r.stop(15 * time.Second)
	left := r.left()
	t.Logf("SIGTERM took %v under load; left: %v", took, left)
	if took > 7*time.Second {
		t.Errorf("shutting down took %v with a deadline of 6s", took)
	}
	if left["audit"] == 0 || left["error"] == 0 {
		t.Errorf("the dead destinations have nothing left: %v", left)
	}
	before := sinks[0].Counts()

	// What is left arrives when the router and the aggregators are back. The load is cut off meanwhile: it goes on
	// reconnecting, so the port changes hands only after its end.
	for _, s := range sinks[1:] {
		set(t, s, sink.OK)
	}
	ignored := sinks[2].Counts()
	r.start()
	st := r.status()
	for i, name := range []string{"access", "audit", "error"} {
		if d := st.dest(name); d.check() != "" {
			t.Error(d.check())
		} else if i > 0 && d.Offered < left[name] {
			t.Errorf("%s: %d were left, the ledger begins with %d", name, left[name], d.Offered)
		}
	}
	finish()
	for i, name := range []string{"access", "audit", "error"} {
		streams, n := sent(l, load.Kinds()[i])
		eventually(t, 60*time.Second, func() string {
			for _, s := range streams {
				if lost, first := missingOf(sinks[i], s.Number, s.Sent); lost > 0 {
					return fmt.Sprintf("%s: %d of %d acked events are missing, from %d on", name, lost, n, first)
				}
			}
			return ""
		})
		inOrder(t, sinks[i])
	}
	t.Logf("access before the restart: %d events; ignored by the sink without acks: %d", before.Events, ignored.Ignored)
	r.stop(15 * time.Second)
	r.calm()
}

// Without senders in between, the count is exact.
func TestShutdownLeftIsExact(t *testing.T) {
	var sinks [3]*sink.Sink
	var servers [3]string
	for i := range sinks {
		sinks[i] = startSink(t, sink.Config{}, sink.Refuse)
		servers[i] = sinks[i].Addr()
	}
	port := freePort(t)
	r := startRouter(t, t.TempDir(), kinds(port, servers, "buffer: { max_bytes: 1GiB }"))
	ctx := within(t, time.Minute)
	l, err := load.New(load.Config{Addr: "127.0.0.1:" + port, Conns: 3, Rate: 60_000, NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	eventually(t, 30*time.Second, func() string {
		if d := r.status().dest("access"); d.Buffered < 20_000 {
			return fmt.Sprintf("%d buffered", d.Buffered)
		}
		return ""
	})
	r.stop(15 * time.Second) // the senders are cut off in mid-stream
	<-done
	left := r.left()
	t.Logf("left: %v", left)
	for _, s := range sinks {
		set(t, s, sink.OK)
	}
	r.start()
	for i, name := range []string{"access", "audit", "error"} {
		complete(t, sinks[i], left[name], 30*time.Second)
		eventually(t, 10*time.Second, func() string {
			d := r.status().dest(name)
			if why := d.check(); why != "" || d.Buffered > 0 {
				return fmt.Sprintf("%s %+v", why, d)
			}
			return ""
		})
		if c := sinks[i].Counts(); c.Events != left[name] || c.Duplicates > 0 {
			t.Errorf("%s: %d were left, %d arrived, and %d twice", name, left[name], c.Events, c.Duplicates)
		}
	}
	r.stop(15 * time.Second)
	r.calm()
}
