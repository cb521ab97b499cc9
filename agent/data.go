package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// diskPatience is how long a start waits for data_dir; a disk that takes longer hangs, and the buffers are in memory
// until it answers.
const diskPatience = 2 * time.Second

// errInUse says that another process has the data directory.
var errInUse = errors.New("another firebreak runs on it")

// A dataLock holds a data directory for this process. The system gives it back when the process ends, however it does.
type dataLock struct {
	dir string

	mu     sync.Mutex
	busy   bool // an attempt is under way, perhaps on a disk that hangs
	file   *os.File
	closed bool
}

// take locks the directory, and makes it when it is missing. It waits for the disk at most for the given time; a lock
// that comes later is kept. An error that is errInUse names the other process; others mean that the directory can't be
// written.
func (l *dataLock) take(patience time.Duration) error {
	l.mu.Lock()
	if l.file != nil || l.busy {
		l.mu.Unlock()
		return nil
	}
	l.busy = true
	l.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		f, err := lockFile(l.dir)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy = false
		if l.closed && f != nil {
			_ = f.Close()
		} else {
			l.file = f
		}
		done <- err
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("no answer within %v", patience)
	}
}

// held reports whether the directory is locked for this process.
func (l *dataLock) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file != nil
}

func (l *dataLock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

func lockFile(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		pid := make([]byte, 16)
		n, _ := f.ReadAt(pid, 0)
		return nil, fmt.Errorf("%w: process %s", errInUse, pid[:n])
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d", os.Getpid()), 0)
	return f, nil
}

// lockData takes the data directory for this process. A directory that can't be written is no error: the buffers go
// on in memory and say so. One that another process uses is.
func (a *Agent) lockData() error {
	err := a.lock.take(diskPatience)
	switch {
	case errors.Is(err, errInUse):
		return fmt.Errorf("use data_dir %q: %w; stop that one or give this one its own data_dir", a.dataDir, err)
	case err != nil:
		a.log.Error("can't use data_dir: events are in memory until it can be used", zap.String("data_dir", a.dataDir), zap.Error(err))
	}
	return nil
}

// relock tries again what failed at the start.
func (a *Agent) relock() {
	if err := a.lock.take(diskPatience); err != nil {
		a.log.Error("can't use data_dir", zap.String("data_dir", a.dataDir), zap.Error(err))
	}
}

// survey looks at data_dir once: what deserves a warning, and the dead letters of earlier runs. It may wait for the
// disk, and nobody waits for it.
func (a *Agent) survey(context.Context) {
	a.examine()
	for _, d := range a.now.Load().dests {
		d.dead.load()
	}
}

// examine looks at what a configuration finds on this host.
func (a *Agent) examine() {
	for _, p := range Verify(a.now.Load().cfg) {
		a.warn(oneLine(p))
	}
	a.warnVolume()
	a.noteOrphans()
}

// warnVolume says when the buffers may grow beyond what the volume has.
func (a *Agent) warnVolume() {
	var st unix.Statfs_t
	if unix.Statfs(a.dataDir, &st) != nil {
		return
	}
	free := int64(st.Bavail) * st.Bsize
	sum, have := int64(0), int64(0)
	for _, d := range a.now.Load().dests {
		if d.cfg.Buffer.Type == "disk" {
			sum += int64(d.cfg.Buffer.MaxBytes)
			have += d.Stats().Buffer.DiskBytes
		}
	}
	if sum > free+have {
		a.warn(fmt.Sprintf("the buffers may take %d MiB, the volume of %s has %d MiB free: at the end of the space each destination sheds its own oldest events; lower max_bytes or give data_dir more room",
			sum>>20, a.dataDir, (free+have)>>20))
	}
}
