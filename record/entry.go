package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// An entry is one event inside Chunk.Data, always in this canonical form, which every Fluentd and Fluent Bit reads:
//
//	0x92 <time> <record>
//
// time is an EventTime as fixext8 (d7 00, seconds, nanoseconds) or an integer in one of the two 5-byte forms
// ce (uint32) and d2 (int32, not negative); record is a map of valid structure, at most mp.MaxDepth deep.
// Inputs rewrite every other form, and strip metadata, before a chunk leaves them.
const (
	entryHead     = 0x92
	timeExt       = 0xd7
	timeUint32    = 0xce
	timeInt32     = 0xd2
	shortTimeSize = 5
	longTimeSize  = 10
)

// An Event is one entry of a chunk. Its slices are parts of the chunk's data.
type Event struct {
	Chunk  *Chunk
	Raw    []byte // the whole entry
	Record []byte // the record: a msgpack map
}

// Time returns the event's time.
func (e Event) Time() time.Time { return time.Unix(0, e.UnixNano()) }

// UnixNano returns the event's time in nanoseconds since 1970.
func (e Event) UnixNano() int64 { return entryTime(e.Raw[1:]) }

func entryTime(t []byte) int64 {
	sec := int64(binary.BigEndian.Uint32(t[1:]))
	if t[0] == timeExt {
		sec = int64(binary.BigEndian.Uint32(t[2:]))
		return sec*1e9 + int64(binary.BigEndian.Uint32(t[6:]))
	}
	return sec * 1e9
}

// An Iter walks over the entries of a chunk.
//
//	for it := record.Iterate(&c); it.Next(); {
//		e := it.Event()
//	}
type Iter struct {
	c    *Chunk
	rest []byte
	ev   Event
	err  error
}

// Iterate returns an iterator before the first entry of c.
func Iterate(c *Chunk) Iter { return Iter{c: c, rest: c.Data, ev: Event{Chunk: c}} }

// Next moves to the next entry. It returns false at the end and at an entry that is not canonical.
func (it *Iter) Next() bool {
	b := it.rest
	if len(b) == 0 || it.err != nil {
		return false
	}
	t, err := entryTimeSize(b)
	if err != nil {
		it.err = err
		return false
	}
	n, err := mp.Skip(b[1+t:])
	if err != nil {
		it.err = fmt.Errorf("read entry: %w", err)
		return false
	}
	end := 1 + t + n
	it.ev.Raw, it.ev.Record = b[:end:end], b[1+t:end:end]
	it.rest = b[end:]
	return true
}

func entryTimeSize(b []byte) (int, error) {
	if len(b) >= 2+shortTimeSize && b[0] == entryHead {
		switch b[1] {
		case timeUint32, timeInt32:
			return shortTimeSize, nil
		case timeExt:
			if len(b) >= 2+longTimeSize {
				return longTimeSize, nil
			}
		}
	}
	return 0, fmt.Errorf("read entry: bytes % x are not the head of an entry", b[:min(len(b), 4)])
}

// Event returns the current entry. It is valid until the next call of Next.
func (it *Iter) Event() Event { return it.ev }

// Offset returns where the current entry starts in the chunk's data.
func (it *Iter) Offset() int { return len(it.c.Data) - len(it.rest) - len(it.ev.Raw) }

// Err returns what stopped the iteration before the end of the data, or nil.
func (it *Iter) Err() error { return it.err }

// AppendEntry appends the canonical entry of an event: t is clamped to what an EventTime can hold
// (1970 to 2106), rec must be a msgpack map.
func AppendEntry(dst []byte, t time.Time, rec []byte) []byte {
	sec := t.Unix()
	nsec := uint32(t.Nanosecond())
	switch {
	case sec < 0:
		sec, nsec = 0, 0
	case sec > math.MaxUint32:
		sec, nsec = math.MaxUint32, 999_999_999
	}
	dst = append(dst, entryHead)
	dst = mp.AppendEventTime(dst, uint32(sec), nsec)
	return append(dst, rec...)
}

// Slice returns the part of c that holds the events [from, to). Data stays shared; Oldest and Newest stay those
// of the whole, which bound the part's.
func (c *Chunk) Slice(from, to int) (Chunk, error) {
	out := *c
	if from < 0 || to > c.Events || from >= to {
		return out, fmt.Errorf("slice events [%d, %d) of a chunk of %d", from, to, c.Events)
	}
	if from == 0 && to == c.Events {
		return out, nil
	}
	start, n := 0, 0
	it := Iterate(c)
	for ; n < to && it.Next(); n++ {
		if n < from {
			start = len(c.Data) - len(it.rest)
		}
	}
	switch {
	case n < to && it.err != nil:
		return out, fmt.Errorf("slice events [%d, %d): data ends after %d: %w", from, to, n, it.err)
	case n < to:
		return out, fmt.Errorf("slice events [%d, %d): data ends after %d", from, to, n)
	}
	end := len(c.Data) - len(it.rest)
	out.Data = c.Data[start:end:end]
	out.Events = to - from
	return out, nil
}
