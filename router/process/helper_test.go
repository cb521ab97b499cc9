package process

import (
	"fmt"
	"strings"

	"github.com/firebreak/firebreak/internal/mp"
)

// m and kv are a record as the reference knows it: in order, duplicates and all. Values: string, []byte, int, nil, m
// and []any.
type (
	kv struct {
		key   string
		value any
	}
	m []kv
)

func encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return mp.AppendStr(dst, v)
	case []byte:
		return mp.AppendBin(dst, v)
	case int:
		return mp.AppendInt(dst, int64(v))
	case m:
		dst = mp.AppendMap(dst, len(v))
		for _, p := range v {
			dst = encode(mp.AppendStr(dst, p.key), p.value)
		}
		return dst
	case []any:
		dst = mp.AppendArray(dst, len(v))
		for _, e := range v {
			dst = encode(dst, e)
		}
		return dst
	}
	return mp.AppendNil(dst)
}

// decode reads what encode writes.
func decode(b []byte) (any, error) {
	v, n, err := decodeAt(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d bytes behind the value", len(b)-n)
	}
	return v, err
}

func decodeAt(b []byte) (any, int, error) {
	if len(b) == 0 {
		return nil, 0, mp.ErrShort
	}
	switch c := b[0]; {
	case mp.IsStr(c):
		v, n, err := mp.Bytes(b)
		return string(v), n, err
	case mp.IsBin(c):
		v, n, err := mp.Bytes(b)
		return append([]byte{}, v...), n, err
	case mp.IsMap(c):
		pairs, at, err := mp.MapHeader(b)
		out := m{}
		for ; pairs > 0 && err == nil; pairs-- {
			var key, value any
			var n int
			if key, n, err = decodeAt(b[at:]); err != nil {
				break
			}
			at += n
			if value, n, err = decodeAt(b[at:]); err != nil {
				break
			}
			at += n
			out = append(out, kv{fmt.Sprint(key), value})
		}
		return out, at, err
	case mp.IsArray(c):
		count, at, err := mp.ArrayHeader(b)
		out := []any{}
		for ; count > 0 && err == nil; count-- {
			var v any
			var n int
			if v, n, err = decodeAt(b[at:]); err == nil {
				out, at = append(out, v), at+n
			}
		}
		return out, at, err
	case c == 0xc0:
		return nil, 1, nil
	}
	v, n, err := mp.Int(b)
	return int(v), n, err
}

// text prints a value for messages and comparisons.
func text(v any) string {
	switch v := v.(type) {
	case m:
		var parts []string
		for _, p := range v {
			parts = append(parts, p.key+":"+text(p.value))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, text(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case []byte:
		return "b" + fmt.Sprintf("%q", v)
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
