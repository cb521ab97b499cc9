package forward

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// An encoder of its own, so that a mistake in internal/mp can't hide on both sides.

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, str(p)...)
		case int:
			b = append(b, byte(p))
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return b
}

func str(s string) []byte {
	switch {
	case len(s) < 32:
		return append([]byte{0xa0 | byte(len(s))}, s...)
	case len(s) < 256:
		return append([]byte{0xd9, byte(len(s))}, s...)
	case len(s) < 65536:
		return append([]byte{0xda, byte(len(s) >> 8), byte(len(s))}, s...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(len(s))), s...)
}

func bin(s string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xc6}, uint32(len(s))), s...)
}

func arr(n int) []byte { return []byte{0xdc, byte(n >> 8), byte(n)} }

func kv(pairs ...any) []byte {
	return cat(0x80|len(pairs)/2, cat(pairs...))
}

func i32(v int32) []byte  { return binary.BigEndian.AppendUint32([]byte{0xd2}, uint32(v)) }
func u32(v uint32) []byte { return binary.BigEndian.AppendUint32([]byte{0xce}, v) }
func u64(v uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0xcf}, v) }
func i64(v int64) []byte  { return binary.BigEndian.AppendUint64([]byte{0xd3}, uint64(v)) }
func f64(v float64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(v))
}
func f32(v float32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0xca}, math.Float32bits(v))
}

func ext8(sec, nsec uint32) []byte { // c7 08 00
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0xc7, 8, 0}, sec), nsec)
}

func et(sec, nsec uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0xd7, 0}, sec), nsec)
}

const t0 = 1_700_000_000

func now0() []byte { return et(t0, 5) }

// docker makes a message as Docker's driver does.
func docker(tag, log string, option []byte) []byte {
	return cat(0x94, tag, now0(), kv("container_id", strings.Repeat("c", 64), "container_name", "/web", "source", "stdout", "log", log), option)
}

func dockerPiece(tag, id, log string, ordinal int, last bool, option []byte) []byte {
	return cat(0x94, tag, et(t0, uint32(ordinal)), kv("container_id", strings.Repeat("c", 64), "container_name", "/web", "source", "stdout", "log", log,
		"partial_message", "true", "partial_id", id, "partial_ordinal", fmt.Sprint(ordinal), "partial_last", fmt.Sprint(last)), option)
}

func chunkOpt(id string) []byte { return kv("chunk", id) }
func ackOf(id string) []byte    { return cat(0x81, "ack", id) }

// A sink accepts chunks and keeps a readable form of their events.
type sink struct {
	mu     sync.Mutex
	events []string // tag|time|record
	calls  int
	chunks []int // events per chunk
	sizes  []int // bytes per chunk
	err    error
	gate   chan struct{}       // closed: accept goes on
	arrive chan struct{}       // gets a token for each call
	tags   map[string][]string // events by tag
}

func newSink() *sink { return &sink{arrive: make(chan struct{}, 1<<16), tags: map[string][]string{}} }

func (s *sink) accept(ctx context.Context, chunks []record.Chunk) error {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.calls++
	for i := range chunks {
		c := &chunks[i]
		n := 0
		for it := record.Iterate(c); ; {
			if !it.Next() {
				if it.Err() != nil {
					panic(it.Err())
				}
				break
			}
			n++
			e := it.Event()
			if at := e.Time(); at.Before(c.Oldest) || at.After(c.Newest) {
				panic(fmt.Sprintf("time %v outside of %v to %v", at, c.Oldest, c.Newest))
			}
			text := fmt.Sprintf("%s|%d.%d|%s", c.Tag, e.Time().Unix(), e.Time().Nanosecond(), show(e.Record))
			s.events = append(s.events, text)
			s.tags[c.Tag] = append(s.tags[c.Tag], show(e.Record))
		}
		if n != c.Events || n == 0 {
			panic(fmt.Sprintf("chunk says %d events, holds %d", c.Events, n))
		}
		if c.Route != "" || c.Arrived.IsZero() {
			panic("route or arrival is wrong")
		}
		s.chunks = append(s.chunks, n)
		s.sizes = append(s.sizes, len(c.Data))
	}
	select {
	case s.arrive <- struct{}{}:
	default:
	}
	return nil
}

func (s *sink) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *sink) waitFor(t testing.TB, n int) []string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if got := s.list(); len(got) >= n {
			return got
		}
		select {
		case <-s.arrive:
		case <-deadline:
			t.Fatalf("waited for %d events, have %d", n, len(s.list()))
		}
	}
}

// show makes a readable form of a msgpack map: k=v pairs in order.
func show(rec []byte) string {
	var out []string
	eachPair(rec, func(k, key, v []byte) {
		name := string(k)
		if k == nil {
			name = fmt.Sprintf("%x", key)
		}
		out = append(out, name+"="+showValue(v))
	})
	return strings.Join(out, " ")
}

func showValue(v []byte) string {
	if text, ok := record.Text(v); ok {
		if len(text) > 60 {
			return fmt.Sprintf("%s…%d", text[:8], len(text))
		}
		return string(text)
	}
	return fmt.Sprintf("%x", v)
}

func testOptions() Options {
	return Options{
		Listen: []string{"tcp://127.0.0.1:0"}, MaxMessage: 64 << 20, MaxDecompressed: 256 << 20, MaxConnections: 10000,
		Memory: 16 << 20, JoinTimeout: 5 * time.Second, JoinMaxBytes: 1 << 20, UnixMode: "0660",
	}
}

type server struct {
	*Input
	sink   *sink
	cancel context.CancelFunc
	done   chan error
}

// start runs an input until the end of the test.
func start(t testing.TB, opts Options, env Env, s *sink) *server {
	t.Helper()
	if env.Shutdown.Deadline == 0 {
		env.Shutdown = config.Shutdown{Quiet: 10 * time.Millisecond, Deadline: 10 * time.Second}
	}
	in, err := New(&opts, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := &server{Input: in, sink: s, cancel: cancel, done: make(chan error, 1)}
	go func() { srv.done <- in.Run(ctx, s.accept) }()
	t.Cleanup(func() { srv.end(t) })
	return srv
}

func (s *server) end(t testing.TB) {
	t.Helper()
	s.cancel()
	s.Stop()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		s.done <- nil
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
	}
}

func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	a := s.Addrs()[0]
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := readFull(c, got)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func readFull(c net.Conn, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k, err := c.Read(p[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// expectEnd waits for the other side to close, without anything sent before.
func expectEnd(t testing.TB, c net.Conn) {
	t.Helper()
	var b [64]byte
	if n, err := c.Read(b[:]); err == nil || n > 0 || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("read %d bytes %q, %v; want the end", n, b[:n], err)
	}
}

// wait polls a condition that another goroutine makes true.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// codec feeds bytes to a connection without a network and returns the events.
func codec(t testing.TB, opts Options, feed ...[]byte) (events []string, acks []byte, in *Input, err error) {
	t.Helper()
	in, err = New(&opts, Env{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSink()
	in.accept, in.work = s.accept, context.Background()
	p := &pipe{feed: feed}
	c := newConn(in, in.set.Load(), p)
	c.win.buf = make([]byte, baseWindow)
	err = c.serve()
	c.finish(err)
	c.win.free()
	return s.list(), p.written, in, err
}

// A pipe is a connection that yields the given reads, then the end.
type pipe struct {
	net.Conn
	feed    [][]byte
	written []byte
	writes  int
}

func (p *pipe) Read(b []byte) (int, error) {
	for len(p.feed) > 0 && len(p.feed[0]) == 0 {
		p.feed = p.feed[1:]
	}
	if len(p.feed) == 0 {
		return 0, eof
	}
	n := copy(b, p.feed[0])
	p.feed[0] = p.feed[0][n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.written = append(p.written, b...)
	p.writes++
	return len(b), nil
}

func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
