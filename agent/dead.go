package agent

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/buffer"
)

// askPatience is how long a status page waits for the dead letters' numbers: their disk may hang.
const askPatience = 50 * time.Millisecond

// deadLetters are the dead letters of one destination, whose numbers can be had while their disk hangs.
type deadLetters struct {
	*buffer.Dead
	dir    string
	asking atomic.Bool
	last   atomic.Pointer[buffer.DeadStats]
}

var errEnough = errors.New("enough")

// load counts what earlier runs have left. It waits for the disk.
func (d *deadLetters) load() {
	if _, err := os.Stat(d.dir); errors.Is(err, fs.ErrNotExist) {
		return // made with the first dead letter
	}
	_ = d.Read(func(buffer.DeadLetter) error { return errEnough })
}

// Stats returns the newest numbers that can be had soon.
func (d *deadLetters) Stats() buffer.DeadStats {
	if d.asking.CompareAndSwap(false, true) {
		done := make(chan struct{})
		go func() {
			s := d.Dead.Stats()
			d.last.Store(&s)
			d.asking.Store(false)
			close(done)
		}()
		t := time.NewTimer(askPatience)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}
	if s := d.last.Load(); s != nil {
		return *s
	}
	return buffer.DeadStats{}
}
