package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// watchEvery is how often the paths of unix sockets are looked at.
const watchEvery = time.Second

// watchSockets binds a unix socket again when somebody has removed it: a cleaner of /run, or a second router that took
// it for stale and has ended. Without it, no container could start any more. A path that is something else by now
// stays as it is.
func (in *Input) watchSockets(stop <-chan struct{}, helpers *sync.WaitGroup) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for i := range in.listeners {
			if err := in.rebind(i, helpers); err != nil {
				in.fail(errListen, in.listeners[i].path, err)
			}
		}
	}
}

func (in *Input) rebind(i int, helpers *sync.WaitGroup) error {
	old := in.listeners[i]
	if old.path == "" {
		return nil
	}
	if _, err := os.Lstat(old.path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ln, err := in.listenUnix(old.path)
	if err != nil {
		return fmt.Errorf("bind %q again, which was removed: %w", old.path, err)
	}
	in.mu.Lock()
	in.listeners[i] = ln
	in.mu.Unlock()
	old.Close()
	helpers.Go(func() { in.acceptLoop(ln) })
	in.log.Warn("unix socket was removed and is back", zap.String("path", old.path))
	return nil
}
