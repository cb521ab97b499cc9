package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

func TestCheckTriesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/plain", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/closed", 0o500); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/${tag}.log":         "writable",
		dir + "/all.log":            "writable",
		dir + "/a/b/${tag}/x.log":   "will be made in",
		dir + "/plain/${tag}.log":   "a file stands where a directory should",
		dir + "/plain/b/${tag}.log": "a file stands where a directory should",
		dir + "/closed/${tag}.log":  "needs to write files",
		dir + "/closed/b/all.log":   "needs to write files",
		"/proc/${tag}.log":          "write",
	} {
		if strings.Contains(path, "/closed/") && os.Getuid() == 0 {
			continue // nothing is closed to root
		}
		out := open(t, options(path))
		found := out.(outputs.Checker).Check(t.Context())
		if len(found) != 1 || found[0].Target != out.(*output).dir.base {
			t.Fatalf("%s: %v", path, found)
		}
		got := found[0].Note
		if err := found[0].Err; err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || (found[0].Err == nil) != (want == "writable" || want == "will be made in") {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either way, at once. What goes on behind it must not write where the end of the test clears up.
	open(t, options("/proc/x.log")).(outputs.Checker).Check(ctx)
}

// Explain names the file that a Send writes.
func TestExplainNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	out := open(t, options(dir+"/${record.name:-none}/${tag}.log"))
	for _, tag := range []string{"web", "../../etc/passwd", strings.Repeat("x", 300)} {
		e := event(tag, time.Now(), "name", "a/b", "log", "x")
		got := out.(outputs.Explainer).Explain(e)
		if len(got) != 1 || got[0].Option != "path" {
			t.Fatalf("%v", got)
		}
		send(t, out, e)
		if info, err := os.Stat(got[0].Value); err != nil || info.Size() == 0 || !strings.HasPrefix(got[0].Value, dir+string(filepath.Separator)) {
			t.Errorf("%q: %v", got[0].Value, err)
		}
	}
}
