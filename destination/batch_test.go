package destination

import (
	"testing"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/outputs"
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
