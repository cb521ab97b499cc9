package agent

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Parts that hang, until the test ends.

type hangs struct{ until chan struct{} }

type hangingOutput struct{ hangs }

func (hangingOutput) Shape() outputs.Shape { return outputs.Shape{MaxBytes: 1 << 20} }
func (o hangingOutput) Send(context.Context, outputs.Batch) outputs.Result {
	<-o.until
	return outputs.Result{Err: fmt.Errorf("too late")}
}
func (o hangingOutput) Close(context.Context) error { <-o.until; return nil }

type hangingBuffer struct {
	buffer.Buffer
	hangs
}

func (b hangingBuffer) Close(ctx context.Context) error { <-b.until; return b.Buffer.Close(ctx) }

type hangingInput struct {
	serving
	hangs
}

func (hangingInput) Run(context.Context, inputs.Accept) error { return nil }
func (i hangingInput) Stop()                                  {}
func (i hangingInput) Addrs() []net.Addr                      { return nil }
func (i hangingInput) Stats() inputs.Stats                    { return inputs.Stats{} }

type stuckInput struct{ hangingInput }

func (i stuckInput) Run(context.Context, inputs.Accept) error { <-i.until; return nil }

// parked is a destination over a buffer in memory.
func parked(name string, out outputs.Output, b buffer.Buffer, retry time.Duration) *destination.Destination {
	return destination.New(destination.Options{
		Name: name, Buffer: b, Output: out, Workers: 1, Pool: destination.NewPool(),
		Retry: destination.Retry{Initial: retry, Max: retry, Timeout: time.Minute}, Log: (&logBuffer{}).logger(),
	})
}

func oneEvent(t *testing.T, b buffer.Buffer) {
	t.Helper()
	data := []byte{0x92, 0xce, 0, 0, 0, 1, 0x80}
	if err := b.Append(context.Background(), []record.Chunk{{Tag: "t", Events: 1, Data: data}}); err != nil {
		t.Fatal(err)
	}
}

// assembled runs an agent of the test's own parts.
func assembled(t *testing.T, deadline time.Duration, in serving, dests ...*destination.Destination) *underTest {
	t.Helper()
	r := &underTest{t: t, log: &logBuffer{}, done: make(chan struct{}), Agent: fullAgent(t)}
	cfg := parse(t, head(t.TempDir())+toNull, nil)
	cfg.Shutdown.Deadline = deadline
	r.Agent.kill, r.kill = context.WithCancel(context.Background())
	r.Agent.log = r.log.logger()
	s := r.now.Load()
	s.cfg, s.dests = cfg, nil
	r.lock.dir = cfg.DataDir
	r.patience = patience{failing: 500 * time.Millisecond, killed: 300 * time.Millisecond}
	r.admin = &admin{a: r.Agent}
	s.ins = []*input{{name: "in", in: in, done: make(chan struct{})}}
	for _, d := range dests {
		dead := &deadLetters{Dead: buffer.NewDead(t.TempDir(), 1<<20, nil, nil)}
		s.dests = append(s.dests, &target{Destination: d, cfg: &cfg.Outputs[0], standing: &standing{dead: dead, taps: &r.taps, ended: make(chan struct{})}})
	}
	return r.run()
}

// Whatever hangs, the shutdown ends before its deadline, and the other destinations are closed well.
func TestShutdownEndsInTime(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline time.Duration
		kill     bool
		says     string
	}{
		{"input", 1500 * time.Millisecond, false, "an input hangs"},
		{"send", 1500 * time.Millisecond, false, "a request hangs"},
		{"disk", 1500 * time.Millisecond, false, "its disk hangs"},
		{"all", 1500 * time.Millisecond, false, "a request hangs"},
		{"input", time.Hour, true, "an input hangs"},
		{"send", time.Hour, true, "a request hangs"},
		{"disk", time.Hour, true, "its disk hangs"},
	} {
		t.Run(fmt.Sprintf("%s %v", c.name, c.kill), func(t *testing.T) {
			t.Parallel()
			h := hangs{make(chan struct{})}
			healthy := buffer.OpenMemory(buffer.MemoryOptions{Name: "healthy"})
			dests := []*destination.Destination{parked("healthy", &takes{}, healthy, time.Millisecond)}
			if c.name == "send" || c.name == "all" {
				b := buffer.OpenMemory(buffer.MemoryOptions{Name: "hangs"})
				oneEvent(t, b)
				dests = append(dests, parked("hangs", hangingOutput{h}, b, time.Millisecond))
			}
			if c.name == "disk" || c.name == "all" {
				b := hangingBuffer{buffer.OpenMemory(buffer.MemoryOptions{Name: "hangs"}), h}
				dests = append(dests, parked("disk", &takes{}, b, time.Millisecond))
			}
			var in serving = hangingInput{hangs: h}
			if c.name == "input" || c.name == "all" {
				in = stuckInput{hangingInput{hangs: h}}
			}
			r := assembled(t, c.deadline, in, dests...)
			eventually(t, func() string {
				if c.name == "send" && r.now.Load().dests[1].Stats().InFlight == 0 {
					return "no request yet"
				}
				return ""
			})
			oneEvent(t, healthy)
			most := c.deadline
			if c.kill {
				time.AfterFunc(200*time.Millisecond, r.kill)
				most = 4 * time.Second
			}
			if took := r.end(); took > most || r.err != nil {
				t.Errorf("took %v, at most %v: %v", took, most, r.err)
			}
			if !strings.Contains(r.log.String(), c.says) {
				t.Errorf("the log doesn't say that %s:\n%s", c.says, r.log)
			}
			lines := r.log.lines(t, "destination closed")
			if len(lines) != len(dests) {
				t.Fatalf("%d lines for %d destinations", len(lines), len(dests))
			}
			for _, l := range lines {
				if l["destination"] == "healthy" && (l["error"] != nil || l["delivered_events"] != 1.0) {
					t.Errorf("the healthy one: %v", l)
				}
			}
			close(h.until)
			for _, d := range r.now.Load().dests {
				<-d.ended
			}
		})
	}
}

// takes delivers everything, slowly.
type takes struct{ delay time.Duration }

func (*takes) Shape() outputs.Shape { return outputs.Shape{MaxBytes: 1 << 20} }
func (o *takes) Send(ctx context.Context, _ outputs.Batch) outputs.Result {
	select {
	case <-time.After(o.delay):
		return outputs.Result{}
	case <-ctx.Done():
		return outputs.Result{Err: ctx.Err()}
	}
}
func (*takes) Close(context.Context) error { return nil }

// refuses fails at once.
type refuses struct{ takes }

func (*refuses) Send(context.Context, outputs.Batch) outputs.Result {
	return outputs.Result{Err: fmt.Errorf("connection refused")}
}

// A slow destination gets the time that there is; one that fails is waited for a moment only, one that is known to be
// dead not at all.
func TestShutdownWaitsForWhatHasHope(t *testing.T) {
	for _, c := range []struct {
		name        string
		out         outputs.Output
		retry       time.Duration
		breaker     string
		least, most time.Duration
		delivered   float64
	}{
		{"slow", &takes{time.Second}, time.Millisecond, "closed", 700 * time.Millisecond, 2500 * time.Millisecond, 1},
		{"too slow", &takes{time.Hour}, time.Millisecond, "closed", 2 * time.Second, 4 * time.Second, 0},
		{"dead", &refuses{}, time.Millisecond, "open", 0, 400 * time.Millisecond, 0},
		{"fails now and then", &refuses{}, time.Hour, "closed", 450 * time.Millisecond, 1500 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := buffer.OpenMemory(buffer.MemoryOptions{Name: "d"})
			r := assembled(t, 4*time.Second, hangingInput{}, parked("d", c.out, b, c.retry))
			oneEvent(t, b)
			eventually(t, func() string {
				if s := r.now.Load().dests[0].Stats(); s.Breaker != c.breaker || s.Requests == 0 {
					return fmt.Sprintf("breaker is %s after %d attempts", s.Breaker, s.Requests)
				}
				return ""
			})
			if took := r.end(); took < c.least || took > c.most {
				t.Errorf("took %v, want %v to %v", took, c.least, c.most)
			}
			l := r.log.lines(t, "destination closed")
			if len(l) != 1 || l[0]["delivered_events"] != c.delivered {
				t.Fatalf("%v", l)
			}
			if lost := l[0]["lost_events"]; c.delivered == 0 && lost != 1.0 || c.delivered == 1 && lost != nil {
				t.Errorf("a buffer in memory loses what is left: %v", l)
			}
		})
	}
}

// A second signal doesn't wait for senders that never are quiet, and loses nothing that was acknowledged.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := aggregator(t, "127.0.0.1:0")
	if err := s.Set(sink.Fault{Mode: sink.AcceptNotRead}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	yaml := strings.Replace(head(dir), "quiet: 50ms, deadline: 5s", "quiet: 20s, deadline: 60s", 1) +
		fmt.Sprintf("\noutputs: { agg: { type: forward, servers: [%q] } }\n", s.Addr())
	r := start(t, yaml)
	l := send(t, r.addr(), 3000, 0)
	conn, err := net.Dial("tcp", r.addr()) // somebody stays connected
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, func() string {
		if r.page().Inputs[0].Connections != 1 {
			return "not connected"
		}
		return ""
	})
	r.stop()
	time.AfterFunc(50*time.Millisecond, r.kill)
	if took := r.end(); took > 6*time.Second {
		t.Errorf("took %v", took)
	}
	if err := s.Set(sink.Fault{}); err != nil {
		t.Fatal(err)
	}
	r = start(t, yaml)
	defer r.kill()
	eventually(t, func() string {
		if c := s.Counts(); c.Events != l.Sent() || c.Disorder > 0 {
			return fmt.Sprintf("%d of %d arrived, %d not in order", c.Events, l.Sent(), c.Disorder)
		}
		return ""
	})
	r.kill()
}
