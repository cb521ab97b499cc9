package sink

import "time"

type delayedAck struct {
	due   time.Time
	bytes []byte
	split bool
}

// sendAcks writes c.out, or gives it to the goroutine that writes later.
func (c *conn) sendAcks() bool {
	policy := *c.sink.acks.Load()
	if policy.Delay == 0 && !policy.Split && c.delayed == nil {
		_, err := c.rw.Write(c.out)
		c.out = c.out[:0]
		return err == nil
	}
	if c.delayed == nil { // from now on all acks of this connection go this way, so that they stay in order
		c.delayed = make(chan delayedAck, 4096)
		c.broken = make(chan struct{})
		c.sink.wg.Go(c.writeDelayed)
	}
	d := delayedAck{due: time.Now().Add(policy.Delay), bytes: append([]byte(nil), c.out...), split: policy.Split}
	c.out = c.out[:0]
	select {
	case c.delayed <- d:
		return true
	case <-c.broken:
		return false
	case <-c.mode.changed: // don't hold up a change of mode; the peer sends again what it has no ack for
		return false
	}
}

func (c *conn) writeDelayed() {
	defer close(c.broken)
	for {
		select {
		case <-c.done:
			return
		case d := <-c.delayed:
			if !c.pause(time.Until(d.due)) {
				return
			}
			if d.split {
				half := len(d.bytes) / 2
				if _, err := c.rw.Write(d.bytes[:half]); err != nil || !c.pause(5*time.Millisecond) {
					return
				}
				d.bytes = d.bytes[half:]
			}
			if _, err := c.rw.Write(d.bytes); err != nil {
				return
			}
		}
	}
}

// pause returns false when the connection ended meanwhile.
func (c *conn) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-c.done:
		return false
	case <-time.After(d):
		return true
	}
}
