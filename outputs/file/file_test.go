package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

var _ config.Checker = (*Options)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are the defaults, for a path below a directory of the test.
func options(path string) *Options {
	return &Options{
		Path: path, TimeKey: "time", TagKey: "tag", Mode: "0640", DirMode: "0750",
		MaxOpenFiles: 64, MaxNewFiles: 1000, Rotate: Rotate{MaxBytes: 100 << 20, Keep: 5},
	}
}

func open(t *testing.T, o *Options) outputs.Output {
	t.Helper()
	out, err := o.Open(outputs.Env{
		Name: "f", Log: zap.NewNop(), Host: "h1",
		Work: func(_ context.Context, f func()) error { f(); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return out
}

func event(tag string, at time.Time, pairs ...string) record.Event {
	rec := mp.AppendMap(nil, len(pairs)/2)
	for _, s := range pairs {
		rec = mp.AppendStr(rec, s)
	}
	c := &record.Chunk{Tag: tag, Arrived: at, Events: 1, Data: record.AppendEntry(nil, at, rec)}
	it := record.Iterate(c)
	it.Next()
	return it.Event()
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// batch encodes events as a destination does. All must have one key.
func batch(t *testing.T, out outputs.Output, events ...record.Event) outputs.Batch {
	t.Helper()
	s := out.Shape()
	b := outputs.Batch{Events: len(events)}
	for i, e := range events {
		key := string(s.Key.AppendKey(nil, e))
		if i > 0 && key != b.Key {
			t.Fatalf("two keys in a batch: %q, %q", b.Key, key)
		}
		b.Key = key
		var err error
		if b.Body, err = s.Encode(b.Body, e); err != nil {
			t.Fatal(err)
		}
		b.Ends = append(b.Ends, len(b.Body))
	}
	return b
}

func send(t *testing.T, out outputs.Output, events ...record.Event) {
	t.Helper()
	if res := out.Send(t.Context(), batch(t, out, events...)); res.Err != nil || res.Dead != nil || res.Retry != nil {
		t.Fatalf("Send = %+v", res)
	}
}

func line(s string) record.Event { return event("app.web", noon, "log", s) }

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func raw(path string) *Options {
	o := options(path)
	o.Format = "raw"
	return o
}

func TestWritesJSONLinesToTheRenderedPath(t *testing.T) {
	dir := t.TempDir()
	out := open(t, options(dir+"/${tag[0]}/${record.container_name}-${time:%Y-%m-%d}.log"))
	e := event("app.web", noon, "log", "hello", "container_name", "/web1")
	send(t, out, e, e)
	want := `{"time":"2026-11-20T12:00:00Z","tag":"app.web","log":"hello","container_name":"/web1"}` + "\n"
	name := filepath.Join(dir, "app", "web1-2026-11-20.log")
	if got := content(t, name); got != want+want {
		t.Errorf("got %q, want twice %q", got, want)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v; want at most 0640", info.Mode(), err)
	}
	if out.Shape().Linger > 50*time.Millisecond {
		t.Errorf("linger %v: lines should appear nearly at once", out.Shape().Linger)
	}
}

func TestRawFallsBackToJSON(t *testing.T) {
	dir := t.TempDir()
	o := raw(dir + "/a.log")
	o.LineKey = "text"
	out := open(t, o)
	send(t, out, line("one"), event("t", noon, "message", "two\n"), event("t", noon, "log", "no", "text", "three"), event("t", noon, "x", "y"))
	want := "one\ntwo\nthree\n" + `{"time":"2026-11-20T12:00:00Z","tag":"t","x":"y"}` + "\n"
	if got := content(t, dir+"/a.log"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValuesStayBelowTheLiteralDirectory(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "logs")
	out := open(t, raw(base+"/${record.a}/${record.b:-x}.log"))
	for _, v := range []string{
		"../../etc/passwd", "..", ".", "/", "a/b", `a\b`, "\x00\n\x1b[2J", strings.Repeat("z", 10_000), strings.Repeat("é", 5_000),
		"\xff\xfe", ".ssh", "//../x", "", "\u202e", "~", "-rf",
	} {
		send(t, out, event("t", noon, "a", v, "b", v, "log", "x"))
	}
	var depth []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(base, path)
			depth = append(depth, rel)
			if strings.HasPrefix(rel, "..") || strings.Count(rel, "/") != 1 || strings.HasPrefix(filepath.Base(rel), ".") {
				t.Errorf("a value chose %q", rel)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(depth) < 10 {
		t.Errorf("only %d files: %q", len(depth), depth)
	}
}

func TestRotatesBeforeTheBoundAndKeepsSome(t *testing.T) {
	dir := t.TempDir()
	o := raw(dir + "/a.log")
	o.Rotate = Rotate{MaxBytes: 10, Keep: 2}
	out := open(t, o)
	for i := range 9 {
		send(t, out, line(fmt.Sprintf("%d...", i))) // 5 bytes with the newline
	}
	for name, want := range map[string]string{"a.log": "8...\n", "a.log.1": "6...\n7...\n", "a.log.2": "4...\n5...\n"} {
		if got := content(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 3 {
		t.Errorf("%d files, want 3: %v", len(list), list)
	}
}

func TestNoticesWhenTheFileIsRenamedRemovedOrItsDirectoryIs(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/logs/a/x.log"
	out := open(t, raw(dir+"/logs/${record.d:-a}/x.log"))
	send(t, out, line("one"))
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	send(t, out, line("two"))
	if got := content(t, name) + content(t, name+".old"); got != "two\none\n" {
		t.Errorf("after a rename: %q", got)
	}
	if err := os.Truncate(name, 0); err != nil { // logrotate's copytruncate
		t.Fatal(err)
	}
	send(t, out, line("three"))
	if got := content(t, name); got != "three\n" {
		t.Errorf("after a truncation: %q", got)
	}
	if err := os.RemoveAll(dir + "/logs"); err != nil {
		t.Fatal(err)
	}
	send(t, out, line("four"))
	if got := content(t, name); got != "four\n" {
		t.Errorf("after a removal: %q", got)
	}
}

func TestCutsTheLineThatACrashTore(t *testing.T) {
	for torn, want := range map[string]string{
		"whole\ntor": "whole\nnew\n", "whole\n": "whole\nnew\n", "tor": "new\n", "": "new\n",
		"whole\n" + strings.Repeat("x", 200_000): "whole\nnew\n",
	} {
		name := filepath.Join(t.TempDir(), "a.log")
		if err := os.WriteFile(name, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		send(t, open(t, raw(name)), line("new"))
		if got := content(t, name); got != want {
			t.Errorf("after %.20q: %.40q, want %q", torn, got, want)
		}
	}
}

// unpack returns the text of a compressed file.
func unpack(t *testing.T, format, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader
	if format == "gzip" {
		r, err = gzip.NewReader(f)
	} else {
		var d *zstd.Decoder
		if d, err = zstd.NewReader(f); err == nil {
			defer d.Close()
		}
		r = d
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompressedFilesReadAsOneStream(t *testing.T) {
	for _, format := range []string{"gzip", "zstd"} {
		name := filepath.Join(t.TempDir(), "a.log.z")
		o := raw(name)
		o.Compress = format
		first := open(t, o)
		send(t, first, line("one"))
		send(t, first, line("two"), line("three"))
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := open(t, o)
		send(t, second, line("four"))
		if got := unpack(t, format, name); got != "one\ntwo\nthree\nfour\n" {
			t.Errorf("%s: %q", format, got)
		}
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}

		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, info.Size()-int64(len(endMark(zipFormat(t, format))))-3); err != nil {
			t.Fatal(err)
		}
		send(t, open(t, o), line("after the crash"))
		if got := unpack(t, format, name); got != "after the crash\n" {
			t.Errorf("%s: new file after a torn one: %q", format, got)
		}
		if got := unpack(t, format, name+".1"); !strings.HasPrefix(got, "one\ntwo\nthree\n") {
			t.Errorf("%s: the torn file was not kept: %q", format, got)
		}
	}
}

func TestFullDiskLeavesNoHalfLinesBehind(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.log")
	out := open(t, raw(name))
	send(t, out, line("before"))
	limit := fileSizeLimit(t, 1000)
	long := batch(t, out, line(strings.Repeat("x", 600)), line(strings.Repeat("y", 600)))
	limit(true)
	res := out.Send(t.Context(), long)
	limit(false)
	if res.Err == nil || outputs.Classify(res.Err).Class != outputs.Transient || !errors.Is(res.Err, syscall.EFBIG) {
		t.Fatalf("Send = %+v, want a transient error", res)
	}
	if n := strings.Count(res.Err.Error(), name); n != 1 {
		t.Errorf("the path is said %d times: %v", n, res.Err)
	}
	if got := content(t, name); got != "before\n" {
		t.Errorf("the failed write left %d bytes", len(got))
	}
	if res := out.Send(t.Context(), long); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := content(t, name); got != "before\n"+string(long.Body) {
		t.Errorf("after the retry: %d bytes", len(got))
	}
}

// fileSizeLimit lets writes beyond n bytes of a file fail, after writing what fits: as on a full disk.
func fileSizeLimit(t *testing.T, n uint64) func(on bool) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Skip("no limit on the size of files:", err)
	}
	ignoreSizeSignal(t)
	return func(on bool) {
		lim := old
		if on {
			lim.Cur = n
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lim); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullVolume(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs the right to mount a small tmpfs:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := raw(dir + "/${record.f:-a}.log")
	out := open(t, o)
	send(t, out, line(strings.Repeat("x", 20_000)))
	big := batch(t, out, line(strings.Repeat("y", 50_000)), line(strings.Repeat("z", 50_000)))
	res := out.Send(t.Context(), big)
	if e := outputs.Classify(res.Err); !errors.Is(res.Err, syscall.ENOSPC) || e.Class != outputs.Transient || e.Hint == "" {
		t.Fatalf("Send = %+v, want a transient error with a hint", res)
	}
	if got := content(t, dir+"/a.log"); len(got) != 20_001 {
		t.Errorf("%d bytes, want the first line alone", len(got))
	}
}

func TestLinksPipesAndStrangersAreRefused(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("untouched\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "logs")
	if err := errors.Join(os.Mkdir(base, 0o700), os.Symlink(secret, base+"/link.log"), os.Symlink(base+"/new", base+"/dangling.log"),
		os.Symlink(dir, base+"/out"), syscall.Mkfifo(base+"/pipe.log", 0o600), os.Mkdir(base+"/dir.log", 0o700)); err != nil {
		t.Fatal(err)
	}
	out := open(t, raw(base+"/${record.f}.log"))
	for _, f := range []string{"link", "dangling", "pipe", "dir"} {
		res := out.Send(t.Context(), batch(t, out, event("t", noon, "f", f, "log", "x")))
		if e := outputs.Classify(res.Err); res.Err == nil || e.Class != outputs.Held || e.Hint == "" {
			t.Errorf("%s: Send = %+v, want held with a hint", f, res)
		}
	}
	deep := open(t, raw(base+"/${record.d}/secret"))
	if res := deep.Send(t.Context(), batch(t, deep, event("t", noon, "d", "out", "log", "x"))); res.Err == nil {
		t.Error("a linked directory led out of the base")
	}
	if got := content(t, secret); got != "untouched\n" {
		t.Errorf("secret is now %q", got)
	}
	if _, err := os.Lstat(base + "/new"); err == nil {
		t.Error("a dangling link was followed")
	}

	first, second := open(t, raw(base+"/same.log")), open(t, raw(base+"/same.log"))
	send(t, first, line("x"))
	if res := second.Send(t.Context(), batch(t, second, line("y"))); res.Err == nil || outputs.Classify(res.Err).Class != outputs.Transient {
		t.Errorf("a second writer: %+v, want a transient error", res)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(t, second, line("y"))
}

func TestPermissionIsHeld(t *testing.T) {
	out := open(t, raw("/proc/firebreak-test/a.log")) // nobody, not even root, makes directories there
	res := out.Send(t.Context(), batch(t, out, line("x")))
	if res.Err == nil {
		t.Fatal("no error")
	}
	o := &output{}
	res = o.result(outputs.Batch{}, "a", &os.PathError{Op: "open", Path: "a", Err: syscall.EACCES})
	if e := outputs.Classify(res.Err); e.Class != outputs.Held || e.Hint == "" {
		t.Errorf("EACCES: %+v, want held with a hint", res)
	}
}

func TestNewFilesAreBoundedPerHour(t *testing.T) {
	o := raw(t.TempDir() + "/${tag}.log")
	o.MaxNewFiles = 3
	out := open(t, o)
	for i := range 5 {
		res := out.Send(t.Context(), batch(t, out, event(fmt.Sprintf("t%d", i), noon, "log", "x")))
		if tooMany := len(res.Dead) == 1 && res.Dead[0] == (outputs.Dead{Range: outputs.Range{To: 1}, Reason: reasonTooMany, Detail: res.Dead[0].Detail}); tooMany != (i >= 3) {
			t.Errorf("file %d: %+v", i, res)
		}
	}
	send(t, out, event("t1", noon, "log", "known names go on"))
}

func TestManyWorkersAndFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	o := raw(dir + "/${tag}.log")
	o.MaxOpenFiles = 2
	o.Rotate = Rotate{MaxBytes: 4000, Keep: 100}
	out := open(t, o)
	const workers, rounds, tags = 4, 100, 5
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				b := batch(t, out, event(fmt.Sprintf("t%d", (i+w)%tags), noon, "log", fmt.Sprintf("%d %d %s", w, i, strings.Repeat("x", 100))))
				if res := out.Send(t.Context(), b); res.Err != nil || res.Dead != nil {
					t.Errorf("Send = %+v", res)
				}
			}
		})
	}
	wg.Wait()
	if n := len(out.(*output).files.byName); n > 2+workers {
		t.Errorf("%d files open, want about 2", n)
	}
	lines := map[string]int{}
	names, _ := filepath.Glob(dir + "/*")
	for _, name := range names {
		b := []byte(content(t, name))
		if len(b) > 4000 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		for l := range bytes.Lines(b) {
			lines[string(l)]++
		}
	}
	if len(lines) != workers*rounds {
		t.Errorf("%d different lines, want %d", len(lines), workers*rounds)
	}
}

func TestSendReturnsAtItsDeadline(t *testing.T) {
	dir := t.TempDir()
	out := open(t, raw(dir+"/a.log")).(*output)
	f := out.files.take("a.log")
	f.turn <- struct{}{} // a write that hangs
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if res := out.Send(ctx, batch(t, out, line("x"))); !errors.Is(res.Err, context.DeadlineExceeded) {
		t.Errorf("Send = %+v, want the deadline", res)
	}
	<-f.turn
	out.files.release(f)
	send(t, out, line("y"))
	if got := content(t, dir+"/a.log"); got != "y\n" {
		t.Errorf("got %q", got)
	}
}
