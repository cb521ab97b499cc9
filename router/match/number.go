package match

import (
	"cmp"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/firebreak/firebreak/internal/mp"
)

// A num is a number. Whole ones below 2^64 are held exactly, so that 64-bit ids differ when their last digits do.
type num struct {
	whole, neg bool
	size       uint64  // with whole: without the sign
	float      float64 // otherwise
}

func wholeNum(neg bool, size uint64) num { return num{whole: true, neg: neg && size > 0, size: size} }

func floatNum(f float64) num {
	if math.Trunc(f) == f && math.Abs(f) < 1<<64 {
		return wholeNum(f < 0, uint64(math.Abs(f)))
	}
	return num{float: f}
}

func (a num) value() float64 {
	switch {
	case !a.whole:
		return a.float
	case a.neg:
		return -float64(a.size)
	}
	return float64(a.size)
}

// compare returns -1, 0 or 1 for a below, equal to or above b.
func (a num) compare(b num) int {
	if !a.whole || !b.whole {
		return cmp.Compare(a.value(), b.value())
	}
	if a.neg != b.neg {
		if a.neg {
			return -1
		}
		return 1
	}
	if a.neg {
		a, b = b, a
	}
	return cmp.Compare(a.size, b.size)
}

// parseNumber reads a decimal number: digits with an optional sign, fraction and exponent, and nothing around it.
func parseNumber(text []byte) (num, bool) {
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		i++
	}
	sign := i
	n := uint64(0)
	for i < len(text) && text[i]-'0' < 10 {
		n = n*10 + uint64(text[i]-'0')
		i++
	}
	if i == sign {
		return num{}, false
	}
	if i == len(text) {
		if i-sign <= 19 { // below 2^64
			return wholeNum(text[0] == '-', n), true
		}
		if n, err := strconv.ParseUint(asString(text[sign:]), 10, 64); err == nil {
			return wholeNum(text[0] == '-', n), true
		}
	}
	if i < len(text) && text[i] == '.' {
		start := i + 1
		for i = start; i < len(text) && text[i]-'0' < 10; i++ {
		}
		if i == start {
			return num{}, false
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		if i < len(text) && (text[i] == '-' || text[i] == '+') {
			i++
		}
		start := i
		for ; i < len(text) && text[i]-'0' < 10; i++ {
		}
		if i == start {
			return num{}, false
		}
	}
	if i < len(text) {
		return num{}, false
	}
	f, _ := strconv.ParseFloat(asString(text), 64) // beyond the range: infinite, which compares well
	return floatNum(f), true
}

// number returns the number that an encoded integer or float holds.
func number(v []byte) (num, bool) {
	if n, _, err := mp.Int(v); err == nil {
		if n < 0 {
			return wholeNum(true, -uint64(n)), true
		}
		return wholeNum(false, uint64(n)), true
	}
	if f, _, err := mp.Float(v); err == nil {
		return floatNum(f), !math.IsNaN(f)
	}
	if v[0] == 0xcf && len(v) >= 9 { // above the largest int64
		return wholeNum(false, binary.BigEndian.Uint64(v[1:])), true
	}
	return num{}, false
}

// appendNumber appends the text of an encoded number as JSON would write it.
func appendNumber(dst, v []byte) ([]byte, bool) {
	if n, _, err := mp.Int(v); err == nil {
		return strconv.AppendInt(dst, n, 10), true
	}
	if v[0] == 0xcf && len(v) >= 9 {
		return strconv.AppendUint(dst, binary.BigEndian.Uint64(v[1:]), 10), true
	}
	n, size, err := mp.Float(v)
	if err != nil {
		return dst, false
	}
	bits := 64
	if size == 5 {
		bits = 32
	}
	format := byte('f')
	if abs := math.Abs(n); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, n, format, -1, bits), true
}
