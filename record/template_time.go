package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeLetters are the conversions of strftime that a template knows. There is none finer than a second: it would give
// each event a name of its own.
const timeLetters = "%Y %m %d %H %M %S %j %y %e %b %B %a %A %p %I %Z %z %s %F %T and %%"

// A timeFormat is a parsed strftime format.
type timeFormat struct {
	items []timeItem
	unit  int64 // seconds in which the text can't change; in other zones than UTC at most a minute
}

type timeItem struct {
	letter  byte // 0: literal
	literal string
}

// parseTimeFormat returns the format, or where it is wrong and why.
func parseTimeFormat(s string) (f timeFormat, at int, message string) {
	if s == "" {
		return f, 0, "time without a format"
	}
	const second, minute, hour, day = 1, 60, 3600, 86400
	f.unit = day
	for i := 0; i < len(s); {
		n := strings.IndexByte(s[i:], '%')
		if n < 0 {
			n = len(s) - i
		}
		if n > 0 {
			f.items = append(f.items, timeItem{literal: s[i : i+n]})
			i += n
			continue
		}
		if i+1 == len(s) {
			return f, i, "the time format ends in %"
		}
		unit := int64(day)
		switch c := s[i+1]; c {
		case 'Y', 'm', 'd', 'j', 'y', 'e', 'b', 'B', 'a', 'A', 'Z', 'z', 'F':
		case 'H', 'I', 'p':
			unit = hour
		case 'M':
			unit = minute
		case 'S', 's', 'T':
			unit = second
		case '%':
			f.items = append(f.items, timeItem{literal: "%"})
			i += 2
			continue
		default:
			return f, i, fmt.Sprintf("unknown time conversion %q", s[i:i+2])
		}
		f.unit = min(f.unit, unit)
		f.items = append(f.items, timeItem{letter: s[i+1]})
		i += 2
	}
	return f, 0, ""
}

func (f *timeFormat) append(dst []byte, t time.Time) []byte {
	for i := range f.items {
		it := &f.items[i]
		switch it.letter {
		case 0:
			dst = append(dst, it.literal...)
		case 'Y':
			dst = appendPadded(dst, t.Year(), 4)
		case 'y':
			dst = appendPadded(dst, t.Year()%100, 2)
		case 'm':
			dst = appendPadded(dst, int(t.Month()), 2)
		case 'd':
			dst = appendPadded(dst, t.Day(), 2)
		case 'j':
			dst = appendPadded(dst, t.YearDay(), 3)
		case 'H':
			dst = appendPadded(dst, t.Hour(), 2)
		case 'I':
			dst = appendPadded(dst, (t.Hour()+11)%12+1, 2)
		case 'M':
			dst = appendPadded(dst, t.Minute(), 2)
		case 'S':
			dst = appendPadded(dst, t.Second(), 2)
		case 's':
			dst = strconv.AppendInt(dst, t.Unix(), 10)
		default:
			dst = t.AppendFormat(dst, it.layout())
		}
	}
	return dst
}

// layout is the conversion as the time package writes it.
func (it *timeItem) layout() string {
	switch it.letter {
	case 'e':
		return "_2"
	case 'b':
		return "Jan"
	case 'B':
		return "January"
	case 'a':
		return "Mon"
	case 'A':
		return "Monday"
	case 'p':
		return "PM"
	case 'Z':
		return "MST"
	case 'z':
		return "-0700"
	case 'F':
		return "2006-01-02"
	}
	return "15:04:05" // T
}

// appendPadded appends v with zeros in front up to width digits.
func appendPadded(dst []byte, v, width int) []byte {
	limit := 1
	for range width - 1 {
		limit *= 10
	}
	for ; limit > 1 && v < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(v), 10)
}
