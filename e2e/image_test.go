//go:build e2e

package e2e

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

const image = "firebreak:latest"

func needImage(t *testing.T) {
	t.Helper()
	needDocker(t)
	if err := makeImage(); err != nil {
		t.Fatal(err)
	}
}

// bridge returns the address of this machine as a container sees it.
func bridge(t *testing.T) string {
	t.Helper()
	return mustRun(t, "docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge")
}

// published returns the address on this machine of a port of the container.
func (c *container) published(port string) string {
	c.t.Helper()
	first, _, _ := strings.Cut(mustRun(c.t, "docker", "port", c.name, port), "\n")
	_, p, err := net.SplitHostPort(first)
	if err != nil {
		c.t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", p)
}

func (c *container) waitHealthy(timeout time.Duration) {
	c.t.Helper()
	eventually(c.t, timeout, func() string {
		if s := c.inspect("{{.State.Status}} {{.State.Health.Status}}"); s != "running healthy" {
			return c.name + " is " + s + ":\n" + c.logs(10)
		}
		return ""
	})
}

func (c *container) logs(lines int) string {
	file := c.inspect("{{.LogPath}}")
	if file == "" {
		return ""
	}
	return tail(file, lines)
}

// stop stops the container as an orchestrator does, and wants a clean end.
func (c *container) stop(seconds int) time.Duration {
	c.t.Helper()
	began := time.Now()
	mustRun(c.t, "docker", "stop", "-t", fmt.Sprint(seconds), c.name)
	if s := c.inspect("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"); s != "exited 0 false" {
		c.t.Errorf("%s is %s:\n%s", c.name, s, c.logs(20))
	}
	return time.Since(began)
}

// The image as it is: no root, no writable file system, healthy, and containers log to its published port.
func TestImage(t *testing.T) {
	needImage(t)
	c := mustRunContainer(t, "router", []string{"--read-only", "--cap-drop=ALL", "-p", "127.0.0.1::24224"}, image)
	c.waitHealthy(30 * time.Second)
	if user := c.inspect("{{.Config.User}}"); user != "65532:65532" {
		t.Errorf("it runs as %q", user)
	}
	const n = 300
	app := mustRunContainer(t, "app", fluentd(c.published("24224")), writerImage, "-n", fmt.Sprint(n))
	app.waitExit(30 * time.Second)
	file := filepath.Join(t.TempDir(), "log")
	eventually(t, 20*time.Second, func() string {
		if _, err := run("docker", "cp", c.name+":/var/lib/firebreak/logs/"+app.name+".log", file); err != nil {
			return err.Error()
		}
		b, _ := os.ReadFile(file)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if tok, ok := line.Parse([]byte(lines[len(lines)-1])); len(lines) != n || !ok || tok.Seq != n-1 {
			return fmt.Sprintf("%d of %d lines, the last is %q", len(lines), n, lines[len(lines)-1])
		}
		return ""
	})
	t.Logf("docker stop took %v", c.stop(30))
}

// Both images hold a static binary of their architecture, and say so.
func TestImageArchitectures(t *testing.T) {
	needImage(t)
	version := mustRun(t, "docker", "image", "inspect", "-f", `{{index .Config.Labels "org.opencontainers.image.version"}}`, image)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		tag := "firebreak:" + version + "-" + arch
		if got := mustRun(t, "docker", "image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", tag); got != "linux/"+arch {
			t.Errorf("%s is %s", tag, got)
		}
		id := mustRun(t, "docker", "create", "--platform", "linux/"+arch, "--label", label, tag)
		file := filepath.Join(t.TempDir(), "firebreak")
		mustRun(t, "docker", "cp", id+":/firebreak", file)
		mustRun(t, "docker", "cp", id+":/etc/ssl/certs/ca-certificates.crt", filepath.Join(t.TempDir(), "ca"))
		mustRun(t, "docker", "rm", "-v", id)
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if libs, _ := f.ImportedLibraries(); f.Machine != machine || len(libs) > 0 || f.Section(".interp") != nil {
			t.Errorf("%s: %v, libraries %v", tag, f.Machine, libs)
		}
	}
}

// imageConfig writes a configuration for the image, with the admin port reachable from outside.
func imageConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "firebreak.yaml")
	text = "admin: 0.0.0.0:24220\ninputs:\n  docker: { type: forward, listen: \"tcp://0.0.0.0:24224\" }\n" + text
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file + ":/etc/firebreak/firebreak.yaml:ro"
}

// statusAt asks a router in a container.
func statusAt(t *testing.T, addr string) status {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Without any place to write, the image starts in memory, says so, and delivers.
func TestImageWithoutDisk(t *testing.T) {
	needImage(t)
	host := bridge(t)
	agg := startSink(t, sink.Config{Addr: host + ":0"}, sink.OK)
	config := imageConfig(t, fmt.Sprintf("data_dir: /nowhere\nroutes: [{ name: all, to: [agg] }]\noutputs:\n  agg: { type: forward, servers: [%q] }\n", agg.Addr()))
	c := mustRunContainer(t, "memory", []string{"--read-only", "-v", config, "-p", "127.0.0.1::24224", "-p", "127.0.0.1::24220"}, image)
	c.waitHealthy(30 * time.Second)
	mustRunContainer(t, "app", fluentd(c.published("24224")), writerImage, "-n", "1000")
	complete(t, agg, 1000, 20*time.Second)
	if d := statusAt(t, c.published("24220")).dest("agg"); !d.Volatile || d.Problem == "" {
		t.Errorf("the status doesn't say that the buffer is in memory: %+v", d)
	}
	if !strings.Contains(c.logs(100), "/nowhere") {
		t.Errorf("the log doesn't say it:\n%s", c.logs(100))
	}
	c.stop(30)
}

// 64 MiB are enough under load with a dead destination, also for a start with its backlog.
func TestImageMemory(t *testing.T) {
	needImage(t)
	host := bridge(t)
	var sinks [3]*sink.Sink
	var servers [3]any
	for i, fault := range []sink.Mode{sink.Refuse, sink.OK, sink.OK} {
		sinks[i] = startSink(t, sink.Config{Addr: host + ":0"}, fault)
		servers[i] = sinks[i].Addr()
	}
	config := imageConfig(t, fmt.Sprintf(`
routes:
  - { name: access, match: { tag: "docker.access.*" }, to: [access] }
  - { name: audit, match: { tag: "docker.audit.*" }, to: [audit] }
  - { name: error, to: [error] }
outputs:
  access: { type: forward, servers: [%q], buffer: { max_bytes: 1GiB } }
  audit: { type: forward, servers: [%q] }
  error: { type: forward, servers: [%q] }
`, servers[:]...))
	c := mustRunContainer(t, "small", []string{"--memory=64m", "--memory-swap=64m", "--read-only", "-v", config, "-p", "127.0.0.1::24224", "-p", "127.0.0.1::24220"}, image)
	c.waitHealthy(30 * time.Second)
	addr := c.published("24224")

	rate := 30_000.0
	if soak {
		rate = 60_000 // 1 GiB of backlog, and then some
	}
	l, finish := runLoad(t, load.Config{Addr: addr, Conns: 6, Rate: rate, Ack: true})
	peak := watchMemory(t, c, long(15*time.Second, 4*time.Minute))
	finish()
	for i, kind := range load.Kinds()[1:] {
		_, n := sent(l, kind)
		complete(t, sinks[i+1], n, 30*time.Second)
	}
	d := statusAt(t, c.published("24220")).dest("access")
	t.Logf("%d events in 64 MiB: RssAnon at most %.1f MiB, backlog of the dead one %d events; shed %v", l.Sent(), float64(peak)/(1<<20), d.Buffered, d.Shed)

	mustRun(t, "docker", "kill", c.name)
	mustRun(t, "docker", "start", c.name)
	c.waitHealthy(30 * time.Second)
	after := statusAt(t, c.published("24220")).dest("access")
	if after.Offered != d.Offered || d.Buffered-after.Buffered > d.Leased || after.check() != "" {
		t.Errorf("before the kill %+v, after it %+v %s", d, after, after.check())
	}
	pid := c.pid()
	set(t, sinks[0], sink.OK)
	complete(t, sinks[0], after.Buffered, 3*time.Minute)
	anon, all, err := rss(pid)
	t.Logf("after the backlog was delivered: RssAnon %.1f MiB, VmRSS %.1f MiB %v", float64(anon)/(1<<20), float64(all)/(1<<20), err)
	if peak > 64<<20 {
		t.Errorf("RssAnon was %d bytes", peak)
	}
	if s := c.inspect("{{.State.Running}} {{.State.OOMKilled}} {{.RestartCount}}"); s != "true false 0" {
		t.Errorf("running, killed for memory, restarts: %s", s)
	}
	c.stop(30)
}

// watchMemory looks at the memory of a container's process for a time, and fails the test if the process ends.
func watchMemory(t *testing.T, c *container, d time.Duration) (peak int64) {
	t.Helper()
	pid := c.pid()
	end := time.After(d)
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-end:
			return peak
		case <-tick.C:
		}
		anon, _, err := rss(pid)
		if err != nil {
			t.Fatalf("the router is gone: %v, %s", err, c.inspect("{{json .State}}"))
		}
		peak = max(peak, anon)
	}
}
