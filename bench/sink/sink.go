// Package sink is a forward-protocol aggregator for tests and benchmarks: it reads all four modes, acks, counts, checks
// the sequence numbers that the load generator put into the lines, and fails on demand in the ways that aggregators fail.
//
// Protocol: Forward Protocol Specification v1 and v1.5 (fluent/fluentd wiki).
package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
)

// Config sets up a sink. The zero value listens on a free port of 127.0.0.1.
type Config struct {
	Addr       string      // host:port, or unix:///path
	TLS        *tls.Config // server side; nil: plain
	SharedKey  string      // asks for the handshake when set
	Hostname   string      // in the handshake
	ReadBuffer int         // size of the socket's receive buffer; 0: the system's

	// Each is called for every event that counts, one call at a time, with the record's msgpack, valid during the call.
	Each func(tag string, record []byte)
}

// A Sink is a running aggregator. All methods may be called concurrently.
type Sink struct {
	cfg           Config
	network, addr string
	acks          atomic.Pointer[Acks]
	state         atomic.Pointer[state]

	setting sync.Mutex // one change of mode at a time
	ln      net.Listener
	fill    []net.Conn // fills the backlog of a black hole
	buffers sync.Pool  // of *[]byte, for connections
	wg      sync.WaitGroup

	mu      sync.Mutex // below
	conns   map[*conn]struct{}
	counts  Counts
	latency hist.Hist
	streams []*track
	notify  chan struct{} // closed at the next change of counts, when somebody waits
}

// Counts is what a sink has seen. Events were counted once however often they came.
type Counts struct {
	Events     uint64 `json:"events"`     // first arrivals, and events without a token
	Duplicates uint64 `json:"duplicates"` // later arrivals
	Disorder   uint64 `json:"disorder"`   // first arrivals behind a higher number of their stream
	Foreign    uint64 `json:"foreign"`    // events without a token
	Ignored    uint64 `json:"ignored"`    // events that NeverAck threw away; they don't count as arrived
	Messages   uint64 `json:"messages"`
	Acks       uint64 `json:"acks"`
	Bytes      uint64 `json:"bytes"`
	Conns      uint64 `json:"conns"`
	Invalid    uint64 `json:"invalid"` // messages and entries that could not be read

	FirstDisorder string `json:"first_disorder,omitempty"`
	FirstInvalid  string `json:"first_invalid,omitempty"`
}

// Start listens and serves until Close.
func Start(cfg Config) (*Sink, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s := &Sink{cfg: cfg, network: "tcp", addr: cfg.Addr, conns: map[*conn]struct{}{}}
	if path, ok := strings.CutPrefix(cfg.Addr, "unix://"); ok {
		s.network, s.addr = "unix", path
	}
	s.buffers.New = func() any { b := make([]byte, firstBuffer); return &b }
	s.acks.Store(&Acks{})
	s.state.Store(newState(Fault{}))
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr returns the address to connect to: host:port, or unix:///path.
func (s *Sink) Addr() string {
	if s.network == "unix" {
		return "unix://" + s.addr
	}
	return s.addr
}

func (s *Sink) listen() error {
	ln, err := net.Listen(s.network, s.addr)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", s.addr, err)
	}
	s.ln, s.addr = ln, ln.Addr().String()
	s.wg.Go(func() { s.accept(ln) })
	return nil
}

// accept serves one listener until it is closed.
func (s *Sink) accept(ln net.Listener) {
	for {
		if st := s.state.Load(); st.Mode == BlackHole {
			close(st.paused)
			<-st.changed
			continue
		}
		c, err := ln.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = ln.(*net.TCPListener).SetDeadline(time.Time{})
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as no free file descriptor
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.serve(c)
	}
}

func (s *Sink) serve(raw net.Conn) {
	if t, ok := raw.(*net.TCPConn); ok && s.cfg.ReadBuffer > 0 {
		_ = t.SetReadBuffer(s.cfg.ReadBuffer)
	}
	c := &conn{sink: s, raw: raw, rw: raw, done: make(chan struct{})}
	if s.cfg.TLS != nil {
		c.rw = tls.Server(raw, s.cfg.TLS)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.state.Load().Mode; m == closed || m == Refuse {
		abort(raw)
		return
	}
	s.conns[c] = struct{}{}
	s.counts.Conns++
	s.wg.Go(func() {
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Close stops serving and resets all connections.
func (s *Sink) Close() error {
	err := s.Set(Fault{Mode: closed})
	s.wg.Wait()
	return err
}

// Counts returns what was seen until now.
func (s *Sink) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Latency returns a copy of the histogram of the times from sending to first arrival. Two copies give a window.
func (s *Sink) Latency() hist.Hist {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latency
}

// Wait returns when done says so about the counts, or ctx ends.
func (s *Sink) Wait(ctx context.Context, done func(Counts) bool) error {
	for {
		s.mu.Lock()
		if done(s.counts) {
			s.mu.Unlock()
			return nil
		}
		if s.notify == nil {
			s.notify = make(chan struct{})
		}
		ch, seen := s.notify, s.counts
		s.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("wait at %d events, %d duplicates, %d ignored: %w", seen.Events, seen.Duplicates, seen.Ignored, ctx.Err())
		}
	}
}

// WaitEvents waits for n different events.
func (s *Sink) WaitEvents(ctx context.Context, n uint64) error {
	return s.Wait(ctx, func(c Counts) bool { return c.Events >= n })
}

// changed wakes those who wait. It is called with mu held.
func (s *Sink) changed() {
	if s.notify != nil {
		close(s.notify)
		s.notify = nil
	}
}
