package forward

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// A stamp is the time of an event in one of the two canonical forms: an EventTime, or whole seconds in 5 bytes.
type stamp struct {
	sec, nsec uint32
	whole     bool
}

func (s stamp) unixNano() int64 { return int64(s.sec)*1e9 + int64(s.nsec) }

func (s stamp) append(dst []byte) []byte {
	if s.whole {
		return binary.BigEndian.AppendUint32(append(dst, 0xce), s.sec)
	}
	return mp.AppendEventTime(dst, s.sec, s.nsec)
}

func stampOf(t time.Time) stamp {
	sec := min(max(t.Unix(), 0), math.MaxUint32)
	return stamp{sec: uint32(sec), nsec: uint32(t.Nanosecond())}
}

// A timeKind says what a time in a message means.
type timeKind uint8

const (
	timeGiven  timeKind = iota // the stamp holds it
	timeOdd                    // the stamp holds what it must mean: it had a whole second of nanoseconds, or more
	timeNow                    // none, zero, or out of the range of 1970 to 2106: the time of arrival counts
	timeMarker                 // the entry opens or closes a group (Fluent Bit), and is no event
	timeBad                    // not a time at all
)

// readTime reads the time that b starts with, in any of the forms that clients send: EventTime as fixext8 or ext8,
// integers of every family (Docker sends a signed int32), floats, nil.
//
// Seconds -1 and -2 open and close a group of Fluent Bit's (fluent-bit/flb_log_event.h); an EventTime has them as
// uint32. Other EventTimes beyond 2^31 are taken as what the Forward Protocol Specification says: 2038 to 2106.
func readTime(b []byte) (s stamp, kind timeKind, size int, err error) {
	if len(b) == 0 {
		return s, 0, 0, mp.ErrShort
	}
	switch c := b[0]; {
	case c == 0xd7:
		if len(b) < 10 {
			return s, 0, 0, mp.ErrShort
		}
		if b[1] != 0 {
			return s, timeBad, 10, nil
		}
		s, kind = eventTime(b[2:10])
		return s, kind, 10, nil
	case c == 0xc7:
		typ, v, n, err := mp.Ext(b)
		if err != nil {
			return s, 0, 0, err
		}
		if typ != 0 || len(v) != 8 {
			return s, timeBad, n, nil
		}
		s, kind = eventTime(v)
		return s, kind, n, nil
	case c == 0xca || c == 0xcb:
		f, n, err := mp.Float(b)
		if err != nil {
			return s, 0, 0, err
		}
		if !(f >= 1e-9 && f < math.MaxUint32) { // NaN too
			return s, timeNow, n, nil
		}
		sec, frac := math.Modf(f)
		return stamp{sec: uint32(sec), nsec: uint32(frac * 1e9)}, timeGiven, n, nil
	case c == 0xc0:
		return s, timeNow, 1, nil
	case c == 0xcf && len(b) >= 9 && b[1] >= 0x80: // beyond int64
		return s, timeNow, 9, nil
	case c < 0x80 || c >= 0xe0 || c >= 0xcc && c <= 0xd3:
		v, n, err := mp.Int(b)
		switch {
		case err != nil:
			return s, 0, 0, err
		case v == -1 || v == -2:
			return s, timeMarker, n, nil
		case v <= 0 || v > math.MaxUint32:
			return s, timeNow, n, nil
		}
		return stamp{sec: uint32(v), whole: true}, timeGiven, n, nil
	}
	n, err := mp.Skip(b)
	return s, timeBad, n, err
}

func eventTime(v []byte) (stamp, timeKind) {
	s := stamp{sec: binary.BigEndian.Uint32(v), nsec: binary.BigEndian.Uint32(v[4:])}
	switch s.sec {
	case 0:
		return s, timeNow
	case math.MaxUint32, math.MaxUint32 - 1:
		return s, timeMarker
	}
	if s.nsec > maxNsec {
		s.nsec = maxNsec
		return s, timeOdd
	}
	return s, timeGiven
}

const maxNsec = 999_999_999

// readRecord returns the size of the map that b starts with, and whether it has the key partial_message, which Docker
// adds to the pieces of a long line. A map of plain values, as Docker sends, is walked once.
func readRecord(b []byte) (size int, partial bool, err error) {
	pairs, i, err := mp.MapHeader(b)
	if err != nil {
		return 0, false, err
	}
	for n := 2 * pairs; n > 0; n-- {
		if i >= len(b) {
			return 0, false, mp.ErrShort
		}
		c := b[i]
		switch {
		case c >= 0xa0 && c < 0xc0: // fixstr
			end := i + 1 + int(c&0x1f)
			if end > len(b) {
				return 0, false, mp.ErrShort
			}
			if c == 0xaf && n&1 == 0 && string(b[i+1:end]) == partialKey {
				partial = true
			}
			i = end
			continue
		case mp.IsMap(c) || mp.IsArray(c):
			size, err = mp.Skip(b) // bounds the depth of the whole record
			return size, partial || hasPartialKey(b, i, n), err
		}
		size, _, err := element(b[i:])
		if err != nil {
			return 0, false, err
		}
		if i += size; i > len(b) {
			return 0, false, mp.ErrShort
		}
	}
	return i, partial, nil
}

// partialKey marks a piece of a long line (moby daemon/logger/fluentd).
const partialKey = "partial_message"

// hasPartialKey looks for the key among the n keys and values from i on.
func hasPartialKey(b []byte, i, n int) bool {
	for ; n > 0; n-- {
		if n&1 == 0 {
			if k, _, err := mp.Bytes(b[i:]); err == nil && string(k) == partialKey {
				return true
			}
		}
		size, err := mp.Skip(b[i:])
		if err != nil {
			return false
		}
		i += size
	}
	return false
}
