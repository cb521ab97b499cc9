//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
)

// What somebody does first: run the binary in an empty directory, and a container that logs to it.
func TestFirstRun(t *testing.T) {
	needDocker(t)
	for _, port := range []string{"24224", "24220"} {
		if !isFree(port) {
			missing(t, "port %s of the embedded default is taken", port)
		}
	}
	r := startRouter(t, t.TempDir(), "")
	greeting := tail(r.log, 1000)
	for _, want := range []string{"127.0.0.1:24224", "docker run", "firebreak-data/logs"} {
		if !strings.Contains(greeting, want) {
			t.Errorf("the first output lacks %q:\n%s", want, greeting)
		}
	}

	const n = 500
	for _, name := range []string{"one", "two"} {
		c := mustRunContainer(t, name, fluentd("127.0.0.1:24224"), writerImage, "-n", fmt.Sprint(n))
		file := filepath.Join(r.dir, "firebreak-data", "logs", c.name+".log")
		eventually(t, 20*time.Second, func() string {
			b, _ := os.ReadFile(file)
			lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			if len(lines) < n {
				return fmt.Sprintf("%d of %d lines in %s", len(lines), n, file)
			}
			for i, l := range lines {
				if tok, ok := line.Parse([]byte(l)); !ok || tok.Seq != uint64(i) {
					t.Fatalf("line %d of %s is %q", i, file, l)
				}
			}
			return ""
		})
	}

	if code, body, err := r.get("/metrics"); err != nil || code != http.StatusOK || !strings.Contains(string(body), "firebreak_") {
		t.Errorf("metrics: %d %v", code, err)
	}
	if out, err := run(binary(t), "health", "--ready"); err != nil {
		t.Errorf("health --ready: %s %v", out, err)
	}
	r.stop(30 * time.Second)
	r.calm()
	if _, err := run(binary(t), "health"); err == nil {
		t.Error("health says yes without a router")
	}
}

func TestExampleConfiguration(t *testing.T) {
	out := mustRun(t, binary(t), "check", "-c", filepath.Join(top, "deploy", "firebreak.yaml"))
	if !strings.Contains(out, "ok") {
		t.Errorf("check says %q", out)
	}
}
