package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

type listener struct {
	net.Listener
	conf *tls.Config // nil: no TLS
	path string      // of a unix socket
	file fs.FileInfo // what path was after the bind
}

// Listen opens all addresses; from then on clients can connect, and wait for Run. It does nothing slow. When one
// address fails, the others are closed again.
func (in *Input) Listen() error {
	var errs []error
	for _, s := range in.opts.Listen {
		a, err := parseAddress(s)
		if err == nil {
			err = in.listen(a)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("listen on %q: %w", s, err))
		}
	}
	if len(errs) > 0 {
		in.Close()
		in.listeners, in.packets = nil, nil
		return errors.Join(errs...)
	}
	return nil
}

func (in *Input) listen(a address) error {
	if a.scheme == "unix" {
		ln, err := in.listenUnix(a.addr)
		if err == nil {
			in.listeners = append(in.listeners, ln)
		}
		return err
	}
	var conf *tls.Config
	if a.scheme == "tls" {
		if in.tls == nil {
			return errors.New("it needs a certificate: set tls")
		}
		conf = in.tls
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", a.addr)
	if err != nil {
		return err
	}
	in.listeners = append(in.listeners, listener{Listener: ln, conf: conf})
	// Fluentd's heartbeat_type udp asks on the same port. Without it the input still works.
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		in.log.Info("no udp heartbeat", zap.Error(err))
		return nil
	}
	in.packets = append(in.packets, pc)
	return nil
}

// listenUnix binds a unix socket. A socket that nobody serves any more is replaced: a router that was killed leaves
// one behind.
func (in *Input) listenUnix(path string) (listener, error) {
	mode, err := parseMode(in.opts.UnixMode)
	if err != nil {
		return listener{}, err
	}
	if err := removeStale(path); err != nil {
		return listener{}, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return listener{}, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return listener{}, err
	}
	ln.SetUnlinkOnClose(false) // by then the path may be another process's
	if err = os.Chmod(path, mode); err == nil {
		var info fs.FileInfo
		if info, err = os.Lstat(path); err == nil {
			return listener{Listener: ln, path: path, file: info}, nil
		}
	}
	ln.Close()
	os.Remove(path)
	return listener{}, err
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
	in.mu.Lock()
	defer in.mu.Unlock()
	var out []net.Addr
	for _, ln := range in.listeners {
		out = append(out, ln.Addr())
	}
	return out
}

// Close ends the listening and removes unix sockets that are still ours. It is for an input that is never run; Run does
// it by itself.
func (in *Input) Close() {
	for _, ln := range in.listeners {
		if ln.path != "" {
			if info, err := os.Lstat(ln.path); err == nil && os.SameFile(info, ln.file) {
				os.Remove(ln.path)
			}
		}
		ln.Close()
	}
	for _, pc := range in.packets {
		pc.Close()
	}
}

// acceptLoop takes connections until the listener is closed.
func (in *Input) acceptLoop(ln listener) {
	backoff := backoffMin
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			backoff = backoffMin
			in.take(nc, ln.conf)
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
func (in *Input) take(nc net.Conn, conf *tls.Config) {
	c := newConn(in, nc)
	if beyond(nc, in.fileMax) {
		in.refuse(c, "open_files", fmt.Errorf("refuse connection: the process has %d files open, the rest is for its outputs; raise the limit (ulimit -n, LimitNOFILE)", in.fileMax))
		return
	}
	in.mu.Lock()
	full := len(in.conns) >= in.opts.MaxConnections
	stopped := !in.stopBy.IsZero()
	if !full && !stopped {
		in.conns[c] = struct{}{}
		in.serving.Add(1)
	}
	in.mu.Unlock()
	switch {
	case full:
		in.refuse(c, "max_connections", fmt.Errorf("refuse connection: there are %d already", in.opts.MaxConnections))
		return
	case stopped:
		nc.Close()
		return
	}
	in.count.total.Add(1)
	go func() {
		defer in.serving.Done()
		c.run(conf)
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
