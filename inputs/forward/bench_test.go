package forward

import (
	"context"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/record"
)

func benchmarkConn(b *testing.B, opts Options, data []byte, events int) {
	in, err := New(&opts, Env{})
	if err != nil {
		b.Fatal(err)
	}
	got := 0
	in.work = context.Background()
	in.accept = func(_ context.Context, chunks []record.Chunk) error {
		for i := range chunks {
			got += chunks[i].Events
		}
		return nil
	}
	p := &loop{data: data}
	c := newConn(in, in.set.Load(), p)
	c.win.buf = make([]byte, baseWindow)
	p.left = 1
	c.serve() // grows the buffers
	got = 0
	b.ReportAllocs()
	b.SetBytes(int64(len(data) / events))
	b.ResetTimer()
	p.at, p.left = 0, (b.N+events-1)/events
	want := p.left * events
	c.serve()
	if got != want {
		b.Fatalf("%d events, want %d", got, want)
	}
}

// A loop yields its data left times, in reads as large as asked for.
type loop struct {
	pipe
	data     []byte
	at, left int
}

func (l *loop) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, eof
	}
	n := copy(p, l.data[l.at:])
	if l.at += n; l.at == len(l.data) {
		l.at = 0
		l.left--
	}
	return n, nil
}

// BenchmarkDocker300 is bytes to chunks for Docker's messages of about 300 bytes.
func BenchmarkDocker300(b *testing.B) {
	var data []byte
	const n = 4000
	for range n {
		data = append(data, docker("app-firelens-0123456789abcdef", strings.Repeat("x", 138), []byte{0x80})...)
	}
	b.Logf("%d bytes per message", len(data)/n)
	benchmarkConn(b, testOptions(), data, n)
}

// BenchmarkPackedForward is bytes to chunks for PackedForward messages of 64 KiB and of 2 MiB.
func BenchmarkPackedForward(b *testing.B) {
	entry := cat(0x92, now0(), kv("log", strings.Repeat("x", 200), "stream", "stdout", "kubernetes", kv("pod_name", "web-1", "namespace_name", "default")))
	for name, count := range map[string]int{"64KiB": 220, "2MiB": 7000} {
		b.Run(name, func(b *testing.B) {
			msg := cat(0x93, "kube.web", bin(strings.Repeat(string(entry), count)), kv("size", u32(uint32(count))))
			benchmarkConn(b, testOptions(), msg, count)
		})
	}
}
