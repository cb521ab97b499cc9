package scenario

import (
	"math"
	"testing"
)

func TestMedianAndHowSureItIs(t *testing.T) {
	if m := median([]float64{3, 1, 2, 10}); m != 2.5 {
		t.Errorf("median %v", m)
	}
	if m := median(nil); m != 0 {
		t.Errorf("median of none %v", m)
	}
	for _, c := range []struct {
		v               []float64
		low, high, sure float64
	}{
		{[]float64{5}, 5, 5, 0},
		{[]float64{2, 1}, 1, 2, 0.5},
		{[]float64{5, 1, 4, 2, 3}, 1, 5, 0.9375},                  // 1 - 2/2^5
		{[]float64{8, 1, 7, 2, 6, 3, 5, 4}, 2, 7, 1 - 18.0/256},   // 1 - 2*(1+8)/2^8
		{[]float64{1, 2, 3, 4, 5, 6, 7}, 1, 7, 1 - 2.0/128},       // one less would be 87.5 %
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1, 9}, 1, 1, 1 - 20./512}, // 1 - 2*(1+9)/2^9
	} {
		low, high, sure := medianWithin(c.v)
		if low != c.low || high != c.high || math.Abs(sure-c.sure) > 1e-9 {
			t.Errorf("%v: %v to %v, sure by %v", c.v, low, high, sure)
		}
	}
}
