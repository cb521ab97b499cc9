//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// label is on all containers of this run.
var label = fmt.Sprintf("firebreak.e2e=%d", os.Getpid())

// writerImage is an image from scratch with the writer in it.
const writerImage = "firebreak-e2e-writer:latest"

func needDocker(t *testing.T) {
	t.Helper()
	if _, err := run("docker", "info"); err != nil {
		missing(t, "needs Docker's engine: %v", err)
	}
	if err := makeWriter(); err != nil {
		t.Fatal(err)
	}
}

var makeWriter = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "firebreak-e2e")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "writer")
	build := exec.Command("go", "build", "-o", file, "./e2e/writer")
	build.Dir = top
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the writer: %w\n%s", err, out)
	}
	bin, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	if err := w.WriteHeader(&tar.Header{Name: "writer", Mode: 0o755, Size: int64(len(bin))}); err != nil {
		return err
	}
	if _, err := w.Write(bin); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.Command("docker", "import", "--change", `ENTRYPOINT ["/writer"]`, "-", writerImage)
	cmd.Stdin = &image
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import the writer's image: %w\n%s", err, out)
	}
	return nil
})

// removeStale removes what this run may have left.
func removeStale() {
	if out, err := run("docker", "ps", "-aq", "--filter", "label="+label); err == nil && out != "" {
		_, _ = run("docker", append([]string{"rm", "-f", "-v"}, strings.Fields(out)...)...)
	}
}

// A container is a started container.
type container struct {
	t    *testing.T
	name string
}

// fluentd are the options for a log driver that sends to addr, with more options as key=value.
func fluentd(addr string, opts ...string) []string {
	out := []string{"--log-driver=fluentd", "--log-opt=fluentd-address=" + addr}
	for _, o := range opts {
		out = append(out, "--log-opt="+o)
	}
	return out
}

// runContainer runs `docker run -d` and says how long it took. It may be called from other goroutines than the test's.
func runContainer(t *testing.T, name string, options []string, image string, args ...string) (*container, time.Duration, error) {
	c := &container{t: t, name: fmt.Sprintf("fb-%d-%s", os.Getpid(), name)}
	t.Cleanup(func() { _, _ = run("docker", "rm", "-f", "-v", c.name) })
	cmd := append([]string{"run", "-d", "--label", label, "--name", c.name}, options...)
	began := time.Now()
	_, err := run("docker", append(append(cmd, image), args...)...)
	return c, time.Since(began), err
}

func mustRunContainer(t *testing.T, name string, options []string, image string, args ...string) *container {
	t.Helper()
	c, _, err := runContainer(t, name, options, image, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inspect returns one field of `docker inspect`.
func (c *container) inspect(format string) string {
	c.t.Helper()
	return mustRun(c.t, "docker", "inspect", "-f", format, c.name)
}

// waitExit waits for the end of the container's process, which has to be good.
func (c *container) waitExit(timeout time.Duration) {
	c.t.Helper()
	eventually(c.t, timeout, func() string {
		state := c.inspect("{{.State.Status}} {{.State.ExitCode}}")
		if state != "exited 0" {
			return c.name + " is " + state
		}
		return ""
	})
}

func (c *container) pid() int {
	c.t.Helper()
	n, err := strconv.Atoi(c.inspect("{{.State.Pid}}"))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// A report is what the writer says at its end.
type report struct {
	Lines   uint64        `json:"lines"`
	Longest time.Duration `json:"longest"`
}

// reporting returns docker options and a writer option for a report, and a function that reads it.
func reporting(t *testing.T) (options []string, option string, read func() report) {
	dir := t.TempDir()
	return []string{"-v", dir + ":/out"}, "-report=/out/report", func() report {
		t.Helper()
		var r report
		b, err := os.ReadFile(filepath.Join(dir, "report"))
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}
