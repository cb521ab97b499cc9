package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Mode is how a sink behaves.
type Mode string

// The modes. A change takes effect at once, for the connections that exist too.
const (
	OK             Mode = ""
	Refuse         Mode = "refuse"     // nothing listens, all connections are reset
	BlackHole      Mode = "black-hole" // connects hang, what is connected is not read
	AcceptNotRead  Mode = "never-read" // connects succeed, nothing is read
	ReadSlow       Mode = "slow"       // Bytes per second, 1 by default
	ResetMidStream Mode = "reset"      // each connection is reset after Bytes, 100,000 by default
	NeverAck       Mode = "never-ack"  // what asks for an ack is read, thrown away and not acked; the change to another mode resets these connections
	closed         Mode = "closed"
)

// Faults lists the modes other than OK.
func Faults() []Mode {
	return []Mode{Refuse, BlackHole, AcceptNotRead, ReadSlow, ResetMidStream, NeverAck}
}

// A Fault is a mode and its number.
type Fault struct {
	Mode  Mode
	Bytes int
}

// Acks says how acks are sent.
type Acks struct {
	Delay time.Duration // from reading to ack
	Split bool          // the acks of one read in two writes, a few ms apart
}

// state is what holds from one change of the fault to the next.
type state struct {
	Fault
	changed chan struct{} // closed when the next state is there
	paused  chan struct{} // BlackHole: closed when nothing is accepted any more
}

func newState(f Fault) *state {
	if f.Bytes <= 0 {
		switch f.Mode {
		case ReadSlow:
			f.Bytes = 1
		case ResetMidStream:
			f.Bytes = 100_000
		}
	}
	return &state{Fault: f, changed: make(chan struct{}), paused: make(chan struct{})}
}

// SetAcks changes how acks are sent from now on.
func (s *Sink) SetAcks(a Acks) { s.acks.Store(&a) }

// Set changes the behaviour and returns when the new one holds.
func (s *Sink) Set(f Fault) error {
	s.setting.Lock()
	defer s.setting.Unlock()
	old := s.state.Load()
	if old.Mode == closed {
		return nil
	}
	if f.Mode == BlackHole && s.network != "tcp" {
		return errors.New("make a black hole: only possible with tcp")
	}
	if f.Mode == BlackHole && old.Mode == BlackHole {
		return nil
	}
	if f.Mode == BlackHole && old.Mode == Refuse {
		if err := s.relisten(); err != nil {
			return err
		}
	}
	st := newState(f)
	s.mu.Lock() // no connection is added in between
	s.state.Store(st)
	s.mu.Unlock()
	close(old.changed)
	if old.Mode == BlackHole {
		s.healBlackHole()
	}
	switch f.Mode {
	case Refuse, closed:
		if old.Mode == Refuse {
			return nil
		}
		err := s.ln.Close()
		s.eachConn(func(c *conn) { abort(c.raw) })
		return err
	case BlackHole:
		s.interrupt()
		return s.blackHole(st)
	}
	s.interrupt()
	if old.Mode == Refuse {
		return s.relisten()
	}
	return nil
}

// relisten listens again on the same address, which another process may hold for a moment.
func (s *Sink) relisten() error {
	var err error
	for range 100 {
		if err = s.listen(); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// interrupt ends the reads in progress, so that their connections see the new state.
func (s *Sink) interrupt() {
	s.eachConn(func(c *conn) { _ = c.raw.SetReadDeadline(time.Unix(1, 0)) })
}

func (s *Sink) eachConn(f func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// blackHole lets connects hang: Linux drops the SYN of a connection when the accept queue is full. The queue is cut
// to one entry, and filled.
func (s *Sink) blackHole(st *state) error {
	ln := s.ln.(*net.TCPListener)
	_ = ln.SetDeadline(time.Unix(1, 0))
	<-st.paused
	if err := backlog(ln, 0); err != nil {
		return err
	}
	for range 4096 {
		ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		cancel()
		if err != nil {
			return nil
		}
		s.fill = append(s.fill, c)
	}
	return errors.New("make a black hole: connects still succeed")
}

func (s *Sink) healBlackHole() {
	_ = backlog(s.ln.(*net.TCPListener), 4096)
	for _, c := range s.fill {
		_ = c.Close()
	}
	s.fill = nil
}

// backlog sets the length of the accept queue: on Linux a second listen(2) on the same socket does that.
func backlog(ln *net.TCPListener, n int) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return fmt.Errorf("set backlog: %w", err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = unix.Listen(int(fd), n) }); err != nil {
		return fmt.Errorf("set backlog: %w", err)
	}
	return inner
}

// abort closes c with a reset.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
