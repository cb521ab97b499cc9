package forward

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/firebreak/firebreak/record"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the memory of an encoder (0.8 MiB instead of 18) and of the server's decoder.
const zstdWindow = 256 << 10

// A compressor has pooled encoders of one format. nil: no compression.
type compressor struct {
	name string // value of the option "compressed"
	pool sync.Pool
}

// encoder is what the two formats have in common.
type encoder interface {
	io.WriteCloser
	reset(w io.Writer, size int) // size is that of the input, in bytes
}

type gzipEncoder struct{ *gzip.Writer }

func (e gzipEncoder) reset(w io.Writer, _ int) { e.Reset(w) }

type zstdEncoder struct{ *zstd.Encoder }

func (e zstdEncoder) reset(w io.Writer, size int) { e.ResetContentSize(w, int64(size)) }

func newCompressor(name string) *compressor {
	c := &compressor{name: name}
	switch name {
	case "gzip":
		c.pool.New = func() any { return gzipEncoder{gzip.NewWriter(nil)} }
	case "zstd":
		c.pool.New = func() any {
			// Only wrong options make it fail, and then EncoderLevel's default does as well.
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
			if err != nil {
				return err
			}
			return zstdEncoder{e}
		}
	default:
		return nil
	}
	return c
}

// pack replaces dst with the compressed data of the chunks that order names.
func (c *compressor) pack(dst *bytes.Buffer, chunks []record.Chunk, order []int32, size int) error {
	e, ok := c.pool.Get().(encoder)
	if !ok {
		return fmt.Errorf("make %s encoder", c.name)
	}
	dst.Reset()
	e.reset(dst, size)
	for _, i := range order {
		if _, err := e.Write(chunks[i].Data); err != nil {
			return fmt.Errorf("compress with %s: %w", c.name, err)
		}
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("compress with %s: %w", c.name, err)
	}
	e.reset(nil, 0) // keeps nothing of dst alive
	c.pool.Put(e)
	return nil
}
