package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// lockData takes the data directory for this process. A directory that can't be written is no error: the buffers go
// on in memory and say so. One that another process uses is.
func (a *Agent) lockData() error {
	if err := os.MkdirAll(a.cfg.DataDir, 0o750); err != nil {
		a.log.Warn("can't write data_dir: buffers are in memory until it can be", zap.String("data_dir", a.cfg.DataDir), zap.Error(err))
		return nil
	}
	name := filepath.Join(a.cfg.DataDir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o640)
	if err != nil {
		a.log.Warn("can't write data_dir: buffers are in memory until it can be", zap.String("data_dir", a.cfg.DataDir), zap.Error(err))
		return nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := make([]byte, 16)
		n, _ := f.ReadAt(pid, 0)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("use data_dir %q: another firebreak (process %s) runs on it; stop that one or give this one its own data_dir", a.cfg.DataDir, pid[:n])
		}
		a.log.Warn("can't lock data_dir", zap.String("data_dir", a.cfg.DataDir), zap.Error(err))
		return nil
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d", os.Getpid()), 0)
	a.lock = f
	return nil
}

func (a *Agent) unlock() {
	if a.lock != nil {
		_ = a.lock.Close()
		a.lock = nil
	}
}

// warnVolume says when the buffers may grow beyond what the volume has.
func (a *Agent) warnVolume() {
	var st unix.Statfs_t
	if unix.Statfs(a.cfg.DataDir, &st) != nil {
		return
	}
	free := int64(st.Bavail) * st.Bsize
	sum, have := int64(0), int64(0)
	for i, o := range a.cfg.Outputs {
		if o.Buffer.Type == "disk" {
			sum += int64(o.Buffer.MaxBytes)
			have += a.dests[i].Stats().Buffer.DiskBytes
		}
	}
	if sum > free+have {
		a.volumes = fmt.Sprintf("the buffers may take %d MiB, the volume of %s has %d MiB free: at the end of the space each destination sheds its own oldest events; lower max_bytes or give data_dir more room",
			sum>>20, a.cfg.DataDir, (free+have)>>20)
		a.log.Warn(a.volumes)
	}
}
