package buffer

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/record"
)

// A killFS ends the process for good at the nth write step: before it, in the middle of it or after it.
type killFS struct {
	FS
	left atomic.Int64
	how  int
}

func (k *killFS) step(half func(), f func() error) error {
	last := k.left.Add(-1) == 0
	die := func() {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	if last && k.how == 0 {
		die()
	}
	if last && k.how == 1 {
		half()
		die()
	}
	err := f()
	if last {
		die()
	}
	return err
}

func nothing() {}

func (k *killFS) Open(name string, flag int) (f File, err error) {
	if flag&os.O_CREATE == 0 {
		return k.FS.Open(name, flag)
	}
	err = k.step(nothing, func() error { f, err = k.FS.Open(name, flag); return err })
	return &killFile{f, k}, err
}

func (k *killFS) Rename(a, b string) error {
	return k.step(nothing, func() error { return k.FS.Rename(a, b) })
}
func (k *killFS) Remove(a string) error {
	return k.step(nothing, func() error { return k.FS.Remove(a) })
}
func (k *killFS) SyncDir(a string) error {
	return k.step(nothing, func() error { return k.FS.SyncDir(a) })
}

type killFile struct {
	File
	k *killFS
}

func (f *killFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.k.step(func() { _, _ = f.File.WriteAt(b[:len(b)/2], off) }, func() error { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}

func (f *killFile) Sync() error { return f.k.step(nothing, f.File.Sync) }

// child appends and delivers, and says on stdout what it did, until it is killed. It is the test binary, run again.
func child(dir string) int {
	env := func(k string) int { n, _ := strconv.Atoi(os.Getenv(k)); return n }
	k := &killFS{FS: OS(), how: env("HOW")}
	k.left.Store(int64(env("STEP")))
	q, err := OpenDisk(DiskOptions{Dir: dir, Name: "d", MaxBytes: 1 << 20, FS: k, Sync: Sync(env("SYNC")), OnFull: Block})
	if err != nil {
		return 1
	}
	var mu sync.Mutex
	say := func(what string, from, n int) { // one write: it is in the pipe when the process dies
		mu.Lock()
		fmt.Fprintf(os.Stdout, "%s %d %d\n", what, from, n)
		mu.Unlock()
	}
	first := env("FIRST")
	if env("LEASES") > 0 {
		go func() {
			var held []*Lease
			for {
				l, err := q.Next(context.Background())
				if err != nil {
					return
				}
				if held = append(held, l); len(held) == 3 {
					l = held[1]
					held = append(held[:1], held[2])
					var from int
					text, _ := record.Text(record.ParsePath("log").Lookup(firstEvent(l)))
					fmt.Sscanf(string(text), "a-%d", &from)
					say("ended", from, l.Chunk.Events)
					l.Deliver()
				}
			}
		}()
	}
	for i := range 100000 {
		n := 1 + (i*7)%200
		say("append", first, n)
		if err := q.Append(context.Background(), []record.Chunk{chunkOf("a", first, n)}); err != nil {
			return 2
		}
		say("kept", first, n)
		first += n
	}
	return 0
}

func firstEvent(l *Lease) []byte {
	it := record.Iterate(&l.Chunk)
	it.Next()
	return it.Event().Record
}

// A past is what is known of the processes that were killed.
type past struct {
	kept, asked, ended map[int]bool
	next               int
}

// run runs a child until it dies, then checks what is left in the directory.
func (p *past) run(t *testing.T, dir string, env []string, after time.Duration) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), "FIREBREAK_TEST_CHILD="+dir, fmt.Sprintf("FIRST=%d", p.next)), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var what string
		var from, n int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &what, &from, &n); err != nil {
			continue
		}
		for i := from; i < from+n; i++ {
			switch what {
			case "append":
				p.asked[i] = true
				p.next = max(p.next, i+1)
			case "kept":
				p.kept[i] = true
			case "ended": // or about to
				p.ended[i] = true
			}
		}
	}
	_ = cmd.Wait()
	timer.Stop()
}

// check opens the directory, takes some or all of what is there, and closes it.
func (p *past) check(t *testing.T, dir string, what string) {
	t.Helper()
	b, err := OpenDisk(DiskOptions{Dir: dir, Name: "d", MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, chunkOf("x", 0, 1))
	seen := map[int]bool{}
	for {
		l := b.TryNext()
		if l == nil {
			break
		}
		for _, s := range logsOf(t, l.Chunk) {
			n, err := strconv.Atoi(strings.TrimPrefix(s, "a-"))
			if err != nil {
				continue
			}
			if seen[n] || !p.asked[n] {
				t.Fatalf("%s: event %d twice, or never given", what, n)
			}
			seen[n] = true
			if p.ended[n] {
				again++
			}
		}
		l.Deliver()
	}
	s := b.Stats()
	balanced(t, s)
	if s.Buffered != 0 || s.Volatile || len(s.Shed) > 0 {
		t.Fatalf("%s: %+v", what, s)
	}
	for n := range p.kept {
		if !seen[n] && !p.ended[n] {
			t.Fatalf("%s: event %d was kept, and is lost; %+v", what, n, s)
		}
	}
	for n := range p.kept {
		p.ended[n] = true
	}
	for n := range seen {
		p.ended[n] = true
	}
	closeNow(t, b)
}

// again counts events that were delivered once more after a kill.
var again int

func TestKilledProcesses(t *testing.T) {
	soak := os.Getenv("FIREBREAK_SOAK") != ""
	last := 28
	if soak {
		last = 150
	}
	for _, mode := range []Sync{SyncInterval, SyncAlways} {
		for how := range 3 {
			for step := 1 + how; step <= last; step += 3 {
				dir := t.TempDir()
				p := &past{kept: map[int]bool{}, asked: map[int]bool{}, ended: map[int]bool{}}
				for round := range 2 {
					p.run(t, dir, []string{fmt.Sprintf("STEP=%d", step), fmt.Sprintf("HOW=%d", how), fmt.Sprintf("SYNC=%d", mode), "LEASES=1"}, 20*time.Second)
					p.check(t, dir, fmt.Sprintf("mode %d, step %d.%d, round %d", mode, step, how, round))
				}
			}
		}
	}
}

func TestKilledUnderLoad(t *testing.T) {
	kills := 5
	if os.Getenv("FIREBREAK_SOAK") != "" {
		kills = 120
	}
	dir := t.TempDir()
	p := &past{kept: map[int]bool{}, asked: map[int]bool{}, ended: map[int]bool{}}
	again = 0
	for i := range kills {
		p.run(t, dir, []string{"STEP=0", "LEASES=1"}, time.Duration(20+rand.IntN(150))*time.Millisecond)
		p.check(t, dir, fmt.Sprintf("kill %d", i))
	}
	if len(p.kept) == 0 {
		t.Error("nothing happened")
	}
	t.Logf("%d events kept over %d kills, %d delivered again", len(p.kept), kills, again)
}

// A small volume of its own shows what a full one really does.
func TestAFullVolume(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	b, err := OpenDisk(DiskOptions{Dir: dir + "/d", Name: "d", MaxBytes: 64 << 20, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	for i := range n {
		put(t, b, chunkOf("a", i*100, 100))
	}
	put(t, b, chunkOf("new", 0, 10))
	s := b.Stats()
	balanced(t, s)
	if s.Offered != n*100+10 || s.Shed[ReasonNoSpace] == 0 {
		t.Fatalf("%+v", s)
	}
	got := drain(t, b)
	if got[len(got)-1] != "new-9" {
		t.Errorf("the last event is %s", got[len(got)-1])
	}
	for end := time.Now().Add(20 * time.Second); b.Stats().Volatile; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not on the disk again: %+v", b.Stats())
		}
	}
	closeNow(t, b)
}
