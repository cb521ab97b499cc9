package router

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ready(t *testing.T) (*Router, context.Context) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r := started(t, "serve")
	if _, err := r.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return r, ctx
}

func TestRewriteHangupAndReload(t *testing.T) {
	r, ctx := ready(t)
	if err := r.Rewrite("c: d"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(r.cfg.Dir, "firebreak.yaml")); string(b) != "c: d" {
		t.Errorf("configuration %q", b)
	}
	if err := r.Hangup(); err != nil {
		t.Fatal(err)
	}
	if st, err := r.WaitStatus(ctx, func(s Status) bool { return s.Reload != nil && s.Reload.Count == 1 }); err != nil || !st.Reload.OK {
		t.Errorf("%+v, %v", st.Reload, err)
	}
	ok, said, err := r.Reload(ctx)
	if ok || err != nil || said != "nothing has changed: "+r.cfg.DataDir+"\n" {
		t.Errorf("reload: %t, %q, %v", ok, said, err)
	}
}

func TestAPageKeepsItsConnection(t *testing.T) {
	r, ctx := ready(t)
	page := r.NewPage()
	defer page.Close()
	for range 2 {
		if n, err := page.Get(ctx, "/metrics"); err != nil || n != 46 {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if _, err := page.Get(ctx, "/nothing"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("no page: %v", err)
	}
}

func TestTapReadsLinesUntilItsEnd(t *testing.T) {
	r, ctx := ready(t)
	var lines []string
	opened := 0
	err := r.Tap(ctx, url.Values{"destination": {"*"}}, func() { opened++ }, func(l []byte) { lines = append(lines, string(l)) })
	if err == nil || opened != 1 || strings.Join(lines, " ") != `{"event":0} {"event":1} {"event":2}` {
		t.Errorf("%q, opened %d times, %v", lines, opened, err)
	}
	brief, cancel := context.WithCancel(ctx)
	n := 0
	if err := r.Tap(brief, url.Values{"stay": {"yes"}}, func() {}, func([]byte) {
		if n++; n == 3 {
			cancel()
		}
	}); err != nil || n != 3 {
		t.Errorf("a tap that the caller ends: %d lines, %v", n, err)
	}
	if err := r.Tap(ctx, url.Values{"destination": {"none"}}, func() {}, func([]byte) {}); err == nil || !strings.Contains(err.Error(), "no such destination") {
		t.Errorf("%v", err)
	}
}
