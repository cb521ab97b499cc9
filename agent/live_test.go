package agent

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/outputs"
)

// checked is an output whose check the test decides.
type checked struct {
	outputs.Output
	check func(context.Context) []outputs.Finding
}

func (c checked) Check(ctx context.Context) []outputs.Finding { return c.check(ctx) }

func (c checked) Close(context.Context) error { return nil }

// unchecked is an output without a check.
type unchecked struct{ outputs.Output }

func (unchecked) Close(context.Context) error { return nil }

func TestLiveCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		hangs := make(chan struct{})
		for _, c := range []struct {
			name string
			out  outputs.Output
			want []LiveFinding
			took time.Duration
		}{
			{"nothing to check", unchecked{}, nil, 0},
			{"each target", checked{check: func(context.Context) []outputs.Finding {
				return []outputs.Finding{
					{Target: "a:1", Note: "tls 1.3, 3 ms"},
					{Target: "b:1", Err: &outputs.Error{Err: errors.New("refused"), Hint: "start it"}},
					{Target: "c:1", Err: errors.New("reset")},
				}
			}}, []LiveFinding{{Target: "a:1", OK: true, Note: "tls 1.3, 3 ms"}, {Target: "b:1", Error: "refused", Hint: "start it"}, {Target: "c:1", Error: "reset"}}, 0},
			{"at the deadline", checked{check: func(ctx context.Context) []outputs.Finding {
				<-ctx.Done()
				return []outputs.Finding{{Target: "d:1", Err: ctx.Err()}}
			}}, []LiveFinding{{Target: "d:1", Error: "context deadline exceeded"}}, 5 * time.Second},
			{"never", checked{check: func(context.Context) []outputs.Finding {
				<-hangs
				return nil
			}}, []LiveFinding{{Error: "the check doesn't end in time"}}, liveGrace},
		} {
			began := time.Now()
			var l LiveCheck
			l.check(ctx, c.out)
			if diff := cmp.Diff(c.want, l.Findings); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
			if took := time.Since(began); took != c.took {
				t.Errorf("%s: took %v, want %v", c.name, took, c.took)
			}
		}
		close(hangs)
	})
}

// All outputs are checked at the same time, in the order of the configuration, and nothing is sent.
func TestCheckLive(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan int, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer conn.Close()
		n, _ := conn.Read(make([]byte, 100))
		got <- n
	}()
	cfg := parse(t, head(t.TempDir())+`
routes: [{ name: all, to: [up, down, files] }]
outputs:
  up: { type: forward, servers: "`+ln.Addr().String()+`" }
  down: { type: forward, servers: "127.0.0.1:1" }
  files: { type: file, path: "`+t.TempDir()+`/x.log" }
`, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	type seen struct {
		Output, Type string
		OK           []bool
	}
	var list []seen
	for _, l := range CheckLive(ctx, cfg) {
		s := seen{Output: l.Output, Type: l.Type}
		for _, f := range l.Findings {
			s.OK = append(s.OK, f.OK)
			if f.OK != (f.Error == "") {
				t.Errorf("%s: %+v", l.Output, f)
			}
		}
		list = append(list, s)
	}
	want := []seen{{"up", "forward", []bool{true}}, {"down", "forward", []bool{false}}, {"files", "file", []bool{true}}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := <-got; n != 0 {
		t.Errorf("the server got %d bytes", n)
	}
}
