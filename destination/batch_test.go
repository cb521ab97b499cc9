package destination

import (
	"fmt"
	"testing"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// parcelOf makes a parcel of pieces [from, to) of one lease each, whose events are numbered from first on.
func parcelOf(runs ...[3]int) *parcel {
	to := &parcel{}
	for _, r := range runs {
		l := &buffer.Lease{ID: buffer.ID{Buffer: [8]byte{7}, First: uint64(r[0])}}
		to.pieces = append(to.pieces, piece{&held{lease: l}, r[1], r[2]})
	}
	to.identify()
	return to
}

func TestBatchIDNamesItsEvents(t *testing.T) {
	whole := parcelOf([3]int{100, 0, 10})
	for name, c := range map[string]struct {
		p    *parcel
		same bool
	}{
		"the same again":        {parcelOf([3]int{100, 0, 10}), true},
		"cut into two chunks":   {parcelOf([3]int{100, 0, 4}, [3]int{104, 0, 6}), true},
		"cut after a return":    {parcelOf([3]int{90, 10, 20}), true},
		"one event less":        {parcelOf([3]int{100, 0, 9}), false},
		"one later":             {parcelOf([3]int{100, 1, 11}), false},
		"same count, with hole": {parcelOf([3]int{100, 0, 4}, [3]int{100, 5, 11}), false},
	} {
		if got := c.p.batch.ID == whole.batch.ID; got != c.same {
			t.Errorf("%s: id equal is %v, want %v", name, got, c.same)
		}
	}
	if a, b := whole.batch.IDs[0], parcelOf([3]int{90, 10, 20}).batch.IDs[0]; a != b {
		t.Errorf("chunk ids differ for the same events: %x and %x", a, b)
	}
	if a := whole.batch.IDs[0]; a == (outputs.ChunkID{}) || a == parcelOf([3]int{100, 0, 9}).batch.IDs[0] {
		t.Errorf("chunk id %x doesn't name its events", a)
	}
}

// What a batch needed for encoding is not kept for ever, nor for each key.
func TestPackerKeepsLittleMemory(t *testing.T) {
	const size = 4 << 10
	p := newPacker(outputs.Shape{MaxBytes: size, Key: tagKey{}, Encode: func(dst []byte, e record.Event) ([]byte, error) {
		return append(dst, make([]byte, size)...), nil
	}})
	for round := range 10 {
		var list []*held
		for i := range 100 {
			h := &held{}
			h.reset(&buffer.Lease{ID: buffer.ID{First: uint64(i)}, Chunk: text(fmt.Sprint("t", i*(round+1)), 0, 1)})
			list = append(list, h)
		}
		if err := p.pack(list, 0); err != nil {
			t.Fatal(err)
		}
		if n := len(p.ready()); n < 100 {
			t.Fatalf("%d parcels", n)
		}
		p.release()
	}
	kept := 0
	for _, to := range p.parcels {
		kept += cap(to.batch.Body)
		if len(to.batch.Chunks) > 0 || len(to.pieces) > 0 {
			t.Error("a parcel still refers to leases")
		}
	}
	if kept > 3*size || len(p.parcels) > 64 {
		t.Errorf("keeps %d bytes in %d parcels", kept, len(p.parcels))
	}
}
