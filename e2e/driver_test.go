//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/sink"
)

// One file of JSON lines for each tag: what the driver sent, as a user sees it.
const toFiles = `
inputs:
  docker: { type: forward, listen: ["tcp://127.0.0.1:%s", "unix://%s"] }
routes:
  - { name: all, to: [files] }
outputs:
  files: { type: file, path: "%s/${tag}.json", format: json_lines }
`

// What Docker's driver does to lines of all lengths, over TCP and unix sockets, with and without acks.
func TestDriver(t *testing.T) {
	needDocker(t)
	dir := t.TempDir()
	port, socket := freePort(t), filepath.Join(dir, "fluent.sock")
	r := startRouter(t, dir, fmt.Sprintf(toFiles, port, socket, dir))
	tcp, unix := "127.0.0.1:"+port, "unix://"+socket

	lengths := "5,16383,16384,16385,32768,40000,0,0,1,100000,7"
	tests := []struct {
		name   string
		addr   string
		opts   []string
		raw    string
		stderr bool
	}{
		{name: "tcp", addr: tcp, raw: lengths},
		{name: "unix", addr: unix, raw: lengths},
		{name: "subsecond", addr: tcp, opts: []string{"fluentd-sub-second-precision=true"}, raw: lengths},
		{name: "ack", addr: tcp, opts: []string{"fluentd-request-ack=true"}, raw: lengths},
		{name: "ack-unix", addr: unix, opts: []string{"fluentd-request-ack=true", "fluentd-sub-second-precision=true"}, raw: lengths},
		{name: "async", addr: tcp, opts: []string{"fluentd-async=true"}, raw: lengths},
		{name: "unterminated", addr: tcp, raw: "5,20!"},
		{name: "unterminated-long", addr: tcp, raw: "5,50000!"},
		{name: "unterminated-ack", addr: unix, opts: []string{"fluentd-request-ack=true"}, raw: "3,40000,20000!"},
		{name: "nonblocking", addr: tcp, opts: []string{"mode=non-blocking"}, raw: lengths},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			options := append(fluentd(tt.addr, tt.opts...), "--log-opt=tag="+tt.name)
			args := []string{"-raw", tt.raw}
			if tt.name == "async" { // the driver throws away its queue when a container ends
				args = []string{"-raw", tt.raw, "-hold"}
			}
			c := mustRunContainer(t, tt.name, options, writerImage, args...)
			want := rawLines(tt.raw)
			var got []map[string]any
			eventually(t, 20*time.Second, func() string {
				got = jsonLines(t, filepath.Join(dir, tt.name+".json"))
				if len(got) < len(want) {
					return fmt.Sprintf("%d of %d lines", len(got), len(want))
				}
				return ""
			})
			if len(got) != len(want) {
				t.Fatalf("%d lines, want %d", len(got), len(want))
			}
			id := c.inspect("{{.Id}}")
			for i, rec := range got {
				if log, _ := rec["log"].(string); log != want[i] {
					t.Errorf("line %d has %d bytes (%.10q…), want %d (%.10q…)", i, len(log), log, len(want[i]), want[i])
				}
				if rec["source"] != "stdout" || rec["container_id"] != id || rec["container_name"] != "/"+c.name || rec["tag"] != tt.name {
					t.Errorf("line %d is %.300v", i, rec)
				}
				if _, partial := rec["partial_message"]; partial {
					t.Errorf("line %d is still a piece: %.300v", i, rec)
				}
				at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(rec["time"]))
				if err != nil || time.Since(at) > time.Hour || time.Since(at) < -time.Minute {
					t.Errorf("time of line %d is %v (%v)", i, rec["time"], err)
				}
				if exact := strings.Contains(fmt.Sprint(tt.opts), "sub-second"); (at.Nanosecond() != 0) != exact {
					t.Errorf("time of line %d is %v, with fractions: %v", i, rec["time"], exact)
				}
			}
		})
	}
	for _, in := range r.status().Inputs {
		if in.Received == 0 || in.Received != in.Routed {
			t.Errorf("received %d, routed %d", in.Received, in.Routed)
		}
	}
	r.stop(30 * time.Second)
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket file is still there after the end")
	}
	r.calm()
}

// Standard error comes with its source, labels and environment come as keys, and a route can tell by them.
func TestSourcesAndLabels(t *testing.T) {
	needDocker(t)
	out, errs, web := startSink(t, sink.Config{}, sink.OK), startSink(t, sink.Config{}, sink.OK), startSink(t, sink.Config{}, sink.OK)
	port := freePort(t)
	r := startRouter(t, t.TempDir(), fmt.Sprintf(`
inputs:
  docker: { type: forward, listen: "tcp://127.0.0.1:%s" }
routes:
  - { name: web, match: { record: { com.example.tier: web } }, to: [web] }
  - { name: error, match: { source: stderr }, to: [errors] }
  - { name: rest, match: { container: "fb-*-plain" }, to: [out] }
  - { name: other, discard: true }
outputs:
  out: { type: forward, servers: [%q] }
  errors: { type: forward, servers: [%q] }
  web: { type: forward, servers: [%q] }
`, port, out.Addr(), errs.Addr(), web.Addr()))
	const n = 300
	args := []string{"-n", fmt.Sprint(n), "-stderr"}
	driver := fluentd("127.0.0.1:" + port)
	mustRunContainer(t, "plain", driver, writerImage, append(args, "-stream=0")...)
	labelled := append(fluentd("127.0.0.1:"+port, "labels=com.example.tier"), "--label=com.example.tier=web")
	mustRunContainer(t, "labelled", labelled, writerImage, append(args, "-stream=2")...)
	complete(t, out, n, 20*time.Second)
	complete(t, errs, n, 20*time.Second)
	complete(t, web, 2*n, 20*time.Second)
	if out.Seen(0) != n || errs.Seen(1) != n || web.Seen(2) != n || web.Seen(3) != n {
		t.Errorf("stdout %d, stderr %d, labelled %d and %d", out.Seen(0), errs.Seen(1), web.Seen(2), web.Seen(3))
	}
	r.stop(30 * time.Second)
	r.calm()
}

// rawLines returns what the writer makes of a spec.
func rawLines(spec string) (out []string) {
	for i, s := range strings.Split(spec, ",") {
		var n int
		_, _ = fmt.Sscan(strings.TrimSuffix(s, "!"), &n)
		out = append(out, strings.Repeat(string(rune('a'+i%26)), n))
	}
	return out
}

// jsonLines reads the complete lines of a file that may not be there yet.
func jsonLines(t *testing.T, file string) (out []map[string]any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		b, err := r.ReadBytes('\n')
		if err != nil {
			return out
		}
		var rec map[string]any
		if err := json.Unmarshal(b, &rec); err != nil {
			t.Fatalf("line %d of %s: %v", len(out), file, err)
		}
		out = append(out, rec)
	}
}
