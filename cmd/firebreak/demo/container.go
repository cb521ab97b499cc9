package demo

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

const (
	connectPatience = 2 * time.Second
	sendPatience    = 10 * time.Second // a send that takes longer has failed
	pace            = 5 * time.Millisecond
)

// A container logs through a connection of its own to the router, one write for each line, as Docker's fluentd log
// driver does.
type container struct {
	name string
	rate int // lines per second
	late bool

	connect time.Duration // how long connecting took
	sent    [len(kinds)]atomic.Uint64
	slowest atomic.Int64 // ns that one send took
	failed  atomic.Uint64
	running atomic.Bool
	err     atomic.Value // string: why it failed
}

// open connects; Docker starts a container only after that.
func (c *container) open(addr string) (net.Conn, error) {
	began := time.Now()
	conn, err := net.DialTimeout("tcp", addr, connectPatience)
	c.connect = time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("start container %q: %w", c.name, err)
	}
	return conn, nil
}

// run logs until stop ends, at the end of a line. When kill ends, it doesn't finish the line.
func (c *container) run(stop, kill context.Context, conn net.Conn) {
	defer conn.Close()
	unhook := context.AfterFunc(kill, func() { _ = conn.Close() })
	defer unhook()
	c.running.Store(true)
	defer c.running.Store(false)
	w := newWriter(c.name)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	began := time.Now()
	var msg []byte
	for total := 0; ; {
		due := int(time.Since(began).Seconds() * float64(c.rate))
		for ; total < due && stop.Err() == nil; total++ {
			var kind int
			before := time.Now()
			msg, kind = w.next(msg[:0], before)
			if err := c.send(conn, msg); err != nil {
				if kill.Err() == nil {
					c.err.Store(err.Error())
					c.failed.Add(1)
				}
				return
			}
			w.sent[kind]++
			c.sent[kind].Store(w.sent[kind])
		}
		select {
		case <-stop.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *container) send(conn net.Conn, msg []byte) error {
	before := time.Now()
	_ = conn.SetWriteDeadline(before.Add(sendPatience))
	_, err := conn.Write(msg)
	c.slowest.Store(max(c.slowest.Load(), int64(time.Since(before))))
	return err
}

func (c *container) total() (n uint64) {
	for i := range c.sent {
		n += c.sent[i].Load()
	}
	return n
}

// sentBy returns how many lines of a kind each container has sent, under Docker's names.
func sentBy(containers []*container, kind int) map[string]uint64 {
	out := map[string]uint64{}
	for _, c := range containers {
		out["/"+c.name] = c.sent[kind].Load()
	}
	return out
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}
