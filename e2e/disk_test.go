//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// mountTmpfs mounts a small file system on dir.
func mountTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	mount(t, dir, "-t", "tmpfs", "-o", "size="+size, "tmpfs")
}

// mountExt4 makes a small ext4 file system in a file and mounts it on dir.
func mountExt4(t *testing.T, dir string, mib int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(int64(mib)<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "mkfs.ext4", "-q", "-F", "-m", "0", file)
	mount(t, dir, "-o", "loop", file)
}

func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := run("mount", append(args, dir)...); err != nil {
		missing(t, "can't mount: %v", err)
	}
	t.Cleanup(func() {
		if _, err := run("umount", dir); err != nil {
			_, _ = run("umount", "-l", dir)
		}
	})
}

// Three destinations, the first of them dead, and its disk, or everybody's, fills up or hangs. The other two get
// everything, nobody waits, and the status says what is wrong.
func TestDiskTrouble(t *testing.T) {
	needRoot(t)
	tests := []struct {
		name    string
		prepare func(t *testing.T, data string)              // before the start
		early   bool                                         // the trouble begins before the start, too
		trouble func(t *testing.T, data string) (end func()) // under load
		seen    func(status) string                          // "" when the status says it
	}{
		{
			name:    "one buffer is full, tmpfs",
			prepare: func(t *testing.T, data string) { mountTmpfs(t, filepath.Join(data, "buffers", "access"), "16m") },
			seen:    shedding("access"),
		},
		{
			name:    "one buffer is full, ext4",
			prepare: func(t *testing.T, data string) { mountExt4(t, filepath.Join(data, "buffers", "access"), 24) },
			seen:    shedding("access"),
		},
		{
			name:    "everything is full",
			prepare: func(t *testing.T, data string) { mountTmpfs(t, data, "32m") },
			seen:    shedding("access"),
		},
		{
			name:    "a write hangs",
			prepare: func(t *testing.T, data string) { mountExt4(t, filepath.Join(data, "buffers", "access"), 256) },
			trouble: func(t *testing.T, data string) func() { return freeze(t, filepath.Join(data, "buffers", "access")) },
			seen:    volatile("access"),
		},
		{
			name:    "every write hangs",
			prepare: func(t *testing.T, data string) { mountExt4(t, data, 256) },
			trouble: func(t *testing.T, data string) func() { return freeze(t, data) },
			seen:    volatile("audit"),
		},
		{
			name:    "the disk hangs before the start",
			prepare: func(t *testing.T, data string) { mountExt4(t, filepath.Join(data, "buffers", "access"), 256) },
			early:   true,
			trouble: func(t *testing.T, data string) func() { return freeze(t, filepath.Join(data, "buffers", "access")) },
			seen:    volatile("access"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sinks [3]*sink.Sink
			var servers [3]string
			for i, fault := range []sink.Mode{sink.Refuse, sink.OK, sink.OK} {
				sinks[i] = startSink(t, sink.Config{}, fault)
				servers[i] = sinks[i].Addr()
			}
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			tt.prepare(t, data)
			end := func() {}
			if tt.early {
				end = tt.trouble(t, data)
			}
			port := freePort(t)
			r := startRouter(t, dir, kinds(port, servers, "buffer: { max_bytes: 1GiB }"))
			t.Cleanup(func() { end() }) // first of all: a process that hangs in a write can't be killed
			l, finish := runLoad(t, load.Config{Addr: "127.0.0.1:" + port, Conns: 3, Rate: 30_000, Ack: true})
			if err := sinks[1].WaitEvents(within(t, 30*time.Second), 10_000); err != nil {
				t.Fatal(err)
			}
			if tt.trouble != nil && !tt.early {
				end = tt.trouble(t, data)
			}
			l.ResetStalls()
			eventually(t, time.Minute, func() string { return tt.seen(r.status()) })
			trial := long(4*time.Second, time.Minute)
			for _, s := range sinks[1:] { // and go on under trouble
				if err := s.WaitEvents(within(t, trial+30*time.Second), s.Counts().Events+uint64(trial.Seconds())*10_000); err != nil {
					t.Errorf("a healthy destination stands still: %v", err)
				}
			}
			if d := r.status().dest("audit"); d.shed() > 0 || d.Breaker != "closed" {
				t.Errorf("a healthy destination suffers: %+v", d)
			}
			stall := l.Stats().Longest()
			end()
			finish()
			for i, kind := range load.Kinds()[1:] {
				streams, n := sent(l, kind)
				complete(t, sinks[i+1], n, 30*time.Second)
				for _, s := range streams {
					if lost, first := missingOf(sinks[i+1], s.Number, s.Sent); lost > 0 {
						t.Errorf("%s: %d events are missing, from %d on", kind, lost, first)
					}
				}
			}

			set(t, sinks[0], sink.OK)
			_, n := sent(l, load.Access)
			var d destStatus
			eventually(t, time.Minute, func() string {
				d = r.status().dest("access")
				if why := d.check(); why != "" {
					return why
				}
				if d.Buffered > 0 || d.Volatile {
					return fmt.Sprintf("after healing: %+v", d)
				}
				return ""
			})
			if got := sinks[0].Counts().Events; got+d.shed() != n {
				t.Errorf("the one with the trouble: %d sent, %d arrived, %d shed %v", n, got, d.shed(), d.Shed)
			}
			inOrder(t, sinks[0])
			t.Logf("longest write %v; of %d events of the one with the trouble %d arrived, shed: %v", stall, n, sinks[0].Counts().Events, d.Shed)
			r.stop(15 * time.Second)
			r.calm()
		})
	}
}

func shedding(name string) func(status) string {
	return func(s status) string {
		if d := s.dest(name); d.shed() == 0 {
			return fmt.Sprintf("nothing is shed: %+v", d)
		}
		return ""
	}
}

func volatile(name string) func(status) string {
	return func(s status) string {
		if d := s.dest(name); !d.Volatile || d.Problem == "" {
			return fmt.Sprintf("the status doesn't say it: %+v", d)
		}
		return ""
	}
}

// freeze lets every write to a file system hang until the returned function is called.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	if _, err := exec.LookPath("fsfreeze"); err != nil {
		missing(t, "needs fsfreeze: %v", err)
	}
	mustRun(t, "fsfreeze", "-f", dir)
	frozen := true
	thaw = func() {
		if frozen {
			frozen = false
			if _, err := run("fsfreeze", "-u", dir); err != nil {
				t.Errorf("thaw: %v", err)
			}
		}
	}
	t.Cleanup(thaw)
	return thaw
}

// A data_dir that can't be written: the router starts in memory, says so, and delivers.
func TestNoDisk(t *testing.T) {
	agg := startSink(t, sink.Config{}, sink.OK)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if os.Geteuid() == 0 {
		mountTmpfs(t, data, "1m")
		mustRun(t, "mount", "-o", "remount,ro", data)
	} else if err := os.Mkdir(data, 0o555); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	servers := [3]string{agg.Addr(), agg.Addr(), agg.Addr()}
	r := startRouter(t, dir, kinds(port, servers, "buffer: { max_bytes: 1GiB }"))
	eventually(t, 10*time.Second, func() string { return volatile("access")(r.status()) })
	l, finish := runLoad(t, load.Config{Addr: "127.0.0.1:" + port, Conns: 3, Rate: 10_000, Events: 20_000, Ack: true})
	complete(t, agg, 20_000, 30*time.Second)
	finish()
	if l.Acked() != l.Sent() {
		t.Errorf("%d of %d acked", l.Acked(), l.Sent())
	}
	if code, body, _ := r.get("/health/live"); code != 200 {
		t.Errorf("live: %d %s", code, body)
	}
	if code, body, _ := r.get("/health/ready"); code == 200 {
		t.Errorf("ready: %d %s", code, body)
	}
	r.stop(15 * time.Second)
	r.calm()
}
