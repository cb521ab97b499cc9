package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs"
)

var _ inputs.Changer = (*Input)(nil)

// leavePatience is how long a listener whose address is gone takes the connections that are waiting in it.
const leavePatience = 100 * time.Millisecond

// A change is an inputs.Change of a forward input.
type change struct {
	in     *Input
	next   *settings
	opened map[place]*listener
}

// Prepare implements inputs.Changer. options is an *Options.
//
// After the Commit, new connections get the new options. Open ones go on with those that they began with, also when
// their address is gone; only memory, max_connections and the join options hold for them at once. A listener whose
// address stays is not touched: not even a connection that waits in it is lost, also when tcp:// becomes tls://.
//
// An address that overlaps one of now, such as 127.0.0.1:24224 and 0.0.0.0:24224, can't be opened beside it, and
// closing that first would turn clients away: the error says that such a change needs a restart.
func (in *Input) Prepare(options any) (inputs.Change, error) {
	opts, ok := options.(*Options)
	if !ok {
		return nil, fmt.Errorf("change input %q: options of type %T", in.env.Name, options)
	}
	c, err := in.prepare(opts)
	if err != nil {
		return nil, fmt.Errorf("change input %q: %w", in.env.Name, err)
	}
	return c, nil
}

func (in *Input) prepare(opts *Options) (_ *change, err error) {
	var problems []string
	opts.check(func(key, message, _ string) { problems = append(problems, key+": "+message) })
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	present, err := in.beginChange()
	if err != nil {
		return nil, err
	}
	c := &change{in: in, opened: map[place]*listener{}}
	defer func() {
		if err != nil {
			c.Abort()
		}
	}()
	if c.next, err = newSettings(opts, in.set.Load(), in.log.Logger); err != nil {
		return nil, err
	}
	for i, a := range c.next.listen {
		if present[a.place()] {
			continue
		}
		ln, err := in.bind(a.place(), c.next)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; if it is this input's present address that overlaps, the change needs a restart", err)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %q: %w", opts.Listen[i], err)
		}
		c.opened[a.place()] = ln
	}
	return c, nil
}

// beginChange returns the places of now, which stay the same until the change is over.
func (in *Input) beginChange() (map[place]bool, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.ending || in.stopped():
		return nil, errors.New("it is stopping")
	case in.changing:
		return nil, errors.New("another change is under way")
	case len(in.listeners) == 0:
		return nil, errors.New("it does not listen yet")
	}
	in.changing = true
	present := map[place]bool{}
	for _, ln := range in.listeners {
		present[ln.place] = true
	}
	return present, nil
}

// Abort implements inputs.Change.
func (c *change) Abort() {
	for _, ln := range c.opened {
		ln.close()
	}
	c.in.mu.Lock()
	c.in.changing = false
	c.in.mu.Unlock()
}

// Commit implements inputs.Change. It waits up to leavePatience for the connections that an address which is gone has not
// handed out yet.
func (c *change) Commit() {
	in := c.in
	in.mu.Lock()
	if in.ending {
		in.mu.Unlock()
		c.Abort()
		return
	}
	before := in.set.Swap(c.next)
	old := map[place]*listener{}
	for _, ln := range in.listeners {
		old[ln.place] = ln
	}
	in.listeners = nil
	var kept []*listener
	for _, a := range c.next.listen {
		ln := old[a.place()]
		if ln != nil {
			delete(old, a.place())
			ln.set.Store(c.next)
			kept = append(kept, ln)
		} else {
			ln = c.opened[a.place()]
			if in.running {
				in.serve(ln)
			}
		}
		in.listeners = append(in.listeners, ln)
	}
	in.budget.resize(int64(c.next.opts.Memory))
	in.join.change(&c.next.opts)
	running := in.running
	in.mu.Unlock()

	if c.next.mode != before.mode {
		for _, ln := range kept {
			if err := ln.chmod(c.next.mode); err != nil {
				in.log.Warn("can't change the permissions of a unix socket", zap.String("path", ln.path), zap.Error(err))
			}
		}
	}
	for _, ln := range old {
		ln.leave(running)
	}
	in.mu.Lock()
	in.changing = false
	in.mu.Unlock()
}

func (ln *listener) chmod(mode fs.FileMode) error {
	if !ln.ours() {
		return nil // what is bound there next gets it
	}
	return os.Chmod(ln.path, mode)
}

// leave closes the listener when no connection waits in it any more, if somebody takes them.
func (ln *listener) leave(served bool) {
	ln.unlink()
	for end := time.Now().Add(leavePatience); served && ln.waiting() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	ln.close()
}

// waiting reports whether a connection waits to be accepted.
func (ln *listener) waiting() bool {
	sc, ok := ln.Listener.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = rc.Control(func(fd uintptr) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && n > 0
}

// Adjust changes what comes from outside of the input's own options: see Env.Sync and Env.Shutdown. It may be called at
// any time.
func (in *Input) Adjust(sync bool, shutdown config.Shutdown) {
	in.join.files.sync.Store(sync)
	in.mu.Lock()
	in.env.Shutdown = shutdown
	in.mu.Unlock()
}
