package file

import (
	"bytes"
	"context"
	"testing"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/outputs"
)

func BenchmarkSend(b *testing.B) {
	for _, compress := range []string{"none", "zstd", "gzip"} {
		b.Run(compress, func(b *testing.B) {
			o := raw(b.TempDir() + "/a.log")
			o.Compress = compress
			out, err := o.Open(outputs.Env{Log: zap.NewNop(), Work: func(_ context.Context, f func()) error { f(); return nil }})
			if err != nil {
				b.Fatal(err)
			}
			body := bytes.Repeat([]byte("a line of a log that is about as long as they are, with 200 and 12ms\n"), 4000)
			batch := outputs.Batch{Key: o.Path, Body: body, Events: 4000}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if res := out.Send(b.Context(), batch); res.Err != nil {
					b.Fatal(res.Err)
				}
			}
			if err := out.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
