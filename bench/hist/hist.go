// Package hist counts durations in a histogram of fixed size whose buckets are at most 3 % wide.
package hist

import (
	"fmt"
	"math/bits"
	"time"
)

const (
	sub     = 32 // buckets per power of two
	octaves = 36 // above the exact range: up to 25 days
	buckets = octaves*sub + sub
)

// A Hist counts durations with a resolution of 1 µs. The zero value is empty. It may be copied, so that the difference
// of two copies is what happened between them. It must not be used concurrently.
type Hist struct {
	counts [buckets]uint64
	n      uint64
	sum    uint64 // µs
}

// Add counts n durations of d each; a negative d counts as 0.
func (h *Hist) Add(d time.Duration, n uint64) {
	us := uint64(max(d.Microseconds(), 0))
	h.counts[bucket(us)] += n
	h.n += n
	h.sum += us * n
}

// Merge adds what o counted.
func (h *Hist) Merge(o *Hist) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
}

// Sub returns what was counted since the earlier copy o was made.
func (h *Hist) Sub(o *Hist) Hist {
	d := Hist{n: h.n - o.n, sum: h.sum - o.sum}
	for i, c := range h.counts {
		d.counts[i] = c - o.counts[i]
	}
	return d
}

// Count returns the number of durations.
func (h *Hist) Count() uint64 { return h.n }

// Mean returns the average, 0 when empty.
func (h *Hist) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum/h.n) * time.Microsecond
}

// Quantile returns the upper edge of the bucket that holds the given share (0 to 1), 0 when empty.
func (h *Hist) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.n)), h.n-1)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen > rank {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

// Max returns the upper edge of the highest bucket in use.
func (h *Hist) Max() time.Duration { return h.Quantile(1) }

// Over returns how many durations were longer than d, to the precision of a bucket.
func (h *Hist) Over(d time.Duration) uint64 {
	var n uint64
	for i := bucket(uint64(max(d.Microseconds(), 0))) + 1; i < buckets; i++ {
		n += h.counts[i]
	}
	return n
}

// A Summary is what is printed of a histogram.
type Summary struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Summary returns the usual quantiles in milliseconds.
func (h *Hist) Summary() Summary {
	ms := func(q float64) float64 { return float64(h.Quantile(q).Microseconds()) / 1000 }
	return Summary{Count: h.n, P50: ms(0.5), P99: ms(0.99), P999: ms(0.999), Max: ms(1)}
}

func (s Summary) String() string {
	return fmt.Sprintf("p50 %.1f p99 %.1f max %.1f ms", s.P50, s.P99, s.Max)
}

func bucket(us uint64) int {
	if us < sub {
		return int(us)
	}
	exp := bits.Len64(us) - 6 // us>>exp is in [32, 64)
	return min(exp*sub+int(us>>exp), buckets-1)
}

func upper(i int) time.Duration {
	if i < 2*sub {
		return time.Duration(i) * time.Microsecond
	}
	exp := i/sub - 1
	return time.Duration((uint64(i-exp*sub)+1)<<exp-1) * time.Microsecond
}
