package sink_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg sink.Config) *sink.Sink {
	t.Helper()
	s, err := sink.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func dial(t *testing.T, s *sink.Sink) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, s *sink.Sink, done func(sink.Counts) bool) {
	t.Helper()
	if err := s.Wait(soon(t), done); err != nil {
		t.Fatalf("%v; %+v", err, s.Counts())
	}
}

func awaitEvents(t *testing.T, s *sink.Sink, n uint64) {
	t.Helper()
	await(t, s, func(c sink.Counts) bool { return c.Events >= n })
}

func record(seq uint64) []byte {
	b := mp.AppendMap(nil, 2)
	b = mp.AppendInt(mp.AppendStr(b, "n"), 1<<40)
	text := line.Append([]byte("GET / "), line.Token{Stream: 3, Seq: seq, Micros: time.Now().UnixMicro()})
	return mp.AppendStr(mp.AppendStr(b, "log"), text)
}

func entries(from, to uint64) (b []byte) {
	for ; from < to; from++ {
		b = append(mp.AppendInt(mp.AppendArray(b, 2), 1_800_000_000), record(from)...)
	}
	return b
}

func message(seq uint64, chunk string) []byte {
	b := mp.AppendStr(mp.AppendArray(nil, 4), "app")
	b = append(mp.AppendEventTime(b, 1, 2), record(seq)...)
	return option(b, chunk, "")
}

func packed(payload []byte, chunk, compressed string) []byte {
	b := mp.AppendBin(mp.AppendStr(mp.AppendArray(nil, 3), "app"), payload)
	return option(b, chunk, compressed)
}

func option(b []byte, chunk, compressed string) []byte {
	pairs := map[string]string{}
	if chunk != "" {
		pairs["chunk"] = chunk
	}
	if compressed != "" {
		pairs["compressed"] = compressed
	}
	b = mp.AppendMap(b, len(pairs))
	for k, v := range pairs {
		b = mp.AppendStr(mp.AppendStr(b, k), v)
	}
	return b
}

func readAck(t *testing.T, c net.Conn, want string) {
	t.Helper()
	full := mp.AppendStr(mp.AppendStr(mp.AppendMap(nil, 1), "ack"), want)
	got := make([]byte, len(full))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, full) {
		t.Fatalf("ack %q, %v; want %q", got, err, full)
	}
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zs(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestAllModesCountAndAck(t *testing.T) {
	s := start(t, sink.Config{})
	c := dial(t, s)
	forward := mp.AppendArray(mp.AppendStr(mp.AppendArray(nil, 3), "app"), 10)
	forward = option(append(forward, entries(10, 20)...), "b", "")
	two := append(gz(entries(40, 45)), gz(entries(45, 50))...) // members, one after the other
	all := [][]byte{message(0, "a"), {0xc0}, forward, packed(entries(20, 30), "c", "text"), packed(zs(entries(30, 40)), "d", "zstd"), packed(two, "e\n", "gzip")}
	for i, b := range all {
		if i%2 == 0 {
			send(t, c, b)
			continue
		}
		for j := range b { // byte by byte
			send(t, c, b[j:j+1])
		}
	}
	for _, id := range []string{"a", "b", "c", "d", "e\n"} {
		readAck(t, c, id)
	}
	got := s.Counts()
	if got.Events != 41 || got.Duplicates+got.Disorder+got.Foreign+got.Invalid != 0 || got.Acks != 5 {
		t.Errorf("%+v", got)
	}
	if m := s.Missing(3, line.Range{From: 0, To: 52}); fmt.Sprint(m) != "[{1 10} {50 52}]" {
		t.Errorf("missing %v", m)
	}
	if s.Seen(3) != 41 || s.Seen(4) != 0 || s.Seen(4000) != 0 {
		t.Error("seen", s.Seen(3))
	}
	if h := s.Latency(); h.Count() != 41 || h.Max() > time.Minute {
		t.Errorf("latency: %d, max %v", h.Count(), h.Max())
	}
}

func TestDuplicatesAndDisorderOfFirstArrivalsAreCounted(t *testing.T) {
	s := start(t, sink.Config{})
	c := dial(t, s)
	for _, seq := range []uint64{0, 1, 2, 1, 2, 5, 4, 3, 6, 0} {
		send(t, c, message(seq, ""))
	}
	send(t, c, packed([]byte{0x92, 0, 0x81, 0xa3, 'l', 'o', 'g', 0xa2, 'h', 'i'}, "", ""))
	awaitEvents(t, s, 8)
	got := s.Counts()
	if got.Duplicates != 3 || got.Disorder != 2 || got.Foreign != 1 || got.FirstDisorder != "stream 3: 4 came after 5" {
		t.Errorf("%+v", got)
	}
}

func TestBrokenMessagesEndTheConnectionAndAreCounted(t *testing.T) {
	s := start(t, sink.Config{})
	for i, b := range [][]byte{{0x01}, {0x91, 0xa1, 'a'}, {0x92, 0xa1, 'a', 0x01}, {0xc1}, packed([]byte{0x93, 0, 0x80}, "x", ""), packed([]byte{0x92, 0, 0xdf, 1, 1}, "", ""),
		packed([]byte("no gzip"), "x", "gzip"), packed([]byte("no zstd"), "x", "zstd"), {0x93, 0xa1, 'a', 0xc4, 0, 0x07}} {
		c := dial(t, s)
		send(t, c, b)
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("case %d: %d bytes came back", i, n)
		}
		if got := s.Counts().Invalid; got != uint64(i+1) {
			t.Errorf("case %d: %d invalid", i, got)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	s := start(t, sink.Config{Addr: "unix://" + filepath.Join(t.TempDir(), "s")})
	c, err := net.Dial("unix", s.Addr()[len("unix://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, message(0, "a"))
	readAck(t, c, "a")
	if s.Set(sink.Fault{Mode: sink.BlackHole}) == nil {
		t.Error("a black hole on a unix socket: no error")
	}
}

func TestHandshake(t *testing.T) {
	for _, key := range []string{"secret", "wrong"} {
		s := start(t, sink.Config{SharedKey: "secret", Hostname: "agg"})
		c := dial(t, s)
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := bytes.Cut(b[:n], []byte("nonce"))
		nonce, _, err := mp.Bytes(after)
		if err != nil || len(nonce) != 16 {
			t.Fatalf("nonce %x, %v", nonce, err)
		}
		hash := func(parts ...string) string {
			h := sha512.New()
			for _, p := range parts {
				h.Write([]byte(p))
			}
			return hex.EncodeToString(h.Sum(nil))
		}
		ping := mp.AppendArray(nil, 6)
		for _, v := range []string{"PING", "me", "salt", hash("salt", "me", string(nonce), key), "", ""} {
			ping = mp.AppendStr(ping, v)
		}
		send(t, c, ping)
		want := mp.AppendStr(mp.AppendBool(mp.AppendStr(mp.AppendArray(nil, 5), "PONG"), true), "")
		want = mp.AppendStr(mp.AppendStr(want, "agg"), hash("salt", "agg", string(nonce), "secret"))
		if key == "wrong" {
			want = mp.AppendStr(mp.AppendBool(mp.AppendStr(mp.AppendArray(nil, 5), "PONG"), false), "shared_key mismatch")
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("key %q: PONG %q, %v; want %q", key, got, err, want)
		}
		if key == "wrong" {
			await(t, s, func(c sink.Counts) bool { return c.Invalid == 1 })
			continue
		}
		send(t, c, message(0, "a"))
		readAck(t, c, "a")
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(message(1, "a"))
	f.Add(packed(entries(0, 2), "b", "text"))
	f.Add(packed(gz(entries(0, 2)), "b", "gzip"))
	s, err := sink.Start(sink.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		c := dial(t, s)
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // the sink ends the connection, whatever came
	})
}
