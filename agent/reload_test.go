package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/config"
)

// reloadable starts an agent whose configuration the returned function replaces and reloads.
func reloadable(t *testing.T, yaml string) (*underTest, func(yaml string) Reloaded) {
	t.Helper()
	r := build(t, parse(t, yaml, nil))
	var text atomic.Pointer[string]
	r.opts.Load = func() (*config.Config, []byte, error) {
		src := []byte(*text.Load())
		cfg, err := config.Load("test.yaml", src, Kinds(), config.Lookup{})
		return cfg, src, err
	}
	r.run()
	r.awaitRunning()
	return r, func(yaml string) Reloaded {
		text.Store(&yaml)
		return r.Reload()
	}
}

func streaming(t *testing.T, addr string) (*load.Load, func()) {
	t.Helper()
	l, err := load.New(load.Config{Addr: addr, Conns: 3, Mixed: true, Ack: true, Batch: 20, Rate: 20000, NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(context.Background()); close(done) }()
	return l, func() {
		l.Stop()
		<-done
	}
}

// Reloads under load: no connection is closed, nothing is lost, the order is kept, and a bad file changes nothing.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sinks [3]*sink.Sink
	var servers [3]string
	for i := range sinks {
		sinks[i] = aggregator(t, "127.0.0.1:0")
		servers[i] = sinks[i].Addr()
	}
	base := threeRoutes(dir, servers)
	changed := strings.NewReplacer(
		`type: forward, servers: ["`+servers[0]+`"]`, `type: forward, compress: gzip, workers: 2, max_rate: 100MiB/s, servers: ["`+servers[0]+`"]`,
		"sync: always", "sync: interval, max_bytes: 64MiB, fallback: audit, fallback_after: 1h").Replace(base)
	added := strings.NewReplacer(
		"routes:\n", "processors: [ { add: { env: prod } } ]\nroutes:\n  - { name: all, to: [extra], continue: true }\n",
		"outputs:\n", "outputs:\n  extra: { type: \"null\" }\n",
		`listen: "tcp://127.0.0.1:0"`, `listen: ["tcp://127.0.0.1:0", "unix://`+filepath.Join(dir, "s")+`"]`).Replace(base)
	removed := strings.Replace(strings.Replace(base, "to: [audit]", "to: [error]", 1), "  audit: {", "  other: {", 1)
	bad := strings.Replace(base, "to: [error]", "to: [eror]", 1)

	r, reload := reloadable(t, base)
	addr := r.addr()
	l, end := streaming(t, addr)
	for i := range 100 {
		text := []string{changed, base, added, bad, removed}[i%5]
		res := reload(text)
		if res.OK != (i%5 != 3) || res.Count != uint64(i+1) {
			t.Fatalf("reload %d: %+v", i, res)
		}
		if i%5 == 3 && !strings.Contains(res.Error, `"eror"`) {
			t.Fatalf("a bad file: %s", res.Error)
		}
		if s := r.page(); i%5 == 2 && (s.dest("extra").Name == "" || s.Reload == nil || !s.Reload.OK || len(s.Inputs[0].Listen) != 2) {
			t.Fatalf("after reload %d: %+v", i, s)
		}
	}
	if res := reload(base); !res.OK {
		t.Fatal(res.Error)
	}
	end()
	if st := l.Stats(); st.Acked != l.Sent() || st.Resent > 0 || st.Acked == 0 {
		t.Fatalf("acked %d of %d, %d sent again: %s", st.Acked, l.Sent(), st.Resent, st.LastError)
	}
	eventually(t, func() string {
		n := uint64(0)
		for i, s := range sinks {
			c := s.Counts()
			n += c.Events
			if c.Disorder > 0 {
				t.Fatalf("sink %d: %s", i, c.FirstDisorder)
			}
		}
		if n != l.Sent() {
			return fmt.Sprintf("%d of %d events arrived", n, l.Sent())
		}
		return ""
	})
	s := r.page()
	balance(t, s)
	if in := s.Inputs[0]; in.Received != l.Sent() || in.Connections > 3 {
		t.Errorf("the input's counters go on: %+v, sent %d", in, l.Sent())
	}
	events := uint64(0)
	for _, rt := range s.Routes {
		events += rt.Events
	}
	if in := s.Inputs[0]; events+in.Routes[removedName] != l.Sent() {
		t.Errorf("routes counted %d and %d, sent %d: %+v", events, in.Routes[removedName], l.Sent(), s.Routes)
	}
}

// What the old and the new configuration have in common isn't touched; what is removed is named, and can come back.
func TestReloadTouchesOnlyWhatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	two := head(dir) + fmt.Sprintf(`
routes: [ { name: all, to: [one, two] } ]
outputs:
  one: { type: forward, servers: [%q] }
  two: { type: forward, servers: ["127.0.0.1:9"] }
`, agg.Addr())
	r, reload := reloadable(t, two)
	l := send(t, r.addr(), 300, 0)
	eventually(t, func() string {
		if n := agg.Counts().Events; n != l.Sent() {
			return fmt.Sprint(n)
		}
		return ""
	})
	was := r.now.Load().target("one").Destination
	one := strings.Replace(strings.Replace(two, "[one, two]", "[one]", 1), `  two: { type: forward, servers: ["127.0.0.1:9"] }`, "", 1)
	res := reload("# a comment moves every line\n" + one)
	if !res.OK || len(res.Changes) != 2 || !strings.Contains(res.Changes[1], "output two removed: 300 events stay in ") || !strings.Contains(res.Changes[1], "firebreak buffer replay two --to OUTPUT") {
		t.Fatalf("%+v", res)
	}
	if r.now.Load().target("one").Destination != was || agg.Counts().Conns != 1 {
		t.Error("a destination that didn't change was touched")
	}
	s := r.page()
	if len(s.Orphans) != 1 || s.Orphans[0].Name != "two" || s.Orphans[0].Bytes == 0 {
		t.Fatalf("orphans: %+v", s.Orphans)
	}
	if s.Inputs[0].Received != 300 || s.Inputs[0].Routed != 300 {
		t.Errorf("counters over a reload: %+v", s.Inputs[0])
	}
	if res = reload(one); !res.OK || fmt.Sprint(res.Changes) != "[nothing differs]" {
		t.Errorf("the same again: %+v", res)
	}
	if res = reload(two); !res.OK {
		t.Fatal(res.Error)
	}
	eventually(t, func() string {
		s := r.page()
		if d := s.dest("two"); d.Buffered != 300 || len(s.Orphans) > 0 {
			return fmt.Sprintf("%+v %+v", d, s.Orphans)
		}
		return ""
	})
}

// What can't change while the router runs, and what fails while it is built, changes nothing.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yaml := head(dir) + toNull
	r, reload := reloadable(t, yaml)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := r.now.Load()
	for name, c := range map[string]struct{ old, new, says string }{
		"data_dir":    {dir, dir + "2", "data_dir changes from"},
		"buffer type": {`type: "null"`, `type: "null", buffer: { type: memory }`, "buffer.type changes from disk to memory; that needs a restart, or another name for the changed input or output"},
		"address":     {`"tcp://127.0.0.1:0"`, `["tcp://127.0.0.1:0", "tcp://` + taken.Addr().String() + `"]`, "address already in use"},
		"new input":   {"inputs: {", `inputs: { more: { type: forward, listen: "tcp://` + taken.Addr().String() + `" },`, `start input "more"`},
		"yaml":        {"outputs", "outptus", `unknown key "outptus"`},
	} {
		text := strings.ReplaceAll(yaml, c.old, c.new)
		if text == yaml {
			t.Fatalf("%s: nothing is changed in\n%s", name, yaml)
		}
		if res := reload(text); res.OK || !strings.Contains(res.Error, c.says) {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if r.now.Load() != before {
		t.Error("something has changed")
	}
	if s := r.page(); s.Reload == nil || s.Reload.OK || s.Reload.Failed != 5 {
		t.Errorf("status: %+v", s.Reload)
	}
	r.opts.Load = func() (*config.Config, []byte, error) { return nil, nil, errors.New("no such file") }
	if res := r.Reload(); res.OK || res.Error != "no such file" {
		t.Errorf("%+v", res)
	}
	send(t, r.addr(), 30, 0)
}

// An input that is removed ends when its clients are quiet; one that is added is there at once, as is the admin port.
func TestReloadAddsAndRemovesInputsAndTheAdminPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, reload := reloadable(t, head(dir)+toNull)
	sock := filepath.Join(dir, "more.sock")
	more := strings.NewReplacer("inputs: {", `inputs: { more: { type: forward, listen: "unix://`+sock+`" },`, "admin: 127.0.0.1:0", "admin: localhost:0").Replace(head(dir) + toNull)
	admin := r.Admin()
	if res := reload(more); !res.OK {
		t.Fatal(res.Error)
	}
	if r.Admin() == admin || r.Admin() == "" {
		t.Errorf("the admin port is still %s", r.Admin())
	}
	l := send(t, "unix://"+sock, 30, 0)
	if s := r.page(); len(s.Inputs) != 2 || s.Inputs[0].Received != l.Sent() && s.Inputs[1].Received != l.Sent() {
		t.Errorf("%+v", s.Inputs)
	}
	if res := reload(head(dir) + toNull); !res.OK || !strings.Contains(fmt.Sprint(res.Changes), "input more removed") {
		t.Fatalf("%+v", res)
	}
	eventually(t, func() string {
		if _, err := os.Stat(sock); err == nil {
			return "the socket is still there"
		}
		return ""
	})
}

// A shutdown doesn't wait for a reload, nor does a reload start after it.
func TestReloadAndShutdown(t *testing.T) {
	t.Parallel()
	r, reload := reloadable(t, head(t.TempDir())+toNull)
	if took := r.end(); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if res := reload(head(t.TempDir()) + toNull); res.OK || !strings.Contains(res.Error, "shutting down") {
		t.Errorf("%+v", res)
	}
}
