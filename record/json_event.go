package record

import (
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// JSONOptions says what [AppendJSONEvent] adds to the record. The zero value adds nothing.
type JSONOptions struct {
	TimeKey string // key of the event's time as RFC 3339 text in UTC with up to nine digits; "" for none
	TagKey  string // key of the tag; "" for none
	TypeKey string // key of the route's name; "" for none
}

// DefaultJSON is what outputs of JSON lines add unless they are told otherwise: the time and the tag.
func DefaultJSON() JSONOptions { return JSONOptions{TimeKey: "time", TagKey: "tag"} }

// AppendJSONEvent appends e as one JSON object without a newline: first the time, the tag and the type under the keys
// of o, then the record as [AppendJSON] writes it. A key that the record has itself is the record's.
func AppendJSONEvent(dst []byte, e Event, o JSONOptions) []byte {
	dst = append(dst, '{')
	start := len(dst)
	has := o.in(e.Record)
	if o.TimeKey != "" && !has.time {
		dst = append(appendJSONString(dst, []byte(o.TimeKey)), ':', '"')
		dst = e.Time().UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"', ',')
	}
	if o.TagKey != "" && !has.tag {
		dst = appendJSONPair(dst, o.TagKey, e.Chunk.Tag)
	}
	if o.TypeKey != "" && !has.typ && e.Chunk.Route != "" {
		dst = appendJSONPair(dst, o.TypeKey, e.Chunk.Route)
	}
	before := len(dst)
	if pairs, n, err := mp.MapHeader(e.Record); err == nil {
		dst, _, _ = appendPairs(dst, e.Record, n, pairs, 1)
	}
	if len(dst) == before && before > start {
		dst = dst[:before-1] // the comma
	}
	return append(dst, '}')
}

func appendJSONPair(dst []byte, key, value string) []byte {
	dst = append(appendJSONString(dst, []byte(key)), ':')
	return append(appendJSONString(dst, []byte(value)), ',')
}

type jsonKeys struct{ time, tag, typ bool }

// in reports which of the keys rec has at its top level.
func (o JSONOptions) in(rec []byte) (has jsonKeys) {
	if o == (JSONOptions{}) {
		return has
	}
	pairs, i, err := mp.MapHeader(rec)
	if err != nil {
		return has
	}
	for ; pairs > 0; pairs-- {
		key, n, err := mp.Bytes(rec[i:])
		if err != nil {
			if n, err = mp.Skip(rec[i:]); err != nil {
				return has
			}
		}
		has.time = has.time || string(key) == o.TimeKey
		has.tag = has.tag || string(key) == o.TagKey
		has.typ = has.typ || string(key) == o.TypeKey
		i += n
		if n, err = mp.Skip(rec[i:]); err != nil {
			return has
		}
		i += n
	}
	return has
}
