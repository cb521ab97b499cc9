package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/google/go-cmp/cmp"
)

func TestSendGroupsByTagAndPassesBytesThrough(t *testing.T) {
	p := newPeer(t)
	o := open(t, options(p.addr))
	a1, b1, a2 := chunk("a", "1", "2"), chunk("b", "x"), chunk("a", "3")
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(a1, b1, a2)))
	got := p.messages()
	if len(got) != 2 {
		t.Fatalf("got %d messages, want one for each tag", len(got))
	}
	want := string(a1.Data) + string(a2.Data)
	if got[0].tag != "a" || string(got[0].data) != want || got[0].size != 3 || len(got[0].id) != idSize {
		t.Errorf("first message: %+v", got[0])
	}
	if got[1].tag != "b" || string(got[1].data) != string(b1.Data) {
		t.Errorf("second message: %+v", got[1])
	}
}

func TestMessagesAreBounded(t *testing.T) {
	p := newPeer(t)
	o := open(t, options(p.addr))
	c := chunk("a", strings.Repeat("x", 400<<10))
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(c, c, c, c, c)))
	for _, m := range p.messages() {
		if len(m.data) > maxMessage {
			t.Errorf("message of %d bytes", len(m.data))
		}
	}
	if n := len(p.messages()); n != 3 {
		t.Errorf("got %d messages, want 3", n)
	}
	big := chunk("b", strings.Repeat("y", 3<<20)) // one event larger than a message
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(big)))
	if m := p.messages()[3]; string(m.data) != string(big.Data) {
		t.Errorf("large event arrived as %d bytes, want %d", len(m.data), len(big.Data))
	}
}

func TestIDIsTheSameAtEveryAttempt(t *testing.T) {
	fail := true
	p := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, r received) error {
			if fail {
				fail = false
				reset(c)
				return io.EOF
			}
			return acknowledge(c, r)
		}
	})
	o := open(t, options(p.addr))
	b := batch(chunk("a", "1"))
	r := o.Send(deadline(t, 5*time.Second), b)
	var e *outputs.Error
	if !errors.As(r.Err, &e) || !e.Written || len(r.Retry) != 0 {
		t.Fatalf("first attempt: %+v", r)
	}
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), b))
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "other"))))
	m := p.messages()
	if m[0].id != m[1].id || m[1].id == m[2].id {
		t.Errorf("ids: %q, again %q, other events %q", m[0].id, m[1].id, m[2].id)
	}
}

func TestAcksInAnyFormAndOrder(t *testing.T) {
	for _, how := range []string{"byte by byte", "all in one segment", "backwards", "other keys and keep-alives"} {
		t.Run(how, func(t *testing.T) {
			var ids []string
			p := newPeer(t, func(p *peer) {
				p.answer = func(c net.Conn, r received) error {
					ids = append(ids, r.id)
					if len(ids) < 4 {
						return nil
					}
					var all []byte
					if how == "backwards" {
						slices.Reverse(ids)
					}
					for _, id := range ids {
						ack := ackOf(id)
						if how == "other keys and keep-alives" {
							ack = append([]byte{0xc0, 0x82, 0xa1, 'x', 0x92, 1, 2}, ack[1:]...)
						}
						all = append(all, ack...)
					}
					ids = nil
					if how != "byte by byte" {
						_, err := c.Write(all)
						return err
					}
					for i := range all {
						if _, err := c.Write(all[i : i+1]); err != nil {
							return err
						}
						if i%8 == 0 {
							time.Sleep(time.Millisecond) // a segment of its own
						}
					}
					return nil
				}
			})
			o := open(t, options(p.addr))
			for range 3 {
				mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"), chunk("b", "2"), chunk("c", "3"), chunk("d", "4"))))
			}
			for _, m := range p.messages() {
				if m.conn != 1 {
					t.Errorf("message on connection %d, want all on one", m.conn)
				}
			}
		})
	}
}

func TestPartlyAcknowledgedBatchReturnsTheRest(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, r received) error {
			if r.tag == "b" || r.tag == "d" {
				return nil // accepted and forgotten
			}
			return acknowledge(c, r)
		}
	})
	opts := options(p.addr)
	opts.AckTimeout = 100 * time.Millisecond
	o := open(t, opts)
	r := o.Send(deadline(t, 5*time.Second), batch(chunk("b", "1", "2"), chunk("a", "3"), chunk("b", "4"), chunk("d", "5"), chunk("c", "6")))
	if diff := cmp.Diff([]outputs.Range{{From: 0, To: 2}, {From: 3, To: 5}}, r.Retry); diff != "" {
		t.Errorf("retry: %s", diff)
	}
	var e *outputs.Error
	if !errors.As(r.Err, &e) || e.Class != outputs.NoAck || !e.Written || !strings.Contains(e.Hint, "ack: false") {
		t.Errorf("error: %#v", r.Err)
	}
	p.until("the connection to be closed", func() bool { return len(p.conns) == 0 })
}

func TestWrongAckEndsTheConnection(t *testing.T) {
	for name, answer := range map[string][]byte{
		"no ack":    {0x81, 0xa1, 'x', 1},
		"a number":  {7},
		"array":     {0x91, 1},
		"invalid":   {0xc1},
		"too large": append([]byte{0xdb, 0, 1, 0, 0}, make([]byte, 5000)...),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(p *peer) {
				p.answer = func(c net.Conn, _ received) error { _, err := c.Write(answer); return err }
			})
			o := open(t, options(p.addr))
			r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
			if r.Err == nil || len(r.Retry) > 0 || outputs.Classify(r.Err).Class != outputs.Transient {
				t.Errorf("result: %+v", r)
			}
			p.until("the connection to be closed", func() bool { return len(p.conns) == 0 })
		})
	}
}

func TestResetInMidStreamKeepsWhatWasAcknowledged(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, r received) error {
			if r.tag == "a" {
				return acknowledge(c, r)
			}
			reset(c)
			return io.EOF
		}
	})
	o := open(t, options(p.addr))
	big := strings.Repeat("x", 900<<10)
	r := o.Send(deadline(t, 5*time.Second), batch(chunk("b", big), chunk("a", "1"), chunk("c", big)))
	if diff := cmp.Diff([]outputs.Range{{From: 0, To: 1}, {From: 2, To: 3}}, r.Retry); diff != "" {
		t.Errorf("retry: %s", diff)
	}
	if e := outputs.Classify(r.Err); !e.Written || e.Class != outputs.Transient {
		t.Errorf("error: %#v", r.Err)
	}
	// The acknowledgement was progress, so that the rest was tried once more, without a.
	for _, m := range p.messages()[1:] {
		if m.tag == "a" {
			t.Error("a was sent again although it was acknowledged")
		}
	}
}

func TestServerThatClosesIdleConnectionsCostsNothing(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.answer = func(c net.Conn, r received) error {
			if err := acknowledge(c, r); err != nil {
				return err
			}
			return io.EOF // close
		}
	})
	for _, ack := range []bool{true, false} {
		opts := options(p.addr)
		opts.Ack = ack
		o := open(t, opts)
		for i := range 20 {
			before := len(p.messages())
			mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", fmt.Sprint(i)))))
			p.until("the message and the close", func() bool { return len(p.got) == before+1 && len(p.conns) == 0 })
		}
		if st := o.states()[0]; !st.Up {
			t.Errorf("status: %+v", st)
		}
	}
}

func TestNeverAcksIsBoundByTheContext(t *testing.T) {
	p := newPeer(t, func(p *peer) { p.answer = func(net.Conn, received) error { return nil } })
	o := open(t, options(p.addr))
	start := time.Now()
	r := o.Send(deadline(t, 200*time.Millisecond), batch(chunk("a", "1")))
	if e := outputs.Classify(r.Err); e.Class != outputs.NoAck || !e.Written {
		t.Errorf("error: %#v", e)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("Send took %v", d)
	}
	p.until("the connection to be closed", func() bool { return len(p.conns) == 0 })

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		p.until("a connection", func() bool { return len(p.conns) > 0 })
		cancel()
	}()
	if r := o.Send(ctx, batch(chunk("a", "1"))); !errors.Is(r.Err, context.Canceled) {
		t.Errorf("cancelled Send: %+v", r)
	}
}

func TestSlowReaderIsBound(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"by the context": time.Minute, "by the lack of progress": 150 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(p *peer) {
				p.serve = func(c net.Conn) {
					c.(*net.TCPConn).SetReadBuffer(4096)
					b := make([]byte, 1)
					for {
						if _, err := c.Read(b); err != nil {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
				}
			})
			opts := options(p.addr)
			opts.WriteTimeout = timeout
			o := open(t, opts)
			start := time.Now()
			big := chunk("a", strings.Repeat("x", 1<<20))
			limit := 10 * time.Second
			if name == "by the context" {
				limit = 300 * time.Millisecond
			}
			r := o.Send(deadline(t, limit), batch(big, big, big, big, big, big, big, big))
			if e := outputs.Classify(r.Err); e.Err == nil || !e.Written || len(r.Retry) > 0 {
				t.Errorf("result: %+v", r)
			}
			if d := time.Since(start); d > 3*time.Second {
				t.Errorf("Send took %v", d)
			}
			if o.states()[0].Up {
				t.Error("server counts as up")
			}
		})
	}
}

func TestWithoutAck(t *testing.T) {
	p := newPeer(t, func(p *peer) { p.answer = func(net.Conn, received) error { return nil } })
	opts := options(p.addr)
	opts.Ack = false
	o := open(t, opts)
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	p.until("the message", func() bool { return len(p.got) == 1 })
	if id := p.messages()[0].id; id != "" {
		t.Errorf("message asks for an acknowledgement: %q", id)
	}
}

func TestCompression(t *testing.T) {
	for _, format := range []string{"gzip", "zstd"} {
		t.Run(format, func(t *testing.T) {
			p := newPeer(t)
			opts := options(p.addr)
			opts.Compress = format
			o := open(t, opts)
			var want []string
			for i := range 3 { // the encoders are used again
				text := strings.Repeat(fmt.Sprintf("line %d ", i), 40000)
				want = append(want, text, "short")
				mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", text), chunk("b", "other"), chunk("a", "short"))))
			}
			if diff := cmp.Diff(want, lines(t, "a", p.messages()...)); diff != "" {
				t.Error(diff)
			}
			for _, m := range p.messages() {
				if m.compressed != format {
					t.Errorf("option compressed is %q", m.compressed)
				}
			}
		})
	}
}

func TestConnectionsRotateAndAreReaped(t *testing.T) {
	p := newPeer(t)
	opts := options(p.addr)
	opts.MaxConnectionAge = time.Nanosecond
	o := open(t, opts)
	for i := range 3 {
		mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", fmt.Sprint(i)))))
	}
	if m := p.messages(); m[2].conn != 3 {
		t.Errorf("third message on connection %d, want 3", m[2].conn)
	}
	opts.MaxConnectionAge, opts.IdleTimeout = 0, 50*time.Millisecond
	o = open(t, opts)
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	p.until("the idle connection to be closed", func() bool { return len(p.conns) == 0 })
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, ln)
	o := open(t, options("unix://"+path))
	for range 2 {
		mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
	}
	if n := len(p.messages()); n != 2 {
		t.Errorf("got %d messages", n)
	}
}
