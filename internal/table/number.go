package table

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Number writes n exactly, with commas.
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Count writes n exactly up to 999,999, and with four digits above: 12.35M. So tables stay narrow.
func Count(n uint64) string {
	if n < 1_000_000 {
		return Number(n)
	}
	v, unit := float64(n), -1
	for unit < 0 || v >= 999.95 && unit < len("MGTPE")-1 {
		if unit < 0 {
			v /= 1000
		}
		v, unit = v/1000, unit+1
	}
	return digits(v, 4) + "MGTPE"[unit:unit+1]
}

// Size writes a number of bytes with three digits: 1.42 GiB.
func Size(n int64) string {
	if n < 0 {
		return "-" + Size(-max(n, -math.MaxInt64))
	}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 999.5 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	return digits(v, 3) + " " + "KMGTP"[unit:unit+1] + "iB"
}

// digits writes v ≥ 1 with so many significant digits, without zeros at the end.
func digits(v float64, n int) string {
	s := strconv.FormatFloat(v, 'f', max(0, n-1-int(math.Log10(max(v, 1)))), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Rate writes a number of things per second.
func Rate(perSecond float64) string {
	switch {
	case perSecond >= 9.95:
		return Count(uint64(math.Round(min(perSecond, math.MaxInt64))))
	case perSecond < 0.05:
		return "0"
	}
	return digits(math.Round(perSecond*10)/10, 2)
}

// Short writes a duration with two or three digits: 350ms, 4.2s, 3m12s, 5h02m, 12d4h.
func Short(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Short(-max(d, -math.MaxInt64))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", math.Floor(d.Seconds()*10)/10)
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
