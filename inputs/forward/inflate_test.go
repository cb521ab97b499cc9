package forward

import (
	"bytes"
	"compress/gzip"
	"maps"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func gzipOf(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstdOf(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestCompressed(t *testing.T) {
	one := cat(0x92, now0(), rec)
	many := bytes.Repeat(cat(0x92, now0(), kv("log", strings.Repeat("line ", 20))), 20000) // 2.3 MB
	skippable := cat([]byte{0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, zstdOf(one))
	for name, c := range map[string]struct {
		body   []byte
		option []byte
		want   int
		errors map[string]uint64
		noAck  bool
	}{
		"gzip":                   {body: gzipOf(one), option: kv("compressed", "gzip", "chunk", "c"), want: 1},
		"zstd":                   {body: zstdOf(one), option: kv("compressed", "zstd", "chunk", "c"), want: 1},
		"two members":            {body: cat(gzipOf(one), gzipOf(one)), option: kv("compressed", "gzip", "chunk", "c"), want: 2},
		"an entry over members":  {body: cat(gzipOf(one[:9]), gzipOf(one[9:])), option: kv("chunk", "c"), want: 1},
		"two frames":             {body: cat(zstdOf(one), zstdOf(one)), option: kv("compressed", "zstd", "chunk", "c"), want: 2},
		"a skippable frame":      {body: skippable, option: kv("compressed", "zstd", "chunk", "c"), want: 1},
		"the magic wins":         {body: zstdOf(one), option: kv("compressed", "gzip", "chunk", "c"), want: 1},
		"text that is gzip":      {body: gzipOf(one), option: kv("compressed", "text", "chunk", "c"), want: 1},
		"gzip that is plain":     {body: one, option: kv("compressed", "gzip", "chunk", "c"), want: 1},
		"an empty member":        {body: gzipOf(nil), option: chunkOpt("c"), want: 0},
		"many in gzip":           {body: gzipOf(many), option: chunkOpt("c"), want: 20000},
		"many in zstd":           {body: zstdOf(many), option: chunkOpt("c"), want: 20000},
		"metrics":                {body: gzipOf([]byte("\x81\xa4meta\x80")), option: kv("chunk", "c", "fluent_signal", cat(1)), want: 0},
		"gzip cut short":         {body: gzipOf(one)[:20], option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"bad_compression": 1}},
		"gzip with a bad sum":    {body: flip(gzipOf(one), -6), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"bad_compression": 1}},
		"zstd of rubbish":        {body: []byte("\x28\xb5\x2f\xfdxxxxxxxxxxxxx"), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"bad_compression": 1}},
		"entries cut short":      {body: gzipOf(one[:9]), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"bad_compression": 1}},
		"no entries":             {body: gzipOf([]byte{0xc1}), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"bad_message": 1}},
		"a bomb of gzip":         {body: gzipOf(make([]byte, 3<<20)), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"too_large": 1}},
		"a bomb of zstd":         {body: zstdOf(make([]byte, 3<<20)), option: chunkOpt("c"), noAck: true, errors: map[string]uint64{"too_large": 1}},
		"an event that is large": {body: gzipOf(cat(0x92, now0(), kv("log", strings.Repeat("x", 2<<20)))), option: chunkOpt("c"), want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions()
			opts.MaxDecompressed = 5 << 19
			in0 := cat(0x93, "t", bin(string(c.body)), c.option)
			for size := 1 << 20; size > 1000; size /= 33 { // whole, and in small reads
				var feed [][]byte
				for rest := in0; len(rest) > 0; {
					n := min(size, len(rest))
					feed, rest = append(feed, rest[:n]), rest[n:]
				}
				events, acks, in, err := codec(t, opts, feed...)
				bomb := strings.HasPrefix(name, "a bomb")
				if !bomb && len(events) != c.want {
					t.Errorf("%d events, want %d (%v)", len(events), c.want, err)
				}
				if want := ackOf("c"); !c.noAck && !bytes.Equal(acks, want) || c.noAck && len(acks) > 0 {
					t.Errorf("acks %q (%v)", acks, err)
				}
				if s := in.Stats(); !maps.Equal(s.Errors, c.errors) || s.Buffer != 0 {
					t.Errorf("errors %v, budget %d (%v)", s.Errors, s.Buffer, err)
				}
			}
		})
	}
}

func flip(b []byte, at int) []byte {
	b[len(b)+at] ^= 0xff
	return b
}
