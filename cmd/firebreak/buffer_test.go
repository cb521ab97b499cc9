package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/record"
)

func firebreak(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func oneEvent(t *testing.T, text string) record.Chunk {
	t.Helper()
	rec, err := jsonmp.Append(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	return record.Chunk{Tag: "web.1", Route: "access", Attrs: record.NewAttrs(record.Attr{Key: "host", Value: "h1"}), Arrived: at, Oldest: at, Newest: at, Events: 1, Data: record.AppendEntry(nil, at, rec)}
}

// stopped makes a data directory as a router leaves it: events wait for an output and for one that is not configured
// any more, and there are dead letters. It returns the configuration's file.
func stopped(t *testing.T) (cfg, dir string) {
	t.Helper()
	dir = t.TempDir()
	cfg = filepath.Join(dir, "firebreak.yaml")
	text := fmt.Sprintf("data_dir: %s/data\nadmin: \"off\"\ninputs: { in: { type: forward, listen: \"unix://%s/s\" } }\noutputs:\n  access: { type: file, path: %s/out.log }\n", dir, dir, dir)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"access": 3, "old": 5} {
		b, err := buffer.OpenDisk(buffer.DiskOptions{Dir: filepath.Join(dir, "data", "buffers", name), Name: name})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := b.Append(t.Context(), []record.Chunk{oneEvent(t, fmt.Sprintf(`{"log":"%s %d"}`, name, i))}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	dead := buffer.NewDead(filepath.Join(dir, "data", "dead", "access"), 1<<20, nil, nil)
	for i, reason := range []string{"rejected", "encode", "rejected"} {
		if err := dead.Append(oneEvent(t, fmt.Sprintf(`{"log":"letter %d"}`, i)), reason, "HTTP 400: \x1b[31mred"); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg, dir
}

func TestBufferLs(t *testing.T) {
	cfg, dir := stopped(t)
	code, out, errs := firebreak("buffer", "ls", "-c", cfg)
	for _, want := range []string{
		"(no router runs on it)", "access         3", "configured", "old            5", "orphan",
		"firebreak buffer replay old --to OUTPUT", "dead letters: 1 encode, 2 rejected", "offered 3 = delivered 0 + dead letters 0 + shed 0 + moved 0 + buffered 3", "--dead -c " + cfg + "\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is missing in\n%s%s", code, want, out, errs)
		}
	}
	code, out, _ = firebreak("buffer", "ls", "old", "--data-dir", filepath.Join(dir, "data"), "--output", "json")
	var list struct {
		Running bool
		Outputs []bufferEntry
	}
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list.Outputs) != 1 || list.Outputs[0].Buffer.Buffered != 5 || list.Outputs[0].Dead != nil {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"ls", "acess"}, 1, `has nothing of "acess"; there are: access, old`},
		{[]string{"ls", "--output", "xml"}, 2, "table or json"},
		{[]string{"dump"}, 2, "`firebreak buffer ls` lists them"},
		{[]string{"dump", "a", "b"}, 2, `unexpected argument "b"`},
		{[]string{"dump", "access", "--reason", "x"}, 2, "add --dead"},
		{[]string{"dump", "access", "--limit", "-1"}, 2, "below 0"},
		{[]string{"dump", "old", "--dead"}, 0, "old has no dead letters"},
		{[]string{"replay", "old"}, 1, "say with --to"},
		{[]string{"replay", "old", "--to", "acess"}, 1, `no output is called "acess"; there are: access`},
		{[]string{"replay", "access", "--file", "/no/such"}, 1, "no such file"},
		{[]string{"frob"}, 2, "ls, dump, verify or replay"},
	} {
		args := append([]string{"buffer"}, c.args...)
		if len(c.args) > 1 {
			args = append(args, "-c", cfg)
		}
		if code, _, errs := firebreak(args...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit %d, %q; want %d, %q", args, code, errs, c.code, c.says)
		}
	}
	if code, _, errs := firebreak("buffer", "ls", "--data-dir", filepath.Join(dir, "none")); code != 1 || !strings.Contains(errs, "name it with --data-dir") {
		t.Errorf("no directory: %d %s", code, errs)
	}
}

func TestBufferDump(t *testing.T) {
	cfg, _ := stopped(t)
	code, out, _ := firebreak("buffer", "dump", "access", "-c", cfg)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var l agent.EventLine
	if err := json.Unmarshal([]byte(lines[0]), &l); code != 0 || len(lines) != 3 || err != nil || l.Tag != "web.1" || l.Route != "access" || *l.ID != 0 || string(l.Record) != `{"log":"access 0"}` || l.Attrs["host"] != "h1" {
		t.Errorf("%v %+v\n%s", err, l, out)
	}
	_, out, _ = firebreak("buffer", "dump", "access", "--dead", "--reason", "rejected", "-n", "1", "-c", cfg)
	l = agent.EventLine{}
	if err := json.Unmarshal([]byte(out), &l); err != nil || l.Reason != "rejected" || !strings.HasPrefix(l.Detail, "HTTP 400") || strings.Contains(out, "\x1b") {
		t.Errorf("%v %q", err, out)
	}
	_, out, _ = firebreak("buffer", "dump", "access", "--dead", "--output", "text", "-c", cfg)
	if strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 3 || !strings.Contains(out, `encode: HTTP 400`) {
		t.Errorf("%q", out)
	}
	_, out, _ = firebreak("buffer", "dump", "access", "--output", "raw", "--limit", "1", "-c", cfg)
	l = agent.EventLine{}
	if err := json.Unmarshal([]byte(out), &l); err != nil || l.Data == "" || l.Record != nil {
		t.Errorf("%v %q", err, out)
	}
	if _, out, errs := firebreak("buffer", "dump", "access", "--route", "error", "-c", cfg); out != "" || !strings.Contains(errs, "nothing there fits") {
		t.Errorf("%q %q", out, errs)
	}
}

func TestBufferVerify(t *testing.T) {
	cfg, dir := stopped(t)
	if code, out, _ := firebreak("buffer", "verify", "-c", cfg); code != 0 || !strings.Contains(out, "access, buffer: ok: 3 events in 1 segment") || !strings.Contains(out, "access, dead letters: ok") {
		t.Errorf("exit %d\n%s", code, out)
	}
	segs, _ := filepath.Glob(filepath.Join(dir, "data", "buffers", "old", "*.seg"))
	b, err := os.ReadFile(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := firebreak("buffer", "verify", "-c", cfg); code != 1 || !strings.Contains(out, "old, buffer: DAMAGED") || !strings.Contains(out, "events missing: 1") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := firebreak("buffer", "verify", "access", "--output", "json", "-c", cfg); code != 0 || !strings.Contains(out, `"ok": true`) {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// Dead letters are dumped, repaired and replayed, and an orphan is moved, while no router runs; the next one delivers.
func TestBufferReplayStopped(t *testing.T) {
	cfg, dir := stopped(t)
	_, letters, _ := firebreak("buffer", "dump", "access", "--dead", "-c", cfg)
	file := filepath.Join(dir, "letters.jsonl")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(letters, "letter", "repaired")), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"replayed 3 events", "replayed 0 events (0 B) of access to access; skipped 3"} {
		if code, out, errs := firebreak("buffer", "replay", "access", "--file", file, "-c", cfg); code != 0 || !strings.Contains(out, want) {
			t.Fatalf("time %d: exit %d, %s%s", i, code, out, errs)
		}
	}
	code, out, errs := firebreak("buffer", "replay", "old", "--to", "access", "--output", "json", "-c", cfg)
	var p agent.ReplayProgress
	if err := json.Unmarshal([]byte(out), &p); code != 0 || err != nil || !p.Done || p.Replayed != 5 {
		t.Fatalf("exit %d, %v %s%s", code, err, out, errs)
	}
	_, out, _ = firebreak("buffer", "dump", "access", "-c", cfg)
	if n := strings.Count(out, "\n"); n != 3+3+5 || strings.Count(out, "repaired") != 3 || strings.Count(out, "old ") != 5 {
		t.Errorf("%d lines\n%s", n, out)
	}
	if _, out, _ := firebreak("buffer", "ls", "-c", cfg); strings.Contains(out, "\nold ") {
		t.Errorf("the orphan is still there\n%s", out)
	}
}
