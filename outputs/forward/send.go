package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// drainTime is how long the reader may go on with what the peer sent before it hung up.
const drainTime = 100 * time.Millisecond

// sendGroup sends the messages to their server and waits for the acknowledgements. A peer may close a connection
// between messages (idle for too long, one message per connection, a restart): as long as that is what happened, or
// there is progress, the rest goes over another connection at once.
func (o *output) sendGroup(ctx context.Context, j *job, g *group) {
	s := o.servers[g.index]
	for len(g.messages) > 0 {
		c, reused, err := s.get(ctx)
		if err != nil {
			g.err, g.unreachable = failure(s, err, false), true
			if ctx.Err() == nil {
				s.failed(g.err, false)
			}
			return
		}
		part := g.messages
		if c.single {
			part = part[:1]
		}
		wrote, err := o.sendOn(ctx, c, j, part)
		before := len(g.messages)
		g.messages = slices.DeleteFunc(g.messages, func(m *message) bool { return m.state == done })
		if err == nil {
			s.succeeded()
			s.put(c)
			continue
		}
		c.close()
		if len(g.messages) == 0 { // the end of ctx met the last acknowledgement
			s.succeeded()
			return
		}
		if ctx.Err() == nil && hungUp(err) && (reused || len(g.messages) < before) {
			s.hangUp() // the others are likely to be dead as well
			continue
		}
		g.err = failure(s, err, wrote > 0)
		// Who refuses us says so only after the connect in TLS 1.3 and without a shared key of ours: a probe can't see it.
		refused := g.err.Class == outputs.Held
		g.unreachable = refused
		if !errors.Is(ctx.Err(), context.Canceled) { // that is our own shutdown
			s.failed(g.err, silent(err) || refused)
		}
		return
	}
}

// sendOn writes the messages on c and waits until all are acknowledged. It returns the bytes written. After an error
// the connection is in doubt and must be closed; messages in the state done are delivered all the same.
func (o *output) sendOn(ctx context.Context, c *conn, j *job, list []*message) (int64, error) {
	w, ok := o.writers.Get().(*writer)
	if !ok {
		w = &writer{}
	}
	limit, _ := ctx.Deadline()
	w.reset(c.net, o.opts.WriteTimeout, limit)
	defer func() {
		w.reset(nil, 0, time.Time{})
		o.writers.Put(w)
	}()

	c.begin(list)
	stop := context.AfterFunc(ctx, c.close)
	err := o.writeAll(ctx, w, j, list)
	wrote := w.written
	if err == nil && o.opts.Ack {
		err = c.await(ctx, o.opts.AckTimeout)
	} else if err != nil {
		err = c.why(err)
	}
	if !stop() {
		if cause := ctx.Err(); err == nil {
			err = cause
		} else if !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	c.finish(err == nil && !o.opts.Ack)
	return wrote, err
}

func (o *output) writeAll(ctx context.Context, w *writer, j *job, list []*message) error {
	compressed := ""
	for _, m := range list {
		if o.compress != nil {
			compressed = o.compress.name
			var packErr error
			err := o.work(ctx, func() { packErr = o.compress.pack(&w.packed, j.batch.Chunks, m.chunks, m.bytes) })
			if err = errors.Join(err, packErr); err != nil {
				return err
			}
		}
		if err := w.message(m, j.batch.Chunks, o.opts.Ack, compressed); err != nil {
			return err
		}
	}
	return w.flush()
}

// begin tells the reader what is going to be sent.
func (c *conn) begin(list []*message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.next, c.left = list, 0, len(list)
	c.stray, c.other = 0, ""
	select {
	case <-c.wake:
	default:
	}
}

// finish takes the messages back from the reader.
func (c *conn) finish(written bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if written {
		for _, m := range c.flight {
			m.state = done
		}
	}
	c.flight, c.left = nil, 0
}

// await waits for the acknowledgements, each at most for timeout.
func (c *conn) await(ctx context.Context, timeout time.Duration) error {
	c.timer.Reset(timeout)
	defer c.timer.Stop()
	for {
		c.mu.Lock()
		left, err := c.left, c.err
		c.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-c.ended:
			if err != nil { // and nothing came after it
				return fmt.Errorf("wait for acknowledgement: %w", err)
			}
		default:
			select {
			case <-c.wake:
				c.timer.Reset(timeout)
			case <-c.ended:
			case <-c.timer.C:
				return c.overdue("within " + timeout.String())
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					return c.overdue("until the end of the attempt")
				}
				return ctx.Err()
			}
		}
	}
}

// overdue says how many messages wait for their acknowledgement, and since when.
func (c *conn) overdue(when string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.other != "" {
		return fmt.Errorf("%w of %d messages %s, but one of %q", errNoAck, c.left, when, c.other)
	}
	return fmt.Errorf("%w of %d messages %s", errNoAck, c.left, when)
}

// why returns what the reader found, when it says more than the error of a write: what the server sent before it hung
// up. It also gives the reader the time to take the last acknowledgements.
func (c *conn) why(err error) error {
	if !hungUp(err) {
		return err
	}
	c.timer.Reset(drainTime)
	defer c.timer.Stop()
	select {
	case <-c.ended:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil && (!hungUp(c.err) || errors.Is(err, net.ErrClosed)) { // closed by the reader, after that
			return c.err
		}
	case <-c.timer.C:
	}
	return err
}
