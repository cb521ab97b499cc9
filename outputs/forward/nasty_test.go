package forward

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/outputs"
)

// TestAcksThatNothingWaitsForDoNoHarm: closing the connection would send again what the server has.
func TestAcksThatNothingWaitsForDoNoHarm(t *testing.T) {
	for name, answer := range map[string]func(last, id string) []byte{
		"twice":     func(_, id string) []byte { return append(ackOf(id), ackOf(id)...) },
		"stale":     func(last, id string) []byte { return append(ackOf(last), ackOf(id)...) },
		"unknown":   func(_, id string) []byte { return append(ackOf("AAAAAAAAAAAAAAAAAAAAAA=="), ackOf(id)...) },
		"too late":  func(last, id string) []byte { return append(ackOf(id), ackOf(last)...) },
		"keepalive": func(_, id string) []byte { return append(bytes.Repeat([]byte{0xc0}, maxStray*3/4), ackOf(id)...) },
	} {
		t.Run(name, func(t *testing.T) {
			last := ""
			p := newPeer(t, func(p *peer) {
				p.answer = func(c net.Conn, r received) error {
					_, err := c.Write(answer(last, r.id))
					last = r.id
					return err
				}
			})
			o := open(t, options(p.addr))
			var want []string
			for i := range 10 {
				pad := strings.Repeat("x", i) // batch makes ids of sizes
				a, b := fmt.Sprint(i, "a", pad), fmt.Sprint(i, "b", pad)
				want = append(want, a, b)
				mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("x", a), chunk("y", a), chunk("x", b))))
			}
			if diff := cmp.Diff(want, lines(t, "x", p.messages()...)); diff != "" {
				t.Error(diff)
			}
			for _, m := range p.messages() {
				if m.conn != 1 {
					t.Fatalf("message on connection %d, want all on one", m.conn)
				}
			}
		})
	}
}

func TestOnlyOtherAcksIsNoAck(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, _ received) error { _, err := c.Write(ackOf("other")); return err }
	})
	opts := options(p.addr)
	opts.AckTimeout = 50 * time.Millisecond
	r := open(t, opts).Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	if e := outputs.Classify(r.Err); e.Class != outputs.NoAck || !strings.Contains(e.Error(), `"other"`) {
		t.Errorf("result: %+v", r)
	}
}

func TestFloodOfAnswersEndsTheConnection(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.serve = func(c net.Conn) {
			flood := bytes.Repeat([]byte{0xc0}, 4096)
			for {
				if _, err := c.Write(flood); err != nil {
					return
				}
			}
		}
	})
	r := open(t, options(p.addr)).Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	if r.Err == nil || !strings.Contains(r.Err.Error(), "nothing waits for") {
		t.Errorf("result: %+v", r)
	}
	p.until("the connection to be closed", func() bool { return len(p.conns) == 0 })
}

// TestResetAtEveryByte resets, then closes, the connection after each number of bytes of a message.
func TestResetAtEveryByte(t *testing.T) {
	for name, end := range map[string]func(net.Conn){"reset": reset, "close": func(c net.Conn) { c.Close() }} {
		t.Run(name, func(t *testing.T) {
			var cut atomic.Int64 // 0: no more
			p := newPeer(t, func(p *peer) {
				p.serve = func(c net.Conn) {
					if cut.Load() == 0 {
						p.talk(c, 1)
						return
					}
					_, _ = io.ReadFull(c, make([]byte, cut.Load()))
					end(c)
				}
			})
			o := open(t, options(p.addr))
			b := batch(chunk("a", "1"), chunk("b", "2"))
			for n := wireSize(b); n > 0; n-- {
				cut.Store(n)
				r := o.Send(deadline(t, 5*time.Second), b)
				if e := outputs.Classify(r.Err); r.Err == nil || e.Class != outputs.Transient || !e.Written || len(r.Retry) > 0 {
					t.Fatalf("after %d bytes: %+v", n, r)
				}
				p.until("the end", func() bool { return len(p.conns) == 0 })
			}
			cut.Store(0)
			mustDeliver(t, o.Send(deadline(t, 5*time.Second), b))
		})
	}
}

// wireSize returns how many bytes a batch has on the wire.
func wireSize(b outputs.Batch) (n int64) {
	j := &job{}
	j.build(b)
	for i := range j.messages {
		m := &j.messages[i]
		n += int64(len(m.appendHead(nil, m.bytes)) + m.bytes + len(m.appendTail(nil, true, "")))
	}
	return n
}

func TestErrorsSayWhatToChange(t *testing.T) {
	withTLS := func(o *Options) { o.TLS = &tlsconf.Client{} }
	withKey := func(o *Options) { o.SharedKey = "k" }
	for name, c := range map[string]struct {
		serve func(net.Conn)
		opts  func(*Options)
		class outputs.Class
		want  []string
	}{
		"TLS server": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 0x46})
		}, nil, outputs.Held, []string{"tls: {}"}},
		"web server": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, nil, outputs.Transient, []string{"forward server"}},
		"half-closed": {func(c net.Conn) {
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}, nil, outputs.Transient, []string{"server closed the connection"}},
		"no TLS, closes":    {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, withTLS, outputs.Transient, []string{"speaks TLS"}},
		"no TLS, says none": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, withTLS, outputs.Transient, []string{"speaks TLS"}},
		"no greeting":       {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, withKey, outputs.Transient, []string{"HELO", "i/o timeout", "never greets"}},
		"no verdict": {func(c net.Conn) {
			_, _ = c.Write(handshake.Helo{Nonce: []byte("n")}.Append(nil))
			_, _ = c.Read(make([]byte, 4096))
		}, withKey, outputs.Transient, []string{"PONG: server closed the connection"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(p *peer) { p.serve = c.serve })
			opts := options(p.addr)
			opts.ConnectTimeout = 200 * time.Millisecond
			if c.opts != nil {
				c.opts(opts)
			}
			o := open(t, opts)
			for range 3 { // what ends the connection may show in different places
				r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
				e := outputs.Classify(r.Err)
				for _, want := range c.want {
					if r.Err == nil || e.Class != c.class || !strings.Contains(r.Err.Error(), want) {
						t.Errorf("class %d: %v", e.Class, r.Err)
					}
				}
			}
		})
	}
}

func TestExpiredCertificateIsNotTheCAsFault(t *testing.T) {
	e := explain(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}})
	if e.Class != outputs.Held || !strings.Contains(e.Hint, "renew") || strings.Contains(e.Hint, "ca_file") {
		t.Errorf("class %d, hint %q", e.Class, e.Hint)
	}
}

// TestRefusalAfterTheConnectGoesToTheNextServer: in TLS 1.3 a client learns that its certificate is refused only after
// the handshake, and a server that wants a shared key greets when it likes.
func TestRefusalAfterTheConnectGoesToTheNextServer(t *testing.T) {
	refuse := newPeer(t, func(p *peer) {
		p.serve = func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write(handshake.Helo{Nonce: []byte("n")}.Append(nil))
			_, _ = io.Copy(io.Discard, c)
		}
	})
	standby := newPeer(t)
	o := open(t, options(refuse.addr, standby.addr))
	for i := range 5 {
		mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", fmt.Sprint(i)), chunk("b", "x"))))
		o.servers[0].succeeded() // as after a probe, which can't see the refusal
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, lines(t, "a", standby.messages()...)); diff != "" {
		t.Error(diff)
	}
	r := open(t, options(refuse.addr)).Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	if e := outputs.Classify(r.Err); e.Class != outputs.Held || !strings.Contains(e.Hint, "shared_key") {
		t.Errorf("without another server: %+v", r)
	}
}

// slowGoodbye is a connection that can't be closed quickly, as that of TLS with a peer that doesn't read.
type slowGoodbye struct {
	net.Conn
	closing, goOn chan struct{}
}

func (s slowGoodbye) Close() error {
	close(s.closing)
	<-s.goOn
	return nil
}

func TestAPeerThatDoesNotReadDelaysNoGoodbye(t *testing.T) {
	p := newPeer(t)
	o := open(t, options(p.addr))
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	s := o.servers[0]
	slow := slowGoodbye{closing: make(chan struct{}), goOn: make(chan struct{})}
	s.mu.Lock()
	slow.Conn = s.idle[0].net
	s.idle[0].net = slow
	s.mu.Unlock()
	s.hangUp() // would wait for ever
	<-slow.closing
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "22"))))
	close(slow.goOn)
	if err := slow.Conn.Close(); err != nil {
		t.Error(err)
	}
}
