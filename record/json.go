package record

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// AppendJSON appends the msgpack map rec as one JSON object, and nothing else: no newline, no space.
//
// What JSON can't say becomes: invalid UTF-8 U+FFFD, NaN and infinities null, a bin the string of its bytes, an
// EventTime or a msgpack timestamp an RFC 3339 text in UTC, another extension {"ext":type,"data":"hex"}, and a key that
// is no string the text of its value (hex of the msgpack for arrays, maps and extensions). Duplicate keys are kept;
// parsers take the last. Integers are exact, floats as short as they round-trip, with a ".0" where they would look like
// integers. Of a rec that isn't valid the part before the mistake is kept. The result is always valid JSON.
//
// Nothing is allocated when dst has room.
func AppendJSON(dst, rec []byte) []byte {
	pairs, n, err := mp.MapHeader(rec)
	if err != nil {
		return append(dst, "{}"...)
	}
	dst = append(dst, '{')
	dst, _, _ = appendPairs(dst, rec, n, pairs, 1)
	return append(dst, '}')
}

// appendPairs appends the pairs that start at b[i], without the braces, and returns where they end. After ok is false
// only closing brackets may follow.
func appendPairs(dst, b []byte, i, pairs, depth int) (_ []byte, end int, ok bool) {
	for k := range pairs {
		mark := len(dst)
		if k > 0 {
			dst = append(dst, ',')
		}
		var n int
		if dst, n, ok = appendJSONKey(dst, b[i:]); !ok {
			return dst[:mark], i, false
		}
		i += n
		dst = append(dst, ':')
		if dst, n, ok = appendJSONValue(dst, b[i:], depth); !ok {
			return dst, i, false
		}
		i += n
	}
	return dst, i, true
}

func appendJSONKey(dst, b []byte) (_ []byte, size int, ok bool) {
	if v, n, err := mp.Bytes(b); err == nil {
		return appendJSONString(dst, v), n, true
	}
	n, err := mp.Skip(b)
	if err != nil {
		return dst, 0, false
	}
	dst = append(dst, '"')
	switch c := b[0]; {
	case c == 0xc0:
		dst = append(dst, "null"...)
	case c == 0xc2:
		dst = append(dst, "false"...)
	case c == 0xc3:
		dst = append(dst, "true"...)
	default:
		var isNumber bool
		if dst, isNumber = appendNumber(dst, b[:n]); !isNumber {
			dst = hex.AppendEncode(dst, b[:n])
		}
	}
	return append(dst, '"'), n, true
}

// appendJSONValue appends the value that b starts with and returns its size. When b isn't valid it appends what makes
// a valid value, and ok is false.
func appendJSONValue(dst, b []byte, depth int) (_ []byte, size int, ok bool) {
	if len(b) == 0 || depth > mp.MaxDepth {
		return append(dst, "null"...), 0, false
	}
	c := b[0]
	if v, n, err := mp.Bytes(b); err == nil {
		return appendJSONString(dst, v), n, true
	}
	switch {
	case c == 0xc0:
		return append(dst, "null"...), 1, true
	case c == 0xc2:
		return append(dst, "false"...), 1, true
	case c == 0xc3:
		return append(dst, "true"...), 1, true
	case mp.IsMap(c):
		pairs, n, err := mp.MapHeader(b)
		if err != nil {
			break
		}
		dst = append(dst, '{')
		dst, n, ok = appendPairs(dst, b, n, pairs, depth+1)
		return append(dst, '}'), n, ok
	case mp.IsArray(c):
		elems, n, err := mp.ArrayHeader(b)
		if err != nil {
			break
		}
		dst = append(dst, '[')
		dst, n, ok = appendElems(dst, b, n, elems, depth+1)
		return append(dst, ']'), n, ok
	}
	n, err := mp.Skip(b)
	if err != nil {
		return append(dst, "null"...), 0, false
	}
	if typ, v, _, err := mp.Ext(b); err == nil {
		return appendJSONExt(dst, typ, v), n, true
	}
	if f, _, err := mp.Float(b); err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return append(dst, "null"...), n, true
	}
	dst, _ = appendNumber(dst, b[:n])
	return dst, n, true
}

func appendElems(dst, b []byte, i, elems, depth int) (_ []byte, end int, ok bool) {
	for k := range elems {
		if k > 0 {
			dst = append(dst, ',')
		}
		var n int
		if dst, n, ok = appendJSONValue(dst, b[i:], depth); !ok {
			return dst, i, false
		}
		i += n
	}
	return dst, i, true
}

// appendNumber appends the integer or float that b holds, or reports that it holds neither.
func appendNumber(dst, b []byte) ([]byte, bool) {
	switch b[0] {
	case 0xca:
		f, _, _ := mp.Float(b)
		return appendFloat(dst, f, 32), true
	case 0xcb:
		f, _, _ := mp.Float(b)
		return appendFloat(dst, f, 64), true
	case 0xcf:
		if len(b) < 9 {
			return dst, false
		}
		return strconv.AppendUint(dst, binary.BigEndian.Uint64(b[1:]), 10), true
	}
	n, _, err := mp.Int(b)
	if err != nil {
		return dst, false
	}
	return strconv.AppendInt(dst, n, 10), true
}

// appendFloat writes floats as encoding/json does, but keeps a ".0": a column that once looked like one of integers is
// mapped as such by what reads the lines.
func appendFloat(dst []byte, f float64, bits int) []byte {
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	dst = strconv.AppendFloat(dst, f, form, -1, bits)
	if form == 'f' && f == math.Trunc(f) {
		dst = append(dst, ".0"...)
	}
	return dst
}

// Extension types: EventTime of the Forward Protocol Specification v1, timestamp of the msgpack specification.
const (
	extEventTime = 0
	extTimestamp = -1
)

func appendJSONExt(dst []byte, typ int8, v []byte) []byte {
	if t, ok := extTime(typ, v); ok {
		dst = append(dst, '"')
		dst = t.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"')
	}
	dst = append(dst, `{"ext":`...)
	dst = strconv.AppendInt(dst, int64(typ), 10)
	dst = append(dst, `,"data":"`...)
	dst = hex.AppendEncode(dst, v)
	return append(dst, `"}`...)
}

// extTime returns the time in an extension, if it is one that RFC 3339 can write.
func extTime(typ int8, v []byte) (time.Time, bool) {
	var sec int64
	var nsec uint32
	switch {
	case typ == extEventTime && len(v) == 8:
		sec, nsec = int64(binary.BigEndian.Uint32(v)), binary.BigEndian.Uint32(v[4:])
	case typ == extTimestamp && len(v) == 4:
		sec = int64(binary.BigEndian.Uint32(v))
	case typ == extTimestamp && len(v) == 8:
		both := binary.BigEndian.Uint64(v)
		sec, nsec = int64(both&(1<<34-1)), uint32(both>>34)
	case typ == extTimestamp && len(v) == 12:
		nsec, sec = binary.BigEndian.Uint32(v), int64(binary.BigEndian.Uint64(v[4:]))
	default:
		return time.Time{}, false
	}
	const year0, year9999 = -62167219200, 253402300799
	if nsec > 999_999_999 || sec < year0 || sec > year9999 {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)).UTC(), true
}
