package agent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// An aggregator that is away fills its small buffer many times over: with a fallback nothing is lost, each of both
// places gets its events in order, and the ledgers balance. After its return it gets what comes then.
func TestFallbackTakesWhatADeadAggregatorCant(t *testing.T) {
	for _, mode := range []sink.Mode{sink.Refuse, sink.BlackHole, sink.NeverAck} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first, second := aggregator(t, "127.0.0.1:0"), aggregator(t, "127.0.0.1:0")
			r := start(t, head(dir)+fmt.Sprintf(`
outputs:
  first: { type: forward, servers: [%q], ack_timeout: 1s, retry: { initial: 50ms, max: 200ms }, buffer: { max_bytes: 2MiB, fallback: second } }
  second: { type: forward, servers: [%q] }
routes: [ { name: all, to: [first] } ]
`, first.Addr(), second.Addr()))
			if err := first.Set(sink.Fault{Mode: mode}); err != nil {
				t.Fatal(err)
			}
			l, err := load.New(load.Config{Addr: r.addr(), Conns: 3, Ack: true, Batch: 20, Rate: 20000})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { l.Run(context.Background()); close(done) }()
			eventually(t, func() string {
				if n := second.Counts().Bytes; n < 8<<20 {
					return fmt.Sprintf("%d bytes have moved: %+v", n, r.page().dest("first"))
				}
				return ""
			})
			if err := first.Set(sink.Fault{}); err != nil {
				t.Fatal(err)
			}
			back := first.Counts().Events
			eventually(t, func() string {
				if first.Counts().Events < back+5000 {
					return fmt.Sprintf("after its return: %+v", r.page().dest("first"))
				}
				return ""
			})
			l.Stop()
			<-done
			eventually(t, func() string {
				a, b := first.Counts(), second.Counts()
				if n := a.Events + b.Events; n != l.Sent() {
					return fmt.Sprintf("%d + %d of %d events arrived", a.Events, b.Events, l.Sent())
				}
				return ""
			})
			for name, s := range map[string]*sink.Sink{"first": first, "second": second} {
				if c := s.Counts(); c.Disorder > 0 {
					t.Errorf("%s: %d out of order: %s", name, c.Disorder, c.FirstDisorder)
				}
			}
			s := r.page()
			balance(t, s)
			d := s.dest("first")
			if sum(d.Shed) > 0 || sum(d.DeadLettered) > 0 || d.Moved["second"] != s.dest("second").Offered || d.Offered != l.Sent() {
				t.Errorf("first: %+v\nsecond: %+v", d, s.dest("second"))
			}
			if st := l.Stats(); st.Longest() > 2*time.Second {
				t.Errorf("a write took %v", st.Longest())
			}
		})
	}
}
