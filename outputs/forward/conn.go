package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
)

// A conn is a connection that is ready for messages. One goroutine sends on it; one of its own reads, from the start
// to the end, so that acknowledgements never wait for the writer, and a peer that leaves is noticed while idle.
type conn struct {
	server *server
	raw    net.Conn // closed to abort: that of TLS may wait for the peer
	net    net.Conn // raw, or TLS on it
	single bool     // the server wants one message per connection
	expiry time.Time
	idle   time.Time // since when, in the pool

	timer *time.Timer   // of the sender
	wake  chan struct{} // something was acknowledged
	ended chan struct{} // closed when nothing is read any more

	mu     sync.Mutex
	flight []*message // what is being sent
	next   int        // index in flight where the next acknowledgement is expected
	left   int        // how many are not acknowledged
	stray  int        // bytes of answers that nothing waited for, since the last that something did
	other  string     // the last id that is not of a message in flight
	err    error      // why reading ended
	buf    []byte     // read but not parsed, only for the reader
}

// dial connects to s and makes the connection ready, all within the connect timeout. It takes at most half of the time
// that ctx leaves: there must be some for sending, or for another server.
func (o *output) dial(ctx context.Context, s *server) (*conn, error) {
	timeout := o.opts.ConnectTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := o.dialer.DialContext(ctx, s.address.network, s.address.text)
	if err != nil {
		return nil, err
	}
	c := &conn{
		server: s, raw: raw, net: raw,
		timer: time.NewTimer(0),
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		buf:   make([]byte, 0, maxAnswer),
	}
	limit, _ := ctx.Deadline()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	if err = raw.SetDeadline(limit); err == nil {
		err = o.prepare(ctx, c)
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if !stop() {
		if cause := ctx.Err(); err == nil {
			err = cause
		} else if !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	if age := o.opts.MaxConnectionAge; age > 0 {
		c.expiry = time.Now().Add(age - age/10 + rand.N(age/5+1))
	}
	o.conns.Go(c.read)
	return c, nil
}

// prepare does TLS and the shared-key handshake.
func (o *output) prepare(ctx context.Context, c *conn) error {
	if o.tls != nil {
		conf, err := o.tlsConfig()
		if err != nil {
			return err
		}
		if conf.ServerName == "" {
			conf = conf.Clone()
			conf.ServerName = c.server.address.host
		}
		t := tls.Client(c.raw, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			err = fmt.Errorf("do TLS handshake: %w", err)
			if hungUp(err) || silent(err) {
				return &outputs.Error{Err: err, Hint: "check that the server speaks TLS on this port"}
			}
			return err
		}
		c.net = t
	}
	if o.opts.SharedKey == "" && o.opts.Username == "" {
		return nil
	}
	return o.shakeHands(c)
}

// tlsConfig reads the files when they have changed, or could not be read before.
func (o *output) tlsConfig() (*tls.Config, error) {
	conf, err := o.tls.Config()
	if err != nil {
		return nil, &outputs.Error{Class: outputs.Held, Err: err, Hint: "the files under tls must be there, readable by the router, and belong together; they are read again at each attempt"}
	}
	return conf, nil
}

// Verify implements outputs.Verifier: it reads the TLS files.
func (o *output) Verify() error {
	if o.tls == nil {
		return nil
	}
	_, err := o.tlsConfig()
	return err
}

// shakeHands proves both sides to each other. What the server sends behind its verdict stays for the reader.
func (o *output) shakeHands(c *conn) error {
	helo, err := receive(c, handshake.ParseHelo)
	if err != nil {
		err = fmt.Errorf("wait for the server's HELO: %w", err)
		if silent(err) {
			return &outputs.Error{Err: err, Hint: "a server without a shared key never greets: remove shared_key and username if it has none"}
		}
		return err
	}
	c.single = !helo.Keepalive
	ping := handshake.Ping{Host: o.opts.SelfHostname, Salt: handshake.NewSalt()}
	key := o.opts.SharedKey.Reveal()
	ping.Digest = handshake.SharedKeyDigest(ping.Salt, ping.Host, helo.Nonce, key)
	if len(helo.Auth) > 0 {
		if o.opts.Username == "" {
			return &outputs.Error{Class: outputs.Held, Err: errors.New("server asks for a user"), Hint: "set username and password"}
		}
		ping.User = o.opts.Username
		ping.Password = handshake.PasswordDigest(helo.Auth, ping.User, o.opts.Password.Reveal())
	}
	if _, err := c.net.Write(ping.Append(nil)); err != nil {
		return fmt.Errorf("send PING: %w", err)
	}
	pong, err := receive(c, handshake.ParsePong)
	switch {
	case err != nil:
		return fmt.Errorf("wait for the server's PONG: %w", err)
	case !pong.OK:
		return refused(pong.Reason)
	case !handshake.Equal(pong.Digest, handshake.SharedKeyDigest(ping.Salt, pong.Host, helo.Nonce, key)):
		return &outputs.Error{Class: outputs.Held, Err: errors.New("server can't prove that it knows the shared key"), Hint: "check shared_key and that the address is the right one"}
	}
	return nil
}

func refused(reason string) error {
	hint := "the server's log says more"
	switch reason {
	case handshake.ReasonKey:
		hint = "shared_key must be the server's"
	case handshake.ReasonUser:
		hint = "check username and password"
	}
	return &outputs.Error{Class: outputs.Held, Err: fmt.Errorf("server refuses the handshake: %.200q", reason), Hint: hint}
}

// receive reads one message of the handshake.
func receive[T any](c *conn, parse func([]byte) (T, int, error)) (T, error) {
	for {
		if len(c.buf) > 0 {
			v, n, err := parse(c.buf)
			if err == nil {
				c.buf = c.buf[:copy(c.buf, c.buf[n:])]
				return v, nil
			}
			if !errors.Is(err, mp.ErrShort) {
				return v, err
			}
		}
		if len(c.buf) == cap(c.buf) { // the parser has the bound
			c.buf = append(make([]byte, 0, 2*handshake.MaxSize), c.buf...)
		}
		n, err := c.net.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if n == 0 && err != nil {
			var none T
			return none, ended(err)
		}
	}
}

// read takes acknowledgements until the connection ends, and then frees it.
func (c *conn) read() {
	err := c.readAcks()
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.raw.Close()
	close(c.ended)
	c.server.forget(c)
}

func (c *conn) readAcks() error {
	from := c.net
	for {
		used := 0
		for used < len(c.buf) {
			id, n, err := parseAck(c.buf[used:])
			if errors.Is(err, mp.ErrShort) {
				break
			}
			if err == nil {
				err = c.acknowledge(id, n)
			}
			if err != nil {
				return err
			}
			used += n
		}
		c.buf = c.buf[:copy(c.buf, c.buf[used:])]
		if len(c.buf) >= maxAnswer {
			return fmt.Errorf("read acknowledgement: answer is larger than %d bytes", maxAnswer)
		}
		n, err := from.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if n == 0 && errors.Is(err, io.EOF) {
			return fmt.Errorf("server closed the connection: %w", err)
		}
		if n == 0 && err != nil {
			return err
		}
	}
}

// acknowledge marks the message with the id of an answer of size bytes. They may come in any order; usually it is the
// order of sending. What nothing waits for (a keep-alive without an id, an acknowledgement that comes twice) does no
// harm, but there is a bound.
func (c *conn) acknowledge(id []byte, size int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := id == nil
	for i := range c.flight {
		k := (c.next + i) % len(c.flight)
		m := c.flight[k]
		if string(m.id[:]) != string(id) {
			continue
		}
		if m.state == waiting {
			m.state = done
			c.next, c.stray = k+1, 0
			c.left--
			select {
			case c.wake <- struct{}{}:
			default:
			}
			return nil
		}
		known = true
		break
	}
	if !known {
		c.other = string(id[:min(len(id), 40)])
	}
	if c.stray += size; c.stray > maxStray {
		return fmt.Errorf("read acknowledgement: %d bytes of answers that nothing waits for", c.stray)
	}
	return nil
}

// close ends the connection, whatever it is doing.
func (c *conn) close() { c.raw.Close() }

// leave ends an idle connection. With TLS it says goodbye, which waits up to 5 s for a peer that doesn't read (without
// acknowledgements there may be one): nobody waits for that.
func (c *conn) leave() {
	if c.net == c.raw {
		c.close()
		return
	}
	c.server.o.conns.Go(func() { c.net.Close() })
}

// usable reports whether the connection may take another batch now.
func (c *conn) usable(now time.Time) bool {
	select {
	case <-c.ended:
		return false
	default:
	}
	return !c.single && (c.expiry.IsZero() || now.Before(c.expiry))
}
