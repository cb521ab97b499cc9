package scenario

import (
	"math"
	"slices"
)

// median returns the middle of v, or the mean of the two middles; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// medianWithin returns between which of the measured values the true median lies, and how sure that is, whatever the
// values are distributed like: that all but k of n values lie on one side of the median is as likely as that many coins
// fall alike. It gives up as many values at both ends as leave 90 %.
func medianWithin(v []float64) (low, high, sure float64) {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0, 0, 0
	}
	coverage := func(k int) float64 { // of [s[k], s[n-1-k]]
		tail, choose := 0.0, 1.0
		for i := 0; i <= k; i++ {
			tail += choose
			choose = choose * float64(n-i) / float64(i+1)
		}
		return max(0, 1-2*tail*math.Pow(0.5, float64(n)))
	}
	k := 0
	for 2*(k+1) < n && coverage(k+1) >= 0.9 {
		k++
	}
	return s[k], s[n-1-k], coverage(k)
}
