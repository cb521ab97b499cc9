package load

import (
	"errors"
	"net"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/internal/mp"
)

var errAck = errors.New("read ack: not a map with one pair")

// readAcks reads acks until the socket fails.
func (c *conn) readAcks(socket net.Conn) {
	buf := make([]byte, 64<<10)
	have := 0
	var err error
	for err == nil {
		var n int
		n, err = socket.Read(buf[have:])
		have += n
		at, now := 0, time.Now()
		for at < have {
			id, size, e := parseAck(buf[at:have])
			if errors.Is(e, mp.ErrShort) {
				break
			}
			if e != nil {
				err = e
				break
			}
			c.ack(id, now)
			at += size
		}
		have = copy(buf, buf[at:have])
		if have == len(buf) {
			err = errAck
		}
		c.signal()
	}
	c.mu.Lock()
	c.broken = true
	c.lastError = err.Error()
	c.mu.Unlock()
	_ = socket.Close() // ends a write in progress
	c.signal()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// parseAck reads {"ack": id}.
func parseAck(b []byte) (id []byte, size int, err error) {
	pairs, at, err := mp.MapHeader(b)
	if err != nil {
		return nil, 0, err
	}
	if pairs != 1 {
		return nil, 0, errAck
	}
	key, n, err := mp.Bytes(b[at:])
	if err != nil {
		return nil, 0, err
	}
	at += n
	if string(key) != "ack" {
		return nil, 0, errAck
	}
	id, n, err = mp.Bytes(b[at:])
	return id, at + n, err
}

func (c *conn) ack(id []byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := chunkUnit(id)
	window := uint64(len(c.acked))
	switch {
	case !ok || u >= c.high || u >= c.low+window:
		c.badAcks++
		return
	case u < c.low || c.acked[u%window]:
		if c.reconnects == 0 { // nothing was sent twice
			c.badAcks++
		}
		return
	}
	c.acked[u%window] = true
	c.ackTimes.Add(now.Sub(c.wrote[u%window]), 1)
	for c.acked[c.low%window] {
		c.acked[c.low%window] = false
		c.low++
	}
}

// streams returns what was sent and acked. Acks may come out of order: beyond low, each unit is looked at.
func (c *conn) streams() []Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := c.sent.Load()
	per := uint64(c.block.perUnit)
	out := make([]Stream, len(c.kinds))
	for i, k := range c.kinds {
		out[i] = Stream{Number: c.load.cfg.FirstStream + c.index*len(c.kinds) + i, Kind: k, Tag: c.load.cfg.Tag(c.index, k), Sent: c.block.eventsOf(i, sent)}
		if !c.load.cfg.Ack {
			continue
		}
		if n := c.block.eventsOf(i, c.low); n > 0 {
			out[i].Acked = append(out[i].Acked, line.Range{To: n})
		}
	}
	window := uint64(len(c.acked))
	for u := c.low + 1; u < c.low+window; u++ {
		if c.acked[u%window] {
			s := &out[u%uint64(len(c.kinds))]
			first := u / uint64(len(c.kinds)) * per
			s.Acked = append(s.Acked, line.Range{From: first, To: first + per})
		}
	}
	return out
}
