package forward

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"go.uber.org/zap"
)

// missedBeats is how many heartbeats in a row a server may leave unanswered before it counts as down.
const missedBeats = 5

// startHeartbeats begins with the first Send: an output that nothing is sent to has no goroutines.
func (o *output) startHeartbeats() {
	if o.opts.Heartbeat != "udp" && o.opts.Heartbeat != "tcp" {
		return
	}
	for _, s := range o.servers {
		if s.address.network == "unix" && o.opts.Heartbeat == "udp" {
			continue
		}
		o.probes.Go(s.keepBeating)
	}
}

func (s *server) keepBeating() {
	beat := s.connectOnce
	if s.o.opts.Heartbeat == "udp" {
		u := &datagrams{server: s}
		defer u.close()
		beat = u.beat
	}
	interval := s.o.opts.HeartbeatInterval
	timer := time.NewTimer(rand.N(interval)) // the hosts must not come all at once
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.o.closing.Done():
			return
		}
		timer.Reset(interval)
		ctx, cancel := context.WithTimeout(s.o.closing, interval)
		answered := beat(ctx)
		cancel()
		if s.o.closing.Err() == nil {
			s.beaten(answered)
		}
	}
}

// beaten notes what became of a heartbeat. A server that has never answered one is not judged by them: firewalls that
// let TCP through and not UDP are common, and a connect may take longer than the interval.
func (s *server) beaten(answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		s.beats = true
		s.alive()
		return
	}
	if s.missed++; s.missed != missedBeats {
		return
	}
	if !s.beats {
		s.o.log.Info("server answers no heartbeats: they are ignored", zap.Stringer("server", s.address), zap.String("heartbeat", s.o.opts.Heartbeat))
		return
	}
	s.change(func() { s.silent = true })
	for _, c := range s.idle {
		c.leave()
	}
	s.idle = nil
}

// alive ends a silence: a heartbeat was answered, or a Send succeeded. The lock is held.
func (s *server) alive() {
	s.missed = 0
	if s.silent {
		s.change(func() { s.silent = false })
	}
}

// heartbeat says what is known of a server's heartbeats; the lock is held.
func (s *server) heartbeat() string {
	switch {
	case s.silent:
		return "silent"
	case s.beats:
		return "answered"
	case s.missed >= missedBeats:
		return "never answered, ignored"
	}
	return ""
}

// connectOnce is a heartbeat over TCP: Fluentd's heartbeat_type transport. Nothing is sent.
func (s *server) connectOnce(ctx context.Context) bool {
	c, err := s.o.dialer.DialContext(ctx, s.address.network, s.address.text)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// datagrams are heartbeats over UDP: a zero byte goes to the server's port, and anything that comes back is an answer
// (Forward Protocol Specification v0, "Heartbeat message"). The name is resolved again after a beat that is not answered.
type datagrams struct {
	server *server
	conn   net.Conn // nil: to be made
}

func (d *datagrams) beat(ctx context.Context) bool {
	if d.conn == nil {
		c, err := d.server.o.dialer.DialContext(ctx, "udp", d.server.address.text)
		if err != nil {
			return false
		}
		d.conn = c
	}
	c := d.conn
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	_, err := c.Write([]byte{0})
	if err == nil {
		var answer [16]byte
		_, err = c.Read(answer[:])
	}
	if !stop() || err != nil { // a deadline may stick to it
		d.close()
	}
	return err == nil
}

func (d *datagrams) close() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}
