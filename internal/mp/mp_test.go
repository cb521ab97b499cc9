package mp

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestSkipFindsTheEndOfEveryType(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 70000)
	values := [][]byte{
		{0x00}, {0x7f}, {0xe0}, {0xff}, {0xc0}, {0xc2}, {0xc3},
		AppendInt(nil, 200), AppendInt(nil, 60000), AppendInt(nil, 1<<31), AppendInt(nil, 1<<40),
		AppendInt(nil, -100), AppendInt(nil, -1000), AppendInt(nil, -100000), AppendInt(nil, math.MinInt64),
		AppendFloat(nil, 1.5), {0xca, 1, 2, 3, 4},
		AppendStr(nil, ""), AppendStr(nil, "abc"), AppendStr(nil, long[:100]), AppendStr(nil, long[:300]), AppendStr(nil, long),
		AppendBin(nil, nil), AppendBin(nil, long[:300]), AppendBin(nil, long),
		AppendEventTime(nil, 1, 2), {0xd4, 5, 1}, {0xd5, 5, 1, 2}, {0xd6, 5, 1, 2, 3, 4}, append([]byte{0xd8, 5}, long[:16]...),
		{0xc7, 3, 9, 1, 2, 3}, {0xc8, 0, 1, 9, 7}, {0xc9, 0, 0, 0, 1, 9, 7},
		{0x92, 0x01, 0x81, 0xa1, 'a', 0x90},
		{0xdc, 0, 1, 0xc0}, {0xdd, 0, 0, 0, 1, 0xc0}, {0xde, 0, 1, 0xc0, 0xc0}, {0xdf, 0, 0, 0, 1, 0xc0, 0xc0},
	}
	for _, v := range values {
		n, err := Skip(append(bytes.Clone(v), 0xc1)) // what follows must not matter
		if err != nil || n != len(v) {
			t.Errorf("Skip(% x…) = %d, %v; want %d", v[:min(len(v), 8)], n, err, len(v))
		}
		for cut := range min(len(v), 12) {
			if _, err := Skip(v[:cut]); !errors.Is(err, ErrShort) {
				t.Errorf("Skip of % x cut to %d bytes: %v, want ErrShort", v[:min(len(v), 8)], cut, err)
			}
		}
	}
}

func TestSkipBoundsDepthAndRefusesTheReservedByte(t *testing.T) {
	deep := bytes.Repeat([]byte{0x91}, MaxDepth)
	if _, err := Skip(append(deep, 0xc0)); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	if _, err := Skip(append(append(deep, 0x91), 0xc0)); !errors.Is(err, ErrDepth) {
		t.Errorf("depth %d: %v, want ErrDepth", MaxDepth+1, err)
	}
	if _, err := Skip([]byte{0x91, 0xc1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("0xc1: %v, want ErrInvalid", err)
	}
	if _, err := Skip([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0x01}); !errors.Is(err, ErrShort) {
		t.Errorf("forged length: %v, want ErrShort", err)
	}
}

func TestIntRoundTrip(t *testing.T) {
	for _, v := range []int64{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 32, math.MaxInt64, -1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt64} {
		b := AppendInt(nil, v)
		got, n, err := Int(b)
		if err != nil || got != v || n != len(b) {
			t.Errorf("Int(AppendInt(%d)) = %d, %d, %v", v, got, n, err)
		}
	}
}

func FuzzSkip(f *testing.F) {
	f.Add([]byte{0x92, 0x01, 0x81, 0xa1, 'a', 0x90})
	f.Add([]byte{0xc7, 3, 9, 1, 2, 3})
	f.Add(kubernetes())
	f.Add(bytes.Repeat([]byte{0x92}, MaxDepth+1))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xdc, 0, 2, 0xc8, 0, 1, 9, 7, 0xc6, 0, 0, 0, 1, 7, 0xde, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Skip(b)
		if want, wantErr := skipByStack(b); n != want || err != wantErr {
			t.Fatalf("% x: %d, %v; with a stack %d, %v", b, n, err, want, wantErr)
		}
		if err != nil {
			return
		}
		if n <= 0 || n > len(b) {
			t.Fatalf("size %d of %d bytes", n, len(b))
		}
		if m, err := Skip(b[:n]); err != nil || m != n {
			t.Fatalf("the value alone: %d, %v; want %d", m, err, n)
		}
		if _, err := Skip(b[:n-1]); !errors.Is(err, ErrShort) {
			t.Fatalf("the value without its last byte: %v, want ErrShort", err)
		}
	})
}
