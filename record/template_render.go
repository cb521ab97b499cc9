package record

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/mp"
)

// Event times further away from the arrival of their chunk than this render with the arrival time: a wrong clock or a
// forged time must not choose names from all of history. The arrival, unlike now, is the same at every attempt.
const (
	maxTimeAge   = 31 * 24 * time.Hour
	maxTimeAhead = 24 * time.Hour
)

// noValue is rendered for a value that is absent or empty when the template has no default.
const noValue = "none"

// A RenderContext is what a template needs besides the event, and the memory that makes rendering cheap.
// It may be used with several templates, but by one goroutine at a time.
type RenderContext struct {
	Host     string         // for ${host} where the chunk doesn't know its host
	ID       string         // for ${id}; "" renders [IDMark], for FillID
	Location *time.Location // for ${time:…}; nil: UTC
	Sanitize Sanitizer      // applied to each value; nil: PathElement

	// Replaced counts the events that were rendered with their arrival time because their own was over 31 days old
	// or more than a day ahead.
	Replaced int

	times []renderedTime // by number of the time part
	owner *Template      // whose times they are
	zone  *time.Location // that they were rendered in

	scratch [MaxValue + utf8.UTFMax]byte // for one value
}

// renderedTime is the text of one time part, good for the seconds [from, from+unit).
type renderedTime struct {
	from, unit int64
	text       []byte
}

// Append appends the name of e, an event of c. e may be nil when the template isn't PerEvent; then record values are
// absent and the time is the chunk's arrival. Nothing is allocated when dst has room.
func (t *Template) Append(dst []byte, c *Chunk, e *Event, ctx *RenderContext) []byte {
	sanitize := ctx.Sanitize
	if sanitize == nil {
		sanitize = PathElement
	}
	var sec int64
	if t.times > 0 {
		sec = ctx.second(t, c, e)
	}
	for i := range t.parts {
		p := &t.parts[i]
		start := len(dst)
		switch p.kind {
		case partLiteral:
			dst = append(dst, p.text...)
			continue
		case partTime:
			dst = append(dst, ctx.time(p, sec)...)
			continue
		case partID:
			if ctx.ID == "" {
				dst = append(dst, IDMark...)
				continue
			}
			dst = ctx.appendText(dst, ctx.ID, sanitize)
		case partTag:
			dst = ctx.appendText(dst, c.Tag, sanitize)
		case partTagPart:
			dst = ctx.appendText(dst, tagPart(c.Tag, p.index), sanitize)
		case partType:
			dst = ctx.appendText(dst, c.Route, sanitize)
		case partHost:
			host := c.Attrs.Get("host")
			if host == "" {
				host = ctx.Host
			}
			dst = ctx.appendText(dst, host, sanitize)
		case partAttr:
			dst = ctx.appendText(dst, c.Attrs.Get(p.text), sanitize)
		case partRecord:
			if e != nil {
				dst = ctx.appendField(dst, p.path.Lookup(e.Record), sanitize)
			}
		}
		if len(dst) == start {
			dst = ctx.appendText(dst, p.def, sanitize)
		}
		if len(dst) == start {
			dst = append(dst, noValue...)
		}
	}
	return dst
}

// second returns the time to render with, in seconds since 1970.
func (ctx *RenderContext) second(t *Template, c *Chunk, e *Event) int64 {
	if ctx.owner != t || ctx.zone != ctx.Location {
		ctx.owner, ctx.zone = t, ctx.Location
		ctx.times = append(ctx.times[:0], make([]renderedTime, t.times)...)
	}
	if e == nil {
		return c.Arrived.Unix()
	}
	sec := e.UnixNano() / 1e9
	if c.Arrived.IsZero() {
		return sec
	}
	arrived := c.Arrived.Unix()
	if sec < arrived-int64(maxTimeAge/time.Second) || sec > arrived+int64(maxTimeAhead/time.Second) {
		ctx.Replaced++
		return arrived
	}
	return sec
}

// time returns the text of a time part, rendered anew only when the one from before is not good any more.
func (ctx *RenderContext) time(p *part, sec int64) []byte {
	r := &ctx.times[p.index]
	if r.unit > 0 && sec >= r.from && sec < r.from+r.unit {
		return r.text
	}
	loc := ctx.Location
	r.unit = p.time.unit
	if loc == nil {
		loc = time.UTC
	}
	if loc != time.UTC {
		r.unit = min(r.unit, 60) // days and hours start at odd seconds of UTC there
	}
	r.from = sec - sec%r.unit
	r.text = p.time.append(r.text[:0], time.Unix(sec, 0).In(loc))
	return r.text
}

// appendText appends at most MaxValue bytes of v, sanitized.
func (ctx *RenderContext) appendText(dst []byte, v string, sanitize Sanitizer) []byte {
	n := copy(ctx.scratch[:], v)
	return appendValue(dst, ctx.scratch[:n], sanitize)
}

// appendValue appends at most MaxValue bytes of v, sanitized.
func appendValue(dst, v []byte, sanitize Sanitizer) []byte {
	n := len(v)
	if n > MaxValue {
		n = MaxValue
		// At most three bytes of a character can stand before the cut.
		for back := 1; back < utf8.UTFMax && !utf8.RuneStart(v[n]); back++ {
			n--
		}
	}
	return sanitize(dst, v[:n])
}

// appendField appends a value of the record; nil, arrays and maps are no values.
func (ctx *RenderContext) appendField(dst, v []byte, sanitize Sanitizer) []byte {
	if len(v) == 0 {
		return dst
	}
	if b, ok := Text(v); ok {
		return appendValue(dst, b, sanitize)
	}
	text := ctx.scratch[:0]
	switch c := v[0]; {
	case c == 0xc2:
		text = append(text, "false"...)
	case c == 0xc3:
		text = append(text, "true"...)
	case c == 0xca || c == 0xcb || c == 0xcf:
		text, _ = appendNumber(text, v)
	default:
		if n, _, err := mp.Int(v); err == nil {
			text = strconv.AppendInt(text, n, 10)
		}
	}
	return appendValue(dst, text, sanitize)
}

// tagPart returns the nth part between the dots of tag, or "".
func tagPart(tag string, n int) string {
	for i := 0; i < len(tag); i++ {
		if tag[i] != '.' {
			continue
		}
		if n == 0 {
			return tag[:i]
		}
		n--
		tag, i = tag[i+1:], -1
	}
	if n == 0 {
		return tag
	}
	return ""
}
