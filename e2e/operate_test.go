//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/sink"
)

// An operator works on a read-only container through `docker exec` and SIGHUP, while containers log: an aggregator is
// replaced, a bad file changes nothing, what a removed output has left is delivered elsewhere. No line is lost.
func TestOperateTheImage(t *testing.T) {
	needImage(t)
	host := bridge(t)
	first := startSink(t, sink.Config{Addr: host + ":0"}, sink.Refuse)
	second := startSink(t, sink.Config{Addr: host + ":0"}, sink.OK)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		text = "inputs:\n  docker: { type: forward, listen: \"tcp://0.0.0.0:24224\" }\n" + text
		if err := os.WriteFile(filepath.Join(dir, "firebreak.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one := fmt.Sprintf("outputs:\n  one: { type: forward, servers: [%q] }\n", first.Addr())
	two := fmt.Sprintf("outputs:\n  two: { type: forward, servers: [%q] }\n", second.Addr())
	write(one)
	c := mustRunContainer(t, "operated", []string{"--read-only", "--cap-drop=ALL", "-v", dir + ":/etc/firebreak:ro", "-p", "127.0.0.1::24224"}, image)
	c.waitHealthy(30 * time.Second)
	firebreak := func(args ...string) (string, error) {
		return run("docker", append([]string{"exec", c.name, "firebreak"}, args...)...)
	}
	const lines = 3000
	apps := []*container{}
	for i := range 2 {
		apps = append(apps, mustRunContainer(t, fmt.Sprintf("app%d", i), fluentd(c.published("24224")), writerImage, "-stream", fmt.Sprint(i), "-n", fmt.Sprint(lines), "-rate", "500"))
	}
	status := func() (s status) {
		out, err := firebreak("status", "--output", "json")
		if err == nil {
			err = json.Unmarshal([]byte(out), &s)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return s
	}
	eventually(t, 20*time.Second, func() string {
		if d := status().dest("one"); d.Buffered < 500 {
			return fmt.Sprintf("%d lines wait", d.Buffered)
		}
		return ""
	})

	write(strings.Replace(two, "forward", "forwrad", 1))
	if out, err := firebreak("reload"); err == nil || !strings.Contains(out+err.Error(), "forwrad") {
		t.Errorf("a bad file: %v %s", err, out)
	}
	write(two)
	mustRun(t, "docker", "kill", "-s", "HUP", c.name)
	eventually(t, 20*time.Second, func() string {
		if out, _ := firebreak("status"); !strings.Contains(out, "firebreak buffer replay one --to OUTPUT") {
			return "the removed output is not listed:\n" + out
		}
		return ""
	})
	if out, err := firebreak("buffer", "replay", "one", "--to", "two"); err != nil || !strings.Contains(out, "replayed ") {
		t.Fatalf("%v %s", err, out)
	}
	for _, app := range apps {
		app.waitExit(30 * time.Second)
	}
	eventually(t, 30*time.Second, func() string {
		if n := second.Counts().Events; n != 2*lines {
			return fmt.Sprintf("%d lines of %d", n, 2*lines)
		}
		return ""
	})
	if n := second.Counts().Duplicates; n > 0 { // the order is another one: what is replayed comes later
		t.Errorf("%d lines came twice", n)
	}
	if out, err := firebreak("buffer", "verify"); err != nil || strings.Contains(out, "DAMAGED") {
		t.Errorf("%v %s", err, out)
	}
	c.stop(30)
}
