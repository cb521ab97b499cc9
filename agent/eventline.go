package agent

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// maxLineRecord is the largest record that is shown as JSON, in bytes of msgpack.
const maxLineRecord = 16 << 20

// An EventLine is one event in JSON, with what is around it: what tap and dump print, and what explain and replay read.
// JSON can't hold bytes that are no UTF-8; Data holds the event exactly.
type EventLine struct {
	ID          *uint64           `json:"id,omitempty"` // running number in its buffer or among the dead letters
	Time        time.Time         `json:"time"`
	Tag         string            `json:"tag"`
	Input       string            `json:"input,omitempty"`
	Route       string            `json:"route,omitempty"`
	Destination string            `json:"destination,omitempty"`
	Arrived     *time.Time        `json:"arrived,omitempty"`
	Attrs       map[string]string `json:"attrs,omitempty"`
	Reason      string            `json:"reason,omitempty"` // of a dead letter
	Detail      string            `json:"detail,omitempty"` // what the other side said
	Settled     bool              `json:"settled,omitempty"`
	Bytes       int               `json:"bytes,omitempty"` // of the encoded event
	Record      json.RawMessage   `json:"record,omitempty"`
	Data        string            `json:"data,omitempty"`   // the encoded event, base64
	Passed      uint64            `json:"passed,omitempty"` // events that flowed by since the tap was opened
}

// LineOf returns an event in JSON. With raw it holds the encoded event instead of the record.
func LineOf(e record.Event, raw bool) EventLine {
	out := EventLine{Time: e.Time().UTC(), Tag: e.Chunk.Tag, Route: e.Chunk.Route, Bytes: len(e.Raw)}
	if at := e.Chunk.Arrived; !at.IsZero() {
		at = at.UTC()
		out.Arrived = &at
	}
	if len(e.Chunk.Attrs) > 0 {
		out.Attrs = make(map[string]string, len(e.Chunk.Attrs))
		for _, a := range e.Chunk.Attrs {
			out.Attrs[a.Key] = a.Value
		}
	}
	if raw {
		out.Data = base64.StdEncoding.EncodeToString(e.Raw)
	} else if len(e.Record) <= maxLineRecord {
		out.Record = record.AppendJSON(nil, e.Record)
	}
	return out
}

// Chunk returns the event as a chunk of one.
func (l *EventLine) Chunk() (record.Chunk, error) {
	c := record.Chunk{Tag: l.Tag, Route: l.Route, Arrived: time.Now(), Events: 1}
	if at := l.Arrived; at != nil && at.Unix() > 0 && at.Unix() <= math.MaxUint32 {
		c.Arrived = *l.Arrived
	}
	var attrs []record.Attr
	for k, v := range l.Attrs {
		attrs = append(attrs, record.Attr{Key: k, Value: v})
	}
	c.Attrs = record.NewAttrs(attrs...)
	if len(l.Record) == 0 {
		return l.exact(c)
	}
	rec, err := jsonmp.Append(nil, l.Record)
	if err != nil {
		return c, fmt.Errorf("read record: %w", err)
	}
	if _, _, err := mp.MapHeader(rec); err != nil {
		return c, errors.New("record is not a JSON object")
	}
	at := l.Time
	if at.IsZero() {
		at = c.Arrived
	}
	c.Data = record.AppendEntry(nil, at, rec)
	c.Oldest, c.Newest = at, at
	return c, nil
}

// exact fills a chunk with the encoded event.
func (l *EventLine) exact(c record.Chunk) (record.Chunk, error) {
	if l.Data == "" {
		return c, errors.New("there is no record")
	}
	data, err := base64.StdEncoding.DecodeString(l.Data)
	if err != nil {
		return c, fmt.Errorf("read data: %w", err)
	}
	c.Data = data
	it := record.Iterate(&c)
	if !it.Next() || len(it.Event().Raw) != len(data) {
		return c, errors.New("data is not one event")
	}
	if _, _, err := mp.MapHeader(it.Event().Record); err != nil {
		return c, errors.New("data is an event whose record is not a map")
	}
	at := it.Event().Time()
	c.Oldest, c.Newest = at, at
	return c, nil
}
