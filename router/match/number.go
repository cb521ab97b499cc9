package match

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/firebreak/firebreak/internal/mp"
)

// parseNumber reads a decimal number: digits with an optional sign, fraction and exponent, and nothing around it.
func parseNumber(text []byte) (float64, bool) {
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		i++
	}
	sign := i
	for i < len(text) && text[i]-'0' < 10 {
		i++
	}
	if i == sign {
		return 0, false
	}
	if i == len(text) && i-sign <= 15 { // exact in a float64
		n := 0.0
		for _, c := range text[sign:] {
			n = n*10 + float64(c-'0')
		}
		if text[0] == '-' {
			n = -n
		}
		return n, true
	}
	if i < len(text) && text[i] == '.' {
		start := i + 1
		for i = start; i < len(text) && text[i]-'0' < 10; i++ {
		}
		if i == start {
			return 0, false
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
			return 0, false
		}
	}
	if i < len(text) {
		return 0, false
	}
	n, _ := strconv.ParseFloat(asString(text), 64) // beyond the range: infinite, which compares well
	return n, true
}

// number returns the number that an encoded integer or float holds.
func number(v []byte) (float64, bool) {
	if n, _, err := mp.Int(v); err == nil {
		return float64(n), true
	}
	if n, _, err := mp.Float(v); err == nil {
		return n, true
	}
	if v[0] == 0xcf && len(v) >= 9 { // above the largest int64
		return float64(binary.BigEndian.Uint64(v[1:])), true
	}
	return 0, false
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
