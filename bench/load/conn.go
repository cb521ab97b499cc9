package load

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
)

const (
	redialWait  = 10 * time.Millisecond
	dialTimeout = 3 * time.Second // Docker's
)

// conn sends the streams of one connection, over as many sockets as it takes.
type conn struct {
	load  *Load
	kinds []Kind
	index int
	block *block

	sent counter // units [0, sent) were written completely
	next uint64  // the unit to write next; behind sent while units are sent again
	wake chan struct{}

	mu         sync.Mutex // below
	socket     net.Conn
	high       uint64      // units from here on were never written, not even in part
	low        uint64      // units [0, low) are acked
	acked      []bool      // unit u at [u%window], for units from low on
	wrote      []time.Time // the same, when they were written
	broken     bool        // the reader of acks has ended
	times      []written
	writes     hist.Hist
	ackTimes   hist.Hist
	dials      hist.Hist
	maxStall   time.Duration
	writing    time.Time // start of the write in progress
	resent     uint64
	badAcks    uint64
	reconnects uint64
	dialErrors uint64
	lastError  string
}

// written says that the units up to end (not included) were written until at.
type written struct {
	end uint64
	at  time.Time
}

func newConn(l *Load, i int) *conn {
	kinds := l.cfg.Kinds
	if !l.cfg.Mixed {
		kinds = kinds[i%len(kinds) : i%len(kinds)+1]
	}
	return &conn{load: l, index: i, kinds: kinds, block: newBlock(&l.cfg, i, kinds), wake: make(chan struct{}, 1),
		acked: make([]bool, l.cfg.Window), wrote: make([]time.Time, l.cfg.Window)}
}

func (c *conn) run(ctx context.Context) {
	p := newPacer(c)
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			c.mu.Lock()
			c.reconnects++
			c.mu.Unlock()
		}
		if !c.dial(ctx) {
			return
		}
		done := c.session(ctx, p)
		if done || c.load.cfg.NoReconnect {
			return
		}
	}
}

// dial connects, again and again, until ctx ends or the load is stopped with nothing open.
func (c *conn) dial(ctx context.Context) bool {
	network, addr := "tcp", c.load.cfg.Addr
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	d := net.Dialer{Timeout: dialTimeout}
	for {
		start := time.Now()
		s, err := d.DialContext(ctx, network, addr)
		c.mu.Lock()
		if err == nil {
			c.dials.Add(time.Since(start), 1)
			c.socket, c.broken = s, false
			c.mu.Unlock()
			return true
		}
		c.dialErrors++
		c.lastError = err.Error()
		c.mu.Unlock()
		stop := c.load.stop
		if c.load.cfg.Ack && c.outstanding() > 0 {
			stop = nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-stop:
			return false
		case <-time.After(redialWait):
		}
	}
}

// session sends over one socket. It returns false when it has to go on over another one.
func (c *conn) session(ctx context.Context, p *pacer) (done bool) {
	socket := c.socket
	var wg sync.WaitGroup
	if c.load.cfg.Ack {
		c.next = c.low // only this goroutine's readers change low, and they have ended
		wg.Go(func() { c.readAcks(socket) })
	}
	cut := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		cut()
		_ = socket.Close()
		wg.Wait()
	}()
	for {
		n, ok := p.wait(ctx)
		if !ok {
			return c.settle(ctx)
		}
		n = min(n, c.room(ctx))
		if n == 0 {
			return ctx.Err() != nil
		}
		if !c.write(socket, n, p.stamp(c.next)) {
			return ctx.Err() != nil
		}
	}
}

// room returns how many units the window leaves, waiting for at least one; 0 when the socket is broken or ctx ends.
func (c *conn) room(ctx context.Context) int {
	if !c.load.cfg.Ack {
		return len(c.block.units)
	}
	for {
		c.mu.Lock()
		room, broken := c.load.cfg.Window-int(c.next-c.low), c.broken
		c.mu.Unlock()
		if broken || ctx.Err() != nil {
			return 0
		}
		if room > 0 {
			return room
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// settle waits until everything is acked. False: the socket broke before.
func (c *conn) settle(ctx context.Context) bool {
	for c.load.cfg.Ack {
		c.mu.Lock()
		open, broken := c.sent.Load() > c.low, c.broken
		c.mu.Unlock()
		if !open || ctx.Err() != nil {
			return true
		}
		if broken {
			return false
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
	return true
}

func (c *conn) outstanding() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.Load() - c.low
}

// write writes up to n units; false when the socket failed.
func (c *conn) write(socket net.Conn, n int, stamp time.Time) bool {
	data, units := c.block.prepare(c.next, n, stamp)
	start := time.Now()
	c.mu.Lock()
	c.writing = start
	c.high = max(c.high, c.next+uint64(len(units)))
	if c.load.cfg.Ack {
		for i := range units {
			slot := (c.next + uint64(i)) % uint64(len(c.wrote))
			c.wrote[slot] = start
		}
	}
	c.mu.Unlock()

	wrote, err := socket.Write(data)

	end := time.Now()
	full := len(units)
	for full > 0 && units[full-1].end-units[0].start > wrote {
		full--
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = time.Time{}
	c.writes.Add(end.Sub(start), 1)
	c.maxStall = max(c.maxStall, end.Sub(start))
	was := c.sent.Load()
	if again := min(was, c.next+uint64(full)); again > c.next {
		c.resent += (again - c.next) * uint64(c.block.perUnit)
	}
	c.next += uint64(full)
	if c.next > was {
		c.sent.Store(c.next)
		if c.load.cfg.KeepTimes {
			c.times = append(c.times, written{c.next, end})
		}
	}
	if err != nil {
		c.lastError = err.Error()
	}
	return err == nil
}

func (c *conn) writtenAt(kind int, seq uint64) (time.Time, bool) {
	u := seq/uint64(c.block.perUnit)*uint64(c.block.kinds) + uint64(kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.times, u, func(w written, u uint64) int {
		if w.end <= u {
			return -1
		}
		return 1
	})
	if i == len(c.times) {
		return time.Time{}, false
	}
	return c.times[i].at, true
}
