package forward

import (
	"math/rand/v2"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// Waits before a server that is down is probed. One that connects but doesn't move, acknowledge or let us in is probed rarely:
// each time that it is believed to be up costs a Send its whole timeout.
const (
	probeFirst       = time.Second
	probeMax         = 3 * time.Second
	probeSilentFirst = 30 * time.Second
	probeSilentMax   = 5 * time.Minute
)

// failed marks the server as down after a Send, and starts probing when there is another one to use meanwhile. Of a
// single server the destination's own attempts find out.
func (s *server) failed(problem *outputs.Error, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = problem
	if !s.down {
		first, most := probeFirst, probeMax
		if silent {
			first, most = probeSilentFirst, probeSilentMax
		}
		s.wait = min(max(2*s.wait, first), most)
		s.change(func() { s.down = true })
	}
	if !s.probing && !s.closed && len(s.o.servers) > 1 {
		s.probing = true
		s.o.probes.Go(s.probe)
	}
}

// succeeded marks the server as up after a Send.
func (s *server) succeeded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = 0
	s.up()
	s.alive()
}

// up is called with the lock held.
func (s *server) up() {
	if s.down {
		s.change(func() { s.down, s.problem = false, nil })
	}
}

// probe connects (with TLS and handshake) now and then until the server is up, and leaves the connection in the pool.
// The server is up then, but its next failure makes it wait longer: only a Send that succeeds proves it well.
func (s *server) probe() {
	for s.pause() {
		c, err := s.o.dial(s.o.closing, s)
		s.mu.Lock()
		if err == nil {
			s.up()
			s.probing = false
			s.mu.Unlock()
			s.put(c)
			return
		}
		if s.down {
			s.problem = failure(s, err, false)
			s.wait = min(max(2*s.wait, probeFirst), probeMax)
		}
		s.mu.Unlock()
	}
}

// pause waits before the next probe. It returns false when none is needed any more.
func (s *server) pause() bool {
	s.mu.Lock()
	wait := s.wait
	s.mu.Unlock()
	t := time.NewTimer(wait*3/4 + rand.N(wait/2+1)) // the hosts must not come all at once
	defer t.Stop()
	closing := false
	select {
	case <-t.C:
	case <-s.o.closing.Done():
		closing = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if closing || !s.down {
		s.probing = false
		return false
	}
	return true
}
