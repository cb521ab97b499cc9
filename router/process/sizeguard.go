package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// sizeGuard bounds the size of an encoded record: it cuts the text under key and puts the marker at the cut, so that
// the record fits. A record that doesn't fit even without that text becomes a dead letter.
type sizeGuard struct {
	max         int
	cut         bool
	key, marker string
}

func newSizeGuard(c *config.SizeGuard) (*sizeGuard, error) {
	g := &sizeGuard{max: int(min(c.MaxBytes, math.MaxInt32)), key: c.Key, marker: c.Marker}
	switch c.Action {
	case "", "truncate":
		g.cut = true
	case "dead_letter":
	default:
		return nil, fmt.Errorf("unknown action %q", c.Action)
	}
	if c.MaxBytes <= 0 {
		return nil, errors.New("max_bytes is not positive")
	}
	return g, nil
}

func (g *sizeGuard) Apply(dst, rec []byte, _ *Scope) ([]byte, Verdict) {
	if len(rec) <= g.max {
		return dst, Same
	}
	if !g.cut {
		return dst, TooLarge
	}
	p, ok := find(rec, g.key)
	if !ok {
		return dst, TooLarge
	}
	text, size, err := mp.Bytes(rec[p.value:])
	if err != nil {
		return dst, TooLarge
	}
	room := g.max - (len(rec) - len(text)) // the header of the text can only shrink
	if room < 0 {
		return dst, TooLarge
	}
	marker := g.marker[:boundary(g.marker, room)]
	text = text[:boundary(text, room-len(marker))]
	dst = append(dst, rec[:p.value]...)
	if n := len(text) + len(marker); mp.IsBin(rec[p.value]) {
		dst = mp.AppendBinHeader(dst, n)
	} else {
		dst = appendStrHeader(dst, n)
	}
	dst = append(append(dst, text...), marker...)
	return append(dst, rec[p.value+size:]...), Truncated
}

// boundary returns the largest size up to n that doesn't cut a character of s.
func boundary[T string | []byte](s T, n int) int {
	if n >= len(s) {
		return len(s)
	}
	for back := range min(n, utf8.UTFMax-1) + 1 {
		if utf8.RuneStart(s[n-back]) {
			return n - back
		}
	}
	return n // not UTF-8 anyway
}

func appendStrHeader(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, 0xa0|byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		return append(dst, 0xda, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
}
