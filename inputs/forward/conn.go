package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

const (
	setupTimeout = 10 * time.Second // for the TLS handshake, and for the shared-key handshake
	stallTimeout = time.Minute      // without a byte, in the middle of a message
	slowRate     = 4 << 10          // bytes per second that a message must come at while it takes shared memory
	scarceStall  = 5 * time.Second  // stallTimeout while that memory is scarce
	idleShrink   = time.Second      // without a byte, between messages: the buffer shrinks
	writeTimeout = 30 * time.Second // of one ack
	stopGrace    = time.Second      // for the rest of a message when the input stops
)

var (
	errStopped = errors.New("input is stopping")
	errIdle    = errors.New("nothing came for a while")
	errStall   = badf(errStalled, "silent for %s in the middle of a message", stallTimeout)
	errSlow    = badf(errStalled, "less than %d bytes per second of a message that takes shared memory", slowRate)
	errLook    = errors.New("it is time to look whether memory is scarce")
)

// A conn serves one connection, in one goroutine.
type conn struct {
	in   *Input
	set  *settings
	raw  net.Conn
	nc   net.Conn // raw, or TLS on it
	peer string
	win  window

	tag     string    // of the last message
	arrived time.Time // when the last bytes came
	json    bool      // the last message was JSON
	scratch []byte    // a JSON message as msgpack
	out     *batch    // nil while there is nothing in it
	flushes int       // batches that have gone out
	owns    bool      // lines may be held for this connection
	stream  bool      // in the middle of a message that is stored as it arrives

	holds bool          // a decompressor
	slack time.Duration // see slow

	setup    time.Time // deadline of a handshake; zero: there is none
	deadline bool      // a read deadline is set
	started  bool      // something was read
	ending   ending    // how it is closed

	stopBy atomic.Int64 // unix nanoseconds: stop reading at the end of the message, at the latest then; 0: go on
}

func newConn(in *Input, set *settings, nc net.Conn) *conn {
	c := &conn{in: in, set: set, raw: nc, nc: nc, peer: peerName(nc), slack: stallTimeout}
	c.win = window{base: baseWindow, budget: in.budget, who: c, ctx: in.work, source: c.read}
	return c
}

func peerName(nc net.Conn) string {
	if s := nc.RemoteAddr().String(); s != "" && s != "@" {
		return s
	}
	return nc.LocalAddr().String() // clients of a unix socket have no name
}

// run serves the connection to its end.
func (c *conn) run(conf *tls.Config) {
	defer c.nc.Close()
	err := c.prepare(conf)
	if err == nil {
		c.win.buf = make([]byte, baseWindow)
		if c.set.secured() {
			err = c.authenticate()
		}
	}
	if err == nil {
		err = c.serve()
	}
	c.finish(err)
	c.win.free()
}

// prepare does the TLS handshake.
func (c *conn) prepare(conf *tls.Config) error {
	if conf == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.in.work, setupTimeout)
	defer cancel()
	tc := tls.Server(c.nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) { // a heartbeat, or a probe of the port
			return io.EOF
		}
		if c.stopBy.Load() != 0 {
			return errStopped
		}
		return &badError{errTLS, err}
	}
	c.nc = tc
	return nil
}

// serve takes messages until the connection ends. The error is never nil.
func (c *conn) serve() error {
	for {
		if c.win.len() == 0 {
			if err := c.more(fullWindow); err != nil {
				return err
			}
		}
		n, err := c.next(c.win.bytes())
		switch {
		case err == nil:
			c.win.skip(n)
			if c.out != nil && c.out.full(c.scarce()) {
				err = c.flush()
			}
		case err == mp.ErrShort && !c.win.frame.whole:
			err = c.rest()
		default:
			// What came before the bad bytes is good, and may be acked.
			err = errors.Join(&badError{kindOf(err, errMessage), err}, c.flush())
		}
		if err != nil {
			return err
		}
	}
}

// more reads once. A connection that has been silent gives its buffer back first.
func (c *conn) more(limit int) error {
	for {
		err := c.win.fill(limit, false)
		if err != errIdle {
			return err
		}
		c.win.shrink()
	}
}

// rest reads the rest of the message at the front of the window, or stores it as it arrives when it is large.
func (c *conn) rest() error {
	for {
		done, err := c.win.frame.scan(c.win.bytes())
		if err != nil {
			return errors.Join(&badError{errMessage, err}, c.flush())
		}
		if done {
			return nil
		}
		err = c.win.fill(fullWindow, false)
		switch {
		case err == errFull || err == errMemory:
			return c.large()
		case err != nil:
			return err
		}
	}
}

// whole reads until a value of at most limit bytes is in the window, waiting for room if need be.
func (c *conn) whole(w *window, limit int) error {
	for {
		done, err := w.frame.scan(w.bytes())
		switch {
		case err != nil:
			return &badError{errMessage, err}
		case done:
			return nil
		case w.frame.pos > limit:
			return badf(errTooLarge, "event or message of more than %d bytes", limit)
		}
		switch err = w.fill(limit, true); err {
		case nil:
		case errFull:
			return badf(errTooLarge, "event or message of more than %d bytes", limit)
		case errMemory:
			return badf(errBudget, "no room in the memory budget of %d bytes for too long", c.in.budget.size())
		default:
			return err
		}
	}
}

// read is the source of the window. All that has been taken goes out before it waits.
func (c *conn) read(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	for {
		now := time.Time{} // unless it matters
		if c.partial() {
			now = time.Now()
		}
		until, late := c.patience(now)
		if c.deadline || !until.IsZero() {
			c.nc.SetReadDeadline(until)
			c.deadline = !until.IsZero()
		}
		stop := c.stopBy.Load() // looked at after the deadline was set: stop does it the other way round
		if stop != 0 {
			if !c.partial() {
				return 0, errStopped
			}
			until, late = time.Unix(0, stop), badf(errCut, "message not complete when the input stopped")
			c.nc.SetReadDeadline(until)
			c.deadline = true
		}
		n, err := c.nc.Read(p)
		if n > 0 {
			c.arrived = time.Now()
			c.started = true
			c.in.active(c.arrived)
			c.in.count.bytes.Add(uint64(n))
			if late == errLook {
				c.slow(c.arrived.Sub(now), n)
			}
			return n, nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if c.stopBy.Load() != 0 && (stop == 0 || time.Now().Before(until)) {
				continue // woken by stop
			}
			if late == errLook {
				if !c.slow(time.Since(now), 0) {
					continue
				}
				late = errSlow
			}
			return 0, late
		case err == io.EOF || err == nil:
			return 0, err
		}
		return 0, &badError{errRead, err}
	}
}

// partial reports whether a message has begun.
func (c *conn) partial() bool { return c.setup.IsZero() && (c.win.len() > 0 || c.stream) }

// slow notes that n bytes took so long, and reports whether the client is too slow. A message that takes shared memory
// may pause for stallTimeout in all, less while that memory is scarce; what comes fast enough makes good for it.
func (c *conn) slow(took time.Duration, n int) bool {
	most := stallTimeout
	if c.scarce() {
		most = scarceStall
	}
	c.slack += time.Duration(n)*(time.Second/slowRate) - took
	c.slack = min(c.slack, most)
	return c.slack <= 0
}

// patience returns until when the next read may wait, and the error when nothing has come by then.
func (c *conn) patience(now time.Time) (time.Time, error) {
	switch {
	case !c.setup.IsZero():
		return c.setup, badf(errHandshake, "no handshake within %s", setupTimeout)
	case c.partial() && (c.holds || c.win.grown()):
		return now.Add(max(0, min(c.slack, scarceStall))), errLook
	case c.partial():
		return now.Add(stallTimeout), errStall
	}
	c.slack = stallTimeout
	switch {
	case c.win.grown():
		return time.Now().Add(idleShrink), errIdle
	case c.set.opts.IdleTimeout > 0:
		return time.Now().Add(c.set.opts.IdleTimeout), io.EOF
	}
	return time.Time{}, nil
}

// stop makes the connection end at the end of the message in hand. It may be called by another goroutine.
func (c *conn) stop(by time.Time) {
	c.stopBy.Store(by.UnixNano())
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// batch returns the batch to add to.
func (c *conn) batch() *batch {
	if c.out == nil {
		c.out = batches.Get().(*batch)
	}
	return c.out
}

// scarce reports whether many share the memory, so that each should take less.
func (c *conn) scarce() bool { return c.in.budget.scarce.Load() }

// flush has the batch stored and sends the acks that are due then, each in a write of its own: one read of a client
// that takes two acks for one (fluent-logger-golang) would leave it waiting for ever.
func (c *conn) flush() error {
	b := c.out
	if b == nil {
		return nil
	}
	c.out = nil
	c.flushes++
	defer b.release(c.scarce())
	if err := c.in.deliver(c.in.work, b, c.arrived); err != nil {
		return err
	}
	start := 0
	for _, end := range b.ackEnds {
		c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.nc.Write(b.acks[start:end]); err != nil {
			return badf(errWrite, "send ack: %w", err)
		}
		c.in.count.acks.Add(1)
		start = end
	}
	return nil
}

var ackHead = []byte("\x81\xa3ack")

// An ending is how a connection is closed. A higher one takes the place of a lower one.
type ending uint8

const (
	_ ending = iota
	// A client that never asked for an ack doesn't read. It would see a plain end only after it wrote one more message
	// into it, which nobody gets (Docker's driver loses a line of each container so). With a reset its write fails at
	// once, and it sends the message on a new connection. The kernel does the same when this process is killed.
	byReset
	// A reset could overtake the last ack, and a client that has ended by itself needs none.
	byEnd
)

func (c *conn) endBy(e ending) {
	if e <= c.ending {
		return
	}
	c.ending = e
	if t, ok := c.raw.(*net.TCPConn); ok {
		linger := -1
		if e == byReset {
			linger = 0
		}
		t.SetLinger(linger)
	}
}

// ack queues the answer to a message that asks for one. The value of chunk goes back byte for byte: Fluentd's ends
// with a newline.
func (c *conn) ack(o option) {
	if o.chunk == nil {
		c.endBy(byReset)
		return
	}
	c.endBy(byEnd)
	if c.json {
		c.ackJSON(o.chunk)
		return
	}
	c.batch().addAck(ackHead, o.chunk)
}

// finish cleans up after the connection and reports how it ended.
func (c *conn) finish(err error) {
	cut := c.win.len() > 0 || c.stream
	if errors.Is(err, io.EOF) {
		c.endBy(byEnd)
	}
	c.letGo(err, cut)
	if c.out != nil { // a batch that an error left behind
		c.out.release(c.scarce())
		c.out = nil
	}
	switch {
	case errors.Is(err, errStopped):
		return
	case errors.Is(err, io.EOF):
		if !cut {
			return // heartbeats, health checks, and the end of a container
		}
		err = badf(errCut, "connection closed in the middle of a message")
	}
	kind := kindOf(err, errRead)
	if kind == errRead && !c.started {
		return // a probe of the port that resets the connection
	}
	c.in.fail(kind, c.peer, err)
}
