package destination

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// A quiet output discards everything at once.
type quiet struct{ shape outputs.Shape }

func (q quiet) Shape() outputs.Shape                             { return q.shape }
func (quiet) Send(context.Context, outputs.Batch) outputs.Result { return outputs.Result{} }
func (quiet) Close(context.Context) error                        { return nil }

func benchDestination(buf buffer.Buffer, shape outputs.Shape, workers int) *Destination {
	return New(Options{
		Name: "bench", Buffer: buf, Output: quiet{shape}, Workers: workers, Pool: NewPool(), Log: zap.NewNop(),
		Retry: Retry{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Timeout: time.Minute},
	})
}

func benchChunk(tag string, events int) record.Chunk {
	var data []byte
	for range events {
		rec := append([]byte{0x81, 0xa3, 'l', 'o', 'g', 0xd9, 200}, make([]byte, 200)...)
		data = record.AppendEntry(data, time.Unix(1, 0), rec)
	}
	return record.Chunk{Tag: tag, Route: "r", Arrived: time.Unix(1, 0), Oldest: time.Unix(1, 0), Newest: time.Unix(1, 0), Events: events, Data: data}
}

// BenchmarkDeliver is the whole way from Append through a buffer in memory to an output that does nothing.
func BenchmarkDeliver(b *testing.B) {
	for _, events := range []int{1, 200} {
		for _, workers := range []int{1, 4} {
			b.Run(fmt.Sprintf("events=%d/workers=%d", events, workers), func(b *testing.B) {
				buf := buffer.OpenMemory(buffer.MemoryOptions{Name: "bench", OnFull: buffer.Block})
				d := benchDestination(buf, outputs.Shape{MaxBytes: 2 << 20}, workers)
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan struct{})
				go func() { d.Run(ctx); close(ended) }()
				chunks := make([]record.Chunk, 64)
				for i := range chunks {
					chunks[i] = benchChunk(fmt.Sprintf("app.%d", i%8), events)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for sent := 0; sent < b.N; sent += events * len(chunks) {
					if err := d.Append(ctx, chunks); err != nil {
						b.Fatal(err)
					}
				}
				for d.buf.Stats().Buffered > 0 {
					time.Sleep(50 * time.Microsecond)
				}
				b.StopTimer()
				stop()
				<-ended
				_ = d.Close(context.Background())
			})
		}
	}
}

// BenchmarkBuffer is Append, TryNext and Deliver alone: what of BenchmarkDeliver is the buffer's.
func BenchmarkBuffer(b *testing.B) {
	for _, events := range []int{1, 200} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			buf := buffer.OpenMemory(buffer.MemoryOptions{Name: "bench"})
			chunks := make([]record.Chunk, 64)
			for i := range chunks {
				chunks[i] = benchChunk(fmt.Sprintf("app.%d", i%8), events)
			}
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += events * len(chunks) {
				if err := buf.Append(context.Background(), chunks); err != nil {
					b.Fatal(err)
				}
				for l := buf.TryNext(); l != nil; l = buf.TryNext() {
					l.Deliver()
				}
			}
		})
	}
}

// A stack is a source of leases without a buffer: ending them costs nothing.
type stack struct {
	leases []buffer.Lease
	next   int
	stop   func()
}

func (s *stack) Next(ctx context.Context) (*buffer.Lease, error) {
	if l := s.TryNext(); l != nil {
		return l, nil
	}
	s.stop()
	return nil, ctx.Err()
}

func (s *stack) TryNext() *buffer.Lease {
	if s.next == len(s.leases) {
		return nil
	}
	s.next++
	return &s.leases[s.next-1]
}

// BenchmarkWorker is a worker alone, without a buffer.
func BenchmarkWorker(b *testing.B) {
	upper := func(dst []byte, e record.Event) ([]byte, error) { return append(dst, e.Record...), nil }
	for _, c := range []struct {
		name   string
		events int
		shape  outputs.Shape
	}{
		{"pass/events=1", 1, outputs.Shape{MaxBytes: 2 << 20}},
		{"pass/events=200", 200, outputs.Shape{MaxBytes: 2 << 20}},
		{"encode/events=1", 1, outputs.Shape{MaxBytes: 2 << 20, Encode: upper}},
		{"encode/events=200", 200, outputs.Shape{MaxBytes: 2 << 20, Encode: upper}},
		{"key/events=1", 1, outputs.Shape{MaxBytes: 2 << 20, Encode: upper, Key: tagKey{}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			src := &stack{stop: stop}
			parts := make([]record.Chunk, 8)
			for i := range parts {
				parts[i] = benchChunk(fmt.Sprintf("app.%d", i), c.events)
			}
			n := b.N/c.events + 1
			src.leases = make([]buffer.Lease, n)
			for i := range src.leases {
				src.leases[i] = buffer.Lease{ID: buffer.ID{First: uint64(i * c.events), Events: c.events}, Chunk: parts[i%8]}
			}
			w := newWorker(benchDestination(nil, c.shape, 1).hire(ctx), 0, src)
			b.ReportAllocs()
			b.ResetTimer()
			w.run()
		})
	}
}

// tagKey groups by the tag.
type tagKey struct{ perEvent bool }

func (tagKey) AppendKey(dst []byte, e record.Event) []byte { return append(dst, e.Chunk.Tag...) }
func (k tagKey) PerEvent() bool                            { return k.perEvent }
