package record

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

func TestSliceOfAChunkThatHoldsLessThanItSays(t *testing.T) {
	c := Chunk{Events: 5, Data: AppendEntry(nil, time.Unix(1, 0), rec("log", "x"))}
	_, err := c.Slice(0, 3)
	if err == nil || strings.Contains(err.Error(), "%!") || !strings.Contains(err.Error(), "after 1") {
		t.Errorf("error: %v", err)
	}
}

// FuzzChunk walks over hostile data: what comes out are whole entries, one after the other, and their slices.
func FuzzChunk(f *testing.F) {
	whole := AppendEntry(nil, time.Unix(1700000000, 5), rec("log", "x", "a.b", "y"))
	f.Add(append(whole, whole...), "log")
	f.Add(append(whole, whole[:len(whole)-1]...), "a.b")
	f.Add([]byte{0x92, 0xce, 0, 0, 0, 1, 0x81, 0xa1, 'a', 0x82, 0xa1, 'b', 1, 0xa1, 'b', 0xc0}, "a.b")
	f.Add([]byte{0x92, 0xd7, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff}, "")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		c := Chunk{Tag: "t", Data: data}
		var raws [][]byte
		it := Iterate(&c)
		for it.Next() {
			e := it.Event()
			if n, err := mp.Skip(e.Record); err != nil || n != len(e.Record) || !bytes.HasSuffix(e.Raw, e.Record) {
				t.Fatalf("entry % x, record % x: %d, %v", e.Raw, e.Record, n, err)
			}
			if !bytes.HasPrefix(data[it.Offset():], e.Raw) {
				t.Fatalf("entry is not at offset %d", it.Offset())
			}
			_ = e.Time()
			if v := ParsePath(path).Lookup(e.Record); v != nil {
				if n, err := mp.Skip(v); err != nil || n != len(v) || !bytes.Contains(e.Record, v) {
					t.Fatalf("value % x of % x: %d, %v", v, e.Record, n, err)
				}
			}
			raws = append(raws, e.Raw)
		}
		read := bytes.Join(raws, nil)
		if !bytes.HasPrefix(data, read) || (it.Err() == nil) != (len(read) == len(data)) {
			t.Fatalf("read %d of %d bytes: %v", len(read), len(data), it.Err())
		}
		c.Events = len(raws) + 2 // more than there are
		for from := range raws {
			part, err := c.Slice(from, len(raws))
			if want := bytes.Join(raws[from:], nil); err != nil || !bytes.Equal(part.Data, want) || cap(part.Data) != len(want) {
				t.Fatalf("slice from %d: % x, %v; want % x", from, part.Data, err, want)
			}
		}
		if _, err := c.Slice(0, len(raws)+1); len(raws) > 0 && it.Err() != nil && err == nil {
			t.Fatal("a slice beyond the data gave no error")
		}
	})
}
