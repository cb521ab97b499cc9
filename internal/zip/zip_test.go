package zip

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func unpack(t *testing.T, f Format, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	var err error
	switch f {
	case Gzip:
		r, err = gzip.NewReader(r)
	case Zstd:
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRowsOfMembersReadAsOneStream(t *testing.T) {
	parts := []string{"first\n", "", strings.Repeat("a long line of a log\n", 50000), "last\n"}
	for _, f := range []Format{None, Gzip, Zstd} {
		p := NewPool(f)
		var b []byte
		for _, s := range parts {
			b = p.Append(b, []byte(s))
		}
		if got := unpack(t, f, b); string(got) != strings.Join(parts, "") {
			t.Errorf("%v: got %d bytes back", f, len(got))
		}
		if f != None && len(b) > 100_000 {
			t.Errorf("%v: %d bytes did not compress", f, len(b))
		}
	}
}

func TestPoolIsConcurrent(t *testing.T) {
	for _, f := range []Format{Gzip, Zstd} {
		p := NewPool(f)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				src := bytes.Repeat([]byte{byte('a' + i)}, 10000)
				for range 20 {
					if got := unpack(t, f, p.Append(nil, src)); !bytes.Equal(got, src) {
						t.Errorf("%v: worker %d got another's bytes", f, i)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range []Format{None, Gzip, Zstd} {
		if got, err := ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("lz4"); err == nil {
		t.Error("an unknown format gave no error")
	}
}

func BenchmarkAppend(b *testing.B) {
	src := bytes.Repeat([]byte(`{"time":"2026-11-20T05:43:17.1Z","tag":"docker.app","log":"GET /index.html 200 12ms"}`+"\n"), 750)
	for _, f := range []Format{Gzip, Zstd} {
		b.Run(f.String(), func(b *testing.B) {
			p := NewPool(f)
			var dst []byte
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				dst = p.Append(dst[:0], src)
			}
		})
	}
}
