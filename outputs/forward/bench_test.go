package forward

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// acker discards events and acknowledges each message by the id that it finds at its end.
func acker(c net.Conn) {
	buf := make([]byte, 256<<10)
	key := []byte("\xa5chunk\xb8")
	var ack []byte
	kept := 0 // end of the bytes before, where a key may be cut
	for {
		n, err := c.Read(buf[kept:])
		if err != nil {
			return
		}
		b := buf[:kept+n]
		for {
			i := bytes.Index(b, key)
			if i < 0 || len(b) < i+len(key)+idSize {
				break
			}
			b = b[i+len(key):]
			ack = append(mp.AppendStr(append(ack[:0], 0x81), "ack"), 0xb8)
			if _, err := c.Write(append(ack, b[:idSize]...)); err != nil {
				return
			}
			b = b[idSize:]
		}
		kept = copy(buf, b[max(0, len(b)-len(key)-idSize):])
	}
}

func benchmark(b *testing.B, bt outputs.Batch, change func(*Options)) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := startPeer(b, ln, func(p *peer) { p.serve = acker })
	opts := options(p.addr)
	change(opts)
	out, err := opts.Open(outputs.Env{})
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close(context.Background())
	size := 0
	for _, c := range bt.Chunks {
		size += len(c.Data)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if r := out.Send(context.Background(), bt); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func lineChunk(tag string, events int) record.Chunk {
	var texts []string
	for i := range events {
		texts = append(texts, fmt.Sprintf(`10.1.%d.%d - - [17/Nov/2026:10:00:00 +0000] "GET /api/v1/items/%d HTTP/1.1" 200 %d "-" "curl/8.5.0"`, i%256, i*7%256, i*7919, i*31%5000))
	}
	return chunk(tag, texts...)
}

func BenchmarkSend(b *testing.B) {
	none := func(*Options) {}
	big := batch(lineChunk("a", 8000))
	var small outputs.Batch
	for i := range 4000 {
		small.Chunks = append(small.Chunks, lineChunk(fmt.Sprint("container-", i%50), 2))
	}
	small = batch(small.Chunks...)
	b.Run("one chunk of 1 MiB", func(b *testing.B) { benchmark(b, big, none) })
	b.Run("4000 chunks of 50 tags", func(b *testing.B) { benchmark(b, small, none) })
	b.Run("zstd", func(b *testing.B) { benchmark(b, big, func(o *Options) { o.Compress = "zstd" }) })
	b.Run("gzip", func(b *testing.B) { benchmark(b, big, func(o *Options) { o.Compress = "gzip" }) })
	b.Run("one event", func(b *testing.B) { benchmark(b, batch(chunk("a", "x")), none) })
}
