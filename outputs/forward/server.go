package forward

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

const (
	// maxIdle bounds the connections kept to one server; there are as many as Sends at the same time.
	maxIdle = 64
	// logEvery bounds the log lines about one server.
	logEvery = 10 * time.Second
)

// A server is one peer: its idle connections and its health.
type server struct {
	o       *output
	address address
	standby bool
	weight  float64
	seed    uint64 // hash of the address

	mu     sync.Mutex
	idle   []*conn     // the newest last
	reaper *time.Timer // set while something is idle
	closed bool

	down    bool           // by a Send, or a probe
	problem *outputs.Error // the last one, while down
	since   time.Time      // of the last change between up and down or silent
	wait    time.Duration  // before the next probe; grows until a Send succeeds
	probing bool

	beats  bool // a heartbeat was answered once
	missed int  // heartbeats in a row without an answer, nor a Send that succeeded
	silent bool // too many of them

	logged     time.Time
	loggedDown bool
	later      *time.Timer // writes the line that came too soon
}

func newServer(o *output, a address, s Server) *server {
	h := fnv.New64a()
	h.Write([]byte(a.String()))
	return &server{o: o, address: a, standby: s.Standby, weight: float64(max(s.Weight, 1)), seed: h.Sum64(), since: time.Now()}
}

// score is the server's claim on a tag: of several servers the one with the highest has it. When one is missing,
// only its tags move (weighted rendezvous hashing).
func (s *server) score(tag string) float64 {
	h := s.seed
	for i := range len(tag) {
		h = (h ^ uint64(tag[i])) * 1099511628211
	}
	h ^= h >> 30 // the last steps of splitmix64 spread short tags
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	h ^= h >> 31
	unit := (float64(h>>11) + 0.5) / (1 << 53) // in (0, 1)
	return s.weight / -math.Log(unit)
}

func (s *server) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad()
}

// bad reports whether another server should be used; the lock is held.
func (s *server) bad() bool { return s.down || s.silent }

// change runs f, which changes the state, and notes when that takes the server up or down; the lock is held.
func (s *server) change(f func()) {
	before := s.bad()
	f()
	if s.bad() != before {
		s.since = time.Now()
		s.announce()
	}
}

// trouble says why the server is down; the lock is held.
func (s *server) trouble() string {
	if s.down {
		return s.problem.Error()
	}
	return fmt.Sprintf("no answer to %d %s heartbeats in a row, %v apart", missedBeats, s.o.opts.Heartbeat, s.o.opts.HeartbeatInterval)
}

// get returns an idle connection, or a new one.
func (s *server) get(ctx context.Context) (c *conn, reused bool, err error) {
	now := time.Now()
	for {
		s.mu.Lock()
		n := len(s.idle)
		if n == 0 {
			s.mu.Unlock()
			c, err = s.o.dial(ctx, s)
			return c, false, err
		}
		c = s.idle[n-1]
		s.idle = slices.Delete(s.idle, n-1, n)
		s.mu.Unlock()
		if c.usable(now) && now.Sub(c.idle) < s.o.opts.IdleTimeout && !closedByPeer(c.raw) {
			return c, true, nil
		}
		c.leave()
	}
}

// put keeps a connection for the next Send.
func (s *server) put(c *conn) {
	c.idle = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle || !c.usable(c.idle) {
		c.leave()
		return
	}
	s.idle = append(s.idle, c)
	if s.reaper == nil {
		s.reaper = time.AfterFunc(s.o.opts.IdleTimeout, s.reap)
	}
}

// reap closes what was idle for too long.
func (s *server) reap() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(c *conn) bool {
		old := now.Sub(c.idle) >= s.o.opts.IdleTimeout || !c.usable(now)
		if old {
			c.leave()
		}
		return old
	})
	s.reaper = nil
	if len(s.idle) > 0 && !s.closed {
		s.reaper = time.AfterFunc(s.idle[0].idle.Add(s.o.opts.IdleTimeout).Sub(now), s.reap)
	}
}

// forget drops a connection that ended while it was idle.
func (s *server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(o *conn) bool { return o == c })
}

// hangUp closes all idle connections.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		c.leave()
	}
	s.idle = nil
}

// close ends idle connections and timers. Connections that are put back later are closed then.
func (s *server) close() {
	s.hangUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.reaper != nil {
		s.reaper.Stop()
	}
	if s.later != nil {
		s.later.Stop()
	}
}

// ServerStatus is the state of one server.
type ServerStatus struct {
	Address string    `json:"address"`
	Standby bool      `json:"standby,omitempty"`
	Up      bool      `json:"up"`
	Error   string    `json:"error,omitempty"` // why it is down
	Since   time.Time `json:"since"`           // of the last change between up and down

	Heartbeat string `json:"heartbeat,omitempty"` // "answered", "silent" or "never answered, ignored"
}

func (s *server) status() ServerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := ServerStatus{Address: s.address.String(), Standby: s.standby, Up: !s.bad(), Since: s.since, Heartbeat: s.heartbeat()}
	if s.bad() {
		st.Error = s.trouble()
	}
	return st
}

// announce writes one line about the state, at most one in logEvery; the lock is held. A line that comes too soon is
// written later, if it is still true.
func (s *server) announce() {
	if s.closed || s.bad() == s.loggedDown {
		return
	}
	if wait := logEvery - time.Since(s.logged); wait > 0 {
		if s.later == nil {
			s.later = time.AfterFunc(wait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.later = nil
				s.announce()
			})
		}
		return
	}
	s.logged, s.loggedDown = time.Now(), s.bad()
	name := zap.Stringer("server", s.address)
	if s.bad() {
		s.o.log.Warn("server is down", name, zap.Bool("standby", s.standby), zap.String("error", s.trouble()))
	} else {
		s.o.log.Info("server is up", name, zap.Bool("standby", s.standby))
	}
}
