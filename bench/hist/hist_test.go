package hist

import (
	"testing"
	"time"
)

func TestQuantilesAreWithinABucketOfTheTruth(t *testing.T) {
	var h Hist
	for us := 1; us <= 100_000; us++ {
		h.Add(time.Duration(us)*time.Microsecond, 1)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 50 * time.Millisecond}, {0.99, 99 * time.Millisecond}, {1, 100 * time.Millisecond}} {
		got := h.Quantile(c.q)
		if got < c.want || got > c.want*104/100 {
			t.Errorf("quantile %v: %v, want %v or up to 4 %% more", c.q, got, c.want)
		}
	}
	if over := h.Over(90 * time.Millisecond); over < 7_000 || over > 10_000 {
		t.Errorf("over 90 ms: %d of about 10000", over)
	}
}

func TestEveryDurationLiesBelowTheEdgeOfItsBucketAndAboveTheOneBefore(t *testing.T) {
	for _, us := range []uint64{0, 1, 31, 32, 63, 64, 65, 127, 128, 1000, 4095, 4096, 1 << 30, 1 << 40} {
		i := bucket(us)
		d := time.Duration(us) * time.Microsecond
		if d > upper(i) || i > 0 && d <= upper(i-1) {
			t.Errorf("%d µs: bucket %d ends at %v, the one before at %v", us, i, upper(i), upper(i-1))
		}
	}
}

func TestSubIsWhatHappenedBetweenTwoCopies(t *testing.T) {
	var h Hist
	h.Add(time.Second, 5)
	before := h
	h.Add(time.Millisecond, 3)
	d := h.Sub(&before)
	if d.Count() != 3 || d.Max() > 2*time.Millisecond || d.Mean() != time.Millisecond {
		t.Errorf("count %d, max %v, mean %v; want 3 of 1 ms", d.Count(), d.Max(), d.Mean())
	}
	d.Merge(&before)
	if d.Count() != 8 || d.Max() < time.Second {
		t.Errorf("merged: count %d, max %v", d.Count(), d.Max())
	}
}

func TestEmptyAndNegative(t *testing.T) {
	var h Hist
	if h.Quantile(0.5) != 0 || h.Mean() != 0 {
		t.Error("an empty histogram is not 0")
	}
	h.Add(-time.Second, 1)
	if h.Max() != 0 || h.Count() != 1 {
		t.Errorf("negative: max %v, count %d", h.Max(), h.Count())
	}
}
