// Package zip compresses whole buffers into stand-alone gzip members and zstd frames, with pooled compressors.
//
// Members and frames may be put one after the other: every reader of the formats takes the row of them as one stream
// (RFC 1952 section 2.2, RFC 8878 section 3).
package zip

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Format is a compression format.
type Format uint8

// The formats, by their names in a configuration: none, gzip, zstd.
const (
	None Format = iota
	Gzip
	Zstd
)

// ParseFormat returns the format of that name; "" is None.
func ParseFormat(name string) (Format, error) {
	switch name {
	case "", "none":
		return None, nil
	case "gzip":
		return Gzip, nil
	case "zstd":
		return Zstd, nil
	}
	return None, fmt.Errorf("unknown compression %q; known are none, gzip and zstd", name)
}

// String returns the name of the format.
func (f Format) String() string {
	switch f {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return "none"
}

// zstdWindow bounds the memory of an encoder to about 0.8 MiB; on frames of 64 KiB and more it costs 3 % of size.
const zstdWindow = 256 << 10

// A Pool compresses in one format. It may be used concurrently; idle compressors are freed by the garbage collector.
type Pool struct {
	format Format
	idle   sync.Pool
}

// NewPool returns a pool without any compressors.
func NewPool(f Format) *Pool { return &Pool{format: f} }

// Format returns the format that the pool compresses in.
func (p *Pool) Format() Format { return p.format }

// Append appends src to dst as one gzip member or zstd frame, or as it is for None. dst and src must not overlap.
func (p *Pool) Append(dst, src []byte) []byte {
	switch p.format {
	case Gzip:
		return p.appendGzip(dst, src)
	case Zstd:
		e, ok := p.idle.Get().(*zstd.Encoder)
		if !ok {
			// The options are constants that the encoder accepts: there is no error.
			e, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
				zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
		}
		dst = e.EncodeAll(src, dst)
		p.idle.Put(e)
		return dst
	}
	return append(dst, src...)
}

type gzipWriter struct {
	w   *gzip.Writer
	out buffer
}

// buffer is a writer that appends.
type buffer struct{ b []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

func (p *Pool) appendGzip(dst, src []byte) []byte {
	g, ok := p.idle.Get().(*gzipWriter)
	if !ok {
		g = &gzipWriter{w: gzip.NewWriter(nil)}
	}
	g.out.b = dst
	g.w.Reset(&g.out)
	// Writing to memory has no errors.
	_, _ = g.w.Write(src)
	_ = g.w.Close()
	dst, g.out.b = g.out.b, nil
	p.idle.Put(g)
	return dst
}
