package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
)

// watchEvery is how often the paths of unix sockets are looked at.
const watchEvery = time.Second

// watchSockets binds a unix socket again when somebody has removed it: a cleaner of /run, or a second router that took
// it for stale and has ended. Without it, no container could start any more. A path that is something else by now
// stays as it is.
func (in *Input) watchSockets(stop <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for _, ln := range in.current() {
			if ln.path == "" {
				continue
			}
			if err := in.rebind(ln); err != nil {
				in.fail(errListen, ln.path, err)
			}
		}
	}
}

func (in *Input) rebind(old *listener) error {
	if _, err := os.Lstat(old.path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ln, err := in.bind(old.place, old.set.Load())
	if err != nil {
		return fmt.Errorf("bind %q again, which was removed: %w", old.path, err)
	}
	in.mu.Lock()
	i := slices.Index(in.listeners, old)
	if i < 0 { // the address has been given up meanwhile
		in.mu.Unlock()
		ln.close()
		return nil
	}
	ln.set.Store(in.set.Load())
	in.listeners[i] = ln
	in.serve(ln)
	in.mu.Unlock()
	old.Close()
	in.log.Warn("unix socket was removed and is back", zap.String("path", old.path))
	return nil
}
