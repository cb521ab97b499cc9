package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/firebreak/firebreak/internal/mp"
)

// A packing says how a body is compressed.
type packing uint8

const (
	plain packing = iota
	gzipped
	zstandard
)

const (
	magicSize = 4
	// maxZstdWindow is the largest window that a zstd frame may ask for: what level 19 of the reference makes.
	maxZstdWindow = 8 << 20
	// minZstdWindow is charged and allowed for every frame: what level 3, the default, makes.
	minZstdWindow = 2 << 20
	// maxRatio is how many times larger than itself a body may become, beyond ratioFree bytes. gzip can't do more
	// than 1,032; lines that repeat reach that with zstd too, but not much more.
	maxRatio  = 2000
	ratioFree = 16 << 20
	// inflateMemory is charged for a decompressor that may have to wait for its client.
	inflateMemory = 128 << 10
	// inflateWait is how long a compressed message waits for its turn. Sent again it would only cost more, and clients
	// wait for its ack as long (Fluentd: 190 s).
	inflateWait = 3 * time.Minute
)

// compressed tells from the first bytes of a body how it is compressed. They decide, whatever option.compressed says,
// as in Fluent Bit; no entry starts like that.
func compressed(b []byte) packing {
	switch {
	case len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b:
		return gzipped
	case len(b) >= 4 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd:
		return zstandard
	case len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18: // a skippable frame
		return zstandard
	}
	return plain
}

// A body is compressed bytes.
type body interface {
	io.Reader
	failed() error // what ended it too early, or nil
}

// memory is a body that has arrived whole.
type memory struct{ *bytes.Reader }

func (memory) failed() error { return nil }

// inflate takes the entries of a compressed body as they are decompressed, with bounds on their size and ratio.
func (c *conn) inflate(tag string, from body, kind packing) (odd invalids, err error) {
	buf := bufReaders.Get().(*bufio.Reader)
	defer func() {
		buf.Reset(nil)
		bufReaders.Put(buf)
	}()
	meter := &meter{from: from, bound: int64(c.set.opts.MaxDecompressed)}
	buf.Reset(counted{meter})
	history, charge := uint64(0), int64(inflateMemory)
	if kind == zstandard {
		history = zstdMemory(buf)
		charge += int64(history)
	}
	charge = min(charge, c.in.budget.size()/2)
	ctx, cancel := context.WithTimeout(c.in.work, inflateWait)
	defer cancel()
	if !c.in.budget.wait(ctx, c, charge, charge) {
		return odd, badf(errBudget, "no room in the memory budget of %d bytes for %s", c.in.budget.size(), inflateWait)
	}
	c.holds = true
	defer func() {
		c.holds = false
		c.in.budget.put(c, charge, c.win.charged == 0)
	}()
	src, done, err := open(kind, buf, history)
	if err != nil {
		return odd, c.inflateError(err, from)
	}
	defer done()
	meter.src = src
	w := window{base: 32 << 10, budget: c.in.budget, who: c, part: true, ctx: c.in.work, source: meter.Read, buf: make([]byte, 32<<10)}
	defer w.free()
	for {
		if w.len() == 0 {
			err := w.fill(fullWindow, false)
			if err == io.EOF {
				return odd, nil
			}
			if err != nil {
				return odd, c.inflateError(err, from)
			}
		}
		if _, err := c.streamEntry(&w, tag, int64(c.set.eventMax), &odd); err != nil {
			return odd, c.inflateError(err, from)
		}
	}
}

func (c *conn) inflateError(err error, from body) error {
	if failed := from.failed(); failed != nil {
		return failed
	}
	if _, ok := errors.AsType[*badError](err); ok {
		return err
	}
	if err == io.EOF {
		err = mp.ErrShort // the data ends inside an entry
	}
	return badf(errInflate, "read compressed entries: %w", err)
}

// A meter counts what goes into a decompressor and what comes out of it.
type meter struct {
	from    io.Reader
	src     io.Reader
	in, out int64
	bound   int64
}

var errBomb = badf(errTooLarge, "compressed message expands beyond its bounds")

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	m.out += int64(n)
	if m.out > m.bound || m.out > ratioFree && m.out/maxRatio > m.in {
		return 0, errBomb
	}
	return n, err
}

type counted struct{ m *meter }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.m.from.Read(p)
	c.m.in += int64(n)
	return n, err
}

var (
	gzipReaders sync.Pool
	zstdReaders sync.Pool
	bufReaders  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}
)

// zstdMemory returns the window to allow for a zstd stream, by its first frame.
func zstdMemory(r *bufio.Reader) uint64 {
	b, _ := r.Peek(zstd.HeaderMaxSize) // fewer when the body is short
	var h zstd.Header
	if h.Decode(b) != nil {
		return minZstdWindow
	}
	size := h.WindowSize
	if h.SingleSegment {
		size = h.FrameContentSize
	}
	return min(max(size, minZstdWindow), maxZstdWindow)
}

// open returns a decompressor, and what gives it back. Several gzip members or zstd frames are read as one.
func open(kind packing, from io.Reader, window uint64) (io.Reader, func(), error) {
	if kind == gzipped {
		r, _ := gzipReaders.Get().(*gzip.Reader)
		if r == nil {
			r = new(gzip.Reader)
		}
		if err := r.Reset(from); err != nil {
			return nil, nil, err
		}
		return r, func() { gzipReaders.Put(r) }, nil
	}
	r, _ := zstdReaders.Get().(*zstd.Decoder)
	if r == nil {
		var err error
		if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, nil, err
		}
	}
	if err := r.ResetWithOptions(from, zstd.WithDecoderMaxWindow(window)); err != nil {
		return nil, nil, err
	}
	return r, func() {
		if r.Reset(nil) == nil {
			zstdReaders.Put(r)
		}
	}, nil
}
