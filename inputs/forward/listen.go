package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

// A listener is a socket that takes connections, with the options that those get.
type listener struct {
	net.Listener
	place   place
	set     atomic.Pointer[settings]
	packets net.PacketConn // for the heartbeat; nil: none
	path    string         // of a unix socket
	file    fs.FileInfo    // what path was after the bind
}

// Listen opens all addresses; from then on clients can connect, and wait for Run. It does nothing slow. When one
// address fails, the others are closed again.
func (in *Input) Listen() error {
	set := in.set.Load()
	var opened []*listener
	var errs []error
	for i, a := range set.listen {
		ln, err := in.bind(a.place(), set)
		if err != nil {
			errs = append(errs, refused(set.opts.Listen[i], err))
			continue
		}
		opened = append(opened, ln)
	}
	if len(errs) > 0 {
		for _, ln := range opened {
			ln.close()
		}
		return errors.Join(errs...)
	}
	in.mu.Lock()
	in.listeners = opened
	in.mu.Unlock()
	return nil
}

// refused says why an address can't be listened on, and what to do.
func refused(address string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = ": another router or program listens there; `ss -ltnp` shows which"
	case errors.Is(err, fs.ErrPermission):
		hint = ": run the router as a user that may, or choose another address"
	}
	return fmt.Errorf("listen on %q: %w%s", address, err, hint)
}

// bind opens a listener that nobody serves yet.
func (in *Input) bind(p place, set *settings) (ln *listener, err error) {
	ln = &listener{place: p}
	ln.set.Store(set)
	if p.network == "unix" {
		ln.path = p.addr
		return ln, ln.bindUnix(set.mode)
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	if ln.Listener, err = lc.Listen(context.Background(), "tcp", p.addr); err != nil {
		return nil, err
	}
	// Fluentd's heartbeat_type udp asks on the same port. Without it the input still works.
	if ln.packets, err = net.ListenPacket("udp", ln.Addr().String()); err != nil {
		in.log.Info("no udp heartbeat", zap.Error(err))
		ln.packets = nil // no interface around a nil
	}
	return ln, nil
}

// bindUnix binds a unix socket. A socket that nobody serves any more is replaced: a router that was killed leaves
// one behind.
func (ln *listener) bindUnix(mode fs.FileMode) error {
	if err := removeStale(ln.path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(ln.path), 0o755); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ln.path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // by then the path may be another process's
	if err = os.Chmod(ln.path, mode); err == nil {
		if ln.file, err = os.Lstat(ln.path); err == nil {
			ln.Listener = l
			return nil
		}
	}
	l.Close()
	os.Remove(ln.path)
	return err
}

// ours reports whether the path is still the socket that was bound.
func (ln *listener) ours() bool {
	if ln.path == "" {
		return false
	}
	info, err := os.Lstat(ln.path)
	return err == nil && os.SameFile(info, ln.file)
}

func (ln *listener) unlink() {
	if ln.ours() {
		os.Remove(ln.path)
	}
}

// close ends the listening and removes a unix socket that is still ours.
func (ln *listener) close() {
	ln.unlink()
	ln.Close()
	if ln.packets != nil {
		ln.packets.Close()
	}
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return errors.New("another process listens there")
	}
	if !isRefused(err) {
		return fmt.Errorf("look whether another process listens there: %w", err)
	}
	return os.Remove(path)
}

// Addrs returns what the input listens on, in the order of the configuration.
func (in *Input) Addrs() []net.Addr {
	var out []net.Addr
	for _, ln := range in.current() {
		out = append(out, ln.Addr())
	}
	return out
}

// Close ends the listening and removes unix sockets that are still ours. It is for an input that is never run; Run does
// it by itself.
func (in *Input) Close() {
	in.end()
	for _, ln := range in.current() {
		ln.close()
	}
}

// current returns the listeners of now.
func (in *Input) current() []*listener {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.listeners)
}

// acceptLoop takes connections until the listener is closed.
func (in *Input) acceptLoop(ln *listener) {
	backoff := backoffMin
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			backoff = backoffMin
			in.take(nc, ln)
		case errors.Is(err, net.ErrClosed):
			return
		default: // EMFILE, ENFILE, ECONNABORTED, …
			in.fail(errListen, ln.Addr().String(), err)
			select {
			case <-in.stopping:
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, backoffMax)
		}
	}
}

// take serves a new connection, or refuses it when there are too many.
func (in *Input) take(nc net.Conn, ln *listener) {
	set := ln.set.Load()
	c := newConn(in, set, nc)
	if beyond(nc, in.fileMax) {
		in.refuse(c, "open_files", fmt.Errorf("refuse connection: the process has %d files open, the rest is for its outputs; raise the limit (ulimit -n, LimitNOFILE)", in.fileMax))
		return
	}
	most := in.set.Load().opts.MaxConnections
	in.mu.Lock()
	full := len(in.conns) >= most
	stopped := !in.stopBy.IsZero()
	if !full && !stopped {
		in.conns[c] = struct{}{}
		in.serving.Add(1)
	}
	in.mu.Unlock()
	switch {
	case full:
		in.refuse(c, "max_connections", fmt.Errorf("refuse connection: there are %d already", most))
		return
	case stopped:
		nc.Close()
		return
	}
	in.count.total.Add(1)
	go func() {
		defer in.serving.Done()
		c.run(set.conf(ln.place))
		in.mu.Lock()
		delete(in.conns, c)
		in.mu.Unlock()
	}()
}

func (in *Input) refuse(c *conn, reason string, err error) {
	in.count.refused.Add(1)
	c.nc.Close()
	in.log.warn(reason, c.peer, err)
}

// heartbeat answers each datagram with a zero byte (Forward Protocol Specification v0, "Heartbeat message").
func heartbeat(pc net.PacketConn) {
	buf := make([]byte, 16)
	for {
		_, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(backoffMin)
			continue
		}
		pc.WriteTo([]byte{0}, from)
	}
}
