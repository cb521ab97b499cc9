package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is one message as the server saw it.
type received struct {
	conn       int // number of the connection, from 1
	tag        string
	data       []byte // unpacked
	id         string
	size       int64
	compressed string
}

// A peer is a forward server whose answers a test decides.
type peer struct {
	t      testing.TB
	ln     net.Listener
	addr   string
	answer func(c net.Conn, r received) error // nil: acknowledge
	greet  func(c net.Conn) error             // the server's side of a handshake
	serve  func(c net.Conn)                   // instead of all that

	mu    sync.Mutex
	cond  *sync.Cond
	got   []received
	conns map[net.Conn]int
	count int
	wg    sync.WaitGroup
}

func newPeer(t testing.TB, change ...func(*peer)) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startPeer(t, ln, change...)
}

func startPeer(t testing.TB, ln net.Listener, change ...func(*peer)) *peer {
	p := &peer{t: t, ln: ln, addr: ln.Addr().String(), conns: map[net.Conn]int{}}
	p.cond = sync.NewCond(&p.mu)
	for _, f := range change {
		f(p)
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

func withTLS(conf *tls.Config) func(*peer) {
	return func(p *peer) { p.ln = tls.NewListener(p.ln, conf) }
}

func (p *peer) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.count++
		n := p.count
		p.conns[c] = n
		p.cond.Broadcast()
		p.mu.Unlock()
		p.wg.Go(func() {
			defer func() {
				c.Close()
				p.mu.Lock()
				delete(p.conns, c)
				p.cond.Broadcast()
				p.mu.Unlock()
			}()
			if p.serve != nil {
				p.serve(c)
				return
			}
			p.talk(c, n)
		})
	}
}

func (p *peer) talk(c net.Conn, n int) {
	if p.greet != nil {
		if err := p.greet(c); err != nil {
			return
		}
	}
	var buf []byte
	chunk := make([]byte, 64<<10)
	for {
		size, err := mp.Skip(buf)
		if err != nil {
			k, err := c.Read(chunk)
			if err != nil {
				return
			}
			buf = append(buf, chunk[:k]...)
			continue
		}
		r, err := parseMessage(buf[:size])
		if err != nil {
			p.t.Errorf("server got a bad message: %v", err)
			return
		}
		r.conn = n
		buf = buf[size:]
		p.mu.Lock()
		p.got = append(p.got, r)
		p.cond.Broadcast()
		p.mu.Unlock()
		answer := p.answer
		if answer == nil {
			answer = acknowledge
		}
		if err := answer(c, r); err != nil {
			return
		}
	}
}

func parseMessage(b []byte) (r received, err error) {
	n, i, err := mp.ArrayHeader(b)
	if err != nil || n != 3 {
		return r, fmt.Errorf("array of %d: %v", n, err)
	}
	tag, k, err := mp.Bytes(b[i:])
	if err != nil {
		return r, err
	}
	r.tag, i = string(tag), i+k
	if !mp.IsBin(b[i]) {
		return r, fmt.Errorf("entries are not a bin but %#x", b[i])
	}
	data, k, err := mp.Bytes(b[i:])
	if err != nil {
		return r, err
	}
	i += k
	pairs, k, err := mp.MapHeader(b[i:])
	if err != nil {
		return r, err
	}
	i += k
	for range pairs {
		key, k, err := mp.Bytes(b[i:])
		if err != nil {
			return r, err
		}
		i += k
		if string(key) == "size" {
			if r.size, k, err = mp.Int(b[i:]); err != nil {
				return r, err
			}
			i += k
			continue
		}
		v, k, err := mp.Bytes(b[i:])
		if err != nil {
			return r, err
		}
		i += k
		switch string(key) {
		case "chunk":
			r.id = string(v)
		case "compressed":
			r.compressed = string(v)
		case "probe":
		default:
			return r, fmt.Errorf("unknown option %q", key)
		}
	}
	r.data, err = unpack(data, r.compressed)
	return r, err
}

func unpack(data []byte, format string) ([]byte, error) {
	switch format {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return bytes.Clone(data), nil
}

func ackOf(id string) []byte {
	return mp.AppendStr(mp.AppendStr([]byte{0x81}, "ack"), id)
}

func acknowledge(c net.Conn, r received) error {
	if r.id == "" {
		return nil
	}
	_, err := c.Write(ackOf(r.id))
	return err
}

// reset ends a connection with a RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// stop closes the listener and resets all connections, as a killed server does.
func (p *peer) stop() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		reset(c)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// restart listens again on the same address.
func (p *peer) restart() *peer {
	p.t.Helper()
	var ln net.Listener
	var err error
	for range 50 {
		if ln, err = net.Listen("tcp", p.addr); err == nil {
			return startPeer(p.t, ln)
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatal(err)
	return nil
}

// until waits for a condition on the peer's state.
func (p *peer) until(what string, ok func() bool) {
	p.t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { p.cond.Broadcast() })
	defer timer.Stop()
	start := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if time.Since(start) > 9*time.Second {
			p.t.Fatalf("gave up waiting for: %s", what)
		}
		p.cond.Wait()
	}
}

// messages returns what came so far.
func (p *peer) messages() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.got...)
}

// lines returns the texts of all events of a tag, in the order of arrival.
func lines(t testing.TB, tag string, all ...received) []string {
	t.Helper()
	var out []string
	for _, r := range all {
		if r.tag != tag {
			continue
		}
		c := record.Chunk{Data: r.data}
		it := record.Iterate(&c)
		for it.Next() {
			v, ok := record.Text(record.ParsePath("log").Lookup(it.Event().Record))
			if !ok {
				t.Errorf("event without a text: % x", it.Event().Raw)
			}
			out = append(out, string(v))
		}
		if it.Err() != nil {
			t.Error(it.Err())
		}
	}
	return out
}

// chunk makes a chunk of one event for each text.
func chunk(tag string, texts ...string) record.Chunk {
	c := record.Chunk{Tag: tag, Events: len(texts)}
	for _, s := range texts {
		rec := mp.AppendStr(mp.AppendStr([]byte{0x81}, "log"), s)
		c.Data = record.AppendEntry(c.Data, time.Unix(1700000000, 5), rec)
	}
	return c
}

// batch makes a batch whose ids are made from the tag and the text.
func batch(chunks ...record.Chunk) outputs.Batch {
	b := outputs.Batch{Chunks: chunks}
	for i, c := range chunks {
		var id outputs.ChunkID
		copy(id[:], fmt.Sprintf("%d/%d/%s", i, len(c.Data), c.Tag))
		b.IDs = append(b.IDs, id)
		b.Events += c.Events
	}
	return b
}

// options returns the defaults of the configuration, with short waits.
func options(servers ...string) *Options {
	o := &Options{
		Ack: true, AckTimeout: 5 * time.Second, ConnectTimeout: 3 * time.Second, WriteTimeout: 5 * time.Second,
		IdleTimeout: time.Minute, MaxConnectionAge: 10 * time.Minute, Compress: "none", SelfHostname: "me",
	}
	for i, s := range servers {
		o.Servers = append(o.Servers, Server{Address: s, Standby: i > 0})
	}
	return o
}

func open(t testing.TB, o *Options) *output {
	t.Helper()
	out, err := o.Open(outputs.Env{Name: "test", Host: "me", Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := out.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return out.(*output)
}

func deadline(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func mustDeliver(t testing.TB, r outputs.Result) {
	t.Helper()
	if r.Err != nil || len(r.Retry) > 0 || len(r.Dead) > 0 {
		t.Fatalf("not everything was delivered: %+v", r)
	}
}
